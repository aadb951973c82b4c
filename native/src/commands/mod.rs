//! One file a verb: read files, call the library, show what comes.

mod answers_file;
mod asking;
mod average;
pub mod bench;
mod bench_unmask;
mod chain_file;
mod chain_inputs;
pub mod chat;
mod chat_lines;
pub mod completions;
pub mod convert;
pub mod data;
mod data_list;
mod demo;
pub mod doctor;
pub mod eval;
mod eval_files;
mod eval_progress;
mod eval_report;
mod eval_training;
mod example;
mod execute;
pub mod export;
pub mod generate;
mod generate_beside;
mod generated_file;
pub mod import;
mod judging;
mod llada;
mod masked_pairs;
mod masked_start;
pub mod merge;
mod meter;
mod pairs;
mod part_of_run;
pub mod plan;
mod positions;
mod prepare;
mod preview_hidden;
mod preview_row;
mod prompt_rows;
pub mod prompts;
pub mod push;
pub mod quickstart;
mod quickstart_report;
mod quickstart_rows;
#[cfg(test)]
mod recipe_files;
mod reference;
pub mod replay;
pub mod report;
mod report_parts;
mod report_samples;
mod rewards;
mod row_file;
pub mod run_file;
pub mod runs;
mod runs_compare;
mod runs_plot;
pub mod sample_data;
pub mod score;
mod score_masked;
mod score_pairs;
mod second_model;
mod shard_dir;
mod signatures;
pub mod stage_flags;
pub mod start;
mod teacher;
pub mod teacher_answers;
mod token_caches;
pub mod tokenizer;
pub mod train;
pub mod train_args;
pub mod training_samples;
mod view;
mod warm;
mod writing;

use std::path::{Path, PathBuf};

use burn::tensor::{DType, Device};
use clap::Args;
use kindling::adapter::Fingerprint;
use kindling::checkpoint::Checkpoint;
use kindling::device::{OpenDevice, is_processor};
use kindling::kernels::{Activations, Quantization};
use kindling::model::{ModelConfig, RopeSettings, Transformer, fresh_weights};
use kindling::sample::SamplingConfig;
use kindling::tokenizer::Tokenizer;

use self::positions::stretched;
use crate::beside_model::BesideModel;
use crate::cli::{Dtype, Everywhere};
use crate::failure::{Failure, io_error};
use crate::model_files::{adapter_tokenizer, at, open_adapter};
use crate::output::{self, Output};

impl Dtype {
    /// burn's name for it.
    pub fn burn(self) -> DType {
        match self {
            Self::F32 => DType::F32,
            Self::Bf16 => DType::BF16,
            Self::F16 => DType::F16,
        }
    }
}

/// Opens the device that was asked for and checks that it computes in the type that was asked for.
pub fn open_device(everywhere: &Everywhere) -> Result<OpenDevice, Failure> {
    let device = OpenDevice::open(everywhere.device)?;
    device.check_dtype(everywhere.dtype.burn())?;
    Ok(device)
}

/// `--model` and `--adapter` of the verbs that use a model.
#[derive(Args, Default)]
pub struct ModelArgs {
    /// A checkpoint: a directory, a .zip of one, a single .safetensors or .gguf file, a MiniMind .pth, hub:owner/name or ms:owner/name
    #[arg(long)]
    pub model: PathBuf,
    /// What the model's file does not hold
    #[command(flatten)]
    pub beside: BesideModel,
    /// How its positions are stretched
    #[command(flatten)]
    pub rope: RopeSettings,
    /// A LoRA adapter of this model in the layout of PEFT or mlx-lm: a directory, a .zip of one, hub:owner/name or ms:owner/name
    /// (repeatable)
    #[arg(long)]
    pub adapter: Vec<PathBuf>,
    /// Hold the model's matrices in few bits: less memory, a little less exact [default: as f32]
    #[arg(long, value_enum)]
    pub weights: Option<Quantization>,
    /// What matrices in few bits are multiplied by on the processor [default: 8-bits where answers are written, exact where
    /// texts are read or scored]
    #[arg(long, value_enum, requires = "weights")]
    pub activations: Option<Activations>,
}

impl ModelArgs {
    /// The same of another model with these adapters.
    pub fn of_another(&self, model: &Path, adapters: &[PathBuf]) -> Self {
        Self {
            model: model.to_path_buf(),
            beside: self.beside.clone(),
            rope: self.rope.clone(),
            adapter: adapters.to_vec(),
            weights: self.weights,
            activations: self.activations,
        }
    }

