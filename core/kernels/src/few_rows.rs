//! Rows times a dense matrix, as a model meets them while it writes one answer or many: every weight is read once, by all
//! threads. What a row gives does not depend on how many there are.

use burn::tensor::{Tensor, TensorData};
use burn_flex::{Flex, FlexTensor};

use super::chunks::{for_each_chunk, threads};
use super::dense::{multiply, multiply_transposed};
use super::host::{Input, input};
use super::tiles::{Columns, Dots, WIDEST, turned};

/// Rows up to which it pays to read the matrix straight through, with sums that go through the cache.
const STREAMED: usize = 4;
/// Weights that one task reads at least, so that starting it pays.
const TASK: usize = 64 * 1024;
/// Tasks that share the rows of a matrix, at most: each has sums of its own, which are added in the end.
const MOST_TASKS: usize = 8;
/// Columns of a task for more rows: at least, so that starting it pays, and about at most, so that what it reads of the
/// matrix at a time stays in the cache.
const COLUMNS: [usize; 2] = [4 * WIDEST, 16 * WIDEST];

/// `y = x·W`.
///
/// # Shapes
/// `x [n, inner]`, `w [inner, out]` → `[n, out]`.
pub fn few_rows(x: Tensor<2>, w: Tensor<2>) -> Tensor<2> {
    few(&x, &w, by_rows).unwrap_or_else(|| multiply(x, w))
}

/// `y = x·Wᵀ`.
///
/// # Shapes
/// `x [n, inner]`, `w [out, inner]` → `[n, out]`.
pub fn few_rows_transposed(x: Tensor<2>, w: Tensor<2>) -> Tensor<2> {
    few(&x, &w, by_dots).unwrap_or_else(|| multiply_transposed(x, w))
}

/// Of `x` and `w`, whose rows and inner width these are.
type Product = fn(&[f32], &[f32], [usize; 2]) -> Vec<f32>;

/// What `product` gives for slices of `x` and `w` and the number of rows; `None` for no rows, inside the graph, on another
/// device or in another type.
fn few(x: &Tensor<2>, w: &Tensor<2>, product: Product) -> Option<Tensor<2>> {
    let [n, inner] = x.dims();
    if n == 0 || w.shape().num_elements() == 0 {
        return None;
    }
    let (Input::Plain(x), Input::Plain(w)) = (input(x)?, input(w)?) else { return None };
    let x = x.to_contiguous();
    let y = product(x.as_slice()?, w.as_slice()?, [n, inner]);
    let out = y.len() / n;
    Some(Tensor::from_primitive::<Flex>(FlexTensor::from_data(TensorData::new(y, [n, out]))))
}

/// Adds the rows of `w`, each times what stands beside it in `x`: those of a part in their order, and then the parts.
fn by_rows(x: &[f32], w: &[f32], [n, inner]: [usize; 2]) -> Vec<f32> {
    let parts = (w.len() / TASK).clamp(1, MOST_TASKS);
    let part = inner.div_ceil(parts);
    if n > STREAMED { by_columns(x, w, [n, inner], part) } else { by_parts(x, w, [n, inner], part) }
}

/// Each part has sums of its own, so that a task reads what stands together in memory.
fn by_parts(x: &[f32], w: &[f32], [n, inner]: [usize; 2], part: usize) -> Vec<f32> {
    let out = w.len() / inner;
    // [parts, n, out]
    let mut sums = vec![0.0; inner.div_ceil(part) * n * out];
    for_each_chunk(&mut sums, n * out, |task, sums| {
        let rows = task * part..((task + 1) * part).min(inner);
        pulp::Arch::new().dispatch(|| {
            for i in rows.clone() {
                for (sums, x) in sums.chunks_exact_mut(out).zip(x.chunks_exact(inner)) {
                    add(sums, x[i], &w[i * out..][..out]);
                }
            }
        });
    });
    let (first, others) = sums.split_at_mut(n * out);
    others.chunks_exact(n * out).for_each(|other| add(first, 1.0, other));
    sums.truncate(n * out);
    sums
}

/// The same sums, made for some columns a task.
fn by_columns(x: &[f32], w: &[f32], [n, inner]: [usize; 2], part: usize) -> Vec<f32> {
    let out = w.len() / inner;
    let tasks = out.div_ceil(COLUMNS[1] * threads()) * threads();
    let step = out.div_ceil(tasks).max(COLUMNS[0]).min(out).next_multiple_of(WIDEST);
    // [tasks, n, step]
    let mut y = vec![0.0; out.div_ceil(step) * n * step];
    for_each_chunk(&mut y, n * step, |task, y| {
        let first = task * step;
        let columns = step.min(out - first);
        pulp::Arch::new().dispatch(Columns { y, x, n, w: &w[first..], out, columns, part });
    });
    let mut rows = vec![0.0; n * out];
    for (i, row) in rows.chunks_exact_mut(out).enumerate() {
        for (task, values) in row.chunks_mut(step).enumerate() {
            values.copy_from_slice(&y[(task * n + i) * step..][..values.len()]);
        }
    }
    rows
}

