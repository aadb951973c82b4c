//! The same for x86: the newest instructions that are there.
// The instructions' names are unsafe to call, because a processor may lack them. Each of these types exists only where
// `is_x86_feature_detected!` found its own; what is loaded are whole blocks.
#![allow(unsafe_code)]

use std::arch::x86_64::*;

use super::super::activations::ActivationBlock;
use super::super::panels::{EightBlock, FourBlock, PANEL};
use super::plain::{Dots, Plain, Work};

/// Runs it with what this processor has; the answer is kept by the standard library.
pub(super) fn multiply(work: Work<'_>) {
    if let Some(dots) = Avx512Vnni::here() {
        dots.run(work);
    } else if let Some(dots) = AvxVnni::here() {
        dots.run(work);
    } else if let Some(dots) = Avx2::here() {
        dots.run(work);
    } else {
        work.with(Plain);
    }
}

/// Pairs of products of bytes, one without a sign, in 16 bits; since 2013.
#[derive(Clone, Copy)]
pub(super) struct Avx2(());

impl Avx2 {
    pub(super) fn here() -> Option<Self> {
        is_x86_feature_detected!("avx2").then_some(Self(()))
    }
}

impl Dots for Avx2 {
    fn run(self, work: Work<'_>) {
        #[target_feature(enable = "avx2")]
        fn run(dots: Avx2, work: Work<'_>) {
            work.with(dots);
        }
        unsafe { run(self, work) }
    }

    #[inline(always)]
    fn eight<const N: usize>(self, w: &EightBlock, x: [&ActivationBlock; N]) -> [[i32; PANEL]; N] {
        let mut sums = [[0; PANEL]; N];
        unsafe {
            let ones = _mm256_set1_epi16(1);
            let mut totals = [_mm256_setzero_si256(); N];
            for (group, w) in w.iter().enumerate() {
                let w = _mm256_loadu_si256(w.as_ptr().cast());
                for (total, x) in totals.iter_mut().zip(x) {
                    let x = _mm256_set1_epi32(x.word(group));
                    // w·x = (w with the sign of x)·|x|; two of at most 127·127 fit into 16 bits.
                    let pairs = _mm256_maddubs_epi16(_mm256_abs_epi8(x), _mm256_sign_epi8(w, x));
                    *total = _mm256_add_epi32(*total, _mm256_madd_epi16(pairs, ones));
                }
            }
            for (sums, total) in sums.iter_mut().zip(totals) {
                _mm256_storeu_si256(sums.as_mut_ptr().cast(), total);
            }
        }
        sums
    }

    #[inline(always)]
    fn four<const N: usize>(self, w: &FourBlock, x: [&ActivationBlock; N]) -> [[i32; PANEL]; N] {
        let mut sums = [[0; PANEL]; N];
        unsafe {
            let (nibble, ones) = (_mm256_set1_epi8(15), _mm256_set1_epi16(1));
            // Sixteen products of at most 15·127 fit into 16 bits.
            let mut totals = [_mm256_setzero_si256(); N];
            for (group, w) in w.iter().enumerate() {
                let w = _mm256_loadu_si256(w.as_ptr().cast());
                let low = _mm256_and_si256(w, nibble);
                let high = _mm256_and_si256(_mm256_srli_epi16::<4>(w), nibble);
                for (total, x) in totals.iter_mut().zip(x) {
                    let low = _mm256_maddubs_epi16(low, _mm256_set1_epi32(x.word(group)));
                    let high = _mm256_maddubs_epi16(high, _mm256_set1_epi32(x.word(group + 4)));
                    *total = _mm256_add_epi16(*total, _mm256_add_epi16(low, high));
                }
            }
            for ((sums, total), x) in sums.iter_mut().zip(totals).zip(x) {
                let eights = _mm256_set1_epi32(-8 * x.sum);
                let total = _mm256_add_epi32(_mm256_madd_epi16(total, ones), eights);
                _mm256_storeu_si256(sums.as_mut_ptr().cast(), total);
            }
        }
        sums
    }
}

/// Four products of a byte without a sign and one with it, added to 32 bits, in one instruction.
macro_rules! vnni {
    ($name:ident, $doc:literal, $features:literal, [$($feature:tt),+], $dot:ident) => {
        #[doc = $doc]
        #[derive(Clone, Copy)]
        pub(super) struct $name(());

        impl $name {
            pub(super) fn here() -> Option<Self> {
                (true $(&& is_x86_feature_detected!($feature))+).then_some(Self(()))
            }
        }

        impl Dots for $name {
            fn run(self, work: Work<'_>) {
                #[target_feature(enable = $features)]
                fn run(dots: $name, work: Work<'_>) {
                    work.with(dots);
                }
                unsafe { run(self, work) }
            }

            #[inline(always)]
            fn eight<const N: usize>(self, w: &EightBlock, x: [&ActivationBlock; N]) -> [[i32; PANEL]; N] {
                let mut sums = [[0; PANEL]; N];
                unsafe {
                    // 128 more makes bytes without a sign of the weights; 128 times what they meet is taken away again.
                    let flip = _mm256_set1_epi8(-128);
                    let mut totals = [[_mm256_setzero_si256(); 2]; N];
                    for (total, x) in totals.iter_mut().zip(x) {
                        total[0] = _mm256_set1_epi32(-128 * x.sum);
                    }
                    for (group, w) in w.iter().enumerate() {
                        let w = _mm256_xor_si256(_mm256_loadu_si256(w.as_ptr().cast()), flip);
                        for (total, x) in totals.iter_mut().zip(x) {
                            let total = &mut total[group % 2];
                            *total = $dot(*total, w, _mm256_set1_epi32(x.word(group)));
                        }
                    }
                    for (sums, [a, b]) in sums.iter_mut().zip(totals) {
                        _mm256_storeu_si256(sums.as_mut_ptr().cast(), _mm256_add_epi32(a, b));
                    }
                }
                sums
            }

            #[inline(always)]
            fn four<const N: usize>(self, w: &FourBlock, x: [&ActivationBlock; N]) -> [[i32; PANEL]; N] {
                let mut sums = [[0; PANEL]; N];
                unsafe {
                    let nibble = _mm256_set1_epi8(15);
                    let mut totals = [[_mm256_setzero_si256(); 2]; N];
                    for (total, x) in totals.iter_mut().zip(x) {
                        total[0] = _mm256_set1_epi32(-8 * x.sum);
                    }
                    for (group, w) in w.iter().enumerate() {
                        let w = _mm256_loadu_si256(w.as_ptr().cast());
                        let low = _mm256_and_si256(w, nibble);
                        let high = _mm256_and_si256(_mm256_srli_epi16::<4>(w), nibble);
                        for ([a, b], x) in totals.iter_mut().zip(x) {
                            *a = $dot(*a, low, _mm256_set1_epi32(x.word(group)));
                            *b = $dot(*b, high, _mm256_set1_epi32(x.word(group + 4)));
                        }
                    }
                    for (sums, [a, b]) in sums.iter_mut().zip(totals) {
                        _mm256_storeu_si256(sums.as_mut_ptr().cast(), _mm256_add_epi32(a, b));
                    }
                }
                sums
            }
        }
    };
}

vnni!(
    Avx512Vnni,
    "With the registers of AVX-512.",
    "avx2,avx512f,avx512vl,avx512vnni",
    ["avx2", "avx512f", "avx512vl", "avx512vnni"],
    _mm256_dpbusd_epi32
);
vnni!(AvxVnni, "Without them.", "avx2,avxvnni", ["avx2", "avxvnni"], _mm256_dpbusd_avx_epi32);
