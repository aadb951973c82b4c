//! The models of the page's server: their list, the key where one is needed, and the notices of what needs a model in the
//! tab while one of them answers.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use wasm_bindgen::JsCast;
use web_sys::KeyboardEvent;

use super::app::{App, Topic};
use super::dom::{self, El, button, el, field};
use super::engine::Answer;
use super::served::{self, Remote, Server};
use crate::format::fill;

struct Card {
    app: Rc<App>,
    server: Rc<Server>,
    key: El,
    list: El,
    /// How the list stands, said aloud.
    state: El,
    names: RefCell<Vec<String>>,
    /// Whether the server listed them.
    listed: Cell<bool>,
    asking: Cell<bool>,
}

/// Builds the card; none where the page came from no such server.
pub fn build(app: &Rc<App>) -> Option<El> {
    let server = served::own()?;
    let speech = &app.speech;
    let needs_key = server.needs_key;
    let card = Rc::new(Card {
        app: Rc::clone(app),
        server,
        key: el("input").id("server-key").attr("type", "password").attr("autocomplete", "off"),
        list: el("ul").class("plain").id("server-list"),
        names: RefCell::default(),
        state: el("span").class("faint").id("server-state").attr("aria-live", "polite"),
        listed: Cell::default(),
        asking: Cell::default(),
    });
    let place = el("section").class("card").child(&el("h2").say(speech, |t| t.served.title));
    let place = place.child(&el("p").class("faint").say(speech, |t| t.served.hint));
    let asked = Rc::clone(&card);
    let ask = button().id("server-ask").say(speech, |t| t.served.list);
    let ask = ask.on("click", move |_| asked.ask());
    let line = el("div").class("line");
    if needs_key {
        card.ask_on_enter();
        line.add(&field(speech, |t| t.served.key, &card.key));
    }
    let place = place.child(&line.child(&ask).child(&card.state));
    let hint = el("p").class("faint").say(speech, |t| t.served.key_hint).shown(needs_key);
    let place = place.child(&hint).child(&card.list);
    for topic in [Topic::Remote, Topic::Language] {
        let shown = Rc::clone(&card);
        app.watch(topic, move || shown.show());
    }
    Some(place)
}

impl Card {
    fn ask_on_enter(self: &Rc<Self>) {
        let asked = Rc::clone(self);
        dom::listen(&self.key, "keydown", move |event| {
            let key: &KeyboardEvent = event.unchecked_ref();
            if key.key() == "Enter" && !key.is_composing() {
                asked.ask();
            }
        });
    }

    fn ask(self: &Rc<Self>) {
        if self.asking.replace(true) {
            return;
        }
        self.show_state();
        self.server.set_key(&self.key.value());
        let card = Rc::clone(self);
        self.list.set("aria-busy", "true");
        self.app.spawn(async move {
            let names = card.server.models(card.app.speech.text()).await;
            card.list.set("aria-busy", "false");
            card.asking.set(false);
            card.take(names)
        });
    }

    fn take(self: &Rc<Self>, names: Answer<Vec<String>>) -> Answer<()> {
        // What was listed before stays where the server now refuses.
        let taken = names.map(|names| {
            self.names.replace(names);
            self.listed.set(true);
        });
        self.show();
        taken
    }

    fn show_state(&self) {
        let t = &self.app.speech.text().served;
        let said = match (self.asking.get(), self.listed.get()) {
            (true, _) => t.asking.to_string(),
            (_, true) => fill(t.listed, &[&self.names.borrow().len().to_string()]),
            _ => String::new(),
        };
        // The same is not said aloud again.
        if self.state.text_content().as_deref() != Some(said.as_str()) {
            self.state.write(&said);
        }
    }

    fn show(self: &Rc<Self>) {
        self.show_state();
        self.list.redraw(|| {
            self.list.clear();
            self.names.borrow().iter().for_each(|name| self.list.add(&self.row(name)));
            if self.listed.get() && self.names.borrow().is_empty() {
                let none = self.app.speech.text().models.none;
                self.list.add(&el("li").class("faint").text(none));
            }
        });
    }

    fn row(self: &Rc<Self>, name: &str) -> El {
        let t = self.app.speech.text();
        let row = el("li").class("entry").test("server-model").attr("data-name", name);
        let row = row.child(&el("strong").text(&self.server.called(name, t)));
        let talks = self.app.remote().is_some_and(|remote| remote.model == name);
        if talks {
            let back = returning(&self.app, button().test("server-back"));
            let foot = el("span").class("foot").child(&back.text(t.served.back));
            return row.child(&el("span").class("faint").text(t.served.talks)).child(&foot);
        }
        let (card, chosen) = (Rc::clone(self), name.to_string());
        let talk = button().test("server-talk").text(t.served.talk).on("click", move |_| {
            card.app.set_remote(Some(Remote { server: Rc::clone(&card.server), model: chosen.clone() }));
            card.app.show_tab("chat");
        });
        row.child(&el("span").class("foot").child(&talk))
    }
}

/// A button that goes back to the model in the tab.
fn returning(app: &Rc<App>, button: El) -> El {
    let app = Rc::clone(app);
    button.on("click", move |_| app.set_remote(None))
}

/// A notice, for the head of what is done with a model in the tab, that another one is talked with.
pub fn notice(app: &Rc<App>, id: &str) -> El {
    let said = el("span");
    let back = returning(app, button().test("server-back").say(&app.speech, |t| t.served.back));
    let notice = el("div").class("banner notice").id(id).child(&said).child(&back).shown(false);
    let (of, shown) = (Rc::clone(app), notice.clone());
    // Where the server trains, too, the tab of teaching asks which of the two does.
    let may_train = id.ends_with("teach");
    let show = Rc::new(move || {
        let t = of.speech.text();
        let remote = of.remote().filter(|remote| !(may_train && remote.server.trains));
        let Some(remote) = remote else { return shown.show_or_leave(false, &dom::find("main")) };
        said.write(&match of.model() {
            Some(model) => fill(t.served.needs_tab, &[&remote.model, &model.name]),
            None => fill(t.served.needs_any, &[&remote.model]),
        });
        shown.show(true);
    });
    for topic in [Topic::Remote, Topic::Model, Topic::Language] {
        let show = Rc::clone(&show);
        app.watch(topic, move || show());
    }
    notice
}
