//! What only some stages ask for: how preferences are weighed, who teaches, and which model learns.

use std::cell::RefCell;
use std::rc::Rc;

use serde_json::{Map, Value, json};

use super::app::{App, Topic};
use super::dom::{self, El, el, field};
use super::engine;
use super::finer::MIXTURE;
use super::lesson::Lesson;
use super::numbers::{Number, Numbers};
use super::options::{Choice, choose, select};
use crate::language::Sentence;
use crate::messages::model::Defaults;
use crate::messages::run::Stage;

const DPO: [Number; 4] = [
    Number::new("beta", |t| t.stages.beta, ["0", "100", "any"]),
    Number::new("sft-weight", |t| t.stages.sft_weight, ["0", "100", "any"]),
    Number::new("label-smoothing", |t| t.stages.smoothing, ["0", "0.5", "any"]),
    Number::new("max-prompt-len", |t| t.stages.prompt_len, ["0", "32768", "1"]),
];
const DISTILL: [Number; 5] = [
    Number::new("alpha", |t| t.stages.kd_alpha, ["0", "1", "any"]),
    Number::new("kd-temperature", |t| t.stages.kd_temperature, ["0.05", "100", "any"]),
    Number::new("kd-skew", |t| t.stages.kd_skew, ["0.001", "0.999", "any"]),
    Number::new("on-policy", |t| t.stages.on_policy, ["0", "1", "any"]),
    Number::new("max-new-tokens", |t| t.stages.own_tokens, ["1", "32768", "1"]),
];
const REASON: [Number; 3] = [
    Number::new("tag-weight", |t| t.stages.tag_weight, ["0.001", "1000", "any"]),
    Number::new("eval-answers", |t| t.stages.eval_answers, ["0", "10000", "1"]),
    Number::new("eval-max-new-tokens", |t| t.stages.own_tokens, ["1", "32768", "1"]),
];
const GRPO: [Number; 6] = [
    Number::new("group-size", |t| t.stages.group_size, ["2", "256", "1"]),
    Number::new("max-new-tokens", |t| t.stages.own_tokens, ["1", "32768", "1"]),
    Number::new("kl-beta", |t| t.stages.kl_beta, ["0", "100", "any"]),
    Number::new("temperature", |t| t.chat.temperature, ["0.05", "10", "any"]),
    Number::new("rollout-steps", |t| t.stages.rollout_steps, ["1", "100", "1"]),
    Number::new("eval-answers", |t| t.stages.eval_answers, ["0", "10000", "1"]),
];
const DPO_LOSSES: [Choice; 4] = [
    ("sigmoid", |t| t.stages.sigmoid),
    ("ipo", |t| t.stages.ipo),
    ("hinge", |t| t.stages.hinge),
    ("robust", |t| t.stages.robust),
];
const KD_LOSSES: [Choice; 4] = [
    ("forward-kl", |t| t.stages.forward_kl),
    ("reverse-kl", |t| t.stages.reverse_kl),
    ("jsd", |t| t.stages.jsd),
    ("skew-kl", |t| t.stages.skew_kl),
];
const WEIGHTS: [Choice; 3] =
    [("f32", |t| t.models.f32), ("q8_0", |t| t.models.q8_0), ("q4_0", |t| t.models.q4_0)];
const PRESETS: [Choice; 3] =
    [("", |t| t.stages.preset_open), ("nano", |t| t.stages.preset_nano), (MIXTURE, |t| t.stages.preset_moe)];
/// The teacher that is open, in the list of teachers; the others are there by their names behind a mark.
const OPEN: &str = "open";
const KEPT: &str = "kept:";

/// The fields that only some stages have.
pub struct OfStage {
    app: Rc<App>,
    dpo: Numbers,
    dpo_loss: El,
    distill: Numbers,
    kd_loss: El,
    reason: Numbers,
    grpo: Numbers,
    teacher: El,
    /// What was chosen there, also while the list does not hold it.
    chosen: RefCell<String>,
    /// Who is listed there.
    listed: RefCell<Vec<String>>,
    weights: El,
    preset: El,
    /// What is shown of preferences, of distillation, of new models, of thinking and of rewards.
    places: [El; 5],
}

