//! What rows are, wherever they lie and however they are packed.

use sha2::{Digest, Sha256};

use super::file::DataFile;
use super::options::{DataOptions, Turns};
use crate::text::{Conversation, Row};

/// A hash over the usable rows in their order, as their files have them, and over the options that change their
/// meaning. The files' names, their number, compression and line ends do not count.
pub(super) struct DataFingerprint {
    hash: Sha256,
    /// Under the code of joined turns of which only `reasoning_content` was a part, where turns are joined.
    content_only: Option<Sha256>,
}

/// Hashes in hexadecimal digits.
#[derive(Default)]
pub(super) struct Fingerprints {
    pub(super) now: String,
    /// What the runs have whose joined turns held no reasoning under other keys than `reasoning_content`.
    pub(super) content_only: Option<String>,
}

impl DataFingerprint {
    pub(super) fn new(options: &DataOptions) -> Self {
        let begun = |code: u8| {
            let mut hash = Sha256::new();
            part(&mut hash, options.text_column.as_deref().unwrap_or_default());
            part(&mut hash, [code]);
            hash
        };
        match options.turns {
            Turns::Refused => Self { hash: begun(0), content_only: None },
            Turns::Joined => Self { hash: begun(3), content_only: Some(begun(1)) },
            Turns::Rendered => Self { hash: begun(2), content_only: None },
        }
    }

    /// Begins a file: the names of its columns belong to every row.
    pub(super) fn begin(&mut self, file: &DataFile) {
        file.columns().iter().for_each(|name| self.part(name.as_bytes()));
    }

    /// Adds a usable row of that file.
    pub(super) fn add(&mut self, file: &DataFile, bytes: &[u8]) {
        let means_its_spaces = file.is_text();
        self.part(if means_its_spaces { bytes } else { bytes.trim_ascii() });
    }

    fn part(&mut self, bytes: &[u8]) {
        [Some(&mut self.hash), self.content_only.as_mut()]
            .into_iter()
            .flatten()
            .for_each(|hash| part(hash, bytes));
    }

    pub(super) fn finish(self) -> Fingerprints {
        let digits = |hash: Sha256| hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
        Fingerprints { now: digits(self.hash), content_only: self.content_only.map(digits) }
    }
}

/// A length before each part keeps ("ab", "c") and ("a", "bc") apart.
fn part(hash: &mut Sha256, bytes: impl AsRef<[u8]>) {
    let bytes = bytes.as_ref();
    hash.update((bytes.len() as u64).to_le_bytes());
    hash.update(bytes);
}

/// The parts of all that a conversation says.
fn said(conversation: &Conversation, part: &mut impl FnMut(&str)) {
    for message in &conversation.messages {
        part(&message.role);
        part(&message.content);
        part(&message.weight.to_string());
        part(&message.extra.len().to_string());
        for (key, value) in &message.extra {
            part(key);
            part(&value.to_string());
        }
    }
    part("tools");
    part(&conversation.tools.as_ref().map_or(String::new(), ToString::to_string));
}

