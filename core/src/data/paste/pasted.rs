//! What came of a paste: rows that can be used, and what is wrong with the others, each with its line.

use std::fmt::Write;

use serde_json::{Value, json};

use crate::data::record::is_number;
use crate::text::{Conversation, Message, Row, RowKind, parse_preference, parse_row};
use crate::told::Told;

/// The form that a pasted text has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PasteForm {
    /// JSON: lines, a list, or values one after the other.
    Json,
    /// A table with commas or semicolons between its columns.
    Csv,
    /// A table with tabs, as spreadsheets give it.
    Tsv,
    /// A table of Markdown.
    Markdown,
    /// Questions and answers behind words such as `Q:` and `A:`.
    Dialogue,
    /// None of these.
    Text,
}

/// What was read of a paste.
#[derive(Clone, Debug, PartialEq)]
pub struct Pasted {
    /// Its form.
    pub form: PasteForm,
    /// The rows that can be used; none of a plain text, which is all one.
    pub rows: Vec<PastedRow>,
    /// What cannot be used, in the order of the lines.
    pub problems: Vec<PasteProblem>,
}

/// A row of a paste.
#[derive(Clone, Debug, PartialEq)]
pub struct PastedRow {
    /// The line where it begins, from 1.
    pub line: u64,
    /// The row, as a JSON file would have it.
    pub value: Value,
}

/// What is wrong in a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PasteProblem {
    /// The line, from 1.
    pub line: u64,
    /// What is wrong there.
    pub fault: PasteFault,
}

/// What may be wrong with a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PasteFault {
    /// No rows are found in all of it.
    Unrecognised,
    /// The JSON is broken.
    Json {
        /// At which character of the line, from 1.
        column: usize,
    },
    /// A quote or a bracket that opens here is never closed.
    Unclosed,
    /// The columns' names do not tell which is the question and which the answer, or tell it twice.
    Columns {
        /// The names that were found.
        found: Vec<String>,
    },
    /// The row has other columns than the first one.
    Fields {
        /// How many it has.
        found: usize,
        /// How many there should be.
        named: usize,
    },
    /// An answer without a question before it.
    NoQuestion,
    /// A question that nothing answers.
    NoAnswer,
    /// The question is empty.
    EmptyQuestion,
    /// The answer is empty.
    EmptyAnswer,
    /// A line that belongs to no row.
    Outside,
    /// A text, where questions and answers are read.
    OnlyText,
    /// What the reader of rows says.
    Row(Told),
}

/// What may be a row: its line, and its value or why there is none.
pub(super) struct Candidate {
    pub(super) line: u64,
    pub(super) row: Result<Value, PasteFault>,
}

impl Pasted {
    /// The rows among the candidates that can be used, and what is wrong with the others.
    pub(super) fn judged(form: PasteForm, mut candidates: Vec<Candidate>, wanted: RowKind) -> Self {
        // Where a list is never closed is known at its end, and told by its beginning.
        candidates.sort_by_key(|candidate| candidate.line);
        let mut pasted = Self { form, rows: Vec::new(), problems: Vec::new() };
        for Candidate { line, row } in candidates {
            match row.and_then(|value| usable(value, wanted)) {
                Ok(value) => pasted.rows.push(PastedRow { line, value }),
                Err(fault) => pasted.problems.push(PasteProblem { line, fault }),
            }
        }
        pasted
    }

    /// The rows as JSON lines. Each stands in the line that it has in the paste, unless several begin in one.
    pub fn jsonl(&self) -> String {
        let (mut lines, mut line) = (String::new(), 1);
        for row in &self.rows {
            while line < row.line {
                lines.push('\n');
                line += 1;
            }
            // Writing into a string cannot fail.
            let _ = writeln!(lines, "{}", row.value);
            line += 1;
        }
        lines
    }

    /// Every row as its question and its answer; `None` where a row is more than that, or cannot be used.
    pub fn pairs(&self) -> Option<Vec<[String; 2]>> {
        let pairs = self.rows.iter().map(PastedRow::pair).collect::<Option<Vec<_>>>();
        pairs.filter(|_| self.problems.is_empty())
    }
}

impl PastedRow {
    /// The question and the answer, if the row is no more than that.
    pub fn pair(&self) -> Option<[String; 2]> {
        pair(&self.value)
    }
}

/// The question and the answer of a row that is no more than that; either may be empty.
pub(super) fn pair(value: &Value) -> Option<[String; 2]> {
    let Row::Conversation(Conversation { messages, tools: None }) = parse_row(value).ok()?.row else {
        return None;
    };
    let is_plain = |message: &Message| message.weight == 1.0 && message.extra.is_empty();
    match <[Message; 2]>::try_from(messages) {
        Ok([question, answer])
            if question.role == "user"
                && answer.is_assistant()
                && is_plain(&question)
                && is_plain(&answer) =>
        {
            Some([question.content, answer.content])
        }
        _ => None,
    }
}

