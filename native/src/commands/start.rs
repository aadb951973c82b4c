//! Where a run begins: a new model, a checkpoint, a fresh adapter, or its own last save.

use std::path::{Path, PathBuf};

use kindling::adapter::{Adapter, AdapterConfig};
use kindling::checkpoint::{Checkpoint, OPTIMIZER, PROGRESS, read_training};
use kindling::device::OpenDevice;
use kindling::error::Error;
use kindling::formats::TensorFile;
use kindling::model::{ModelConfig, Transformer, preset};
use kindling::tokenizer::Tokenizer;
use kindling::train::{Job, Progress, Run};
use serde::de::IgnoredAny;
use serde_json::json;

use super::positions::stretched;
use super::train_args::TrainArgs;
use super::{load, use_template};
use crate::disk::map;
use crate::failure::{Failure, io_error};
use crate::hub::{self, model_name};
use crate::model_files::{
    ADAPTER, CONFIG, WEIGHTS, at, open_adapter, open_checkpoint, open_tokenizer, read_optional,
    tokenizer_remedy,
};
use crate::output::{self, Output};
use crate::run_dir::RunDir;

/// What a run begins with.
pub struct Start {
    /// On a device with autodiff.
    pub model: Transformer,
    /// Its vocabulary and template.
    pub tokenizer: Tokenizer,
    /// What trains instead of the model.
    pub adapter: Option<Adapter>,
    /// The tokens that end an answer by the files of a model that trains itself.
    pub told_ends: Option<Vec<u32>>,
}

impl Start {
    /// From the run's last save, or from what the flags name.
    ///
    /// # Errors
    /// Files that are missing, damaged or of another model; flags that name nothing to begin with.
    pub fn open(
        args: &TrainArgs,
        last_save: Option<&Path>,
        device: &OpenDevice,
        output: Output,
    ) -> Result<Self, Failure> {
        if args.adapter.lora {
            return Self::beside_frozen(args, last_save, device);
        }
        match last_save {
            Some(save) => saved_model(save, open_checkpoint(save)?, device),
            None => new_model(args, device, output),
        }
    }

    /// The frozen model with an adapter, whatever the stage.
    fn beside_frozen(
        args: &TrainArgs,
        last_save: Option<&Path>,
        device: &OpenDevice,
    ) -> Result<Self, Failure> {
        let base = args.model.as_deref().ok_or_else(no_base)?;
        if last_save.is_some() && !base.exists() && !hub::is_address(&base.to_string_lossy()) {
            return Err(Failure::Usage(format!(
                "{}: the model that the run's adapter belongs to is not there any more; name its new place with --model DIR",
                base.display()
            )));
        }
        let mut checkpoint = open_trained(args, base)?;
        let balance = args.experts.balance(&checkpoint.config)?;
        let model = load(&checkpoint, args.adapter.weights, &device.device.clone().autodiff(), base)?;
        let fingerprint = checkpoint.fingerprint(&model).map_err(|e| at(base, e))?;
        let model = model.with_balance(balance);
        let mut tokenizer = checkpoint.tokenizer.take().ok_or_else(|| no_tokenizer(base))?;
        match last_save {
            Some(save) => {
                let mut adapter = open_adapter(save, &checkpoint, &fingerprint)?;
                // One that was begun before adapters told how their base reads learns it, and its saves tell it.
                adapter.config.base = adapter.config.base.map(|base| base.taught_by(&fingerprint));
                let tokenizer = open_tokenizer(save)?;
                Ok(Self { model, tokenizer, adapter: Some(adapter), told_ends: None })
            }
            None => {
                let base_name = Some(model_name(base));
                let config =
                    AdapterConfig { lora: args.adapter.shape.clone(), base: Some(fingerprint), base_name };
                let adapter = Adapter::init(&model, config, args.train.seed)?;
                let adapter = pollster::block_on(adapter.begun(&model, args.train.seed))?;
                use_template(&mut tokenizer, args.chat_template.as_deref())?;
                Ok(Self { model, tokenizer, adapter: Some(adapter), told_ends: None })
            }
        }
    }
}

fn no_base() -> Failure {
    Failure::Usage(
        "--lora adapts a trained model; name it with --model DIR (`kindling sft` without flags trains one)"
            .into(),
    )
}

/// A model of others that is going to train, with what is named beside it.
fn open_trained(args: &TrainArgs, path: &Path) -> Result<Checkpoint, Failure> {
    Ok(args.beside.open(path)?)
}

fn saved_model(save: &Path, checkpoint: Checkpoint, device: &OpenDevice) -> Result<Start, Failure> {
    let model = load(&checkpoint, None, &device.device.clone().autodiff(), save)?;
    let tokenizer = checkpoint.tokenizer.ok_or_else(|| no_tokenizer(save))?;
    Ok(Start { model, tokenizer, adapter: None, told_ends: Some(checkpoint.told_ends) })
}

