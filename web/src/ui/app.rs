//! What the parts of the page share: language, message line, the open model, and who wants to know of
//! changes.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::future::Future;
use std::rc::Rc;

use gloo::timers::callback::Timeout;
use serde_json::{Value, json};
use wasm_bindgen::prelude::JsValue;

use super::channel::Channel;
use super::dom::{self, El, button, el};
use super::engine::{self, Answer};
use super::reopen;
use super::served::Remote;
use super::slot::Slot;
use super::speech::Speech;
use crate::language::Sentence;
use crate::messages::model::ModelInfo;

/// How long a first press of a deleting button waits for the second.
const SURE_MS: u32 = 4000;

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
    /// Which model of the server answers, or that in the tab.
    Remote,
    /// The adapters beside it.
    Adapters,
    /// The saved runs.
    Runs,
    /// The models kept in this browser.
    Kept,
    /// The conversations of other tabs.
    Conversations,
    /// The questions of the lesson.
    Questions,
}

/// What would be lost with the tab.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Unsaved {
    /// Steps of a run since its last save.
    Steps,
    /// What a run gave, where the browser had no room for it.
    Result,
    /// The conversation, likewise.
    Conversation,
    /// The lesson, likewise.
    Lesson,
}

/// What the parts of the page share.
pub struct App {
    /// The page's language.
    pub speech: Speech,
    /// Which conversation and lesson are this tab's.
    pub slot: Slot,
    message: El,
    message_text: El,
    /// Where the keyboard was when the message came.
    before: Rc<RefCell<Option<El>>>,
    model: RefCell<Option<ModelInfo>>,
    remote: RefCell<Option<Remote>>,
    source: RefCell<Option<JsValue>>,
    /// Whether the model that the page comes with was told of, or that there is none.
    begun: Cell<bool>,
    watchers: RefCell<Vec<(Topic, Watcher)>>,
    channel: Channel,
    show_tab: RefCell<ShowTab>,
    questions: RefCell<Vec<String>>,
    training: Cell<bool>,
    unsaved: RefCell<BTreeSet<Unsaved>>,
}

impl App {
    /// Builds the message line into its place.
    pub fn new(place: &El, slot: Slot) -> Rc<Self> {
        let speech = Speech::new();
        let message_text = el("span").id("message").attr("role", "alert");
        let message = el("div").class("message").child(&message_text).shown(false);
        let before: Rc<RefCell<Option<El>>> = Rc::default();
        let (hidden, left) = (message.clone(), Rc::clone(&before));
        let close = button().class("quiet close").text("✕").say_in("aria-label", &speech, |t| t.page.close);
        message.add(&close.on("click", move |_| {
            let left = left.take();
            if let Some(left) = left {
                left.focus_quietly();
            }
            // What is gone or hidden by now takes no keyboard.
            hidden.show_or_leave(false, &dom::find("main"));
        }));
        place.add(&message);
        let app = Rc::new(Self {
            speech,
            slot,
            message,
            message_text,
            before,
            model: RefCell::default(),
            remote: RefCell::default(),
            source: RefCell::default(),
            begun: Cell::default(),
            watchers: RefCell::default(),
            channel: Channel::open(),
            show_tab: RefCell::new(Rc::new(|_| ())),
            questions: RefCell::default(),
            training: Cell::default(),
            unsaved: RefCell::default(),
        });
        let heard = Rc::clone(&app);
        app.channel.listen(move |topic| heard.show_again(topic));
        app
    }

    /// Shows what went wrong.
    pub fn fail(&self, sentence: &str) {
        self.show_message(sentence, "bad");
    }

    /// Shows what went well.
    pub fn tell(&self, sentence: &str) {
        self.show_message(sentence, "good");
    }

    /// Tells something that followed from what the message says, which stays there: a model's remark, for one.
    pub fn tell_also(&self, sentence: &str) {
        if self.message.hidden() {
            return self.tell(sentence);
        }
        let before = self.message_text.text_content().unwrap_or_default();
        self.message_text.write(&format!("{before}\n{sentence}"));
    }

    fn show_message(&self, sentence: &str, kind: &str) {
        if !self.message.holds_focus() {
            self.before.replace(dom::focused());
        }
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
        self.export_as(what, if zip { json!({ "as": "zip" }) } else { json!({}) });
    }

