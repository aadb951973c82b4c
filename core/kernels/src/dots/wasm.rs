//! The same for WebAssembly with vectors of 128 bits.
// What is loaded are whole blocks; without the instructions the module would not start.
#![allow(unsafe_code)]

use std::arch::wasm32::*;

use super::super::activations::ActivationBlock;
use super::super::panels::{EightBlock, FourBlock, PANEL};
use super::plain::{Dots, Work};

/// Runs it.
pub(super) fn multiply(work: Work<'_>) {
    Simd128.run(work);
}

/// Rows in pairs, as the product of two times four numbers of 16 bits gives them.
#[derive(Clone, Copy)]
pub(super) struct Simd128;

/// A group of activations in 16 bits, twice.
#[inline(always)]
fn twice(x: &ActivationBlock, group: usize) -> v128 {
    i16x8_extend_low_i8x16(i32x4_splat(x.word(group)))
}

/// Adds pairs of products of four rows, two of them in each vector of `totals`.
#[inline(always)]
fn add(totals: &mut [v128; 2], w: v128, x: v128) {
    totals[0] = i32x4_add(totals[0], i32x4_dot_i16x8(i16x8_extend_low_i8x16(w), x));
    totals[1] = i32x4_add(totals[1], i32x4_dot_i16x8(i16x8_extend_high_i8x16(w), x));
}

/// The sums of four rows out of their pairs, and something more.
#[inline(always)]
fn sums_of([a, b]: [v128; 2], more: i32) -> [i32; 4] {
    let (even, odd) = (i32x4_shuffle::<0, 2, 4, 6>(a, b), i32x4_shuffle::<1, 3, 5, 7>(a, b));
    let sums = i32x4_add(i32x4_add(even, odd), i32x4_splat(more));
    let mut values = [0; 4];
    unsafe { v128_store(values.as_mut_ptr().cast(), sums) };
    values
}

/// Of eight rows.
#[inline(always)]
fn sums<const N: usize>(totals: [[[v128; 2]; 2]; N], more: [i32; N]) -> [[i32; PANEL]; N] {
    let mut sums = [[0; PANEL]; N];
    for ((sums, [first, second]), more) in sums.iter_mut().zip(totals).zip(more) {
        let (low, high) = sums.split_at_mut(4);
        low.copy_from_slice(&sums_of(first, more));
        high.copy_from_slice(&sums_of(second, more));
    }
    sums
}

impl Dots for Simd128 {
    fn run(self, work: Work<'_>) {
        work.with(self);
    }

    #[inline(always)]
    fn eight<const N: usize>(self, w: &EightBlock, x: [&ActivationBlock; N]) -> [[i32; PANEL]; N] {
        let mut totals = [[[i32x4_splat(0); 2]; 2]; N];
        for (group, w) in w.iter().enumerate() {
            let first = w.as_ptr().cast::<v128>();
            let (low, high) = unsafe { (v128_load(first), v128_load(first.add(1))) };
            for ([first, second], x) in totals.iter_mut().zip(x) {
                let x = twice(x, group);
                add(first, low, x);
                add(second, high, x);
            }
        }
        sums(totals, [0; N])
    }

    #[inline(always)]
    fn four<const N: usize>(self, w: &FourBlock, x: [&ActivationBlock; N]) -> [[i32; PANEL]; N] {
        let nibble = u8x16_splat(15);
        let mut totals = [[[i32x4_splat(0); 2]; 2]; N];
        for (group, w) in w.iter().enumerate() {
            let first = w.as_ptr().cast::<v128>();
            let halves = unsafe { [v128_load(first), v128_load(first.add(1))] };
            for (half, w) in halves.into_iter().enumerate() {
                let (low, high) = (v128_and(w, nibble), u8x16_shr(w, 4));
                for (total, x) in totals.iter_mut().zip(x) {
                    add(&mut total[half], low, twice(x, group));
                    add(&mut total[half], high, twice(x, group + 4));
                }
            }
        }
        sums(totals, x.map(|x| -8 * x.sum))
    }
}
