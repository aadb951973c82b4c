//! The elements of the chat tab: conversation, field, settings, and what stands there before the first
//! question.

use std::rc::Rc;

use serde_json::{Map, Value};
use wasm_bindgen::JsCast;
use web_sys::KeyboardEvent;

use super::app::{App, Topic};
use super::chat::Chat;
use super::diffusion::Unmasking;
use super::dom::{El, button, choice, el, field};
use super::history::{self, Kept};
use super::numbers::{Number, Numbers};
use super::tint;
use crate::format::fill;
use crate::messages::model::ModelInfo;

const SAMPLING: [Number; 6] = [
    Number::new("temperature", |t| t.chat.temperature, ["0", "2", "0.05"]),
    Number::new("top_p", |t| t.chat.top_p, ["0", "1", "0.05"]),
    Number::new("top_k", |t| t.chat.top_k, ["0", "1000", "1"]),
    Number::new("max_tokens", |t| t.chat.max_tokens, ["1", "8192", "1"]),
    Number::new("seed", |t| t.chat.seed, ["0", "4294967295", "1"]),
    Number::new("repetition_penalty", |t| t.chat.repetition, ["0.5", "2", "0.05"]),
];

/// So many characters of a conversation's first question are listed.
const SHOWN: usize = 60;
/// So many questions of a model's card are offered.
const STARTERS: usize = 3;

/// What a person types into and presses.
pub struct Controls {
    /// The conversation.
    pub list: El,
    /// The field for a question.
    pub input: El,
    /// The system prompt.
    pub system: El,
    /// The sampling settings.
    pub numbers: Numbers,
    /// What holds for diffusion models beside them.
    pub unmasking: Unmasking,
    send: El,
    stop: El,
    clear: El,
    others: El,
    tint: El,
}

impl Controls {
    /// Builds them into the tab, with what was kept.
    pub fn build(app: &App, panel: &El, kept: &Kept) -> Self {
        let speech = &app.speech;
        let list =
            el("div").class("turns").id("chat-messages").attr("role", "log").attr("aria-live", "polite");
        list.set_tab_index(-1);
        let input = el("textarea").id("chat-input").attr("rows", "1");
        let input =
            input
                .say_in("placeholder", speech, |t| t.chat.placeholder)
                .say_in("aria-label", speech, |t| t.chat.placeholder);
        let send = button().id("chat-send").class("primary").say(speech, |t| t.chat.send);
        let stop = button().id("chat-stop").class("primary").say(speech, |t| t.chat.stop);
        let clear = button().id("chat-clear").class("quiet danger").say(speech, |t| t.chat.clear);
        let others = el("details").class("settings").id("chat-others");
        let others = others.child(&el("summary").say(speech, |t| t.chat.others));
        let tint = el("input").id("chat-tint").attr("type", "checkbox");
        let system = el("textarea").id("chat-system").attr("rows", "2");
        let numbers = Numbers::build(speech, "chat", &SAMPLING);
        let unmasking = Unmasking::build(speech);
        if let Some(seed) = numbers.input("seed") {
            speech.add(seed, super::speech::Slot::Attribute("placeholder"), |t| t.chat.random);
        }
        let settings = el("details").class("settings").id("chat-settings");
        let settings = settings.child(&el("summary").say(speech, |t| t.chat.settings));
        let settings = settings.child(&field(speech, |t| t.chat.system, &system)).child(&numbers.group);
        let settings = settings.child(&unmasking.group);
        let tools = el("div").class("tools").child(&choice(speech, |t| t.chat.tint, &tint));
        let tools = tools.child(&settings).child(&others);
        let line = el("div").class("ask").child(&input).child(&send).child(&stop);
        let composer = el("div").class("composer").child(&line).child(&unmasking.hint).child(&tools);
        panel.add(&list);
        panel.add(&composer);
        let controls = Self { list, input, system, numbers, unmasking, send, stop, clear, others, tint };
        controls.fill(kept);
        controls
    }

    /// Shows what the engine does where nothing was set. A seed that nobody set is another one each time.
    pub fn suggest(&self, mut sampling: Map<String, Value>, unmask: &Map<String, Value>) {
        sampling.remove("seed");
        self.numbers.suggest(&sampling);
        self.unmasking.suggest(unmask);
    }

    /// Puts in what was kept of a conversation.
    pub fn fill(&self, kept: &Kept) {
        self.system.set_value(&kept.system);
        self.numbers.fill(&kept.sampling);
        self.unmasking.fill(&kept.unmask);
    }

    /// Shows what can be done now.
    pub fn show_state(&self, model: Option<&ModelInfo>, answers: bool, answering: bool) {
        self.send.enable(answers);
        self.unmasking.show(model);
        let (seen, gone) = if answering { (&self.stop, &self.send) } else { (&self.send, &self.stop) };
        seen.show(true);
        gone.show_or_leave(false, seen);
    }
}

