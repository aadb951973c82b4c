//! Rows times parts of a dense matrix that stay in the nearest cache while all rows meet them, with the sums in registers.
//! What a row gives does not depend on how many there are: each of its sums is made in one order.

use pulp::{Simd, WithSimd};

/// Rows whose sums stand in registers together: with two vectors of columns each they fit into sixteen.
const TOGETHER: usize = 6;
/// The same where sums are made across vectors, of which each row then has one or two.
const DOTS_TOGETHER: usize = 4;
/// Rows of a matrix that are put side by side at a time.
const DEPTH: usize = 64;
/// Floats of a line of the cache, at whose beginnings whole vectors are read fastest.
const LINE: usize = 16;
/// Columns of a task are a multiple of it: two vectors of any processor.
pub(super) const WIDEST: usize = 32;
/// Partial sums side by side, in a fixed order everywhere.
const LANES: usize = 16;

/// Some columns of `x·w`. In each, the products of every `part` rows of `w` are added in their order, and then the sums of
/// the parts in theirs.
pub(super) struct Columns<'a> {
    /// `[n, a multiple of WIDEST]` zeros, of which the first columns become the product.
    pub(super) y: &'a mut [f32],
    /// `[n, inner]`.
    pub(super) x: &'a [f32],
    pub(super) n: usize,
    /// `[inner, out]`, from the first of these columns on.
    pub(super) w: &'a [f32],
    pub(super) out: usize,
    /// How many columns.
    pub(super) columns: usize,
    pub(super) part: usize,
}

impl WithSimd for Columns<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { y, x, n, w, out, columns, part } = self;
        let (inner, step, width) = (x.len() / n, y.len() / n, 2 * S::F32_LANES);
        let tiles = columns.div_ceil(width);
        // What stands together and is read once need not be put together.
        let plain = n <= TOGETHER && columns == out && columns.is_multiple_of(width);
        let mut sums = vec![0.0; y.len()];
        let mut room = vec![0.0; if plain { 0 } else { DEPTH.min(part) * tiles * width + LINE }];
        let start = room.as_ptr().align_offset(LINE * size_of::<f32>()).min(LINE).min(room.len());
        let tiled = &mut room[start..];
        for first in (0..inner).step_by(part) {
            let end = (first + part).min(inner);
            for at in (first..end).step_by(if plain { part } else { DEPTH }) {
                let (x, w) = ((&x[at..], inner), &w[at * out..]);
                let depth = if plain { end - at } else { DEPTH.min(end - at) };
                if !plain {
                    put_together::<S>(w, [out, columns], tiled, depth);
                }
                for t in 0..tiles {
                    let w = match plain {
                        true => (&w[t * width..], out),
                        false => (&tiled[t * depth * width..], width),
                    };
                    tile_of_all(simd, [n, depth], (&mut sums[t * width..], step), x, w);
                }
            }
            for (y, sum) in y.iter_mut().zip(&mut sums) {
                *y += std::mem::take(sum);
            }
        }
    }
}

/// Copies `depth` rows of `w` tile by tile, `[tiles, depth, width]`: in rows as they are, whose distance is often a power of
/// two, the lines of a tile would drive each other out of the cache.
#[inline(always)]
fn put_together<S: Simd>(w: &[f32], [out, columns]: [usize; 2], tiled: &mut [f32], depth: usize) {
    let width = 2 * S::F32_LANES;
    for (k, w) in w.chunks(out).take(depth).enumerate() {
        for (t, w) in w[..columns].chunks(width).enumerate() {
            let tile = &mut tiled[(t * depth + k) * width..][..width];
            if w.len() == width {
                // One by one: a call that copies would take longer.
                for (tile, w) in S::as_mut_simd_f32s(tile).0.iter_mut().zip(S::as_simd_f32s(w).0) {
                    *tile = *w;
                }
            } else {
                tile[..w.len()].copy_from_slice(w);
            }
        }
    }
}

/// One tile of so many rows of `w` with all of `n` rows. Rows of sums, of `x` and of `w` stand so far apart as is said beside
/// them.
#[inline(always)]
fn tile_of_all<S: Simd>(
    simd: S,
    [n, depth]: [usize; 2],
    (sums, step): (&mut [f32], usize),
    (x, inner): (&[f32], usize),
    w: (&[f32], usize),
) {
    let mut i = 0;
    while i < n {
        let (sums, x) = ((&mut sums[i * step..], step), (&x[i * inner..], inner));
        i += match n - i {
            1 => tile::<S, 1>(simd, depth, sums, x, w),
            2 | 3 => tile::<S, 2>(simd, depth, sums, x, w),
            4 | 5 => tile::<S, 4>(simd, depth, sums, x, w),
            _ => tile::<S, TOGETHER>(simd, depth, sums, x, w),
        };
    }
}

