//! From a model, a tokenizer and a dataset to a run that is ready to go.

use std::ops::Range;
use std::sync::Arc;

use burn::tensor::Device;

use super::{NextToken, Plan, Progress, RowTokens, Run, Stage, TrainConfig};
use crate::adapter::Adapter;
use crate::batch::{Content, Encoder, Loader, LoaderConfig, LoaderState};
use crate::data::{Dataset, Split, split};
use crate::error::{Error, Result};
use crate::model::{NamedTensor, Transformer};
use crate::optim::AdamW;
use crate::tokenizer::Tokenizer;

/// Rows whose tokens are counted to estimate the length of an epoch.
const SAMPLED_ROWS: u64 = 2000;

/// The ingredients of a run.
#[derive(Clone)]
pub struct Job {
    /// What it teaches.
    pub stage: Stage,
    /// How.
    pub config: TrainConfig,
    /// With which vocabulary and template.
    pub tokenizer: Arc<Tokenizer>,
    /// On which rows.
    pub dataset: Arc<Dataset>,
    /// What trains beside the frozen model; `None` where the model itself does.
    pub adapter: Option<Adapter>,
}

impl Job {
    /// Checks what can be checked before any work.
    ///
    /// # Errors
    /// Settings that do not hold, no usable rows, rows longer than the model, a foreign tokenizer.
    pub fn validate(&self, model: &Transformer) -> Result<()> {
        self.check_content()?;
        let mut problems = self.config.problems();
        if self.adapter.is_none() && model.is_quantized() {
            problems.push(
                "the model's weights are held in few bits, which do not train; open it as f32, or train an adapter \
                (lora)"
                    .into(),
            );
        }
        let context = model.config().context();
        if self.config.max_seq_len > context {
            problems.push(format!(
                "--max-seq-len is {}, the model holds {context} positions; take at most that many",
                self.config.max_seq_len
            ));
        }
        if !problems.is_empty() {
            return Err(Error::Config(problems));
        }
        self.check_split()?;
        model.config().check_vocabulary(&self.tokenizer)
    }

    /// Refuses data that leaves nothing to train on, or nothing to hold out where that is asked for.
    fn check_split(&self) -> Result<()> {
        let (split, share) = (self.split(), self.config.val_split);
        if split.train == 0 {
            return Err(Error::Data(
                "no usable rows are left to train on; give more --data or a smaller --val-split".into(),
            ));
        }
        if share > 0.0 && split.validation == 0 {
            return Err(Error::Data(format!(
                "--val-split {share} of {} usable row holds none out; give at least 2 rows, or --val-split 0",
                self.dataset.len()
            )));
        }
        Ok(())
    }

    /// Refuses data with rows of another kind than the stage reads.
    fn check_content(&self) -> Result<()> {
        let report = self.dataset.report();
        let fits = match self.stage.content() {
            Content::Documents => report.conversations == 0,
            Content::Conversations => report.documents == 0,
        };
        if fits {
            return Ok(());
        }
        // The first row of the other kind says where it stands and what to do.
        let encoder = self.encoder();
        for row in self.dataset.iter() {
            let (row, origin) = row?;
            encoder.encode(&row, origin)?;
        }
        Ok(())
    }

    /// Rows held out and rows trained on.
    pub fn split(&self) -> Split {
        split(self.dataset.len(), self.config.val_split, self.config.seed)
    }

    /// Optimizer steps of the whole run: `--steps`, or `--epochs` of what one epoch holds (packed rows are
    /// counted on a sample of the data).
    ///
    /// # Errors
    /// Data that cannot be read or encoded.
    pub fn total_steps(&self) -> Result<u64> {
        if let Some(steps) = self.config.steps {
            return Ok(steps);
        }
        let config = &self.config;
        let rows = self.split().train as f64;
        let batch = (config.batch_size * config.grad_accum) as f64;
        let batches = match config.packing {
            true => rows * self.sampled_tokens()?.mean / (batch * config.max_seq_len as f64),
            false => rows / batch,
        };
        Ok((config.epochs * batches).ceil().max(1.0) as u64)
    }

