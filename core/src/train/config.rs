//! Settings of a training run: doc comments are the command line's help, defaults stand once, per stage and by what
//! trains.

use serde::{Deserialize, Serialize};

use super::{Stage, TrainOptions};
use crate::batch::TooLong;
use crate::error::{Error, Result};
use crate::loss::{DiffusionSettings, GrpoConfig};
use crate::model::{Noise, Part};
use crate::optim::{AdamW, AdamWConfig, LrSchedule, Schedule};
use crate::told::{Told, told};

/// Rows of a batch, batches of a step, and saves that stay, at most: a plan's products of them hold in 64 bits.
const MOST_ROWS: u64 = 1 << 20;
/// Steps at most; a report comes no later.
const MOST_STEPS: u64 = 1_000_000_000;
/// Passes over the data at most.
const MOST_EPOCHS: f64 = 1e6;

/// Everything that decides how a run goes, whatever its model and data.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
#[cfg_attr(feature = "cli", derive(clap::Args))]
pub struct TrainConfig {
    /// Passes over the data; --steps replaces it.
    #[cfg_attr(feature = "cli", arg(long))]
    pub epochs: f64,
    /// Optimizer steps in all.
    #[cfg_attr(feature = "cli", arg(long))]
    pub steps: Option<u64>,
    /// Fewest optimizer steps where --epochs counts them, so that a few rows are seen often enough; 0 sets none.
    #[serde(default)]
    #[cfg_attr(feature = "cli", arg(long))]
    pub min_steps: u64,
    /// Where --epochs counts the steps, end once every step of a whole pass had a loss under this; 0 never does.
    #[serde(default)]
    #[cfg_attr(feature = "cli", arg(long))]
    pub stop_at_loss: f64,
    /// Share of each step that goes to rows of what the model knew before, so that it keeps it; 0 takes none.
    #[serde(default)]
    #[cfg_attr(feature = "cli", arg(long))]
    pub keep_share: f64,
    /// Rows in one forward pass; pairs of answers count as one.
    #[cfg_attr(feature = "cli", arg(long))]
    pub batch_size: usize,
    /// Forward passes to one optimizer step; equals one batch of that many times the rows.
    #[cfg_attr(feature = "cli", arg(long))]
    pub grad_accum: usize,
    /// Highest learning rate.
    #[cfg_attr(feature = "cli", arg(long))]
    pub learning_rate: f64,
    /// Shape of the learning rate over the run.
    #[cfg_attr(feature = "cli", arg(long, value_enum))]
    pub lr_schedule: LrSchedule,
    /// Share of the steps in which the learning rate rises from zero.
    #[cfg_attr(feature = "cli", arg(long))]
    pub warmup_ratio: f64,
    /// Where the learning rate ends, as a share of its highest value.
    #[cfg_attr(feature = "cli", arg(long))]
    pub min_lr_ratio: f64,
    /// AdamW's pull of matrix weights towards zero; norms and embeddings have none.
    #[cfg_attr(feature = "cli", arg(long))]
    pub weight_decay: f64,
    /// Largest global norm of the gradient; 0 leaves it alone.
    #[cfg_attr(feature = "cli", arg(long))]
    pub grad_clip: f64,
    /// Longest row in tokens.
    #[cfg_attr(feature = "cli", arg(long))]
    pub max_seq_len: usize,
    /// Fill rows with several examples that do not see each other.
    #[cfg_attr(feature = "cli", arg(long, num_args = 0..=1, default_missing_value = "true", action = clap::ArgAction::Set))]
    pub packing: bool,
    /// What happens to longer rows: cut (a text into pieces, a conversation at its end) or drop.
    #[cfg_attr(feature = "cli", arg(long, value_enum))]
    pub too_long: TooLong,
    /// Share of the rows kept for measuring and never trained on.
    #[cfg_attr(feature = "cli", arg(long))]
    pub val_split: f64,
    /// Measure the held-out loss every so many steps; 0 measures at the end only.
    #[cfg_attr(feature = "cli", arg(long))]
    pub eval_every: u64,
    /// Save every so many steps, too; 0 saves by time and at the end only.
    #[cfg_attr(feature = "cli", arg(long))]
    pub save_every: u64,
    /// Saved steps that stay on the disk, the best one aside.
    #[cfg_attr(feature = "cli", arg(long))]
    pub keep_last: usize,
    /// Report every so many steps.
    #[cfg_attr(feature = "cli", arg(long))]
    pub log_every: u64,
    /// Parts of the model that do not train.
    #[serde(default)]
    #[cfg_attr(feature = "cli", arg(long, value_enum, value_delimiter = ','))]
    pub freeze: Vec<Part>,
    /// Seed of initial weights and order.
    #[cfg_attr(feature = "cli", arg(long))]
    pub seed: u64,
    /// How hidden tokens are learned
    #[serde(flatten)]
    #[cfg_attr(feature = "cli", command(flatten))]
    pub diffusion: DiffusionSettings,
    /// Noise, another optimizer, an early end, averaged weights, less memory
    #[serde(flatten)]
    #[cfg_attr(feature = "cli", command(flatten))]
    pub options: TrainOptions,
}

