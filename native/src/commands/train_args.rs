//! The flags of the training verbs: a stage's, and those of the adapter that may train instead of the model.

use std::path::PathBuf;
use std::sync::Arc;

use clap::{Args, ValueEnum};
use kindling::adapter::LoraConfig;
use kindling::error::Error;
use kindling::kernels::Quantization;
use kindling::loss::{DpoConfig, Grpo, GrpoConfig, Objective, Reason, ReasonSettings, RolloutConfig};
use kindling::model::{ExpertSettings, ModelConfig, RopeSettings};
use kindling::text::RowKind;
use kindling::tokenizer::Tokenizer;
use kindling::told::Told;
use kindling::train::{SaveConfig, Stage, TrainConfig};

use super::execute::Course;
use super::positions::refuse_beside_adapter;
use super::stage_flags::{flags_of, flags_of_others, why_idle};
use super::teacher::DistillArgs;
use crate::beside_model::BesideModel;
use crate::cli::Invocation;
use crate::date::{Date, tell_unprinted};
use crate::failure::Failure;
use crate::output;
use crate::run_dir::{Existing, RunDir, SETTINGS, refuse_inside};
use crate::run_kind::{LORA, RunKind};
use crate::sources::{self, RowArgs};
use crate::tracking::{Standing, TrackingConfig};

/// The flags that are looked at by name.
pub const LENGTH: &str = "max-seq-len";
pub const DATE: &str = "date";

/// Flags of every stage.
#[derive(Args)]
pub struct TrainArgs {
    /// Files, directories, globs, hub:owner/name, ms:owner/name or - for the standard input, to train on (repeatable); FILE=SHARE draws
    /// rows by shares, and a directory of `data prepare`, a .npy or a .bin holds tokens
    #[arg(long)]
    pub data: Vec<String>,
    /// Make tokens of the rows of --data in this directory first, as `data prepare` does, and train from these; those that
    /// are there already are taken, and others of a preparation replaced
    #[arg(long, value_name = "DIR")]
    pub process_data: Option<PathBuf>,
    /// Rows of what the model knows, mixed in as --keep-share says so that it keeps it (repeatable) [default: those that
    /// the model's card tells of]
    #[arg(long)]
    pub keep_data: Vec<String>,
    /// A checkpoint to go on from: a directory, a .zip of one, a single .safetensors or .gguf file, a MiniMind .pth, or
    /// hub:owner/name or ms:owner/name
    #[arg(long)]
    pub model: Option<PathBuf>,
    /// A new model's shape and tokenizer, or what the model's file does not hold
    #[command(flatten)]
    pub beside: BesideModel,
    /// A Jinja chat template that replaces the tokenizer's own, and is kept with the model
    #[arg(long)]
    pub chat_template: Option<PathBuf>,
    /// The day that chat templates with today's date print, as 2025-07-31 [default: today; a run keeps it]
    #[arg(long, default_value_t = Date::today(), hide_default_value = true)]
    pub date: Date,
    /// The run's directory; without it, runs/<stage>-NNN
    #[arg(long)]
    pub out: Option<PathBuf>,
    /// Replace the files of a run that is already in --out, and no others
    #[arg(long, conflicts_with = "resume")]
    pub overwrite: bool,
    /// Go on with the run in --out
    #[arg(long, requires = "out")]
    pub resume: bool,
    /// Save and end after this step of the run; the schedule does not change
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..))]
    pub stop_after: Option<u64>,
    /// Of several processes (mpirun) each keeps a part of the optimizer's state (ZeRO-1): less memory, more exchange
    #[arg(long)]
    pub shard_optimizer: bool,
    /// Which rows
    #[command(flatten)]
    pub rows: RowArgs,
    /// A TOML file with any of these flags; the command line wins
    #[arg(long)]
    pub config: Option<PathBuf>,
    /// Set what a known training sets, where nothing else is said: minimind2-small, minimind3, spongebob, tiny-llm or minigpt
    #[arg(long, value_name = "NAME")]
    pub like: Option<String>,
    /// How the run goes
    #[command(flatten)]
    pub train: TrainConfig,
    /// When it is saved unasked
    #[command(flatten)]
    pub saving: SaveConfig,
    /// Who hears of it
    #[command(flatten, next_help_heading = "Tracking")]
    pub tracking: TrackingConfig,
    /// The routed layers of a mixture of experts
    #[command(flatten, next_help_heading = "Experts")]
    pub experts: ExpertSettings,
    /// How the model's positions are stretched for longer rows
    #[command(flatten, next_help_heading = "Positions")]
    pub rope: RopeSettings,
    /// What trains instead of the model
    #[command(flatten, next_help_heading = "Adapter")]
    pub adapter: AdapterArgs,
    /// How preferences are learned
    #[command(flatten, next_help_heading = "Preferences")]
    pub dpo: DpoConfig,
    /// What a student learns from
    #[command(flatten, next_help_heading = "Distillation")]
    pub distillation: DistillArgs,
    /// How answers think first
    #[command(flatten, next_help_heading = "Reasoning")]
    pub reasoning: ReasonSettings,
    /// What is rewarded
    #[command(flatten, next_help_heading = "Rewards")]
    pub grpo: GrpoConfig,
    /// Answers that the model writes itself, to learn from them
    #[command(flatten, next_help_heading = "Answers of its own")]
    pub rollouts: RolloutConfig,
}

