//! How the model is taught: the stage, what trains, and their settings, with the engine's defaults as placeholders.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use serde_json::{Map, Value, json};

use super::app::{App, Topic};
use super::diffusion::{Objective, takes_masked};
use super::dom::{self, El, choice, el, field};
use super::engine;
use super::finer::{Chosen, Finer};
use super::lesson::Lesson;
use super::numbers::{Number, Numbers};
use super::reading::Kind;
use super::speech::Speech;
use super::teach_stage::OfStage;
use crate::language::Sentence;
use crate::messages::model::Defaults;
use crate::messages::run::{Plan, Stage};
use crate::settings::is_above_zero;

/// A way to teach: its name in code and on the page.
struct Way {
    key: &'static str,
    sentence: Sentence,
    hint: Sentence,
}

static STAGES: [Way; 6] = [
    Way { key: "sft", sentence: |t| t.teach.sft, hint: |t| t.teach.sft_hint },
    Way { key: "pretrain", sentence: |t| t.teach.pretrain, hint: |t| t.teach.pretrain_hint },
    Way { key: "dpo", sentence: |t| t.stages.dpo, hint: |t| t.stages.dpo_hint },
    Way { key: "distill", sentence: |t| t.stages.distill, hint: |t| t.stages.distill_hint },
    Way { key: "reason", sentence: |t| t.stages.reason, hint: |t| t.stages.reason_hint },
    Way { key: "grpo", sentence: |t| t.stages.grpo, hint: |t| t.stages.grpo_hint },
];
/// What each of them is for the engine.
const OF_ENGINE: [Stage; 6] =
    [Stage::Sft, Stage::Pretrain, Stage::Dpo, Stage::Distill, Stage::Reason, Stage::Grpo];
/// The way in which an adapter trains.
pub const ADAPTER: &str = "lora";
/// The other way: the model itself trains.
pub const FULL: &str = "full";
/// That way with all frozen but what lets words look at each other.
pub const ATTENTION: &str = "attention";
/// The part of the model that this freezes.
pub const FROZEN: &str = "mlp";
/// What trains, whatever the stage.
static TRAINED: [Way; 3] = [
    Way { key: ADAPTER, sentence: |t| t.teach.lora, hint: |t| t.teach.lora_hint },
    Way { key: FULL, sentence: |t| t.teach.full, hint: |t| t.teach.full_hint },
    Way { key: ATTENTION, sentence: |t| t.diffusion.attention, hint: |t| t.diffusion.attention_hint },
];

const TRAINING: [Number; 9] = [
    Number::new("epochs", |t| t.teach.epochs, ["0", "1000", "any"]),
    Number::new("steps", |t| t.teach.steps, ["1", "1000000", "1"]),
    Number::new("min-steps", |t| t.teach.min_steps, ["0", "1000000", "1"]),
    Number::new("stop-at-loss", |t| t.teach.low_loss, ["0", "100", "any"]),
    Number::new("keep-share", |t| t.teach.keep_share, ["0", "0.9", "any"]),
    Number::new("batch-size", |t| t.teach.batch, ["1", "1024", "1"]),
    Number::new("learning-rate", |t| t.teach.rate, ["0", "1", "any"]),
    Number::new("max-seq-len", |t| t.teach.length, ["2", "32768", "1"]),
    Number::new(SPLIT, |t| t.teach.held_out, ["0", "0.9", "any"]),
];
const LORA: [Number; 2] = [
    Number::new("rank", |t| t.teach.rank, ["1", "4096", "1"]),
    Number::new("alpha", |t| t.teach.alpha, ["0", "4096", "any"]),
];
/// The share of rows that a run is measured on.
const SPLIT: &str = "val-split";
const SAMPLE: [Number; 1] = [Number::new("every", |t| t.teach.sample_every, ["0", "100000", "1"])];

/// Ways of which one is chosen.
struct Ways {
    id: &'static str,
    legend: Sentence,
    all: &'static [Way],
    chosen: Cell<usize>,
    hint: El,
}

impl Ways {
    fn new(id: &'static str, legend: Sentence, all: &'static [Way]) -> Self {
        let hint = el("p").class("faint").id(&format!("{id}-hint"));
        Self { id, legend, all, chosen: Cell::default(), hint }
    }

