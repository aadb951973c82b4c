//! Messages in, messages out.

use std::rc::Rc;

use js_sys::{Array, Object, Reflect, Uint8Array};
use serde_json::Value;
use wasm_bindgen::prelude::{Closure, JsCast, JsValue};
use web_sys::{DedicatedWorkerGlobalScope, MessageEvent};

use super::protocol::{Call, Event, File};
use super::state::{Answer, Engine};

/// Where the answers of one call go.
#[derive(Clone)]
pub struct Port {
    scope: DedicatedWorkerGlobalScope,
    /// The call's number; every message carries it.
    pub run: u32,
}

impl Port {
    /// Tells something before the end.
    pub fn tell(&self, event: &Event) {
        self.send(event, &[]);
    }

    fn send(&self, event: &Event, files: &[File]) {
        let text = serde_json::to_string(event).unwrap_or_default();
        let message = Object::new();
        let beside = Array::new();
        for file in files {
            let entry = Object::new();
            set(&entry, "name", &file.name.as_str().into());
            set(&entry, "bytes", &Uint8Array::from(file.bytes.as_slice()));
            beside.push(&entry);
        }
        set(&message, "run", &self.run.into());
        set(&message, "text", &text.into());
        set(&message, "files", &beside);
        // A message of plain values cannot fail to be copied.
        let _ = self.scope.post_message(&message);
    }

    fn end(&self, outcome: Result<Answer, String>) {
        match outcome {
            Ok(Answer { result, files }) => self.send(&Event::Done { result }, &files),
            Err(message) if message.starts_with(LOST) => crash(&lost(&message)),
            Err(message) => self.send(&Event::Failed { message }, &[]),
        }
    }
}

/// How core begins what it says of a device that gives no numbers any more. Nothing on it can be used again.
const LOST: &str = "the device could not be read";

fn lost(message: &str) -> String {
    let why = message.lines().next().unwrap_or(message);
    format!(
        "the graphics device is lost, by a crash of its driver or for want of memory ({why}). Restart the engine; a saved \
         run goes on from its last save. If it happens again, take a smaller batch size or shorter rows"
    )
}

/// Tells the page that this worker is of no more use.
fn crash(why: &str) {
    let Ok(scope) = js_sys::global().dyn_into::<DedicatedWorkerGlobalScope>() else { return };
    let message = Object::new();
    set(&message, "crash", &why.into());
    // A message of plain values cannot fail to be copied.
    let _ = scope.post_message(&message);
}

/// Takes the worker's messages over, for as long as it lives.
///
/// # Errors
/// This is no worker.
pub fn serve() -> Result<(), JsValue> {
    let scope: DedicatedWorkerGlobalScope = js_sys::global().dyn_into()?;
    let engine = Rc::new(Engine::default());
    tell_crashes();
    let of_worker = scope.clone();
    let listener = Closure::<dyn Fn(MessageEvent)>::new(move |event: MessageEvent| {
        let data = event.data();
        let run = get(&data, "run").as_f64().unwrap_or_default() as u32;
        let port = Port { scope: of_worker.clone(), run };
        let engine = Rc::clone(&engine);
        let call = parse(&data);
        wasm_bindgen_futures::spawn_local(async move {
            let outcome = match call {
                Ok((call, files)) => engine.handle(call, files, &port).await,
                Err(message) => Err(message),
            };
            port.end(outcome);
        });
    });
    scope.set_onmessage(Some(listener.as_ref().unchecked_ref()));
    listener.forget();
    Ok(())
}

/// A panic ends the worker for good; the page must hear why.
fn tell_crashes() {
    std::panic::set_hook(Box::new(|panic| crash(&panic.to_string())));
}

fn parse(data: &JsValue) -> Result<(Call, Vec<File>), String> {
    let text = get(data, "text").as_string().unwrap_or_default();
    let call: Value = serde_json::from_str(&text).map_err(|e| format!("the call is no JSON: {e}"))?;
    let call = serde_json::from_value(call).map_err(|e| format!("what was asked for does not exist: {e}"))?;
    let files = get(data, "files").dyn_into::<Array>().map_or_else(
        |_| Vec::new(),
        |files| {
            let file = |entry: JsValue| File {
                name: get(&entry, "name").as_string().unwrap_or_default(),
                bytes: Uint8Array::new(&get(&entry, "bytes")).to_vec(),
            };
            files.iter().map(file).collect()
        },
    );
    Ok((call, files))
}

fn get(value: &JsValue, key: &str) -> JsValue {
    Reflect::get(value, &key.into()).unwrap_or(JsValue::UNDEFINED)
}

fn set(object: &Object, key: &str, value: &JsValue) {
    // Setting a property of a plain object cannot fail.
    let _ = Reflect::set(object, &key.into(), value);
}
