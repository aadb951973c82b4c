//! The two axes of a run: its stage says what is learned, `--lora` which weights learn it.

use clap::ValueEnum;
use kindling::train::{Stage, TrainConfig};
use toml::{Table, Value};

/// The key beside the flags in a run's settings: its stage.
pub const STAGE: &str = "stage";
/// The flag with which an adapter trains; also the verb that stands for `sft --lora`.
pub const LORA: &str = "lora";

/// What a run teaches, and whether an adapter learns it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RunKind {
    /// What is learned.
    pub stage: Stage,
    /// Whether an adapter beside the frozen model learns it, and not the model itself.
    pub adapts: bool,
}

impl RunKind {
    /// The verbs that train, and what each does without further flags.
    pub fn verbs() -> impl Iterator<Item = (&'static str, Self)> {
        let whole = |stage: &Stage| (stage.name(), Self { stage: *stage, adapts: false });
        let stages = Stage::value_variants().iter().map(whole);
        stages.chain([(LORA, Self { stage: Stage::Sft, adapts: true })])
    }

    /// What a verb does without further flags; `None` for one that does not train.
    pub fn of_verb(verb: &str) -> Option<Self> {
        Self::verbs().find(|(name, _)| *name == verb).map(|(_, kind)| kind)
    }

    /// What the settings of a run, or a recipe for `verb`, say. Earlier runs keep the verb `lora` as their stage.
    pub fn of_settings(settings: &Table, verb: &str) -> Option<Self> {
        let stage = settings.get(STAGE).map_or(Some(verb), Value::as_str)?;
        let kind = Self::of_verb(stage)?;
        let said = settings.get(LORA).map(|value| value.to_string().trim_matches('"') == "true");
        Some(Self { adapts: said.unwrap_or(kind.adapts), ..kind })
    }

    /// The verb of such runs, with the flag that it needs.
    pub fn command(self) -> String {
        match self {
            Self { stage: Stage::Sft, adapts: true } => LORA.to_string(),
            Self { stage, adapts: true } => format!("{} --{LORA}", stage.name()),
            Self { stage, adapts: false } => stage.name().to_string(),
        }
    }

    /// What directories of such runs are called, before their number.
    pub fn name(self) -> String {
        self.command().replace(" --", "-")
    }

    /// The settings where none are given.
    pub fn defaults(self) -> TrainConfig {
        match self.adapts {
            true => TrainConfig::of_adapter(self.stage),
            false => TrainConfig::of(self.stage),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(settings: &str, verb: &str) -> Option<String> {
        RunKind::of_settings(&settings.parse().unwrap(), verb).map(RunKind::command)
    }

    #[test]
    fn settings_say_the_stage_and_what_trains_also_as_earlier_runs_kept_them() {
        for (settings, verb, expected) in [
            ("stage = \"sft\"\nlora = false", "sft", Some("sft")),
            ("stage = \"sft\"\nlora = true", "sft", Some("lora")),
            ("stage = \"pretrain\"\nlora = true", "sft", Some("pretrain --lora")),
            ("stage = \"pretrain\"", "lora", Some("pretrain")),
            ("stage = \"lora\"\nlora-rank = 4", "sft", Some("lora")),
            ("steps = 3", "lora", Some("lora")),
            ("lora = \"true\"", "pretrain", Some("pretrain --lora")),
            ("lora = false", "lora", Some("sft")),
            ("stage = \"polish\"", "sft", None),
            ("stage = 3", "sft", None),
        ] {
            assert_eq!(said(settings, verb).as_deref(), expected, "{settings} for {verb}");
        }
    }

    #[test]
    fn directories_and_defaults_follow_both_axes() {
        let names = |adapts: bool| {
            let name = |stage: &Stage| RunKind { stage: *stage, adapts }.name();
            Stage::value_variants().iter().map(name).collect::<Vec<_>>().join(" ")
        };
        let expected = (
            "pretrain sft dpo distill reason grpo",
            "pretrain-lora lora dpo-lora distill-lora reason-lora grpo-lora",
        );
        assert_eq!((names(false).as_str(), names(true).as_str()), expected);
        assert_eq!(RunKind::of_verb("lora").unwrap().defaults(), TrainConfig::of_adapter(Stage::Sft));
        assert_eq!(RunKind::of_verb("score"), None);
    }
}
