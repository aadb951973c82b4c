//! The file of a teacher's answers: rows to fine-tune on, one at a time, and beside it what made them, so that only the
//! same goes on there.

use std::fs::{self, File};
use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use kindling::error::{Error, Result};
use kindling::sample::{FinishReason, Generation, SamplingConfig};
use kindling::text::{Conversation, Message};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::disk::replace;
use crate::failure::{Failure, io_error};
use crate::model_files::read_optional;

/// What stands behind the name of the answers for the file that says what made them.
const ENDING: &str = ".teacher";

/// What answers depend on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MadeBy {
    /// The fingerprint of the teacher's weights, and those of its adapters.
    pub teacher: String,
    /// What it computes in, and how its weights are held.
    pub numbers: String,
    /// How answers are drawn, where a row says nothing else.
    pub sampling: SamplingConfig,
    /// The day that its template prints.
    pub date: String,
    /// Whether answers that did not end are kept.
    pub keep_cut: bool,
    /// A hash of the tokens of all prompts, and of what rows set.
    pub prompts: String,
}

impl MadeBy {
    /// What is not as it was.
    fn differs(&self, before: &Self) -> Option<&'static str> {
        let parts = [
            (self.teacher != before.teacher, "the teacher"),
            (self.numbers != before.numbers, "--dtype or --weights"),
            (self.sampling != before.sampling, "a setting of the sampling"),
            (self.date != before.date, "--date"),
            (self.keep_cut != before.keep_cut, "--keep-cut"),
            (
                self.prompts != before.prompts,
                "the prompts, or the tokenizer and template that make tokens of them,",
            ),
        ];
        parts.into_iter().find(|(differs, _)| *differs).map(|(_, what)| what)
    }
}

/// What is to become of answers that are there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Existing {
    /// They are left alone.
    Refuse,
    /// Those that are missing are added.
    Resume,
    /// They are made anew.
    Overwrite,
}

/// Answers on the disk.
pub struct AnswersFile {
    path: PathBuf,
    file: File,
    /// Prompts whose answers are there or were left out.
    pub done: usize,
    /// Answers that are there.
    pub written: u64,
    /// Answers of this process that did not end and are left out.
    pub cut: u64,
    /// Answers of this process without a word, which are left out.
    pub empty: u64,
    keep_cut: bool,
}

/// What was kept of an earlier process about the answers at this place; `None` where there is nothing.
///
/// # Errors
/// A file that cannot be read, or is damaged.
pub fn made_by(path: &Path) -> Result<Option<MadeBy>> {
    let path = beside(path);
    let Some(bytes) = read_optional(&path)? else { return Ok(None) };
    let damaged = |e: serde_json::Error| {
        Error::Data(format!("{}: it is damaged ({e}); begin again with --overwrite", path.display()).into())
    };
    serde_json::from_slice(&bytes).map(Some).map_err(damaged)
}

fn beside(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ENDING);
    name.into()
}