/// 128 bits of SHA-256 over everything that a row means; equal rows may be spelled differently in their files.
pub(super) fn meaning(row: &Row) -> u128 {
    let mut hash = Sha256::new();
    let mut part = |text: &str| part(&mut hash, text);
    match row {
        Row::Document(text) => part(text),
        Row::Conversation(conversation) => said(conversation, &mut part),
        Row::Preference(pair) => pair.conversations().iter().for_each(|side| said(side, &mut part)),
    }
    let digest = hash.finalize();
    digest.iter().take(16).fold(0, |number, byte| (number << 8) | u128::from(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::dataset::tests::{open, skipping};
    use crate::text::parse_row;
    use serde_json::json;

    #[test]
    fn meanings_are_told_apart_not_spellings() {
        let mark = |json: serde_json::Value| meaning(&parse_row(&json).unwrap().row);
        let pair = mark(json!({"user": "ab", "assistant": "c"}));
        assert_eq!(pair, mark(json!({"q": "ab", "a": "c"})));
        for other in [
            json!({"user": "a", "assistant": "bc"}),
            json!({"text": "abc"}),
            json!({"user": "ab", "assistant": "c", "tools": [{}]}),
            json!([{"role": "user", "content": "ab", "name": "x"}, {"role": "assistant", "content": "c"}]),
            json!([{"role": "user", "content": "ab"}, {"role": "assistant", "content": "c", "weight": 0}]),
        ] {
            assert_ne!(pair, mark(other.clone()), "{other}");
        }
        // SHA-256 of the length 3 in eight bytes and "abc", its first 16 bytes.
        let expected = Sha256::digest(b"\x03\0\0\0\0\0\0\0abc");
        assert_eq!(mark(json!({"text": "abc"})).to_be_bytes(), expected[..16]);
    }

    #[test]
    fn a_fingerprint_knows_the_rows_and_not_where_they_lie() {
        let of = |files: &[(&str, &str)], options: DataOptions| open(files, options).unwrap().fingerprint();
        let plain = DataOptions::default;
        let rows = "{\"text\": \"a\"}\n{\"text\": \"b\"}\n";
        let whole = of(&[("a.jsonl", rows)], plain());
        assert_eq!(whole.len(), 64);
        for files in [
            &[("other/b.jsonl", "{\"text\": \"a\"}\r\n\r\n{\"text\": \"b\"}")][..],
            &[("1.jsonl", "{\"text\": \"a\"}\n"), ("2.jsonl", "{\"text\": \"b\"}")],
            &[("a.json", "[{\"text\": \"a\"}, {\"text\": \"b\"}]")],
            &[("a.jsonl", "{\"text\": \"a\"}\nbad\n{\"text\": \"b\"}")],
        ] {
            assert_eq!(of(files, skipping()), whole, "{files:?}");
        }
        let swapped = of(&[("a.jsonl", "{\"text\": \"b\"}\n{\"text\": \"a\"}\n")], plain());
        let first = of(&[("a.jsonl", rows)], DataOptions { limit: Some(1), ..plain() });
        let column = DataOptions { text_column: Some("text".into()), ..plain() };
        let named = of(&[("a.jsonl", rows)], column);
        let csv = |header: &str| of(&[("a.csv", &format!("{header}\na,b\n"))], plain());
        let turns = [Turns::Joined, Turns::Rendered];
        let [joined, rendered] =
            turns.map(|turns| of(&[("a.jsonl", rows)], DataOptions { turns, ..plain() }));
        let csvs = [csv("user,assistant"), csv("assistant,user")];
        let prints = [vec![whole, swapped, first, named, joined, rendered], csvs.to_vec()].concat();
        let different: std::collections::BTreeSet<&String> = prints.iter().collect();
        assert_eq!(different.len(), prints.len());
    }

    #[test]
    fn joined_turns_know_what_they_were_without_reasoning_under_other_keys() {
        let of = |rows: &str, turns: Turns| {
            open(&[("a.jsonl", rows)], DataOptions { turns, ..DataOptions::default() }).unwrap()
        };
        let row = |key: &str| {
            let answer = json!({"role": "assistant", "content": "a", key: "r"});
            json!({"messages": [{"role": "user", "content": "q"}, answer]}).to_string() + "\n"
        };
        let plain = row("reasoning_content");
        let data = of(&(plain.clone() + &row("thinking")), Turns::Joined);
        let before = data.content_only_fingerprint().unwrap();
        assert!(before.len() == 64 && before != data.fingerprint());
        // SHA-256 of the empty column, the code 1 and the two rows, each behind its length.
        let mut expected = Sha256::new();
        part(&mut expected, "");
        part(&mut expected, [1]);
        for row in [&plain, &row("thinking")] {
            part(&mut expected, row.trim_ascii());
        }
        let expected: String = expected.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(before, expected);
        let found = data.first_joined_of_other_keys().unwrap().unwrap();
        assert_eq!((found.source.as_str(), found.line), ("a.jsonl", 2));
        assert_eq!(of(&plain, Turns::Joined).first_joined_of_other_keys().unwrap(), None);
        assert_eq!(of(&plain, Turns::Rendered).content_only_fingerprint(), None);
    }

    #[test]
    fn the_spaces_of_plain_text_count() {
        let of = |text: &str| open(&[("a.txt", text)], DataOptions::default()).unwrap().fingerprint();
        assert_ne!(of("a\n"), of("a"));
        assert_eq!(of("a\n"), of("a\n"));
    }
}