/// The value as a row of the kind that is asked for.
fn usable(mut value: Value, wanted: RowKind) -> Result<Value, PasteFault> {
    let parsed = match wanted {
        RowKind::Preference => parse_preference(&value),
        RowKind::Document | RowKind::Conversation => parse_row(&value),
    };
    let parsed = parsed.map_err(PasteFault::Row)?;
    if wanted == RowKind::Document && parsed.row.kind() != wanted {
        return Ok(json!({ "text": parsed.joined().row.texts().collect::<String>() }));
    }
    match &parsed.row {
        Row::Document(_) if wanted == RowKind::Conversation => return Err(PasteFault::OnlyText),
        Row::Document(_) => {}
        Row::Conversation(conversation) => check_turns(&conversation.messages)?,
        Row::Preference(pair) => {
            pair.conversations().iter().try_for_each(|side| check_turns(&side.messages))?;
        }
    }
    if let Value::Object(fields) = &mut value {
        // A number in a cell, such as that of the row, is no text that is lost.
        fields.retain(|key, cell| !(is_number(cell) && parsed.unused.contains(key)));
    }
    Ok(value)
}

/// What is odd in a data set is a slip in a few lines that a person pastes.
fn check_turns(messages: &[Message]) -> Result<(), PasteFault> {
    let is_empty = |m: &&Message| m.role != "tool" && m.content.trim().is_empty() && !m.calls_tools();
    match messages.iter().find(is_empty) {
        Some(message) if message.is_assistant() => return Err(PasteFault::EmptyAnswer),
        Some(_) => return Err(PasteFault::EmptyQuestion),
        None => {}
    }
    match messages.last() {
        Some(last) if last.is_assistant() => Ok(()),
        _ => Err(PasteFault::NoAnswer),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(rows: &[(u64, Value)]) -> Pasted {
        let candidates = rows.iter().map(|(line, row)| Candidate { line: *line, row: Ok(row.clone()) });
        Pasted::judged(PasteForm::Json, candidates.collect(), RowKind::Conversation)
    }

    #[test]
    fn rows_keep_their_lines_and_are_refused_by_them() {
        let user = json!({"role": "user", "content": "q"});
        let pasted = judged(&[
            (2, json!({"q": "a", "a": "b"})),
            (2, json!({"q": "c", "a": "d", "id": "7", "note": "n"})),
            (6, json!({"q": " ", "a": "d"})),
            (7, json!({"q": "e", "a": "\n"})),
            (8, json!([user])),
            (9, json!({"text": "t"})),
            (11, json!({"q": "f", "a": "8"})),
        ]);
        let row = |q: &str, a: &str| format!("{{\"q\":\"{q}\",\"a\":\"{a}\"}}");
        let noted = "{\"q\":\"c\",\"a\":\"d\",\"note\":\"n\"}";
        let lines = format!("\n{}\n{noted}\n\n\n\n\n\n\n\n{}\n", row("a", "b"), row("f", "8"));
        assert_eq!(pasted.jsonl(), lines);
        let faults: Vec<_> = pasted.problems.iter().map(|p| (p.line, p.fault.clone())).collect();
        assert_eq!(
            faults,
            [
                (6, PasteFault::EmptyQuestion),
                (7, PasteFault::EmptyAnswer),
                (8, PasteFault::NoAnswer),
                (9, PasteFault::OnlyText)
            ]
        );
        assert_eq!(pasted.pairs(), None);
    }

    #[test]
    fn two_answers_to_one_question_are_read_where_they_are_asked_for() {
        let candidates = [
            json!({"问题": "q", "更好的回答": "a", "更差的回答": "b"}),
            json!({"prompt": "q", "chosen": "a", "rejected": ""}),
            json!({"q": "q", "a": "a"}),
        ];
        let candidates = (1..).zip(candidates).map(|(line, row)| Candidate { line, row: Ok(row) }).collect();
        let pasted = Pasted::judged(PasteForm::Csv, candidates, RowKind::Preference);
        assert_eq!(pasted.rows.iter().map(|row| row.line).collect::<Vec<_>>(), [1]);
        let faults: Vec<_> = pasted.problems.iter().map(|problem| (problem.line, &problem.fault)).collect();
        let [(2, PasteFault::EmptyAnswer), (3, PasteFault::Row(why))] = faults.as_slice() else {
            panic!("{faults:?}")
        };
        assert_eq!(why.code(), "row.no_pair");
    }

    #[test]
    fn what_the_reader_of_rows_says_keeps_its_code() {
        let pasted = judged(&[(3, json!({"colour": "red"}))]);
        let [PasteProblem { line: 3, fault: PasteFault::Row(why) }] = pasted.problems.as_slice() else {
            panic!("{pasted:?}")
        };
        assert_eq!(why.code(), "row.unknown");
    }

    #[test]
    fn what_is_more_than_a_question_and_an_answer_is_no_pair() {
        let pairs = |row: Value| judged(&[(1, row)]).pairs();
        assert_eq!(pairs(json!({"问题": "q", "答案": "a"})), Some(vec![["q".to_string(), "a".to_string()]]));
        let turn = |role: &str| json!({"role": role, "content": "x"});
        let pair = Some(vec![["x".to_string(), "x".to_string()]]);
        assert_eq!(pairs(json!([turn("user"), turn("assistant")])), pair);
        for row in [
            json!({"q": "q", "a": "a", "system": "s"}),
            json!({"q": "q", "a": "a", "tools": [{"name": "f"}]}),
            json!([turn("user"), turn("assistant"), turn("user"), turn("assistant")]),
            json!([turn("user"), {"role": "assistant", "content": "x", "weight": 2}]),
            json!([turn("user"), {"role": "assistant", "content": "x", "reasoning_content": "r"}]),
        ] {
            assert_eq!(pairs(row.clone()), None, "{row}");
        }
    }
}
