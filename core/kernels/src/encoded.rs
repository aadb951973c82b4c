//! Rows of a matrix in blocks, one block after the other: as they are encoded, and as burn takes them.

use burn::tensor::quantization::{QuantScheme, QuantStore, QuantValue, ScaleDtype};
use burn::tensor::{DType, Device, Tensor, TensorData};

use super::blocks::{BLOCK, Quantization, encode_q4_0, encode_q8_0};

/// By the number of their bits.
#[derive(Clone, Copy, Debug)]
pub(super) enum Quants<Eight, Four> {
    Eight(Eight),
    Four(Four),
}

/// The blocks of all rows.
pub(super) struct EncodedBlocks {
    /// One a block.
    pub(super) scales: Vec<f32>,
    pub(super) quants: Quants<Vec<[i8; BLOCK]>, Vec<[u8; BLOCK / 2]>>,
}

impl EncodedBlocks {
    /// Puts rows of `columns` values into blocks. `None` where those are no whole blocks, or a value is too large or no
    /// number.
    pub(super) fn new(values: &[f32], columns: usize, bits: Quantization) -> Option<Self> {
        if columns == 0 || !columns.is_multiple_of(BLOCK) || values.iter().any(|value| !value.is_finite()) {
            return None;
        }
        let (blocks, _) = values.as_chunks();
        let (scales, quants) = match bits {
            Quantization::Q8_0 => {
                let (scales, quants): (Vec<_>, Vec<_>) = blocks.iter().map(encode_q8_0).unzip();
                (scales, Quants::Eight(quants))
            }
            Quantization::Q4_0 => {
                let (scales, quants): (Vec<_>, Vec<_>) = blocks.iter().map(encode_q4_0).unzip();
                (scales, Quants::Four(quants))
            }
        };
        let scales: Vec<f32> = scales.into_iter().map(half::f16::to_f32).collect();
        scales.iter().all(|scale| scale.is_finite()).then_some(Self { scales, quants })
    }

    /// The same blocks as burn's quantized tensor: packed from the lowest bits of 32-bit words, then the scales.
    pub(super) fn upload(self, shape: [usize; 2], device: &Device) -> Tensor<2> {
        let (mut bytes, value) = match self.quants {
            Quants::Eight(blocks) => (
                blocks.into_flattened().into_iter().map(i8::cast_unsigned).collect::<Vec<u8>>(),
                QuantValue::Q8S,
            ),
            Quants::Four(blocks) => (blocks.iter().flat_map(pairs).collect(), QuantValue::Q4F),
        };
        bytes.extend(self.scales.iter().flat_map(|scale| scale.to_le_bytes()));
        let scheme = QuantScheme::default()
            .with_value(value)
            .with_store(QuantStore::PackedU32(0))
            .per_block([BLOCK as u8], ScaleDtype::F32);
        Tensor::from_data(TensorData::from_bytes_vec(bytes, shape, DType::QFloat(scheme)), device)
    }
}

/// The quants of a block in order, with their signs, two a byte.
fn pairs(block: &[u8; BLOCK / 2]) -> [u8; BLOCK / 2] {
    let quant = |i: usize| match i.checked_sub(BLOCK / 2) {
        None => (block[i] & 15).wrapping_sub(8),
        Some(i) => (block[i] >> 4).wrapping_sub(8),
    };
    std::array::from_fn(|i| quant(2 * i) & 15 | quant(2 * i + 1) << 4)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quants_of_four_bits_come_in_order_with_their_signs() {
        // Columns 0 and 16 stand in the first byte: −8 and 7; columns 1 and 17 are 1 and −1.
        let mut block = [0x88; BLOCK / 2];
        (block[0], block[1]) = (0xf0, 0x79);
        let found = pairs(&block);
        assert_eq!((found[0], found[1], found[8]), (0x18, 0, 0xf7));
    }
}
