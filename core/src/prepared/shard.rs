//! Reading a shard at any row.

use std::sync::Arc;

use sha2::{Digest, Sha256};

use super::layout::{CHECKSUM, EXAMPLE, HEAD, Layout, ROW, SPAN};
use super::writer::{UNUSABLE, bit};
use crate::data::{RowOrigin, Source, TokenExample, TokenRow};
use crate::error::{Error, Result};
use crate::tokenizer::RenderWarning;
use crate::told::{Told, told};

/// Bytes that are read at once where all of them are.
const BLOCK: usize = 1 << 20;

/// A shard whose bytes lie somewhere, such as in a memory map.
pub struct Shard {
    source: Arc<dyn Source>,
    layout: Layout,
}

impl Shard {
    /// Reads the head of a shard.
    ///
    /// # Errors
    /// What is no shard, or not whole.
    pub fn open(source: Arc<dyn Source>) -> Result<Self> {
        let mut head = vec![0; HEAD.min(source.len()) as usize];
        read(&*source, 0, &mut head)?;
        let layout = Layout::read(&head, source.len()).map_err(|why| damaged(source.name(), why))?;
        Ok(Self { source, layout })
    }

    /// Rows in it.
    pub fn rows(&self) -> u64 {
        self.layout.rows
    }

    /// Tokens in it.
    pub fn tokens(&self) -> u64 {
        self.layout.tokens
    }

    /// Examples a row.
    pub fn group(&self) -> u32 {
        self.layout.group
    }

    /// Reads all of it and gives its checksum in hexadecimal digits.
    ///
    /// # Errors
    /// Bytes that are not what was written; reading fails.
    pub fn verify(&self) -> Result<String> {
        let content = self.source.len() - CHECKSUM;
        let (mut hash, mut at, mut block) = (Sha256::new(), 0, vec![0u8; BLOCK]);
        while at < content {
            let count = (content - at).min(BLOCK as u64) as usize;
            read(&*self.source, at, &mut block[..count])?;
            hash.update(&block[..count]);
            at += count as u64;
        }
        let (found, mut kept) = (hash.finalize(), [0u8; CHECKSUM as usize]);
        read(&*self.source, content, &mut kept)?;
        match found[..] == kept[..] {
            true => Ok(found.iter().map(|byte| format!("{byte:02x}")).collect()),
            false => Err(damaged(
                self.source.name(),
                told!(
                    "prepared.checksum",
                    "the shard is damaged: its checksum is another than its bytes have; prepare it again"
                ),
            )),
        }
    }

    /// The row of this number; `sources` are the names of the files that rows come from.
    ///
    /// # Errors
    /// Reading fails, or the tables contradict themselves.
    pub fn row(&self, row: u64, sources: &[String]) -> Result<TokenRow> {
        if row >= self.layout.rows {
            return Err(self.torn(row));
        }
        let entry = self.bytes(HEAD + row * ROW, ROW as usize)?;
        let (line, source, flags) = (long(&entry, 0), short(&entry, 8), short(&entry, 12));
        let name = sources.get(source as usize).ok_or_else(|| self.torn(row))?;
        let origin = RowOrigin { source: name.clone(), line };
        if flags & UNUSABLE != 0 {
            return Ok(TokenRow { examples: Vec::new(), origin });
        }
        let group = u64::from(self.layout.group);
        let examples = (row * group..(row + 1) * group).map(|example| self.example(row, example));
        Ok(TokenRow { examples: examples.collect::<Result<_>>()?, origin })
    }

    fn example(&self, row: u64, example: u64) -> Result<TokenExample> {
        let [_, _, before_tokens, before_spans] = match example {
            0 => [0; 4],
            _ => self.ends(example - 1)?,
        };
        let [warnings, _, tokens, spans] = self.ends(example)?;
        if before_tokens > tokens
            || tokens > self.layout.tokens
            || before_spans > spans
            || spans > self.layout.spans
        {
            return Err(self.torn(row));
        }
        let width = self.layout.width as usize;
        let count = (tokens - before_tokens) as usize;
        let bytes = self.bytes(self.layout.tokens_at() + before_tokens * width as u64, count * width)?;
        let id = |token: &[u8]| match token {
            [low, high] => u32::from(u16::from_le_bytes([*low, *high])),
            token => short(token, 0),
        };
        let ids: Vec<u32> = bytes.chunks_exact(width).map(id).collect();
        let spans = self
            .bytes(self.layout.spans_at() + before_spans * SPAN, ((spans - before_spans) * SPAN) as usize)?;
        let mut weights = Vec::with_capacity(count);
        for span in spans.chunks_exact(SPAN as usize) {
            let (length, weight) = (short(span, 0) as usize, f32::from_bits(short(span, 4)));
            if length > count - weights.len() {
                return Err(self.torn(row));
            }
            weights.extend(std::iter::repeat_n(weight, length));
        }
        if weights.len() != ids.len() {
            return Err(self.torn(row));
        }
        let is_told = |warning: &RenderWarning| warnings & u64::from(bit(*warning)) != 0;
        let warnings = RenderWarning::ALL.into_iter().filter(is_told).collect();
        Ok(TokenExample { ids, weights, warnings })
    }

    /// The warnings of an example, and where its tokens and spans end.
    fn ends(&self, example: u64) -> Result<[u64; 4]> {
        let entry = self.bytes(self.layout.examples_at() + example * EXAMPLE, EXAMPLE as usize)?;
        Ok([u64::from(short(&entry, 16)), 0, long(&entry, 0), long(&entry, 8)])
    }