    fn now(&self) -> &'static Way {
        self.all.get(self.chosen.get()).unwrap_or(&self.all[0])
    }

    /// Chooses by a name in code; one that is unknown gives the first.
    fn restore(&self, key: &str) {
        let chosen = self.all.iter().position(|way| way.key == key).unwrap_or_default();
        dom::find(&format!("{}-{}", self.id, self.all[chosen].key)).set_checked(true);
        self.chosen.set(chosen);
    }

    fn show_hint(&self, speech: &Speech) {
        self.hint.write((self.now().hint)(speech.text()));
    }
}

/// The choice of stage, of what trains, and of settings.
pub struct Settings {
    app: Rc<App>,
    /// The fold of the ways, of which the first ones are what most people want.
    ways: El,
    stage: Ways,
    trained: Ways,
    /// By stage, and for each with an adapter and without; empty until the engine told them.
    defaults: RefCell<Vec<Defaults>>,
    /// Whether they are those beside a diffusion model; none until they are asked for.
    of_masked: Cell<Option<bool>>,
    training: Numbers,
    lora: Numbers,
    of_stage: Rc<OfStage>,
    objective: Objective,
    sample: Numbers,
    finer: Finer,
    prompt: El,
    name: El,
}

impl Settings {
    /// Builds the choice into its place; `changed` is called whenever something was chosen.
    pub fn build(app: &Rc<App>, place: &El, changed: Rc<dyn Fn()>) -> Rc<Self> {
        let speech = &app.speech;
        let ways = el("details").class("settings").id("teach-ways");
        let own = el("div").class("stack");
        let settings = Rc::new(Self {
            app: Rc::clone(app),
            ways: ways.clone(),
            stage: Ways::new("teach-stage", |t| t.teach.stage, &STAGES),
            trained: Ways::new("teach-trained", |t| t.teach.trained, &TRAINED),
            defaults: RefCell::default(),
            of_masked: Cell::default(),
            training: Numbers::build(speech, "teach", &TRAINING),
            lora: Numbers::build(speech, "teach", &LORA),
            of_stage: OfStage::build(app, &own, &changed),
            objective: Objective::build(app, &changed),
            sample: Numbers::build(speech, "teach-sample", &SAMPLE),
            finer: Finer::build(speech),
            prompt: el("input").id("teach-sample-prompt").attr("type", "text").say_in(
                "placeholder",
                speech,
                |t| t.teach.question,
            ),
            name: el("input")
                .id("teach-run-name")
                .attr("type", "text")
                .say_in("placeholder", speech, |t| t.teach.automatic),
        });
        place.add(&settings.objective.says);
        let ways = ways.child(&el("summary").say(speech, |t| t.teach.more_ways));
        let ways = ways.child(&settings.choose(|settings| &settings.stage, &changed));
        let ways = ways.child(&settings.stage.hint).child(&settings.objective.reason);
        let ways = ways.child(&settings.choose(|settings| &settings.trained, &changed));
        place.add(&ways.child(&settings.trained.hint).child(&settings.objective.place).child(&own));
        // Whether words are hidden depends on who learns.
        let seen = Rc::clone(&settings);
        dom::listen(&own, "input", move |_| seen.show());
        place.add(&settings.more().on("input", move |_| changed()));
        // The engine stands when it has opened a model, or has none to open.
        let asked = Rc::clone(&settings);
        app.watch(Topic::Model, move || {
            asked.show();
            asked.ask_defaults();
        });
        settings.show();
        settings
    }

    /// The fields that are seen on demand.
    fn more(&self) -> El {
        let speech = &self.app.speech;
        if let Some(every) = self.sample.input("every") {
            speech.add(every, super::speech::Slot::Attribute("placeholder"), |t| t.teach.automatic);
        }
        let more = el("details").class("settings").id("teach-settings");
        let more = more.child(&el("summary").say(speech, |t| t.teach.settings));
        let more = more.child(&self.training.group).child(&self.lora.group);
        let named = el("div").class("fields").child(&field(speech, |t| t.teach.run_name, &self.name));
        let asked = field(speech, |t| t.teach.sample_prompt, &self.prompt);
        let _ = self.sample.group.prepend_with_node_1(&asked);
        more.child(&self.sample.group).child(&named).child(&self.finer.place)
    }

