//! A file of rows that are written one at a time, and beside it what made them, so that only the same goes on there.

use std::fs::{self, File};
use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use kindling::error::{Error, Result};
use kindling::sample::SamplingConfig;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::disk::replace;
use crate::failure::{Failure, io_error};
use crate::model_files::read_optional;
use crate::sources;

/// What rows depend on.
pub trait Made: Clone + Serialize + DeserializeOwned {
    /// What stands behind the name of the rows for the file that says what made them.
    const ENDING: &'static str;
    /// What the rows are, and which command makes them.
    const ROWS: &'static str;
    /// What must be the same for them to go on.
    const SAME: &'static str;
    /// What the model that makes them is called.
    const MODEL: &'static str;

    /// What all such rows depend on.
    fn shared(&self) -> Shared<'_>;

    /// What these rows alone depend on: whether each part is another one than before, and what it is called.
    fn own(&self, before: &Self) -> Vec<(bool, &'static str)>;

    /// What is not as it was.
    fn differs(&self, before: &Self) -> Option<&'static str> {
        let (now, then) = (self.shared(), before.shared());
        let parts = [
            (now.model != then.model, Self::MODEL),
            (now.numbers != then.numbers, "--dtype, --weights or --activations"),
            (now.sampling != then.sampling, "a setting of the sampling"),
            (now.date != then.date, "--date"),
            (
                now.prompts != then.prompts,
                "the prompts, or the tokenizer and template that make tokens of them,",
            ),
        ];
        let mut parts = parts.into_iter().chain(self.own(before));
        parts.find(|(differs, _)| *differs).map(|(_, what)| what)
    }
}

/// What rows depend on that a model writes, whatever they are for.
pub struct Shared<'a> {
    /// The fingerprints of its weights and of those of its adapters.
    pub model: &'a str,
    /// What it computes in, and how its weights are held.
    pub numbers: &'a str,
    /// How tokens are chosen, where a row says nothing else.
    pub sampling: &'a SamplingConfig,
    /// The day that its template prints.
    pub date: &'a str,
    /// A hash of the tokens of all prompts, and of what rows set.
    pub prompts: &'a str,
}

/// What is to become of rows that are there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Existing {
    /// They are left alone.
    Refuse,
    /// Those that are missing are added.
    Resume,
    /// They are made anew.
    Overwrite,
}

impl Existing {
    /// What `--resume` and `--overwrite` say, which exclude each other.
    pub fn of(resume: bool, overwrite: bool) -> Self {
        match (resume, overwrite) {
            (true, _) => Self::Resume,
            (_, true) => Self::Overwrite,
            _ => Self::Refuse,
        }
    }
}

/// Rows on the disk.
pub struct RowFile {
    path: PathBuf,
    file: File,
}

/// What was kept of an earlier process about the rows at this place; `None` where there is nothing.
///
/// # Errors
/// A file that cannot be read, or is damaged.
pub fn made_by<M: Made>(path: &Path) -> Result<Option<M>> {
    let path = beside::<M>(path);
    let Some(bytes) = read_optional(&path)? else { return Ok(None) };
    let damaged = |e: serde_json::Error| {
        Error::Data(format!("{}: it is damaged ({e}); begin again with --overwrite", path.display()).into())
    };
    serde_json::from_slice(&bytes).map(Some).map_err(damaged)
}

fn beside<M: Made>(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(M::ENDING);
    name.into()
}

/// The rows must not replace what they are made of.
///
/// # Errors
/// `--out` among the files of `--data`.
pub fn refuse_own_source(out: &Path, data: &[String]) -> Result<(), Failure> {
    let place = |path: &Path| fs::canonicalize(path).ok();
    let own = place(out);
    match own.is_some() && sources::local_files(data).iter().any(|file| place(file) == own) {
        true => Err(Failure::Usage(format!(
            "--out {} is among the prompts of --data; choose another name",
            out.display()
        ))),
        false => Ok(()),
    }
}

impl RowFile {
    /// Opens the file for more rows; `read` is shown the whole lines that it holds and go on, and refuses those that are
    /// not the beginning of what is to be made.
    ///
    /// # Errors
    /// A file that is there and not to be touched, or not one of such rows; rows of something else; damaged ones.
    pub fn open<M: Made, T>(
        path: &Path,
        existing: Existing,
        made: &M,
        read: impl FnOnce(&[u8]) -> Result<T>,
    ) -> Result<(Self, T), Failure> {
        let before = match existing {
            // A damaged one is only replaced.
            Existing::Overwrite => made_by(path).unwrap_or_else(|_| Some(made.clone())),
            _ => made_by(path)?,
        };
        let held = held(path, existing, made, before)?;
        let whole = held.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        let found = read(&held[..whole])?;
        if existing == Existing::Overwrite && path.exists() {
            // First, so that nothing of before ever stands beside what makes the new ones.
            fs::remove_file(path).map_err(|e| io_error(path, e))?;
        }
        let json = serde_json::to_vec_pretty(made).map_err(|e| Error::Data(e.to_string().into()))?;
        replace(&beside::<M>(path), &json)?;
        let file = File::options().create(true).truncate(false).write(true).open(path);
        let mut file = file.map_err(|e| io_error(path, e))?;
        // What a killed process left of a last line goes.
        file.set_len(whole as u64).map_err(|e| io_error(path, e))?;
        file.seek(SeekFrom::End(0)).map_err(|e| io_error(path, e))?;
        Ok((Self { path: path.to_path_buf(), file }, found))
    }

