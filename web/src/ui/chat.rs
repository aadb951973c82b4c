//! The tab where a person talks with the model.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use web_sys::AbortController;

use super::answer::Shown;
use super::app::{App, Topic, Unsaved};
use super::chat_answer::{is_near_end, page_height};
use super::chat_panel::{self, Controls};
use super::dom::{self, El, el};
use super::engine::{self, Answer};
use super::history::{self, Kept, Turn};
use super::numbers::fault_in;
use super::turn;

/// The conversation and its controls.
pub struct Chat {
    /// What the page shares.
    pub app: Rc<App>,
    /// What a person types into and presses.
    pub controls: Controls,
    /// What was said.
    pub turns: RefCell<Vec<Turn>>,
    /// The answer being written; `None` while none is.
    answering: RefCell<Option<AbortController>>,
    /// Its place on the page.
    live: RefCell<Option<El>>,
    tint: Cell<bool>,
}

/// Builds the tab.
pub fn build(app: &Rc<App>, panel: &El) -> Rc<Chat> {
    let kept = Kept::load_or_begin(&app.slot.id());
    let controls = Controls::build(app, panel, &kept);
    let turns = Turn::all(&kept.messages);
    let chat = Rc::new(Chat {
        app: Rc::clone(app),
        controls,
        turns: RefCell::new(turns),
        answering: RefCell::default(),
        live: RefCell::default(),
        tint: Cell::default(),
    });
    chat_panel::wire(&chat, &chat.controls);
    let spoken = Rc::clone(&chat);
    app.watch(Topic::Language, move || spoken.redraw());
    for topic in [Topic::Model, Topic::Remote] {
        let shown = Rc::clone(&chat);
        app.watch(topic, move || {
            shown.show();
            shown.ask_defaults();
        });
    }
    chat.show();
    chat
}

impl Chat {
    /// Shows the engine's sampling settings where nothing was set; they are the same for every stage.
    fn ask_defaults(self: &Rc<Self>) {
        if self.app.remote().is_some() {
            // What the server takes it does not tell.
            return self.controls.numbers.suggest_nothing(&["seed"]);
        }
        let chat = Rc::clone(self);
        self.app.spawn(async move {
            // Without an answer the fields stay empty, which means the same.
            let defaults = engine::defaults("sft", false).await;
            // A model of the server may have been chosen meanwhile.
            if let Ok(defaults) = defaults
                && chat.app.remote().is_none()
            {
                chat.controls.suggest(defaults.sampling, &defaults.unmask);
            }
            Ok(())
        });
    }

    /// Whether tokens are shown with their probabilities.
    pub fn tinted(&self) -> bool {
        self.tint.get()
    }

    /// Shows tokens with their probabilities, or plain text.
    pub fn set_tint(self: &Rc<Self>, tint: bool) {
        self.tint.set(tint);
        self.show();
    }

    /// A message of the conversation.
    pub fn turn(&self, i: usize) -> Option<Turn> {
        self.turns.borrow().get(i).cloned()
    }

    /// Puts a question into the field, ready to be sent.
    pub fn propose(&self, question: &str) {
        if !question.is_empty() {
            // It is a question about what was learned in the tab.
            self.app.set_remote(None);
        }
        self.app.show_tab("chat");
        self.controls.input.set_value(question);
        let _ = self.controls.input.focus();
    }

    /// The same in a new conversation.
    pub fn propose_anew(self: &Rc<Self>, question: &str) {
        self.renew();
        self.propose(question);
    }

    /// Sends what stands in the field.
    pub fn send(self: &Rc<Self>) {
        let question = self.controls.input.value();
        if self.answering.borrow().is_none() && self.app.answers() && self.is_sound() {
            self.controls.input.set_value("");
            let end = self.turns.borrow().len();
            self.ask_from(end, &question);
        }
    }

    /// Whether all settings of answers hold; else the first that does not is gone to, and says why.
    fn is_sound(&self) -> bool {
        let fault = fault_in(&dom::find("panel-chat"), self.app.speech.text());
        if let Some((field, sentence)) = &fault {
            self.app.fail(sentence);
            field.go_to();
        }
        fault.is_none()
    }

    /// Asks a question in the place of message `i` and all that follow.
    pub fn ask_from(self: &Rc<Self>, i: usize, question: &str) {
        if question.trim().is_empty() || !self.is_sound() {
            return;
        }
        self.stop();
        self.turns.borrow_mut().truncate(i);
        self.turns.borrow_mut().push(Turn::new("user", question.trim()));
        self.answer();
    }

    /// Answers the last question once more.
    pub fn regenerate(self: &Rc<Self>) {
        if !self.is_sound() {
            return;
        }
        self.stop();
        let asked = self.turns.borrow().iter().rposition(Turn::asks);
        self.turns.borrow_mut().truncate(asked.map_or(0, |i| i + 1));
        if asked.is_some() {
            self.answer();
        }
    }

    /// Deletes a message; a question goes with its answer.
    pub fn delete(self: &Rc<Self>, i: usize) {
        self.stop();
        {
            let mut turns = self.turns.borrow_mut();
            let asks = turns.get(i).is_some_and(Turn::asks);
            let answered = asks && turns.get(i + 1).is_some_and(|turn| !turn.asks());
            let end = (i + 1 + usize::from(answered)).min(turns.len());
            turns.drain(i.min(end)..end);
        }
        self.store();
        self.show();
    }

    /// Deletes the conversation.
    pub fn clear(self: &Rc<Self>) {
        self.stop();
        self.turns.borrow_mut().clear();
        self.store();
        self.show();
    }

