//! Writing a shard: rows are added one by one, its bytes come at the end.

use sha2::{Digest, Sha256};

use super::layout::Layout;
use crate::data::{TokenExample, TokenRow};
use crate::error::{Error, Result};
use crate::tokenizer::RenderWarning;
use crate::told::told;

/// A row of which nothing can be used.
pub(super) const UNUSABLE: u32 = 1;

/// A shard in the making, in memory.
pub(super) struct ShardWriter {
    layout: Layout,
    rows: Vec<u8>,
    examples: Vec<u8>,
    tokens: Vec<u8>,
    spans: Vec<u8>,
}

impl ShardWriter {
    /// An empty shard of tokens of `width` bytes (2 or 4), with `group` examples a row.
    pub(super) fn new(width: u32, group: u32) -> Self {
        let layout = Layout { width, group, rows: 0, tokens: 0, spans: 0 };
        Self { layout, rows: Vec::new(), examples: Vec::new(), tokens: Vec::new(), spans: Vec::new() }
    }

    /// Adds a row; `source` is the number of its file.
    ///
    /// # Errors
    /// A token that the width does not hold.
    pub(super) fn push(&mut self, row: &TokenRow, source: u32) -> Result<()> {
        let flags = if row.examples.is_empty() { UNUSABLE } else { 0 };
        self.rows.extend(row.origin.line.to_le_bytes());
        self.rows.extend(source.to_le_bytes());
        self.rows.extend(flags.to_le_bytes());
        self.layout.rows += 1;
        let nothing = TokenExample { ids: Vec::new(), weights: Vec::new(), warnings: Vec::new() };
        for number in 0..self.layout.group as usize {
            self.push_example(row.examples.get(number).unwrap_or(&nothing))?;
        }
        Ok(())
    }

    fn push_example(&mut self, example: &TokenExample) -> Result<()> {
        for &id in &example.ids {
            match (self.layout.width, u16::try_from(id)) {
                (2, Ok(id)) => self.tokens.extend(id.to_le_bytes()),
                (2, Err(_)) => {
                    return Err(Error::Data(told!(
                        "prepared.wide_token",
                        "the token {id} does not fit the 16 bits of a shard",
                        id
                    )));
                }
                _ => self.tokens.extend(id.to_le_bytes()),
            }
        }
        self.layout.tokens += example.ids.len() as u64;
        for run in example.weights.chunk_by(|a, b| a.to_bits() == b.to_bits()) {
            self.spans.extend((run.len() as u32).to_le_bytes());
            self.spans.extend(run[0].to_le_bytes());
            self.layout.spans += 1;
        }
        let warnings = example.warnings.iter().fold(0u32, |bits, &warning| bits | bit(warning));
        self.examples.extend(self.layout.tokens.to_le_bytes());
        self.examples.extend(self.layout.spans.to_le_bytes());
        self.examples.extend(warnings.to_le_bytes());
        self.examples.extend(0u32.to_le_bytes());
        Ok(())
    }

    /// Tokens so far.
    pub(super) fn tokens(&self) -> u64 {
        self.layout.tokens
    }

    /// The whole shard.
    pub(super) fn finish(self) -> Vec<u8> {
        let mut bytes = self.layout.head();
        [self.rows, self.examples, self.tokens, self.spans].iter().for_each(|part| bytes.extend(part));
        let checksum = Sha256::digest(&bytes);
        bytes.extend_from_slice(&checksum);
        bytes
    }
}

/// The bit of a warning in a shard.
pub(super) fn bit(warning: RenderWarning) -> u32 {
    1 << (warning as u32)
}
