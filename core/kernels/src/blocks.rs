//! Blocks of 32 values in few bits, as ggml has them
//! (<https://github.com/ggml-org/llama.cpp/blob/master/ggml/src/ggml-quants.c>, `quantize_row_*_ref`).

use half::f16;
use serde::{Deserialize, Serialize};

/// Values that share a scale.
pub const BLOCK: usize = 32;

/// In how few bits a model's matrices are held; the names are GGUF's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "cli", derive(clap::ValueEnum))]
pub enum Quantization {
    /// 8 bits: 32 weights share a scale
    #[serde(rename = "q8_0")]
    #[cfg_attr(feature = "cli", value(name = "q8_0"))]
    Q8_0,
    /// 4 bits: 32 weights share a scale; the output projection has 8
    #[serde(rename = "q4_0")]
    #[cfg_attr(feature = "cli", value(name = "q4_0"))]
    Q4_0,
}

impl Quantization {
    /// The quants of a block.
    pub(super) fn bytes(self) -> usize {
        match self {
            Self::Q8_0 => BLOCK,
            Self::Q4_0 => BLOCK / 2,
        }
    }
}

/// Q8_0: `value = scale · quant`. The largest magnitude becomes 127; values are divided by the scale before it is
/// rounded to 16 bits. The scale is not finite where the values are too large for it.
pub fn encode_q8_0(values: &[f32; BLOCK]) -> (f16, [i8; BLOCK]) {
    let largest = values.iter().fold(0.0_f32, |largest, x| largest.max(x.abs()));
    let scale = largest / 127.0;
    let inverse = inverse(scale);
    (f16::from_f32(scale), values.map(|x| (x * inverse).round() as i8))
}

/// Q4_0: `value = scale · (quant − 8)`; byte `j` holds the quants `j` (low half) and `j + 16`. The value of the largest
/// magnitude becomes −8, with its sign in the scale.
pub fn encode_q4_0(values: &[f32; BLOCK]) -> (f16, [u8; BLOCK / 2]) {
    let largest =
        values.iter().fold(0.0_f32, |largest, &x| if largest.abs() < x.abs() { x } else { largest });
    let scale = largest / -8.0;
    let inverse = inverse(scale);
    let nibble = |x: f32| ((x * inverse + 8.5) as u8).min(15);
    (f16::from_f32(scale), std::array::from_fn(|j| nibble(values[j]) | nibble(values[j + 16]) << 4))
}

fn inverse(scale: f32) -> f32 {
    if scale == 0.0 { 0.0 } else { 1.0 / scale }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 0, 1, … 31 but for a −64 at place 3.
    fn values() -> [f32; BLOCK] {
        std::array::from_fn(|i| if i == 3 { -64.0 } else { i as f32 })
    }

    #[test]
    fn eight_bits_by_hand() {
        let (scale, quants) = encode_q8_0(&values());
        assert_eq!(scale, f16::from_f32(64.0 / 127.0));
        // 31 · 127 / 64 = 61.5…
        assert_eq!((quants[0], quants[1], quants[3], quants[31]), (0, 2, -127, 62));
        assert_eq!(encode_q8_0(&[0.0; BLOCK]), (f16::ZERO, [0; BLOCK]));
        assert!(!encode_q8_0(&[1e30; BLOCK]).0.is_finite());
    }

    #[test]
    fn four_bits_by_hand() {
        let (scale, bytes) = encode_q4_0(&values());
        assert_eq!(scale.to_f32(), 8.0);
        let quant = |i: usize| i32::from(bytes[i % 16] >> (i / 16 * 4) & 15) - 8;
        // 0 → 0, 4 / 8 + 8.5 → 9 − 8, −64 → −8, 16 / 8 → 2, 31 / 8 → 3.9 → 4
        assert_eq!([0, 4, 3, 16, 31].map(quant), [0, 1, -8, 2, 4]);
    }
}
