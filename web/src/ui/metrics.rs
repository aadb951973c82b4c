//! What an objective reports beside its loss: each number with its name and a small line of its course.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use super::app::App;
use super::dom::{El, el, svg};
use crate::format::{fill, loss};
use crate::language::{Sentence, Text};
use crate::scale::{Frame, Series};

const WIDTH: f64 = 120.0;
const HEIGHT: f64 = 24.0;
/// The share of hidden tokens that were told rightly; behind it a tenth of the share that is hidden, as `_t3`.
const RESTORED: &str = "masked_accuracy";
/// What the loop calls its numbers, in the order in which they are shown; those that are not here follow, by the loop's
/// own names.
const NAMES: [(&str, Sentence); 28] = [
    ("reward_margin", |t| t.stages.reward_margin),
    ("reward_accuracy", |t| t.stages.reward_accuracy),
    ("chosen_likelier", |t| t.stages.chosen_likelier),
    ("reward_chosen", |t| t.stages.reward_chosen),
    ("reward_rejected", |t| t.stages.reward_rejected),
    ("reward", |t| t.stages.reward),
    ("reward_answer", |t| t.stages.reward_answer),
    ("reward_tags", |t| t.stages.reward_tags),
    ("reward_length", |t| t.stages.reward_length),
    ("reward_repetition", |t| t.stages.reward_repetition),
    ("answer_accuracy", |t| t.stages.answer_accuracy),
    ("format_rate", |t| t.stages.format_rate),
    ("answers", |t| t.stages.answered),
    ("response_length", |t| t.stages.response_length),
    ("kl", |t| t.stages.kl),
    ("clip_share", |t| t.stages.clip_share),
    ("groups_without_variance", |t| t.stages.groups_without_variance),
    ("ce_loss", |t| t.stages.ce_loss),
    ("kd_loss", |t| t.stages.kd_loss_now),
    ("own_kd_loss", |t| t.stages.own_kd_loss),
    ("keep_loss", |t| t.stages.keep_loss),
    ("aux_loss", |t| t.stages.aux_loss),
    ("expert_load_max", |t| t.stages.fullest),
    (RESTORED, |t| t.diffusion.restored),
    ("unigram_accuracy", |t| t.diffusion.unigram),
    ("nll_bound", |t| t.diffusion.nll_bound),
    ("perplexity_bound", |t| t.diffusion.perplexity_bound),
    ("bits_per_byte_bound", |t| t.diffusion.bits_bound),
];

/// The numbers of a run.
pub struct Metrics {
    /// All of it, hidden while nothing is reported.
    pub place: El,
    app: Rc<App>,
    list: El,
    shown: RefCell<BTreeMap<String, Shown>>,
}

/// A number.
struct Shown {
    row: El,
    name: El,
    value: El,
    drawing: El,
    line: El,
    series: Series,
}

impl Metrics {
    /// An empty list.
    pub fn build(app: &Rc<App>) -> Self {
        let list = el("ul").class("plain metrics").id("teach-metrics");
        let place = el("div").class("chart").shown(false);
        let place = place.child(&el("h3").say(&app.speech, |t| t.stages.numbers)).child(&list);
        Self { place, app: Rc::clone(app), list, shown: RefCell::default() }
    }

    /// Empties it for a run.
    pub fn begin(&self) {
        self.shown.borrow_mut().clear();
        self.list.clear();
        self.place.show(false);
    }

    /// Adds what was reported after a step; of held-out rows under names of their own.
    pub fn add(&self, step: f64, reported: &BTreeMap<String, Option<f64>>, held_out: bool) {
        let mut shown = self.shown.borrow_mut();
        for (key, value) in reported {
            let id = if held_out { format!("{key}-held-out") } else { key.clone() };
            shown.entry(id.clone()).or_insert_with(|| Shown::build(&id)).add(step, *value);
        }
        if self.list.child_element_count() as usize != shown.len() {
            self.list.clear();
            let mut rows: Vec<_> = shown.iter().collect();
            rows.sort_by_key(|(id, _)| place_of(id));
            rows.into_iter().for_each(|(_, shown)| self.list.add(&shown.row));
        }
        drop(shown);
        self.place.show(!self.shown.borrow().is_empty());
        self.speak();
    }

    /// Says the names in the language of now.
    pub fn speak(&self) {
        let t = self.app.speech.text();
        for (id, shown) in self.shown.borrow().iter() {
            shown.speak(&name_of(id, t), t);
        }
    }
}

impl Shown {
    fn build(id: &str) -> Self {
        let line = svg("polyline").attr("class", "curve");
        let drawing = svg("svg").attr("role", "img").attr("viewBox", &format!("0 0 {WIDTH} {HEIGHT}"));
        let drawing = drawing.attr("preserveAspectRatio", "none").child(&line);
        // Many change at every report; whoever listens would hear nothing else.
        let value = el("output").attr("aria-live", "off").test(&format!("metric-{id}")).text("–");
        let name = el("span");
        let row = el("li").test("metric").attr("data-name", id);
        let row = row.child(&name).child(&drawing).child(&value);
        Self { row, name, value, drawing, line, series: Series::default() }
    }

    fn add(&mut self, step: f64, value: Option<f64>) {
        self.series.push(step, value.unwrap_or(f64::NAN));
        let frame = Frame::around(&[&self.series], 1.0);
        self.line.set("points", &frame.points(&self.series, WIDTH, HEIGHT));
        self.value.write(&loss(value));
    }

    fn speak(&self, name: &str, t: &Text) {
        self.name.write(name);
        let [first, last] = [self.series.first(), self.series.last()].map(|point| loss(point.map(|p| p.1)));
        self.drawing.set("aria-label", &fill(t.stages.number_words, &[name, &first, &last]));
    }
}

/// The key of a number, and whether it is of held-out rows.
fn key_of(id: &str) -> (&str, bool) {
    id.strip_suffix("-held-out").map_or((id, false), |key| (key, true))
}

fn place_of(id: &str) -> (usize, u32, bool) {
    let (key, held_out) = key_of(id);
    let place = NAMES.iter().position(|(known, _)| *known == key).unwrap_or(NAMES.len());
    (place, tenth_of(key).unwrap_or_default(), held_out)
}

fn name_of(id: &str, t: &'static Text) -> String {
    let (key, held_out) = key_of(id);
    let known = NAMES.iter().find(|(known, _)| *known == key);
    let name = known.map(|(_, sentence)| sentence(t).to_string()).or_else(|| restored(key, t));
    let name = name.unwrap_or_else(|| key.replace('_', " "));
    if held_out { fill(t.stages.held_out, &[&name]) } else { name }
}

/// The name of the share that was restored where between two shares of the tokens are hidden.
fn restored(key: &str, t: &'static Text) -> Option<String> {
    let [from, to] = match (key, tenth_of(key)) {
        ("reconstruction_accuracy", _) => [10, 50],
        (_, tenth) => tenth.map(|tenth| [(tenth - 1) * 10, tenth * 10])?,
    };
    Some(fill(t.diffusion.restored_of, &[&from.to_string(), &to.to_string()]))
}

/// The how-manieth tenth a key is of, from 1.
fn tenth_of(key: &str) -> Option<u32> {
    key.strip_prefix(RESTORED)?.strip_prefix("_t")?.parse().ok().filter(|tenth| *tenth > 0)
}
