//! The settings of `grpo`, some of whose flags are those of other stages, too.

use kindling::loss::GrpoConfig;
use kindling::told::Told;

use super::train_args::TrainArgs;
use crate::run_kind::RunKind;

impl TrainArgs {
    /// All that is settled of rewards.
    pub fn grpo_config(&self) -> GrpoConfig {
        GrpoConfig {
            max_new_tokens: self.rollouts.max_new_tokens,
            reference: self.dpo.reference,
            eval_answers: self.reasoning.config.eval_answers,
            tags: self.reasoning.tags.clone(),
            ..self.grpo.clone()
        }
    }

    /// What does not hold where answers are rewarded; `typed` are the flags of the command line itself.
    pub fn problems_of_rewards(&self, kind: RunKind, typed: &[String]) -> Vec<Told> {
        let config = self.grpo_config();
        let mut problems = config.problems();
        let reference = config.reference_of(kind.adapts).filter(|_| problems.is_empty());
        problems.extend(reference.and_then(|reference| reference.problem(kind.adapts)));
        if !self.keep_data.is_empty() {
            problems.push("--keep-data does not act where answers are rewarded; leave it out".into());
        }
        let said = |flag: &str| typed.iter().any(|typed| typed == flag);
        if said("eval-answers") && self.train.val_split == 0.0 && !self.resume {
            problems.push("--eval-answers needs held-out rows; add --val-split 0.05".into());
        }
        problems
    }
}
