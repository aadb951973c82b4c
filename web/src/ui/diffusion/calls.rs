//! What is asked of the engine for diffusion models.

use std::cell::RefCell;
use std::rc::Rc;

use serde_json::Value;
use wasm_bindgen::prelude::JsValue;
use web_sys::AbortSignal;

use crate::messages::diffusion::{Converted, Infilled, UnmaskStep};
use crate::messages::model::ModelInfo;
use crate::ui::engine::{self, Answer};

/// What is told while holes are filled.
pub enum Heard {
    /// Before the first step, by place the text of each token; none where one is missing.
    Given(Vec<Option<String>>),
    /// What a step filled.
    Step(UnmaskStep),
}

/// Whether a model fills holes: it must see what stands behind one.
pub fn fills_holes(model: &ModelInfo) -> bool {
    model.diffusion.as_ref().is_some_and(|diffusion| diffusion.block_length.is_none())
}

/// Fills the holes of a text; `request` is one without signal and listeners.
pub async fn infill(
    request: &Value,
    signal: &AbortSignal,
    hear: impl FnMut(Heard) + 'static,
) -> Answer<Infilled> {
    let request = engine::write(request);
    engine::set(&request, "signal", signal);
    // Both listeners tell the same one.
    let hear = Rc::new(RefCell::new(hear));
    let (first, steps) = (Rc::clone(&hear), hear);
    // What does not read is not this page's matter: the answer comes all the same.
    let given =
        move |value: JsValue| drop(engine::read(&value).map(|given| tell(&first, Heard::Given(given))));
    let step = move |value: JsValue| drop(engine::read(&value).map(|step| tell(&steps, Heard::Step(step))));
    engine::set(&request, "onCanvas", &engine::callback(given));
    engine::set(&request, "onUnmask", &engine::callback(step));
    engine::ask("", "infill", &[&request]).await
}

fn tell(hear: &RefCell<impl FnMut(Heard)>, heard: Heard) {
    (*hear.borrow_mut())(heard);
}

/// Makes a diffusion model of the open model, which is kept under a name of its own.
pub async fn convert(options: &Value) -> Answer<Converted> {
    engine::ask("models", "convert", &[&engine::write(options)]).await
}