/// `sums += x·w`.
#[inline(always)]
fn add(sums: &mut [f32], x: f32, w: &[f32]) {
    for (sum, w) in sums.iter_mut().zip(w) {
        *sum += x * w;
    }
}

/// A sum for each row of `w`.
fn by_dots(x: &[f32], w: &[f32], [n, inner]: [usize; 2]) -> Vec<f32> {
    let out = w.len() / inner;
    let rows_a_task = (TASK / inner).max(1);
    // [out, n], so that a task writes what lies together.
    let mut y = vec![0.0; out * n];
    for_each_chunk(&mut y, rows_a_task * n, |task, y| {
        let w = &w[task * rows_a_task * inner..];
        pulp::Arch::new().dispatch(Dots { y, x, n, w });
    });
    if n == 1 { y } else { turned(&y, n) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::Device;

    fn tensor(shape: [usize; 2], step: usize) -> Tensor<2> {
        let count = shape[0] * shape[1];
        let values: Vec<f32> = (0..count).map(|i| ((i * step) % 101) as f32 / 50.0 - 1.0).collect();
        Tensor::from_data(TensorData::new(values, shape), &Device::flex())
    }

    fn read(tensor: Tensor<2>) -> Vec<f32> {
        tensor.into_data().iter().collect()
    }

    #[test]
    fn products_by_hand() {
        let device = Device::flex();
        let x = Tensor::<2>::from_floats([[1.0, 2.0], [0.5, -1.0]], &device);
        let w = Tensor::<2>::from_floats([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]], &device);
        let expected = [9.0, 12.0, 15.0, -3.5, -4.0, -4.5];
        assert_eq!(read(few_rows(x.clone(), w.clone())), expected);
        // Not contiguous: the backend's.
        assert_eq!(read(few_rows_transposed(x.clone(), w.clone().transpose())), expected);
        let transposed = Tensor::<2>::from_floats([[1.0, 4.0], [2.0, 5.0], [3.0, 6.0]], &device);
        assert_eq!(read(few_rows_transposed(x, transposed)), expected);
    }

    #[test]
    fn it_is_the_product_of_the_backend_and_a_row_is_what_it_is_alone() {
        // Sizes with and without a rest, of one task and of several.
        for [inner, out] in [[5, 3], [33, 70], [100, 4000], [1031, 517]] {
            let (w, all) = (tensor([inner, out], 37), tensor([40, inner], 53));
            let table = tensor([out, inner], 41);
            let alone = |i: usize, product: fn(Tensor<2>, Tensor<2>) -> Tensor<2>, w: &Tensor<2>| {
                read(product(all.clone().narrow(0, i, 1), w.clone()))
            };
            let [rows, dots] = [
                (0..40).flat_map(|i| alone(i, few_rows, &w)).collect::<Vec<_>>(),
                (0..40).flat_map(|i| alone(i, few_rows_transposed, &table)).collect(),
            ];
            for n in 1..=40 {
                let x = all.clone().narrow(0, 40 - n, n);
                for (found, alone, expected) in [
                    (few_rows(x.clone(), w.clone()), &rows, x.clone().matmul(w.clone())),
                    (
                        few_rows_transposed(x.clone(), table.clone()),
                        &dots,
                        x.clone().matmul(table.clone().transpose()),
                    ),
                ] {
                    let (found, expected) = (read(found), read(expected));
                    assert_eq!(found, alone[(40 - n) * out..], "{inner} {out} {n}");
                    let near = |(a, b): (&f32, &f32)| (a - b).abs() < 1e-4 * (inner as f32).sqrt();
                    assert!(found.iter().zip(&expected).all(near), "{inner} {out} {n}");
                }
            }
        }
    }

    #[test]
    fn no_rows_and_what_trains_are_the_backends() {
        let device = Device::flex().autodiff();
        let x = Tensor::<2>::from_floats([[1.0, 2.0]], &device).require_grad();
        let w = Tensor::<2>::from_floats([[3.0], [4.0]], &device);
        let grads = few_rows(x.clone(), w).sum().backward();
        assert_eq!(read(x.grad(&grads).unwrap()), [3.0, 4.0]);
        assert!(few(&tensor([0, 4], 3), &tensor([4, 4], 5), by_rows).is_none());
        assert!(few(&tensor([90, 4], 3), &tensor([4, 4], 5), by_rows).is_some());
    }
}