impl AnswersFile {
    /// Opens the file for the answers to so many prompts.
    ///
    /// # Errors
    /// A file that is there and not to be touched, or not one of answers; answers of something else; a damaged one.
    pub fn open(
        path: &Path,
        existing: Existing,
        made: &MadeBy,
        prompts: usize,
    ) -> std::result::Result<Self, Failure> {
        let shown = path.display();
        let before = match existing {
            // A damaged one is only replaced.
            Existing::Overwrite => made_by(path).unwrap_or_else(|_| Some(made.clone())),
            _ => made_by(path)?,
        };
        let answers = match (path.exists(), existing) {
            (true, Existing::Refuse) => {
                return Err(Failure::Usage(format!(
                    "--out {shown} is there already; go on with --resume, replace it with --overwrite, or take another name"
                )));
            }
            (true, _) if before.is_none() => {
                return Err(Failure::Usage(format!(
                    "--out {shown} holds no answers of `distill --generate` (there is no {shown}{ENDING}); take another name"
                )));
            }
            (true, Existing::Resume) => {
                if let Some(what) = before.and_then(|before| made.differs(&before)) {
                    return Err(Failure::Usage(format!(
                        "--resume goes on with the same teacher, prompts and settings, but {what} is not what made the \
                         answers in {shown}; give all as it was, or begin again with --overwrite"
                    )));
                }
                Some(read_back(path, prompts)?)
            }
            (true, Existing::Overwrite) => {
                // First, so that nothing of before ever stands beside what makes the new ones.
                fs::remove_file(path).map_err(|e| io_error(path, e))?;
                None
            }
            (false, _) => None,
        };
        let json = serde_json::to_vec_pretty(made).map_err(|e| Error::Data(e.to_string().into()))?;
        replace(&beside(path), &json)?;
        let ReadBack { whole, done, written } = answers.unwrap_or_default();
        let file = File::options().create(true).truncate(false).write(true).open(path);
        let file = file.map_err(|e| io_error(path, e))?;
        // What a killed process left of a last line goes.
        file.set_len(whole).map_err(|e| io_error(path, e))?;
        let mut answers =
            Self { path: path.to_path_buf(), file, done, written, cut: 0, empty: 0, keep_cut: made.keep_cut };
        answers.go_to_end()?;
        Ok(answers)
    }

    fn go_to_end(&mut self) -> Result<()> {
        self.file.seek(SeekFrom::End(0)).map(drop).map_err(|e| io_error(&self.path, e))
    }

    /// Adds the answer to the next prompt, unless it teaches nothing.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub fn add(
        &mut self,
        conversation: &Conversation,
        variables: &Map<String, Value>,
        answer: &Generation,
    ) -> Result<()> {
        self.done += 1;
        if answer.text.trim().is_empty() {
            self.empty += 1;
            return Ok(());
        }
        if answer.finish_reason == FinishReason::Length && !self.keep_cut {
            self.cut += 1;
            return Ok(());
        }
        let mut conversation = conversation.clone();
        conversation.messages.push(Message::new("assistant", answer.text.trim()));
        let mut row = json!({"id": self.done, "messages": conversation.messages});
        if let Some(tools) = conversation.tools {
            row["tools"] = tools;
        }
        if !variables.is_empty() {
            row["chat_template_kwargs"] = Value::Object(variables.clone());
        }
        // One write: a process killed here leaves a part of one line at most.
        self.file.write_all(format!("{row}\n").as_bytes()).map_err(|e| io_error(&self.path, e))?;
        self.written += 1;
        Ok(())
    }

    /// Puts all of it on the disk.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub fn finish(&self) -> Result<()> {
        self.file.sync_all().map_err(|e| io_error(&self.path, e))
    }
}

/// What stands in a file of answers.
#[derive(Default)]
struct ReadBack {
    /// Bytes of its whole lines.
    whole: u64,
    done: usize,
    written: u64,
}