impl TrainConfig {
    /// The defaults of a stage that trains the model itself.
    pub fn of(stage: Stage) -> Self {
        let pretrain = Self {
            epochs: 1.0,
            steps: None,
            min_steps: 0,
            stop_at_loss: 0.0,
            keep_share: 0.0,
            batch_size: 16,
            grad_accum: 1,
            learning_rate: 1e-3,
            lr_schedule: LrSchedule::Cosine,
            warmup_ratio: 0.02,
            min_lr_ratio: 0.1,
            weight_decay: AdamWConfig::default().weight_decay,
            grad_clip: 1.0,
            max_seq_len: 256,
            packing: true,
            too_long: TooLong::Cut,
            val_split: 0.0,
            eval_every: 0,
            save_every: 0,
            keep_last: 2,
            log_every: 10,
            freeze: Vec::new(),
            seed: 42,
            diffusion: DiffusionSettings::default(),
            options: TrainOptions::default(),
        };
        let sft =
            Self { epochs: 2.0, learning_rate: 3e-4, max_seq_len: 512, packing: false, ..pretrain.clone() };
        match stage {
            Stage::Pretrain => pretrain,
            Stage::Sft => sft,
            // A teacher tells more of a row than its tokens do, and the student answers already.
            Stage::Distill => Self { learning_rate: 1e-4, ..sft },
            // Its own measure, the share of answers that keep the tags, needs questions that are held out.
            Stage::Reason => Self { max_seq_len: 1024, val_split: 0.05, ..sft },
            // Sixteen answers each to four prompts; a row that is cut would be compared with a part of its answer.
            Stage::Grpo => Self {
                epochs: 1.0,
                learning_rate: 1e-5,
                warmup_ratio: 0.05,
                batch_size: 4,
                too_long: TooLong::Drop,
                ..sft
            },
            // At ten times the rate a small model's answers fall apart.
            Stage::Dpo => Self {
                epochs: 1.0,
                learning_rate: 5e-6,
                warmup_ratio: 0.1,
                batch_size: 4,
                max_seq_len: 1024,
                ..sft
            },
        }
    }

    /// The defaults of a stage that trains an adapter beside the frozen model.
    pub fn of_adapter(stage: Stage) -> Self {
        let whole = Self::of(stage);
        match stage {
            // Texts that are seen up to four times teach nearly as much as new ones (Muennighoff et al., 2023).
            Stage::Pretrain => Self { epochs: 4.0, ..whole },
            // Adapters are trained on few conversations, which they must see often. Below a loss of 0.01 no target of a
            // batch of up to 69 can be less likely than one half (69 · 0.01 < ln 2): greedy answers are the rows'.
            Stage::Sft => Self {
                epochs: 40.0,
                min_steps: 160,
                stop_at_loss: 0.01,
                keep_share: 0.3,
                learning_rate: 1e-3,
                batch_size: 4,
                ..whole
            },
            Stage::Dpo => Self { epochs: 3.0, learning_rate: 2e-4, ..whole },
            Stage::Distill => Self { epochs: 3.0, learning_rate: 5e-4, ..whole },
            Stage::Reason => Self { epochs: 3.0, learning_rate: 1e-3, ..whole },
            Stage::Grpo => Self { learning_rate: 1e-4, ..whole },
        }
    }

    /// Everything that does not hold, as sentences.
    pub fn problems(&self) -> Vec<Told> {
        let judged = self.val_split > 0.0 && self.eval_every > 0;
        let checks = self.of_sizes().into_iter().chain(self.of_rates()).chain(self.options.checks(judged));
        let checks = checks.chain([self.diffusion.check()]);
        checks.filter(|(holds, _)| !holds).map(|(_, problem)| problem).collect()
    }

