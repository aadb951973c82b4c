//! From a model, a tokenizer and a dataset to a run that is ready to go.

use std::ops::Range;
use std::sync::Arc;

use super::held_out_answers::HeldOutAnswers;
use super::noising::noised;
use super::own_answers::WithOwnAnswers;
use super::patience::Patience;
use super::rollouts::{measured, with_rollouts};
use super::{BatchSource, Copies, Plan, Progress, ReadAhead, RowTokens, Run, Stage, TrainConfig};
use crate::adapter::Adapter;
use crate::batch::{EncodedRows, Encoder, Fit, Loader, LoaderConfig, LoaderState, Survey};
use crate::data::{Dataset, Split};
use crate::error::{Error, Result};
use crate::loss::{Objective, ReasonSettings};
use crate::model::{NamedTensor, Transformer};
use crate::platform::SURVEYED_BYTES;
use crate::tokenizer::Tokenizer;
use crate::told::{Told, told};

/// Rows that are looked at in any case, where there are so many.
const SURVEYED_ROWS: u64 = 2000;

/// The ingredients of a run.
#[derive(Clone)]
pub struct Job {
    /// What it teaches.
    pub stage: Stage,
    /// What is minimised; [`Stage::objective`] gives the stage's own.
    pub objective: Arc<dyn Objective>,
    /// How.
    pub config: TrainConfig,
    /// With which vocabulary and template.
    pub tokenizer: Arc<Tokenizer>,
    /// On which rows.
    pub dataset: Arc<Dataset>,
    /// Rows of what the model knows, which are mixed in so that it keeps them; `None` where nobody knows any.
    pub keep: Option<Arc<Dataset>>,
    /// What trains beside the frozen model; `None` where the model itself does.
    pub adapter: Option<Adapter>,
}

impl Job {
    /// Checks what can be checked before any work.
    ///
    /// # Errors
    /// Settings that do not hold, no usable rows, rows longer than the model, a foreign tokenizer.
    pub fn validate(&self, model: &Transformer) -> Result<()> {
        self.check_objective(model.config())?;
        self.check_prepared()?;
        self.stage.check_rows(&self.dataset)?;
        let mut problems = self.config.problems();
        if self.adapter.is_none() && model.is_quantized() {
            problems.push(
                told!(
                    "train.quantized",
                    "the model's weights are held in few bits, which do not train; open it as f32, or train an adapter \
                     beside them with --lora"
                ),
            );
        }
        problems.extend(model.config().untrained.iter().map(|(key, value)| {
            told!(
                "train.untrained",
                "the model's config.json has {key} {value}, which acts in training with transformers and is not built here; \
                 set it to 0 (or false) there to train without it",
                key,
                value
            )
        }));
        problems.extend(self.config.length_problem(model.config().context()));
        problems.extend(self.prompt_problem());
        problems.extend(self.teacher_problem());
        problems.extend(self.kept_teacher_problems(model.config()));
        problems.extend(self.objective.problems(self.adapter.is_some()));
        problems.extend(self.keep_problem());
        problems.extend(self.masking_problem());
        problems.extend(self.config.options.problem(self.adapter.is_some()));
        problems.extend(self.rollout_problems());
        problems.extend(self.freeze_problems(model.config()));
        if !problems.is_empty() {
            return Err(Error::Config(problems));
        }
        self.check_kept()?;
        self.check_split()?;
        model.config().check_vocabulary(&self.tokenizer)
    }

    /// Refuses data that leaves nothing to train on, or nothing to hold out where that is asked for.
    fn check_split(&self) -> Result<()> {
        let (split, share) = (self.split(), self.config.val_split);
        if split.train == 0 {
            return Err(Error::Data(told!(
                "train.no_rows",
                "no usable rows are left to train on; give more --data or a smaller --val-split"
            )));
        }
        if share > 0.0 && split.validation == 0 {
            return Err(Error::Data(told!(
                "train.no_held_out",
                "--val-split {share} of {rows} usable row holds none out; give at least 2 rows, or --val-split 0",
                share,
                rows = self.dataset.len()
            )));
        }
        Ok(())
    }

