//! What is seen of a masked predictor while it writes: a text that is redrawn until it is whole, a line a step, or the steps
//! as programs read them.

mod lines;
mod screen;

use std::time::Instant;

use kindling::sample::{UnmaskStep, Unmasked};
use kindling::tokenizer::Tokenizer;
use serde::{Deserialize, Serialize};

use self::lines::{Place, Style, one_line};
use self::screen::Screen;
use crate::output::Output;

/// A step as programs see it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Step {
    /// Its number, from 1.
    pub step: usize,
    /// The tokens that it filled, the surest first.
    pub filled: Vec<Unmasked>,
}

/// The steps of one answer, as they come.
pub struct Unmasking<'a> {
    tokenizer: Option<&'a Tokenizer>,
    output: Output,
    style: Style,
    /// Whether every step is told.
    tells: bool,
    /// Where the text is redrawn.
    screen: Option<Screen>,
    places: Vec<Place>,
    /// Where the places of steps begin among them: behind what is only shown.
    first: usize,
    steps: Vec<Step>,
    begun: Instant,
}

impl<'a> Unmasking<'a> {
    /// Nothing yet; `tells` whether every step stands in the results. Without a tokenizer tokens are shown by their ids.
    pub fn new(tokenizer: Option<&'a Tokenizer>, output: Output, tells: bool) -> Self {
        let style = Style::of_environment();
        Self {
            tokenizer,
            output,
            style,
            tells,
            screen: if tells { None } else { Screen::open(output, style) },
            places: Vec::new(),
            first: 0,
            steps: Vec::new(),
            begun: Instant::now(),
        }
    }

    /// Of an answer that goes on behind this text.
    pub fn behind(mut self, text: &str) -> Self {
        self.places = vec![Place::Given(text.as_bytes().to_vec())];
        self.first = 1;
        self
    }

    /// Of holes in a text of these ids: the places that are `hidden`.
    pub fn within(mut self, ids: &[u32], hidden: impl Fn(usize) -> bool) -> Self {
        let place = |(place, id): (usize, &u32)| match hidden(place) {
            true => Place::Hidden,
            // What a template or a tokenizer puts around a text is no part of it.
            false if self.is_special(*id) => Place::Given(Vec::new()),
            false => Place::Given(self.bytes(*id)),
        };
        let places = ids.iter().enumerate().map(place).collect();
        self.places = places;
        self
    }

    /// Whether the text is seen before it is whole, so that it is not to be written as it comes.
    pub fn is_seen(&self) -> bool {
        self.tells || self.screen.is_some()
    }

    /// Takes a step.
    pub fn push(&mut self, step: &UnmaskStep) {
        let reach = step.filled.iter().map(|one| one.place + 1).max().unwrap_or(0).max(step.canvas.len());
        if self.places.len() < self.first + reach {
            self.places.resize(self.first + reach, Place::Hidden);
        }
        for one in step.filled {
            self.places[self.first + one.place] =
                Place::Filled { bytes: self.bytes(one.id), confidence: one.confidence, step: step.step };
        }
        self.steps.push(Step { step: step.step, filled: step.filled.to_vec() });
        let (places, newest) = (&self.places[self.first..], step.step);
        if self.tells {
            let text = one_line(places, newest, self.style);
            self.output.line(&format!("step {newest}/{}: {text}", step.steps));
        }
        let filled: usize = self.steps.iter().map(|step| step.filled.len()).sum();
        let hidden = places.iter().filter(|place| **place == Place::Hidden).count();
        let seconds = self.begun.elapsed().as_secs_f64();
        let speed = if seconds > 0.0 { filled as f64 / seconds } else { 0.0 };
        let between = if self.style.unicode { '·' } else { '-' };
        let below = format!(
            "step {newest}/{} {between} {filled} of {} tokens {between} {speed:.1} tokens/s",
            step.steps,
            filled + hidden
        );
        if let Some(screen) = &mut self.screen {
            screen.draw(&self.places, newest, &below);
        }
    }

    /// The answer is whole: nothing is left of the drawing. Gives the steps, where they are told to a program.
    pub fn finish(self) -> Option<Vec<Step>> {
        if let Some(mut screen) = self.screen {
            screen.clear();
        }
        (self.tells && self.output.json).then_some(self.steps)
    }

    fn is_special(&self, id: u32) -> bool {
        self.tokenizer.is_some_and(|tokenizer| tokenizer.is_special(id))
    }

    /// What stands for a token.
    fn bytes(&self, id: u32) -> Vec<u8> {
        let mark = if self.style.unicode { "·" } else { "." };
        match self.tokenizer {
            // Such as the end of the answer, which is no text.
            Some(tokenizer) if tokenizer.is_special(id) => mark.into(),
            Some(tokenizer) => tokenizer.token_bytes(id),
            None => format!("<{id}>").into(),
        }
    }
}
