//! Questions and their answers out of conversations, as the records of a table (RFC 4180).

use serde_json::{Value, json};

use crate::text::{Conversation, Message, REASONING_KEYS};

/// What the columns of a table of pairs are called; rows are read again by these names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "cli", derive(clap::ValueEnum))]
pub enum PairColumns {
    /// question, answer, turn_index
    En,
    /// 问题, 答案, 轮次
    Zh,
}

impl PairColumns {
    fn names(self) -> [&'static str; 3] {
        match self {
            Self::En => ["question", "answer", "turn_index"],
            Self::Zh => ["问题", "答案", "轮次"],
        }
    }
}

/// What was written, and what the table has no column for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PairCounts {
    /// Conversations so far.
    pub conversations: u64,
    /// Pairs of them.
    pub pairs: u64,
    /// Pairs behind others of their conversation.
    pub later: u64,
    /// Conversations with a system message.
    pub systems: u64,
    /// Conversations with tools, calls of them or what they gave.
    pub tools: u64,
    /// Answers with reasoning.
    pub reasoning: u64,
    /// Answers with a weight of their own.
    pub weights: u64,
    /// Questions without an answer, and answers without a question.
    pub lone: u64,
}

/// A table of pairs.
#[derive(Clone, Copy, Debug)]
pub struct PairTable {
    columns: PairColumns,
    history: bool,
    counts: PairCounts,
}

impl PairTable {
    /// A table without rows; with `history` a fourth column holds the pairs before, as JSON.
    pub fn new(columns: PairColumns, history: bool) -> Self {
        Self { columns, history, counts: PairCounts::default() }
    }

    /// Its first record: what the columns are called.
    pub fn header(&self) -> String {
        let history = self.history.then_some("history");
        record(self.columns.names().into_iter().chain(history))
    }

    /// The records of a conversation.
    pub fn records(&mut self, conversation: &Conversation) -> String {
        self.count(conversation);
        let (mut records, mut before, mut question) = (String::new(), Vec::<Value>::new(), None::<&str>);
        for message in &conversation.messages {
            match message.role.as_str() {
                "user" => self.counts.lone += u64::from(question.replace(&message.content).is_some()),
                // Its answer comes behind what the tool gives.
                "assistant" if message.calls_tools() => {}
                "assistant" => match question.take() {
                    Some(asked) => {
                        records += &self.pair(asked, &message.content, &before);
                        before.push(json!([asked, message.content]));
                    }
                    None => self.counts.lone += 1,
                },
                _ => {}
            }
        }
        self.counts.lone += u64::from(question.is_some());
        records
    }

    /// What was written so far.
    pub fn counts(&self) -> PairCounts {
        self.counts
    }

    fn pair(&mut self, question: &str, answer: &str, before: &[Value]) -> String {
        self.counts.pairs += 1;
        self.counts.later += u64::from(!before.is_empty());
        let turn = (before.len() + 1).to_string();
        let history = match (self.history, before) {
            (false, _) => None,
            (true, []) => Some(String::new()),
            (true, before) => Some(json!(before).to_string()),
        };
        record([question, answer, turn.as_str()].into_iter().chain(history.as_deref()))
    }

    fn count(&mut self, conversation: &Conversation) {
        let counts = &mut self.counts;
        counts.conversations += 1;
        let any = |is: fn(&Message) -> bool| u64::from(conversation.messages.iter().any(is));
        counts.systems += any(|message| message.role == "system");
        let uses_tools = any(|message| message.role == "tool" || message.calls_tools());
        counts.tools += uses_tools.max(u64::from(conversation.tools.is_some()));
        for answer in conversation.messages.iter().filter(|message| message.is_assistant()) {
            let reasons = REASONING_KEYS.iter().any(|key| answer.extra.contains_key(*key));
            counts.reasoning += u64::from(reasons);
            counts.weights += u64::from(answer.weight != 1.0);
        }
    }
}

