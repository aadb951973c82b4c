//! A small builder of elements: `el("button").class("quiet").say(&speech, |t| t.chat.send).on("click", …)`.

use std::ops::Deref;

use gloo::events::{EventListener, EventListenerOptions};
use gloo::file::ObjectUrl;
use gloo::timers::callback::Timeout;
use js_sys::{Array, Object};
use wasm_bindgen::prelude::{JsCast, JsValue, wasm_bindgen};
use web_sys::{Event, HtmlElement, HtmlInputElement, Window};

use super::speech::{Slot, Speech};
use crate::language::Sentence;

#[wasm_bindgen]
extern "C" {
    // Bound here because web-sys wraps it in a `Result`; a fixed, valid tag name cannot fail.
    #[wasm_bindgen(js_namespace = document, js_name = createElement)]
    fn create_element(tag: &str) -> HtmlElement;
    #[wasm_bindgen(js_namespace = document, js_name = createElementNS)]
    fn create_element_in(namespace: &str, tag: &str) -> HtmlElement;
    #[wasm_bindgen(thread_local_v2, js_name = window)]
    static WINDOW: Window;
}

const SVG: &str = "http://www.w3.org/2000/svg";

/// An element under construction or on the page; clones are the same element.
#[derive(Clone)]
pub struct El(HtmlElement);

impl Deref for El {
    type Target = HtmlElement;

    fn deref(&self) -> &HtmlElement {
        &self.0
    }
}

impl From<HtmlElement> for El {
    fn from(element: HtmlElement) -> Self {
        Self(element)
    }
}

/// The page's window.
pub fn window() -> Window {
    WINDOW.with(Window::clone)
}

/// A new HTML element.
pub fn el(tag: &str) -> El {
    El(create_element(tag))
}

/// A new element of a drawing.
pub fn svg(tag: &str) -> El {
    El(create_element_in(SVG, tag))
}

/// An element of `index.html`; a fresh one, seen by nobody, where it is missing.
pub fn find(id: &str) -> El {
    let found = window().document().and_then(|document| document.get_element_by_id(id));
    found.map_or_else(|| el("div"), |element| El(element.unchecked_into()))
}

/// What the keyboard is at.
pub fn focused() -> Option<El> {
    let at = window().document().and_then(|document| document.active_element());
    at.and_then(|element| element.dyn_into::<HtmlElement>().ok()).map(El)
}

/// A push button: `type="button"`, so that Enter in a field does not press it.
pub fn button() -> El {
    el("button").attr("type", "button")
}

/// A label around a sentence and its field.
pub fn field(speech: &Speech, sentence: Sentence, input: &El) -> El {
    el("label").class("field").child(&el("span").say(speech, sentence)).child(input)
}

/// A checkbox or radio button with its sentence after it.
pub fn choice(speech: &Speech, sentence: Sentence, input: &El) -> El {
    el("label").class("choice").child(input).child(&el("span").say(speech, sentence))
}

impl El {
    /// Adds CSS classes, separated by spaces.
    pub fn class(self, names: &str) -> Self {
        for name in names.split(' ') {
            let _ = self.0.class_list().add_1(name);
        }
        self
    }

    /// Its name for labels, and the same for tests.
    pub fn id(self, id: &str) -> Self {
        self.0.set_id(id);
        self.test(id)
    }

    /// Its name for tests, where several elements share one.
    pub fn test(self, id: &str) -> Self {
        self.attr("data-testid", id)
    }

    /// Sets an attribute.
    pub fn attr(self, name: &str, value: &str) -> Self {
        self.set(name, value);
        self
    }

    /// Replaces its content by text.
    pub fn text(self, text: &str) -> Self {
        self.write(text);
        self
    }

    /// Its content is this sentence, in the language of the page.
    pub fn say(self, speech: &Speech, sentence: Sentence) -> Self {
        speech.add(&self, Slot::Content, sentence);
        self
    }

    /// An attribute is this sentence, in the language of the page.
    pub fn say_in(self, attribute: &'static str, speech: &Speech, sentence: Sentence) -> Self {
        speech.add(&self, Slot::Attribute(attribute), sentence);
        self
    }

    /// Adds an element after the others.
    pub fn child(self, child: &El) -> Self {
        self.add(child);
        self
    }

    /// Shows it or not, from the start.
    pub fn shown(self, shown: bool) -> Self {
        self.show(shown);
        self
    }

    /// Calls back on an event; the browser drops the listener with the element.
    pub fn on(self, event: &str, call: impl FnMut(Event) + 'static) -> Self {
        listen(&self.0, event, call);
        self
    }

    /// Sets an attribute of an element that stands.
    pub fn set(&self, name: &str, value: &str) {
        let _ = self.0.set_attribute(name, value);
    }

    /// Replaces its content by text; never HTML, for a model writes some of it.
    pub fn write(&self, text: &str) {
        self.0.set_text_content(Some(text));
    }

    /// Adds an element after the others.
    pub fn add(&self, child: &El) {
        let _ = self.0.append_child(child);
    }

    /// Removes what is inside.
    pub fn clear(&self) {
        self.0.set_text_content(None);
    }

    /// Shows or hides it.
    pub fn show(&self, shown: bool) {
        self.0.set_hidden(!shown);
    }

