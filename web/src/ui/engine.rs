//! The engine, `window.kindling`, with types and with errors as sentences.

use std::cell::RefCell;
use std::rc::Rc;

use js_sys::{Array, AsyncIterator, Function, JSON, Object, Promise, Reflect, Uint8Array};
use serde::{Serialize, de::DeserializeOwned};
use wasm_bindgen::prelude::{Closure, JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;

use super::dom::{self, window};
use crate::format::fill;
use crate::language::{Language, Text, in_fields, in_words};
use crate::messages::evaluate::Evaluation;
use crate::messages::model::{AdapterInfo, AveragedAdapter, Defaults, DeviceInfo, KeptModel, ModelInfo};
use crate::messages::rows::{Cells, Pasted};
use crate::messages::run::{EngineEvent, Plan, Preview, RunEnd, SavedRun, ServedRuns, Stage};
use crate::messages::told::Told;

/// What a call gives, or the engine's own sentence on why not.
pub type Answer<T> = Result<T, String>;

/// The engine's object, or one part of it such as `adapters`.
fn part(name: &str) -> JsValue {
    let kindling = get(&window(), "kindling");
    name.split('.').filter(|key| !key.is_empty()).fold(kindling, |value, key| get(&value, key))
}

/// A property; `undefined` where there is none.
pub fn get(value: &JsValue, key: &str) -> JsValue {
    Reflect::get(value, &key.into()).unwrap_or(JsValue::UNDEFINED)
}

/// Sets a property of an object that this page made.
pub fn set(object: &JsValue, key: &str, value: &JsValue) {
    let _ = Reflect::set(object, &key.into(), value);
}

/// Calls a method and waits where it gives a promise.
async fn call(part: &JsValue, method: &str, arguments: &[&JsValue]) -> Answer<JsValue> {
    let function: Function = get(part, method).dyn_into().map_err(|_| text().page.no_engine.to_string())?;
    let arguments: Array = arguments.iter().copied().collect();
    let promise = function.apply(part, &arguments).map_err(sentence)?;
    JsFuture::from(Promise::resolve(&promise)).await.map_err(sentence)
}

/// The language of the document.
fn language() -> Language {
    let root = window().document().and_then(|document| document.document_element());
    Language::from_tag(&root.and_then(|root| root.get_attribute("lang")).unwrap_or_default())
}

/// The page's sentences.
fn text() -> &'static Text {
    language().text()
}

/// Asks for something of a type.
pub async fn ask<T: DeserializeOwned>(place: &str, method: &str, arguments: &[&JsValue]) -> Answer<T> {
    read(&call(&part(place), method, arguments).await?)
}

/// What an exception says, in the page's words.
pub fn sentence(error: JsValue) -> String {
    let message = get(&error, "message").as_string().filter(|message| !message.is_empty());
    let message = message.or_else(|| error.as_string());
    // An error of the engine has a code and values, which are no properties that JSON would show of an error.
    let told = write(&serde_json::json!({ "message": message }));
    for key in ["code", "values"] {
        set(&told, key, &get(&error, key));
    }
    match read::<Told>(&told) {
        Ok(told) => spoken(&told),
        Err(_) => {
            let message = message.unwrap_or_else(|| String::from(Object::from(error).to_string()));
            in_fields(&message, text())
        }
    }
}

/// What the engine says, in the page's words.
pub fn spoken(told: &Told) -> String {
    in_words(told, language())
}

/// A place in the data, in the page's words.
pub fn placed(origin: &str) -> String {
    in_fields(origin, text())
}

/// A plain value of the engine as a type of this page.
pub fn read<T: DeserializeOwned>(value: &JsValue) -> Answer<T> {
    let json = JSON::stringify(value).ok().and_then(|json| json.as_string()).unwrap_or_else(|| "null".into());
    serde_json::from_str(&json).map_err(|error| fill(text().page.odd_answer, &[&error.to_string()]))
}