    /// Rows held out and rows trained on.
    pub fn split(&self) -> Split {
        self.dataset.split(self.config.val_split, self.config.seed)
    }

    /// What a pass over the data holds: counted, or of larger data estimated by as many rows, spread evenly, as make up
    /// `bytes` of text.
    ///
    /// # Errors
    /// Data that cannot be read or encoded.
    pub fn survey(&self, bytes: u64) -> Result<Survey> {
        let (rows, all) = (self.dataset.len(), self.dataset.report().bytes_of_text.max(1));
        let split = self.split();
        let pass = split.pass();
        let fitting = (u128::from(rows) * u128::from(bytes) / u128::from(all)) as u64;
        let looked_at = fitting.clamp(SURVEYED_ROWS.min(pass), pass);
        let spread = |i: u64| (u128::from(i) * u128::from(pass) / u128::from(looked_at)) as u64;
        let row = |i: u64| split.row_of_pass(spread(i), self.config.seed);
        let mut numbers: Vec<u64> = (0..looked_at).map(row).collect();
        // Reading rows in their order needs no search.
        numbers.sort_unstable();
        Survey::of(&self.examples(), &self.loader_config(), &numbers)
    }

    /// Optimizer steps of the whole run: `--steps`, or `--epochs` of what one pass holds, the last of fewer batches where
    /// `--grad-accum` does not divide them.
    pub fn total_steps(&self, survey: &Survey) -> u64 {
        let config = &self.config;
        let steps = || {
            let split = self.split();
            let batches = survey.batches(&self.loader(&split, split.train_part(), true), config.epochs);
            let (_, again) = self.rollout_sizes();
            let steps = (batches / config.grad_accum as f64).ceil().max(1.0) as u64;
            config.at_least(steps.saturating_mul(again))
        };
        config.steps.unwrap_or_else(steps)
    }

    /// Whether the end of the passes over the data is the run's: not where its steps are asked for, or raised.
    fn ends_with_passes(&self, survey: &Survey) -> bool {
        self.config.steps.is_none() && self.total_steps(survey) > self.config.min_steps
    }

    /// Whether the steps of the run are an estimate.
    fn estimates(&self, survey: &Survey) -> bool {
        self.ends_with_passes(survey) && survey.rows < self.split().pass()
    }

    /// What a person should know of the rows before the run begins, a sentence each.
    pub fn remarks(&self, survey: &Survey) -> Vec<Told> {
        let mut remarks = survey.remarks();
        remarks.extend(self.keep_remark());
        remarks.extend(self.config.options.remark());
        remarks.extend(self.mix_remarks());
        if self.estimates(survey) {
            remarks.push(told!(
                "train.estimate",
                "{steps} steps are an estimate from {looked_at} of {rows} rows; the run ends where the data ends",
                steps = self.total_steps(survey),
                looked_at = survey.rows,
                rows = self.split().pass()
            ));
        }
        remarks
    }

    /// What the run will need; `steps` as [`Job::total_steps`] gives them.
    pub fn plan(&self, model: &Transformer, survey: &Survey, steps: u64) -> Plan {
        let full = RowTokens::full(&self.config);
        // Packed, a row holds all examples of a group.
        let group = if self.config.packing { 1 } else { self.content().group() };
        let row = match self.config.packing {
            true => full,
            false => RowTokens {
                mean: (survey.mean_tokens() / group as f64).min(full.mean),
                longest: survey.longest.clamp(1, full.longest),
            },
        };
        let adapter = self.adapter.as_ref().map(Adapter::parameters);
        let (answers, _) = self.rollout_sizes();
        let rows = self.config.batch_size.saturating_mul(group).saturating_mul(answers);
        let config = TrainConfig { batch_size: rows, ..self.config.clone() };
        let mut plan = Plan::new(model.config(), &config, steps, adapter, row, &model.device());
        self.plan_frozen(&mut plan, model.config());
        plan.state_bytes -= model.bytes_saved();
        plan.add_beside(&self.objective.beside(), model.config(), config.batch_size, row);
        if self.kept_dataset().is_some() {
            plan.add_share(self.config.keep_share);
        }
        plan
    }