    /// In which numbers the model writes.
    pub fn numbers(&self, dtype: Dtype) -> String {
        match self.weights {
            None => format!("{dtype:?} None"),
            Some(bits) => format!("{dtype:?} {bits:?} {:?}", self.activations.unwrap_or(WRITING)),
        }
    }

    /// The model with its adapters, ready to compute, and its tokenizer.
    ///
    /// # Errors
    /// What is missing, damaged or of another model.
    pub fn open(&self, everywhere: &Everywhere) -> Result<(Transformer, Option<Tokenizer>), Failure> {
        let (model, checkpoint) = self.base(everywhere)?;
        with_adapters(model, &checkpoint, &self.adapter, everywhere)
    }

    /// The same, and a fingerprint of the weights of model and adapters.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn open_known(
        &self,
        everywhere: &Everywhere,
    ) -> Result<(Transformer, Option<Tokenizer>, String), Failure> {
        let (model, checkpoint) = self.base(everywhere)?;
        let fingerprint = fingerprint(&model, &checkpoint, &self.adapter, &self.model)?;
        let (model, tokenizer) = with_adapters(model, &checkpoint, &self.adapter, everywhere)?;
        Ok((model, tokenizer, fingerprint))
    }

    /// The model without its adapters, and what it is made of.
    fn base(&self, everywhere: &Everywhere) -> Result<(Transformer, Checkpoint), Failure> {
        let device = open_device(everywhere)?;
        let mut checkpoint = self.beside.open(&self.model)?;
        checkpoint.config = stretched(&self.rope, checkpoint.config, None, everywhere.output())?;
        check_activations(self.activations, &device.device)?;
        let model = load(&checkpoint, self.weights, &device.device, &self.model)?;
        Ok((model.with_activations(self.activations.unwrap_or(WRITING)), checkpoint))
    }
}

/// The fingerprints of the weights of a model, which is made of a checkpoint at `path`, and of its adapters.
///
/// # Errors
/// What is damaged, or of another model.
pub fn fingerprint(
    model: &Transformer,
    checkpoint: &Checkpoint,
    adapters: &[PathBuf],
    path: &Path,
) -> Result<String, Failure> {
    let base = checkpoint.fingerprint(model).map_err(|e| at(path, e))?;
    let mut all = base.hex().to_string();
    for path in adapters {
        let adapter = open_adapter(path, checkpoint, &base)?;
        all += &format!(" {}", Fingerprint::of(&adapter.weights).hex());
    }
    Ok(all)
}

/// The model of a checkpoint with its adapters, ready to compute, and its tokenizer, which talks as they were taught to.
///
/// # Errors
/// What is damaged, or of another model.
pub fn with_adapters(
    model: Transformer,
    checkpoint: &Checkpoint,
    adapters: &[PathBuf],
    everywhere: &Everywhere,
) -> Result<(Transformer, Option<Tokenizer>), Failure> {
    let whole: Vec<_> = adapters.iter().map(|path| (path.clone(), 1.0)).collect();
    with_weighted_adapters(model, checkpoint, &whole, everywhere)
}

/// The same with adapters each of which acts with a strength of its own; 1 is as it was trained.
///
/// # Errors
/// As [`with_adapters`].
pub fn with_weighted_adapters(
    model: Transformer,
    checkpoint: &Checkpoint,
    adapters: &[(PathBuf, f64)],
    everywhere: &Everywhere,
) -> Result<(Transformer, Option<Tokenizer>), Failure> {
    let model = attach(model, checkpoint, adapters)?;
    let paths: Vec<PathBuf> = adapters.iter().map(|(path, _)| path.clone()).collect();
    let (tokenizer, ends) = talking(checkpoint, &paths)?;
    Ok((model.with_end_ids(ends).with_dtype(everywhere.dtype.burn()), tokenizer))
}

/// What stands below the flags of the verbs that sample.
pub const SAMPLING_ORDER: &str = "How tokens are chosen: a flag counts before the model's generation_config.json, and that before the default.";

