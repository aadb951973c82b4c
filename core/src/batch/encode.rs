//! Rows into examples: documents become text and an end token, conversations go through the template.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::Example;
use crate::data::{RowOrigin, WarningCount};
use crate::error::{Error, Result};
use crate::text::Row;
use crate::tokenizer::{RenderWarning, Tokenizer, cut_text};

/// What a stage trains on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Content {
    /// Every token of a text is a target.
    Documents,
    /// The assistant's tokens are targets.
    Conversations,
}

/// Turns rows into examples.
#[derive(Clone)]
pub struct Encoder {
    tokenizer: Arc<Tokenizer>,
    content: Content,
    /// Tokens of a conversation that are enough.
    tokens: usize,
}

impl Encoder {
    /// An encoder for one kind of content.
    pub fn new(tokenizer: Arc<Tokenizer>, content: Content) -> Self {
        Self { tokenizer, content, tokens: usize::MAX }
    }

    /// The same, for rows of at most `tokens` tokens: a conversation is rendered whole, but of a longer one no more
    /// is tokenised than fills them, and shows that it is longer.
    pub fn for_rows_of(mut self, tokens: usize) -> Self {
        // A row has one token more, its last target.
        self.tokens = tokens.saturating_add(2);
        self
    }

    /// One row's example.
    ///
    /// # Errors
    /// A row of the wrong kind, or one that the tokenizer or the template refuses; both with file and line.
    pub fn encode(&self, row: &Row, origin: RowOrigin) -> Result<Example> {
        let encoded = match (self.content, row) {
            (Content::Documents, Row::Document(text)) => {
                self.document(text).map(|ids| (vec![1.0; ids.len()], ids, Vec::new()))
            }
            (Content::Conversations, Row::Conversation(conversation)) => {
                let rendered = self.tokenizer.render_beginning(conversation, self.tokens);
                rendered.map(|rendered| (rendered.weights, rendered.ids, rendered.warnings))
            }
            (Content::Documents, Row::Conversation(_)) => {
                return Err(Error::Data(format!(
                    "{origin}: a conversation, where pretraining reads texts; use `sft`, or rows with a \"text\" field"
                )));
            }
            (Content::Conversations, Row::Document(_)) => {
                return Err(Error::Data(format!(
                    "{origin}: a text, where fine-tuning reads conversations; use `pretrain`, or rows with \
                     \"conversations\", \"messages\" or a prompt and its answer"
                )));
            }
        };
        let (weights, ids, warnings) = encoded.map_err(|e| Error::Data(format!("{origin}: {e}")))?;
        Ok(Example { ids, weights, warnings, origin })
    }

    /// The text's tokens and the token that ends a document; all are targets.
    fn document(&self, text: &str) -> Result<Vec<u32>> {
        let mut ids = Vec::new();
        for (i, piece) in cut_text(text).enumerate() {
            let tokens = match i {
                0 => self.tokenizer.encode_document(piece)?,
                _ => self.tokenizer.encode(piece)?,
            };
            ids.extend(tokens);
        }
        ids.extend(self.tokenizer.document_end());
        Ok(ids)
    }
}

/// What is odd about examples, by kind: in how many rows, and where first.
pub type RenderWarnings = BTreeMap<RenderWarning, WarningCount>;

/// What a person should know of them, a sentence each; `number` writes a count.
pub fn render_remarks(counts: &RenderWarnings, number: impl Fn(u64) -> String) -> Vec<String> {
    let remark = |(kind, count): (&RenderWarning, &WarningCount)| {
        format!("{} rows: {kind} (the first: {})", number(count.rows), count.first)
    };
    counts.iter().map(remark).collect()
}

/// Counts what is odd about an example's row.
pub fn count_warnings(example: &Example, counts: &mut RenderWarnings) {
    for warning in &example.warnings {
        let none = || WarningCount { rows: 0, first: example.origin.to_string() };
        counts.entry(*warning).or_insert_with(none).rows += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn example(weights: &[f32]) -> Example {
        let origin = RowOrigin { source: "a".into(), line: 1 };
        let ids = (0..weights.len() as u32).collect();
        Example { ids, weights: weights.to_vec(), warnings: vec![RenderWarning::TextLeftOut], origin }
    }

    #[test]
    fn warnings_are_counted_with_their_first_place() {
        let mut counts = RenderWarnings::new();
        (0..2).for_each(|_| count_warnings(&example(&[1.0]), &mut counts));
        let count = WarningCount { rows: 2, first: "a:1".into() };
        assert_eq!(counts, RenderWarnings::from([(RenderWarning::TextLeftOut, count)]));
    }
}
