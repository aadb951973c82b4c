//! How an answer was written, step by step: a bar to move through the steps, and a button that plays them.

use std::cell::{Cell, RefCell};
use std::rc::{Rc, Weak};

use gloo::timers::callback::Timeout;
use wasm_bindgen::JsCast;
use web_sys::HtmlElement;

use super::canvas::{self, Canvas};
use crate::ui::dom::{self, El, button, el};
use crate::ui::speech::Speech;
use crate::unmask::{Course, pace};

/// The steps of an answer of this session, and what of them is shown; drawing the conversation anew changes neither.
pub struct Replay {
    course: Course,
    step: Cell<u32>,
    numbered: Cell<bool>,
    playing: Cell<bool>,
    /// Counts how often it was played and stopped; a timer of an earlier time does nothing.
    played: Cell<u32>,
    /// What is seen while the fold is open. It is held here and not by its own listeners, which would keep it for ever.
    parts: RefCell<Option<Parts>>,
}

struct Parts {
    speech: Speech,
    canvas: Canvas,
    progress: El,
    bar: El,
    play: El,
}

impl Replay {
    /// Of the steps of an answer; none where nothing was filled.
    pub fn of(course: Course) -> Option<Rc<Self>> {
        let replay = Self {
            step: Cell::new(course.steps()),
            course,
            numbered: Cell::default(),
            playing: Cell::default(),
            played: Cell::default(),
            parts: RefCell::default(),
        };
        (!replay.course.is_empty()).then(|| Rc::new(replay))
    }

    /// The finished answer with its colours.
    pub fn tinted(&self, speech: &Speech) -> El {
        let canvas = Canvas::new(true);
        canvas.show(&self.course, self.course.steps(), speech.text());
        let body = el("div").class("answer writing").child(&canvas.body);
        body.child(&canvas::legend(speech.text()))
    }

    fn open(self: &Rc<Self>, fold: &El, speech: &Speech) {
        let t = speech.text();
        let bar = el("input").test("chat-scrub").attr("type", "range").attr("min", "0").attr("step", "1");
        let parts = Parts {
            speech: speech.clone(),
            canvas: Canvas::new(true),
            // The bar says the same to who does not see it.
            progress: el("p").class("faint").test("chat-step").attr("aria-hidden", "true"),
            bar: bar.attr("max", &self.course.steps().to_string()).attr("aria-label", t.diffusion.bar),
            play: button().class("small").test("chat-play"),
        };
        let numbers = el("input").test("chat-orders").attr("type", "checkbox");
        numbers.set_checked(self.numbered.get());
        let orders = el("label").class("choice").child(&numbers).child(&el("span").text(t.diffusion.orders));
        let line = el("div").class("scrub").child(&parts.play).child(&parts.bar).child(&orders);
        let shown = el("div").class("writing").child(&line).child(&parts.progress);
        fold.add(&shown.child(&parts.canvas.body).child(&canvas::legend(t)));
        self.listen(&parts.play, "click", |replay, _| replay.press());
        self.listen(&parts.bar, "input", |replay, bar| {
            replay.stop();
            replay.show(bar.value().parse().unwrap_or_default());
        });
        self.listen(&numbers, "change", |replay, numbers| replay.number(numbers.checked()));
        self.parts.replace(Some(parts));
        self.number(self.numbered.get());
        self.stop();
        self.show(self.step.get());
    }

    fn listen(self: &Rc<Self>, part: &El, event: &str, call: fn(&Rc<Self>, &El)) {
        let replay = Rc::downgrade(self);
        dom::listen(part, event, move |event| {
            if let (Some(replay), Some(part)) = (replay.upgrade(), target(&event)) {
                call(&replay, &part);
            }
        });
    }

    fn number(&self, numbered: bool) {
        self.numbered.set(numbered);
        if let Some(parts) = self.parts.borrow().as_ref() {
            parts.canvas.body.set("data-ordered", if numbered { "true" } else { "false" });
        }
    }

    fn show(&self, step: u32) {
        self.step.set(step);
        let parts = self.parts.borrow();
        let Some(parts) = parts.as_ref() else { return };
        let t = parts.speech.text();
        parts.canvas.show(&self.course, step, t);
        let progress = canvas::progress(&self.course, step, t);
        parts.bar.set_value(&step.to_string());
        parts.bar.set("aria-valuetext", &progress);
        parts.progress.write(&progress);
    }

    /// Plays, from the beginning where the end is shown; or stops.
    fn press(self: &Rc<Self>) {
        if self.playing.get() {
            self.stop();
            return;
        }
        if self.step.get() >= self.course.steps() {
            self.show(0);
        }
        self.playing.set(true);
        self.say_button();
        self.wait(self.played.get());
    }

    fn stop(&self) {
        self.playing.set(false);
        self.played.set(self.played.get() + 1);
        self.say_button();
    }

    fn say_button(&self) {
        if let Some(parts) = self.parts.borrow().as_ref() {
            let t = parts.speech.text();
            parts.play.write(if self.playing.get() { t.diffusion.pause } else { t.diffusion.play });
        }
    }

    fn wait(self: &Rc<Self>, played: u32) {
        let replay = Rc::clone(self);
        Timeout::new(pace(self.course.steps()), move || replay.go_on(played)).forget();
    }

    fn go_on(self: &Rc<Self>, played: u32) {
        if played != self.played.get() {
            return;
        }
        self.show(self.step.get() + 1);
        if self.step.get() >= self.course.steps() {
            self.stop();
        } else {
            self.wait(played);
        }
    }

    /// Opens or closes with its fold.
    fn follow(self: &Rc<Self>, fold: &El, speech: &Speech) {
        let (is_open, is_built) = (fold.has_attribute("open"), self.parts.borrow().is_some());
        match (is_open, is_built) {
            (true, false) => self.open(fold, speech),
            (false, true) => self.stop(),
            _ => (),
        }
    }
}

/// The fold under an answer that shows how it was written; one that was open is open again.
pub fn replay(speech: &Speech, replay: &Rc<Replay>) -> El {
    let fold = el("details").class("settings written").test("chat-written");
    // The finished text is what who listens wants to hear.
    let fold = fold.attr("aria-live", "off").child(&el("summary").text(speech.text().diffusion.written));
    replay.stop();
    let before = replay.parts.take();
    if before.is_some_and(|parts| is_open(&parts.bar)) {
        fold.set("open", "");
        replay.open(&fold, speech);
    }
    let (held, speech): (Weak<Replay>, _) = (Rc::downgrade(replay), speech.clone());
    fold.on("toggle", move |event| {
        if let (Some(replay), Some(fold)) = (held.upgrade(), target(&event)) {
            replay.follow(&fold, &speech);
        }
    })
}

/// Whether what is around a part, of the page or not, is open.
fn is_open(part: &El) -> bool {
    part.closest("details").ok().flatten().is_some_and(|fold| fold.has_attribute("open"))
}

/// What an event was listened for at.
fn target(event: &web_sys::Event) -> Option<El> {
    event.current_target()?.dyn_into::<HtmlElement>().ok().map(El::from)
}
