//! What the parts of the page share: language, message line, the open model, and who wants to know of
//! changes.

use std::cell::RefCell;
use std::future::Future;
use std::rc::Rc;

use serde_json::Value;
use wasm_bindgen::prelude::JsValue;

use super::dom::{El, button, el};
use super::engine::{self, Answer};
use super::speech::Speech;
use super::types::ModelInfo;
use crate::language::Sentence;

/// How long a first press of a deleting button waits for the second.
const SURE_MS: i32 = 4000;

/// Somebody who wants to know that something changed.
type Watcher = Rc<dyn Fn()>;
/// How a tab is shown, by its name.
type ShowTab = Rc<dyn Fn(&str)>;

/// Something that several parts of the page show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Topic {
    /// The page's language.
    Language,
    /// The open model.
    Model,
    /// The adapters beside it.
    Adapters,
    /// The saved runs.
    Runs,
    /// The models kept in this browser.
    Kept,
}

/// What the parts of the page share.
pub struct App {
    /// The page's language.
    pub speech: Speech,
    message: El,
    message_text: El,
    model: RefCell<Option<ModelInfo>>,
    source: RefCell<Option<JsValue>>,
    watchers: RefCell<Vec<(Topic, Watcher)>>,
    show_tab: RefCell<ShowTab>,
}

impl App {
    /// Builds the message line into its place.
    pub fn new(place: &El) -> Rc<Self> {
        let speech = Speech::new();
        let message_text = el("span").id("message").attr("role", "alert");
        let message = el("div").class("message").child(&message_text).shown(false);
        let hidden = message.clone();
        let close = button().class("quiet").text("✕").say_in("aria-label", &speech, |t| t.page.close);
        message.add(&close.on("click", move |_| hidden.show(false)));
        place.add(&message);
        Rc::new(Self {
            speech,
            message,
            message_text,
            model: RefCell::default(),
            source: RefCell::default(),
            watchers: RefCell::default(),
            show_tab: RefCell::new(Rc::new(|_| ())),
        })
    }

    /// Shows what went wrong.
    pub fn fail(&self, sentence: &str) {
        self.show_message(sentence, "bad");
    }

    /// Shows what went well.
    pub fn tell(&self, sentence: &str) {
        self.show_message(sentence, "good");
    }

    fn show_message(&self, sentence: &str, kind: &str) {
        self.message.set("data-kind", kind);
        self.message_text.write(sentence);
        self.message.show(true);
    }

    /// Does something that takes time, and shows why it failed where it does.
    pub fn spawn(self: &Rc<Self>, task: impl Future<Output = Answer<()>> + 'static) {
        let app = Rc::clone(self);
        wasm_bindgen_futures::spawn_local(async move {
            if let Err(sentence) = task.await {
                app.fail(&sentence);
            }
        });
    }

    /// Takes something home, such as `{"adapter": "lora"}`; what consists of several files goes as a `zip`.
    pub fn export(self: &Rc<Self>, what: Value, zip: bool) {
        self.spawn(async move { engine::export(&what, zip).await });
    }

    /// Calls back whenever this changed.
    pub fn watch(&self, topic: Topic, call: impl Fn() + 'static) {
        self.watchers.borrow_mut().push((topic, Rc::new(call)));
    }

    /// Tells all who watch.
    pub fn changed(&self, topic: Topic) {
        // A copy, because a watcher may watch something more.
        let calls: Vec<_> =
            self.watchers.borrow().iter().filter(|w| w.0 == topic).map(|w| Rc::clone(&w.1)).collect();
        calls.iter().for_each(|call| call());
    }

    /// The open model.
    pub fn model(&self) -> Option<ModelInfo> {
        self.model.borrow().clone()
    }

    /// Another model is open, or none; `source` opens it once more after a crash.
    pub fn set_model(&self, model: Option<ModelInfo>, source: Option<JsValue>) {
        self.model.replace(model);
        self.source.replace(source);
        self.changed(Topic::Model);
        self.changed(Topic::Adapters);
    }

    /// Where the open model came from, where the page knows.
    pub fn source(&self) -> Option<JsValue> {
        self.source.borrow().clone()
    }

    /// How tabs are shown; the tabs say so when they stand.
    pub fn set_show_tab(&self, show: impl Fn(&str) + 'static) {
        self.show_tab.replace(Rc::new(show));
    }

    /// Goes to a tab.
    pub fn show_tab(&self, name: &str) {
        let show = Rc::clone(&self.show_tab.borrow());
        show(name);
    }

    /// A button that deletes on its second press, because what it deletes took time to make.
    pub fn deleting(self: &Rc<Self>, sentence: Sentence, call: impl Fn() + 'static) -> El {
        let armed = Rc::new(std::cell::Cell::new(false));
        let app = Rc::clone(self);
        let pressed = button().class("quiet danger").text(sentence(self.speech.text()));
        let shown = pressed.clone();
        pressed.on("click", move |_| {
            if armed.replace(!armed.get()) {
                call();
                return;
            }
            shown.write(app.speech.text().page.sure);
            let (armed, shown, app) = (Rc::clone(&armed), shown.clone(), Rc::clone(&app));
            super::dom::after(SURE_MS, move || {
                armed.set(false);
                shown.write(sentence(app.speech.text()));
            });
        })
    }
}
