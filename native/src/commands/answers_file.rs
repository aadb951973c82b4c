//! The file of a teacher's answers: rows to fine-tune on, one at a time, and beside it what made them, so that only the
//! same goes on there.

use std::path::Path;

use kindling::error::{Error, Result};
use kindling::sample::{FinishReason, Generation, SamplingConfig};
use kindling::text::{Conversation, Message};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::row_file::{Existing, Made, RowFile, Shared};
use crate::failure::Failure;

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

impl Made for MadeBy {
    const ENDING: &'static str = ".teacher";
    const ROWS: &'static str = "answers of `distill --generate`";
    const SAME: &'static str = "teacher, prompts and settings";
    const MODEL: &'static str = "the teacher";

    fn shared(&self) -> Shared<'_> {
        Shared {
            model: &self.teacher,
            numbers: &self.numbers,
            sampling: &self.sampling,
            date: &self.date,
            prompts: &self.prompts,
        }
    }

    fn own(&self, before: &Self) -> Vec<(bool, &'static str)> {
        vec![(self.keep_cut != before.keep_cut, "--keep-cut")]
    }
}

/// Answers on the disk.
pub struct AnswersFile {
    rows: RowFile,
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
        let read = |lines: &[u8]| read_back(path, lines, prompts);
        let (rows, (done, written)) = RowFile::open(path, existing, made, read)?;
        Ok(Self { rows, done, written, cut: 0, empty: 0, keep_cut: made.keep_cut })
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
        self.rows.add(&row)?;
        self.written += 1;
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

/// The last prompt whose answer stands in these lines, and how many answers do.
fn read_back(path: &Path, lines: &[u8], prompts: usize) -> Result<(usize, u64)> {
    let (mut done, mut written) = (0, 0);
    for line in lines.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
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
    Ok((done, written))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

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