/// A record of RFC 4180: fields with commas, quotes or line ends stand between quotes, which are doubled inside.
fn record<'a>(fields: impl IntoIterator<Item = &'a str>) -> String {
    let quoted = |field: &str| match field.contains([',', '"', '\r', '\n']) {
        true => format!("\"{}\"", field.replace('"', "\"\"")),
        false => field.to_string(),
    };
    let mut fields: Vec<String> = fields.into_iter().map(quoted).collect();
    // A record that begins with nothing could be taken for an empty line, or for a byte order mark.
    if let Some(first) = fields.first_mut().filter(|first| first.is_empty() || first.starts_with('\u{FEFF}'))
    {
        *first = format!("\"{first}\"");
    }
    fields.join(",") + "\r\n"
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::dataset::tests::{open, rows};
    use crate::data::options::DataOptions;
    use crate::text::{Row, parse_row};

    fn conversation(row: &Value) -> Conversation {
        match parse_row(row).unwrap().row {
            Row::Conversation(conversation) => conversation,
            other => panic!("{other:?}"),
        }
    }

    fn turns(texts: &[(&str, &str)]) -> Value {
        Value::Array(texts.iter().map(|(role, content)| json!({"role": role, "content": content})).collect())
    }

    #[test]
    fn fields_are_quoted_where_they_must_be() {
        assert_eq!(record(["a", "b c", ""]), "a,b c,\r\n");
        assert_eq!(
            record(["a,b", "say \"hi\"", "x\ny", "z\r"]),
            "\"a,b\",\"say \"\"hi\"\"\",\"x\ny\",\"z\r\"\r\n"
        );
        assert_eq!(record(["", "a"]), "\"\",a\r\n");
    }

    #[test]
    fn what_is_written_is_read_again() {
        let questions = ["who, then?", "谁？", " \"x\"\n\ny ", "a\r\nb", "\u{FEFF}mark"];
        let answers = ["me", "我，露玛。", "\"", "\n", "7"];
        for columns in [PairColumns::En, PairColumns::Zh] {
            let mut table = PairTable::new(columns, false);
            let mut text = table.header();
            for (question, answer) in questions.iter().zip(answers) {
                text += &table.records(&conversation(&json!({"user": question, "assistant": answer})));
            }
            let data = open(&[("a.csv", &text)], DataOptions::default()).unwrap();
            let read: Vec<String> =
                rows(&data).into_iter().map(|row| row.split_once(' ').unwrap().1.to_string()).collect();
            let expected: Vec<String> = questions
                .iter()
                .zip(answers)
                .map(|(question, answer)| format!("{question} {answer}"))
                .collect();
            assert_eq!(read, expected);
            assert!(data.report().unused_keys.is_empty(), "{:?}", data.report().unused_keys);
            assert_eq!(table.counts(), PairCounts { conversations: 5, pairs: 5, ..PairCounts::default() });
        }
    }

    #[test]
    fn turns_are_numbered_and_what_has_no_column_is_counted() {
        let long = turns(&[
            ("system", "s"),
            ("user", "q1"),
            ("assistant", "a1"),
            ("user", "q2"),
            ("assistant", "a2"),
            ("user", "q3"),
        ]);
        let mut table = PairTable::new(PairColumns::Zh, false);
        assert_eq!(table.header(), "问题,答案,轮次\r\n");
        assert_eq!(table.records(&conversation(&long)), "q1,a1,1\r\nq2,a2,2\r\n");
        let called = json!([
            {"role": "user", "content": "q"},
            {"role": "assistant", "content": "", "tool_calls": [{"name": "f"}]},
            {"role": "tool", "content": "t"},
            {"role": "assistant", "content": "a", "reasoning_content": "r", "weight": 0.5},
        ]);
        assert_eq!(table.records(&conversation(&called)), "q,a,1\r\n");
        let expected = PairCounts {
            conversations: 2,
            pairs: 3,
            later: 1,
            systems: 1,
            tools: 1,
            reasoning: 1,
            weights: 1,
            lone: 1,
        };
        assert_eq!(table.counts(), expected);
    }

    #[test]
    fn with_its_history_a_later_pair_is_the_whole_conversation_again() {
        let row = turns(&[("user", "q, 1"), ("assistant", "a\n1"), ("user", "q2"), ("assistant", "a2")]);
        let mut table = PairTable::new(PairColumns::En, true);
        let text = table.header() + &table.records(&conversation(&row));
        let data = open(&[("a.csv", &text)], DataOptions::default()).unwrap();
        let read: Vec<Row> = data.iter().map(|row| row.unwrap().0).collect();
        assert_eq!(read[1], Row::Conversation(conversation(&row)));
        assert_eq!((read.len(), data.report().unused_keys.len()), (2, 0));
    }
}