/// One tile with `N` rows; returns their number.
#[inline(always)]
fn tile<S: Simd, const N: usize>(
    simd: S,
    depth: usize,
    (sums, step): (&mut [f32], usize),
    (x, inner): (&[f32], usize),
    (w, apart): (&[f32], usize),
) -> usize {
    let width = 2 * S::F32_LANES;
    let mut totals = [[simd.splat_f32s(0.0); 2]; N];
    let mut rows: [&[f32]; N] = [&[]; N];
    for (n, (totals, row)) in totals.iter_mut().zip(&mut rows).enumerate() {
        let sums = S::as_simd_f32s(&sums[n * step..][..width]).0;
        *totals = [sums[0], sums[1]];
        *row = &x[n * inner..][..depth];
    }
    for (k, w) in w.chunks(apart).take(depth).enumerate() {
        let w = S::as_simd_f32s(&w[..width]).0;
        let w = [w[0], w[1]];
        for (totals, row) in totals.iter_mut().zip(rows) {
            let x = simd.splat_f32s(row[k]);
            for (total, w) in totals.iter_mut().zip(w) {
                *total = simd.add_f32s(*total, simd.mul_f32s(x, w));
            }
        }
    }
    for (n, totals) in totals.into_iter().enumerate() {
        S::as_mut_simd_f32s(&mut sums[n * step..][..width]).0.copy_from_slice(&totals);
    }
    N
}

/// Sums of products of rows of `x` with rows of `w`: each in lanes, which are then added in pairs, and the rest in its order.
pub(super) struct Dots<'a> {
    /// `[rows of w, n]`.
    pub(super) y: &'a mut [f32],
    /// `[n, inner]`.
    pub(super) x: &'a [f32],
    pub(super) n: usize,
    /// `[_, inner]`.
    pub(super) w: &'a [f32],
}

impl WithSimd for Dots<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { y, x, n, w } = self;
        let inner = x.len() / n;
        let mut i = 0;
        while i < n {
            let (x, left) = (&x[i * inner..], n - i);
            // Those of `x` stay in the nearest cache, and `w` comes from the next one for each of them.
            for (y, w) in y.chunks_exact_mut(n).zip(w.chunks_exact(inner)) {
                match left {
                    1 => dots::<S, 1>(simd, &mut y[i..], x, w),
                    2 | 3 => dots::<S, 2>(simd, &mut y[i..], x, w),
                    _ => dots::<S, DOTS_TOGETHER>(simd, &mut y[i..], x, w),
                }
            }
            i += match left {
                1 => 1,
                2 | 3 => 2,
                _ => DOTS_TOGETHER,
            };
        }
    }
}

/// One row of `w` with `N` of `x`.
#[inline(always)]
fn dots<S: Simd, const N: usize>(simd: S, y: &mut [f32], x: &[f32], w: &[f32]) {
    let mut lanes = [[0.0; LANES]; N];
    if S::F32_LANES == LANES {
        some_lanes::<S, N, 1>(simd, &mut lanes, 0, x, w);
    } else {
        for at in (0..LANES).step_by(2 * S::F32_LANES) {
            some_lanes::<S, N, 2>(simd, &mut lanes, at, x, w);
        }
    }
    let rest = w.as_chunks::<LANES>().1;
    for (y, (lanes, x)) in y.iter_mut().zip(lanes.iter().zip(x.chunks_exact(w.len()))) {
        let x = &x[w.len() - rest.len()..];
        *y = x.iter().zip(rest).fold(sum_of(lanes), |sum, (x, w)| sum + x * w);
    }
}

