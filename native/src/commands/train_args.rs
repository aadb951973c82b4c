//! The flags of the training verbs: a stage's, and those of the adapter that may train instead of the model.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use clap::builder::ArgPredicate;
use clap::{Args, ValueEnum};
use kindling::adapter::LoraConfig;
use kindling::error::Error;
use kindling::kernels::Quantization;
use kindling::loss::{DpoConfig, Objective, Reason, ReasonSettings};
use kindling::model::{ExpertSettings, RopeSettings};
use kindling::tokenizer::Tokenizer;
use kindling::told::Told;
use kindling::train::{SaveConfig, Stage, TrainConfig};
use serde_json::Value;

use super::positions::refuse_beside_adapter;
use super::teacher::DistillArgs;
use crate::beside_model::BesideModel;
use crate::cli::Invocation;
use crate::date::{Date, tell_unprinted};
use crate::failure::Failure;
use crate::output;
use crate::run_dir::{Existing, RunDir, SETTINGS, refuse_inside};
use crate::run_kind::{LORA, RunKind};
use crate::sources::{self, RowArgs};

/// The flags that are looked at by name.
pub const LENGTH: &str = "max-seq-len";
pub const DATE: &str = "date";

/// Flags of every stage.
#[derive(Args)]
pub struct TrainArgs {
    /// Files, directories, globs, hub:owner/name or - for the standard input, to train on (repeatable)
    #[arg(long)]
    pub data: Vec<String>,
    /// Rows of what the model knows, mixed in as --keep-share says so that it keeps it (repeatable) [default: those that
    /// the model's card tells of]
    #[arg(long)]
    pub keep_data: Vec<String>,
    /// A checkpoint to go on from: a directory, a .zip of one, a single .safetensors or .gguf file, a MiniMind .pth, or
    /// hub:owner/name
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
    /// Which rows
    #[command(flatten)]
    pub rows: RowArgs,
    /// A TOML file with any of these flags; the command line wins
    #[arg(long)]
    pub config: Option<PathBuf>,
    /// How the run goes
    #[command(flatten)]
    pub train: TrainConfig,
    /// When it is saved unasked
    #[command(flatten)]
    pub saving: SaveConfig,
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
}

/// The flags that act in this stage only: each one's name inside the parser and on the command line.
fn own_flags(stage: Stage) -> Vec<(String, String)> {
    let command = clap::Command::new(stage.name());
    let flags = match stage {
        Stage::Pretrain | Stage::Sft => command,
        Stage::Dpo => DpoConfig::augment_args(command),
        Stage::Distill => DistillArgs::augment_args(command),
        Stage::Reason => ReasonSettings::augment_args(command),
    };
    let names = |arg: &clap::Arg| Some((arg.get_id().to_string(), arg.get_long()?.to_string()));
    flags.get_arguments().filter_map(names).collect()
}

/// The flags that act in another stage, and not in this one.
fn flags_of(other: Stage, stage: Stage) -> impl Iterator<Item = (String, String)> {
    let here = own_flags(stage);
    own_flags(other).into_iter().filter(move |flag| !here.contains(flag))
}

/// The flags that act in one of the other stages only.
fn flags_of_others(stage: Stage) -> impl Iterator<Item = (String, String)> {
    Stage::value_variants().iter().flat_map(move |other| flags_of(*other, stage))
}

/// Why the flags of a stage's own act in no other.
fn why_idle(stage: Stage) -> &'static str {
    match stage {
        Stage::Pretrain | Stage::Sft => "is another stage",
        Stage::Dpo => "compares no answers",
        Stage::Distill => "has no teacher",
        Stage::Reason => "teaches no tags",
    }
}

