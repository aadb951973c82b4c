//! Datasets of tokens, and several of them as one.

use std::sync::Arc;

use sha2::{Digest, Sha256};

use super::dataset::{Dataset, IndexUse};
use super::fingerprint::Fingerprints;
use super::index::{RowIndex, RowSet};
use super::mix::{Mix, SourceShare};
use super::options::Turns;
use super::report::DataReport;
use super::rows::Rows;
use super::tokens::{TokenRow, TokenRows, TokenTies};
use crate::error::{Error, Result};
use crate::told::{Told, told};

/// A dataset of tokens, and what was known of their rows.
pub struct TokenData {
    /// The tokens.
    pub rows: Arc<dyn TokenRows>,
    /// What was counted when the rows were read.
    pub report: DataReport,
    /// What the rows are, as [`Dataset::fingerprint`] says.
    pub fingerprint: String,
    /// Whether rows that could not be used were left out.
    pub skip_bad_rows: bool,
    /// What became of conversations.
    pub turns: Turns,
    /// The shares of their sources, where they have any.
    pub mix: Option<Mix>,
}

impl Dataset {
    /// Rows that are tokens already.
    pub fn of_tokens(data: TokenData) -> Self {
        let TokenData { rows: tokens, report, fingerprint, skip_bad_rows, turns, mix } = data;
        let rows = Rows::new(Vec::new(), RowIndex::new(), RowSet::default(), Vec::new());
        let fingerprints = Fingerprints { now: fingerprint, content_only: None };
        let index_use = IndexUse::default();
        Self { rows, report, fingerprints, skip_bad_rows, turns, index_use, mix, tokens: Some(tokens) }
    }

    /// The rows of several datasets of tokens, one behind the other, with a share each where there are any.
    ///
    /// # Errors
    /// Rows among them, tokens that were made in different ways or have shares already; shares that do not hold.
    pub fn join_tokens(parts: Vec<Self>, shares: &[SourceShare]) -> Result<Self> {
        let mut mix = Mix::of(shares)?;
        let (mut joined, mut report, mut hash) = (Joined::default(), DataReport::default(), Sha256::new());
        let (mut skip_bad_rows, mut turns) = (false, Turns::Refused);
        for (number, part) in parts.into_iter().enumerate() {
            let rows = part.len();
            joined.add(&part)?;
            report.add(&part.report);
            hash.update(&part.fingerprints.now);
            skip_bad_rows |= part.skip_bad_rows;
            if number > 0 && turns != part.turns {
                return Err(together(told!(
                    "tokens.turns",
                    "the conversations of one became texts, and those of another did not"
                )));
            }
            turns = part.turns;
            if let Some(source) = mix.as_mut().and_then(|mix| mix.sources.get_mut(number)) {
                source.rows = rows;
            }
        }
        mix.iter().try_for_each(Mix::check)?;
        let rows = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        let fingerprint = mix.as_ref().map_or(rows.clone(), |mix| mix.fingerprint(&rows));
        let rows = Arc::new(joined);
        Ok(Self::of_tokens(TokenData { rows, report, fingerprint, skip_bad_rows, turns, mix }))
    }

    /// Its rows, where they are tokens already.
    pub fn tokens(&self) -> Option<&Arc<dyn TokenRows>> {
        self.tokens.as_ref()
    }

    /// The names of its files, in their order.
    pub fn file_names(&self) -> Vec<String> {
        self.rows.file_names()
    }
}

fn together(why: Told) -> Error {
    Error::Config(vec![told!(
        "tokens.apart",
        "the tokens of several --data do not go together: {why}; prepare them alike",
        why
    )])
}

/// Tokens of several sources, one behind the other.
#[derive(Default)]
struct Joined {
    /// Each with the number behind its last row.
    parts: Vec<(u64, Arc<dyn TokenRows>)>,
    ties: Option<TokenTies>,
}

impl Joined {
    fn add(&mut self, part: &Dataset) -> Result<()> {
        let Some(tokens) = part.tokens() else { return Err(together(told!("tokens.rows", "some are rows"))) };
        if part.mix.is_some() {
            return Err(together(told!("tokens.mixed", "one is a mix already, whose shares would be lost")));
        }
        if self.parts.is_empty() {
            self.ties = tokens.ties().cloned();
        }
        match (&mut self.ties, tokens.ties()) {
            (None, None) => {}
            (Some(ties), Some(other)) => {
                // The shorter rows are the length of all.
                let length = ties.max_seq_len.min(other.max_seq_len);
                let with = |ties: &TokenTies| TokenTies { max_seq_len: length, ..ties.clone() };
                if with(ties) != with(other) {
                    return Err(together(told!(
                        "tokens.made_otherwise",
                        "they were made for another stage, tokenizer, template, day, prompt length or tags"
                    )));
                }
                ties.max_seq_len = length;
            }
            _ => return Err(together(told!("tokens.unknown", "of some it is not known how they were made"))),
        }
        let behind = self.rows() + tokens.rows();
        self.parts.push((behind, Arc::clone(tokens)));
        Ok(())
    }
}

