//! Products of matrices that stand in slices.
//!
//! They go to the crate that burn's own products on the processor go to, with the same order of summation. What burn would do
//! beside it is left out: it clears every output and copies it once more before it is filled.

use gemm::Parallelism;

/// Multiplications from which a product is divided among threads, as burn divides it.
const DIVIDED_FROM: usize = 192 * 192 * 192;

/// A matrix in a slice: steps from one row and from one column to the next.
#[derive(Clone, Copy, Debug)]
pub(super) struct Matrix<'a> {
    values: &'a [f32],
    rows: usize,
    columns: usize,
    row_step: usize,
    column_step: usize,
}

impl<'a> Matrix<'a> {
    /// Row by row, without gaps.
    pub(super) fn new(values: &'a [f32], shape: [usize; 2]) -> Self {
        Self::with_step(values, shape, shape[1])
    }

    /// Row by row, `step` values from one to the next.
    pub(super) fn with_step(values: &'a [f32], [rows, columns]: [usize; 2], step: usize) -> Self {
        assert!(reach(rows, columns, step) <= values.len(), "a matrix ends within its slice");
        Self { values, rows, columns, row_step: step, column_step: 1 }
    }

    /// Rows as columns.
    pub(super) fn transposed(self) -> Self {
        Self {
            rows: self.columns,
            columns: self.rows,
            row_step: self.column_step,
            column_step: self.row_step,
            ..self
        }
    }
}

/// Where a product goes: into rows `step` values apart, in the place of what stands there or added to it.
#[derive(Debug)]
pub(super) struct Target<'a> {
    pub(super) values: &'a mut [f32],
    pub(super) step: usize,
    pub(super) adds: bool,
}

/// Values from the first of a matrix to behind its last.
fn reach(rows: usize, columns: usize, step: usize) -> usize {
    // Bounds that would wrap where sizes have 32 bits stay beyond every slice.
    if rows == 0 || columns == 0 { 0 } else { (rows - 1).saturating_mul(step).saturating_add(columns) }
}

/// `a·b`, row by row.
pub(super) fn product(a: Matrix<'_>, b: Matrix<'_>) -> Vec<f32> {
    // What is too many to count is too much to get, and no smaller number that the product would overrun.
    let len = a.rows.saturating_mul(b.columns);
    let mut out = Vec::with_capacity(len);
    #[allow(unsafe_code)]
    // SAFETY: the product writes each of the `len` values, which there is room for, and reads none of them.
    unsafe {
        run((out.as_mut_ptr(), b.columns), false, [a, b], true);
        out.set_len(len);
    }
    out
}

/// `a·b` into a part of a slice.
pub(super) fn multiply(target: Target<'_>, a: Matrix<'_>, b: Matrix<'_>) {
    into(target, a, b, true);
}

/// The same within a task, by its thread alone.
pub(super) fn multiply_alone(target: Target<'_>, a: Matrix<'_>, b: Matrix<'_>) {
    into(target, a, b, false);
}

fn into(target: Target<'_>, a: Matrix<'_>, b: Matrix<'_>, divided: bool) {
    let Target { values, step, adds } = target;
    assert!(b.columns <= step, "rows of a target do not overlap");
    assert!(reach(a.rows, b.columns, step) <= values.len(), "a product ends within its target");
    #[allow(unsafe_code)]
    // SAFETY: the target is borrowed for this alone, and the product stays within it.
    unsafe {
        run((values.as_mut_ptr(), step), adds, [a, b], divided);
    }
}

/// # Safety
/// `out` may be written at `row · step + column` for every row of `a` and every column of `b`, and, where the product is
/// added, read.
#[allow(unsafe_code)]
unsafe fn run((out, step): (*mut f32, usize), adds: bool, [a, b]: [Matrix<'_>; 2], divided: bool) {
    assert_eq!(a.columns, b.rows, "the inner sides of a product are equal");
    let (rows, columns, inner) = (a.rows, b.columns, a.columns);
    let work = rows.saturating_mul(columns).saturating_mul(inner);
    let threads = match divided && work >= DIVIDED_FROM {
        #[cfg(not(target_family = "wasm"))]
        true => Parallelism::Rayon(0),
        _ => Parallelism::None,
    };
    // SAFETY: both matrices end within their slices (`Matrix::with_step`), and `out` is the caller's promise.
    unsafe {
        gemm::gemm(
            rows,
            columns,
            inner,
            out,
            1,
            step as isize,
            adds,
            a.values.as_ptr(),
            a.column_step as isize,
            a.row_step as isize,
            b.values.as_ptr(),
            b.column_step as isize,
            b.row_step as isize,
            1.0f32,
            1.0f32,
            false,
            false,
            false,
            threads,
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn products_by_hand() {
        let (a, b) = ([1.0, 2.0, 3.0, 4.0, 5.0, 6.0], [1.0, -1.0, 0.5, 2.0, 0.0, 3.0]);
        let (a, b) = (Matrix::new(&a, [2, 3]), Matrix::new(&b, [3, 2]));
        assert_eq!(product(a, b), [2.0, 12.0, 6.5, 24.0]);
        assert_eq!(product(b.transposed(), a.transposed()), [2.0, 6.5, 12.0, 24.0]);
        assert_eq!(product(a.transposed(), Matrix::new(&[1.0, 10.0], [2, 1])), [41.0, 52.0, 63.0]);
    }

    #[test]
    fn products_into_a_part() {
        let a = [1.0, 2.0, 9.0, 3.0, 4.0, 9.0];
        let a = Matrix::with_step(&a, [2, 2], 3);
        let mut out = [7.0; 7];
        multiply(Target { values: &mut out[1..], step: 4, adds: false }, a, a);
        assert_eq!(out, [7.0, 7.0, 10.0, 7.0, 7.0, 15.0, 22.0]);
        multiply(Target { values: &mut out[1..], step: 4, adds: true }, a, a);
        assert_eq!(out, [7.0, 14.0, 20.0, 7.0, 7.0, 30.0, 44.0]);
    }

    #[test]
    fn nothing_to_sum_gives_zeros() {
        assert_eq!(product(Matrix::new(&[], [2, 0]), Matrix::new(&[], [0, 2])), [0.0; 4]);
        assert!(product(Matrix::new(&[], [0, 2]), Matrix::new(&[1.0, 2.0], [2, 1])).is_empty());
    }

    #[test]
    #[should_panic(expected = "capacity overflow")]
    fn a_product_whose_size_wraps_is_not_begun() {
        // Twice half of all numbers would be none.
        product(Matrix::new(&[], [usize::MAX / 2 + 1, 0]), Matrix::new(&[], [0, 2]));
    }

    #[test]
    #[should_panic(expected = "ends within its slice")]
    fn a_matrix_whose_size_wraps_is_none() {
        Matrix::with_step(&[1.0, 2.0], [usize::MAX / 2 + 2, 1], 2);
    }
}
