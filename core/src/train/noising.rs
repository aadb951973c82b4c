//! Batches some of whose tokens are hidden, for a masked predictor: of the rows that another source gives.

use super::own_answers::random_of;
use super::{BatchSource, Job, Pending, Plan, TrainConfig};
use crate::batch::{Batch, LoaderState};
use crate::error::Result;
use crate::loss::{Masking, Objective, RowShape};
use crate::model::{ModelConfig, Transformer};
use crate::random::Random;
use crate::told::{Told, told};

/// Keeps the drawing of hidden tokens apart from other uses of the seed.
const STREAM: u64 = 0x6e6f_6973_6564;
/// The same for rows that are kept.
const KEPT_STREAM: u64 = 0x6e6f_6973_6b65 << 16;
/// The seed of what is hidden of held-out rows: of every run the same, so that their curves compare.
const HELD_OUT_SEED: u64 = 0;

/// A supply whose tokens are hidden at random. The batch's place names the numbers: a run that goes on hides what it would
/// have hidden, and a held-out row has the same tokens hidden whenever it is measured.
struct Noising {
    batches: Box<dyn BatchSource>,
    masking: Masking,
    shape: RowShape,
    seed: u64,
    trains: bool,
}

impl BatchSource for Noising {
    fn next<'a>(&'a mut self, model: &'a Transformer) -> Pending<'a, Option<Batch>> {
        Box::pin(async {
            let Some(batch) = self.batches.next(model).await? else { return Ok(None) };
            let mut random = random_of(&self.batches.state(), self.seed, STREAM);
            Ok(Some(self.masking.hide(&batch, self.shape, model.config(), &mut random, self.trains)))
        })
    }

    fn state(&self) -> LoaderState {
        self.batches.state()
    }

    fn ended(&mut self) -> bool {
        self.batches.ended()
    }
}

/// A supply of batches or, where hidden tokens are learned, of such with some hidden: of a run of these settings, or of its
/// held-out rows.
pub(super) fn noised(
    batches: Box<dyn BatchSource>,
    objective: &dyn Objective,
    config: &TrainConfig,
    trains: bool,
) -> Box<dyn BatchSource> {
    let Some(&masking) = objective.masking() else { return batches };
    let seed = if trains { config.seed } else { HELD_OUT_SEED };
    Box::new(Noising { batches, masking, shape: shape_of(config), seed, trains })
}

fn shape_of(config: &TrainConfig) -> RowShape {
    RowShape { packed: config.packing, seq_len: config.max_seq_len }
}

/// The kept rows of a step, with tokens hidden where the lesson's are: together they count `ratio` times what the lesson
/// counts.
pub(super) fn noised_kept(
    kept: Batch,
    (lesson, ratio): (&[Batch], f64),
    objective: &dyn Objective,
    model: &ModelConfig,
    (config, step): (&TrainConfig, u64),
) -> Batch {
    let Some(masking) = objective.masking() else { return kept };
    let mut random = Random::new(config.seed, KEPT_STREAM ^ step);
    let mut kept = masking.hide(&kept, shape_of(config), model, &mut random, false);
    let wanted = ratio * lesson.iter().map(|batch| objective.weight(batch)).sum::<f64>();
    let counts = objective.weight(&kept);
    if counts > 0.0 {
        let factor = wanted / counts;
        kept.scale_weights(factor);
        let counts = kept.noised.iter_mut().flat_map(|noised| &mut noised.counts);
        counts.for_each(|count| *count = (f64::from(*count) * factor) as f32);
    }
    kept
}

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

    /// Reckons with what a block model reads twice.
    pub(super) fn plan_masking(&self, plan: &mut Plan, model: &ModelConfig) {
        let block = model.diffusion.as_ref().and_then(|diffusion| diffusion.block_length);
        if self.objective.masking().is_some() && block.is_some_and(|block| block < self.config.max_seq_len) {
            plan.activation_bytes *= 2;
            plan.flops *= 2.0;
        }
    }
}