impl TokenRows for Joined {
    fn rows(&self) -> u64 {
        self.parts.last().map_or(0, |(behind, _)| *behind)
    }

    fn row(&self, row: u64) -> Result<TokenRow> {
        let number = self.parts.partition_point(|(behind, _)| *behind <= row);
        let before =
            number.checked_sub(1).and_then(|before| self.parts.get(before)).map_or(0, |(behind, _)| *behind);
        match self.parts.get(number) {
            Some((_, part)) => part.row(row - before),
            None => Err(Error::Data(told!("prepared.no_row", "row {row} is behind the last one", row))),
        }
    }

    fn ties(&self) -> Option<&TokenTies> {
        self.ties.as_ref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{RowOrigin, TokenExample};

    /// Rows of one token: the number of the source and that of the row.
    struct Numbered(u32, u64, Option<TokenTies>);

    impl TokenRows for Numbered {
        fn rows(&self) -> u64 {
            self.1
        }

        fn row(&self, row: u64) -> Result<TokenRow> {
            let example =
                TokenExample { ids: vec![self.0, row as u32], weights: vec![1.0; 2], warnings: Vec::new() };
            Ok(TokenRow { examples: vec![example], origin: RowOrigin { source: "a".into(), line: row + 1 } })
        }

        fn ties(&self) -> Option<&TokenTies> {
            self.2.as_ref()
        }
    }

    fn ties(max_seq_len: usize, tokenizer: &str) -> Option<TokenTies> {
        Some(TokenTies {
            content: "documents".into(),
            tokenizer: tokenizer.into(),
            template: None,
            date: None,
            max_seq_len,
            max_prompt_len: 0,
            tags: None,
        })
    }

    fn data(source: u32, rows: u64, ties: Option<TokenTies>) -> Dataset {
        let report = DataReport { rows, usable: rows, documents: rows, ..DataReport::default() };
        Dataset::of_tokens(TokenData {
            rows: Arc::new(Numbered(source, rows, ties)),
            report,
            fingerprint: format!("{source}"),
            skip_bad_rows: false,
            turns: Turns::Refused,
            mix: None,
        })
    }

    #[test]
    fn sources_of_tokens_follow_each_other_and_have_shares() {
        let parts = || vec![data(1, 2, ties(8, "t")), data(2, 3, ties(6, "t"))];
        let joined = Dataset::join_tokens(parts(), &[]).unwrap();
        let ids = |row: u64| joined.tokens().unwrap().row(row).unwrap().examples[0].ids.clone();
        assert_eq!((0..5).map(ids).collect::<Vec<_>>(), [[1, 0], [1, 1], [2, 0], [2, 1], [2, 2]]);
        assert!(joined.tokens().unwrap().row(5).is_err());
        assert_eq!((joined.len(), joined.report().documents, joined.mix()), (5, 5, None));
        assert_eq!(joined.tokens().unwrap().ties(), ties(6, "t").as_ref());
        let share = |name: &str, share: f64| SourceShare { name: name.into(), share, files: 1 };
        let mixed = Dataset::join_tokens(parts(), &[share("a", 0.5), share("b", 0.5)]).unwrap();
        let rows: Vec<u64> = mixed.mix().unwrap().sources.iter().map(|source| source.rows).collect();
        assert_eq!(rows, [2, 3]);
        assert_ne!(mixed.fingerprint(), joined.fingerprint());
        let refusal = |parts: Vec<Dataset>| {
            Dataset::join_tokens(parts, &[]).err().map_or(String::new(), |e| e.to_string())
        };
        assert!(
            refusal(vec![data(1, 2, ties(8, "t")), data(2, 3, ties(8, "u"))])
                .contains("another stage, tokenizer")
        );
        assert!(refusal(vec![data(1, 2, None), data(2, 3, ties(8, "u"))]).contains("not known how"));
        assert!(refusal(vec![mixed, data(2, 3, ties(8, "t"))]).contains("a mix already"));
        assert_eq!(refusal(vec![data(1, 2, None), data(2, 3, None)]), "");
    }
}
