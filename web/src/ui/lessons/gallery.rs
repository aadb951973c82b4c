//! The lessons that come with the page, and the place where a file of another is opened.

use std::rc::Rc;

use js_sys::Uint8Array;
use wasm_bindgen_futures::JsFuture;
use web_sys::{AbortController, File};

use super::Lessons;
use crate::format::fill;
use crate::lesson::{GALLERY, MOST_BYTES, Problem};
use crate::ui::dom::{El, button, el};
use crate::ui::drop;
use crate::ui::engine::{Answer, sentence};

/// Builds them into their place.
pub fn build(lessons: &Rc<Lessons>, place: &El) {
    let speech = &lessons.app.speech;
    let gallery = el("div").class("gallery");
    for shown in &GALLERY {
        let opened = Rc::clone(lessons);
        let title = el("strong").say(speech, shown.title);
        let card = button().class("lesson").test("lesson").attr("data-name", shown.name).child(&title);
        let card = card.child(&el("span").class("faint").say(speech, shown.about));
        gallery.add(&card.on("click", move |_| {
            let lessons = Rc::clone(&opened);
            opened.app.spawn(async move {
                let abort = AbortController::new().map_err(sentence)?;
                let address = format!("lessons/{}.json", shown.name);
                lessons.fetch_and_open(&address, false, &abort.signal()).await
            });
        }));
    }
    place.add(&gallery);
    let dropped = Rc::clone(lessons);
    let zone = drop::zone(
        speech,
        "lesson-file",
        |t| t.lessons.drop,
        move |files| {
            let lessons = Rc::clone(&dropped);
            dropped.app.spawn(async move { open(&lessons, &files).await });
        },
    );
    let file = el("details").class("settings").child(&el("summary").say(speech, |t| t.lessons.open_file));
    place.add(&file.child(&zone));
}

async fn open(lessons: &Rc<Lessons>, files: &[File]) -> Answer<()> {
    let text = lessons.app.speech.text();
    let file = match files {
        [] => return Ok(()),
        [file] => file,
        many => return Err(fill(text.lessons.one_file, &[&many.len().to_string()])),
    };
    // What is far too large is not even read.
    if file.size() > MOST_BYTES as f64 {
        return Err(Problem::TooLarge { bytes: file.size() as usize }.sentence(text));
    }
    let buffer = JsFuture::from(file.array_buffer()).await.map_err(sentence)?;
    lessons.open(&Uint8Array::new(&buffer).to_vec(), "")
}
