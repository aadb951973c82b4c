//! Messages out.

use js_sys::{Array, Object, Reflect, Uint8Array};
use kindling::told::{Told, told};
use wasm_bindgen::prelude::{JsCast, JsValue};
use web_sys::DedicatedWorkerGlobalScope;

use super::messages::run::EngineEvent as Event;
use super::protocol::File;
use super::state::Answer;
use super::told::failed;

/// Where the answers of one call go.
#[derive(Clone)]
pub struct Port {
    scope: DedicatedWorkerGlobalScope,
    /// The call's number; every message carries it.
    pub run: u32,
}

impl Port {
    /// The way back for the call of this number.
    pub fn new(scope: DedicatedWorkerGlobalScope, run: u32) -> Self {
        Self { scope, run }
    }

    /// Tells something before the end.
    pub fn tell(&self, event: &Event) {
        self.send(event, &[]);
    }

    fn send(&self, event: &Event, files: &[File]) {
        let text = serde_json::to_string(event).unwrap_or_default();
        let message = Object::new();
        // What is sent along is gone here, and is not copied once more.
        let (beside, moved) = (Array::new(), Array::new());
        for file in files {
            let entry = Object::new();
            set(&entry, "name", &file.name.as_str().into());
            let bytes = Uint8Array::from(file.bytes.as_slice());
            moved.push(&bytes.buffer());
            set(&entry, "bytes", &bytes);
            beside.push(&entry);
        }
        set(&message, "run", &self.run.into());
        set(&message, "text", &text.into());
        set(&message, "files", &beside);
        // A message of plain values cannot fail to be copied.
        let _ = self.scope.post_message_with_transfer(&message, &moved);
    }

    /// Ends the call, with its result or with what went wrong.
    pub fn end(&self, outcome: Result<Answer, Told>) {
        match outcome {
            Ok(Answer { result, files }) => self.send(&Event::Done { result }, &files),
            Err(why) if why.code() == LOST => crash(&lost(&why)),
            Err(why) => self.send(&failed(&why), &[]),
        }
    }
}

/// What core says of a device that gives no numbers any more. Nothing on it can be used again.
pub const LOST: &str = "device.unreadable";

fn lost(message: &Told) -> Told {
    let why = message.lines().next().unwrap_or(message);
    told!(
        "device.lost",
        "the graphics device is lost, by a crash of its driver or for want of memory ({why}). Restart the engine; a saved \
         run goes on from its last save. If it happens again, take a smaller batch size or shorter rows",
        why
    )
}

/// Tells the page that this worker is of no more use.
pub fn crash(why: &Told) {
    let Ok(scope) = js_sys::global().dyn_into::<DedicatedWorkerGlobalScope>() else { return };
    let message = Object::new();
    set(&message, "crash", &why.text().into());
    let told = serde_json::to_string(why).unwrap_or_default();
    set(&message, "text", &told.into());
    // A message of plain values cannot fail to be copied.
    let _ = scope.post_message(&message);
}

fn set(object: &Object, key: &str, value: &JsValue) {
    // Setting a property of a plain object cannot fail.
    let _ = Reflect::set(object, &key.into(), value);
}
