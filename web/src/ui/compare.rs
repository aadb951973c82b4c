//! One question, two answers: from the base and from what acts now.

use std::cell::RefCell;
use std::rc::Rc;

use serde_json::json;
use web_sys::AbortController;

use super::answer::Shown;
use super::app::App;
use super::dom::{El, button, choice, el, field};
use super::engine::{self, Answer};
use crate::messages::chat::ChatChunk;

/// The columns: what the engine calls them.
const SIDES: [&str; 2] = ["base", "active"];

struct Compare {
    app: Rc<App>,
    prompt: El,
    drawn: El,
    run: El,
    stop: El,
    places: [El; 2],
    answering: RefCell<Option<AbortController>>,
}

/// Builds the comparison; the second part asks a question as if it was typed.
pub fn build(app: &Rc<App>) -> (El, impl Fn(&str) + use<>) {
    let speech = &app.speech;
    let compare = Rc::new(Compare {
        app: Rc::clone(app),
        prompt: el("textarea")
            .id("ab-prompt")
            .attr("rows", "2")
            .say_in("placeholder", speech, |t| t.teach.question),
        drawn: el("input").id("ab-sampled").attr("type", "checkbox"),
        run: button().id("ab-run").class("primary").say(speech, |t| t.adapters.run),
        stop: button().id("ab-stop").say(speech, |t| t.chat.stop).shown(false),
        places: ["ab-base", "ab-active"]
            .map(|id| el("div").class("side-answer").id(id).attr("aria-live", "polite")),
        answering: RefCell::default(),
    });
    let card = el("section").class("card").child(&el("h2").say(speech, |t| t.adapters.compare));
    let card = card.child(&el("p").class("faint").say(speech, |t| t.adapters.compare_hint));
    let card = card.child(&field(speech, |t| t.adapters.prompt, &compare.prompt));
    let (asked, stopped) = (Rc::clone(&compare), Rc::clone(&compare));
    let run = compare.run.clone().on("click", move |_| asked.ask());
    let stop = compare.stop.clone().on("click", move |_| stopped.abort());
    let line = el("div").class("foot").child(&run).child(&stop);
    let card = card.child(&line.child(&choice(speech, |t| t.adapters.sampled, &compare.drawn)));
    let [base, active] = &compare.places;
    let left = el("div").class("side").child(&el("h3").say(speech, |t| t.lessons.before)).child(base);
    let right = el("div").class("side").child(&el("h3").say(speech, |t| t.lessons.after)).child(active);
    let card = card.child(&el("div").class("sides").child(&left).child(&right));
    (card, move |question: &str| compare.ask_of(question))
}

impl Compare {
    fn abort(&self) {
        if let Some(abort) = self.answering.borrow().as_ref() {
            abort.abort();
        }
    }

    /// Asks this question; answers that are still written end.
    fn ask_of(self: &Rc<Self>, question: &str) {
        self.abort();
        self.prompt.set_value(question);
        self.ask();
        // Whoever asks from elsewhere sees the answers come.
        self.prompt.scroll_into_view();
    }

    fn ask(self: &Rc<Self>) {
        let Ok(abort) = AbortController::new() else { return };
        self.set_answering(Some(abort.clone()));
        let compare = Rc::clone(self);
        self.app.spawn(async move {
            let answer = compare.both(&abort).await;
            if compare.is_now(&abort) {
                compare.set_answering(None);
            }
            if abort.signal().aborted() { Ok(()) } else { answer }
        });
    }

    /// Whether these are the answers that are written now.
    fn is_now(&self, abort: &AbortController) -> bool {
        self.answering.borrow().as_ref().is_some_and(|now| js_sys::Object::is(now, abort))
    }

    fn set_answering(&self, abort: Option<AbortController>) {
        let is_answering = abort.is_some();
        if is_answering {
            self.stop.show(true);
            if self.run.holds_focus() {
                self.stop.focus_quietly();
            }
        }
        self.run.enable(!is_answering);
        self.stop.show_or_leave(is_answering, &self.run);
        self.answering.replace(abort);
    }

    /// One after the other: there is one device.
    async fn both(&self, abort: &AbortController) -> Answer<()> {
        self.places.iter().for_each(|place| place.write("…"));
        let seed = (js_sys::Math::random() * 2f64.powi(31)) as u32;
        for (side, place) in SIDES.iter().zip(&self.places) {
            let answer = self.one(side, place, seed, abort).await;
            // Places of answers that were asked for since are another one's.
            if answer.is_err() && self.is_now(abort) {
                self.places.iter().filter(|place| place.inner_text() == "…").for_each(|place| place.clear());
            }
            answer?;
        }
        Ok(())
    }

    async fn one(&self, side: &str, place: &El, seed: u32, abort: &AbortController) -> Answer<()> {
        let typed = self.prompt.value();
        let question =
            if typed.trim().is_empty() { self.app.speech.text().teach.question } else { typed.trim() };
        let mut request = json!({
            "messages": [{ "role": "user", "content": question }],
            "stream": true,
            "adapters": side,
            "seed": seed,
        });
        if !self.drawn.checked() {
            request["temperature"] = 0.into();
        }
        let stream = engine::chat(&request, &abort.signal()).await?;
        let shown = Shown::new();
        place.clear();
        place.add(&shown.body);
        let mut answer = String::new();
        while let Some(chunk) = stream.next::<ChatChunk>().await? {
            chunk
                .choices
                .iter()
                .filter_map(|choice| choice.delta.content.as_deref())
                .for_each(|text| answer += text);
            shown.show(&answer, &self.app.speech);
        }
        Ok(())
    }
}