/// Lets the controls act.
pub fn wire(chat: &Rc<Chat>, controls: &Controls) {
    let press = |button: &El, call: fn(&Rc<Chat>)| {
        let chat = Rc::clone(chat);
        super::dom::listen(button, "click", move |_| call(&chat));
    };
    press(&controls.send, Chat::send);
    press(&controls.clear, Chat::clear);
    let (listed, place, of) = (Rc::clone(chat), el("ul").class("plain"), controls.others.clone());
    controls.others.add(&place);
    controls.others.add(&controls.clear);
    let list = Rc::new(move || {
        if of.has_attribute("open") {
            place.redraw(|| list_others(&listed, &place, &of));
        }
    });
    let again = Rc::clone(&list);
    chat.app.watch(Topic::Conversations, move || again());
    super::dom::listen(&controls.others, "toggle", move |_| list());
    press(&controls.stop, |chat| chat.interrupt());
    let sent = Rc::clone(chat);
    super::dom::listen(&controls.input, "keydown", move |event| {
        let key: &KeyboardEvent = event.unchecked_ref();
        // Enter also ends the choice of a Chinese word; that must not send.
        if key.key() == "Enter" && !key.shift_key() && !key.is_composing() {
            event.prevent_default();
            sent.send();
        }
    });
    let grown = Rc::clone(chat);
    super::dom::listen(&controls.input, "input", move |_| grown.keep_end());
    let (tinted, tint) = (Rc::clone(chat), controls.tint.clone());
    super::dom::listen(&controls.tint, "change", move |_| tinted.set_tint(tint.checked()));
    for changed in [&controls.system, &controls.numbers.group, &controls.unmasking.group] {
        let stored = Rc::clone(chat);
        super::dom::listen(changed, "change", move |_| stored.store());
    }
    tint::listen(&controls.list);
}

/// Lists the other conversations of this browser, the newest first.
fn list_others(chat: &Rc<Chat>, place: &El, details: &El) {
    let t = chat.app.speech.text();
    let own = chat.app.slot.id();
    place.clear();
    for (id, kept) in history::slots() {
        let Some(first) = kept.messages.iter().find(|message| message.role == "user") else { continue };
        if id == own {
            continue;
        }
        let begins: String = first.content.chars().take(SHOWN).collect();
        let (opened, shut) = (Rc::clone(chat), details.clone());
        let open = button().class("link").test("chat-other").text(&begins).on("click", move |_| {
            // It lists others once this one is open.
            let _ = shut.remove_attribute("open");
            opened.open(id.clone());
        });
        place.add(&el("li").child(&open));
    }
    if place.child_element_count() == 0 {
        place.add(&el("li").class("faint").text(t.models.none));
    }
}

/// What stands in the place of the conversation before it begins: the model, questions to try, and the way to teach it.
pub fn welcome(chat: &Rc<Chat>) -> El {
    let t = chat.app.speech.text();
    let (remote, answers) = (chat.app.remote(), chat.app.answers());
    let model = chat.app.model().filter(|_| remote.is_none());
    let welcome = el("div").class("welcome");
    let head = el("div").class("hello").child(&el("h2").text(t.chat.welcome));
    welcome.add(&head.child(&el("p").text(t.page.purpose)));
    let card = model.as_ref().and_then(|model| model.card.as_ref());
    let about = card.and_then(|card| card.about.get(language(chat)));
    if let (Some(model), Some(about)) = (&model, about) {
        let card = el("div").class("model-card").id("model-card").child(&el("h3").text(&model.name));
        welcome.add(&card.child(&el("p").text(about)));
    }
    let starters = el("div").class("starters").child(&el("h3").text(t.chat.ask));
    for question in questions(chat, model.as_ref()) {
        let asked = Rc::clone(chat);
        let starter = button().class("starter").test("chat-starter").text(&question);
        let starter = starter.on("click", move |_| asked.ask_from(0, &question));
        starter.enable(answers);
        starters.add(&starter);
    }
    welcome.add(&starters);
    let led = Rc::clone(&chat.app);
    let teach = button().class("primary big").test("chat-teach").child(&el("strong").text(t.chat.teach));
    let teach = teach.child(&el("span").text(t.chat.teach_hint));
    welcome.add(&teach.on("click", move |_| led.show_tab("teach")));
    let last = match (&remote, &model) {
        (Some(remote), _) => fill(t.served.welcome, &[&remote.model]),
        (None, Some(model)) if !model.chat => t.chat.no_template.to_string(),
        _ => t.chat.private.to_string(),
    };
    welcome.child(&el("p").class("faint").id("chat-private").text(&last))
}

/// Questions to try: the first of those on the model's card, or else the page's own.
fn questions(chat: &Rc<Chat>, model: Option<&ModelInfo>) -> Vec<String> {
    let card = model.and_then(|model| model.card.as_ref());
    let told = card.and_then(|card| card.questions.get(language(chat))).filter(|told| !told.is_empty());
    let t = chat.app.speech.text();
    match told {
        Some(told) => told.iter().take(STARTERS).cloned().collect(),
        None => [t.chat.starter_1, t.chat.starter_2, t.chat.starter_3].map(String::from).into(),
    }
}

/// The language of now, as cards name it.
fn language(chat: &Rc<Chat>) -> &'static str {
    chat.app.speech.language().tag().split('-').next().unwrap_or_default()
}
