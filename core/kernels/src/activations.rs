//! Activations in 8 bits, beside which matrices in few bits are multiplied in whole numbers.

use serde::Serialize;

use super::blocks::BLOCK;

/// How the activations come that meet matrices in few bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "cli", derive(clap::ValueEnum))]
pub enum Activations {
    /// As they are
    #[default]
    #[serde(rename = "exact")]
    Exact,
    /// In blocks of 32 as llama.cpp has them, each off by at most half of 1/127 of the largest: several times as fast
    #[serde(rename = "8-bits")]
    #[cfg_attr(feature = "cli", value(name = "8-bits"))]
    EightBits,
}

/// 32 activations that share a scale: `value = scale · quant`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct ActivationBlock {
    pub(super) quants: [i8; BLOCK],
    pub(super) scale: f32,
    /// Of all quants, so that what is added to all weights can be taken away again.
    pub(super) sum: i32,
}

impl ActivationBlock {
    /// The largest magnitude becomes 127; halves are rounded to even numbers, as ggml's vector code does it
    /// (<https://github.com/ggml-org/llama.cpp/blob/master/ggml/src/ggml-cpu/arch/arm/quants.c>, `quantize_row_q8_0`). The scale
    /// stays f32. A value that is no number, or has no end, makes the scale none, and so whatever is multiplied by it.
    #[inline(always)]
    fn of(values: &[f32; BLOCK]) -> Self {
        // Without their signs, floats are in the order of their bits, and NaN is the largest.
        let largest = values.iter().fold(0, |largest, value| largest.max(value.to_bits() & 0x7fff_ffff));
        let scale = f32::from_bits(largest) / 127.0;
        let inverse = 1.0 / scale;
        let inverse = if inverse.is_finite() { inverse } else { 0.0 };
        // Behind 1.5·2²³ there is no fraction, and the lowest byte is the whole number.
        const ROUND: f32 = 12_582_912.0;
        let mut quants = [0; BLOCK];
        for (quant, value) in quants.iter_mut().zip(values) {
            *quant = (value * inverse + ROUND).to_bits() as i8;
        }
        let sum = quants.iter().map(|&quant| i32::from(quant)).sum();
        let scale = if scale.is_finite() { scale } else { f32::NAN };
        Self { quants, scale, sum }
    }

    /// The four quants of a group, as one word.
    #[inline(always)]
    #[allow(dead_code, reason = "the plain code reads them one by one")]
    pub(super) fn word(&self, group: usize) -> i32 {
        let [a, b, c, d] = self.quants.as_chunks::<4>().0[group];
        i32::from_le_bytes([a.cast_unsigned(), b.cast_unsigned(), c.cast_unsigned(), d.cast_unsigned()])
    }
}

/// The blocks of rows of whole blocks.
pub(super) fn eight_bits(values: &[f32]) -> Vec<ActivationBlock> {
    pulp::Arch::new().dispatch(|| values.as_chunks().0.iter().map(ActivationBlock::of).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_by_hand() {
        let mut values = [0.0; BLOCK];
        values[..7].copy_from_slice(&[-127.0, 2.5, 3.5, -2.5, 0.49, 0.51, 126.0]);
        let block = ActivationBlock::of(&values);
        assert_eq!(block.quants[..8], [-127, 2, 4, -2, 0, 1, 126, 0], "halves to even numbers");
        assert_eq!((block.scale, block.sum), (1.0, 4));
        // The half of it has half the scale and the same quants.
        let half = ActivationBlock::of(&values.map(|value| value / 2.0));
        assert_eq!(half, ActivationBlock { scale: 0.5, ..block });
        assert_eq!(block.word(0), i32::from_le_bytes([0x81, 2, 4, 0xfe]));
    }

    #[test]
    fn nothing_and_what_is_next_to_it_are_nothing() {
        let zero = ActivationBlock { quants: [0; BLOCK], scale: 0.0, sum: 0 };
        assert_eq!(ActivationBlock::of(&[-0.0; BLOCK]), zero);
        let tiny = ActivationBlock::of(&[1e-40; BLOCK]);
        assert!(tiny.quants.iter().all(|&quant| (tiny.scale * f32::from(quant)).abs() < 2e-38));
    }

    #[test]
    fn what_is_no_number_stays_none() {
        for odd in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, -f32::NAN] {
            let mut values = [1.0; BLOCK];
            values[9] = odd;
            assert!(ActivationBlock::of(&values).scale.is_nan(), "{odd}");
        }
    }
}
