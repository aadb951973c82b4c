//! `--model`, `--tokenizer` and `--adapter`: where checkpoints come from.

use std::fmt::Display;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use kindling::adapter::{Adapter, Fingerprint};
use kindling::checkpoint::{
    self, Checkpoint, OPTIMIZER, PROGRESS, TORCH_WEIGHTS, TakeApart, WEIGHTS_INDEX, form_of, whole_weights,
};
use kindling::error::{Error, Result};
use kindling::formats::gguf::{from_gguf, is_gguf};
use kindling::formats::{
    ADAPTER_CONFIG, ADAPTER_WEIGHTS, Bytes, Files, adapter_as_model, from_llama2c, is_adapter_alone,
    zip_others,
};
use kindling::model::ModelConfig;
use kindling::tokenizer::{TOKENIZER_FILES, Tokenizer, TokenizerFiles};
use serde_json::Value;

use crate::disk::map;
use crate::failure::io_error;
use crate::hub::{self, Want};
use crate::output;

/// The shape of a model.
pub const CONFIG: &str = "config.json";
/// The weights of a model in one file.
pub const WEIGHTS: &str = "model.safetensors";

/// What makes a model that computes, its tokenizer's files aside.
pub const MODEL: [&str; 3] = [CONFIG, "generation_config.json", WEIGHTS];
/// What makes an adapter, the files of the tokenizer that it was trained with aside.
pub const ADAPTER: [&str; 2] = [ADAPTER_CONFIG, ADAPTER_WEIGHTS];

/// What is read of a checkpoint; its other files are made from these.
pub fn all_files() -> impl Iterator<Item = &'static str> {
    MODEL.into_iter().chain(TOKENIZER_FILES).chain([PROGRESS, OPTIMIZER]).chain(ADAPTER)
}

/// Reads a file that may be absent.
pub fn read_optional(path: &Path) -> Result<Option<Vec<u8>>> {
    match std::fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(io_error(path, e)),
    }
}

/// Where a checkpoint's files come from.
enum ModelSource {
    Directory(PathBuf),
    /// A single file or an archive, taken apart.
    File(Files),
    /// A GGUF file that is read as it is.
    Gguf(PathBuf),
}

impl ModelSource {
    fn open(path: &Path, want: Want) -> Result<Self> {
        if is_torch(path) {
            let text = path.display();
            return Err(Error::Checkpoint(format!(
                "{text}: a PyTorch file does not say what it is; make a directory of it with `kindling import --model \
                {text} --preset NAME --tokenizer DIR --out DIR`"
            ).into()));
        }
        let path = &hub::local(path, want)?;
        if path.is_dir() {
            return Ok(Self::Directory(path.to_path_buf()));
        }
        if want == Want::Checkpoint && path.is_file() && (has_ending(path, "gguf") || begins_as_gguf(path)) {
            return Ok(Self::Gguf(path.to_path_buf()));
        }
        if has_ending(path, "bin") && first_bytes(path).starts_with(b"PK") {
            return Err(Error::Checkpoint(format!(
                "{}: these are PyTorch's weights alone; give the directory that has config.json beside them",
                path.display()
            ).into()));
        }
        if let Some(take_apart) = form(path) {
            let bytes = map(path)?.ok_or_else(|| no_file(path))?;
            return take_apart(&bytes).map(Self::File).map_err(|e| at(path, e));
        }
        Err(Error::Checkpoint(match path.exists() {
            true => format!(
                "{}: this file is of no form of a model that is known by its name (.safetensors, .zip, .gguf, .bin, .pth) \
                or by its first bytes",
                path.display()
            ),
            false => format!("{}: there is no such directory", path.display()),
        }
        .into()))
    }

    /// Gives a file's bytes; those of a single file only once.
    fn read(&mut self, name: &str) -> Result<Option<Bytes>> {
        match self {
            Self::Directory(path) => map(&path.join(name)),
            Self::File(files) => Ok(files.remove(name).map(Bytes::from)),
            Self::Gguf(_) => Ok(None),
        }
    }