    /// Whether the sizes hold, and what to say where one does not.
    fn of_sizes(&self) -> Vec<(bool, Told)> {
        let count = |name: &str, x: u64, low: u64, most: u64| {
            let told = told!("train.count", "{name} is {x}; it must be {low} to {most}", name, x, low, most);
            ((low..=most).contains(&x), told)
        };
        let (epochs, length, limit) = (self.epochs, self.max_seq_len, self.stop_at_loss);
        vec![
            (
                epochs > 0.0 && epochs <= MOST_EPOCHS,
                told!(
                    "train.epochs",
                    "--epochs is {epochs}; it must be above 0 and at most {most}",
                    epochs,
                    most = MOST_EPOCHS
                ),
            ),
            count("--steps", self.steps.unwrap_or(1), 1, MOST_STEPS),
            count("--min-steps", self.min_steps, 0, MOST_STEPS),
            count("--batch-size", self.batch_size as u64, 1, MOST_ROWS),
            count("--grad-accum", self.grad_accum as u64, 1, MOST_ROWS),
            count("--keep-last", self.keep_last as u64, 1, MOST_ROWS),
            count("--log-every", self.log_every, 1, MOST_STEPS),
            (
                limit >= 0.0 && limit.is_finite(),
                told!("train.stop_at_loss", "--stop-at-loss is {limit}; it must be 0 or more", limit),
            ),
            (length >= 2, told!("train.length", "--max-seq-len is {length}; it must be at least 2", length)),
        ]
    }

    /// The same of rates and shares.
    fn of_rates(&self) -> Vec<(bool, Told)> {
        let share = |name: &str, x: f64| {
            ((0.0..=1.0).contains(&x), told!("train.share", "{name} is {x}; it must be 0 to 1", name, x))
        };
        let (lr, decay, clip) = (self.learning_rate, self.weight_decay, self.grad_clip);
        let (split, keep) = (self.val_split, self.keep_share);
        vec![
            (
                lr > 0.0 && lr <= 1.0,
                told!("train.rate", "--learning-rate is {lr}; it must be above 0 and at most 1", lr),
            ),
            share("--warmup-ratio", self.warmup_ratio),
            share("--min-lr-ratio", self.min_lr_ratio),
            (
                (0.0..=10.0).contains(&decay),
                told!("train.decay", "--weight-decay is {decay}; it must be 0 to 10", decay),
            ),
            (clip >= 0.0, told!("train.clip", "--grad-clip is {clip}; it must be 0 or more", clip)),
            (
                (0.0..=0.9).contains(&keep),
                told!("train.keep_share", "--keep-share is {keep}; it must be 0 to 0.9", keep),
            ),
            (
                (0.0..=0.9).contains(&split),
                told!("train.split", "--val-split is {split}; it must be 0 to 0.9", split),
            ),
            (
                self.eval_every == 0 || split > 0.0,
                told!("train.eval", "--eval-every needs held-out rows; add --val-split 0.05"),
            ),
        ]
    }

    /// `Err` with all problems at once.
    pub fn validate(&self) -> Result<()> {
        match self.problems() {
            problems if problems.is_empty() => Ok(()),
            problems => Err(Error::Config(problems)),
        }
    }

    /// What does not hold beside a model of so many positions.
    pub fn length_problem(&self, context: usize) -> Option<Told> {
        (self.max_seq_len > context).then(|| {
            told!(
                "train.length_over",
                "--max-seq-len is {length}, the model holds {context} positions; take at most that many",
                length = self.max_seq_len,
                context
            )
        })
    }

    /// Takes the model's positions as the length of a row where the default is longer, and says so; a length that a
    /// person gave stays, to be refused.
    pub fn fit_default_length(&mut self, context: usize) -> Option<Told> {
        let default = self.max_seq_len;
        (default > context).then(|| {
            self.max_seq_len = context;
            told!(
                "train.length_fitted",
                "--max-seq-len is {context}, all that the model holds (the default is {default})",
                context,
                default
            )
        })
    }

    /// Steps where `epochs` counts so many: no fewer than asked for.
    pub(super) fn at_least(&self, counted: u64) -> u64 {
        counted.max(self.min_steps)
    }

    /// The loss under which a whole pass ends the run; none where it takes all its steps.
    pub(super) fn low_loss(&self) -> Option<f64> {
        (self.steps.is_none() && self.stop_at_loss > 0.0).then_some(self.stop_at_loss)
    }

