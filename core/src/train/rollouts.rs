//! Batches of answers that rules reward: the prompts are the data's, and the model answers each several times at the very
//! step that learns from them.

use std::sync::Arc;

use super::own_answers::random_of;
use super::rewarded::Answers;
use super::{BatchSource, Pending, Progress, TrainConfig};
use crate::batch::{Batch, LoaderState, Reused};
use crate::error::Result;
use crate::loss::GrpoConfig;
use crate::model::Transformer;
use crate::tokenizer::Tokenizer;

/// Keeps the drawing of answers apart from other uses of the seed.
const STREAM: u64 = 0x726f_6c6c_6f75;

/// A supply whose answers the model writes, rules reward, and one step or several learn from.
struct WithRollouts {
    batches: Box<dyn BatchSource>,
    answers: Answers,
    /// Its seed names the answers; a step takes as many batches as it accumulates.
    config: TrainConfig,
    /// The step that its first batch is for, and the steps of the run.
    first: u64,
    steps: u64,
    /// Batches that were asked for.
    asked: u64,
    reused: Reused,
}

impl WithRollouts {
    /// The step that the next batch is for.
    fn step(&self) -> u64 {
        self.first + self.asked / self.config.grad_accum as u64
    }

    /// The next batch with answers; `None` where the data ends.
    async fn fresh(&mut self, model: &Transformer) -> Result<Option<Batch>> {
        let Some(batch) = self.batches.next(model).await? else { return Ok(None) };
        let over = self.step() as f64 / self.steps.max(1) as f64;
        let mut random = random_of(&self.batches.state(), self.config.seed, STREAM);
        let group = self.answers.config.group_size;
        self.answers.to(&batch, group, over, Some(&mut random), model).await.map(Some)
    }

    /// The next batch, of which each is given out for several steps.
    async fn again(&mut self, model: &Transformer) -> Result<Option<Batch>> {
        if self.is_used_up() {
            self.reused = Reused::default();
            let (noise, mut first_row) = (self.config.noise(self.step(), Some(&self.answers.config)), 0);
            while self.reused.batches.len() < self.config.grad_accum
                && let Some(batch) = self.fresh(model).await?
            {
                let batch = self.answers.with_log_probs(batch, model, noise, first_row).await?;
                first_row += batch.batch;
                self.reused.batches.push(batch);
            }
        }
        let place = self.reused.given % self.config.grad_accum;
        self.reused.given += 1;
        Ok(self.reused.batches.get(place).cloned())
    }

    fn is_used_up(&self) -> bool {
        let times = self.answers.config.rollout_steps as usize;
        self.reused.batches.is_empty() || self.reused.given >= times * self.config.grad_accum
    }
}

impl BatchSource for WithRollouts {
    fn next<'a>(&'a mut self, model: &'a Transformer) -> Pending<'a, Option<Batch>> {
        Box::pin(async {
            let batch = match self.answers.config.rollout_steps > 1 {
                true => self.again(model).await?,
                false => self.fresh(model).await?,
            };
            self.asked += 1;
            Ok(batch)
        })
    }

    fn state(&self) -> LoaderState {
        let mut state = self.batches.state();
        state.reused = (!self.is_used_up()).then(|| Box::new(self.reused.clone()));
        state
    }

    fn ended(&mut self) -> bool {
        self.is_used_up() && self.batches.ended()
    }
}

/// Prompts that are answered once each, greedily, to see what the answers are worth.
struct Measured {
    batches: Box<dyn BatchSource>,
    answers: Answers,
    /// Prompts that are still to be answered.
    left: usize,
}

impl BatchSource for Measured {
    fn next<'a>(&'a mut self, model: &'a Transformer) -> Pending<'a, Option<Batch>> {
        Box::pin(async {
            if self.left == 0 {
                return Ok(None);
            }
            let Some(batch) = self.batches.next(model).await? else { return Ok(None) };
            // Of a batch that holds more than are left the first rows.
            let parts = batch.batch.div_ceil(self.left.min(batch.batch).max(1));
            let Some(batch) = batch.split(parts).into_iter().next() else { return Ok(None) };
            self.left = self.left.saturating_sub(batch.batch);
            // The weights are those at the end, so that measurements compare.
            self.answers.to(&batch, 1, 1.0, None, model).await.map(Some)
        })
    }

