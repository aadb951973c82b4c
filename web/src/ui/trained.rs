//! Trained examples: adapters that come with the page, fetched when they are asked for, and each asked one question before
//! and after.

use std::cell::Cell;
use std::rc::Rc;

use js_sys::Array;
use web_sys::AbortController;

use super::app::{App, Topic};
use super::brought;
use super::dom::{El, button, el};
use super::engine::{self, Answer, sentence};
use super::fetch::{fetch, resolve};
use crate::format::{fill, percent};
use crate::saves::crc32;
use crate::trained::{FILES, TRAINED, Trained, figures};

/// The largest file of an example.
const MOST_BYTES: usize = 1_000_000;

/// Asks a question of the model with and without what acts.
type Ask = Box<dyn Fn(&str)>;

struct Examples {
    app: Rc<App>,
    list: El,
    ask: Ask,
    fetching: Cell<bool>,
}

/// Builds their card; `ask` asks a question before and after.
pub fn build(app: &Rc<App>, ask: impl Fn(&str) + 'static) -> El {
    let speech = &app.speech;
    let examples = Rc::new(Examples {
        app: Rc::clone(app),
        list: el("div").class("gallery").id("trained-list"),
        ask: Box::new(ask),
        fetching: Cell::default(),
    });
    let card = el("section").class("card").child(&el("h2").say(speech, |t| t.trained.title));
    let card = card.child(&el("p").class("faint").say(speech, |t| t.trained.hint)).child(&examples.list);
    let shown = Rc::clone(&examples);
    app.watch(Topic::Language, move || shown.show());
    examples.show();
    card
}

impl Examples {
    fn show(self: &Rc<Self>) {
        self.list.redraw(|| {
            self.list.clear();
            TRAINED.iter().for_each(|shown| self.list.add(&self.item(shown)));
        });
    }

    fn item(self: &Rc<Self>, shown: &'static Trained) -> El {
        let t = self.app.speech.text();
        let item = el("div").class("trained").test("trained").attr("data-name", shown.name);
        let item = item.child(&el("strong").text((shown.title)(t)));
        let item = item.child(&el("span").text((shown.about)(t)));
        let (measured, list) = (figures(), el("ul"));
        for measure in shown.measures {
            let shares = measured.get(shown.name).and_then(|figures| figures.get(measure.key));
            let Some([before, after]) = shares else { continue };
            let figure = fill(t.trained.figure, &[(measure.named)(t), &percent(*before), &percent(*after)]);
            list.add(&el("li").test("trained-figure").text(&figure));
        }
        let asking = Rc::clone(self);
        let ask = button().test("trained-ask").text(&fill(t.trained.ask, &[(shown.question)(t)]));
        item.child(&list).child(&ask.on("click", move |_| asking.bring(shown)))
    }

    /// Lets an example act alone, and asks its question.
    fn bring(self: &Rc<Self>, shown: &'static Trained) {
        if self.fetching.replace(true) {
            return;
        }
        self.list.set("aria-busy", "true");
        let examples = Rc::clone(self);
        self.app.spawn(async move {
            let brought = examples.fetch(shown).await;
            examples.fetching.set(false);
            examples.list.set("aria-busy", "false");
            brought?;
            examples.app.changed(Topic::Adapters);
            (examples.ask)((shown.question)(examples.app.speech.text()));
            Ok(())
        });
    }

    async fn fetch(&self, shown: &Trained) -> Answer<()> {
        let t = self.app.speech.text();
        let abort = AbortController::new().map_err(sentence)?;
        let (files, mut marks) = (Array::new(), Vec::new());
        for name in FILES {
            let url = resolve(&format!("trained/{}/{name}", shown.name), t)?;
            let content = fetch(&url, MOST_BYTES, &abort.signal(), t, |_, _| ()).await?;
            marks.push(crc32(&content).to_string());
            files.push(&engine::file_of_bytes(name, &content));
        }
        let url = resolve(&format!("trained/{}/", shown.name), t)?;
        brought::use_alone(&url, &marks.join("-"), shown.name, &files).await
    }
}