/// A value of this page as a plain object for the engine.
pub fn write(value: &impl Serialize) -> JsValue {
    let json = serde_json::to_string(value).unwrap_or_default();
    JSON::parse(&json).unwrap_or(JsValue::UNDEFINED)
}

/// An object for the engine to call with events; it lives as long as the engine holds it.
pub fn callback(call: impl FnMut(JsValue) + 'static) -> JsValue {
    Closure::<dyn FnMut(JsValue)>::new(call).into_js_value()
}

/// A text under a file name, as a source of data.
pub fn file_of_text(name: &str, text: &str) -> JsValue {
    file_of_bytes(name, text.as_bytes())
}

/// Bytes under a file name, likewise.
pub fn file_of_bytes(name: &str, bytes: &[u8]) -> JsValue {
    let file = Object::new();
    set(&file, "name", &name.into());
    set(&file, "bytes", &Uint8Array::from(bytes));
    file.into()
}

/// A file of the engine under another name.
pub fn renamed(file: &JsValue, name: &str) -> JsValue {
    let renamed = Object::new();
    set(&renamed, "name", &name.into());
    set(&renamed, "bytes", &get(file, "bytes"));
    renamed.into()
}

/// A file of the engine as a text.
pub fn text_of(file: &JsValue) -> String {
    let bytes = get(file, "bytes").dyn_into::<Uint8Array>().map(|bytes| bytes.to_vec());
    String::from_utf8_lossy(&bytes.unwrap_or_default()).into_owned()
}

/// Picked files as a source.
pub fn files(files: &[web_sys::File]) -> JsValue {
    files.iter().collect::<Array>().into()
}

/// The shipped model once it is open; none where there is none.
pub async fn ready() -> Answer<Option<ModelInfo>> {
    let promise = get(&window(), "kindlingReady");
    read(&JsFuture::from(Promise::resolve(&promise)).await.map_err(sentence)?)
}

/// What computes.
pub async fn device() -> Answer<DeviceInfo> {
    ask("", "device", &[]).await
}

/// The open model.
pub async fn model() -> Answer<Option<ModelInfo>> {
    ask("", "model", &[]).await
}

/// Opens a model, its matrices held as asked for, and tells how far it is: bytes loaded, and of how many.
pub async fn load(
    source: &JsValue,
    weights: &str,
    signal: &web_sys::AbortSignal,
    mut progress: impl FnMut(f64, Option<f64>) + 'static,
) -> Answer<ModelInfo> {
    let options = Object::new();
    set(&options, "signal", signal);
    set(&options, "weights", &weights.into());
    let tell = move |part: JsValue| {
        progress(get(&part, "loaded").as_f64().unwrap_or_default(), get(&part, "total").as_f64());
    };
    set(&options, "onProgress", &callback(tell));
    ask("", "load", &[source, &options]).await
}

/// A streamed answer.
pub struct Stream(AsyncIterator);

/// Begins an answer; `request` is a chat request without the signal.
pub async fn chat(request: &impl Serialize, signal: &web_sys::AbortSignal) -> Answer<Stream> {
    let request = write(request);
    set(&request, "signal", signal);
    let stream = call(&part("chat.completions"), "create", &[&request]).await?;
    let iterator = Reflect::get(&stream, &js_sys::Symbol::async_iterator()).map_err(sentence)?;
    let iterator: Function = iterator.dyn_into().map_err(|_| text().page.no_engine.to_string())?;
    Ok(Stream(iterator.call0(&stream).map_err(sentence)?.unchecked_into()))
}

impl Stream {
    /// The next part, none at the end.
    pub async fn next<T: DeserializeOwned>(&self) -> Answer<Option<T>> {
        let result = JsFuture::from(self.0.next().map_err(sentence)?).await.map_err(sentence)?;
        match get(&result, "done").is_truthy() {
            true => Ok(None),
            false => read(&get(&result, "value")).map(Some),
        }
    }
}