impl OfStage {
    /// Builds the fields into their place; `changed` is called whenever one of them was.
    pub fn build(app: &Rc<App>, place: &El, changed: &Rc<dyn Fn()>) -> Rc<Self> {
        let speech = &app.speech;
        let of_stage = Rc::new(Self {
            app: Rc::clone(app),
            dpo: Numbers::build(speech, "teach-dpo", &DPO),
            dpo_loss: select(speech, "teach-dpo-loss", &DPO_LOSSES),
            distill: Numbers::build(speech, "teach-distill", &DISTILL),
            kd_loss: select(speech, "teach-kd-loss", &KD_LOSSES),
            reason: Numbers::build(speech, "teach-reason", &REASON),
            grpo: Numbers::build(speech, "teach-grpo", &GRPO),
            teacher: el("select").id("teach-teacher"),
            chosen: RefCell::default(),
            listed: RefCell::default(),
            weights: select(speech, "teach-teacher-weights", &WEIGHTS),
            preset: select(speech, "teach-preset", &PRESETS),
            places: [(); 5].map(|()| el("div").class("stack").shown(false)),
        });
        of_stage.fill();
        for part in &of_stage.places {
            place.add(part);
            let changed = Rc::clone(changed);
            dom::listen(part, "input", move |_| changed());
        }
        let noted = Rc::clone(&of_stage);
        // Before the place around it hears of it, which keeps what is chosen.
        dom::listen(&of_stage.teacher, "input", move |_| {
            noted.chosen.replace(noted.teacher.value());
        });
        for topic in [Topic::Model, Topic::Kept, Topic::Language] {
            let listed = Rc::clone(&of_stage);
            app.watch(topic, move || listed.list_teachers());
        }
        of_stage
    }

    fn fill(&self) {
        let speech = &self.app.speech;
        let [dpo, distill, preset, reason, grpo] = &self.places;
        reason.add(&self.reason.group);
        grpo.add(&self.grpo.group);
        let line = |fields: [&El; 2], names: [Sentence; 2]| {
            let line = el("div").class("fields").child(&field(speech, names[0], fields[0]));
            line.child(&field(speech, names[1], fields[1]))
        };
        dpo.add(&el("div").class("fields").child(&field(speech, |t| t.stages.dpo_loss, &self.dpo_loss)));
        dpo.add(&self.dpo.group);
        let names: [Sentence; 2] = [|t| t.stages.teacher, |t| t.stages.teacher_weights];
        distill.add(&line([&self.teacher, &self.weights], names));
        distill.add(&el("p").class("faint").say(speech, |t| t.stages.teacher_hint));
        distill.add(&el("div").class("fields").child(&field(speech, |t| t.stages.kd_loss, &self.kd_loss)));
        distill.add(&self.distill.group);
        preset.add(&el("div").class("fields").child(&field(speech, |t| t.stages.preset, &self.preset)));
    }

    /// Shows what belongs to a stage, and what holds where nothing is set.
    pub fn show(&self, stage: Stage, whole: bool, defaults: Option<&Defaults>) {
        let [dpo, distill, preset, reason, grpo] = &self.places;
        reason.show(stage == Stage::Reason);
        grpo.show(stage == Stage::Grpo);
        dpo.show(stage == Stage::Dpo);
        distill.show(stage == Stage::Distill);
        preset.show(takes_preset(stage, whole));
        if let Some(defaults) = defaults {
            self.dpo.suggest(&defaults.dpo);
            self.distill.suggest(&defaults.distill);
            self.reason.suggest(&defaults.reason);
            self.grpo.suggest(&defaults.grpo);
        }
    }

    /// Lists who may teach: the open model and those that are kept.
    fn list_teachers(self: &Rc<Self>) {
        let of_stage = Rc::clone(self);
        self.app.spawn(async move {
            // Without an answer the open model is all that is known.
            let kept = engine::models().await.unwrap_or_default();
            let whole = kept.iter().filter(|model| model.damaged.is_none());
            let names: Vec<String> = whole.map(|model| format!("{KEPT}{}", model.name)).collect();
            of_stage.list(&names);
            let chosen = of_stage.chosen.borrow().clone();
            let is_there = chosen == OPEN || names.contains(&chosen);
            // A student does not learn from what it is.
            let open = of_stage.app.model().map(|model| model.name);
            let other = kept.iter().find(|model| model.teaches && Some(&model.name) != open.as_ref());
            let other = other.map_or_else(|| OPEN.into(), |model| format!("{KEPT}{}", model.name));
            of_stage.teacher.set_value(if is_there { &chosen } else { &other });
            Ok(())
        });
    }

    /// Puts names into the list; one that holds them already stays as it is, perhaps under somebody's hand.
    fn list(&self, names: &[String]) {
        let open = self.app.speech.text().stages.teacher_open;
        let all: Vec<String> = std::iter::once(open.to_string()).chain(names.iter().cloned()).collect();
        if self.listed.replace(all.clone()) == all {
            return;
        }
        self.teacher.clear();
        self.teacher.add(&option(OPEN, open));
        for name in names {
            self.teacher.add(&option(name, &name[KEPT.len()..]));
        }
    }