    /// Adds a row.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub fn add(&mut self, row: &impl Serialize) -> Result<()> {
        let row = serde_json::to_string(row).map_err(|e| Error::Data(e.to_string().into()))?;
        // One write: a process killed here leaves a part of one line at most.
        self.file.write_all(format!("{row}\n").as_bytes()).map_err(|e| io_error(&self.path, e))
    }

    /// Puts all of it on the disk.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub fn finish(&self) -> Result<()> {
        self.file.sync_all().map_err(|e| io_error(&self.path, e))
    }
}

/// The bytes to go on behind, where that is wanted and right.
fn held<M: Made>(
    path: &Path,
    existing: Existing,
    made: &M,
    before: Option<M>,
) -> std::result::Result<Vec<u8>, Failure> {
    let (shown, ending, rows) = (path.display(), M::ENDING, M::ROWS);
    match (path.exists(), existing) {
        (false, _) => Ok(Vec::new()),
        (true, Existing::Refuse) => Err(Failure::Usage(format!(
            "--out {shown} is there already; go on with --resume, replace it with --overwrite, or take another name"
        ))),
        (true, _) if before.is_none() => Err(Failure::Usage(format!(
            "--out {shown} holds no {rows} (there is no {shown}{ending}); take another name"
        ))),
        (true, Existing::Overwrite) => Ok(Vec::new()),
        (true, Existing::Resume) => match before.and_then(|before| made.differs(&before)) {
            Some(what) => Err(Failure::Usage(format!(
                "--resume goes on with the same {}, but {what} is not what made the rows in {shown}; give all as it was, or \
                 begin again with --overwrite",
                M::SAME
            ))),
            None => Ok(fs::read(path).map_err(|e| io_error(path, e))?),
        },
    }
}

/// A hash of prompts' tokens and of the settings of their answers, as they come.
#[derive(Default)]
pub struct PromptHash(Sha256);

impl PromptHash {
    /// Adds a prompt.
    pub fn add(&mut self, ids: &[u32], config: &SamplingConfig) {
        self.0.update((ids.len() as u64).to_le_bytes());
        ids.iter().for_each(|id| self.0.update(id.to_le_bytes()));
        self.add_settings(&serde_json::to_value(config).unwrap_or_default());
    }

    /// Adds settings. Those that came later are left out where they say nothing, so that rows of before go on.
    pub fn add_settings(&mut self, settings: &Value) {
        const LATER: [&str; 3] = ["frequency_penalty", "presence_penalty", "logit_bias"];
        let mut settings = settings.clone();
        if let Value::Object(all) = &mut settings {
            let is_silent = |value: &Value| {
                value.as_f64() == Some(0.0) || value.as_object().is_some_and(serde_json::Map::is_empty)
            };
            all.retain(|key, value| !(LATER.contains(&key.as_str()) && is_silent(&*value)));
        }
        let bytes = serde_json::to_vec(&settings).unwrap_or_default();
        self.0.update((bytes.len() as u64).to_le_bytes());
        self.0.update(bytes);
    }

    /// The hash in hexadecimal digits.
    pub fn finish(self) -> String {
        self.0.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_that_came_later_count_where_they_act() {
        let hash = |config: &SamplingConfig| {
            let mut hash = PromptHash::default();
            hash.add(&[1, 2], config);
            hash.finish()
        };
        let of_before = |settings: &str| {
            let mut hash = Sha256::new();
            hash.update(2u64.to_le_bytes());
            hash.update([1, 0, 0, 0, 2, 0, 0, 0]);
            hash.update((settings.len() as u64).to_le_bytes());
            hash.update(settings);
            hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect::<String>()
        };
        let before = concat!(
            r#"{"temperature":0.85,"top_k":50,"top_p":0.85,"min_p":0.0,"repetition_penalty":1.0,"seed":42,"#,
            r#""max_new_tokens":256,"stop":[],"ignore_eos":false}"#
        );
        let plain = SamplingConfig::default();
        assert_eq!(hash(&plain), of_before(before));
        let penalized = SamplingConfig { presence_penalty: 0.5, ..plain.clone() };
        let biased = SamplingConfig { logit_bias: [(3, 1.0)].into(), ..plain.clone() };
        assert!(hash(&penalized) != hash(&plain) && hash(&biased) != hash(&plain));
    }
}
