//! Blocks of small numbers, and plain floats, as f32: the arithmetic of ggml's reference functions
//! (<https://github.com/ggml-org/llama.cpp/blob/master/ggml/src/ggml-quants.c>, `dequantize_row_*`).

use half::{bf16, f16};

use super::BlockType;
use crate::error::{Error, Result};

/// Decodes whole blocks. The product of a scale and a small number is rounded before a minimum is added.
///
/// # Errors
/// Bytes that are not exactly the blocks of these values.
pub fn dequantize(block_type: BlockType, bytes: &[u8], values: &mut [f32]) -> Result<()> {
    if block_type.row_bytes(values.len() as u64) != Some(bytes.len() as u64) {
        return Err(Error::Checkpoint(
            format!("{} bytes of {} do not hold {} values", bytes.len(), block_type.name(), values.len())
                .into(),
        ));
    }
    match block_type {
        BlockType::F32 => each(bytes, values, f32::from_le_bytes),
        BlockType::F16 => each(bytes, values, |b| f16::from_le_bytes(b).to_f32()),
        BlockType::BF16 => each(bytes, values, |b| bf16::from_le_bytes(b).to_f32()),
        BlockType::Q4_0 => blocks(bytes, values, q4_0),
        BlockType::Q4_1 => blocks(bytes, values, q4_1),
        BlockType::Q5_0 => blocks(bytes, values, q5_0),
        BlockType::Q5_1 => blocks(bytes, values, q5_1),
        BlockType::Q8_0 => blocks(bytes, values, q8_0),
        BlockType::Q4K => blocks(bytes, values, q4_k),
        BlockType::Q5K => blocks(bytes, values, q5_k),
        BlockType::Q6K => blocks(bytes, values, q6_k),
    }
    Ok(())
}

fn each<const B: usize>(bytes: &[u8], values: &mut [f32], decode: impl Fn([u8; B]) -> f32) {
    bytes.as_chunks().0.iter().zip(values).for_each(|(&bytes, value)| *value = decode(bytes));
}

fn blocks<const B: usize, const N: usize>(
    bytes: &[u8],
    values: &mut [f32],
    decode: impl Fn(&[u8; B], &mut [f32; N]),
) {
    let values = values.as_chunks_mut().0;
    bytes.as_chunks().0.iter().zip(values).for_each(|(block, values)| decode(block, values));
}

/// A scale, at its place in a block.
fn scale(block: &[u8], at: usize) -> f32 {
    f16::from_le_bytes([block[at], block[at + 1]]).to_f32()
}

/// The fifth bits of a block's values, lowest first.
fn fifth_bits(block: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([block[at], block[at + 1], block[at + 2], block[at + 3]])
}

/// A byte holds two values: the lower halves are the first 16, the upper halves the last 16.
fn halves(bytes: &[u8], values: &mut [f32; 32], decode: impl Fn(u8, usize) -> f32) {
    for (j, byte) in bytes.iter().enumerate() {
        values[j] = decode(byte & 0x0F, j);
        values[j + 16] = decode(byte >> 4, j + 16);
    }
}

fn q4_0(block: &[u8; 18], values: &mut [f32; 32]) {
    let d = scale(block, 0);
    halves(&block[2..], values, |q, _| (f32::from(q) - 8.0) * d);
}

fn q4_1(block: &[u8; 20], values: &mut [f32; 32]) {
    let (d, min) = (scale(block, 0), scale(block, 2));
    halves(&block[4..], values, |q, _| f32::from(q) * d + min);
}

fn q5_0(block: &[u8; 22], values: &mut [f32; 32]) {
    let (d, fifth) = (scale(block, 0), fifth_bits(block, 2));
    halves(&block[6..], values, |q, j| (f32::from(with_fifth(q, fifth, j)) - 16.0) * d);
}

fn q5_1(block: &[u8; 24], values: &mut [f32; 32]) {
    let (d, min, fifth) = (scale(block, 0), scale(block, 2), fifth_bits(block, 4));
    halves(&block[8..], values, |q, j| f32::from(with_fifth(q, fifth, j)) * d + min);
}

fn with_fifth(low: u8, fifth: u32, j: usize) -> u8 {
    low | (((fifth >> j) & 1) as u8) << 4
}

fn q8_0(block: &[u8; 34], values: &mut [f32; 32]) {
    let d = scale(block, 0);
    values.iter_mut().zip(&block[2..]).for_each(|(value, &q)| *value = f32::from(q.cast_signed()) * d);
}