    /// The same by options of the engine; what a person should know of it is told.
    pub fn export_as(self: &Rc<Self>, what: Value, options: Value) {
        let app = Rc::clone(self);
        self.spawn(async move {
            let warnings = engine::export(&what, &options).await?;
            if !warnings.is_empty() {
                app.fail(&warnings.join(" "));
            }
            Ok(())
        });
    }

    /// Calls back whenever this changed.
    pub fn watch(&self, topic: Topic, call: impl Fn() + 'static) {
        self.watchers.borrow_mut().push((topic, Rc::new(call)));
    }

    /// Tells all who watch, in other tabs too where these show it.
    pub fn changed(&self, topic: Topic) {
        self.show_again(topic);
        self.tell_others(topic);
    }

    /// Tells the other tabs alone.
    pub fn tell_others(&self, topic: Topic) {
        self.channel.tell(topic);
    }

    /// Tells all of this tab who watch.
    pub fn show_again(&self, topic: Topic) {
        // A copy, because a watcher may watch something more.
        let calls: Vec<_> =
            self.watchers.borrow().iter().filter(|w| w.0 == topic).map(|w| Rc::clone(&w.1)).collect();
        calls.iter().for_each(|call| call());
    }

    /// The open model.
    pub fn model(&self) -> Option<ModelInfo> {
        self.model.borrow().clone()
    }

    /// The model of the server that is talked with; none where that in the tab is.
    pub fn remote(&self) -> Option<Remote> {
        self.remote.borrow().clone()
    }

    /// Talks with a model of the server from now on, or again with the one in the tab.
    pub fn set_remote(&self, remote: Option<Remote>) {
        let was = self.remote.replace(remote);
        if was.is_some() || self.remote.borrow().is_some() {
            self.show_again(Topic::Remote);
        }
    }

    /// Whether anything answers.
    pub fn answers(&self) -> bool {
        self.model.borrow().is_some() || self.remote.borrow().is_some()
    }

    /// Another model is open, or none; `source` opens it once more after a crash.
    pub fn set_model(&self, model: Option<ModelInfo>, source: Option<JsValue>) {
        // What was open before a reload is not forgotten for what the page comes with.
        if let Some(model) = model.as_ref().filter(|_| self.begun.get()) {
            reopen::note(model, source.as_ref());
        }
        self.begun.set(true);
        self.model.replace(model);
        self.source.replace(source);
        self.changed(Topic::Model);
        // Which of them fit is this tab's own matter.
        self.show_again(Topic::Adapters);
    }

    /// The open model can be opened from here, too.
    pub fn set_source(&self, source: JsValue) {
        if let Some(model) = self.model.borrow().as_ref() {
            reopen::note(model, Some(&source));
        }
        self.source.replace(Some(source));
    }

    /// Where the open model came from, where the page knows.
    pub fn source(&self) -> Option<JsValue> {
        self.source.borrow().clone()
    }

    /// What the open lesson asks.
    pub fn questions(&self) -> Vec<String> {
        self.questions.borrow().clone()
    }

    /// The lesson asks something else, or nothing.
    pub fn set_questions(&self, questions: Vec<String>) {
        if self.questions.replace(questions.clone()) != questions {
            self.changed(Topic::Questions);
        }
    }

    /// Notes that something would be lost with the tab, or no longer.
    pub fn set_unsaved(&self, what: Unsaved, is: bool) {
        let mut unsaved = self.unsaved.borrow_mut();
        let changed = if is { unsaved.insert(what) } else { unsaved.remove(&what) };
        drop(unsaved);
        if changed && is && matches!(what, Unsaved::Conversation | Unsaved::Lesson) {
            self.fail(self.speech.text().page.no_room);
        }
    }

    /// Whether this would be lost with the tab.
    pub fn would_lose(&self, what: Unsaved) -> bool {
        self.unsaved.borrow().contains(&what)
    }

    /// Whether anything would be lost with the tab.
    pub fn is_unsaved(&self) -> bool {
        !self.unsaved.borrow().is_empty()
    }

    /// Notes whether a run goes on.
    pub fn set_training(&self, training: bool) {
        self.training.set(training);
    }

    /// Whether another model may take the place of the open one; during a run a person is asked.
    pub fn may_replace_model(&self) -> bool {
        let question = self.speech.text().page.leave_run;
        !self.training.get() || dom::window().confirm_with_message(question).unwrap_or(true)
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
            let calmed = move || {
                armed.set(false);
                shown.write(sentence(app.speech.text()));
            };
            Timeout::new(SURE_MS, calmed).forget();
        })
    }
}
