//! Flat token files: ids one behind the other and nothing else, as nanoGPT and MiniMind's first version write them.

use std::sync::Arc;

use super::shard::{damaged, read};
use crate::data::{RowOrigin, Source, TokenExample, TokenRow, TokenRows};
use crate::error::Result;
use crate::told::{Counted, told};

/// How the numbers of a flat file are written, in little-endian order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FlatType {
    /// `uint16`.
    U16,
    /// `uint32`.
    U32,
}

impl FlatType {
    /// Bytes a token.
    pub fn width(self) -> u64 {
        match self {
            Self::U16 => 2,
            Self::U32 => 4,
        }
    }
}

/// Rows cut out of a flat file: each has `seq + 1` tokens and begins with the last one of the row before, so that every
/// token but the first is a target once.
pub struct FlatTokens {
    source: Arc<dyn Source>,
    of: FlatType,
    seq: u64,
    tokens: u64,
}

impl FlatTokens {
    /// Takes a file for tokens, in rows of `seq` targets.
    ///
    /// # Errors
    /// A file that does not end with a token, or holds fewer than two.
    pub fn open(source: Arc<dyn Source>, of: FlatType, seq: u64) -> Result<Self> {
        let (len, width) = (source.len(), of.width());
        if len % width != 0 {
            let why = told!(
                "prepared.part_of_token",
                "the file has {len} bytes, which are no whole tokens of {width}; it is damaged, or of another type",
                len,
                width
            );
            return Err(damaged(source.name(), why));
        }
        let tokens = len / width;
        if tokens < 2 {
            let why = told!(
                "prepared.few_tokens",
                "the file holds {tokens}; at least 2 are needed",
                tokens = Counted::new(tokens, ["token", "tokens"])
            );
            return Err(damaged(source.name(), why));
        }
        Ok(Self { source, of, seq: seq.max(1), tokens })
    }

    /// Tokens in the file.
    pub fn tokens(&self) -> u64 {
        self.tokens
    }
}

impl TokenRows for FlatTokens {
    fn rows(&self) -> u64 {
        (self.tokens - 1).div_ceil(self.seq)
    }

    fn row(&self, row: u64) -> Result<TokenRow> {
        let name = self.source.name();
        let first = row.saturating_mul(self.seq);
        if first >= self.tokens - 1 {
            return Err(damaged(name, told!("prepared.no_row", "row {row} is behind the last one", row)));
        }
        let (count, width) = ((self.tokens - first).min(self.seq + 1), self.of.width());
        let mut bytes = vec![0; (count * width) as usize];
        read(&*self.source, first * width, &mut bytes)?;
        let ids: Vec<u32> = match self.of {
            FlatType::U16 => {
                bytes.chunks_exact(2).map(|two| u16::from_le_bytes([two[0], two[1]]).into()).collect()
            }
            FlatType::U32 => bytes
                .chunks_exact(4)
                .map(|four| u32::from_le_bytes([four[0], four[1], four[2], four[3]]))
                .collect(),
        };
        let weights = vec![1.0; ids.len()];
        let origin = RowOrigin { source: name.to_string(), line: row + 1 };
        Ok(TokenRow { examples: vec![TokenExample { ids, weights, warnings: Vec::new() }], origin })
    }
}

/// The bytes of tokens in a flat file, or the first token that the type does not hold.
pub fn flat_tokens(ids: &[u32], of: FlatType) -> std::result::Result<Vec<u8>, u32> {
    let bytes = |&id: &u32| match of {
        FlatType::U16 => u16::try_from(id).map(|id| id.to_le_bytes().to_vec()).map_err(|_| id),
        FlatType::U32 => Ok(id.to_le_bytes().to_vec()),
    };
    Ok(ids.iter().map(bytes).collect::<std::result::Result<Vec<_>, u32>>()?.concat())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::Memory;

    fn open(bytes: Vec<u8>, of: FlatType, seq: u64) -> Result<FlatTokens> {
        FlatTokens::open(Arc::new(Memory::new("x.bin", bytes)), of, seq)
    }

    #[test]
    fn every_token_but_the_first_is_a_target_once() {
        let ids: Vec<u32> = (0..11).map(|i| 6000 * i).collect();
        for of in [FlatType::U16, FlatType::U32] {
            let ids = if of == FlatType::U16 { &ids[..10] } else { &ids };
            let flat = open(flat_tokens(ids, of).unwrap(), of, 4).unwrap();
            assert_eq!((flat.rows(), flat.tokens()), (3, ids.len() as u64));
            let rows: Vec<Vec<u32>> =
                (0..3).map(|row| flat.row(row).unwrap().examples[0].ids.clone()).collect();
            assert_eq!(rows[0], ids[..5]);
            assert_eq!(rows[1], ids[4..9]);
            assert_eq!(rows[2], ids[8..]);
            assert!(flat.row(3).is_err() && flat.row(u64::MAX).is_err());
            assert_eq!(flat.row(1).unwrap().origin.to_string(), "x.bin:2");
        }
        assert_eq!(flat_tokens(&[1, 65_536], FlatType::U16), Err(65_536));
        // 9 tokens are two full rows of 4 targets, and no third.
        assert_eq!(open(vec![0; 18], FlatType::U16, 4).unwrap().rows(), 2);
    }

    #[test]
    fn what_is_no_file_of_tokens_is_refused() {
        let refusal = |len: usize, of: FlatType| {
            open(vec![0; len], of, 4).err().map_or(String::new(), |e| e.to_string())
        };
        assert!(
            refusal(5, FlatType::U16)
                .starts_with("x.bin: the file has 5 bytes, which are no whole tokens of 2")
        );
        assert!(refusal(6, FlatType::U32).contains("no whole tokens of 4"));
        assert!(refusal(2, FlatType::U16).contains("holds 1 token;"));
    }
}
