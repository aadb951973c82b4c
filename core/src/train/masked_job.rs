//! What holds of a job where hidden tokens are learned.

use super::Job;
use crate::error::Result;
use crate::model::ModelConfig;
use crate::told::{Told, told};

impl Job {
    /// Refuses an objective that is not the model's: logits of a masked predictor are no next-token predictions.
    pub(super) fn check_objective(&self, model: &ModelConfig) -> Result<()> {
        match self.objective.masking() {
            Some(_) => model.check_masked("--objective diffusion").map(drop),
            None => model.check_causal(self.stage.name()),
        }
    }

    /// That rows of conversations are packed, which leaves no room behind an answer.
    pub(super) fn masking_problem(&self) -> Option<Told> {
        let fills = self.objective.masking().is_some_and(|masking| masking.answers);
        (fills && self.config.packing).then(|| {
            told!(
                "diffusion.packing",
                "--packing does not act on conversations that a masked predictor learns, whose rows are filled with end tokens; \
                 leave it out"
            )
        })
    }

    /// Targets of next-token prediction that a row may have: a masked predictor reads the last one, too.
    pub(super) fn longest_targets(&self) -> usize {
        let reads_all = self.objective.masking().is_some() && !self.config.packing;
        self.config.max_seq_len.saturating_sub(usize::from(reads_all)).max(1)
    }
}
