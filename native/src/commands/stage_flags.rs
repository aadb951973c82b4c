//! Which flags act in which stage, and the defaults that a stage gives them.

use std::collections::BTreeMap;

use clap::builder::ArgPredicate;
use clap::{Args, ValueEnum};
use kindling::loss::{DiffusionSettings, DpoConfig, GrpoConfig, ReasonSettings, RolloutConfig};
use kindling::train::{Stage, TrainConfig};
use serde_json::Value;

use super::teacher::DistillArgs;
use crate::run_kind::{LORA, RunKind};

/// Flags of other stages that act in `grpo`, too.
const LENT: [&str; 4] = ["reference", "eval-answers", "think-tags", "answer-tags"];

/// The flags that act in this stage and not in all: each one's name inside the parser and on the command line.
fn own_flags(stage: Stage) -> Vec<(String, String)> {
    let command = clap::Command::new(stage.name());
    let flags = match stage {
        Stage::Pretrain | Stage::Sft => DiffusionSettings::augment_args(command),
        Stage::Dpo => DpoConfig::augment_args(command),
        Stage::Distill => RolloutConfig::augment_args(DistillArgs::augment_args(command)),
        Stage::Reason => ReasonSettings::augment_args(command),
        Stage::Grpo => RolloutConfig::augment_args(GrpoConfig::augment_args(command)),
    };
    let names = |arg: &clap::Arg| Some((arg.get_id().to_string(), arg.get_long()?.to_string()));
    let mut flags: Vec<(String, String)> = flags.get_arguments().filter_map(names).collect();
    if stage == Stage::Grpo {
        let lenders = [own_flags(Stage::Dpo), own_flags(Stage::Reason)].concat();
        flags.extend(lenders.into_iter().filter(|(_, flag)| LENT.contains(&flag.as_str())));
    }
    flags
}

/// The flags that act in another stage, and not in this one.
pub fn flags_of(other: Stage, stage: Stage) -> impl Iterator<Item = (String, String)> {
    let here = own_flags(stage);
    own_flags(other).into_iter().filter(move |flag| !here.contains(flag))
}

/// The flags that act in one of the other stages only.
pub fn flags_of_others(stage: Stage) -> impl Iterator<Item = (String, String)> {
    Stage::value_variants().iter().flat_map(move |other| flags_of(*other, stage))
}

/// Why the flags of a stage's own act in no other.
pub fn why_idle(stage: Stage) -> &'static str {
    match stage {
        Stage::Pretrain | Stage::Sft => "hides no tokens",
        Stage::Dpo => "compares no answers",
        Stage::Distill => "has no teacher",
        Stage::Reason => "teaches no tags",
        Stage::Grpo => "rewards no answers",
    }
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

/// Settings as they stand on a command line, by the names of their flags; lists are empty without theirs.
fn values(config: &TrainConfig) -> BTreeMap<String, String> {
    let Ok(Value::Object(values)) = serde_json::to_value(config) else {
        return BTreeMap::new();
    };
    let text = |value: Value| value.as_str().map_or_else(|| value.to_string(), str::to_string);
    let said = values.into_iter().filter(|(_, value)| !value.is_null() && !value.is_array());
    said.map(|(key, value)| (key, text(value))).collect()
}
