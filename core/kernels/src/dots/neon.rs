//! The same for ARM: one instruction for four products of bytes where the processor has it, as most since 2018.
// NEON is there on every processor of 64 bits, `sdot` where it was detected; what is loaded are whole blocks.
#![allow(unsafe_code)]

use std::arch::aarch64::*;
use std::arch::asm;

use super::super::activations::ActivationBlock;
use super::super::panels::{EightBlock, FourBlock, PANEL};
use super::plain::{Dots, Work};

/// Runs it with what this processor has; the answer is kept by the standard library.
pub(super) fn multiply(work: Work<'_>) {
    match DotProduct::here() {
        Some(products) => Neon(products).run(work),
        None => Neon(Widened).run(work),
    }
}

/// The sums of four rows, in two parts that hold whatever adds up to them.
type Totals = [int32x4_t; 2];

/// Products of two vectors of four rows with four activations each.
pub(super) trait Products: Copy {
    fn add(self, totals: &mut Totals, w: [int8x16_t; 2], x: [int8x16_t; 2]);

    fn sums(self, totals: Totals) -> int32x4_t;
}

/// In 16 bits, two of at most 127·127, and then in pairs.
#[derive(Clone, Copy)]
pub(super) struct Widened;

impl Products for Widened {
    #[inline(always)]
    fn add(self, totals: &mut Totals, w: [int8x16_t; 2], x: [int8x16_t; 2]) {
        unsafe {
            let low = vmull_s8(vget_low_s8(w[0]), vget_low_s8(x[0]));
            let low = vmlal_s8(low, vget_low_s8(w[1]), vget_low_s8(x[1]));
            let high = vmlal_high_s8(vmull_high_s8(w[0], x[0]), w[1], x[1]);
            totals[0] = vpadalq_s16(totals[0], low);
            totals[1] = vpadalq_s16(totals[1], high);
        }
    }

    #[inline(always)]
    fn sums(self, totals: Totals) -> int32x4_t {
        unsafe { vpaddq_s32(totals[0], totals[1]) }
    }
}

/// `sdot`, whose name the stable compiler does not have yet.
#[derive(Clone, Copy)]
pub(super) struct DotProduct(());

impl DotProduct {
    pub(super) fn here() -> Option<Self> {
        std::arch::is_aarch64_feature_detected!("dotprod").then_some(Self(()))
    }
}

impl Products for DotProduct {
    #[inline(always)]
    fn add(self, totals: &mut Totals, w: [int8x16_t; 2], x: [int8x16_t; 2]) {
        for ((total, w), x) in totals.iter_mut().zip(w).zip(x) {
            unsafe {
                asm!(
                    ".arch_extension dotprod",
                    "sdot {total:v}.4s, {w:v}.16b, {x:v}.16b",
                    total = inout(vreg) *total,
                    w = in(vreg) w,
                    x = in(vreg) x,
                    options(pure, nomem, nostack, preserves_flags)
                );
            }
        }
    }

    #[inline(always)]
    fn sums(self, totals: Totals) -> int32x4_t {
        unsafe { vaddq_s32(totals[0], totals[1]) }
    }
}

/// Eight rows as two times four.
#[derive(Clone, Copy)]
pub(super) struct Neon<P>(pub(super) P);

impl<P: Products> Neon<P> {
    #[inline(always)]
    fn sums<const N: usize>(self, totals: [[Totals; 2]; N], more: [i32; N]) -> [[i32; PANEL]; N] {
        let mut sums = [[0; PANEL]; N];
        for ((sums, totals), more) in sums.iter_mut().zip(totals).zip(more) {
            for (sums, total) in sums.as_chunks_mut::<4>().0.iter_mut().zip(totals) {
                unsafe {
                    let total = vaddq_s32(self.0.sums(total), vdupq_n_s32(more));
                    vst1q_s32(sums.as_mut_ptr(), total);
                }
            }
        }
        sums
    }
}

/// A group of activations, four times.
#[inline(always)]
fn everywhere(x: &ActivationBlock, group: usize) -> int8x16_t {
    unsafe { vreinterpretq_s8_s32(vdupq_n_s32(x.word(group))) }
}

impl<P: Products> Dots for Neon<P> {
    fn run(self, work: Work<'_>) {
        work.with(self);
    }

    #[inline(always)]
    fn eight<const N: usize>(self, w: &EightBlock, x: [&ActivationBlock; N]) -> [[i32; PANEL]; N] {
        let mut totals = [[[unsafe { vdupq_n_s32(0) }; 2]; 2]; N];
        for (pair, groups) in w.as_chunks::<2>().0.iter().enumerate() {
            for half in 0..2 {
                let rows = groups.each_ref().map(|rows| rows.as_flattened()[16 * half..][..16].as_ptr());
                let w = unsafe { [vld1q_s8(rows[0]), vld1q_s8(rows[1])] };
                for (total, x) in totals.iter_mut().zip(x) {
                    let x = [everywhere(x, 2 * pair), everywhere(x, 2 * pair + 1)];
                    self.0.add(&mut total[half], w, x);
                }
            }
        }
        self.sums(totals, [0; N])
    }

    #[inline(always)]
    fn four<const N: usize>(self, w: &FourBlock, x: [&ActivationBlock; N]) -> [[i32; PANEL]; N] {
        let mut totals = [[[unsafe { vdupq_n_s32(0) }; 2]; 2]; N];
        for (group, rows) in w.iter().enumerate() {
            for half in 0..2 {
                let rows = rows.as_flattened()[16 * half..][..16].as_ptr();
                let w = unsafe {
                    let bytes = vld1q_u8(rows);
                    let low = vandq_u8(bytes, vdupq_n_u8(15));
                    [vreinterpretq_s8_u8(low), vreinterpretq_s8_u8(vshrq_n_u8::<4>(bytes))]
                };
                for (total, x) in totals.iter_mut().zip(x) {
                    let x = [everywhere(x, group), everywhere(x, group + 4)];
                    self.0.add(&mut total[half], w, x);
                }
            }
        }
        self.sums(totals, x.map(|x| -8 * x.sum))
    }
}
