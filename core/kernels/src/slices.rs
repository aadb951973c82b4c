//! Arithmetic on slices that compilers turn into vector instructions.

use super::chunks::{for_each_chunk, for_each_chunk_pair};

/// Partial sums kept side by side: wide enough for any vector unit, and a fixed order everywhere.
const LANES: usize = 16;
/// Values that one task handles at least, so that starting it pays.
const TASK: usize = 16 * 1024;

/// `e^x` to about one unit in the last place, by range reduction and a polynomial (Cephes `expf`).
#[inline(always)]
pub(super) fn exp(x: f32) -> f32 {
    let x = x.clamp(-87.0, 88.0);
    // Adding and taking away 1.5·2²³ rounds to a whole number without a library call.
    const ROUND: f32 = 12_582_912.0;
    let n = x * std::f32::consts::LOG2_E + ROUND - ROUND;
    let r = x - n * 0.693_359_4 + n * 2.121_944_4e-4;
    let p = 1.987_569_1e-4;
    let p = p * r + 1.398_199_9e-3;
    let p = p * r + 8.333_452e-3;
    let p = p * r + 4.166_579_6e-2;
    let p = p * r + 1.666_666_5e-1;
    let p = p * r + 0.5;
    let y = p * r * r + r + 1.0;
    y * f32::from_bits(((n as i32 + 127) as u32) << 23)
}

/// `ln x` of a positive normal number to about one unit in the last place, by range reduction and a polynomial (Cephes
/// `logf`); exactly 0 for 1.
#[inline(always)]
pub(super) fn ln(x: f32) -> f32 {
    let bits = x.to_bits();
    let exponent = (bits >> 23) as i32 - 126;
    let half = f32::from_bits((bits & 0x007f_ffff) | 0x3f00_0000);
    let is_low = half < std::f32::consts::FRAC_1_SQRT_2;
    let exponent = if is_low { exponent - 1 } else { exponent };
    let r = if is_low { half + half - 1.0 } else { half - 1.0 };
    let p = 7.037_683_6e-2;
    let p = p * r - 1.151_461e-1;
    let p = p * r + 1.167_699_9e-1;
    let p = p * r - 1.242_014_1e-1;
    let p = p * r + 1.424_932_3e-1;
    let p = p * r - 1.666_805_8e-1;
    let p = p * r + 2.000_071_5e-1;
    let p = p * r - 2.499_999_4e-1;
    let p = p * r + 3.333_333e-1;
    let square = r * r;
    r + (p * r * square - exponent as f32 * 2.121_944_4e-4 - 0.5 * square) + exponent as f32 * 0.693_359_4
}

/// `Σ f(i)` over `0..len`, in a fixed order.
#[inline(always)]
pub(super) fn sum(len: usize, f: impl Fn(usize) -> f32) -> f32 {
    let mut lanes = [0.0f32; LANES];
    let whole = len / LANES * LANES;
    for start in (0..whole).step_by(LANES) {
        for (lane, total) in lanes.iter_mut().enumerate() {
            *total += f(start + lane);
        }
    }
    let mut total = 0.0;
    for lane in lanes {
        total += lane;
    }
    for i in whole..len {
        total += f(i);
    }
    total
}

/// The largest value of a slice; minus infinity for an empty one.
#[inline(always)]
pub(super) fn max(values: &[f32]) -> f32 {
    let mut lanes = [f32::NEG_INFINITY; LANES];
    let chunks = values.chunks_exact(LANES);
    let rest = chunks.remainder().iter().fold(f32::NEG_INFINITY, |a, &b| if b > a { b } else { a });
    for chunk in chunks {
        for (lane, &value) in lanes.iter_mut().zip(chunk) {
            *lane = if value > *lane { value } else { *lane };
        }
    }
    lanes.into_iter().fold(rest, |a, b| if b > a { b } else { a })
}

/// Fills `out`, rows of `width` values, on all threads: `row(i, values)` for each row.
pub(super) fn rows(out: &mut [f32], width: usize, row: impl Fn(usize, &mut [f32]) + Sync) {
    let rows_a_task = (TASK / width.max(1)).max(1);
    for_each_chunk(out, rows_a_task * width, |task, chunk| {
        pulp::Arch::new().dispatch(|| {
            for (i, values) in chunk.chunks_exact_mut(width).enumerate() {
                row(task * rows_a_task + i, values);
            }
        });
    });
}

/// Fills two slices of equal shape row by row.
pub(super) fn row_pairs(
    a: &mut [f32],
    b: &mut [f32],
    width: usize,
    row: impl Fn(usize, &mut [f32], &mut [f32]) + Sync,
) {
    let rows_a_task = (TASK / width.max(1)).max(1);
    for_each_chunk_pair(a, b, rows_a_task * width, |task, a, b| {
        pulp::Arch::new().dispatch(|| {
            for (i, (a, b)) in a.chunks_exact_mut(width).zip(b.chunks_exact_mut(width)).enumerate() {
                row(task * rows_a_task + i, a, b);
            }
        });
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exp_is_right_to_the_last_places() {
        for i in -8700..8800 {
            let x = i as f32 / 100.0;
            let expected = f64::from(x).exp();
            assert!((f64::from(exp(x)) - expected).abs() < 3e-7 * expected, "{x}: {} {expected}", exp(x));
        }
        assert_eq!(exp(0.0), 1.0);
        assert!(exp(-1e9) < 2e-38);
    }

    #[test]
    fn ln_is_right_to_the_last_places() {
        for i in -8000..8000 {
            let x = (i as f32 / 100.0).exp();
            let expected = f64::from(x).ln();
            let off = (f64::from(ln(x)) - expected).abs();
            assert!(off < 2e-7 * expected.abs().max(0.5), "{x}: {} {expected}", ln(x));
        }
        assert_eq!(ln(1.0), 0.0);
    }

    #[test]
    fn sums_and_maxima_of_any_length() {
        for len in [0, 1, 15, 16, 17, 100] {
            let values: Vec<f32> = (0..len).map(|i| ((i * 7) % 11) as f32).collect();
            assert_eq!(sum(len, |i| values[i]), values.iter().sum::<f32>());
            let expected = values.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            assert_eq!(max(&values), expected);
        }
    }

    #[test]
    fn every_row_is_visited_once() {
        let mut out = vec![0.0; 3 * 40_000];
        rows(&mut out, 3, |i, row| row.iter_mut().for_each(|x| *x += i as f32 + 1.0));
        assert!(out.chunks(3).enumerate().all(|(i, row)| row.iter().all(|&x| x == i as f32 + 1.0)));
    }
}
