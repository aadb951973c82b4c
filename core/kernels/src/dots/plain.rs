//! What products in whole numbers are, in plain code, and what code for a kind of processor must offer.

use super::super::activations::ActivationBlock;
use super::super::encoded::Quants;
use super::super::panels::{EightBlock, FourBlock, PANEL, PanelSlice};

/// The sums of products of a block of eight rows of a matrix with a block of activations each. None of the matrix's quants
/// is −128.
pub(super) trait Dots: Copy {
    /// Calls `work.with(self)` where the compiler may use this processor's instructions.
    fn run(self, work: Work<'_>);

    /// Of quants of 8 bits.
    fn eight<const N: usize>(self, w: &EightBlock, x: [&ActivationBlock; N]) -> [[i32; PANEL]; N];

    /// Of quants of 4 bits, which stand for 8 less.
    fn four<const N: usize>(self, w: &FourBlock, x: [&ActivationBlock; N]) -> [[i32; PANEL]; N];
}

/// Rows of activations that share what is loaded of the matrix.
const TOGETHER: usize = 4;

/// Eight rows of a matrix at a time with all rows of activations.
pub(in super::super) struct Work<'a> {
    /// The matrix, or a part of it.
    pub(in super::super) matrix: PanelSlice<'a>,
    /// Rows as wide as the matrix.
    pub(in super::super) x: &'a [ActivationBlock],
    /// `[panels, rows of x, 8]`.
    pub(in super::super) y: &'a mut [f32],
}

impl Work<'_> {
    /// Computes all of `y`.
    #[inline(always)]
    pub(super) fn with(self, dots: impl Dots) {
        let width = self.matrix.width;
        let rows = self.x.len() / width;
        for (panel, y) in self.y.chunks_exact_mut(PANEL * rows).enumerate() {
            let blocks = panel * width..(panel + 1) * width;
            let scales = &self.matrix.scales[blocks.clone()];
            match self.matrix.quants {
                Quants::Eight(quants) => panel_of(dots, &quants[blocks], scales, self.x, y),
                Quants::Four(quants) => panel_of(dots, &quants[blocks], scales, self.x, y),
            }
        }
    }
}

/// A block of either kind.
trait Block {
    fn dot<const N: usize>(&self, dots: impl Dots, x: [&ActivationBlock; N]) -> [[i32; PANEL]; N];
}

impl Block for EightBlock {
    #[inline(always)]
    fn dot<const N: usize>(&self, dots: impl Dots, x: [&ActivationBlock; N]) -> [[i32; PANEL]; N] {
        dots.eight(self, x)
    }
}

impl Block for FourBlock {
    #[inline(always)]
    fn dot<const N: usize>(&self, dots: impl Dots, x: [&ActivationBlock; N]) -> [[i32; PANEL]; N] {
        dots.four(self, x)
    }
}

/// One panel with every row of activations, four at a time.
#[inline(always)]
fn panel_of<B: Block>(
    dots: impl Dots,
    blocks: &[B],
    scales: &[[f32; PANEL]],
    x: &[ActivationBlock],
    y: &mut [f32],
) {
    let width = blocks.len();
    let (fours, rest) = y.as_chunks_mut::<PANEL>().0.as_chunks_mut::<TOGETHER>();
    let (x_fours, x_rest) = x.split_at(fours.len() * TOGETHER * width);
    for (y, x) in fours.iter_mut().zip(x_fours.chunks_exact(TOGETHER * width)) {
        *y = rows_of(dots, blocks, scales, x);
    }
    for (y, x) in rest.iter_mut().zip(x_rest.chunks_exact(width)) {
        [*y] = rows_of(dots, blocks, scales, x);
    }
}

/// One panel with `N` rows of activations: `y = Σ (scale · scale of x) · sum`, block by block. What a row gives does not
/// depend on how many there are.
// Loops and no closures: those would not be compiled for the processor that `dots` is for.
#[inline(always)]
fn rows_of<B: Block, const N: usize>(
    dots: impl Dots,
    blocks: &[B],
    scales: &[[f32; PANEL]],
    x: &[ActivationBlock],
) -> [[f32; PANEL]; N] {
    let mut totals = [[0.0; PANEL]; N];
    for (i, (block, scales)) in blocks.iter().zip(scales).enumerate() {
        let mut at = [&x[i]; N];
        for (n, at) in at.iter_mut().enumerate() {
            *at = &x[n * blocks.len() + i];
        }
        let sums = block.dot(dots, at);
        for ((totals, sums), x) in totals.iter_mut().zip(sums).zip(at) {
            for ((total, scale), sum) in totals.iter_mut().zip(scales).zip(sums) {
                *total += (scale * x.scale) * sum as f32;
            }
        }
    }
    totals
}

/// The definition, for any processor.
#[derive(Clone, Copy)]
#[allow(dead_code, reason = "where there is no better code, and for tests")]
pub(super) struct Plain;

impl Dots for Plain {
    fn run(self, work: Work<'_>) {
        work.with(self);
    }

    #[inline(always)]
    fn eight<const N: usize>(self, w: &EightBlock, x: [&ActivationBlock; N]) -> [[i32; PANEL]; N] {
        let mut sums = [[0; PANEL]; N];
        for (sums, x) in sums.iter_mut().zip(x) {
            for (w, x) in w.iter().zip(x.quants.as_chunks::<4>().0) {
                for (sum, w) in sums.iter_mut().zip(w) {
                    *sum += (0..4).map(|k| i32::from(w[k]) * i32::from(x[k])).sum::<i32>();
                }
            }
        }
        sums
    }

    #[inline(always)]
    fn four<const N: usize>(self, w: &FourBlock, x: [&ActivationBlock; N]) -> [[i32; PANEL]; N] {
        let mut sums = [[0; PANEL]; N];
        for (sums, x) in sums.iter_mut().zip(x) {
            let (low, high) = x.quants.as_chunks::<4>().0.split_at(w.len());
            for ((w, low), high) in w.iter().zip(low).zip(high) {
                for (sum, w) in sums.iter_mut().zip(w) {
                    let products = |k: usize| {
                        (i32::from(w[k] & 15) - 8) * i32::from(low[k])
                            + (i32::from(w[k] >> 4) - 8) * i32::from(high[k])
                    };
                    *sum += (0..4).map(products).sum::<i32>();
                }
            }
        }
        sums
    }
}
