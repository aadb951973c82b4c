//! How an answer of a masked predictor came to be: which place was filled at which step, and how sure the model was.

use crate::holes::between_holes;

/// A whole text with what was written into its holes, in parts of which each is new or not. Where the parts cannot be
/// found in it, it is one part, which is not new.
pub fn marked(asked: &str, holes: &[String], whole: &str) -> Vec<(String, bool)> {
    parts(asked, holes, whole).unwrap_or_else(|| vec![(whole.to_string(), false)])
}

fn parts(asked: &str, holes: &[String], whole: &str) -> Option<Vec<(String, bool)>> {
    let (said, mut parts, mut rest) = (between_holes(asked), Vec::new(), whole);
    let mut holes = holes.iter();
    let (last, before) = said.split_last()?;
    for text in before {
        let hole = holes.next()?;
        // The space before a hole is left to the word that fills it, which need not bring one.
        let ways = [Some(text.as_str()), text.strip_suffix(' ')];
        let found = ways.into_iter().flatten().find_map(|text| {
            let behind = rest.strip_prefix(text)?.strip_prefix(hole.as_str())?;
            Some((text, behind))
        });
        let (text, behind) = found?;
        parts.extend([(text.to_string(), false), (hole.clone(), true)]);
        rest = behind;
    }
    rest = rest.strip_prefix(last.as_str())?;
    parts.push((last.clone(), false));
    parts.retain(|(text, _)| !text.is_empty());
    (rest.is_empty() && holes.next().is_none()).then_some(parts)
}

/// A token that a step filled.
#[derive(Clone, Debug, PartialEq)]
pub struct Filled {
    /// Its text; empty for one that ends a text.
    pub text: String,
    /// The step, from 1.
    pub step: u32,
    /// The how-manieth token it was, from 1.
    pub order: u32,
    /// The model's probability for it, from 0 to 1.
    pub confidence: f64,
}

/// A place of the canvas.
#[derive(Clone, Debug, PartialEq)]
pub enum Place {
    /// It was there from the beginning.
    Given(String),
    /// No step has filled it.
    Hidden,
    /// A step filled it.
    Filled(Filled),
}

impl Place {
    /// The token that stands here after a step.
    pub fn after(&self, step: u32) -> Option<&Filled> {
        match self {
            Self::Filled(filled) if filled.step <= step => Some(filled),
            _ => None,
        }
    }
}

/// All steps of an answer. It grows with the answer's places and steps, and holds each token once.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Course {
    places: Vec<Place>,
    /// By step: how many places there were, and how many of them were filled.
    counts: Vec<(usize, u32)>,
    /// Steps planned.
    planned: u32,
    filled: u32,
}

impl Course {
    /// Notes by place what stands in a text with holes before the first step.
    pub fn give(&mut self, given: Vec<Option<String>>) {
        self.places = given.into_iter().map(|text| text.map_or(Place::Hidden, Place::Given)).collect();
    }

    /// Adds what a step filled, each with its place, text and confidence; steps come in their order. A place that was
    /// filled before, or was given, stays as it is.
    pub fn add(
        &mut self,
        step: u32,
        planned: u32,
        length: usize,
        filled: impl IntoIterator<Item = (usize, String, f64)>,
    ) {
        let step = step.max(self.steps()).max(1);
        self.planned = planned.max(step);
        self.reach(length);
        for (place, text, confidence) in filled {
            self.reach(place + 1);
            if self.places[place] == Place::Hidden {
                self.filled += 1;
                let order = self.filled;
                self.places[place] = Place::Filled(Filled { text, step, order, confidence });
            }
        }
        // A step that told nothing left all as it was.
        let before = self.counts.last().copied().unwrap_or_default();
        self.counts.resize(step as usize, before);
        if let Some(now) = self.counts.last_mut() {
            *now = (self.places.len(), self.filled);
        }
    }

    fn reach(&mut self, length: usize) {
        if length > self.places.len() {
            self.places.resize(length, Place::Hidden);
        }
    }

    /// All places, each as it is at the end.
    pub fn places(&self) -> &[Place] {
        &self.places
    }

    /// The last step.
    pub fn steps(&self) -> u32 {
        self.counts.len() as u32
    }

    /// Steps that there are going to be, at most.
    pub fn planned(&self) -> u32 {
        self.planned
    }

    /// How many places there are after a step; before the first as many as then.
    pub fn length(&self, step: u32) -> usize {
        let at = step.max(1).min(self.steps().max(1)) as usize - 1;
        self.counts.get(at).map_or(self.places.len(), |counts| counts.0)
    }

    /// How many of them a step or an earlier one filled.
    pub fn filled(&self, step: u32) -> u32 {
        let at = (step as usize).min(self.counts.len());
        at.checked_sub(1).map_or(0, |at| self.counts[at].1)
    }

    /// Whether nothing was filled.
    pub fn is_empty(&self) -> bool {
        self.filled == 0
    }
}

