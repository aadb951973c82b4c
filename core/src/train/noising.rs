//! Batches some of whose tokens are hidden, for a masked predictor: of the rows that another source gives.

use super::own_answers::random_of;
use super::{BatchSource, Pending, TrainConfig};
use crate::batch::{Batch, LoaderState};
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

/// That a token at the end of packed data is in no row, where tokens are hidden: of a row that is exactly full the token
/// behind it is a target alone, and behind the last row none follows that it would begin.
pub(super) fn unread(objective: &dyn Objective, batches: &mut dyn BatchSource) -> Option<Told> {
    objective.masking()?;
    let is_last = batches.ended() && batches.state().unread() == 1;
    is_last.then(|| {
        told!(
            "train.unread",
            "the data fills its last row exactly, so that the very last token stands in no row: 1 token was never hidden"
        )
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::batch::{Example, ExampleSource, Fit, Found, Loader, LoaderConfig, TooLong};
    use crate::data::{Permutation, RowOrigin};
    use crate::error::Result;
    use crate::loss::{Diffusion, DiffusionSettings, LossWeight, NextToken};
    use crate::model::{DiffusionConfig, tiny};
    use crate::train::Stage;
    use crate::train::source::ReadAhead;
    use burn::tensor::Device;

    /// The same rows again and again.
    struct Same(u64);

    impl BatchSource for Same {
        fn next<'a>(&'a mut self, _model: &'a Transformer) -> Pending<'a, Option<Batch>> {
            self.0 += 1;
            Box::pin(async { Ok(Some(rows())) })
        }

        fn state(&self) -> LoaderState {
            let mut state = LoaderState::default();
            state.position = self.0;
            state
        }
    }

    fn rows() -> Batch {
        let mut batch = Batch::new(16);
        (0..3).for_each(|row| batch.push(&(row..row + 17).collect::<Vec<u32>>(), &[1.0; 17], &[1; 17]));
        batch
    }

    fn model() -> Transformer {
        let diffusion = Some(DiffusionConfig { mask_token_id: 31, block_length: None, shift_logits: true });
        Transformer::init(&ModelConfig { diffusion, ..tiny(32) }, 5, &Device::flex()).unwrap()
    }

    fn objective(loss_weight: LossWeight) -> Diffusion {
        Diffusion::new(Masking {
            settings: DiffusionSettings { loss_weight, ..DiffusionSettings::default() },
            answers: false,
        })
    }

    fn batches(at: u64, seed: u64, trains: bool, count: usize) -> Vec<Batch> {
        let config = TrainConfig { seed, packing: true, max_seq_len: 16, ..TrainConfig::of(Stage::Pretrain) };
        let mut source = noised(Box::new(Same(at)), &objective(LossWeight::Uniform), &config, trains);
        let model = model();
        (0..count).map(|_| pollster::block_on(source.next(&model)).unwrap().unwrap()).collect()
    }

    /// One text of so many tokens.
    struct Text(u32);

    impl ExampleSource for Text {
        fn rows(&self) -> u64 {
            1
        }

        fn examples(&self, _row: u64) -> Result<Found> {
            let origin = RowOrigin { source: "a".into(), line: 1 };
            let (ids, weights) = ((0..self.0).collect(), vec![1.0; self.0 as usize]);
            Ok(Found::Examples(vec![Example { ids, weights, warnings: Vec::new(), origin }]))
        }
    }

    #[test]
    fn a_token_that_stands_in_no_row_is_told_where_tokens_are_hidden() {
        let fit = Fit { seq_len: 8, too_long: TooLong::Cut, keep_pieces: true };
        let config = LoaderConfig { batch_size: 2, fit, packing: true, seed: 1 };
        let model = model();
        // Rows of eight tokens: 17 are two rows and one token more, which is the second row's last target.
        for (tokens, read, left_over) in [(16, 16, false), (17, 16, true), (18, 18, false), (33, 32, true)] {
            let order = Permutation::new(1, 9, 0);
            let loader = Loader::new(Arc::new(Text(tokens)), config.clone(), order, 0..1, false);
            let mut source = ReadAhead::new(loader);
            let mut seen = 0;
            while let Some(batch) = pollster::block_on(source.next(&model)).unwrap() {
                seen += batch.tokens();
                let told = unread(&objective(LossWeight::Uniform), &mut source);
                assert_eq!(told.is_some(), left_over && seen == read, "{seen} of {tokens}");
                assert_eq!(unread(&NextToken, &mut source), None);
            }
            assert_eq!(seen, read, "{tokens}");
        }
    }

    #[test]
    fn where_the_supply_stands_names_what_is_hidden() {
        let all = batches(0, 7, true, 6);
        assert_eq!(batches(4, 7, true, 2), all[4..]);
        assert!(all.windows(2).all(|pair| pair[0].inputs != pair[1].inputs));
        assert!(batches(0, 8, true, 1)[0].inputs != all[0].inputs);
    }

    #[test]
    fn held_out_rows_have_the_same_tokens_hidden_in_every_run() {
        let all = batches(0, 7, false, 3);
        assert_eq!(batches(0, 8, false, 3), all);
        assert!(all[0].inputs != all[1].inputs);
    }

    #[test]
    fn other_objectives_get_their_batches_as_they_are() {
        let config = TrainConfig::of(Stage::Pretrain);
        let mut plain = noised(Box::new(Same(0)), &NextToken, &config, true);
        assert_eq!(pollster::block_on(plain.next(&model())).unwrap().unwrap(), rows());
        assert_eq!(noised_kept(rows(), (&[], 0.5), &NextToken, model().config(), (&config, 3)), rows());
    }

    #[test]
    fn kept_rows_count_their_share_of_what_the_lesson_counts() {
        let config = TrainConfig { packing: true, max_seq_len: 16, ..TrainConfig::of(Stage::Pretrain) };
        for weight in [LossWeight::Uniform, LossWeight::InverseT] {
            let objective = objective(weight);
            let lesson = batches(0, 7, true, 2);
            let kept = Batch { kept: true, ..rows() };
            let kept = noised_kept(kept, (&lesson, 0.25), &objective, model().config(), (&config, 3));
            let count: f64 = lesson.iter().map(|batch| objective.weight(batch)).sum();
            assert!(kept.kept && (objective.weight(&kept) / (0.25 * count) - 1.0).abs() < 1e-6);
            let hidden = kept.inputs.iter().filter(|id| **id == 31).count();
            assert_eq!(hidden, kept.targets_counted());
        }
    }
}