    /// Asks for the defaults of all stages with and without an adapter, until those beside such a model are known.
    fn ask_defaults(self: &Rc<Self>) {
        let masked = Some(self.objective.is_open());
        if !self.defaults.borrow().is_empty() && self.of_masked.get() == masked {
            return;
        }
        self.of_masked.set(masked);
        let settings = Rc::clone(self);
        self.app.spawn(async move {
            let mut defaults = Vec::new();
            for (stage, adapts) in STAGES.iter().flat_map(|stage| [(stage, true), (stage, false)]) {
                // Without an answer the fields stay empty, which means the same; the head says what failed.
                let known = engine::defaults(stage.key, adapts).await;
                let Ok(known) = known else { return Ok(()) };
                defaults.push(known);
            }
            // Another model may be open by now, whose own are asked for.
            if settings.of_masked.get() == masked {
                settings.defaults.replace(defaults);
                settings.show();
            }
            Ok(())
        });
    }

    fn choose(self: &Rc<Self>, of: fn(&Self) -> &Ways, changed: &Rc<dyn Fn()>) -> El {
        let ways = of(self);
        let group = el("fieldset").class("segments").id(ways.id);
        let group = group.child(&el("legend").say(&self.app.speech, ways.legend));
        for (i, way) in ways.all.iter().enumerate() {
            let radio = el("input").id(&format!("{}-{}", ways.id, way.key)).attr("type", "radio");
            let radio = radio.attr("name", ways.id).attr("value", way.key);
            radio.set_checked(i == 0);
            let (settings, changed) = (Rc::clone(self), Rc::clone(changed));
            dom::listen(&radio, "change", move |_| {
                of(&settings).chosen.set(i);
                settings.show();
                changed();
            });
            group.add(&choice(&self.app.speech, way.sentence, &radio));
        }
        group
    }

    /// Shows what belongs to the choice, in the language of now.
    pub fn show(&self) {
        self.stage.show_hint(&self.app.speech);
        self.trained.show_hint(&self.app.speech);
        let chosen = self.place_of_defaults();
        let defaults = self.defaults.borrow();
        let is_masked = self.objective.is_open();
        for (way, stage) in STAGES.iter().zip(OF_ENGINE) {
            let can = !is_masked || takes_masked(stage);
            dom::find(&format!("{}-{}", self.stage.id, way.key)).enable(can);
        }
        self.objective.show(
            self.stage(),
            self.hides_words(),
            defaults.get(chosen).map(|defaults| &defaults.config),
        );
        if let Some(defaults) = defaults.get(chosen) {
            self.training.suggest(&defaults.config);
            self.lora.suggest(&defaults.lora);
        }
        self.lora.group.show(self.adapts());
        self.of_stage.show(self.stage(), self.is_whole(), defaults.get(chosen));
        self.finer.show(self.chosen(), defaults.get(chosen));
    }

    /// Where among the defaults those of the choice are.
    fn place_of_defaults(&self) -> usize {
        self.stage.chosen.get() * 2 + usize::from(!self.adapts())
    }

    /// Whether rows are held out by themselves.
    fn holds_out(&self) -> bool {
        let defaults = self.defaults.borrow();
        let known = defaults.get(self.place_of_defaults());
        known.and_then(|known| is_above_zero(&known.config, SPLIT)) == Some(true)
    }

    /// What decides which of the finer settings act.
    fn chosen(&self) -> Chosen {
        let stage = self.stage();
        Chosen { stage, adapts: self.adapts(), mixes: self.of_stage.mixes(stage, self.is_whole()) }
    }

    /// Whether an adapter trains rather than the model itself.
    fn adapts(&self) -> bool {
        self.trained.now().key == ADAPTER
    }

    /// Whether all of the model trains.
    fn is_whole(&self) -> bool {
        self.trained.now().key == FULL
    }

    /// Whether a diffusion model learns; a new model is none.
    fn hides_words(&self) -> bool {
        let is_new = self.of_stage.begins_new(self.stage(), self.is_whole());
        self.objective.is_open() && takes_masked(self.stage()) && !is_new
    }

    /// The stage.
    fn stage(&self) -> Stage {
        OF_ENGINE.get(self.stage.chosen.get()).copied().unwrap_or(Stage::Sft)
    }

    /// What the stage reads.
    pub fn reads(&self) -> Kind {
        match self.stage() {
            Stage::Pretrain => Kind::Texts,
            Stage::Dpo => Kind::Choices,
            Stage::Reason | Stage::Grpo => Kind::Thoughts,
            Stage::Sft | Stage::Distill => Kind::Conversations,
        }
    }

