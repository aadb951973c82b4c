//! Keeps the screen awake while a run goes on; a device that sleeps does not train.

use js_sys::{Function, Promise};
use wasm_bindgen::prelude::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;

use super::dom::window;
use super::engine::get;

/// A screen that stays on until it is released; the browser may refuse, and the run goes on regardless.
#[derive(Default)]
pub struct Wake(Option<JsValue>);

impl Wake {
    /// Asks for it.
    pub async fn take() -> Self {
        let lock = get(&window().navigator(), "wakeLock");
        let promise =
            method(&lock, "request").and_then(|request| request.call1(&lock, &"screen".into()).ok());
        match promise {
            Some(promise) => Self(JsFuture::from(Promise::resolve(&promise)).await.ok()),
            None => Self(None),
        }
    }

    /// Lets the screen sleep again.
    pub fn release(self) {
        if let Some(lock) = self.0
            && let Some(release) = method(&lock, "release")
        {
            let _ = release.call0(&lock);
        }
    }
}

fn method(object: &JsValue, name: &str) -> Option<Function> {
    get(object, name).dyn_into().ok()
}
