//! An answer that a diffusion model is writing, and one with holes that it filled.

use std::cell::RefCell;
use std::rc::Rc;

use super::calls::Heard;
use super::canvas::{self, Canvas};
use super::replay::Replay;
use crate::messages::diffusion::UnmaskStep;
use crate::ui::dom::{El, el};
use crate::ui::speech::Speech;
use crate::unmask::Course;

/// An answer in the making: hidden tokens, and those that the steps filled.
pub struct Writing {
    /// Where it is shown.
    place: El,
    canvas: Canvas,
    progress: El,
    course: RefCell<Course>,
}

impl Writing {
    /// One that shows itself in the place of what stands in `place`, once a step was heard of.
    pub fn new(place: &El) -> Rc<Self> {
        Rc::new(Self {
            place: place.clone(),
            canvas: Canvas::new(false),
            progress: el("p").class("faint").test("chat-progress"),
            course: RefCell::default(),
        })
    }

    /// Whether a step was heard of.
    pub fn has_begun(&self) -> bool {
        self.course.borrow().steps() > 0
    }

    /// Shows what was told.
    pub fn hear(&self, heard: Heard, speech: &Speech) {
        match heard {
            Heard::Given(given) => self.course.borrow_mut().give(given),
            Heard::Step(step) => self.step(step, speech),
        }
    }

    /// Shows what a step filled.
    pub fn step(&self, step: UnmaskStep, speech: &Speech) {
        if !self.has_begun() {
            self.begin(speech);
        }
        let filled = step.filled.into_iter();
        let filled = filled.map(|token| (token.place as usize, token.text, token.confidence));
        let mut course = self.course.borrow_mut();
        course.add(step.step, step.steps, step.canvas_length as usize, filled);
        self.canvas.show(&course, course.steps(), speech.text());
        self.progress.write(&canvas::progress(&course, course.steps(), speech.text()));
    }

    fn begin(&self, speech: &Speech) {
        // Who listens hears the whole text once it stands, and not each step.
        let shown = el("div").class("writing").attr("aria-hidden", "true");
        let shown = shown.child(&self.progress).child(&self.canvas.body);
        self.place.clear();
        self.place.add(&shown.child(&canvas::legend(speech.text())));
    }

    /// What there is to replay.
    pub fn replay(&self) -> Option<Rc<Replay>> {
        Replay::of(self.course.take())
    }
}

/// A text with what filled its holes marked.
pub fn marked(parts: &[(String, bool)]) -> El {
    parts.iter().fold(el("div").class("answer said"), |body, (text, new)| {
        body.child(&if *new { el("mark").test("chat-filled") } else { el("span") }.text(text))
    })
}