/// How long a step is shown when an answer is played, in milliseconds: all of it takes about five seconds.
pub fn pace(steps: u32) -> u32 {
    (5000 / steps.max(1)).clamp(40, 500)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(place: usize, text: &str) -> (usize, String, f64) {
        (place, text.into(), 0.5)
    }

    #[test]
    fn each_step_shows_what_was_filled_until_then() {
        let mut course = Course::default();
        course.add(1, 3, 4, [token(2, "c")]);
        course.add(2, 3, 4, [token(0, "a"), token(3, "d")]);
        course.add(3, 3, 4, [token(1, "b")]);
        let shown = |step| -> String {
            let texts = course
                .places()
                .iter()
                .map(|place| place.after(step).map_or("_", |token| token.text.as_str()));
            texts.collect()
        };
        assert_eq!([shown(0), shown(1), shown(2), shown(3)], ["____", "__c_", "a_cd", "abcd"]);
        assert_eq!([0, 1, 2, 3, 9].map(|step| course.filled(step)), [0, 1, 3, 4, 4]);
        assert_eq!((course.steps(), course.planned()), (3, 3));
        let orders = course.places().iter().filter_map(|place| place.after(3)).map(|token| token.order);
        assert_eq!(orders.collect::<Vec<_>>(), [2, 4, 1, 3]);
    }

    #[test]
    fn a_canvas_may_grow_block_by_block() {
        let mut course = Course::default();
        course.add(1, 4, 2, [token(0, "a")]);
        course.add(2, 4, 2, [token(1, "b")]);
        course.add(3, 4, 4, [token(2, "c")]);
        assert_eq!([0, 1, 2, 3, 4].map(|step| course.length(step)), [2, 2, 2, 4, 4]);
        assert_eq!(course.places()[3], Place::Hidden);
    }

    #[test]
    fn what_is_given_or_filled_stays() {
        let mut course = Course::default();
        course.give(vec![Some("The ".into()), None, Some(".".into())]);
        assert_eq!((course.steps(), course.length(0)), (0, 3));
        course.add(1, 1, 3, [token(0, "x"), token(1, "moon")]);
        course.add(2, 1, 3, [token(1, "sun")]);
        assert_eq!(course.places()[0], Place::Given("The ".into()));
        assert_eq!(course.places()[1].after(2).map(|token| token.text.as_str()), Some("moon"));
        assert_eq!(
            (course.filled(2), course.planned()),
            (1, 2),
            "there are never fewer steps than there were"
        );
    }

    #[test]
    fn a_step_that_nobody_told_of_changed_nothing() {
        let mut course = Course::default();
        course.add(1, 5, 3, [token(0, "a")]);
        course.add(4, 5, 3, [token(9, "far")]);
        assert_eq!([1, 2, 3, 4].map(|step| course.filled(step)), [1, 1, 1, 2]);
        assert_eq!(course.length(4), 10, "a place behind the end makes room for itself");
        // One that comes late counts for the step of now.
        course.add(2, 5, 10, [token(1, "b")]);
        assert_eq!((course.steps(), course.filled(4)), (4, 3));
    }

    #[test]
    fn nothing_has_no_steps() {
        let course = Course::default();
        assert!(course.is_empty());
        assert_eq!((course.steps(), course.length(0), course.filled(0), course.filled(7)), (0, 0, 0, 0));
    }

    #[test]
    fn what_fills_a_hole_is_marked() {
        let part = |text: &str, new| (text.to_string(), new);
        let told = |holes: &[&str]| holes.iter().map(|hole| hole.to_string()).collect::<Vec<_>>();
        let parts = marked("Here ____ sat on a ___.", &told(&["a cat", "mat"]), "Here a cat sat on a mat.");
        let [here, cat, sat] = [part("Here ", false), part("a cat", true), part(" sat on a ", false)];
        assert_eq!(parts, [here, cat, sat, part("mat", true), part(".", false)]);
        // The space before a word is one with it.
        let parts = marked("Here ___ sat.", &told(&[" a cat"]), "Here a cat sat.");
        assert_eq!(parts, [part("Here", false), part(" a cat", true), part(" sat.", false)]);
        let parts = marked("Here ___ sat.", &told(&["x"]), "Herex sat.");
        assert_eq!(parts, [part("Here", false), part("x", true), part(" sat.", false)]);
        assert_eq!(marked("___", &told(&["so"]), "so"), [part("so", true)]);
        assert_eq!(marked(r"\___ ___", &told(&["b"]), "___ b"), [part("___ ", false), part("b", true)]);
        // A hole that was left empty marks nothing.
        assert_eq!(marked("a ___b", &told(&[""]), "a b"), [part("a ", false), part("b", false)]);
        // A tokenizer may change what is given; then nobody knows where the new begins.
        for (asked, holes, whole) in
            [("Ａ ___", &["b"][..], "A b"), ("___", &[][..], "b"), ("___", &["b", "c"][..], "bc")]
        {
            assert_eq!(marked(asked, &told(holes), whole), [part(whole, false)]);
        }
    }

    #[test]
    fn playing_takes_about_five_seconds() {
        assert_eq!([0, 1, 10, 50, 1000].map(pace), [500, 500, 500, 100, 40]);
    }
}