    /// Begins a new conversation; this one stays in the list of the others.
    pub fn renew(self: &Rc<Self>) {
        if self.turns.borrow().is_empty() {
            return;
        }
        self.leave();
        let chat = Rc::clone(self);
        self.app.spawn(async move {
            chat.app.slot.renew().await;
            chat.turns.borrow_mut().clear();
            chat.store();
            chat.show();
            Ok(())
        });
    }

    /// Opens another conversation in the place of this one.
    pub fn open(self: &Rc<Self>, id: String) {
        self.leave();
        let chat = Rc::clone(self);
        self.app.spawn(async move {
            let before = chat.app.slot.id();
            if !chat.app.slot.change(&id).await {
                return Err(chat.app.speech.text().chat.in_other_tab.to_string());
            }
            if chat.turns.borrow().is_empty() {
                history::forget(&before);
                chat.app.tell_others(Topic::Conversations);
            }
            let kept = Kept::load(&id).unwrap_or_default();
            chat.controls.fill(&kept);
            chat.turns.replace(Turn::all(&kept.messages));
            chat.show();
            chat.controls.list.focus_quietly();
            Ok(())
        });
    }

    /// Ends the answer that is being written, and keeps what was said.
    fn leave(self: &Rc<Self>) {
        self.stop();
        self.controls.list.set("aria-busy", "false");
        self.store();
    }

    /// Ends the answer that is being written; what came of it stays.
    pub fn stop(&self) {
        if let Some(abort) = self.answering.take() {
            abort.abort();
        }
    }

    /// The same where a person asked for it, who may then go on typing.
    pub fn interrupt(&self) {
        self.stop();
        self.controls.input.focus_quietly();
    }

    /// Keeps conversation and settings.
    pub fn store(&self) {
        let messages = self.turns.borrow().iter().map(|turn| turn.message.clone()).collect();
        let (system, sampling) = (self.controls.system.value(), self.controls.numbers.values());
        let unmask = self.controls.unmasking.values();
        let is_kept = Kept { system, sampling, unmask, messages, saved: 0.0 }.store(&self.app.slot.id());
        self.app.set_unsaved(Unsaved::Conversation, !is_kept);
        self.app.tell_others(Topic::Conversations);
    }

    /// Shows the conversation as it is now; who was at its end stays there.
    pub fn show(self: &Rc<Self>) {
        let follows = is_near_end();
        self.redraw();
        self.follow(follows);
    }

    /// Shows a message again in the place of its field, with the keyboard there.
    pub fn leave_field(self: &Rc<Self>, i: usize) {
        self.redraw();
        self.controls.list.enter_child(i);
    }

    /// Keeps the end of the conversation in sight while what stands below it grows.
    pub fn keep_end(&self) {
        self.follow(is_near_end());
    }

    fn redraw(self: &Rc<Self>) {
        let list = &self.controls.list;
        let answering = self.answering.borrow().is_some();
        list.redraw(|| {
            list.clear();
            let turns = self.turns.borrow();
            for (i, turn) in turns.iter().enumerate() {
                list.add(&turn::element(self, i, turn, i + 1 == turns.len() && !answering));
            }
            if turns.is_empty() {
                list.add(&chat_panel::welcome(self));
            }
            if let Some(live) = self.live.borrow().as_ref().filter(|_| answering) {
                list.add(live);
            }
        });
        // Nothing is known of a model of the server but its name.
        let model = self.app.model().filter(|_| self.app.remote().is_none());
        self.controls.show_state(model.as_ref(), self.app.answers(), answering);
    }

    /// Goes to the end of a conversation that is in sight.
    fn follow(&self, follows: bool) {
        let is_in_sight = self.controls.list.offset_height() > 0;
        if follows && is_in_sight && !self.turns.borrow().is_empty() {
            dom::window().scroll_to_with_x_and_y(0.0, page_height());
        }
    }

    fn answer(self: &Rc<Self>) {
        let Ok(abort) = AbortController::new() else { return };
        self.answering.replace(Some(abort.clone()));
        let place = Shown::new();
        let who = el("h3").class("who").text(self.app.speech.text().chat.model);
        let row = el("article").class("turn").test("chat-message").attr("data-role", "assistant");
        self.live.replace(Some(row.child(&who).child(&place.body)));
        place.body.write("…");
        self.store();
        self.show();
        self.controls.list.set("aria-busy", "true");
        dom::window().scroll_to_with_x_and_y(0.0, page_height());
        let (chat, conversation) = (Rc::clone(self), self.app.slot.id());
        self.app.spawn(async move {
            let (turn, result) = chat.stream(&abort, &place).await;
            if chat.app.slot.id() != conversation {
                history::add_answer(&conversation, turn.message);
                chat.app.tell_others(Topic::Conversations);
                return Ok(());
            }
            chat.finish(&abort, turn, result)
        });
    }

    /// An answer that was stopped keeps what came; one that failed before its first word leaves no trace.
    fn finish(self: &Rc<Self>, abort: &AbortController, mut turn: Turn, result: Answer<()>) -> Answer<()> {
        let stopped = abort.signal().aborted();
        // After `stop`, the conversation may have changed already: then the answer has no place in it.
        let asked = self.turns.borrow().last().is_some_and(Turn::asks);
        let mine = self.answering.borrow().as_ref().is_none_or(|now| js_sys::Object::is(now, abort));
        if mine {
            self.answering.replace(None);
            self.controls.list.set("aria-busy", "false");
            turn.stopped = stopped;
            if asked && (result.is_ok() || stopped || !turn.message.content.is_empty()) {
                self.turns.borrow_mut().push(turn);
            }
            self.store();
            self.show();
        }
        if stopped { Ok(()) } else { result }
    }
}