/// The settings of an answer: those of the flags that were `said`, else the model's own, else the defaults. Says what
/// the model's own are, and which of them do not act.
pub fn sampling_of(
    flags: &SamplingConfig,
    model: &Transformer,
    said: &[String],
    output: Output,
) -> SamplingConfig {
    let said = |key: &str| said.contains(&key.replace('_', "-"));
    let found = flags.of_model(&model.config().generation, said);
    if !found.used.is_empty() {
        output.say(&format!("from the model's generation_config.json: {}", found.used.join(", ")));
    }
    found.warnings.iter().for_each(|warning| output.warn(warning));
    found.config
}

/// Gives a tokenizer the chat template of a file, where one is named.
///
/// # Errors
/// A file that cannot be read, a template that does not compile.
pub fn use_template(tokenizer: &mut Tokenizer, file: Option<&Path>) -> Result<(), Failure> {
    let Some(file) = file else { return Ok(()) };
    let text = std::fs::read_to_string(file).map_err(|e| io_error(file, e))?;
    Ok(tokenizer.set_chat_template(&text).map_err(|e| at(file, e))?)
}

/// The base's tokenizer, talking as the adapters were taught to, and the tokens that end an answer then. Of several
/// adapters with templates of their own the last one's holds.
///
/// # Errors
/// Damaged files of an adapter.
pub fn talking(
    base: &Checkpoint,
    adapters: &[PathBuf],
) -> kindling::error::Result<(Option<Tokenizer>, Vec<u32>)> {
    if let Some(at) = (1..adapters.len()).find(|&at| adapters[..at].contains(&adapters[at])) {
        output::warn(&format!("--adapter {} is given twice, and acts twice", adapters[at].display()));
    }
    let ends = &base.config.eos_token_ids;
    let Some(mut tokenizer) = base.tokenizer.clone().filter(|_| !adapters.is_empty()) else {
        return Ok((base.tokenizer.clone(), ends.clone()));
    };
    let mut before: Option<(&Path, String)> = None;
    for path in adapters {
        let Some(own) = adapter_tokenizer(path)? else { continue };
        let Some(template) = own.chat_template().map(str::to_string) else { continue };
        tokenizer.talk_as(&own);
        if let Some((first, _)) = before.filter(|(_, other)| *other != template) {
            output::warn(&format!(
                "the adapters {} and {} were trained with different chat templates; the latter's is used",
                first.display(),
                path.display()
            ));
        }
        before = Some((path.as_path(), template));
    }
    let ends = if before.is_some() { tokenizer.end_ids(ends) } else { ends.clone() };
    Ok((Some(tokenizer), ends))
}

fn attach(
    model: Transformer,
    base: &Checkpoint,
    adapters: &[(PathBuf, f64)],
) -> Result<Transformer, Failure> {
    if adapters.is_empty() {
        return Ok(model);
    }
    let known = base.fingerprint(&model)?;
    let attach = |model, (path, strength): &(PathBuf, f64)| {
        let adapter = open_adapter(path, base, &known)?;
        Ok(adapter.attach(model, *strength).map_err(|e| at(path, e))?)
    };
    adapters.iter().try_fold(model, attach)
}

/// What matrices in few bits meet where nothing is said and tokens are written one by one.
pub const WRITING: Activations = Activations::EightBits;

/// Refuses what a graphics device does not do.
///
/// # Errors
/// Activations in 8 bits elsewhere than on the processor.
pub fn check_activations(activations: Option<Activations>, device: &Device) -> Result<(), Failure> {
    match activations {
        Some(Activations::EightBits) if !is_processor(device) => Err(Failure::Usage(
            "--activations 8-bits acts on the processor alone; add --device cpu, or leave it out".into(),
        )),
        _ => Ok(()),
    }
}

/// The weights of a checkpoint on a device, in f32 or in few bits, with the path in what goes wrong.
pub fn load(
    checkpoint: &Checkpoint,
    weights: Option<Quantization>,
    device: &Device,
    path: &Path,
) -> Result<Transformer, Failure> {
    let model = match weights {
        Some(bits) => checkpoint.quantized_model(bits, device),
        None => checkpoint.model(device),
    };
    Ok(model.map_err(|e| at(path, e))?)
}

/// A model of a shape that has learned nothing.
///
/// # Errors
/// A shape that cannot be built.
pub fn fresh(
    config: &ModelConfig,
    weights: Option<Quantization>,
    place: &Device,
) -> Result<Transformer, Failure> {
    let mut source = fresh_weights(config, 0);
    Ok(match weights {
        Some(bits) => Transformer::build_quantized(config, bits, place, &mut source)?,
        None => Transformer::build(config, place, &mut source)?,
    })
}