    fn bytes(&self, at: u64, count: usize) -> Result<Vec<u8>> {
        let mut bytes = vec![0; count];
        read(&*self.source, at, &mut bytes)?;
        Ok(bytes)
    }

    fn torn(&self, row: u64) -> Error {
        let why = told!("prepared.torn", "the shard is damaged at its row {row}; prepare it again", row);
        damaged(self.source.name(), why)
    }
}

fn short(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..at + 4).and_then(|four| four.try_into().ok()).map_or(0, u32::from_le_bytes)
}

fn long(bytes: &[u8], at: usize) -> u64 {
    u64::from(short(bytes, at)) | (u64::from(short(bytes, at + 4)) << 32)
}

pub(super) fn damaged(name: &str, why: Told) -> Error {
    Error::Data(told!("at", "{name}: {why}", name, why))
}

/// Fills the buffer from `offset` on.
///
/// # Errors
/// Reading fails, or the source ends before.
pub(super) fn read(source: &dyn Source, offset: u64, buffer: &mut [u8]) -> Result<()> {
    let mut filled = 0;
    while filled < buffer.len() {
        match source.read_at(offset + filled as u64, &mut buffer[filled..]) {
            Ok(0) => {
                let why = told!("prepared.shorter", "the file is shorter than when it was opened");
                return Err(damaged(source.name(), why));
            }
            Ok(count) => filled += count,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(Error::Io { path: source.name().to_string(), source: error }),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::writer::ShardWriter;
    use super::*;
    use crate::data::Memory;

    fn row(line: u64, examples: &[(&[u32], &[f32])]) -> TokenRow {
        let example = |(ids, weights): &(&[u32], &[f32])| TokenExample {
            ids: ids.to_vec(),
            weights: weights.to_vec(),
            warnings: vec![RenderWarning::ToolLeftOut, RenderWarning::PromptCut],
        };
        let origin = RowOrigin { source: if line < 3 { "a" } else { "b" }.into(), line };
        TokenRow { examples: examples.iter().map(example).collect(), origin }
    }

    fn rows() -> Vec<TokenRow> {
        vec![
            row(1, &[(&[5, 65_535, 0, 7], &[0.0, 0.0, 1.0, 0.5])]),
            row(2, &[]),
            row(3, &[(&[9], &[1.0])]),
            row(9, &[(&[], &[])]),
        ]
    }

    fn written(width: u32, rows: &[TokenRow]) -> Vec<u8> {
        let mut writer = ShardWriter::new(width, 1);
        rows.iter().for_each(|row| writer.push(row, u32::from(row.origin.line > 2)).unwrap());
        assert_eq!(writer.tokens(), 5);
        writer.finish()
    }

    fn open(bytes: Vec<u8>) -> Result<Shard> {
        Shard::open(Arc::new(Memory::new("s.bin", bytes)))
    }

    #[test]
    fn rows_are_read_as_written_in_any_order() {
        let sources = ["a".to_string(), "b".to_string()];
        for width in [2, 4] {
            let shard = open(written(width, &rows())).unwrap();
            assert_eq!((shard.rows(), shard.tokens(), shard.group()), (4, 5, 1));
            assert_eq!(shard.verify().unwrap().len(), 64);
            for number in [3, 0, 2, 1] {
                assert_eq!(shard.row(number, &sources).unwrap(), rows()[number as usize], "{width} {number}");
            }
            assert!(shard.row(4, &sources).is_err());
            assert!(shard.row(3, &sources[..1]).is_err(), "a file that the index does not know");
        }
        let large = row(1, &[(&[65_536], &[1.0])]);
        assert!(ShardWriter::new(2, 1).push(&large, 0).unwrap_err().to_string().contains("16 bits"));
        assert!(ShardWriter::new(4, 1).push(&large, 0).is_ok());
    }

    #[test]
    fn both_examples_of_a_pair_are_kept() {
        let pair = row(1, &[(&[1, 2], &[0.0, 1.0]), (&[1, 3, 4], &[0.0, 1.0, 1.0])]);
        let mut writer = ShardWriter::new(2, 2);
        [&pair, &row(2, &[]), &pair].into_iter().for_each(|row| writer.push(row, 0).unwrap());
        let shard = open(writer.finish()).unwrap();
        let read = |number: u64| shard.row(number, &["a".to_string()]).unwrap();
        assert_eq!((read(0), read(1).examples.len(), read(2)), (pair.clone(), 0, pair));
    }

    #[test]
    fn damage_is_found_wherever_it_is_and_never_panics() {
        let whole = written(2, &rows());
        let sources = ["a".to_string(), "b".to_string()];
        for at in 0..whole.len() {
            let mut bytes = whole.clone();
            bytes[at] ^= 0xFF;
            let Ok(shard) = open(bytes) else { continue };
            let message = shard.verify().unwrap_err().to_string();
            assert!(message.starts_with("s.bin: the shard is damaged: its checksum"), "{at}: {message}");
            // Without a look at the checksum, too, what is read is an error or a row.
            (0..4).for_each(|row| drop(shard.row(row, &sources)));
        }
        for len in [0, 7, 48, whole.len() - 1] {
            assert!(open(whole[..len].to_vec()).is_err(), "{len}");
        }
    }
}
