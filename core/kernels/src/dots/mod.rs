//! Products of matrices in few bits with activations in 8 bits, in whole numbers: the plain code is the definition, and that
//! for a kind of processor gives the same numbers.

#[cfg(target_arch = "aarch64")]
mod neon;
mod plain;
#[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
mod wasm;
#[cfg(target_arch = "x86_64")]
mod x86;

pub(super) use plain::Work;

/// Does the work with the best code that this processor has.
pub(super) fn multiply(work: Work<'_>) {
    #[cfg(target_arch = "x86_64")]
    x86::multiply(work);
    #[cfg(target_arch = "aarch64")]
    neon::multiply(work);
    #[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
    wasm::multiply(work);
    #[cfg(not(any(
        target_arch = "x86_64",
        target_arch = "aarch64",
        all(target_arch = "wasm32", target_feature = "simd128")
    )))]
    plain::Dots::run(plain::Plain, work);
}

#[cfg(test)]
mod tests {
    use super::super::activations::eight_bits;
    use super::super::blocks::Quantization;
    use super::super::encoded::EncodedBlocks;
    use super::super::panels::Panels;
    use super::plain::{Dots, Plain};
    use super::*;

    const COLUMNS: usize = 160;

    fn values(count: usize, step: usize) -> Vec<f32> {
        (0..count).map(|i| ((i * step) % 257) as f32 / 128.0 - 1.0).collect()
    }

    /// What it gives for matrices of both kinds and 1 to 11 rows of activations.
    fn products(multiply: impl Fn(Work<'_>)) -> Vec<Vec<f32>> {
        let mut all = Vec::new();
        for bits in [Quantization::Q8_0, Quantization::Q4_0] {
            // The largest and the smallest quants meet as well.
            let mut w = values(19 * COLUMNS, 73);
            w[..32].fill(1.0);
            w[32..64].fill(-1.0);
            let panels = Panels::new(&EncodedBlocks::new(&w, COLUMNS, bits).unwrap(), COLUMNS / 32);
            for n in [1, 2, 4, 5, 11] {
                let mut x = values(n * COLUMNS, 91);
                x[..64].fill(-1.0);
                let mut y = vec![f32::NAN; 24 * n];
                multiply(Work { matrix: panels.slice(0..3), x: &eight_bits(&x), y: &mut y });
                all.push(y);
            }
        }
        all
    }

    fn of<D: Dots>(dots: Option<D>) -> Option<Vec<Vec<f32>>> {
        dots.map(|dots| products(|work| dots.run(work)))
    }

    #[test]
    fn every_code_of_this_processor_gives_what_the_definition_gives() {
        let plain = products(|work| work.with(Plain));
        assert!(plain.iter().flatten().all(|y| y.is_finite()));
        assert_eq!(products(multiply), plain);
        #[cfg(target_arch = "x86_64")]
        let all = [of(x86::Avx2::here()), of(x86::AvxVnni::here()), of(x86::Avx512Vnni::here())];
        #[cfg(target_arch = "aarch64")]
        let all = [of(Some(neon::Neon(neon::Widened))), of(neon::DotProduct::here().map(neon::Neon))];
        #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
        let all = [of(None::<Plain>)];
        all.into_iter().flatten().for_each(|found| assert_eq!(found, plain));
    }

    #[test]
    fn the_definition_is_the_sum_of_products() {
        let w = values(8 * COLUMNS, 73);
        let x = values(COLUMNS, 91);
        for bits in [Quantization::Q8_0, Quantization::Q4_0] {
            let panels = Panels::new(&EncodedBlocks::new(&w, COLUMNS, bits).unwrap(), COLUMNS / 32);
            let blocks = eight_bits(&x);
            let mut y = vec![0.0; 8];
            Work { matrix: panels.slice(0..1), x: &blocks, y: &mut y }.with(Plain);
            for (row, y) in y.iter().enumerate() {
                let mut unpacked = vec![0.0; COLUMNS];
                panels.unpack(row, &mut unpacked);
                let x =
                    blocks.iter().flat_map(|block| block.quants.map(|quant| f32::from(quant) * block.scale));
                let expected: f64 = unpacked.iter().zip(x).map(|(w, x)| f64::from(*w) * f64::from(x)).sum();
                assert!((f64::from(*y) - expected).abs() < 1e-5, "{bits:?} {row}: {y} {expected}");
            }
        }
    }
}
