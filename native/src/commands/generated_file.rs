//! The file of `generate --data --out`: what was written behind each row's prompt, a line each in the order of the rows, so
//! that an interrupted command goes on.

use std::path::Path;

use kindling::data::RowOrigin;
use kindling::error::{Error, Result};
use kindling::sample::{SamplingConfig, UnmaskConfig};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::row_file::{Existing, Made, RowFile, Shared};
use super::writing::Completion;
use crate::failure::Failure;

/// What completions depend on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GeneratedBy {
    /// The fingerprints of the weights of the model and of its adapters.
    pub model: String,
    /// What it computes in, and how its weights are held.
    pub numbers: String,
    /// How tokens are chosen, where a row says nothing else.
    pub sampling: SamplingConfig,
    /// How masks are filled, where a row says nothing else.
    pub unmask: UnmaskConfig,
    /// Whether every step of filling masks is told.
    pub show_steps: bool,
    /// The day that its template prints.
    pub date: String,
    /// A hash of the tokens of all prompts, and of what rows set.
    pub prompts: String,
}

impl Made for GeneratedBy {
    const ENDING: &'static str = ".made-by";
    const ROWS: &'static str = "rows of `generate --data --out`";
    const SAME: &'static str = "model, prompts and settings";
    const MODEL: &'static str = "the model";

    fn shared(&self) -> Shared<'_> {
        Shared {
            model: &self.model,
            numbers: &self.numbers,
            sampling: &self.sampling,
            date: &self.date,
            prompts: &self.prompts,
        }
    }

    fn own(&self, before: &Self) -> Vec<(bool, &'static str)> {
        vec![
            (self.unmask != before.unmask, "a setting of how masks are filled"),
            (self.show_steps != before.show_steps, "--show-steps"),
        ]
    }
}

/// A finished row as programs see it.
#[derive(Serialize)]
pub struct Finished<'a> {
    source: &'a str,
    line: u64,
    #[serde(flatten)]
    made: &'a Completion,
}

impl<'a> Finished<'a> {
    /// What was made of a row.
    pub fn new(origin: &'a RowOrigin, made: &'a Completion) -> Self {
        Self { source: &origin.source, line: origin.line, made }
    }
}

/// Completions on the disk.
pub struct GeneratedFile {
    rows: RowFile,
    /// Rows that are there.
    pub done: usize,
}

impl GeneratedFile {
    /// Opens the file for these rows.
    ///
    /// # Errors
    /// A file that is there and not to be touched, or not one of completions; those of something else; a damaged one.
    pub fn open<'a>(
        path: &Path,
        existing: Existing,
        made: &GeneratedBy,
        rows: impl Iterator<Item = &'a RowOrigin>,
    ) -> std::result::Result<Self, Failure> {
        let (rows, done) = RowFile::open(path, existing, made, |lines| read_back(path, lines, rows))?;
        Ok(Self { rows, done })
    }

    /// Adds the next row.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub fn add(&mut self, row: &Finished) -> Result<()> {
        self.rows.add(row)?;
        self.done += 1;
        Ok(())
    }

    /// Puts all of it on the disk.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub fn finish(&self) -> Result<()> {
        self.rows.finish()
    }
}

/// How many rows stand in these lines, which are the first ones.
fn read_back<'a>(path: &Path, lines: &[u8], mut rows: impl Iterator<Item = &'a RowOrigin>) -> Result<usize> {
    let mut done = 0;
    for line in lines.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        done += 1;
        let found = serde_json::from_slice::<Value>(line).unwrap_or_default();
        let is_it = |row: &RowOrigin| found["source"] == row.source && found["line"] == row.line;
        if !rows.next().is_some_and(is_it) {
            return Err(Error::Data(
                format!(
                    "{}:{done}: not what was made of row {done} of --data; begin again with --overwrite",
                    path.display()
                )
                .into(),
            ));
        }
    }
    Ok(done)
}

#[cfg(test)]
mod tests {
    use super::*;
    use kindling::sample::{FinishReason, Generation};
    use std::fs;

    fn made() -> GeneratedBy {
        GeneratedBy {
            model: "a".into(),
            numbers: "F32".into(),
            sampling: SamplingConfig::default(),
            unmask: UnmaskConfig::default(),
            show_steps: false,
            date: "2025-07-31".into(),
            prompts: "p".into(),
        }
    }

