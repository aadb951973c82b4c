//! What keeps a job from beginning where its settings hold by themselves: rows that are too long for an answer or for a
//! teacher, and what does not act beside rewards.

use super::{Job, TrainConfig};
use crate::batch::TooLong;
use crate::told::{Told, told};

impl Job {
    /// That a prompt may fill a whole row, and leave no room for an answer.
    pub(super) fn prompt_problem(&self) -> Option<Told> {
        let (prompt, length) = (self.objective.longest_prompt(), self.config.max_seq_len);
        (prompt >= length).then(|| {
            told!(
                "train.prompt",
                "--max-prompt-len is {prompt}, which leaves no room for an answer in rows of --max-seq-len {length}; take less",
                prompt,
                length
            )
        })
    }

    /// That a row may be longer than what the teacher reads.
    pub(super) fn teacher_problem(&self) -> Option<Told> {
        let (context, length) = (self.objective.longest_row()?, self.config.max_seq_len);
        (length > context).then(|| {
            told!(
                "train.teacher_length",
                "--max-seq-len is {length}, and the teacher holds {context} positions; take at most that many",
                length,
                context
            )
        })
    }

    /// What does not hold beside answers that rules reward.
    pub(super) fn rollout_problems(&self) -> Vec<Told> {
        let Some(rollouts) = self.objective.rollouts() else { return Vec::new() };
        let TrainConfig { packing, too_long, keep_share, stop_at_loss, .. } = self.config;
        let checks = [
            (
                !packing,
                told!(
                    "grpo.packing",
                    "--packing does not act on prompts that the model answers itself; leave it out"
                ),
            ),
            (
                too_long == TooLong::Drop,
                told!(
                    "grpo.too_long",
                    "--too-long cut would cut answers that others are compared with; take drop, or a longer --max-seq-len"
                ),
            ),
            (
                keep_share == 0.0,
                told!(
                    "grpo.keep_share",
                    "--keep-share does not act on answers that are rewarded, whose reference keeps the model near what it \
                     knew; leave it out, or take a larger --kl-beta"
                ),
            ),
            (
                stop_at_loss == 0.0,
                told!(
                    "grpo.stop_at_loss",
                    "--stop-at-loss does not act on rewards, whose loss is near 0 from the beginning; leave it out"
                ),
            ),
            (
                self.config.options.early_stop == 0 || rollouts.eval_answers > 0,
                told!(
                    "grpo.early_stop",
                    "--early-stop judges by answers to held-out prompts, and --eval-answers 0 asks for none; ask for some"
                ),
            ),
        ];
        checks.into_iter().filter(|(holds, _)| !holds).map(|(_, problem)| problem).collect()
    }

    /// Rows that a prompt becomes, and steps that learn from it: 1 and 1 where no rules reward answers.
    pub(super) fn rollout_sizes(&self) -> (usize, u64) {
        self.objective.rollouts().map_or((1, 1), |config| (config.group_size, config.rollout_steps))
    }
}
