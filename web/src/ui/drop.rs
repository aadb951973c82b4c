//! A place to drop files on, which is also a button that picks them.

use std::rc::Rc;

use wasm_bindgen::JsCast;
use web_sys::{DragEvent, Event, File};

use super::dom::{El, el, files_of};
use super::speech::Speech;
use crate::language::Sentence;

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
        dropped(files_in(&event));
    })
}

fn mark(zone: &El, over: bool) {
    let _ = zone.class_list().toggle_with_force("over", over);
}

fn files_in(event: &Event) -> Vec<File> {
    let carried = event.unchecked_ref::<DragEvent>().data_transfer();
    carried.and_then(|carried| carried.files()).map(|list| files_of(&list)).unwrap_or_default()
}
