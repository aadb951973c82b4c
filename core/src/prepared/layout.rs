//! Where things stand in a shard: a head, a table of rows, a table of examples, tokens, weights, and a checksum over all
//! of it. Numbers are little-endian.

use crate::told::{Told, told};

/// The first bytes of a shard.
pub(super) const MAGIC: [u8; 8] = *b"KINDLSHD";
/// Bytes of the head, of a row, of an example, of a run of equal weights, and of the SHA-256 at the end.
pub(super) const HEAD: u64 = 48;
pub(super) const ROW: u64 = 16;
pub(super) const EXAMPLE: u64 = 24;
pub(super) const SPAN: u64 = 8;
pub(super) const CHECKSUM: u64 = 32;
const VERSION: u32 = 1;

/// How much of everything a shard holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Layout {
    /// Bytes a token: 2 or 4.
    pub(super) width: u32,
    /// Examples a row.
    pub(super) group: u32,
    pub(super) rows: u64,
    pub(super) tokens: u64,
    /// Runs of equal weights.
    pub(super) spans: u64,
}

impl Layout {
    /// The head.
    pub(super) fn head(&self) -> Vec<u8> {
        let mut head = MAGIC.to_vec();
        [VERSION, self.width, self.group, 0].iter().for_each(|number| head.extend(number.to_le_bytes()));
        [self.rows, self.tokens, self.spans].iter().for_each(|number| head.extend(number.to_le_bytes()));
        head
    }

    /// Reads the head of a shard of `len` bytes.
    ///
    /// # Errors
    /// What is no shard, of a later version, or longer or shorter than its head says.
    pub(super) fn read(head: &[u8], len: u64) -> Result<Self, Told> {
        if head.len() < HEAD as usize || head[..8] != MAGIC {
            return Err(told!("prepared.no_shard", "this is no shard of prepared data"));
        }
        let short = |at: usize| u32::from_le_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
        let long = |at: usize| u64::from(short(at)) | (u64::from(short(at + 4)) << 32);
        let (version, width, group) = (short(8), short(12), short(16));
        if version != VERSION {
            return Err(told!(
                "prepared.shard_version",
                "the shard has version {version}, and {own} is read; prepare the data again",
                version,
                own = VERSION
            ));
        }
        let layout = Self { width, group, rows: long(24), tokens: long(32), spans: long(40) };
        if ![2, 4].contains(&width) || !(1..=2).contains(&group) {
            return Err(told!(
                "prepared.widths",
                "the shard is damaged: {width} bytes a token and {group} examples a row",
                width,
                group
            ));
        }
        match layout.len() {
            Some(whole) if whole == len => Ok(layout),
            Some(whole) => Err(told!(
                "prepared.length",
                "the shard is damaged: it has {len} bytes, and {whole} by its head; prepare it again",
                len,
                whole
            )),
            None => Err(told!(
                "prepared.too_long",
                "the shard is damaged: its head asks for more than there can be; prepare it again"
            )),
        }
    }

    /// Bytes of the whole shard; `None` for more than there can be.
    pub(super) fn len(&self) -> Option<u64> {
        let examples = self.rows.checked_mul(u64::from(self.group))?;
        let parts =
            [(self.rows, ROW), (examples, EXAMPLE), (self.tokens, u64::from(self.width)), (self.spans, SPAN)];
        let sum = |sum: u64, (count, size): (u64, u64)| sum.checked_add(count.checked_mul(size)?);
        parts.into_iter().try_fold(HEAD + CHECKSUM, sum)
    }

    /// Where the examples, the tokens and the weights begin.
    pub(super) fn examples_at(&self) -> u64 {
        HEAD + self.rows * ROW
    }

    pub(super) fn tokens_at(&self) -> u64 {
        self.examples_at() + self.rows * u64::from(self.group) * EXAMPLE
    }

    pub(super) fn spans_at(&self) -> u64 {
        self.tokens_at() + self.tokens * u64::from(self.width)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_read_as_written_and_its_sizes_are_held_against_the_file() {
        let layout = Layout { width: 2, group: 1, rows: 3, tokens: 10, spans: 4 };
        // 48 + 3 · 16 + 3 · 24 + 10 · 2 + 4 · 8 + 32.
        assert_eq!(layout.len(), Some(252));
        assert_eq!((layout.examples_at(), layout.tokens_at(), layout.spans_at()), (96, 168, 188));
        let head = layout.head();
        assert_eq!(head.len() as u64, HEAD);
        assert_eq!(Layout::read(&head, 252), Ok(layout));
        let refusal = |head: &[u8], len: u64| Layout::read(head, len).unwrap_err().to_string();
        assert!(refusal(&head, 251).contains("it has 251 bytes, and 252 by its head"));
        assert!(refusal(&head[..47], 252).contains("no shard"));
        assert!(
            refusal(b"something else that is long enough to hold a head of one", 252).contains("no shard")
        );
        let with = |at: usize, byte: u8| [&head[..at], &[byte], &head[at + 1..]].concat();
        assert!(refusal(&with(8, 2), 252).contains("version 2"));
        assert!(refusal(&with(12, 3), 252).contains("3 bytes a token"));
        assert!(refusal(&with(16, 0), 252).contains("0 examples a row"));
        assert!(refusal(&with(31, 0xFF), 252).contains("more than there can be"));
    }
}
