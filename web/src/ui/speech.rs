//! Which element says which sentence, so that the language can change while everything else stays.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use super::dom::{self, El};
use super::storage;
use crate::language::{Language, Sentence, Text};

const KEY: &str = "kindling-language";

/// Where in an element a sentence stands.
#[derive(Clone, Copy)]
pub enum Slot {
    /// Its text.
    Content,
    /// One of its attributes.
    Attribute(&'static str),
}

/// The page's language and the elements that speak it; clones are the same.
#[derive(Clone)]
pub struct Speech(Rc<Inner>);

struct Inner {
    language: Cell<Language>,
    said: RefCell<Vec<(El, Slot, Sentence)>>,
    followed: RefCell<Vec<Box<dyn Fn()>>>,
}

impl Speech {
    /// In the language chosen last time, else in the browser's.
    pub fn new() -> Self {
        let tag = storage::kept(KEY).or_else(|| dom::window().navigator().language());
        let language = Language::from_tag(&tag.unwrap_or_default());
        let (language, said, followed) = (Cell::new(language), RefCell::default(), RefCell::default());
        Self(Rc::new(Inner { language, said, followed }))
    }

    /// The language of now.
    pub fn language(&self) -> Language {
        self.0.language.get()
    }

    /// All sentences in the language of now.
    pub fn text(&self) -> &'static Text {
        self.language().text()
    }

    /// Lets an element that stays on the page say a sentence; elements that come and go say theirs by `text`.
    pub fn add(&self, element: &El, slot: Slot, sentence: Sentence) {
        write(element, slot, sentence(self.text()));
        self.0.said.borrow_mut().push((element.clone(), slot, sentence));
    }

    /// Calls back whenever the language changed; for what stays on the page and says more than one sentence.
    pub fn follow(&self, call: impl Fn() + 'static) {
        self.0.followed.borrow_mut().push(Box::new(call));
    }

    /// Changes to the other language and keeps the choice.
    pub fn switch(&self) {
        self.0.language.set(self.language().other());
        storage::keep(KEY, self.language().tag());
        self.mark();
        for (element, slot, sentence) in self.0.said.borrow().iter() {
            write(element, *slot, sentence(self.text()));
        }
        self.0.followed.borrow().iter().for_each(|call| call());
    }

    /// Tells the document its language, by which browsers choose fonts and voices.
    pub fn mark(&self) {
        if let Some(root) = dom::window().document().and_then(|document| document.document_element()) {
            let _ = root.set_attribute("lang", self.language().tag());
        }
    }
}

impl Default for Speech {
    fn default() -> Self {
        Self::new()
    }
}

fn write(element: &El, slot: Slot, sentence: &str) {
    match slot {
        Slot::Content => element.write(sentence),
        Slot::Attribute(name) => element.set(name, sentence),
    }
}
