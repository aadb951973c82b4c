//! A lesson and the tab that teaches: what each has of the other.

use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;

use serde_json::{Map, Value};

use crate::lesson::{BEGIN_NEW, Settings, Version, lines};
use crate::settings::{list_of, words_of};
use crate::ui::engine::Answer;
use crate::ui::finer::{MIXTURE, OF_WHOLE};
use crate::ui::lesson::Lesson as Draft;
use crate::ui::teach_data::PASTE;
use crate::ui::teach_settings::{ADAPTER, ATTENTION, FROZEN, FULL};

/// Rows as a text, once they are read.
pub type Rows = Pin<Box<dyn Future<Output = Answer<String>>>>;

/// What a lesson needs of the tab that teaches.
pub trait Desk {
    /// What is typed and chosen.
    fn typed(&self) -> Draft;
    /// Its rows as a text, or why there are none: some have to be corrected, or files hold them.
    fn rows(self: Rc<Self>) -> Rows;
    /// Whether files hold the data.
    fn holds_files(&self) -> bool;
    /// Puts in what a lesson brings; gives the names of settings that no field is for.
    fn lay(&self, draft: &Draft) -> Vec<String>;
}

/// A lesson in one language, as the tab that teaches has it.
pub fn draft(version: &Version, settings: &Settings) -> Draft {
    let first = version.questions.first().cloned().unwrap_or_default();
    let trained = match (&settings.adapter, settings.freeze.as_str()) {
        (Some(_), _) => ADAPTER,
        (None, FROZEN) => ATTENTION,
        (None, _) => FULL,
    };
    let mut training = settings.config.clone();
    if !settings.freeze.is_empty() && trained != ATTENTION {
        // Beside an adapter it is told of as a setting that no field is for.
        let named = words_of(settings.config.get("freeze")).into_iter();
        let frozen = list_of(named.filter(|part| *part != settings.freeze).chain([settings.freeze.as_str()]));
        training.extend(frozen.map(|frozen| ("freeze".to_string(), frozen)));
    }
    Draft {
        source: PASTE,
        text: lines(&version.rows),
        stage: settings.stage.clone(),
        trained: trained.into(),
        training,
        lora: settings.adapter.clone().unwrap_or_default(),
        dpo: settings.dpo.clone(),
        distill: settings.distill.clone(),
        reason: settings.reason.clone(),
        grpo: settings.grpo.clone(),
        diffusion: settings.diffusion.clone(),
        experts: settings.experts.clone(),
        preset: settings.preset.clone(),
        sample: settings.every.clone().map(|every| ("every".to_string(), every)).into_iter().collect(),
        question: if settings.prompt.is_empty() { first } else { settings.prompt.clone() },
        result: settings.name.clone(),
        ..Draft::default()
    }
}

/// The tab's settings, as a lesson has them.
pub fn settings(typed: &Draft, questions: &[String]) -> Settings {
    // What another stage was given does not act.
    let of_stage = |stage: &str, values: &Map<String, Value>| {
        if typed.stage == stage { values.clone() } else { Map::new() }
    };
    let new = typed.trained == FULL && BEGIN_NEW.contains(&typed.stage.as_str());
    let hides = matches!(typed.stage.as_str(), "sft" | "pretrain");
    let mut config = typed.training.clone();
    config.retain(|key, _| typed.trained != ADAPTER || !OF_WHOLE.contains(&key.as_str()));
    let is_first = questions.first().is_some_and(|first| *first == typed.question);
    Settings {
        stage: typed.stage.clone(),
        adapter: (typed.trained == ADAPTER).then(|| typed.lora.clone()),
        config,
        dpo: of_stage("dpo", &typed.dpo),
        distill: of_stage("distill", &typed.distill),
        reason: of_stage("reason", &typed.reason),
        grpo: of_stage("grpo", &typed.grpo),
        diffusion: if hides { typed.diffusion.clone() } else { Map::new() },
        experts: if new && typed.preset == MIXTURE { typed.experts.clone() } else { Map::new() },
        freeze: if typed.trained == ATTENTION { FROZEN.into() } else { String::new() },
        preset: if new { typed.preset.clone() } else { String::new() },
        every: typed.sample.get("every").cloned(),
        prompt: if is_first { String::new() } else { typed.question.clone() },
        name: typed.result.clone(),
    }
}