    /// Whether a file is there.
    fn has(&self, name: &str) -> bool {
        match self {
            Self::Directory(path) => path.join(name).is_file(),
            Self::File(files) => files.contains_key(name),
            Self::Gguf(_) => false,
        }
    }

    /// The same as a copy.
    fn read_whole(&mut self, name: &str) -> Result<Option<Vec<u8>>> {
        match self {
            Self::Directory(path) => read_optional(&path.join(name)),
            Self::File(files) => Ok(files.remove(name)),
            Self::Gguf(_) => Ok(None),
        }
    }
}

fn no_file(path: &Path) -> Error {
    Error::Checkpoint(format!("{}: there is no such file", path.display()).into())
}

/// How a file is taken apart into a directory's; llama2.c's holds no tokenizer, which here is no hindrance.
fn form(path: &Path) -> Option<TakeApart> {
    if begins_as_gguf(path) {
        return Some(from_gguf);
    }
    let llama2c = || has_ending(path, "bin").then_some(from_llama2c as TakeApart);
    form_of(&path.to_string_lossy()).or_else(llama2c)
}

/// Whether the name is that of a PyTorch file, which does not say what it holds.
pub fn is_torch(path: &Path) -> bool {
    (has_ending(path, "pth") || has_ending(path, "pt")) && !path.is_dir()
}

/// Ollama's blobs have no ending.
fn begins_as_gguf(path: &Path) -> bool {
    is_gguf(&first_bytes(path))
}

/// The first bytes of a file; zeros where there is none.
fn first_bytes(path: &Path) -> [u8; 4] {
    let mut bytes = [0; 4];
    let read = File::open(path).and_then(|mut file| file.read_exact(&mut bytes));
    if read.is_ok() { bytes } else { [0; 4] }
}

fn has_ending(path: &Path, ending: &str) -> bool {
    path.extension().is_some_and(|end| end == ending)
}

/// Opens a checkpoint: a directory, or a file that holds one in any of the forms that say what they are.
///
/// # Errors
/// What is missing or damaged, with its path; a file that does not say what it holds.
pub fn open_checkpoint(path: &Path) -> Result<Checkpoint> {
    let mut source = ModelSource::open(path, Want::Checkpoint)?;
    if is_adapter_alone(|name| source.has(name)) {
        return Err(adapter_refused(path, &source.read_whole(ADAPTER_CONFIG)?.unwrap_or_default()));
    }
    let checkpoint = match &source {
        // Taken apart, its weights would all be there as f32.
        ModelSource::Gguf(path) => Checkpoint::open_gguf(map(path)?.ok_or_else(|| no_file(path))?),
        _ => Checkpoint::open(|name| source.read(name)),
    };
    let checkpoint = checkpoint.map_err(|e| at(path, e))?;
    tell_warnings(path, &checkpoint.warnings);
    tell_others(path)?;
    Ok(checkpoint)
}

/// Refuses files that hold an adapter and no model, and says what it is used with.
///
/// # Errors
/// An adapter without a model.
pub fn refuse_adapter(path: &Path, files: &Files) -> Result<()> {
    match files.get(ADAPTER_CONFIG) {
        Some(settings) if is_adapter_alone(|name| files.contains_key(name)) => {
            Err(adapter_refused(path, settings))
        }
        _ => Ok(()),
    }
}

fn adapter_refused(path: &Path, settings: &[u8]) -> Error {
    // A PyTorch file becomes a directory that --adapter takes by `kindling import`.
    let adapter = if is_torch(path) { "ADAPTER".into() } else { path.display().to_string() };
    let (base, remark) = base_of_adapter(settings);
    let refused = adapter_as_model(&adapter, &base);
    let refused =
        if remark.is_empty() { refused } else { Error::Checkpoint(format!("{refused}{remark}").into()) };
    at(path, refused)
}