    /// A run from the beginning.
    ///
    /// # Errors
    /// As [`Job::validate`] and [`Job::survey`].
    pub fn start(self, model: Transformer) -> Result<Run> {
        self.validate(&model)?;
        let survey = self.survey(if self.config.steps.is_some() { 0 } else { SURVEYED_BYTES })?;
        self.start_surveyed(model, &survey)
    }

    /// The same with what a survey has found, which [`Job::survey`] gives.
    ///
    /// # Errors
    /// As [`Job::validate`]; rows that cannot be encoded, or hold nothing to learn.
    pub fn start_surveyed(self, model: Transformer, survey: &Survey) -> Result<Run> {
        self.validate(&model)?;
        let (total_steps, remarks) = (self.total_steps(survey), self.remarks(survey));
        let progress = Progress {
            step: 0,
            total_steps,
            planned_steps: self.ends_with_passes(survey).then_some(total_steps),
            tokens: 0,
            rows: self.dataset.len(),
            data: Some(self.dataset.fingerprint()),
            date: self.printed_date(),
            encoding: None,
            loader: LoaderState::default(),
            low_from: 0,
            keep: self.kept_dataset().map(|keep| keep.fingerprint()),
            best_loss: None,
            patience: Patience::default(),
            unjudged: false,
            reference: None,
            dpo: None,
            taught: None,
            reason: self.objective.reason().cloned(),
            grpo: self.objective.rollouts().cloned(),
            mean_loss: None,
            loss_scale: None,
            config: self.config.clone(),
        };
        // Rows that hold nothing to learn, or that the template refuses, show before anything is written.
        let split = self.split();
        self.loader(&split, split.train_part(), true).next_batch()?;
        let mut run = self.run(model, survey, progress)?;
        run.warnings.extend(remarks);
        Ok(run)
    }

    /// A run that goes on where `progress` was saved; `model` holds the saved weights.
    ///
    /// # Errors
    /// As [`Job::validate`]; data that cannot be read; an optimizer's state that does not fit the weights.
    pub fn resume(self, model: Transformer, mut state: Vec<NamedTensor>, progress: Progress) -> Result<Run> {
        self.validate(&model)?;
        let warning = progress.check_data(&self.dataset)?;
        let other = progress.check_keep(self.keep.as_deref());
        // Packed rows are full, whatever the data holds.
        let survey = if self.config.packing { Survey::default() } else { self.survey(0)? };
        let mut run = self.run(model, &survey, progress)?;
        run.model = run.copies.restore(run.model, &mut state)?;
        run.optimizer.restore(run.progress.optimizer_steps(), state, &run.model)?;
        run.warnings.extend(warning.into_iter().chain(other));
        Ok(run)
    }

