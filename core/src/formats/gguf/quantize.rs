//! f32 into the stored types.

use half::{bf16, f16};

use super::BlockType;
use crate::error::{Error, Result};
use crate::kernels::{Quantization, encode_q4_0, encode_q8_0};
use crate::told::told;

/// What weights are stored as. Norms and other vectors stay F32, as llama.cpp has them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "cli", derive(clap::ValueEnum))]
pub enum WeightType {
    /// 32-bit floats: exact.
    F32,
    /// 16-bit floats.
    F16,
    /// The upper half of 32-bit floats.
    Bf16,
    /// 8 bits: 34 bytes for 32 weights.
    #[cfg_attr(feature = "cli", value(name = "q8_0"))]
    Q8_0,
    /// 4 bits: 18 bytes for 32 weights.
    #[cfg_attr(feature = "cli", value(name = "q4_0"))]
    Q4_0,
}

impl From<Quantization> for WeightType {
    fn from(bits: Quantization) -> Self {
        match bits {
            Quantization::Q8_0 => Self::Q8_0,
            Quantization::Q4_0 => Self::Q4_0,
        }
    }
}

impl WeightType {
    /// The type of a matrix.
    pub fn block_type(self) -> BlockType {
        match self {
            Self::F32 => BlockType::F32,
            Self::F16 => BlockType::F16,
            Self::Bf16 => BlockType::BF16,
            Self::Q8_0 => BlockType::Q8_0,
            Self::Q4_0 => BlockType::Q4_0,
        }
    }

    /// The number that llama.cpp gives a file of mostly this type (`general.file_type`).
    pub(super) fn file_type(self) -> u32 {
        match self {
            Self::F32 => 0,
            Self::F16 => 1,
            Self::Bf16 => 32,
            Self::Q8_0 => 7,
            Self::Q4_0 => 2,
        }
    }
}

/// Appends a row's blocks; `tensor` is named where the row is refused.
///
/// # Errors
/// A row that is no whole number of blocks, a type that is not written, values that the type cannot hold.
pub fn quantize(block_type: BlockType, row: &[f32], bytes: &mut Vec<u8>, tensor: &str) -> Result<()> {
    if block_type.row_bytes(row.len() as u64).is_none() {
        return Err(Error::Checkpoint(told!(
            "gguf.no_blocks",
            "tensor '{tensor}' has rows of {width} values, no whole blocks of {block}; store it as f16",
            tensor,
            width = row.len(),
            block = block_type.name()
        )));
    }
    let fits = match block_type {
        BlockType::F32 => {
            bytes.extend(row.iter().flat_map(|x| x.to_le_bytes()));
            true
        }
        BlockType::F16 => {
            bytes.extend(row.iter().flat_map(|&x| f16::from_f32(x).to_le_bytes()));
            row.iter().all(|&x| f16::from_f32(x).is_finite())
        }
        BlockType::BF16 => {
            bytes.extend(row.iter().flat_map(|&x| bf16::from_f32(x).to_le_bytes()));
            row.iter().all(|&x| bf16::from_f32(x).is_finite())
        }
        BlockType::Q8_0 => row.as_chunks().0.iter().all(|values| {
            let (scale, quants) = encode_q8_0(values);
            write_block(scale, quants.map(i8::cast_unsigned), values, bytes)
        }),
        BlockType::Q4_0 => row.as_chunks().0.iter().all(|values| {
            let (scale, quants) = encode_q4_0(values);
            write_block(scale, quants, values, bytes)
        }),
        other => {
            return Err(Error::Checkpoint(told!(
                "gguf.type_unwritten",
                "{name} is read but not written; write f32, f16, bf16, q8_0 or q4_0",
                name = other.name()
            )));
        }
    };
    if fits {
        return Ok(());
    }
    Err(Error::Checkpoint(told!(
        "gguf.value_large",
        "tensor '{tensor}' holds NaN, infinity or a value too large for {name}; f32 keeps any: this model may be broken",
        tensor,
        name = block_type.name()
    )))
}

/// Appends a block; whether its scale and every value is a number.
fn write_block(
    scale: f16,
    quants: impl IntoIterator<Item = u8>,
    values: &[f32],
    bytes: &mut Vec<u8>,
) -> bool {
    bytes.extend(scale.to_le_bytes());
    bytes.extend(quants);
    scale.is_finite() && values.iter().all(|x| x.is_finite())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Records of a type's number, a count of values, the values, and their blocks as the PyPI package `gguf`
    /// encodes them (tests/golden/gguf/make.py).
    const GOLDEN: &[u8] = include_bytes!("../../../../tests/golden/gguf/quantized.bin");

    #[test]
    fn every_type_is_written_as_ggml_does() {
        let (mut rest, mut seen) = (GOLDEN, 0);
        while let Some((head, after)) = rest.split_first_chunk::<8>() {
            let word = |at: usize| u32::from_le_bytes(head[at..at + 4].try_into().unwrap());
            let block_type = BlockType::from_id(word(0), "golden").unwrap();
            let (values, after) = after.split_at(word(4) as usize * 4);
            let values: Vec<f32> = values.as_chunks().0.iter().map(|&b| f32::from_le_bytes(b)).collect();
            let size = block_type.row_bytes(values.len() as u64).unwrap();
            let (expected, after) = after.split_at(size as usize);
            let mut bytes = Vec::new();
            quantize(block_type, &values, &mut bytes, "golden").unwrap();
            assert!(bytes == expected, "{}", block_type.name());
            (rest, seen) = (after, seen + 1);
        }
        assert_eq!(seen, 5);
    }

    #[test]
    fn what_a_type_cannot_hold_is_refused() {
        let refused = |block_type, value: f32| {
            let mut row = [0.5; 32];
            row[7] = value;
            quantize(block_type, &row, &mut Vec::new(), "w").err().map(|e| e.to_string())
        };
        assert_eq!(refused(BlockType::F32, f32::NAN), None);
        assert_eq!(refused(BlockType::Q8_0, 1e6), None);
        assert!(refused(BlockType::F16, 1e6).unwrap().contains("too large for F16"));
        for block_type in [BlockType::F16, BlockType::BF16, BlockType::Q8_0, BlockType::Q4_0] {
            for value in [f32::NAN, f32::INFINITY] {
                assert!(
                    refused(block_type, value).unwrap().contains("'w' holds NaN"),
                    "{}",
                    block_type.name()
                );
            }
        }
        assert!(refused(BlockType::Q6K, 1.0).unwrap().contains("no whole blocks of Q6_K"));
        let message = quantize(BlockType::Q8_0, &[0.0; 33], &mut Vec::new(), "w").unwrap_err().to_string();
        assert!(message.contains("rows of 33 values"), "{message}");
    }
}