/// What `--model` takes as the base of an adapter with these settings: a path as they have it, or the address of its name
/// on the hub; `BASE` where they tell neither. With what is to be said of a name that may be either.
fn base_of_adapter(settings: &[u8]) -> (String, String) {
    let settings: Value = serde_json::from_slice(settings).unwrap_or_default();
    // PEFT's key, and mlx-lm's.
    let named = ["base_model_name_or_path", "model"].into_iter().find_map(|key| settings[key].as_str());
    match named.filter(|name| !name.is_empty()) {
        // PEFT writes a path as it was given, and adapters of ours did, too, before `./` stood before one of this form.
        Some(name) if hub::is_repository(name) && !Path::new(name).exists() => (
            format!("hub:{name}"),
            format!(
                "\n('{name}' is read as a name on the hub, because there is no such directory here; if it was one where the \
                 adapter was trained, give --model the place where that model lies now)"
            ),
        ),
        Some(path) => (path.into(), String::new()),
        None => ("BASE".into(), String::new()),
    }
}

/// Says which directories of an archive are left aside: a run's holds its saves.
///
/// # Errors
/// An archive that cannot be read.
pub fn tell_others(path: &Path) -> Result<()> {
    let bytes = if path.is_file() && has_ending(path, "zip") { map(path)? } else { None };
    let others = bytes.map_or(Ok(Vec::new()), |bytes| zip_others(&bytes)).map_err(|e| at(path, e))?;
    if !others.is_empty() {
        tell_warnings(
            path,
            &[format!("what lies at its top is used, and left aside are {}", others.join(", "))],
        );
    }
    Ok(())
}

/// Says what is odd about a model, once for every opening.
pub fn tell_warnings(path: &Path, warnings: &[impl Display]) {
    for warning in warnings {
        output::warn(&format!("{}: {warning}", path.display()));
    }
}

/// What helps a model without a tokenizer.
pub fn tokenizer_remedy(path: &Path) -> &'static str {
    match path.join("tokenizer.model").is_file() {
        true => {
            "make one of its tokenizer.model with transformers: AutoTokenizer.from_pretrained(DIR).save_pretrained(DIR)"
        }
        false => "name one with --tokenizer",
    }
}

/// The files of a checkpoint as they are, and those of `training/` where it has them.
///
/// # Errors
/// As [`open_checkpoint`].
pub fn checkpoint_files(path: &Path) -> Result<Files> {
    let mut source = ModelSource::open(path, Want::Files)?;
    tell_others(path)?;
    let mut files = Files::new();
    for name in all_files() {
        if let Some(bytes) = source.read_whole(name)? {
            files.insert(name.into(), bytes);
        }
    }
    let elsewhere = |path: &Path| [WEIGHTS_INDEX, TORCH_WEIGHTS].iter().any(|name| path.join(name).is_file());
    if !files.contains_key(WEIGHTS) && matches!(&source, ModelSource::Directory(path) if elsewhere(path)) {
        files.insert(WEIGHTS.into(), whole_weights(|name| source.read(name)).map_err(|e| at(path, e))?);
    }
    Ok(files)
}

/// Opens an adapter in PEFT's layout or mlx-lm's, a directory or a .zip of one, that belongs to `base`, whose weights
/// `known` names.
///
/// # Errors
/// What is missing, damaged or not whole, with its path; an adapter of another base.
pub fn open_adapter(path: &Path, base: &Checkpoint, known: &Fingerprint) -> Result<Adapter> {
    let adapter = read_adapter(path)?;
    tell_others(path)?;
    if let Some(own) = &adapter.config.base {
        own.check(known, adapter.config.base_name.as_deref()).map_err(|e| at(path, e))?;
    }
    adapter.compared(|name| base.token_table(name)).map_err(|e| at(path, e))
}