    fn completion(text: &str) -> Completion {
        Completion::from(Generation {
            prompt_tokens: vec![1],
            tokens: vec![2],
            text: text.to_string(),
            finish_reason: FinishReason::Stop,
            end_token: None,
            prefill_tokens_per_second: None,
            decode_tokens_per_second: None,
        })
    }

    fn origins() -> Vec<RowOrigin> {
        [1, 3, 4].map(|line| RowOrigin { source: "a.jsonl".into(), line }).into()
    }

    fn told(failure: Option<Failure>) -> String {
        match failure {
            Some(Failure::Usage(told)) => told,
            Some(Failure::Work(error)) => error.to_string(),
            _ => panic!("no failure"),
        }
    }

    #[test]
    fn every_part_that_differs_is_named() {
        let text = |text: &str| text.to_string();
        let sampling = SamplingConfig { seed: 5, ..SamplingConfig::default() };
        let unmask = UnmaskConfig { steps: Some(3), ..UnmaskConfig::default() };
        for (other, what) in [
            (GeneratedBy { model: text("b"), ..made() }, "the model"),
            (GeneratedBy { numbers: text("BF16"), ..made() }, "--dtype, --weights or --activations"),
            (GeneratedBy { sampling, ..made() }, "a setting of the sampling"),
            (GeneratedBy { date: text("2025-08-01"), ..made() }, "--date"),
            (GeneratedBy { prompts: text("q"), ..made() }, "the prompts, or the tokenizer"),
            (GeneratedBy { unmask, ..made() }, "a setting of how masks are filled"),
            (GeneratedBy { show_steps: true, ..made() }, "--show-steps"),
        ] {
            assert!(made().differs(&other).is_some_and(|told| told.starts_with(what)), "{what}");
        }
        assert_eq!(made().differs(&made()), None);
    }

    #[test]
    fn rows_go_on_behind_the_last_whole_one_and_only_the_same() {
        let place = tempfile::tempdir().unwrap();
        let (path, rows) = (place.path().join("out.jsonl"), origins());
        let open =
            |existing: Existing, made: &GeneratedBy| GeneratedFile::open(&path, existing, made, rows.iter());
        let mut file = open(Existing::Refuse, &made()).unwrap();
        file.add(&Finished::new(&rows[0], &completion("one"))).unwrap();
        file.add(&Finished::new(&rows[1], &completion("two"))).unwrap();
        file.finish().unwrap();
        let whole = fs::read_to_string(&path).unwrap();
        let first: Value = serde_json::from_str(whole.lines().next().unwrap()).unwrap();
        assert_eq!(
            (&first["source"], &first["line"], &first["text"]),
            (&"a.jsonl".into(), &1.into(), &"one".into())
        );
        // A process that was killed left a part of a line.
        fs::write(&path, format!("{whole}{{\"source\": \"a.js")).unwrap();
        let mut file = open(Existing::Resume, &made()).unwrap();
        assert_eq!(file.done, 2);
        file.add(&Finished::new(&rows[2], &completion("three"))).unwrap();
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.starts_with(&whole) && text.lines().count() == 3, "{text}");
        assert!(told(open(Existing::Refuse, &made()).err()).contains("is there already"));
        let other =
            GeneratedBy { unmask: UnmaskConfig { steps: Some(3), ..UnmaskConfig::default() }, ..made() };
        assert!(told(open(Existing::Resume, &other).err()).contains("how masks are filled is not what made"));
        // A row more than there are, and one of another line.
        fs::write(&path, format!("{text}{whole}")).unwrap();
        assert!(
            told(open(Existing::Resume, &made()).err()).contains("out.jsonl:4: not what was made of row 4")
        );
        fs::write(&path, whole.replace("\"line\":3", "\"line\":4")).unwrap();
        assert!(told(open(Existing::Resume, &made()).err()).contains("out.jsonl:2: not"));
        assert_eq!(open(Existing::Overwrite, &made()).unwrap().done, 0);
        assert_eq!(fs::read_to_string(&path).unwrap(), "");
    }
}
