//! The finer settings of a run, in a fold below the others: what many never need, and a teacher may want to show.

use serde_json::{Map, Value};

use super::dom::{El, el};
use super::lesson::Lesson;
use super::numbers::Number;
use super::options::{Choice, Kind, Options, Setting};
use super::speech::{Slot, Speech};
use crate::messages::model::Defaults;
use crate::messages::run::Stage;
use crate::settings::{add, is_above_zero};

const TRAINING: [Number; 6] = [
    Number::new("grad-accum", |t| t.finer.accumulated, ["1", "1024", "1"]),
    Number::new("neftune", |t| t.finer.neftune, ["0", "1000", "any"]),
    Number::new("dropout", |t| t.finer.dropout, ["0", "0.99", "any"]),
    Number::new(EARLY_STOP, |t| t.finer.early_stop, ["0", "1000", "1"]),
    Number::new("ema", |t| t.finer.ema, ["0", "0.999999", "any"]),
    Number::new("seed", |t| t.chat.seed, ["0", "4294967295", "1"]),
];
const EARLY_STOP: &str = "early-stop";
static OF_TRAINING: [Setting; 2] = [
    Setting { key: OF_WHOLE[0], sentence: |t| t.finer.muon, kind: Kind::Switch },
    Setting { key: OF_WHOLE[1], sentence: |t| t.finer.freeze, kind: Kind::Any(&PARTS) },
];
/// Those of them that act where the model itself trains.
pub const OF_WHOLE: [&str; 2] = ["muon", "freeze"];
static PARTS: [Choice; 7] = [
    ("embedding", |t| t.finer.embedding),
    ("norm", |t| t.finer.norm),
    ("attention", |t| t.finer.attention),
    ("mlp", |t| t.finer.mlp),
    ("experts", |t| t.finer.experts),
    ("router", |t| t.finer.router),
    ("head", |t| t.finer.head),
];
const LORA: [Number; 1] = [Number::new("dropout", |t| t.finer.lora_dropout, ["0", "0.99", "any"])];
static OF_LORA: [Setting; 3] = [
    Setting { key: "init-lora", sentence: |t| t.finer.init, kind: Kind::One(&INITS) },
    Setting { key: "dora", sentence: |t| t.finer.dora, kind: Kind::Switch },
    Setting { key: "rslora", sentence: |t| t.finer.rslora, kind: Kind::Switch },
];
static INITS: [Choice; 2] = [("default", |t| t.finer.init_default), ("pissa", |t| t.finer.pissa)];
static OF_DPO: [Setting; 1] =
    [Setting { key: "length-normalise", sentence: |t| t.finer.normalise, kind: Kind::Switch }];
const GRPO: [Number; 1] = [Number::new("clip-range", |t| t.finer.clip, ["0", "100", "any"])];
static OF_GRPO: [Setting; 2] = [
    Setting { key: "reward", sentence: |t| t.finer.reward, kind: Kind::Words(&RULES) },
    Setting { key: "grpo-loss", sentence: |t| t.finer.grpo_loss, kind: Kind::One(&GRPO_LOSSES) },
];
static RULES: [Choice; 4] = [
    ("answer", |t| t.finer.answer),
    ("tags", |t| t.finer.tags),
    ("length", |t| t.finer.length),
    ("repetition", |t| t.finer.repetition),
];
static GRPO_LOSSES: [Choice; 2] = [("clipped", |t| t.finer.clipped), ("cispo", |t| t.finer.cispo)];
static EXPERTS: [Number; 4] = [
    Number::new("num-experts", |t| t.finer.expert_count, ["1", "1024", "1"]),
    Number::new("num-experts-per-tok", |t| t.finer.per_token, ["1", "1024", "1"]),
    Number::new("n-shared-experts", |t| t.finer.shared, ["0", "64", "1"]),
    Number::new("router-aux-loss-coef", |t| t.finer.balance, ["0", "100", "any"]),
];

/// The preset whose experts may be set.
pub const MIXTURE: &str = "nano-moe";

/// What is chosen that decides which of them act.
#[derive(Clone, Copy)]
pub struct Chosen {
    /// The stage.
    pub stage: Stage,
    /// Whether an adapter trains, and not the model itself.
    pub adapts: bool,
    /// Whether a new mixture of experts is begun.
    pub mixes: bool,
}

/// The fields.
pub struct Finer {
    /// Where they are.
    pub place: El,
    training: Options,
    lora: Options,
    dpo: Options,
    grpo: Options,
    experts: Options,
}

