//! Follows the judgement of rows that are prepared: how far it has come, a file of those that are left out, and what is kept
//! for a command that goes on.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, BufWriter, Read as _, Write};
use std::path::{Path, PathBuf};

use kindling::data::{KeptSignature, LeftOut, Watch, Why};
use kindling::error::Result;
use kindling::platform::now;
use serde_json::{Value, json};

use super::signatures::Signatures;
use crate::failure::{Failure, io_error};
use crate::output::{Output, grouped};

/// Seconds between two lines.
const EVERY: f64 = 10.0;
/// Most bytes that are read of a file to see what it is.
const LONGEST_LINE: u64 = 1 << 20;

/// How much was read, and how long it took.
#[derive(Clone, Copy, Debug, Default)]
pub struct Read {
    /// Bytes of all rows in their files.
    pub bytes: u64,
    pub seconds: f64,
}

impl Read {
    /// Megabytes a second.
    pub fn speed(self) -> f64 {
        self.bytes as f64 / 1e6 / self.seconds.max(1e-9)
    }
}

/// Follows a judgement.
pub struct Judging {
    output: Output,
    left_out: Option<LeftOutFile>,
    signatures: Option<Signatures>,
    read: Read,
    began: f64,
    told: f64,
}

impl Judging {
    /// Begins; `dropped` is the file that names the rows that are left out, and signatures are kept in the directory `keep`.
    ///
    /// # Errors
    /// A file that holds something else, or cannot be made.
    pub fn new(dropped: Option<&Path>, keep: Option<&Path>, output: Output) -> Result<Self, Failure> {
        let left_out = dropped.map(LeftOutFile::new).transpose()?;
        let signatures = keep.map(Signatures::open).transpose()?;
        Ok(Self { output, left_out, signatures, read: Read::default(), began: now(), told: now() })
    }

    /// Ends, and brings the files to their places.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub fn finish(self) -> Result<Read> {
        self.signatures.map_or(Ok(()), Signatures::finish)?;
        self.left_out.map_or(Ok(()), LeftOutFile::finish)?;
        Ok(Read { seconds: now() - self.began, ..self.read })
    }
}

impl Watch for Judging {
    fn left_out(&mut self, row: &LeftOut) -> Result<()> {
        self.left_out.as_mut().map_or(Ok(()), |file| file.add(row))
    }

    fn progress(&mut self, rows: u64, bytes: u64) {
        let now = now();
        self.read.bytes = bytes;
        if now - self.told >= EVERY {
            self.told = now;
            let speed = Read { bytes, seconds: now - self.began }.speed();
            self.output.say(&format!("{} rows looked at · {speed:.1} MB/s", grouped(rows)));
        }
    }

    fn kept(&mut self, row: u64) -> Option<KeptSignature> {
        self.signatures.as_mut()?.of_row(row)
    }

    fn keep(&mut self, signature: &KeptSignature) -> Result<()> {
        self.signatures.as_mut().map_or(Ok(()), |signatures| signatures.add(signature))
    }
}

/// A line for each row that is left out, in a file that appears at once.
struct LeftOutFile {
    path: PathBuf,
    temporary: PathBuf,
    file: Option<BufWriter<File>>,
}

impl LeftOutFile {
    fn new(path: &Path) -> Result<Self, Failure> {
        // A device or a pipe would be replaced by a file, or be waited for.
        if path.exists() && !(path.is_file() && is_one(path)) {
            return Err(Failure::Usage(format!(
                "--dropped {} is taken by something else; choose another name",
                path.display()
            )));
        }
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let temporary = path.with_file_name(format!(".{name}.tmp"));
        if temporary.exists() && is_one(&temporary) {
            fs::remove_file(&temporary).map_err(|e| io_error(&temporary, e))?;
        }
        let file = File::create_new(&temporary)
            .map_err(|e| io_error(if temporary.exists() { &temporary } else { path }, e))?;
        Ok(Self { path: path.to_path_buf(), temporary, file: Some(BufWriter::new(file)) })
    }

    fn add(&mut self, row: &LeftOut) -> Result<()> {
        let Some(file) = &mut self.file else { return Ok(()) };
        writeln!(file, "{}", line(row)).map_err(|e| io_error(&self.temporary, e))
    }

    fn finish(mut self) -> Result<()> {
        let Some(file) = self.file.take() else { return Ok(()) };
        let file = file.into_inner().map_err(std::io::IntoInnerError::into_error);
        file.and_then(|file| file.sync_all()).map_err(|e| io_error(&self.temporary, e))?;
        fs::rename(&self.temporary, &self.path).map_err(|e| io_error(&self.path, e))
    }
}

impl Drop for LeftOutFile {
    fn drop(&mut self) {
        if self.file.take().is_some() {
            let _ = fs::remove_file(&self.temporary);
        }
    }
}

/// Whether a file is empty, or begins as one of these does.
fn is_one(path: &Path) -> bool {
    let mut first = String::new();
    let Ok(file) = File::open(path) else { return false };
    match BufReader::new(file.take(LONGEST_LINE)).read_line(&mut first) {
        Ok(0) => true,
        Ok(_) => serde_json::from_str::<Value>(&first)
            .is_ok_and(|line| line["row"].is_string() && line["why"].is_string()),
        Err(_) => false,
    }
}

/// A row and why it is left out, as JSON.
fn line(row: &LeftOut) -> Value {
    let origin = row.origin.to_string();
    match &row.why {
        Why::Bad(reason) => json!({"row": origin, "why": "bad", "reason": reason.to_string()}),
        Why::EqualPair => json!({"row": origin, "why": "equal answers"}),
        Why::TooShort => json!({"row": origin, "why": "too short"}),
        Why::TooLong => json!({"row": origin, "why": "too long"}),
        Why::Language(language) => json!({"row": origin, "why": "language", "language": language}),
        Why::Equal(earlier) => json!({"row": origin, "why": "equal", "of": earlier.to_string()}),
        Why::Near(earlier, jaccard) => {
            json!({"row": origin, "why": "near", "of": earlier.to_string(), "jaccard": jaccard})
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_earlier_list_is_written_anew_and_nothing_else_is() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("dropped.jsonl");
        let is_taken = || LeftOutFile::new(&path).is_err();
        assert!(!is_taken() && !path.exists());
        fs::write(&path, "{\"row\": \"a.jsonl:1\", \"why\": \"near\"}\n").unwrap();
        assert!(!is_taken());
        fs::write(&path, "{\"text\": \"mine\"}\n").unwrap();
        assert!(is_taken());
        fs::remove_file(&path).unwrap();
        fs::create_dir(&path).unwrap();
        assert!(is_taken());
        if cfg!(unix) {
            assert!(LeftOutFile::new(Path::new("/dev/null")).is_err(), "a device is no file");
        }
    }
}
