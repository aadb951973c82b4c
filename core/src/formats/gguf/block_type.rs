//! How a tensor's values are stored: plain floats, or blocks of small numbers with scales.

use crate::error::{Error, Result};
use crate::told::{Told, told};

/// The block formats that are read. A row of a tensor is a whole number of blocks
/// (<https://github.com/ggml-org/llama.cpp/blob/master/ggml/src/ggml-common.h>).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BlockType {
    /// 32-bit floats.
    F32,
    /// 16-bit floats of IEEE 754.
    F16,
    /// The upper half of 32-bit floats.
    BF16,
    /// 4 bits: a scale for 32 values.
    Q4_0,
    /// 4 bits: a scale and a minimum for 32 values.
    Q4_1,
    /// 5 bits: a scale for 32 values.
    Q5_0,
    /// 5 bits: a scale and a minimum for 32 values.
    Q5_1,
    /// 8 bits: a scale for 32 values.
    Q8_0,
    /// 4 bits: 256 values, with a scale and a minimum of 6 bits for each 32.
    Q4K,
    /// 5 bits: 256 values, with a scale and a minimum of 6 bits for each 32.
    Q5K,
    /// 6 bits: 256 values, with a scale of 8 bits for each 16.
    Q6K,
}

/// Type, number in the format, name, values of a block, bytes of a block.
const TYPES: [(BlockType, u32, &str, usize, usize); 11] = [
    (BlockType::F32, 0, "F32", 1, 4),
    (BlockType::F16, 1, "F16", 1, 2),
    (BlockType::BF16, 30, "BF16", 1, 2),
    (BlockType::Q4_0, 2, "Q4_0", 32, 18),
    (BlockType::Q4_1, 3, "Q4_1", 32, 20),
    (BlockType::Q5_0, 6, "Q5_0", 32, 22),
    (BlockType::Q5_1, 7, "Q5_1", 32, 24),
    (BlockType::Q8_0, 8, "Q8_0", 32, 34),
    (BlockType::Q4K, 12, "Q4_K", 256, 144),
    (BlockType::Q5K, 13, "Q5_K", 256, 176),
    (BlockType::Q6K, 14, "Q6_K", 256, 210),
];

/// Formats that are refused, by name.
const UNREAD: [(u32, &str); 24] = [
    (9, "Q8_1"),
    (10, "Q2_K"),
    (11, "Q3_K"),
    (15, "Q8_K"),
    (16, "IQ2_XXS"),
    (17, "IQ2_XS"),
    (18, "IQ3_XXS"),
    (19, "IQ1_S"),
    (20, "IQ4_NL"),
    (21, "IQ3_S"),
    (22, "IQ2_S"),
    (23, "IQ4_XS"),
    (24, "I8"),
    (25, "I16"),
    (26, "I32"),
    (27, "I64"),
    (28, "F64"),
    (29, "IQ1_M"),
    (31, "Q4_0_4_4"),
    (34, "TQ1_0"),
    (35, "TQ2_0"),
    (39, "MXFP4"),
    (40, "NVFP4"),
    (41, "Q1_0"),
];

impl BlockType {
    /// The type of a number in the format; `tensor` is named where it is refused.
    ///
    /// # Errors
    /// A type that is not read, by name.
    pub fn from_id(id: u32, tensor: &str) -> Result<Self> {
        if let Some(row) = TYPES.iter().find(|row| row.1 == id) {
            return Ok(row.0);
        }
        let known = UNREAD.iter().find(|(unread, _)| *unread == id);
        let name = known.map_or_else(
            || told!("gguf.type_unknown", "an unknown type ({id})", id),
            |(_, name)| Told::from(*name),
        );
        let read: Vec<&str> = TYPES.iter().map(|row| row.2).collect();
        Err(Error::Checkpoint(told!(
            "gguf.type",
            "tensor '{tensor}' of the GGUF file is stored as {name}; {known} can be read: take the model in one of these",
            tensor,
            name,
            known = read.join(", ")
        )))
    }

    /// The number in the format.
    pub fn id(self) -> u32 {
        self.row().1
    }

    /// The name in ggml.
    pub fn name(self) -> &'static str {
        self.row().2
    }

    /// Values of a block.
    pub fn values(self) -> usize {
        self.row().3
    }

    /// Bytes of a block.
    pub fn bytes(self) -> usize {
        self.row().4
    }

    /// Bytes of a row of `width` values; `None` where that is no whole number of blocks, or too much.
    pub fn row_bytes(self, width: u64) -> Option<u64> {
        let (values, bytes) = (self.values() as u64, self.bytes() as u64);
        if width.is_multiple_of(values) { (width / values).checked_mul(bytes) } else { None }
    }

    fn row(self) -> &'static (Self, u32, &'static str, usize, usize) {
        // The table has every type, in the order of the enum.
        &TYPES[self as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_stands_in_the_order_of_the_enum() {
        for (i, row) in TYPES.iter().enumerate() {
            assert_eq!(row.0 as usize, i, "{}", row.2);
            assert_eq!(BlockType::from_id(row.1, "t").unwrap(), row.0);
        }
        assert_eq!(BlockType::Q6K.row_bytes(512), Some(420));
        assert_eq!(BlockType::Q6K.row_bytes(511), None);
        assert_eq!(BlockType::F32.row_bytes(u64::MAX), None);
    }

    #[test]
    fn other_types_are_refused_by_name() {
        let message = BlockType::from_id(39, "blk.0.ffn_up.weight").unwrap_err().to_string();
        assert!(message.contains("'blk.0.ffn_up.weight'") && message.contains("as MXFP4;"), "{message}");
        assert!(BlockType::from_id(99, "t").unwrap_err().to_string().contains("an unknown type (99)"));
    }
}