/// Whether an adapter trains instead of the model, and flags that act on it alone.
#[derive(Args)]
pub struct AdapterArgs {
    /// Train a low-rank adapter beside the frozen --model; the other flags here belong to it. Beside a masked predictor
    /// --learning-rate, --min-steps and --stop-at-loss have defaults of their own, which are told
    #[arg(long, num_args = 0..=1, default_value_t = false, default_missing_value = "true",
        action = clap::ArgAction::Set)]
    pub lora: bool,
    /// Its shape
    #[command(flatten)]
    pub shape: LoraConfig,
    /// Hold the frozen model's matrices in few bits (QLoRA): less memory, slower [default: as f32]
    #[arg(long, value_enum)]
    pub weights: Option<Quantization>,
}

impl AdapterArgs {
    /// The long names of the flags that act with `--lora` only.
    pub fn flags() -> Vec<String> {
        let flags = Self::augment_args(clap::Command::new(LORA));
        let names = flags.get_arguments().filter_map(clap::Arg::get_long);
        names.filter(|name| *name != LORA).map(String::from).collect()
    }
}

impl TrainArgs {
    /// What a run of these flags is.
    pub fn kind(&self, stage: Stage) -> RunKind {
        RunKind { stage, adapts: self.adapter.lora }
    }

    /// What the run finds where it is tracked.
    pub fn standing(&self) -> Standing {
        Standing::of(self.overwrite, self.resume)
    }