    /// What the run will need; `steps` as [`Job::total_steps`] gives them.
    ///
    /// # Errors
    /// Data that cannot be read or encoded.
    pub fn plan(&self, model: &Transformer, steps: u64) -> Result<Plan> {
        let full = RowTokens::full(&self.config);
        let row = match self.config.packing {
            true => full,
            false => {
                let RowTokens { mean, longest } = self.sampled_tokens()?;
                RowTokens { mean: mean.min(full.mean), longest: longest.clamp(1, full.longest) }
            }
        };
        let adapter = self.adapter.as_ref().map(Adapter::parameters);
        let mut plan = Plan::new(model.config(), &self.config, steps, adapter, row);
        plan.state_bytes -= model.bytes_saved();
        Ok(plan)
    }

    /// Tokens of a row, over a sample spread evenly.
    fn sampled_tokens(&self) -> Result<RowTokens> {
        let encoder = self.encoder();
        let rows = self.dataset.len();
        let sampled = rows.min(SAMPLED_ROWS);
        let (mut tokens, mut longest) = (0, 0);
        for i in 0..sampled {
            if let Some((row, origin)) = self.dataset.row(i * rows / sampled)? {
                let length = encoder.encode(&row, origin)?.ids.len();
                tokens += length;
                longest = longest.max(length);
            }
        }
        Ok(RowTokens { mean: tokens as f64 / sampled.max(1) as f64, longest })
    }

    /// A run from the beginning.
    ///
    /// # Errors
    /// As [`Job::validate`] and [`Job::total_steps`].
    pub fn start(self, model: Transformer) -> Result<Run<NextToken>> {
        self.validate(&model)?;
        let progress = Progress {
            step: 0,
            total_steps: self.total_steps()?,
            tokens: 0,
            rows: self.dataset.len(),
            loader: LoaderState::default(),
            best_loss: None,
            mean_loss: None,
            config: self.config.clone(),
        };
        // Rows that hold nothing to learn, or that the template refuses, show before anything is written.
        let split = self.split();
        self.loader(&split, split.train_part(), true).next_batch()?;
        self.run(model, progress)
    }

    /// A run that goes on where `progress` was saved; `model` holds the saved weights.
    ///
    /// # Errors
    /// As [`Job::validate`]; data that cannot be read.
    pub fn resume(
        self,
        model: Transformer,
        optimizer: Vec<NamedTensor>,
        progress: Progress,
    ) -> Result<Run<NextToken>> {
        self.validate(&model)?;
        if progress.rows != self.dataset.len() {
            return Err(Error::Data(format!(
                "the run was trained on {} rows, the data has {} now; resume with the data as it was",
                progress.rows,
                self.dataset.len()
            )));
        }
        let device: Device = model.device().inner();
        let mut run = self.run(model, progress)?;
        run.optimizer.restore(run.progress.step, optimizer, &device);
        Ok(run)
    }

    fn run(self, model: Transformer, progress: Progress) -> Result<Run<NextToken>> {
        let plan = self.plan(&model, progress.total_steps)?;
        let split = self.split();
        let mut batches = self.loader(&split, split.train_part(), true);
        batches.restore(progress.loader.clone())?;
        let optimizer = AdamW::new(self.config.adamw());
        let model = match &self.adapter {
            Some(adapter) => adapter.attach(model, 1.0)?,
            None => model,
        };
        let adapter = self.adapter.as_ref().map(|adapter| adapter.config.clone());
        let tokenizer = Arc::clone(&self.tokenizer);
        let held_out: Option<Box<dyn Fn() -> Loader>> = match split.validation {
            0 => None,
            _ => Some(Box::new(move || self.loader(&split, split.validation_part(), false))),
        };
        Ok(Run {
            model,
            plan,
            adapter,
            optimizer,
            objective: NextToken,
            batches,
            held_out,
            tokenizer,
            progress,
            stop_after: None,
        })
    }

    fn encoder(&self) -> Encoder {
        let encoder = Encoder::new(Arc::clone(&self.tokenizer), self.stage.content());
        encoder.for_rows_of(self.config.max_seq_len)
    }

    fn loader(&self, split: &Split, part: Range<u64>, endless: bool) -> Loader {
        let config = LoaderConfig {
            batch_size: self.config.batch_size,
            seq_len: self.config.max_seq_len,
            packing: self.config.packing,
            too_long: self.config.too_long,
            seed: self.config.seed,
            keep_pieces: self.stage == Stage::Pretrain,
        };
        Loader::new(Arc::clone(&self.dataset), self.encoder(), config, split.order().clone(), part, endless)
    }
}