/// The directory of a run's last save that is not damaged; those behind it are named.
///
/// # Errors
/// A run that ended before its first; the damage, where no save is whole.
pub fn newest(directory: &RunDir) -> Result<PathBuf, Failure> {
    let mut damaged = Vec::new();
    for save in directory.newest_first()? {
        let Err(error) = check_save(&save) else {
            let used = save.display();
            damaged.iter().for_each(|error| {
                output::warn(&format!("{error}; it is left aside, and {used} before it is used"));
            });
            return Ok(save);
        };
        damaged.push(at(&save, error));
    }
    Err(match damaged.into_iter().next() {
        Some(error) => error.into(),
        None => {
            let path = directory.path().display();
            Error::Checkpoint(
                format!("{path}: the run ended before its first save; begin it again with --overwrite")
                    .into(),
            )
            .into()
        }
    })
}

/// Whether a save has all of its files, each as long as it says, and readable words.
///
/// # Errors
/// The first that is missing or damaged.
pub fn check_save(save: &Path) -> Result<(), Error> {
    let lacking = |name: &str| Error::Checkpoint(format!("there is no {name}").into());
    let read = |name: &str| map(&save.join(name))?.ok_or_else(|| lacking(name));
    serde_json::from_slice::<Progress>(&read(PROGRESS)?)
        .map_err(|e| Error::Checkpoint(format!("{PROGRESS} is damaged: {e}").into()))?;
    let adapts = ADAPTER.iter().any(|name| save.join(name).is_file());
    let [config, weights] = if adapts { ADAPTER } else { [CONFIG, WEIGHTS] };
    for name in [config, "tokenizer.json"] {
        serde_json::from_slice::<IgnoredAny>(&read(name)?)
            .map_err(|e| Error::Checkpoint(format!("{name} is damaged: {e}").into()))?;
    }
    [weights, OPTIMIZER].into_iter().try_for_each(|name| TensorFile::open(name, read(name)?).map(drop))
}

/// The run as it was saved; its log ends there, too.
///
/// # Errors
/// Files that are missing, damaged or of another run; data that is not what it was; a step to stop after that was taken
/// already.
pub fn resume(
    job: Job,
    model: Transformer,
    directory: &RunDir,
    save: &Path,
    stop_after: Option<u64>,
) -> Result<Run, Failure> {
    let (optimizer, progress) = read_training(|name| read_optional(&save.join(name)))?;
    let step = progress.step;
    if let Some(stop) = stop_after.filter(|stop| *stop < step) {
        return Err(Failure::Usage(format!(
            "--stop-after is {stop}, and the run is at step {step} already; name a later step, or leave it out"
        )));
    }
    let run = job.resume(model, optimizer, progress).map_err(|error| match error {
        Error::Checkpoint(_) => at(save, error),
        other => other,
    })?;
    directory.cut_log(step)?;
    directory.log(&json!({"event": "resume", "step": step}))?;
    Ok(run)
}

/// A checkpoint's model, or a new one with a tokenizer.
fn new_model(args: &TrainArgs, device: &OpenDevice, output: Output) -> Result<Start, Failure> {
    let stretched = |config| stretched(&args.rope, config, Some(args.train.max_seq_len), output);
    let autodiff = device.device.clone().autodiff();
    let mut start = match &args.model {
        Some(path) => {
            let mut checkpoint = open_trained(args, path)?;
            checkpoint.config = stretched(checkpoint.config)?;
            let balance = args.experts.balance(&checkpoint.config)?;
            let start = saved_model(path, checkpoint, device)?;
            Start { model: start.model.with_balance(balance), ..start }
        }
        None => {
            let path = args.beside.tokenizer.as_ref().ok_or_else(|| {
                Failure::Usage(
                    "a new model needs a --tokenizer; make one with `kindling tokenizer train`".into(),
                )
            })?;
            let tokenizer = open_tokenizer(path)?;
            let config = args.experts.shape(model_config(args, tokenizer.vocab_size())?)?;
            let config = stretched(config)?.with_token_ids(&tokenizer);
            let model = Transformer::init(&config, args.train.seed, &autodiff)?;
            Start { model, tokenizer, adapter: None, told_ends: None }
        }
    };
    use_template(&mut start.tokenizer, args.chat_template.as_deref())?;
    Ok(start)
}

fn no_tokenizer(path: &Path) -> Failure {
    let (remedy, path) = (tokenizer_remedy(path), path.display());
    Error::Checkpoint(
        format!("{path}: there is no tokenizer.json, which training on text needs; {remedy}").into(),
    )
    .into()
}

fn model_config(args: &TrainArgs, vocab_size: usize) -> Result<ModelConfig, Failure> {
    if let Some(path) = &args.beside.model_config {
        let json = std::fs::read(path).map_err(|e| io_error(path, e))?;
        return Ok(ModelConfig::of_new_model(&json)?.with_vocab_size(vocab_size));
    }
    let name = args.beside.preset.as_deref().unwrap_or("nano");
    Ok(preset(name)?.config(Some(vocab_size)))
}