/// What was pasted, read as rows for a stage; they come as a file of JSON lines, or as null.
pub async fn read_rows(text: &str, stage: Stage) -> Answer<(Pasted, JsValue)> {
    let answer = call(&part("rows"), "read", &[&text.into(), &stage.word().into()]).await?;
    let data = get(&answer, "data");
    // The bytes are no JSON.
    set(&answer, "data", &JsValue::UNDEFINED);
    Ok((read(&answer)?, data))
}

/// The questions and answers of what was pasted, if it is nothing but such.
pub async fn read_pairs(text: &str) -> Answer<Option<Vec<[String; 2]>>> {
    ask("rows", "pairs", &[&text.into()]).await
}

/// The questions and answers in cells of a spreadsheet, with worse answers where those are asked for.
pub async fn read_cells(text: &str, choices: bool) -> Answer<Cells> {
    ask("rows", "cells", &[&text.into(), &choices.into()]).await
}

/// Rows as the model sees them.
pub async fn preview(request: &JsValue) -> Answer<Preview> {
    ask("", "preview", &[request]).await
}

/// What a stage does where nothing was set, with the model or an adapter to train.
pub async fn defaults(stage: &str, adapter: bool) -> Answer<Defaults> {
    let options = write(&serde_json::json!({ "adapter": adapter }));
    ask("", "defaults", &[&stage.into(), &options]).await
}

/// What a run will need.
pub async fn plan(request: &JsValue) -> Answer<Plan> {
    ask("", "plan", &[request]).await
}

/// A run that stands.
#[derive(Clone)]
pub struct Run(JsValue);

/// Trains.
pub async fn train(request: &JsValue, event: impl FnMut(EngineEvent) + 'static) -> Answer<Run> {
    set(request, "onEvent", &events(event));
    call(&part(""), "train", &[request]).await.map(Run)
}

/// Goes on with a saved run: for `more` steps with one that is done.
pub async fn resume(id: &str, more: Option<f64>, event: impl FnMut(EngineEvent) + 'static) -> Answer<Run> {
    let options = write(&serde_json::json!({ "more": more }));
    call(&part("runs"), "resume", &[&id.into(), &events(event), &options]).await.map(Run)
}

/// On the server that the page came from: begins a run (`train`), goes on with one (`resume`) or comes back to one (`rejoin`).
pub async fn served(method: &str, what: &JsValue, event: impl FnMut(EngineEvent) + 'static) -> Answer<Run> {
    call(&part("served"), method, &[what, &events(event)]).await.map(Run)
}

/// The runs of that server.
pub async fn served_runs() -> Answer<ServedRuns> {
    ask("served", "list", &[]).await
}

/// The key of that server, in memory alone.
pub fn set_served_key(key: &str) {
    set(&part("served"), "key", &key.into());
}

fn events(mut event: impl FnMut(EngineEvent) + 'static) -> JsValue {
    // An event of a kind that this page does not know is not its matter.
    callback(move |value| drop(read(&value).map(&mut event)))
}

impl Run {
    /// What it will need, where the engine tells.
    pub fn plan(&self) -> Option<Plan> {
        read(&get(&self.0, "plan")).ok()
    }

    /// Its name among the saved runs.
    pub fn id(&self) -> String {
        get(&self.0, "id").as_string().unwrap_or_default()
    }

    /// Whether it pauses.
    pub fn is_paused(&self) -> bool {
        get(&self.0, "paused").is_truthy()
    }

    /// Calls `pause`, `resume`, `stop` or `save`.
    pub fn tell(&self, what: &str) {
        if let Ok(function) = get(&self.0, what).dyn_into::<Function>() {
            let _ = function.call0(&self.0);
        }
    }

    /// Waits for its end.
    pub async fn done(&self) -> Answer<RunEnd> {
        read(&JsFuture::from(Promise::resolve(&get(&self.0, "done"))).await.map_err(sentence)?)
    }
}

/// The runs that can go on.
pub async fn runs() -> Answer<Vec<SavedRun>> {
    ask("runs", "list", &[]).await
}

/// Deletes a saved run.
pub async fn remove_run(id: &str) -> Answer<()> {
    call(&part("runs"), "remove", &[&id.into()]).await.map(drop)
}