impl Finer {
    /// Builds them.
    pub fn build(speech: &Speech) -> Self {
        let place = el("details").class("settings").id("teach-finer");
        let finer = Self {
            place: place.child(&el("summary").say(speech, |t| t.finer.settings)),
            training: Options::build(speech, "teach", &TRAINING, &OF_TRAINING),
            lora: Options::build(speech, "teach-lora", &LORA, &OF_LORA),
            dpo: Options::build(speech, "teach-dpo", &[], &OF_DPO),
            grpo: Options::build(speech, "teach-grpo", &GRPO, &OF_GRPO),
            experts: Options::build(speech, "teach-moe", &EXPERTS, &[]),
        };
        for options in [&finer.dpo, &finer.grpo, &finer.experts, &finer.lora, &finer.training] {
            finer.place.add(&options.group);
        }
        // What holds there depends on the model, on another setting, or on the preset.
        let given = [(&finer.training, "dropout"), (&finer.grpo, "clip-range")];
        let of_preset = EXPERTS.iter().map(|number| (&finer.experts, number.key));
        for (options, key) in given.into_iter().chain(of_preset) {
            if let Some(input) = options.numbers.input(key) {
                speech.add(input, Slot::Attribute("placeholder"), |t| t.teach.automatic);
            }
        }
        finer
    }

    /// Shows those that act, and what holds where nothing is set.
    pub fn show(&self, chosen: Chosen, defaults: Option<&Defaults>) {
        self.lora.group.show(chosen.adapts);
        self.dpo.group.show(chosen.stage == Stage::Dpo);
        self.grpo.group.show(chosen.stage == Stage::Grpo);
        self.experts.group.show(chosen.mixes);
        OF_WHOLE.iter().for_each(|key| self.training.show_setting(key, !chosen.adapts));
        if let Some(defaults) = defaults {
            self.training.suggest(&defaults.config);
            self.lora.suggest(&defaults.lora);
            self.grpo.suggest(&defaults.grpo);
        }
    }

    /// Whether the run is to end early, for which it has to be measured on the way.
    pub fn ends_early(&self) -> bool {
        is_above_zero(&self.training.numbers.values(), EARLY_STOP) == Some(true)
    }

    /// Notes what was set beside what the lesson has of the other fields.
    pub fn note(&self, lesson: &mut Lesson) {
        lesson.training.extend(self.training.values());
        lesson.lora.extend(self.lora.values());
        lesson.dpo.extend(self.dpo.values());
        lesson.grpo.extend(self.grpo.values());
        lesson.experts = self.experts.values();
    }

    /// Puts in what was set last time.
    pub fn restore(&self, lesson: &Lesson) {
        self.training.fill(&lesson.training);
        self.lora.fill(&lesson.lora);
        self.dpo.fill(&lesson.dpo);
        self.grpo.fill(&lesson.grpo);
        self.experts.fill(&lesson.experts);
        // What was set is not to act out of sight.
        let mut set = Lesson::default();
        self.note(&mut set);
        let groups = [&set.training, &set.lora, &set.dpo, &set.grpo, &set.experts];
        if groups.iter().any(|group| !group.is_empty()) {
            self.place.set("open", "");
        }
    }

    /// A lesson without what these fields show; `adapts` says whether an adapter learns it.
    pub fn rest_of(&self, lesson: &Lesson, adapts: bool) -> Lesson {
        let mut rest = lesson.clone();
        let idle = |key: &str| adapts && OF_WHOLE.contains(&key);
        rest.training.retain(|key, value| idle(key.as_str()) || !self.training.reads(key, value));
        rest.lora.retain(|key, value| !self.lora.reads(key, value));
        rest.dpo.retain(|key, value| !self.dpo.reads(key, value));
        rest.grpo.retain(|key, value| !self.grpo.reads(key, value));
        let mixes = lesson.preset == MIXTURE;
        rest.experts.retain(|key, value| !(mixes && self.experts.reads(key, value)));
        rest
    }

    /// Adds to a request what acts of what was set.
    pub fn add_to(&self, request: &mut Map<String, Value>, chosen: Chosen) {
        let mut training = self.training.values();
        training.retain(|key, _| !chosen.adapts || !OF_WHOLE.contains(&key.as_str()));
        add(request, "config", training);
        // Of adapter, preferences and rewards a request speaks only where there are such.
        add(request, "adapter", self.lora.values());
        add(request, "dpo", self.dpo.values());
        add(request, "grpo", self.grpo.values());
        let experts = self.experts.values();
        if chosen.mixes && !experts.is_empty() {
            request.insert("experts".into(), experts.into());
        }
    }
}
