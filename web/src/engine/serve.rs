//! Messages in: which part of the engine takes which call.

use std::rc::Rc;

use js_sys::{Array, Reflect, Uint8Array};
use kindling::adapter::AverageConfig;
use kindling::loss::{DistillConfig, DpoConfig, GrpoConfig, ReasonConfig};
use kindling::sample::UnmaskConfig;
use kindling::text::RowKind;
use kindling::told::{Told, told};
use kindling::train::Stage;
use serde::Serialize;
use serde_json::{Map, Value};
use wasm_bindgen::prelude::{Closure, JsCast, JsValue};
use web_sys::{DedicatedWorkerGlobalScope, MessageEvent};

use super::data::{fitted_config, lora_config};
use super::download::abort;
use super::evaluate::example_questions;
use super::messages::model::Defaults;
use super::paste::{read_cells, read_pairs, read_rows};
use super::port::{Port, crash};
use super::protocol::{Call, File};
use super::state::{Answer, Engine, OpenModel, Who};

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
        let port = Port::new(of_worker.clone(), run);
        let engine = Rc::clone(&engine);
        let call = parse(&data);
        wasm_bindgen_futures::spawn_local(async move {
            let outcome = match call {
                Ok((call, files)) => handle(&engine, call, files, &port).await,
                Err(message) => Err(message),
            };
            engine.cancelled.borrow_mut().remove(&run);
            port.end(outcome);
        });
    });
    scope.set_onmessage(Some(listener.as_ref().unchecked_ref()));
    listener.forget();
    Ok(())
}

/// A panic ends the worker for good; the page must hear why.
fn tell_crashes() {
    std::panic::set_hook(Box::new(|panic| crash(&told!("engine.panic", "{panic}", panic))));
}

fn parse(data: &JsValue) -> Result<(Call, Vec<File>), Told> {
    let text = get(data, "text").as_string().unwrap_or_default();
    let call: Value =
        serde_json::from_str(&text).map_err(|e| told!("call.json", "the call is no JSON: {e}", e))?;
    let call = serde_json::from_value(call)
        .map_err(|e| told!("call.unknown", "what was asked for does not exist: {e}", e))?;
    let files = get(data, "files").dyn_into::<Array>().map_or_else(
        |_| Vec::new(),
        |files| {
            let bytes = |entry: &JsValue| get(entry, "bytes").dyn_into::<Uint8Array>().ok();
            let file = |entry: JsValue| File {
                name: get(&entry, "name").as_string().unwrap_or_default(),
                bytes: bytes(&entry).map(|bytes| bytes.to_vec()).unwrap_or_default(),
            };
            files.iter().map(file).collect()
        },
    );
    Ok((call, files))
}

/// Does what the page asks for.
///
/// # Errors
/// What went wrong, in words for a person.
async fn handle(engine: &Engine, call: Call, files: Vec<File>, port: &Port) -> Result<Answer, Told> {
    match call {
        Call::Open { device } => engine.open(&device).await,
        Call::Model => Answer::new(engine.model.borrow().as_ref().map(OpenModel::info)),
        Call::Load { name, weights } => engine.load(name, weights, files, port).await,
        Call::Download { url, keep, weights } => engine.download(&url, keep, weights, port).await,
        Call::LoadKept { name, weights } => engine.load_kept(name, weights, port).await,
        Call::Keep { name } => engine.keep(&name).await,
        Call::Convert(conversion) => engine.convert(&conversion).await,
        Call::Kept => engine.kept().await,
        Call::Forget { name } => engine.forget(&name).await,
        Call::Chat { messages, choosing, base, only, top } => {
            engine.chat(messages, &choosing, Who::of(base, only.as_deref()), top, port).await
        }
        Call::Generate { prompt, tokens, choosing } => engine.complete(prompt, tokens, &choosing, port).await,
        Call::Infill { text, hole_tokens, choosing } => {
            engine.infill(&text, hole_tokens, &choosing, port).await
        }
        Call::Score { text, tokens, add_bos, logits, likelihood } => {
            engine.score((text, tokens), add_bos, logits, likelihood).await
        }
        Call::Evaluate(asked) => engine.evaluate(&asked, files, port).await,
        Call::ExampleQuestions => Ok(example_questions()),
        Call::Preview { stage, adapts, config, rows, encoding, preset, experts } => {
            let named = (preset.as_deref(), experts.as_ref());
            engine.preview((stage, adapts, named), config, rows, encoding.as_deref(), files)
        }
        // What is pasted for a stage that learns from either form is read as questions and answers.
        Call::ReadRows { stage } => read_rows(stage.row_kind().unwrap_or(RowKind::Conversation), &files),
        Call::ReadPairs => read_pairs(&files),
        Call::ReadCells { choices } => read_cells(choices, &files),
        Call::Plan(training) => engine.plan(&training, files).await,
        Call::Train(training) => engine.train(training, files, port).await,
        Call::Resume { id, more } => engine.resume(&id, more, port).await,
        Call::Control { target, what } => engine.steer(&target, what),
        Call::Cancel { target } => {
            abort(target);
            engine.cancelled.borrow_mut().insert(target);
            Answer::new(())
        }
        Call::Runs => engine.saved_runs().await,
        Call::RemoveRun { id } => engine.remove_run(&id).await,
        Call::ImportRun { stage, name, saved, teacher, encoding } => {
            engine.import_run(stage, name, saved, (teacher, encoding), files).await
        }
        Call::Adapters => engine.list_adapters().await,
        Call::UseAdapters { active } => engine.use_adapters(&active).await,
        Call::AddAdapter { name } => engine.add_adapter(name, files).await,
        Call::AverageAdapters { name, of, weights, rank } => {
            engine.average_adapters(&name, &of, &AverageConfig { weights, rank }).await
        }
        Call::RemoveAdapter { name } => engine.remove_adapter(&name).await,
        Call::Export { kind, name, shape, weights } => {
            engine.export((&kind, &name), shape, weights, port).await
        }
        Call::Defaults { stage, adapts } => defaults(engine, stage, adapts),
    }
}

/// What holds where a request names nothing else, beside the open model. Of a length they tell what holds beside longer ones.
fn defaults(engine: &Engine, stage: Stage, adapts: bool) -> Result<Answer, Told> {
    let masked = engine.model.borrow().as_ref().is_some_and(|open| open.base.config().diffusion.is_some());
    let (config, _) = fitted_config(stage, adapts, Map::new(), (usize::MAX, masked))?;
    Answer::new(Defaults {
        config: fields(config),
        lora: fields(lora_config(Map::new())?),
        sampling: fields(engine.sampling(&Map::new())?),
        unmask: fields(UnmaskConfig::default()),
        dpo: fields(DpoConfig::default()),
        distill: fields(DistillConfig::default()),
        reason: fields(ReasonConfig::default()),
        grpo: fields(GrpoConfig::default()),
    })
}

/// Settings by their names.
fn fields(settings: impl Serialize) -> Map<String, Value> {
    match serde_json::to_value(settings) {
        Ok(Value::Object(fields)) => fields,
        _ => Map::new(),
    }
}

fn get(value: &JsValue, key: &str) -> JsValue {
    Reflect::get(value, &key.into()).unwrap_or(JsValue::UNDEFINED)
}