    /// Adds to a request what its stage has been given.
    pub fn add_to(&self, request: &mut Map<String, Value>, stage: Stage, whole: bool) {
        match stage {
            Stage::Dpo => drop(request.insert("dpo".into(), self.dpo_values().into())),
            Stage::Distill => {
                request.insert("distill".into(), self.distill_values().into());
                let teacher = self.teacher.value();
                let kept = teacher.strip_prefix(KEPT).map(|name| json!({ "kept": name }));
                request.insert("teacher".into(), kept.unwrap_or_else(|| OPEN.into()));
                request.insert("teacherWeights".into(), self.weights.value().into());
            }
            Stage::Reason => drop(request.insert("reason".into(), self.reason.values().into())),
            Stage::Grpo => drop(request.insert("grpo".into(), self.grpo.values().into())),
            Stage::Pretrain | Stage::Sft => (),
        }
        if self.begins_new(stage, whole) {
            request.insert("preset".into(), self.preset.value().into());
        }
    }

    /// Whether a new model is to learn, and not the open one.
    pub fn begins_new(&self, stage: Stage, whole: bool) -> bool {
        takes_preset(stage, whole) && !self.preset.value().is_empty()
    }

    /// Whether that is a mixture of experts.
    pub fn mixes(&self, stage: Stage, whole: bool) -> bool {
        self.begins_new(stage, whole) && self.preset.value() == MIXTURE
    }

    fn dpo_values(&self) -> Map<String, Value> {
        with(self.dpo.values(), "dpo-loss", &self.dpo_loss, &DPO_LOSSES)
    }

    fn distill_values(&self) -> Map<String, Value> {
        with(self.distill.values(), "kd-loss", &self.kd_loss, &KD_LOSSES)
    }

    /// Notes what was set.
    pub fn note(&self, lesson: &mut Lesson) {
        (lesson.dpo, lesson.distill) = (self.dpo_values(), self.distill_values());
        (lesson.reason, lesson.grpo) = (self.reason.values(), self.grpo.values());
        lesson.teacher = self.chosen.borrow().clone();
        (lesson.teacher_weights, lesson.preset) = (self.weights.value(), self.preset.value());
    }

    /// Puts in what was set last time.
    pub fn restore(self: &Rc<Self>, lesson: &Lesson) {
        self.dpo.fill(&lesson.dpo);
        self.distill.fill(&lesson.distill);
        self.reason.fill(&lesson.reason);
        self.grpo.fill(&lesson.grpo);
        let of = |settings: &Map<String, Value>, key: &str| {
            settings.get(key).and_then(Value::as_str).unwrap_or_default().to_string()
        };
        choose(&self.dpo_loss, &DPO_LOSSES, &of(&lesson.dpo, "dpo-loss"));
        choose(&self.kd_loss, &KD_LOSSES, &of(&lesson.distill, "kd-loss"));
        choose(&self.weights, &WEIGHTS, &lesson.teacher_weights);
        choose(&self.preset, &PRESETS, &lesson.preset);
        self.chosen.replace(lesson.teacher.clone());
        self.list_teachers();
    }

    /// Settings of a lesson that no field is for, or none with this value.
    pub fn without_field(&self, lesson: &Lesson) -> Vec<String> {
        let unknown = |settings: &Map<String, Value>, numbers: &Numbers, list: &str, words: &[Choice]| {
            let is_known = |key: &str, value: &Value| match key == list {
                true => words.iter().any(|(word, _)| value.as_str() == Some(*word)),
                false => numbers.input(key).is_some() && value.is_number(),
            };
            let unknown = settings.iter().filter(|(key, value)| !is_known(key, value));
            unknown.map(|(key, _)| key.clone()).collect::<Vec<_>>()
        };
        let is_listed = PRESETS.iter().any(|(known, _)| *known == lesson.preset);
        let preset = if is_listed { Vec::new() } else { vec!["preset".to_string()] };
        [
            unknown(&lesson.dpo, &self.dpo, "dpo-loss", &DPO_LOSSES),
            unknown(&lesson.distill, &self.distill, "kd-loss", &KD_LOSSES),
            unknown(&lesson.reason, &self.reason, "", &[]),
            unknown(&lesson.grpo, &self.grpo, "", &[]),
            preset,
        ]
        .concat()
    }
}

/// Whether a new model may learn it: as a whole, from texts or from a teacher.
fn takes_preset(stage: Stage, whole: bool) -> bool {
    whole && matches!(stage, Stage::Pretrain | Stage::Distill)
}

fn option(value: &str, text: &str) -> El {
    el("option").attr("value", value).text(text)
}

/// Numbers with what a list was set to, where that is not the default.
fn with(mut values: Map<String, Value>, key: &str, list: &El, choices: &[Choice]) -> Map<String, Value> {
    let chosen = list.value();
    if choices.first().is_some_and(|(default, _)| *default != chosen) {
        values.insert(key.into(), chosen.into());
    }
    values
}