/// Whether an adapter trains instead of the model, and flags that act on it alone.
#[derive(Args)]
pub struct AdapterArgs {
    /// Train a low-rank adapter beside the frozen --model; the other flags here belong to it
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
        let of_adapter = if self.adapter.lora { self.adapter.shape.problems() } else { Vec::new() };
        let of_stage = match kind.stage {
            Stage::Pretrain | Stage::Sft => Vec::new(),
            Stage::Dpo => self.problems_of_pairs(kind),
            Stage::Distill => self.distillation.problems(&invocation.typed),
            Stage::Reason => self.problems_of_reasoning(&invocation.typed),
        };
        let idle = if self.resume { Vec::new() } else { self.train.idle(&invocation.typed) };
        match [self.train.problems(), idle, self.saving.problems(), of_adapter, of_stage].concat() {
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

    /// What a run of a stage minimises, where no second model belongs to it.
    pub fn objective(&self, stage: Stage) -> Arc<dyn Objective> {
        match stage {
            Stage::Reason => Arc::new(Reason::new(self.reasoning.clone())),
            other => other.objective(),
        }
    }

    /// Whether a new run of a stage renders none of the data.
    fn renders_nothing(&self, stage: Stage) -> bool {
        !(self.resume || self.data.is_empty() || self.rows.turns.renders(stage))
    }

    /// Refuses a date that no template prints.
    ///
    /// # Errors
    /// Names the flag.
    pub fn refuse_idle_date(&self, stage: Stage, said: &[String]) -> Result<(), Failure> {
        match self.renders_nothing(stage) && said.iter().any(|said| said == DATE) {
            true => Err(Failure::Usage(idle("--date"))),
            false => Ok(()),
        }
    }

    /// Makes the run's day that of all that the tokenizer renders; says of a new run's that was typed where no template
    /// prints one.
    pub fn set_date(&self, stage: Stage, typed: &[String], tokenizer: &mut Tokenizer) {
        self.date.set(tokenizer);
        let is_new = !self.resume && self.rows.turns.renders(stage);
        if is_new && typed.iter().any(|typed| typed == DATE) {
            tell_unprinted(tokenizer);
        }
    }

    /// Tells what becomes of a template that renders nothing.
    pub fn tell_idle_template(&self, stage: Stage) {
        if self.renders_nothing(stage) && self.chat_template.is_some() {
            output::warn(
                "--chat-template renders nothing where texts are trained; it is kept with the model for what comes next",
            );
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
        "{flag} acts where a chat template renders conversations, and `pretrain` reads texts; leave it out, or add \
         --render-turns"
    )
}

/// Puts the defaults of a verb into its flags, and into their help those that hold with `--lora`: they are written once,
/// in the library.
pub fn with_defaults(verb: clap::Command, kind: RunKind) -> clap::Command {
    let verb = match kind.adapts {
        true => {
            let verb = verb.mut_arg(LORA, |arg| arg.default_value("true").hide(true));
            // A model under an adapter is stretched before.
            ["rope_scaling", "rope_factor"]
                .into_iter()
                .fold(verb, |verb, id| verb.mut_arg(id, |arg| arg.hide(true)))
        }
        false => verb,
    };
    let verb = flags_of_others(kind.stage).fold(verb, |verb, (id, _)| verb.mut_arg(id, |arg| arg.hide(true)));
    let adapters = values(&TrainConfig::of_adapter(kind.stage));
    values(&kind.defaults()).into_iter().fold(verb, |verb, (key, value)| {
        let other = adapters.get(&key).filter(|other| **other != value);
        verb.mut_arg(key.replace('-', "_"), |arg| {
            let arg = arg.default_value(value).required(false);
            match other {
                Some(other) => with_adapters_default(arg, other),
                None => arg,
            }
        })
    })
}

fn with_adapters_default(arg: clap::Arg, value: &str) -> clap::Arg {
    let help = arg.get_help().map(ToString::to_string).unwrap_or_default();
    // Whether it is present would be asked of its default, too.
    let with = ArgPredicate::Equals("true".into());
    arg.help(format!("{help} [with --{LORA}: {value}]")).default_value_if(LORA, with, value.to_string())
}

/// Settings as they stand on a command line, by the names of their flags.
fn values(config: &TrainConfig) -> BTreeMap<String, String> {
    let Ok(Value::Object(values)) = serde_json::to_value(config) else {
        return BTreeMap::new();
    };
    let text = |value: Value| value.as_str().map_or_else(|| value.to_string(), str::to_string);
    let said = values.into_iter().filter(|(_, value)| !value.is_null());
    said.map(|(key, value)| (key, text(value))).collect()
}
