//! What is named beside `--model`: the shape of a file that does not hold all of it, and a tokenizer.

use std::path::{Path, PathBuf};

use clap::Args;
use kindling::checkpoint::{self, Checkpoint, put_tokenizer};
use kindling::error::{Error, Result};
use kindling::formats::{Files, MinimindShape, from_minimind, llama2c_tokenizer};
use kindling::model::{ModelConfig, preset};
use kindling::tokenizer::Tokenizer;

use crate::adapted_run;
use crate::failure::io_error;
use crate::hub::{self, Want};
use crate::model_files::{at, is_torch, open_checkpoint, open_tokenizer, refuse_adapter, tell_warnings};

/// Flags of the verbs that use a model, and of those that make a new one.
#[derive(Args, Clone, Debug, Default)]
pub struct BesideModel {
    /// A published size, such as nano, micro or minimind2-small (any other word lists all): that of a new model to train, or
    /// of a MiniMind .pth, which does not hold all of its shape
    #[arg(long)]
    pub preset: Option<String>,
    /// A shape of your own in the place of --preset: a config.json
    #[arg(long, conflicts_with = "preset")]
    pub model_config: Option<PathBuf>,
    /// The tokenizer of a new model or of one that has none, or another one: a directory, a tokenizer.json, a checkpoint,
    /// hub:owner/name, ms:owner/name or, beside --model, llama2.c's tokenizer .bin
    #[arg(long)]
    pub tokenizer: Option<PathBuf>,
}

impl BesideModel {
    /// Whether anything stands there.
    pub fn is_said(&self) -> bool {
        self.preset.is_some() || self.model_config.is_some() || self.tokenizer.is_some()
    }

    /// Opens a checkpoint of any form with what stands beside it.
    ///
    /// # Errors
    /// As [`open_checkpoint`]; a shape for a model that says its own; a tokenizer with more ids than the model.
    pub fn open(&self, model: &Path) -> Result<Checkpoint> {
        self.refuse_shape(model)?;
        match adapted_run::open(model)? {
            Some(checkpoint) => self.with_tokenizer(checkpoint),
            None => self.open_plain(model),
        }
    }

    /// The same of what is no adapter's run.
    ///
    /// # Errors
    /// As [`BesideModel::open`].
    pub fn open_plain(&self, model: &Path) -> Result<Checkpoint> {
        self.refuse_shape(model)?;
        let checkpoint = match is_torch(model) {
            true => {
                let mut files = self.minimind(model)?;
                refuse_adapter(model, &files)?;
                let opened = Checkpoint::open(|name| Ok(files.remove(name))).map_err(|e| at(model, e))?;
                tell_warnings(model, &opened.warnings);
                opened
            }
            false => open_checkpoint(model)?,
        };
        self.with_tokenizer(checkpoint)
    }

    /// A checkpoint with the tokenizer that was named.
    ///
    /// # Errors
    /// One that is missing, damaged or has more ids than the model.
    pub fn with_tokenizer(&self, checkpoint: Checkpoint) -> Result<Checkpoint> {
        match &self.tokenizer {
            Some(path) => {
                let tokenizer = tokenizer(path, checkpoint.config.vocab_size)?;
                checkpoint.with_tokenizer(tokenizer).map_err(|e| at(path, e))
            }
            None => Ok(checkpoint),
        }
    }

    /// The files of a MiniMind checkpoint, a model's or an adapter's, without a tokenizer.
    ///
    /// # Errors
    /// A file that is missing or damaged; heads that nothing tells.
    pub fn minimind(&self, model: &Path) -> Result<Files> {
        let shape = match (&self.preset, &self.model_config) {
            // MiniMind 3 itself divides the weight of one expert by itself, which our own preset does not.
            (Some(name), _) => MinimindShape { normalize: None, ..(&preset(name)?.config(None)).into() },
            (None, Some(path)) => {
                let json = std::fs::read(path).map_err(|e| io_error(path, e))?;
                MinimindShape::from(&ModelConfig::of_new_model(&json).map_err(|e| at(path, e))?)
            }
            (None, None) => MinimindShape::default(),
        };
        let path = hub::local(model, Want::Files)?;
        let bytes = std::fs::read(&path).map_err(|e| io_error(&path, e))?;
        from_minimind(&bytes, &shape).map_err(|e| at(model, e))
    }

    /// A model's files with the tokenizer that was named.
    ///
    /// # Errors
    /// A tokenizer that is missing, damaged or has more ids than the model.
    pub fn add_tokenizer(&self, model: &Path, mut files: Files) -> Result<Files> {
        let Some(path) = &self.tokenizer else { return Ok(files) };
        let config = files.get("config.json").map(|json| ModelConfig::from_hugging_face(json));
        let config = config.transpose().map_err(|e| at(model, e))?;
        if is_llama2c(path) {
            files.extend(llama2c_files(path, config.map_or(0, |config| config.vocab_size))?);
            return Ok(files);
        }
        let tokenizer = open_tokenizer(path)?;
        if let Some(config) = config {
            config.check_vocabulary(&tokenizer).map_err(|e| at(path, e))?;
        }
        put_tokenizer(&mut files, &tokenizer)?;
        Ok(files)
    }

    /// Refuses a shape for a model that says its own.
    ///
    /// # Errors
    /// Names the flag.
    pub fn refuse_shape(&self, model: &Path) -> Result<()> {
        let flag = match (&self.preset, &self.model_config) {
            (Some(_), _) => "--preset",
            (None, Some(_)) => "--model-config",
            (None, None) => return Ok(()),
        };
        match is_torch(model) {
            true => Ok(()),
            false => Err(Error::Config(vec![format!(
                "{flag} is the shape of a MiniMind .pth or of a new model, and --model {} says its own; leave one of them \
                out",
                model.display()
            ).into()])),
        }
    }
}

/// llama2.c keeps a tokenizer under the ending of its models.
fn is_llama2c(path: &Path) -> bool {
    path.extension().is_some_and(|end| end == "bin")
}

fn llama2c_files(path: &Path, vocab_size: usize) -> Result<Files> {
    let local = &hub::local(path, Want::Files)?;
    let bytes = std::fs::read(local).map_err(|e| io_error(local, e))?;
    llama2c_tokenizer(&bytes, vocab_size).map_err(|e| at(path, e))
}

fn tokenizer(path: &Path, vocab_size: usize) -> Result<Tokenizer> {
    if !is_llama2c(path) {
        return open_tokenizer(path);
    }
    let mut files = llama2c_files(path, vocab_size)?;
    let opened = checkpoint::open_tokenizer(&mut |name: &str| Ok(files.remove(name)));
    let lacking = || Error::Tokenizer(format!("{}: there is no tokenizer in it", path.display()).into());
    opened.map_err(|e| at(path, e))?.ok_or_else(lacking)
}