    fn state(&self) -> LoaderState {
        self.batches.state()
    }
}

/// A supply of batches or, where rules reward answers, of such answers from where `progress` stands.
pub(super) fn with_rollouts(
    batches: Box<dyn BatchSource>,
    rewarded: Option<&GrpoConfig>,
    tokenizer: &Arc<Tokenizer>,
    progress: &Progress,
) -> Box<dyn BatchSource> {
    let Some(config) = rewarded else { return batches };
    let seq_len = progress.config.max_seq_len;
    let reused = progress.loader.reused.as_deref().cloned().unwrap_or_default();
    Box::new(WithRollouts {
        batches,
        answers: Answers { config: config.clone(), tokenizer: Arc::clone(tokenizer), seq_len },
        config: progress.config.clone(),
        first: progress.step,
        steps: progress.planned_steps.unwrap_or(progress.total_steps),
        asked: 0,
        reused,
    })
}

/// Held-out rows or, where rules reward answers, greedy answers to some of their prompts.
pub(super) fn measured(
    batches: Box<dyn BatchSource>,
    rewarded: Option<&GrpoConfig>,
    tokenizer: &Arc<Tokenizer>,
    seq_len: usize,
) -> Box<dyn BatchSource> {
    let Some(config) = rewarded else { return batches };
    let left = config.eval_answers;
    let answers = Answers { config: config.clone(), tokenizer: Arc::clone(tokenizer), seq_len };
    Box::new(Measured { batches, answers, left })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::loss::target_log_probs;
    use crate::model::{ModelConfig, read, tiny};
    use crate::tokenizer::{TokenizerTraining, train};
    use crate::train::parts::lengths;
    use crate::train::{Stage, TrainOptions};
    use burn::tensor::Device;

    /// Batches up to an end, each with prompts of its own.
    struct Numbered {
        at: u64,
        end: u64,
    }

    impl BatchSource for Numbered {
        fn next<'a>(&'a mut self, _model: &'a Transformer) -> Pending<'a, Option<Batch>> {
            Box::pin(async {
                if self.at == self.end {
                    return Ok(None);
                }
                self.at += 1;
                let (first, mut batch) = (self.at as u32, Batch::new(8));
                batch.push(&[first, 2, 3, 4], &[0.0, 0.0, 1.0, 1.0], &[1; 4]);
                batch.push(&[first, 9, 8], &[0.0, 0.0, 1.0], &[1; 3]);
                Ok(Some(batch))
            })
        }

        fn state(&self) -> LoaderState {
            let mut state = LoaderState::default();
            state.position = self.at;
            state
        }

        fn ended(&mut self) -> bool {
            self.at == self.end
        }
    }

    fn tokenizer() -> Arc<Tokenizer> {
        Arc::new(train(std::iter::once("one two".into()), &TokenizerTraining::default()).unwrap())
    }

    fn model() -> Transformer {
        let config = ModelConfig { eos_token_ids: vec![0], ..tiny(tokenizer().vocab_size()) };
        Transformer::init(&config, 5, &Device::flex()).unwrap()
    }

    /// Behind so many of five batches, of which a step takes two.
    fn source(at: u64, rollout_steps: u64, reused: Reused) -> WithRollouts {
        let config = GrpoConfig { group_size: 2, max_new_tokens: 3, rollout_steps, ..GrpoConfig::default() };
        WithRollouts {
            batches: Box::new(Numbered { at, end: 5 }),
            answers: Answers { config, tokenizer: tokenizer(), seq_len: 8 },
            config: TrainConfig { seed: 7, grad_accum: 2, ..TrainConfig::of(Stage::Grpo) },
            first: 0,
            steps: 10,
            asked: 0,
            reused,
        }
    }

    fn next(source: &mut WithRollouts, model: &Transformer) -> Option<Batch> {
        pollster::block_on(source.next(model)).unwrap()
    }

    #[test]
    fn answers_are_named_by_where_the_supply_stands() {
        let model = model();
        let mut whole = source(0, 1, Reused::default());
        let batches: Vec<Batch> = std::iter::from_fn(|| next(&mut whole, &model)).collect();
        assert_eq!(batches.len(), 5);
        assert!(whole.ended() && whole.state().reused.is_none());
        let mut resumed = source(3, 1, Reused::default());
        assert_eq!(next(&mut resumed, &model).as_ref(), Some(&batches[3]));
        assert!(batches.windows(2).all(|pair| pair[0].inputs != pair[1].inputs));
        assert!(batches.iter().all(|batch| batch.rollouts.as_ref().unwrap().old.is_empty()));
    }

    #[test]
    fn several_steps_learn_from_the_same_answers_also_where_the_run_goes_on_between_them() {
        let model = model();
        let mut whole = source(0, 3, Reused::default());
        let mut given = Vec::new();
        while !whole.ended() {
            given.push((next(&mut whole, &model), whole.batches.state(), whole.state()));
        }
        // Two batches thrice, two more, and the last one with nothing beside it.
        assert_eq!(given.len(), 18);
        let batch = |at: usize| given[at].0.as_ref();
        assert!((0..2).all(|at| batch(at) == batch(at + 2) && batch(at) == batch(at + 4)));
        assert!(batch(0) != batch(1) && batch(4) != batch(6) && batch(16).is_some());
        assert_eq!([13, 15, 17].map(|at| batch(at).is_some()), [false; 3]);
        let first = batch(0).unwrap();
        assert_eq!(first.rollouts.as_ref().unwrap().old.len(), first.inputs.len());
        for at in [0, 3, 4, 9, 14] {
            let (_, loader, state) = &given[at];
            let mut resumed = source(loader.position, 3, state.reused.as_deref().cloned().unwrap());
            for later in &given[at + 1..] {
                assert!(next(&mut resumed, &model) == later.0, "behind batch {at}");
            }
            assert!(resumed.ended());
        }
        assert_eq!(given[5].2.reused, None, "what is used up is not kept");
    }

    #[test]
    fn what_answers_were_written_with_has_the_noise_of_the_steps_that_learn_from_them() {
        let (model, options) =
            (model(), TrainOptions { neftune: 5.0, dropout: Some(0.2), ..TrainOptions::default() });
        let mut source = source(0, 3, Reused::default());
        source.config.options = options;
        let (config, rollouts) = (source.config.clone(), source.answers.config.clone());
        let mut place = 0;
        for at in 0..12u64 {
            let Some(batch) = next(&mut source, &model) else { panic!("batch {at}") };
            // Two batches a step, and three steps from the same answers.
            place = if at % 2 == 0 { 0 } else { place };
            let noise = config.noise(at / 2, Some(&rollouts));
            assert_eq!(noise == config.noise(0, Some(&rollouts)), at < 6, "batch {at}");
            let noisy = model.clone().with_noise(noise, place, lengths(&batch, noise));
            let now = |model: &Transformer| {
                let now = pollster::block_on(read(target_log_probs(model, &batch, 1.0))).unwrap();
                let old = batch.rollouts.as_ref().unwrap().old.iter().zip(&batch.weights);
                let old = old.filter(|(_, weight)| **weight != 0.0);
                old.zip(&now).map(|((old, _), now)| (old - now).abs()).fold(0.0, f32::max)
            };
            assert!(now(&noisy) < 1e-5 && now(&model) > 1e-3, "batch {at}: {} {}", now(&noisy), now(&model));
            place += batch.batch;
        }
    }

    #[test]
    fn held_out_prompts_are_answered_once_and_no_more_than_are_asked_for() {
        let model = model();
        let rows = |eval_answers: usize| {
            let config = GrpoConfig { max_new_tokens: 3, eval_answers, ..GrpoConfig::default() };
            let batches = Box::new(Numbered { at: 0, end: 5 });
            let mut held_out = measured(batches, Some(&config), &tokenizer(), 8);
            let mut rows = Vec::new();
            while let Some(batch) = pollster::block_on(held_out.next(&model)).unwrap() {
                assert!(batch.group == 1 && batch.rollouts.unwrap().advantages.is_empty());
                rows.push(batch.batch);
            }
            rows
        };
        assert_eq!((rows(3), rows(64)), (vec![2, 1], vec![2; 5]));
    }
}
