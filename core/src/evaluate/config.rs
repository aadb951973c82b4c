//! How questions are asked: settings with their defaults and limits.

use serde::{Deserialize, Serialize};

use super::Task;
use crate::told::{Told, told};

/// Examples before a question at most: the sets have a few hundred at best.
const MOST_SHOTS: usize = 1000;

/// How questions are asked; all as lm-evaluation-harness has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[cfg_attr(feature = "cli", derive(clap::Args))]
pub struct EvalConfig {
    /// Examples with their answers before each question (few-shot) [default: 0; gsm8k 5]
    #[cfg_attr(feature = "cli", arg(long))]
    pub shots: Option<usize>,
    /// Ask through the model's chat template: the description as system message, the question as the user's
    #[cfg_attr(feature = "cli", arg(long))]
    pub apply_chat_template: bool,
    /// With the chat template: each example as a turn of its own, or all in one message
    #[cfg_attr(feature = "cli", arg(long, default_value_t = true, action = clap::ArgAction::Set, value_name = "true|false"))]
    pub fewshot_as_multiturn: bool,
}

impl Default for EvalConfig {
    fn default() -> Self {
        Self { shots: None, apply_chat_template: false, fewshot_as_multiturn: true }
    }
}

impl EvalConfig {
    /// Everything that does not hold for these tasks, one sentence each.
    pub fn validate(&self, tasks: &[Task]) -> Vec<Told> {
        let mut problems = Vec::new();
        let shots = self.shots.unwrap_or(0);
        if shots > MOST_SHOTS {
            problems.push(told!(
                "eval.shots",
                "--shots is {shots}, but it must be 0 to {most}",
                shots,
                most = MOST_SHOTS
            ));
        }
        let takes_shots = tasks.iter().any(|task| task.takes_shots());
        if self.shots.is_some() && !takes_shots {
            problems.push(told!(
                "eval.no_shots",
                "--shots acts on sets of questions, and none is among the tasks"
            ));
        }
        if self.apply_chat_template && !takes_shots {
            problems.push(told!(
                "eval.no_template",
                "--apply-chat-template acts on sets of questions: heldout reads plain texts, pairs and format always ask \
                 through the template"
            ));
        }
        if !self.fewshot_as_multiturn && !self.apply_chat_template {
            problems.push(told!(
                "eval.multiturn",
                "--fewshot-as-multiturn acts with --apply-chat-template; leave it out"
            ));
        }
        problems
    }

    /// Examples before each question of a task.
    pub fn shots_of(&self, task: Task) -> usize {
        if task.takes_shots() { self.shots.unwrap_or_else(|| task.default_shots()) } else { 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_act_is_told() {
        assert!(EvalConfig::default().validate(&[Task::Mmlu]).is_empty());
        let wrong = EvalConfig { shots: Some(2000), apply_chat_template: true, ..EvalConfig::default() };
        let codes: Vec<_> = wrong.validate(&[Task::HeldOut]).iter().map(Told::code).collect();
        assert_eq!(codes, ["eval.shots", "eval.no_shots", "eval.no_template"]);
        let alone = EvalConfig { fewshot_as_multiturn: false, ..EvalConfig::default() };
        assert_eq!(alone.validate(&[Task::Piqa])[0].code(), "eval.multiturn");
        let default = EvalConfig::default();
        assert_eq!((default.shots_of(Task::Gsm8k), default.shots_of(Task::Piqa)), (5, 0));
        assert_eq!(EvalConfig { shots: Some(2), ..default }.shots_of(Task::Gsm8k), 2);
    }
}
