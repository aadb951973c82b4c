//! A place to drop files and folders on, which is also a button that picks them.

use std::rc::Rc;

use js_sys::{Array, Promise};
use wasm_bindgen::JsCast;
use wasm_bindgen::prelude::wasm_bindgen;
use wasm_bindgen_futures::{JsFuture, spawn_local};
use web_sys::{Event, File};

use super::dom::{El, el};
use super::speech::Speech;
use crate::language::Sentence;

#[wasm_bindgen(module = "/js/drop.js")]
extern "C" {
    // Not `async` here, where it would begin only after the event, when nothing is left to read.
    #[wasm_bindgen(js_name = droppedFiles)]
    fn dropped_files(event: &Event) -> Promise;
}

/// Builds it around a file field of this id; `call` gets the files however they came.
pub fn zone(speech: &Speech, id: &str, sentence: Sentence, call: impl Fn(Vec<File>) + 'static) -> El {
    let call = Rc::new(call);
    let (picked, dropped) = (Rc::clone(&call), call);
    // No `accept`: phones know no type for .safetensors and .jsonl and would not let them be picked.
    let input = el("input").id(id).class("unseen").attr("type", "file").attr("multiple", "");
    let taken = input.clone();
    let input = input.on("change", move |_| picked(taken.take_files()));
    let zone = el("label").class("drop").child(&el("span").say(speech, sentence)).child(&input);
    let [over, left, done] = [zone.clone(), zone.clone(), zone.clone()];
    zone.on("dragover", move |event| {
        event.prevent_default();
        mark(&over, true);
    })
    .on("dragleave", move |_| mark(&left, false))
    .on("drop", move |event| {
        event.prevent_default();
        mark(&done, false);
        let files = JsFuture::from(dropped_files(&event));
        let dropped = Rc::clone(&dropped);
        spawn_local(async move {
            // What cannot be read, such as a folder of another user, is as if it had not been dropped.
            if let Ok(files) = files.await {
                let files: Array = files.unchecked_into();
                dropped(files.iter().map(JsCast::unchecked_into).collect());
            }
        });
    })
}

fn mark(zone: &El, over: bool) {
    let _ = zone.class_list().toggle_with_force("over", over);
}
