//! Rows into examples: documents become text and an end token, conversations go through the template.

use std::sync::Arc;

use super::Example;
use crate::data::RowOrigin;
use crate::error::{Error, Result};
use crate::text::{Conversation, Message, Row};
use crate::tokenizer::{Tokenizer, cut_text};

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
    /// Bytes of a conversation that are read; what lies behind can never be within the longest row.
    most_bytes: usize,
}

impl Encoder {
    /// An encoder for one kind of content.
    pub fn new(tokenizer: Arc<Tokenizer>, content: Content) -> Self {
        Self { tokenizer, content, most_bytes: usize::MAX }
    }

    /// The same, for rows of at most `tokens` tokens: of a longer conversation only as much is read as could
    /// fill them with the longest tokens there are.
    pub fn for_rows_of(mut self, tokens: usize) -> Self {
        let ids = 0..self.tokenizer.vocab_size() as u32;
        let longest = ids.map(|id| self.tokenizer.token_bytes(id).len()).max().unwrap_or(1);
        self.most_bytes = (tokens + 1).saturating_mul(longest.max(1));
        self
    }

    /// The beginning of a conversation, `None` where all of it is short enough.
    fn beginning(&self, conversation: &Conversation) -> Option<Conversation> {
        let mut left = self.most_bytes;
        if conversation.messages.iter().map(|message| message.content.len()).sum::<usize>() <= left {
            return None;
        }
        let mut short = conversation.clone();
        short.messages.clear();
        for message in &conversation.messages {
            let end = message.content.floor_char_boundary(left);
            left -= end;
            let content = message.content[..end].to_string();
            short.messages.push(Message { content, ..message.clone() });
            if end < message.content.len() {
                break;
            }
        }
        Some(short)
    }

    /// One row's example.
    ///
    /// # Errors
    /// A row of the wrong kind, or one that the tokenizer or the template refuses; both with file and line.
    pub fn encode(&self, row: &Row, origin: RowOrigin) -> Result<Example> {
        let encoded = match (self.content, row) {
            (Content::Documents, Row::Document(text)) => self.document(text),
            (Content::Conversations, Row::Conversation(conversation)) => {
                let short = self.beginning(conversation);
                let rendered = self.tokenizer.render_training(short.as_ref().unwrap_or(conversation));
                rendered.map(|rendered| (rendered.ids, rendered.mask))
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
        let (ids, mask) = encoded.map_err(|e| Error::Data(format!("{origin}: {e}")))?;
        Ok(Example { ids, mask, origin })
    }

    /// The text's tokens and the token that ends a document; all are targets.
    fn document(&self, text: &str) -> Result<(Vec<u32>, Vec<bool>)> {
        let mut ids = Vec::new();
        for (i, piece) in cut_text(text).enumerate() {
            let tokens = match i {
                0 => self.tokenizer.encode_document(piece)?,
                _ => self.tokenizer.encode(piece)?,
            };
            ids.extend(tokens);
        }
        ids.extend(self.tokenizer.document_end());
        let mask = vec![true; ids.len()];
        Ok((ids, mask))
    }
}
