//! The link that a teacher gives to students: the address of this page, and those of what it opens.

use std::rc::Rc;

use js_sys::{Function, Promise};
use wasm_bindgen::JsCast;
use wasm_bindgen::prelude::JsValue;
use wasm_bindgen_futures::JsFuture;
use web_sys::HtmlInputElement;

use crate::ui::app::App;
use crate::ui::dom::{El, button, el, field, window};
use crate::ui::engine::get;
use crate::ui::fetch::resolve;

/// The fields of addresses and the link that comes of them.
pub struct Link {
    /// All of it.
    pub place: El,
    /// The address of the lesson.
    pub lesson: El,
    app: Rc<App>,
    model: El,
    adapter: El,
    link: El,
    wrong: El,
}

impl Link {
    /// Builds them.
    pub fn build(app: &Rc<App>) -> Rc<Self> {
        let speech = &app.speech;
        let input = |name: &str| el("input").id(&format!("lesson-link{name}")).attr("type", "text");
        let link = Rc::new(Self {
            place: el("div").class("stack"),
            lesson: input("-lesson").attr("placeholder", "https://…/lesson.json"),
            app: Rc::clone(app),
            model: input("-model").attr("placeholder", "https://…/model.safetensors"),
            adapter: input("-adapter").attr("placeholder", "https://…/adapter.zip"),
            link: input("").attr("readonly", ""),
            wrong: el("p").class("bad").attr("aria-live", "polite"),
        });
        let fields = el("div").class("fields").child(&field(speech, |t| t.lessons.link_lesson, &link.lesson));
        let fields = fields.child(&field(speech, |t| t.lessons.link_model, &link.model));
        let fields = fields.child(&field(speech, |t| t.lessons.link_adapter, &link.adapter));
        let (changed, copied) = (Rc::clone(&link), Rc::clone(&link));
        let copy = button().id("lesson-link-copy").say(speech, |t| t.lessons.copy);
        let copy = copy.on("click", move |_| copied.copy());
        link.place.add(&el("p").class("faint").say(speech, |t| t.lessons.link_hint));
        link.place.add(&fields.on("input", move |_| changed.show()));
        link.place.add(&link.wrong);
        let line = el("div").class("line").child(&field(speech, |t| t.lessons.link, &link.link));
        link.place.add(&line.child(&copy));
        link
    }

    /// Shows the link of the addresses that stand there, or which of them is none.
    pub fn show(&self) {
        let mut parts = Vec::new();
        self.wrong.clear();
        for (key, input) in [("model", &self.model), ("adapter", &self.adapter), ("lesson", &self.lesson)] {
            let address = input.value();
            if address.trim().is_empty() {
                continue;
            }
            if let Err(sentence) = resolve(&address, self.app.speech.text()) {
                self.wrong.write(&sentence);
                self.link.set_value("");
                return;
            }
            let written = String::from(js_sys::encode_uri_component(address.trim()));
            // Slashes and colons may stand as they are, and the link is read by people.
            parts.push(format!("{key}={}", written.replace("%2F", "/").replace("%3A", ":")));
        }
        let location = window().location();
        let page = [location.origin(), location.pathname()].map(Result::unwrap_or_default).concat();
        let link = if parts.is_empty() { String::new() } else { format!("{page}?{}", parts.join("&")) };
        self.link.set_value(&link);
    }

    /// Puts the link where it can be pasted from; where the browser forbids that, it is selected.
    fn copy(self: &Rc<Self>) {
        let (link, t) = (Rc::clone(self), &self.app.speech.text().lessons);
        if self.link.value().is_empty() {
            let _ = self.lesson.focus();
            return;
        }
        let written = write_text(&self.link.value());
        self.app.spawn(async move {
            let done = match written {
                Some(promise) => JsFuture::from(promise).await.is_ok(),
                None => false,
            };
            if done {
                link.app.tell(t.copied);
            } else {
                link.link.unchecked_ref::<HtmlInputElement>().select();
                link.app.tell(t.copy_by_hand);
            }
            Ok(())
        });
    }
}

/// Begins to write into the clipboard; none where the page has none, as without https.
fn write_text(text: &str) -> Option<Promise> {
    let clipboard = get(&window().navigator(), "clipboard");
    let write: Function = get(&clipboard, "writeText").dyn_into().ok()?;
    let promise = write.call1(&clipboard, &JsValue::from(text)).ok()?;
    promise.dyn_into().ok()
}