    /// The question that is asked during the run and after it.
    pub fn question(&self) -> String {
        match self.prompt.value().trim() {
            "" => self.app.speech.text().teach.question.to_string(),
            typed => typed.to_string(),
        }
    }

    /// Notes what was set.
    pub fn note(&self, lesson: &mut Lesson) {
        (lesson.stage, lesson.trained) = (self.stage.now().key.into(), self.trained.now().key.into());
        lesson.training = self.training.values();
        lesson.lora = self.lora.values();
        lesson.sample = self.sample.values();
        (lesson.question, lesson.result) = (self.prompt.value(), self.name.value());
        lesson.diffusion = self.objective.values();
        self.of_stage.note(lesson);
        self.finer.note(lesson);
    }

    /// Puts in what was set last time.
    pub fn restore(&self, lesson: &Lesson) {
        self.stage.restore(&lesson.stage);
        self.trained.restore(&lesson.trained);
        if self.stage.chosen.get() + self.trained.chosen.get() > 0 {
            self.ways.set("open", "");
        }
        self.training.fill(&lesson.training);
        self.lora.fill(&lesson.lora);
        self.sample.fill(&lesson.sample);
        self.prompt.set_value(&lesson.question);
        self.name.set_value(&lesson.result);
        self.objective.restore(&lesson.diffusion);
        self.of_stage.restore(lesson);
        self.finer.restore(lesson);
        self.show();
    }

    /// Numbers of a lesson that no field is for.
    pub fn without_field(&self, lesson: &Lesson) -> Vec<String> {
        let lesson = &self.finer.rest_of(lesson, lesson.trained == ADAPTER);
        let unknown = |numbers: &Numbers, values: &Map<String, Value>| {
            let is_known = |key: &str, value: &Value| numbers.input(key).is_some() && value.is_number();
            let unknown = values.iter().filter(|(key, value)| !is_known(key, value));
            unknown.map(|(key, _)| key.clone()).collect::<Vec<_>>()
        };
        let experts = lesson.experts.keys().cloned().collect();
        let unknown = [unknown(&self.training, &lesson.training), unknown(&self.lora, &lesson.lora), experts];
        let of_diffusion = self.objective.without_field(&lesson.diffusion);
        [unknown.concat(), self.of_stage.without_field(lesson), of_diffusion].concat()
    }

    /// The request without data and listener; `name` is for a result that nobody named. With a plan, reports come often
    /// enough to be seen and not more.
    pub fn request(&self, plan: Option<&Plan>, name: Option<String>) -> Value {
        let mut config = self.training.values();
        let steps = plan.map_or(1.0, |plan| plan.steps).max(1.0);
        let share = |parts: f64| Value::from((steps / parts).ceil().max(1.0) as u64);
        config.insert("log-every".into(), share(200.0));
        let held_out = is_above_zero(&config, SPLIT);
        // Without rows to measure, an early end is what is refused.
        let judged = self.finer.ends_early() && held_out.unwrap_or_else(|| self.holds_out());
        if judged || held_out == Some(true) {
            config.insert("eval-every".into(), share(10.0));
        }
        if self.hides_words() {
            config.extend(self.objective.values());
        }
        if self.trained.now().key == ATTENTION {
            config.insert("freeze".into(), json!([FROZEN]));
        }
        let mut request = Map::from_iter([("stage".into(), self.stage.now().key.into())]);
        request.insert("config".into(), config.into());
        if self.adapts() {
            request.insert("adapter".into(), self.lora.values().into());
        }
        self.of_stage.add_to(&mut request, self.stage(), self.is_whole());
        self.finer.add_to(&mut request, self.chosen());
        let typed = self.name.value();
        let typed = Some(typed.trim()).filter(|typed| !typed.is_empty()).map(String::from);
        // Only an adapter is named after what it was taught: a model is more than that.
        if let Some(name) = typed.or_else(|| name.filter(|_| self.adapts())) {
            request.insert("name".into(), name.into());
        }
        let every = self.sample.values().get("every").cloned().unwrap_or_else(|| share(5.0));
        if every.as_f64() != Some(0.0) {
            request.insert("sample".into(), json!({ "prompt": self.question(), "every": every }));
        }
        request.into()
    }
}
