//! A lesson and the tab that teaches: what each has of the other.

use crate::lesson::{Settings, Version, lines};
use crate::ui::lesson::Lesson as Draft;
use crate::ui::teach_data::PASTE;
use crate::ui::teach_settings::{ADAPTER, FULL};

/// What a lesson needs of the tab that teaches.
pub trait Desk {
    /// What is typed and chosen, and its rows as a text; none where there are none, where some have to be corrected, or
    /// where files hold them.
    fn typed(&self) -> (Draft, Option<String>);
    /// Whether files hold the data.
    fn holds_files(&self) -> bool;
    /// Why there are no rows.
    fn lacks(&self) -> &'static str;
    /// Puts in what a lesson brings; gives the names of settings that no field is for.
    fn lay(&self, draft: &Draft) -> Vec<String>;
}

/// A lesson in one language, as the tab that teaches has it.
pub fn draft(version: &Version, settings: &Settings) -> Draft {
    let first = version.questions.first().cloned().unwrap_or_default();
    Draft {
        source: PASTE,
        text: lines(&version.rows),
        stage: settings.stage.clone(),
        trained: if settings.adapter.is_some() { ADAPTER } else { FULL }.into(),
        training: settings.config.clone(),
        lora: settings.adapter.clone().unwrap_or_default(),
        sample: settings.every.clone().map(|every| ("every".to_string(), every)).into_iter().collect(),
        question: if settings.prompt.is_empty() { first } else { settings.prompt.clone() },
        result: settings.name.clone(),
        ..Draft::default()
    }
}

/// The tab's settings, as a lesson has them.
pub fn settings(typed: &Draft, questions: &[String]) -> Settings {
    let is_first = questions.first().is_some_and(|first| *first == typed.question);
    Settings {
        stage: typed.stage.clone(),
        adapter: (typed.trained == ADAPTER).then(|| typed.lora.clone()),
        config: typed.training.clone(),
        every: typed.sample.get("every").cloned(),
        prompt: if is_first { String::new() } else { typed.question.clone() },
        name: typed.result.clone(),
    }
}
