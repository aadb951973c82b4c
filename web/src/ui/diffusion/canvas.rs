//! An answer as places of which each is hidden or filled, with the model's confidence as colour.

use std::cell::RefCell;

use crate::format::{fill, percent};
use crate::language::Text;
use crate::ui::dom::{El, el};
use crate::ui::tint;
use crate::unmask::{Course, Filled, Place};

/// What stands for a token without a text, which ends one.
const END: &str = "·";

/// How a place looks now.
#[derive(Clone, Copy, PartialEq)]
enum Look {
    /// It is not there yet: its block has not begun.
    Absent,
    Hidden,
    Shown,
}

/// The places of an answer; each has one element, which changes where the place does and else stays.
pub struct Canvas {
    /// The places.
    pub body: El,
    /// Whether each token tells of itself by pointer and keyboard.
    tells: bool,
    drawn: RefCell<Vec<(El, Look)>>,
}

impl Canvas {
    /// An empty one; where it `tells`, each token says how sure the model was, by pointer and keyboard.
    pub fn new(tells: bool) -> Self {
        Self { body: el("div").class("said canvas"), tells, drawn: RefCell::default() }
    }

    /// Shows the places as they are after a step.
    pub fn show(&self, course: &Course, step: u32, t: &Text) {
        let mut drawn = self.drawn.borrow_mut();
        let length = course.length(step);
        for (i, place) in course.places().iter().enumerate() {
            let look = match (place, place.after(step)) {
                _ if i >= length => Look::Absent,
                (Place::Given(_), _) | (_, Some(_)) => Look::Shown,
                _ => Look::Hidden,
            };
            if i == drawn.len() {
                let span = el("span");
                self.body.add(&span);
                self.draw(&span, place, look, t);
                drawn.push((span, look));
            } else if drawn[i].1 != look {
                self.draw(&drawn[i].0, place, look, t);
                drawn[i].1 = look;
            }
        }
        if self.tells {
            // One stop for the Tab key; arrows lead from token to token.
            let first = course.places().iter().position(|place| place.after(step).is_some());
            for (i, (span, _)) in drawn.iter().enumerate().filter(|(_, (_, look))| *look == Look::Shown) {
                match Some(i) == first {
                    true => span.set_tab_index(0),
                    // What was first at another step, or where the arrows led to.
                    false if span.tab_index() == 0 => span.set_tab_index(-1),
                    false => (),
                }
            }
        }
    }

    fn draw(&self, span: &El, place: &Place, look: Look, t: &Text) {
        span.show(look != Look::Absent);
        match (place, look) {
            (Place::Filled(token), Look::Shown) => self.draw_token(span, token, t),
            (Place::Given(text), _) => span.write(text),
            _ => {
                span.set_class_name("masked");
                span.clear();
                for attribute in ["title", "data-order", "tabindex", "aria-describedby", tint::ALTERNATIVES] {
                    let _ = span.remove_attribute(attribute);
                }
            }
        }
    }

    fn draw_token(&self, span: &El, token: &Filled, t: &Text) {
        span.set_class_name(&format!("token filled {}", tint::tint(token.confidence)));
        span.write(if token.text.is_empty() { END } else { &token.text });
        span.set("data-order", &token.order.to_string());
        let sure = percent(token.confidence);
        if !self.tells {
            span.set("title", &sure);
            return;
        }
        let text = if token.text.is_empty() { t.diffusion.end.into() } else { tint::visible(&token.text) };
        let [step, order] = [t.diffusion.step, t.diffusion.order];
        let told = format!("{text}\t{sure}\n{step}\t{}\n{order}\t{}", token.step, token.order);
        span.set(tint::ALTERNATIVES, &told);
        span.set("aria-describedby", tint::POPOVER);
        span.set_tab_index(-1);
    }
}

/// What the colours mean, in words.
pub fn legend(t: &Text) -> El {
    let legend = el("p").class("shares faint").child(&el("span").text(t.diffusion.sure));
    t.diffusion.shares.iter().enumerate().fold(legend, |legend, (i, share)| {
        legend.child(&el("span").class(&format!("share p{i}")).text(share))
    })
}

/// How far a course is after a step.
pub fn progress(course: &Course, step: u32, t: &Text) -> String {
    let hidden = course.places().iter().take(course.length(step));
    let hidden = hidden.filter(|place| !matches!(place, Place::Given(_))).count();
    let values =
        [step.to_string(), course.planned().to_string(), course.filled(step).to_string(), hidden.to_string()];
    fill(t.diffusion.counter, &values.each_ref().map(String::as_str))
}
