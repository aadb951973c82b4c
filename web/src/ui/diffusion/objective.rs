//! What a diffusion model learns, in a sentence, with what may be set of it; and what it cannot learn.

use std::cell::RefCell;
use std::rc::Rc;

use serde_json::{Map, Value};

use crate::language::Sentence;
use crate::messages::run::Stage;
use crate::ui::app::App;
use crate::ui::dom::{self, El, el, field};
use crate::ui::numbers::{Number, Numbers};

const RANGE: [Number; 2] = [
    Number::new("from", |t| t.diffusion.t_from, ["0", "1", "any"]),
    Number::new("to", |t| t.diffusion.t_to, ["0", "1", "any"]),
];
/// How hidden words are weighed; the first is the engine's default.
const WEIGHTS: [(&str, Sentence); 2] =
    [("uniform", |t| t.diffusion.uniform), ("inverse-t", |t| t.diffusion.inverse_t)];
const WEIGHT: &str = "loss-weight";
const T_RANGE: &str = "t-range";

/// Seen while a diffusion model is open.
pub struct Objective {
    /// What may be set, below the choice of what trains.
    pub place: El,
    /// Below the choice of the stage: which of them are not for it.
    pub reason: El,
    /// What is learned, in sight of all.
    pub says: El,
    app: Rc<App>,
    weight: El,
    range: Numbers,
    /// The range where none is set, as the engine has it.
    default: RefCell<String>,
}

impl Objective {
    /// Builds it; `changed` is called whenever something was set.
    pub fn build(app: &Rc<App>, changed: &Rc<dyn Fn()>) -> Self {
        let speech = &app.speech;
        let list = el("select").id("teach-loss-weight");
        let weight = WEIGHTS.iter().fold(list, |list, (value, sentence)| {
            list.child(&el("option").attr("value", value).say(speech, *sentence))
        });
        let range = Numbers::build(speech, "teach-t", &RANGE);
        range.group.add(&field(speech, |t| t.diffusion.loss_weight, &weight));
        let says = el("p").class("faint").id("teach-objective");
        let (says, place) = (says.shown(false), el("div").class("stack").child(&range.group).shown(false));
        let changed = Rc::clone(changed);
        dom::listen(&place, "input", move |_| changed());
        let reason = el("p").class("faint").id("teach-only-causal").say(speech, |t| t.diffusion.only_causal);
        let (reason, app) = (reason.shown(false), Rc::clone(app));
        Self { place, reason, app, says, weight, range, default: RefCell::default() }
    }

    /// Whether the open model is one.
    pub fn is_open(&self) -> bool {
        self.app.model().is_some_and(|model| model.diffusion.is_some())
    }

    /// Shows what belongs to a stage, where it `learns` by hidden words, and what holds where nothing is set.
    pub fn show(&self, stage: Stage, learns: bool, defaults: Option<&Map<String, Value>>) {
        self.place.show(learns);
        self.says.show(learns);
        self.reason.show(self.is_open());
        let t = &self.app.speech.text().diffusion;
        self.says.write(if stage == Stage::Sft { t.objective_sft } else { t.objective });
        if let Some(range) = defaults.and_then(|defaults| defaults.get(T_RANGE)).and_then(Value::as_str) {
            self.default.replace(range.to_string());
            let ends = range.split(',').map(str::trim);
            for (input, end) in ["from", "to"].iter().filter_map(|key| self.range.input(key)).zip(ends) {
                input.set("placeholder", end);
            }
        }
    }

    /// What was set, by the names of the training's settings.
    pub fn values(&self) -> Map<String, Value> {
        let (mut values, set) = (Map::new(), self.range.values());
        let weight = self.weight.value();
        if weight != WEIGHTS[0].0 {
            values.insert(WEIGHT.into(), weight.into());
        }
        if !set.is_empty() {
            let default = self.default.borrow();
            let (from, to) = default.split_once(',').unwrap_or(("0", "1"));
            let end = |key: &str, other: &str| {
                set.get(key).map_or_else(|| other.trim().to_string(), Value::to_string)
            };
            values.insert(T_RANGE.into(), format!("{},{}", end("from", from), end("to", to)).into());
        }
        values
    }

    /// Puts in what was set last time.
    pub fn restore(&self, values: &Map<String, Value>) {
        let word = |key: &str| values.get(key).and_then(Value::as_str).unwrap_or_default();
        let known = WEIGHTS.iter().find(|(weight, _)| *weight == word(WEIGHT));
        self.weight.set_value(known.unwrap_or(&WEIGHTS[0]).0);
        let ends = word(T_RANGE).split_once(',');
        let end = |text: &str| text.trim().parse::<f64>().ok().map(Value::from);
        let set = ends.map(|(from, to)| [("from", end(from)), ("to", end(to))]).into_iter().flatten();
        let set = set.filter_map(|(key, end)| Some((key.to_string(), end?)));
        self.range.fill(&set.collect());
    }

    /// Settings of a lesson that no field is for, or none with this value.
    pub fn without_field(&self, values: &Map<String, Value>) -> Vec<String> {
        let is_known = |key: &str, value: &Value| match (key, value.as_str()) {
            (WEIGHT, Some(word)) => WEIGHTS.iter().any(|(known, _)| *known == word),
            (T_RANGE, Some(range)) => range
                .split_once(',')
                .is_some_and(|(from, to)| [from, to].iter().all(|end| end.trim().parse::<f64>().is_ok())),
            _ => false,
        };
        values.iter().filter(|(key, value)| !is_known(key, value)).map(|(key, _)| key.clone()).collect()
    }
}

/// Whether a diffusion model learns by a stage; the others need a model that writes from left to right.
pub fn takes_masked(stage: Stage) -> bool {
    matches!(stage, Stage::Sft | Stage::Pretrain)
}