/// An adapter alone, before it is known whether it belongs to any base.
///
/// # Errors
/// What is missing, damaged or not whole, with its path.
pub fn read_adapter(path: &Path) -> Result<Adapter> {
    if path.is_file() && !has_ending(path, "zip") {
        return Err(Error::Checkpoint(
            format!(
                "{}: this is no adapter; that is a directory with {ADAPTER_CONFIG}, or a .zip of one",
                path.display()
            )
            .into(),
        ));
    }
    let mut source = ModelSource::open(path, Want::Adapter)?;
    Adapter::open(|name| source.read_whole(name)).map_err(|e| at(path, e))
}

/// The tokenizer that an adapter was trained with, where it lies beside it; its template and what ends a turn may be
/// others than the base's.
///
/// # Errors
/// What is damaged, with its path.
pub fn adapter_tokenizer(path: &Path) -> Result<Option<Tokenizer>> {
    let mut source = ModelSource::open(path, Want::Adapter)?;
    checkpoint::open_tokenizer(&mut |name: &str| source.read_whole(name)).map_err(|e| at(path, e))
}

/// Opens a tokenizer from a directory, a `tokenizer.json`, or a file that holds a checkpoint.
///
/// # Errors
/// What is missing or damaged, with its path.
pub fn open_tokenizer(path: &Path) -> Result<Tokenizer> {
    Ok(open_tokenizer_and_config(path)?.0)
}

/// The same with the shape of the model that it stands with, where there is one.
///
/// # Errors
/// As [`open_tokenizer`].
pub fn open_tokenizer_and_config(path: &Path) -> Result<(Tokenizer, Option<ModelConfig>)> {
    if is_torch(path) {
        return Err(Error::Tokenizer(
            format!(
                "{}: a PyTorch file holds no tokenizer; name its directory or its tokenizer.json",
                path.display()
            )
            .into(),
        ));
    }
    let path = &hub::local(path, Want::Tokenizer)?;
    if !path.is_dir() && form(path).is_some() {
        let lacking =
            || Error::Checkpoint(format!("{}: there is no tokenizer.json in it", path.display()).into());
        let Checkpoint { tokenizer, config, .. } = open_checkpoint(path)?;
        return Ok((tokenizer.ok_or_else(lacking)?, Some(config)));
    }
    let (file, directory) = match path.is_dir() {
        true => (path.join("tokenizer.json"), path.to_path_buf()),
        false => (path.to_path_buf(), path.parent().map_or_else(PathBuf::new, Path::to_path_buf)),
    };
    if path.join("tokenizer.model").is_file() && !file.is_file() {
        return Err(Error::Tokenizer(
            format!("{}: there is no tokenizer.json; {}", path.display(), tokenizer_remedy(path)).into(),
        ));
    }
    let files = TokenizerFiles::gather(|name| match name {
        "tokenizer.json" => std::fs::read(&file).map(Some).map_err(|e| io_error(&file, e)),
        beside => read_optional(&directory.join(beside)),
    });
    let lacking = || Error::Checkpoint("there is no tokenizer.json".into());
    let tokenizer = files.and_then(|files| Tokenizer::from_files(&files.ok_or_else(lacking)?));
    let tokenizer = tokenizer.map_err(|e| at(&file, e))?;
    // A config that cannot be read is told where a model is opened.
    let config = read_optional(&directory.join("config.json")).ok().flatten();
    let config = config.and_then(|json| ModelConfig::from_hugging_face(&json).ok());
    Ok((tokenizer, config))
}

/// Puts the path before a message that does not know it.
pub fn at(path: &Path, error: Error) -> Error {
    let path = path.display();
    match error {
        Error::Checkpoint(message) => Error::Checkpoint(format!("{path}: {message}").into()),
        Error::Model(message) => Error::Model(format!("{path}: {message}").into()),
        Error::Config(problems) => {
            Error::Model(format!("{path}: config.json: {}", problems.join("; ")).into())
        }
        Error::Tokenizer(message) => Error::Tokenizer(format!("{path}: {message}").into()),
        Error::Template(message) => Error::Template(format!("{path}: {message}").into()),
        Error::UnknownInTemplate(message) => Error::UnknownInTemplate(format!("{path}: {message}").into()),
        other => other,
    }
}