    /// Shows or hides it; where it is hidden with the keyboard inside, that goes on from `next`.
    pub fn show_or_leave(&self, shown: bool, next: &El) {
        if !shown && self.holds_focus() {
            next.focus_quietly();
        }
        self.show(shown);
    }

    /// Draws what is inside anew. The keyboard, where it was inside, goes on from what then has the same name for tests
    /// beside the same `data-name`, or else in the same place among those of that name, in the last one, or from this element
    /// itself.
    pub fn redraw(&self, draw: impl FnOnce()) {
        let held = focused().filter(|at| self.0.contains(Some(at)));
        let name = held.as_ref().and_then(|at| at.get_attribute("data-testid")).unwrap_or_default();
        let of = held.as_ref().and_then(El::owner);
        let place =
            held.as_ref().and_then(|at| self.named(&name).iter().position(|other| Object::is(other, at)));
        draw();
        if held.is_none() {
            return;
        }
        let named = self.named(&name);
        let own = of.and_then(|of| named.iter().find(|next| next.owner().as_ref() == Some(&of)));
        let next = || place.and_then(|place| named.get(place).or(named.last()));
        if let Some(next) = own.or_else(next) {
            next.focus_quietly();
        }
        if !self.holds_focus() {
            self.set_tab_index(-1);
            self.focus_quietly();
        }
    }

    /// The `data-name` that it stands in: of an entry of a list, say.
    fn owner(&self) -> Option<String> {
        self.closest("[data-name]").ok().flatten()?.get_attribute("data-name")
    }

    /// What inside has this name for tests, in the order of the page.
    fn named(&self, name: &str) -> Vec<Self> {
        let Ok(found) = self.0.query_selector_all(&format!("[data-testid=\"{name}\"]")) else {
            return Vec::new();
        };
        let all = (0..found.length()).filter_map(|i| found.item(i));
        all.filter_map(|node| node.dyn_into::<HtmlElement>().ok()).map(Self).collect()
    }

    /// Goes to it with the keyboard, out of every fold around it.
    pub fn go_to(&self) {
        while let Ok(Some(fold)) = self.0.closest("details:not([open])") {
            if fold.set_attribute("open", "").is_err() {
                break;
            }
        }
        let _ = self.0.focus();
    }

    /// Moves the keyboard to a child by its place, where there is one.
    pub fn enter_child(&self, place: usize) {
        let child = self.0.child_nodes().item(place as u32);
        if let Some(child) = child.and_then(|node| node.dyn_into::<HtmlElement>().ok()) {
            Self(child).focus_quietly();
        }
    }

    /// Lets a person use it, or not.
    pub fn enable(&self, enabled: bool) {
        self.input().set_disabled(!enabled);
    }

    /// What stands in a field: an `input`, `textarea` or `select`.
    pub fn value(&self) -> String {
        self.input().value()
    }

    /// Puts text into a field.
    pub fn set_value(&self, value: &str) {
        self.input().set_value(value);
    }

    /// Whether a checkbox or radio button is on.
    pub fn checked(&self) -> bool {
        self.input().checked()
    }

    /// Switches a checkbox or radio button.
    pub fn set_checked(&self, checked: bool) {
        self.input().set_checked(checked);
    }

    /// Whether the keyboard is at something inside.
    pub fn holds_focus(&self) -> bool {
        let at = window().document().and_then(|document| document.active_element());
        at.is_some_and(|element| self.0.contains(Some(&element)))
    }

    /// Moves the keyboard here without scrolling.
    pub fn focus_quietly(&self) {
        let options = web_sys::FocusOptions::new();
        options.set_prevent_scroll(true);
        let _ = self.0.focus_with_options(&options);
    }

    /// Goes to a text field and marks the characters between two places, counted in UTF-16 as the browser does.
    pub fn mark_text(&self, start: u32, end: u32) {
        self.focus_quietly();
        let _ = self.input().set_selection_range(start, end);
    }

    /// The files picked in a file field; the field is empty afterwards, so that the same can be picked again.
    pub fn take_files(&self) -> Vec<web_sys::File> {
        let files = self.input().files().map(|list| files_of(&list)).unwrap_or_default();
        self.set_value("");
        files
    }

    // The properties used here are the same on `textarea` and `select`.
    fn input(&self) -> &HtmlInputElement {
        self.0.unchecked_ref()
    }
}

/// The files of a list.
pub fn files_of(list: &web_sys::FileList) -> Vec<web_sys::File> {
    (0..list.length()).filter_map(|i| list.get(i)).collect()
}

/// Calls back on an event of any target.
pub fn listen(target: &web_sys::EventTarget, event: &str, mut call: impl FnMut(Event) + 'static) {
    // A dropped file and a key may be taken from the browser.
    let options = EventListenerOptions::enable_prevent_default();
    let call = move |event: &Event| call(event.clone());
    EventListener::new_with_options(target, event.to_string(), options, call).forget();
}

/// A file of bytes offered as a download.
pub fn download(name: &str, bytes: &JsValue) -> Result<(), JsValue> {
    let blob = web_sys::Blob::new_with_u8_array_sequence(&Array::of1(bytes))?;
    let url = ObjectUrl::from(blob);
    el("a").attr("href", &url).attr("download", name).click();
    // The browser reads the address after this turn; ten seconds are ample.
    Timeout::new(10_000, move || drop(url)).forget();
    Ok(())
}
