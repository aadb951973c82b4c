//! `--demo`: the built-in prompts, by what a model learned last, and a model with what it needs to answer them.

use std::path::{Path, PathBuf};

use clap::Args;
use kindling::demo::DemoKind;
use kindling::error::Error;
use kindling::model::{ModelConfig, Transformer};
use kindling::tokenizer::Tokenizer;
use kindling::train::Stage;

use super::ModelArgs;
use crate::cli::Everywhere;
use crate::failure::Failure;
use crate::model_files::tokenizer_remedy;
use crate::run_dir::run_of;
use crate::run_kind::RunKind;
use crate::runs::FoundRun;

/// Which built-in prompts are taken.
#[derive(Args, Clone, Copy, Debug, Default)]
pub struct DemoArgs {
    /// Take the built-in prompts, English and Chinese ones, one after the other
    #[arg(long)]
    pub demo: bool,
    /// What kind of model the built-in prompts are for [default: what it learned last, as its run tells]
    #[arg(long, value_enum, requires = "demo")]
    pub demo_kind: Option<DemoKind>,
}

/// A model that is asked.
pub struct Opened {
    /// As it was named.
    pub name: String,
    /// The model.
    pub model: Transformer,
    /// Its tokenizer.
    pub tokenizer: Tokenizer,
    /// What it learned last.
    pub kind: DemoKind,
}

impl Opened {
    /// Opens a model that must have a tokenizer.
    ///
    /// # Errors
    /// What is missing, damaged or of another model.
    pub fn open(args: &ModelArgs, everywhere: &Everywhere) -> Result<Self, Failure> {
        let (model, tokenizer) = args.open(everywhere)?;
        let place = &args.model;
        let tokenizer = tokenizer.ok_or_else(|| {
            let remedy = tokenizer_remedy(place);
            Error::Checkpoint(format!("{}: there is no tokenizer.json; {remedy}", place.display()).into())
        })?;
        let kind = kind_of(place, &args.adapter, model.config(), Some(&tokenizer));
        Ok(Self { name: place.display().to_string(), model, tokenizer, kind })
    }

    /// Whether it predicts masked tokens.
    pub fn is_masked(&self) -> bool {
        self.model.config().diffusion.is_some()
    }
}

/// What a model learned last: as the run of its last adapter tells, else its own; of one without a run, as its files do.
pub fn kind_of(
    model: &Path,
    adapters: &[PathBuf],
    config: &ModelConfig,
    tokenizer: Option<&Tokenizer>,
) -> DemoKind {
    let talks = tokenizer.is_some_and(|tokenizer| tokenizer.check_chat_template().is_ok());
    DemoKind::of(last_stage(model, adapters), config.diffusion.is_some(), talks)
}

/// The stage of the run that made the last adapter, or the model where no adapter is of a run.
fn last_stage(model: &Path, adapters: &[PathBuf]) -> Option<Stage> {
    let mut places = adapters.iter().rev().map(PathBuf::as_path).chain([model]);
    let run = FoundRun::open(&places.find_map(run_of)?);
    RunKind::of_settings(&run.settings, "").map(|kind| kind.stage)
}

/// Whether a model sees what stands behind a hole, so that it can fill it.
pub fn sees_both_sides(config: &ModelConfig) -> bool {
    config.diffusion.as_ref().is_some_and(|diffusion| diffusion.block_length.is_none())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::written::SETTINGS;
    use kindling::model::{DiffusionConfig, preset};

    #[test]
    fn a_run_says_what_its_model_learned_and_an_adapter_what_it_learned_last() {
        let place = tempfile::tempdir().unwrap();
        let run = |name: &str, settings: &str| {
            let path = place.path().join(name);
            std::fs::create_dir_all(path.join("training")).unwrap();
            std::fs::write(path.join(SETTINGS), settings).unwrap();
            path
        };
        let base = run("base", "stage = \"dpo\"\n");
        let (plain, save) = (place.path().join("plain"), base.join("checkpoint-000004"));
        let adapters = [run("lora", "stage = \"reason\"\nlora = true\n"), plain.clone()];
        assert_eq!(last_stage(&base, &[]), Some(Stage::Dpo));
        assert_eq!(last_stage(&save, &[]), Some(Stage::Dpo));
        assert_eq!(last_stage(&base, &adapters[..1]), Some(Stage::Reason));
        assert_eq!(last_stage(&base, &adapters), Some(Stage::Reason));
        assert_eq!(last_stage(&plain, &adapters[1..]), None);
        assert_eq!(last_stage(&run("chain", "stage = \"quickstart\"\n"), &[]), None);
        assert_eq!(last_stage(&run("damaged", "stage = \n"), &[]), None);
    }

    #[test]
    fn only_a_masked_predictor_without_blocks_sees_both_sides() {
        let causal = preset("nano").unwrap().config(Some(300));
        let masked = |block_length: Option<usize>| {
            let diffusion = DiffusionConfig { mask_token_id: 299, block_length, shift_logits: true };
            ModelConfig { diffusion: Some(diffusion), ..causal.clone() }
        };
        assert_eq!([&causal, &masked(None), &masked(Some(4))].map(sees_both_sides), [false, true, false]);
    }
}