/// The 8 scales and 8 minima of a block, 6 bits each, packed in 12 bytes: the first 4 whole, of the last 4 the
/// lower 4 bits, and their upper 2 bits on top of the first.
fn scale_and_minimum(packed: &[u8], group: usize) -> (f32, f32) {
    let (scale, minimum) = if group < 4 {
        (packed[group] & 63, packed[group + 4] & 63)
    } else {
        (
            (packed[group + 4] & 0x0F) | ((packed[group - 4] >> 6) << 4),
            (packed[group + 4] >> 4) | ((packed[group] >> 6) << 4),
        )
    };
    (f32::from(scale), f32::from(minimum))
}

/// Groups of 32 in pairs: lower halves of 32 bytes, then their upper halves. `high` is added to a value.
fn pairs(head: &[u8], packed: &[u8], low: &[u8], values: &mut [f32; 256], high: impl Fn(usize, usize) -> u8) {
    let (d, minimum) = (scale(head, 0), scale(head, 2));
    for (group, values) in values.as_chunks_mut::<32>().0.iter_mut().enumerate() {
        let (scale, group_minimum) = scale_and_minimum(packed, group);
        let (d, minimum) = (d * scale, minimum * group_minimum);
        let low = &low[group / 2 * 32..][..32];
        for (l, (value, &byte)) in values.iter_mut().zip(low).enumerate() {
            let q = if group % 2 == 0 { byte & 0x0F } else { byte >> 4 };
            *value = d * f32::from(q + high(group, l)) - minimum;
        }
    }
}

/// Scale, scale of the minima, 12 bytes of packed scales, 128 bytes of halves.
fn q4_k(block: &[u8; 144], values: &mut [f32; 256]) {
    pairs(&block[..4], &block[4..16], &block[16..], values, |_, _| 0);
}

/// As [`q4_k`], with 32 bytes of fifth bits before the halves: bit `group` of byte `l`.
fn q5_k(block: &[u8; 176], values: &mut [f32; 256]) {
    let fifth = &block[16..48];
    pairs(&block[..4], &block[4..16], &block[48..], values, |group, l| ((fifth[l] >> group) & 1) << 4);
}

/// 128 bytes of lower halves, 64 bytes of upper pairs of bits, 16 scales of 8 bits, and their scale.
fn q6_k(block: &[u8; 210], values: &mut [f32; 256]) {
    let (low, high, scales) = (&block[..128], &block[128..192], &block[192..208]);
    let d = scale(block, 208);
    for (i, value) in values.iter_mut().enumerate() {
        // A half of 128 values has 4 rows of 32: two rows share 64 bytes of `low`, four share 32 bytes of `high`.
        let (half, row, l) = (i / 128, i / 32 % 4, i % 32);
        let low = low[half * 64 + row % 2 * 32 + l] >> (row / 2 * 4) & 0x0F;
        let high = high[half * 32 + l] >> (row * 2) & 3;
        let q = f32::from(low | high << 4) - 32.0;
        *value = d * f32::from(scales[i / 16].cast_signed()) * q;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Records of a type's number, a count of blocks, the blocks, and their values as the PyPI package `gguf`
    /// decodes them (tests/golden/gguf/make.py).
    const GOLDEN: &[u8] = include_bytes!("../../../../tests/golden/gguf/dequantized.bin");

    #[test]
    fn every_type_decodes_as_ggml_does() {
        let (mut rest, mut seen) = (GOLDEN, Vec::new());
        let mut take = |count: usize| {
            let (taken, after) = rest.split_at(count);
            rest = after;
            (taken, after.is_empty())
        };
        loop {
            let head = take(8).0;
            let word = |at: usize| u32::from_le_bytes(head[at..at + 4].try_into().unwrap());
            let block_type = BlockType::from_id(word(0), "golden").unwrap();
            let count = word(4) as usize;
            let bytes = take(count * block_type.bytes()).0;
            let (expected, end) = take(count * block_type.values() * 4);
            let mut values = vec![0.0; count * block_type.values()];
            dequantize(block_type, bytes, &mut values).unwrap();
            for (i, (value, expected)) in values.iter().zip(expected.as_chunks::<4>().0).enumerate() {
                let expected = f32::from_le_bytes(*expected);
                assert_eq!(value.to_bits(), expected.to_bits(), "{} value {i}", block_type.name());
            }
            seen.push(block_type);
            if end {
                break;
            }
        }
        assert_eq!(seen.len(), 11);
    }

    #[test]
    fn halves_of_blocks_are_refused() {
        let message = dequantize(BlockType::Q8_0, &[0; 33], &mut [0.0; 32]).unwrap_err().to_string();
        assert_eq!(message, "33 bytes of Q8_0 do not hold 32 values");
    }
}