    /// The learning rate's course over `total` steps.
    pub fn schedule(&self, total: u64) -> Schedule {
        Schedule {
            shape: self.lr_schedule,
            peak: self.learning_rate,
            warmup: (self.warmup_ratio * total as f64).round() as u64,
            total,
            min_ratio: self.min_lr_ratio,
        }
    }

    /// The noise of a step, whose numbers belong to it, so that a resumed run draws what the uninterrupted one draws. Steps
    /// that learn from the same answers have the same noise: what changes between them is the weights alone (consistent
    /// dropout; Hausknecht and Wagener, 2022, <https://arxiv.org/abs/2202.11818>).
    pub(super) fn noise(&self, step: u64, rollouts: Option<&GrpoConfig>) -> Noise {
        let step = rollouts.map_or(step, |rollouts| rollouts.written_at(step));
        let seed = self.seed ^ (step + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        Noise { seed, dropout: self.options.dropout, neftune: self.options.neftune }
    }

    /// An optimizer that has taken no step.
    pub fn optimizer(&self) -> AdamW {
        let constants = AdamWConfig { weight_decay: self.weight_decay, ..AdamWConfig::default() };
        AdamW::new(constants).with_muon(self.options.muon)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_default_length_fits_the_model() {
        let mut config = TrainConfig::of(Stage::Sft);
        assert_eq!(config.fit_default_length(512), None);
        let said = config.fit_default_length(128);
        assert_eq!(said.unwrap(), "--max-seq-len is 128, all that the model holds (the default is 512)");
        assert_eq!(config, TrainConfig { max_seq_len: 128, ..TrainConfig::of(Stage::Sft) });
    }

    #[test]
    fn defaults_hold_and_all_problems_come_at_once() {
        for stage in [Stage::Pretrain, Stage::Sft, Stage::Dpo, Stage::Distill, Stage::Reason, Stage::Grpo] {
            for defaults in [TrainConfig::of(stage), TrainConfig::of_adapter(stage)] {
                assert_eq!(defaults.problems(), Vec::<Told>::new());
            }
        }
        let bad = TrainConfig { batch_size: 0, learning_rate: -1.0, ..TrainConfig::of(Stage::Sft) };
        let bad = TrainConfig { val_split: 2.0, stop_at_loss: f64::NAN, keep_share: 0.95, ..bad };
        let bad = TrainConfig { epochs: f64::INFINITY, grad_accum: 1 << 21, ..bad };
        let message = bad.validate().unwrap_err().to_string();
        for part in [
            "--batch-size is 0",
            "--learning-rate is -1",
            "--val-split is 2",
            "--stop-at-loss is NaN",
            "--keep-share is 0.95",
            "--grad-accum is 2097152; it must be 1 to 1048576",
            "--epochs is inf; it must be above 0 and at most 1000000",
        ] {
            assert!(message.contains(part), "{message}");
        }
    }

    #[test]
    fn few_steps_are_raised_and_a_low_loss_ends_what_nobody_counted() {
        let config = TrainConfig::of_adapter(Stage::Sft);
        assert_eq!((config.at_least(40), config.at_least(200)), (160, 200));
        assert_eq!(config.low_loss(), Some(0.01));
        assert_eq!(TrainConfig { steps: Some(40), ..config.clone() }.low_loss(), None);
        assert_eq!(TrainConfig { stop_at_loss: 0.0, ..config }.low_loss(), None);
        let whole = TrainConfig::of(Stage::Sft);
        assert_eq!((whole.at_least(1), whole.low_loss(), whole.keep_share), (1, None, 0.0));
    }

    #[test]
    fn settings_of_runs_of_before_have_no_floor_and_keep_nothing() {
        let mut old = serde_json::to_value(TrainConfig::of_adapter(Stage::Sft)).unwrap();
        let settings = old.as_object_mut().unwrap();
        let since = ["objective", "loss-weight", "t-range"];
        for key in ["min-steps", "stop-at-loss", "keep-share", "freeze"].into_iter().chain(since) {
            assert!(settings.remove(key).is_some(), "{key}");
        }
        let read: TrainConfig = serde_json::from_value(old).unwrap();
        assert_eq!((read.min_steps, read.stop_at_loss, read.keep_share), (0, 0.0, 0.0));
        assert!(read.freeze.is_empty());
        assert_eq!(read.diffusion, DiffusionSettings::default());
    }
}
