//! `--data`: files, directories, globs and data sets of the hub into random-access sources, and which of their rows
//! are used.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use clap::Args;
use kindling::data::{DataOptions, Source, decompressor, format_of, is_parquet, parquet_rows};
use kindling::error::{Error, Result};

use crate::failure::io_error;
use crate::hub;

/// Which rows of a run's data are used.
#[derive(Args, Clone, Debug, Default, PartialEq, Eq)]
pub struct RowArgs {
    /// Use at most this many rows
    #[arg(long)]
    pub limit: Option<u64>,
    /// Leave out rows that cannot be used, and count them
    #[arg(long)]
    pub skip_bad_rows: bool,
    /// Leave out rows that are exactly equal to an earlier one (16 to 40 bytes of memory a row while reading)
    #[arg(long)]
    pub dedup: bool,
    /// Leave out rows of fewer characters
    #[arg(long)]
    pub min_chars: Option<usize>,
    /// Leave out rows of more characters
    #[arg(long)]
    pub max_chars: Option<usize>,
}

impl RowArgs {
    /// The library's form of it.
    pub fn options(&self) -> DataOptions {
        DataOptions {
            limit: self.limit,
            skip_bad_rows: self.skip_bad_rows,
            dedup: self.dedup,
            min_chars: self.min_chars,
            max_chars: self.max_chars,
            ..DataOptions::default()
        }
    }
}

/// A file on the disk; compressed ones and the rows of parquet files are unpacked into a temporary file first, so that
/// memory stays bounded.
struct FileSource {
    name: String,
    len: u64,
    file: Mutex<File>,
}

impl Source for FileSource {
    fn name(&self) -> &str {
        &self.name
    }

    fn len(&self) -> u64 {
        self.len
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> std::io::Result<usize> {
        let mut file = self.file.lock().map_err(|_| std::io::Error::other("the file's lock is poisoned"))?;
        file.seek(SeekFrom::Start(offset))?;
        file.read(buffer)
    }
}

/// Opens everything that `--data` names, in the order given (a directory's files by name).
///
/// # Errors
/// A pattern that matches nothing, a file that cannot be read, a format that is not known.
pub fn open(patterns: &[String]) -> Result<Vec<Arc<dyn Source>>> {
    let mut sources: Vec<Arc<dyn Source>> = Vec::new();
    for pattern in patterns {
        for path in expand(pattern)? {
            sources.push(Arc::new(open_file(&path)?));
        }
    }
    Ok(sources)
}

fn expand(pattern: &str) -> Result<Vec<PathBuf>> {
    if hub::is_address(pattern) {
        return hub::data_files(pattern);
    }
    let path = Path::new(pattern);
    if path.is_dir() {
        let mut files = files_below(path)?;
        files.sort();
        if files.is_empty() {
            return Err(Error::Data(format!(
                "{pattern}: the directory holds no .jsonl, .json, .csv, .txt or .parquet file"
            )));
        }
        return Ok(files);
    }
    if path.exists() {
        return Ok(vec![path.to_path_buf()]);
    }
    let matches = glob::glob(pattern)
        .map_err(|e| Error::Data(format!("{pattern}: not a file and not a pattern ({e})")))?;
    let mut files: Vec<PathBuf> =
        matches.filter_map(std::result::Result::ok).filter(|path| path.is_file()).collect();
    files.sort();
    if files.is_empty() {
        return Err(Error::Data(format!(
            "{pattern}: there is no such file, and no file matches it as a pattern"
        )));
    }
    Ok(files)
}

/// The usable files of a directory and those below it.
fn files_below(directory: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(directory).map_err(|e| io_error(directory, e))? {
        let path = entry.map_err(|e| io_error(directory, e))?.path();
        if path.is_dir() {
            files.extend(files_below(&path)?);
        } else if format_of(&path.to_string_lossy()).is_some() {
            files.push(path);
        }
    }
    Ok(files)
}

fn open_file(path: &Path) -> Result<FileSource> {
    let name = path.display().to_string();
    let file = File::open(path).map_err(|e| io_error(path, e))?;
    if let Some(plain) = decompressor(&name, &file)? {
        return unpacked(name, plain, "; the file is damaged or the disk is full");
    }
    let len = file.metadata().map_err(|e| io_error(path, e))?.len();
    let source = FileSource { name, len, file: Mutex::new(file) };
    match is_parquet(source.name()) {
        true => unpacked(source.name.clone(), parquet_rows(Arc::new(source))?, ""),
        false => Ok(source),
    }
}

/// Keeps a stream in a temporary file under the name of the file that it is made from; an error says why, and what
/// else may be the cause.
fn unpacked(name: String, mut stream: impl Read, cause: &str) -> Result<FileSource> {
    let mut temporary = tempfile::tempfile().map_err(|e| io_error(&std::env::temp_dir(), e))?;
    let len = std::io::copy(&mut stream, &mut temporary)
        .map_err(|e| Error::Data(format!("{name}: cannot be unpacked ({e}){cause}")))?;
    Ok(FileSource { name, len, file: Mutex::new(temporary) })
}