/// `V` vectors of the lanes, from lane `at` on.
#[inline(always)]
fn some_lanes<S: Simd, const N: usize, const V: usize>(
    simd: S,
    lanes: &mut [[f32; LANES]; N],
    at: usize,
    x: &[f32],
    w: &[f32],
) {
    let (inner, here) = (w.len(), at..at + V * S::F32_LANES);
    let w = w.as_chunks::<LANES>().0;
    let mut totals = [[simd.splat_f32s(0.0); V]; N];
    let mut rows: [&[[f32; LANES]]; N] = [&[]; N];
    for (n, row) in rows.iter_mut().enumerate() {
        *row = &x[n * inner..].as_chunks().0[..w.len()];
    }
    for (k, w) in w.iter().enumerate() {
        let w = S::as_simd_f32s(&w[here.clone()]).0;
        for (totals, row) in totals.iter_mut().zip(rows) {
            let x = S::as_simd_f32s(&row[k][here.clone()]).0;
            for (total, (x, w)) in totals.iter_mut().zip(x.iter().zip(w)) {
                *total = simd.add_f32s(*total, simd.mul_f32s(*x, *w));
            }
        }
    }
    for (lanes, totals) in lanes.iter_mut().zip(totals) {
        S::as_mut_simd_f32s(&mut lanes[here.clone()]).0.copy_from_slice(&totals);
    }
}

/// Halves are added until one is left, which costs a vector as many steps and not one for each lane.
#[inline(always)]
fn sum_of(lanes: &[f32; LANES]) -> f32 {
    let eight: [f32; LANES / 2] = std::array::from_fn(|i| lanes[i] + lanes[i + 8]);
    let four: [f32; LANES / 4] = std::array::from_fn(|i| eight[i] + eight[i + 4]);
    (four[0] + four[2]) + (four[1] + four[3])
}

/// Columns as rows: `[_, n]` → `[n, _]`.
pub(super) fn turned(values: &[f32], n: usize) -> Vec<f32> {
    let mut rows = vec![0.0; values.len()];
    for (i, row) in rows.chunks_exact_mut(values.len() / n).enumerate() {
        for (value, column) in row.iter_mut().zip(values.chunks_exact(n)) {
            *value = column[i];
        }
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(count: usize, step: usize) -> Vec<f32> {
        (0..count).map(|i| ((i * step) % 101) as f32 / 50.0 - 1.0).collect()
    }

    #[test]
    fn columns_are_summed_in_the_order_that_is_said() {
        // Parts of one and of several depths, the last of all shorter; columns that fill no vector; others beside them.
        for (inner, part, out, columns) in
            [(7, 7, 5, 3usize), (40, 16, 70, 33), (200, 100, 64, 64), (3, 8, 9, 1)]
        {
            let w = values(inner * out, 37);
            for n in 1..=40 {
                let x = values(n * inner, 53);
                let step = columns.next_multiple_of(WIDEST);
                let mut y = vec![0.0; n * step];
                let op = Columns { y: &mut y, x: &x, n, w: &w[out - columns..], out, columns, part };
                pulp::Arch::new().dispatch(op);
                for (row, x) in y.chunks(step).zip(x.chunks(inner)) {
                    for (c, y) in row[..columns].iter().enumerate() {
                        let weight = |k: usize| w[k * out + out - columns + c];
                        let sums = (0..inner).step_by(part).map(|first| {
                            let rows = first..(first + part).min(inner);
                            rows.fold(0.0, |sum, k| sum + x[k] * weight(k))
                        });
                        assert_eq!(*y, sums.fold(0.0, |all: f32, sum: f32| all + sum), "{inner} {n} {c}");
                    }
                }
            }
        }
    }

    #[test]
    fn dots_are_summed_in_the_order_that_is_said() {
        for inner in [1, 15, 16, 47, 320] {
            let w = values(3 * inner, 37);
            for n in 1..=40 {
                let x = values(n * inner, 53);
                let mut y = vec![f32::NAN; 3 * n];
                pulp::Arch::new().dispatch(Dots { y: &mut y, x: &x, n, w: &w });
                for (i, y) in y.iter().enumerate() {
                    let (w, x) = (&w[i / n * inner..][..inner], &x[i % n * inner..][..inner]);
                    let mut lanes = [0.0; LANES];
                    let whole = inner / LANES * LANES;
                    (0..whole).for_each(|k| lanes[k % LANES] += x[k] * w[k]);
                    let mut count = LANES;
                    while count > 1 {
                        count /= 2;
                        (0..count).for_each(|i| lanes[i] += lanes[i + count]);
                    }
                    let expected = (whole..inner).fold(lanes[0], |sum, k| sum + x[k] * w[k]);
                    assert_eq!(*y, expected, "{inner} {n} {i}");
                }
            }
        }
    }
}