    fn run(mut self, model: Transformer, survey: &Survey, progress: Progress) -> Result<Run> {
        let mut warnings = self.warnings();
        warnings.extend(idle_gates(&model));
        warnings.extend(self.freeze_remark(&progress.config.freeze, model.config()));
        let model = self.settle_ends(model);
        let plan = self.plan(&model, survey, progress.total_steps);
        let split = self.split();
        let mut batches = self.loader(&split, split.train_part(), true);
        if progress.planned_steps.is_some() {
            batches = batches.ending_after(progress.config.epochs);
        }
        batches.restore(progress.loader.clone())?;
        let (optimizer, options) = (self.config.optimizer(), &progress.config.options);
        let model = match &self.adapter {
            Some(adapter) => adapter.attach(model, 1.0)?,
            None => model.freeze(&progress.config.freeze),
        };
        let model = model.with_checkpointing(options.activation_checkpointing);
        let copies = Copies::of(&model, options);
        let adapter = self.adapter.as_ref().map(|adapter| adapter.config.clone());
        let keep = self.kept_rows(progress.config.keep_share);
        let (tokenizer, objective) = (Arc::clone(&self.tokenizer), Arc::clone(&self.objective));
        let batches: Box<dyn BatchSource> = Box::new(ReadAhead::new(batches));
        let batches: Box<dyn BatchSource> = match objective.own_answers() {
            Some(own) => Box::new(WithOwnAnswers::new(batches, own, self.content(), &progress.config)),
            None => batches,
        };
        let batches = noised(batches, &*objective, &progress.config, true);
        let batches = with_rollouts(batches, objective.rollouts(), &tokenizer, &progress);
        let answers = HeldOutAnswers::of(&*self.objective, &self.dataset, &self.tokenizer, &split)?;
        warnings.extend(answers.as_ref().and_then(HeldOutAnswers::warning));
        let held_out: Option<Box<dyn Fn() -> Box<dyn BatchSource>>> = match split.validation {
            0 => None,
            _ if objective.rollouts().is_some_and(|config| config.eval_answers == 0) => None,
            _ => Some(Box::new(move || {
                let rows = Box::new(self.loader(&split, split.validation_part(), false));
                let rows = noised(rows, &*self.objective, &self.config, false);
                measured(rows, self.objective.rollouts(), &self.tokenizer, self.config.max_seq_len)
            })),
        };
        Ok(Run {
            model,
            plan,
            adapter,
            optimizer,
            copies,
            objective,
            batches,
            keep,
            held_out,
            answers,
            tokenizer,
            progress,
            warnings,
            stop_after: None,
            ranks: None,
            shard_optimizer: false,
        })
    }

    fn encoder(&self, dataset: &Dataset) -> Encoder {
        let encoder = Encoder::new(Arc::clone(&self.tokenizer), self.content());
        encoder
            .for_rows_of(self.config.max_seq_len)
            .with_turns(dataset.turns())
            .with_prompts_of(self.objective.longest_prompt())
            .with_tags(self.objective.reason().map(ReasonSettings::tag_weight))
    }

    /// The rows as examples.
    pub(super) fn examples(&self) -> EncodedRows {
        self.examples_of(&self.dataset)
    }

    /// The same of whatever rows.
    pub(super) fn examples_of(&self, dataset: &Arc<Dataset>) -> EncodedRows {
        let (encoder, skip_bad_rows) = (self.encoder(dataset), dataset.skip_bad_rows());
        EncodedRows { dataset: Arc::clone(dataset), encoder, skip_bad_rows }
    }

    pub(super) fn loader_config(&self) -> LoaderConfig {
        LoaderConfig {
            batch_size: self.config.batch_size,
            packing: self.config.packing,
            fit: Fit::new(self.content(), self.longest_targets(), self.config.too_long),
            seed: self.config.seed,
        }
    }

    fn loader(&self, split: &Split, part: Range<u64>, endless: bool) -> Loader {
        let order = split.order().clone();
        let loader = Loader::new(Arc::new(self.examples()), self.loader_config(), order, part, endless);
        loader.drawing(split.draws().filter(|_| endless))
    }
}

/// What to say of gates that no text can teach.
fn idle_gates(model: &Transformer) -> Option<Told> {
    let experts = model.config().experts.as_ref()?;
    (experts.normalize && experts.per_token == 1).then(|| {
        told!(
            "train.idle_gates",
            "config.json: norm_topk_prob with one expert a token gives every expert the weight 1, as in transformers; texts \
             teach the gates nothing, and only the balance loss moves them"
        )
    })
}