    /// How a run of a stage goes beside what it learns.
    pub fn course(&self, stage: Stage) -> Course<'_> {
        let (stop_after, saving, tracking) = (self.stop_after, self.saving, &self.tracking);
        let (standing, shard_optimizer) = (self.standing(), self.shard_optimizer);
        Course { stage, stop_after, saving, shard_optimizer, tracking, standing }
    }

    /// Refuses what does not hold, all at once, and what would not act or would destroy what it reads. Of a file's settings,
    /// which may hold all of a run's, none is idle for standing beside another one; nor is one that a run keeps anyway.
    ///
    /// # Errors
    /// Names the flags.
    pub fn check(&self, kind: RunKind, invocation: &Invocation) -> Result<(), Failure> {
        let said = &invocation.said;
        self.refuse_flags_of_others(kind.stage, said)?;
        let idle = AdapterArgs::flags().into_iter().filter(|flag| !self.adapter.lora && said.contains(flag));
        let idle: Vec<String> = idle.map(|flag| format!("--{flag}")).collect();
        if !idle.is_empty() {
            return Err(Failure::Usage(format!(
                "{} would not act, because the model itself trains; add --{LORA} to train an adapter beside it, or leave \
                 that out",
                idle.join(", ")
            )));
        }
        if self.adapter.lora {
            refuse_beside_adapter(&self.rope)?;
        }
        if self.adapter.lora && !self.train.freeze.is_empty() {
            return Err(Failure::Usage(
                "--freeze would not act, because the whole model is frozen beside an adapter; leave it out"
                    .into(),
            ));
        }
        let of_adapter = if self.adapter.lora { self.adapter.shape.problems() } else { Vec::new() };
        let of_stage = match kind.stage {
            Stage::Pretrain | Stage::Sft => Vec::new(),
            Stage::Dpo => self.problems_of_pairs(kind),
            Stage::Distill => self.distillation.problems(&self.rollouts, &invocation.typed),
            Stage::Reason => self.problems_of_reasoning(&invocation.typed),
            Stage::Grpo => self.problems_of_rewards(kind, &invocation.typed),
        };
        let idle = if self.resume { Vec::new() } else { self.train.idle(&invocation.typed) };
        let run = self.out.as_deref().filter(|_| self.resume);
        let tracking = run.map_or(self.tracking.clone(), |run| self.tracking.of_run(run));
        let of_tracking = tracking.problems(self.standing());
        let of_run = [self.train.problems(), idle, self.saving.problems(), of_tracking];
        match [of_run.concat(), of_adapter, of_stage].concat() {
            problems if problems.is_empty() => self.refuse_own_sources(),
            problems => Err(Error::Config(problems).into()),
        }
    }

    /// Refuses flags of another stage than this one.
    fn refuse_flags_of_others(&self, stage: Stage, said: &[String]) -> Result<(), Failure> {
        for other in Stage::value_variants().iter().filter(|other| **other != stage) {
            let idle = flags_of(*other, stage).filter(|(_, flag)| said.contains(flag));
            let idle: Vec<String> = idle.map(|(_, flag)| format!("--{flag}")).collect();
            if !idle.is_empty() {
                return Err(Failure::Usage(format!(
                    "{} would not act, because `{}` {}; leave that out, or use `{}`",
                    idle.join(", "),
                    stage.name(),
                    why_idle(*other),
                    other.name()
                )));
            }
        }
        Ok(())
    }

    /// What does not hold where pairs of answers are compared.
    fn problems_of_pairs(&self, kind: RunKind) -> Vec<Told> {
        let mut problems = self.dpo.problems();
        problems.extend(self.dpo.reference_of(kind.adapts).problem(kind.adapts));
        if !self.keep_data.is_empty() {
            problems.push("--keep-data does not act on pairs of answers; leave it out".into());
        }
        problems
    }

    /// What does not hold where answers think first; `typed` are the flags of the command line itself.
    fn problems_of_reasoning(&self, typed: &[String]) -> Vec<Told> {
        let mut problems = self.reasoning.problems();
        let nothing_held_out = self.train.val_split == 0.0 && !self.resume;
        for flag in ["eval-answers", "eval-max-new-tokens"] {
            if nothing_held_out && typed.iter().any(|typed| typed == flag) {
                problems.push(format!("--{flag} needs held-out rows; add --val-split 0.05").into());
            }
        }
        problems
    }

    /// What a run of a stage minimises for such a model, where no second one belongs to it; `typed` are the flags of the
    /// command line itself.
    ///
    /// # Errors
    /// A model of the other kind than the stage or the settings need; typed flags that would not act.
    pub fn objective(
        &self,
        stage: Stage,
        model: &ModelConfig,
        typed: &[String],
    ) -> Result<Arc<dyn Objective>, Error> {
        let objective = stage.objective_for(&self.train.diffusion, model)?;
        if matches!(stage, Stage::Pretrain | Stage::Sft) && !self.resume {
            self.train.diffusion.check_typed(typed, model)?;
        }
        Ok(match stage {
            Stage::Reason => Arc::new(Reason::new(self.reasoning.clone())),
            Stage::Grpo => Arc::new(Grpo::new(self.grpo_config(), None)),
            Stage::Pretrain | Stage::Sft | Stage::Dpo | Stage::Distill => objective,
        })
    }

    /// Refuses a date that no template prints, and tells what becomes of a template that renders nothing, where a new run
    /// reads rows of this kind; of `None` some may be rendered.
    ///
    /// # Errors
    /// Names the flag.
    pub fn check_rendering(&self, rows: Option<RowKind>, said: &[String]) -> Result<(), Failure> {
        if self.resume || self.data.is_empty() || self.rows.turns.renders(rows) {
            return Ok(());
        }
        if said.iter().any(|said| said == DATE) {
            return Err(Failure::Usage(idle("--date")));
        }
        if self.chat_template.is_some() {
            output::warn(
                "--chat-template renders nothing where texts are trained; it is kept with the model for what comes next",
            );
        }
        Ok(())
    }

    /// Makes the run's day that of all that the tokenizer renders; says of a new run's that was typed where no template
    /// prints one.
    pub fn set_date(&self, rows: Option<RowKind>, typed: &[String], tokenizer: &mut Tokenizer) {
        self.date.set(tokenizer);
        let is_new = !self.resume && self.rows.turns.renders(rows);
        if is_new && typed.iter().any(|typed| typed == DATE) {
            tell_unprinted(tokenizer);
        }
    }

    /// A run must not replace what it reads.
    fn refuse_own_sources(&self) -> Result<(), Failure> {
        let Some(out) = self.out.as_deref().filter(|_| self.overwrite) else {
            return Ok(());
        };
        let data = sources::local_files(&self.data).into_iter().map(|file| ("--data", file));
        let kept = sources::local_files(&self.keep_data).into_iter().map(|file| ("--keep-data", file));
        let named = [
            ("--model", &self.model),
            ("--model-config", &self.beside.model_config),
            ("--tokenizer", &self.beside.tokenizer),
            ("--chat-template", &self.chat_template),
            ("--teacher", &self.distillation.teacher),
            ("--config", &self.config),
        ];
        let named = named.into_iter().filter_map(|(flag, path)| Some((flag, path.clone()?)));
        Ok(refuse_inside(out, named.chain(data).chain(kept))?)
    }

    /// Makes the run's directory and keeps the command and those of its settings there that act; `beside` is what else
    /// is written there.
    ///
    /// # Errors
    /// As [`RunDir::create`].
    pub fn create_directory(
        &self,
        kind: RunKind,
        invocation: &Invocation,
        settings: &toml::Table,
        beside: &[String],
    ) -> Result<RunDir, Failure> {
        let existing = if self.overwrite { Existing::Overwrite } else { Existing::Refuse };
        let (out, keep_last) = (self.out.as_deref(), self.train.keep_last);
        let directory = RunDir::create(out, &kind.name(), existing, keep_last, beside)?;
        let mut idle = if kind.adapts { Vec::new() } else { AdapterArgs::flags() };
        idle.extend(flags_of_others(kind.stage).map(|(_, flag)| flag));
        let acting = settings.iter().filter(|(key, _)| !idle.contains(*key));
        let acting: toml::Table = acting.map(|(key, value)| (key.clone(), value.clone())).collect();
        directory.write(SETTINGS, invocation.record(&acting).as_bytes())?;
        Ok(directory)
    }
}

/// What to say of a flag for templates where nothing is rendered.
pub fn idle(flag: &str) -> String {
    format!(
        "{flag} acts where a chat template renders conversations, and these rows are read as texts; leave it out, or render \
         conversations with --render-turns"
    )
}