/// The adapters beside the open model.
pub async fn adapters() -> Answer<Vec<AdapterInfo>> {
    ask("adapters", "list", &[]).await
}

/// Which adapters act from now on.
pub async fn use_adapters(active: &[AdapterInfo]) -> Answer<Vec<AdapterInfo>> {
    let active: Vec<_> = active.iter().filter(|adapter| adapter.active).collect();
    let active: Vec<_> = active
        .iter()
        .map(|adapter| serde_json::json!({ "name": adapter.name, "strength": adapter.strength }))
        .collect();
    ask("adapters", "use", &[&write(&active)]).await
}

/// Adds an adapter from PEFT's two files, or from a .zip of them.
pub async fn add_adapter(name: &str, files: &JsValue) -> Answer<Vec<AdapterInfo>> {
    ask("adapters", "add", &[&name.into(), files]).await
}

/// Keeps the mean of adapters as a new one, which alone acts then.
pub async fn average_adapters(name: &str, of: &[String]) -> Answer<AveragedAdapter> {
    ask("adapters", "average", &[&name.into(), &write(&of)]).await
}

/// Deletes an adapter.
pub async fn remove_adapter(name: &str) -> Answer<Vec<AdapterInfo>> {
    ask("adapters", "remove", &[&name.into()]).await
}

/// Offers what goes home, such as `{"adapter": "lora"}`, as downloads, by these options; gives what a person should know of
/// it.
pub async fn export(what: &impl Serialize, options: &impl Serialize) -> Answer<Vec<String>> {
    let options = write(options);
    let warnings = Rc::<RefCell<Vec<String>>>::default();
    let told = Rc::clone(&warnings);
    let warn = move |_message, warning| told.borrow_mut().push(sentence(warning));
    let warn = Closure::<dyn FnMut(JsValue, JsValue)>::new(warn).into_js_value();
    set(&options, "onWarning", &warn);
    offer(&call(&part(""), "export", &[&write(what), &options]).await?)?;
    Ok(warnings.take())
}

fn offer(files: &JsValue) -> Answer<()> {
    for file in Array::from(files).iter() {
        let name = get(&file, "name").as_string().unwrap_or_default();
        dom::download(&name, &get(&file, "bytes")).map_err(sentence)?;
    }
    Ok(())
}

/// Asks the questions of files; `tell` hears how many are asked, of how many, and which of how many models is.
pub async fn evaluate(
    request: &JsValue,
    mut tell: impl FnMut(f64, f64, [f64; 2]) + 'static,
) -> Answer<Evaluation> {
    let hear = move |part: JsValue| {
        let number = |name: &str| get(&part, name).as_f64().unwrap_or_default();
        tell(number("done"), number("total"), [number("model"), number("models")]);
    };
    set(request, "onProgress", &callback(hear));
    ask("", "evaluate", &[request]).await
}

/// A file with a few such questions.
pub async fn example_questions() -> Answer<JsValue> {
    call(&part(""), "exampleQuestions", &[]).await
}

/// The models kept in this browser.
pub async fn models() -> Answer<Vec<KeptModel>> {
    ask("models", "list", &[]).await
}

/// Keeps the open model under a name.
pub async fn keep_model(name: &str) -> Answer<()> {
    call(&part("models"), "keep", &[&name.into()]).await.map(drop)
}

/// Deletes a kept model.
pub async fn remove_model(name: &str) -> Answer<()> {
    call(&part("models"), "remove", &[&name.into()]).await.map(drop)
}

/// Calls back when the engine crashed.
pub fn on_crash(mut crashed: impl FnMut(String) + 'static) {
    let call = Closure::<dyn FnMut(JsValue, JsValue)>::new(move |_message, error| crashed(sentence(error)));
    set(&part(""), "onCrash", &call.into_js_value());
}

/// Opens a new engine after a crash.
pub async fn restart() -> Answer<()> {
    call(&part(""), "restart", &[]).await.map(drop)
}