fn read_back(path: &Path, prompts: usize) -> Result<ReadBack> {
    let bytes = fs::read(path).map_err(|e| io_error(path, e))?;
    let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
    let (mut done, mut written) = (0, 0);
    for line in bytes[..whole].split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        let id = serde_json::from_slice::<Value>(line).ok().and_then(|row| row["id"].as_u64());
        written += 1;
        match id.and_then(|id| usize::try_from(id).ok()) {
            Some(id) if id > done && id <= prompts => done = id,
            _ => {
                return Err(Error::Data(
                    format!(
                        "{}:{written}: not the answer to one of the {prompts} prompts, in their order; begin again with \
                         --overwrite",
                        path.display()
                    )
                    .into(),
                ));
            }
        }
    }
    Ok(ReadBack { whole: whole as u64, done, written })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made() -> MadeBy {
        let text = |text: &str| text.to_string();
        MadeBy {
            teacher: text("a"),
            numbers: text("F32"),
            sampling: SamplingConfig::default(),
            date: text("2025-07-31"),
            keep_cut: false,
            prompts: text("p"),
        }
    }

    fn answer(text: &str, finish_reason: FinishReason) -> Generation {
        Generation {
            prompt_tokens: vec![1],
            tokens: vec![2],
            text: text.to_string(),
            finish_reason,
            end_token: None,
            prefill_tokens_per_second: None,
            decode_tokens_per_second: None,
        }
    }

    fn told(failure: Option<Failure>) -> String {
        match failure {
            Some(Failure::Usage(told)) => told,
            Some(Failure::Work(error)) => error.to_string(),
            _ => panic!("no failure"),
        }
    }

    #[test]
    fn a_file_goes_on_behind_its_last_whole_line() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("answers.jsonl");
        let question = Conversation::new(vec![Message::new("user", "q")]);
        let mut file = AnswersFile::open(&path, Existing::Refuse, &made(), 5).unwrap();
        for (text, reason) in
            [("one", FinishReason::Stop), ("never", FinishReason::Length), ("three ", FinishReason::Stop)]
        {
            file.add(&question, &Map::new(), &answer(text, reason)).unwrap();
        }
        assert_eq!((file.done, file.written, file.cut), (3, 2, 1));
        file.finish().unwrap();
        let whole = fs::read_to_string(&path).unwrap();
        let rows: Vec<Value> = whole.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!((rows.len(), &rows[1]["id"]), (2, &json!(3)));
        assert_eq!(rows[1]["messages"][1], json!({"role": "assistant", "content": "three"}));
        fs::write(&path, format!("{whole}{{\"id\": 4, \"mess")).unwrap();
        let mut file = AnswersFile::open(&path, Existing::Resume, &made(), 5).unwrap();
        assert_eq!((file.done, file.written), (3, 2));
        file.add(&question, &Map::new(), &answer(" ", FinishReason::Stop)).unwrap();
        file.add(&question, &Map::new(), &answer("five", FinishReason::Stop)).unwrap();
        assert_eq!((file.done, file.written, file.empty), (5, 3, 1));
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.starts_with(&whole) && text.lines().count() == 3, "{text}");
    }

    #[test]
    fn what_is_there_is_left_alone_unless_the_same_goes_on() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("answers.jsonl");
        let question = Conversation::new(vec![Message::new("user", "q")]);
        let mut file = AnswersFile::open(&path, Existing::Refuse, &made(), 2).unwrap();
        file.add(&question, &Map::new(), &answer("one", FinishReason::Stop)).unwrap();
        let open = |existing: Existing, made: &MadeBy, prompts: usize| {
            AnswersFile::open(&path, existing, made, prompts).err()
        };
        assert!(told(open(Existing::Refuse, &made(), 2)).contains("is there already"));
        for (other, part) in [
            (MadeBy { teacher: "b".into(), ..made() }, "the teacher is not what made"),
            (MadeBy { prompts: "o".into(), ..made() }, "the prompts, or"),
            (MadeBy { date: "2025-08-01".into(), ..made() }, "--date is not"),
        ] {
            assert!(told(open(Existing::Resume, &other, 2)).contains(part));
        }
        fs::write(&path, "{\"id\": 1}\n{\"id\": 1}\n").unwrap();
        assert!(told(open(Existing::Resume, &made(), 2)).contains("answers.jsonl:2: not the answer"));
        let foreign = place.path().join("notes.jsonl");
        fs::write(&foreign, "mine\n").unwrap();
        for existing in [Existing::Resume, Existing::Overwrite] {
            let refused = AnswersFile::open(&foreign, existing, &made(), 2).err();
            assert!(told(refused).contains("holds no answers"));
            assert_eq!(fs::read_to_string(&foreign).unwrap(), "mine\n");
        }
        assert_eq!(AnswersFile::open(&path, Existing::Overwrite, &made(), 2).unwrap().done, 0);
        assert_eq!(fs::read_to_string(&path).unwrap(), "");
    }
}
