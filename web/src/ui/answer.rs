//! Shows an answer: what is said as text, what is thought folded away.

use std::cell::RefCell;

use super::dom::{El, el};
use super::speech::Speech;
use crate::think::{Part, TAGS, parts};

/// A place for an answer that may still grow.
pub struct Shown {
    /// The place.
    pub body: El,
    drawn: RefCell<Vec<Drawn>>,
}

enum Drawn {
    Said(El),
    Thought { text: El, summary: El },
}

impl Shown {
    /// An empty place.
    pub fn new() -> Self {
        Self { body: el("div").class("answer"), drawn: RefCell::default() }
    }

    /// Shows an answer in full; elements stay where their kind does, so that an unfolded thought stays
    /// unfolded.
    pub fn show(&self, answer: &str, speech: &Speech) {
        let parts = parts(answer, TAGS);
        let mut drawn = self.drawn.borrow_mut();
        // Nothing drawn yet: what stands there is the sign of waiting.
        let fits = !drawn.is_empty()
            && drawn.len() <= parts.len()
            && drawn.iter().zip(&parts).all(|(drawn, part)| drawn.fits(part));
        if !fits {
            self.body.clear();
            drawn.clear();
        }
        for (i, part) in parts.iter().enumerate() {
            if i == drawn.len() {
                drawn.push(Drawn::new(part, &self.body));
            }
            drawn[i].write(part, speech);
        }
    }
}

impl Default for Shown {
    fn default() -> Self {
        Self::new()
    }
}

impl Drawn {
    fn new(part: &Part, body: &El) -> Self {
        match part {
            Part::Said(_) => {
                let text = el("div").class("said");
                body.add(&text);
                Self::Said(text)
            }
            Part::Thought(..) => {
                let (summary, text) = (el("summary"), el("div").class("said faint"));
                body.add(&el("details").class("thought").child(&summary).child(&text));
                Self::Thought { text, summary }
            }
        }
    }

    fn fits(&self, part: &Part) -> bool {
        matches!((self, part), (Self::Said(_), Part::Said(_)) | (Self::Thought { .. }, Part::Thought(..)))
    }

    fn write(&self, part: &Part, speech: &Speech) {
        match (self, part) {
            (Self::Said(place), Part::Said(text)) => place.write(text),
            (Self::Thought { text: place, summary }, Part::Thought(text, ended)) => {
                place.write(text);
                let t = speech.text();
                summary.write(if *ended { t.chat.thought } else { t.chat.thinking });
            }
            _ => (),
        }
    }
}
