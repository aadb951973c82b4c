//! The largest singular values of a matrix and their vectors, in f64.

use crate::random::Random;

/// A matrix of up to so many columns, or rows, is taken apart whole; of a larger one the leading part is looked for.
const WHOLE: usize = 96;
/// Directions that are looked for beyond those that are asked for (Halko, Martinsson & Tropp, 2011, §4.2).
const BEYOND: usize = 8;
/// Passes of subspace iteration: the error shrinks with their number as `(σₖ₊ₗ/σₖ)²ⁿ`.
const PASSES: usize = 8;
/// Sweeps of Jacobi rotations at most; under ten are needed.
const SWEEPS: usize = 60;
/// Columns whose cosine is below this stand upright on each other.
const UPRIGHT: f64 = 1e-13;

/// Leading singular values, the largest first, with their vectors.
pub(super) struct Svd {
    /// Of the left side, one after the other: each of as many values as the matrix has rows.
    pub left: Vec<Vec<f64>>,
    pub values: Vec<f64>,
    /// Of the right side, likewise: as many values as columns.
    pub right: Vec<Vec<f64>>,
}

/// The `count` leading ones of a matrix of `rows` rows that stand one after the other. Matrices over [`WHOLE`] on both sides
/// are projected on a random subspace, which is turned towards the leading one (Halko et al., 2011, algorithm 4.4); the
/// noise is of `random`.
pub(super) fn leading(matrix: &[f32], rows: usize, count: usize, random: &mut Random) -> Svd {
    let columns = matrix.len() / rows.max(1);
    if rows < columns {
        let turned: Vec<f32> =
            (0..columns).flat_map(|j| (0..rows).map(move |i| matrix[i * columns + j])).collect();
        let Svd { left, values, right } = leading(&turned, columns, count, random);
        return Svd { left: right, values, right: left };
    }
    let matrix = Columns::of(matrix, columns);
    let sketch = count + BEYOND;
    if columns <= WHOLE || sketch >= columns {
        return jacobi(matrix.0, count);
    }
    // An upright basis of the leading part of the rows' space.
    let mut basis: Vec<Vec<f64>> =
        (0..sketch).map(|_| (0..columns).map(|_| random.normal()).collect()).collect();
    for _ in 0..PASSES {
        basis = basis.iter().map(|vector| matrix.transposed_times(&matrix.times(vector))).collect();
        make_upright(&mut basis);
    }
    let Svd { left, values, right } = jacobi(basis.iter().map(|v| matrix.times(v)).collect(), count);
    let right = right.iter().map(|weights| combine(&basis, weights)).collect();
    Svd { left, values, right }
}

/// What [`of_product`] finds.
pub(super) struct Leading {
    /// The leading values with their vectors.
    pub svd: Svd,
    /// The length (Frobenius) of what is beyond them.
    pub beyond: f64,
    /// The length of the whole.
    pub length: f64,
}

/// The `count` leading singular values of `B·A`, of which the product is never made: with `B = Q·R` and `Aᵀ = P·S` it is
/// `Q·(R·Sᵀ)·Pᵀ`, and what stands between is as small as the path is wide. `b` is `[out, rank]`, `a` is `[rank, in]`.
pub(super) fn of_product(b: &[f32], a: &[f32], rank: usize, count: usize, random: &mut Random) -> Leading {
    let columns = Columns::of(b, rank).0;
    let inputs = a.len() / rank.max(1);
    let rows: Vec<Vec<f64>> =
        a.chunks_exact(inputs.max(1)).map(|row| row.iter().map(|&x| f64::from(x)).collect()).collect();
    let (mut left, mut right) = (columns.clone(), rows.clone());
    make_upright(&mut left);
    make_upright(&mut right);
    let parts = |basis: &[Vec<f64>], vectors: &[Vec<f64>]| -> Vec<Vec<f64>> {
        basis.iter().map(|unit| vectors.iter().map(|vector| dot(unit, vector)).collect()).collect()
    };
    let (r, s) = (parts(&left, &columns), parts(&right, &rows));
    let between: Vec<f32> = r.iter().flat_map(|r| s.iter().map(move |s| dot(r, s) as f32)).collect();
    let inner = leading(&between, rank, count, random);
    let mut beyond: Vec<f64> = between.iter().map(|&x| f64::from(x)).collect();
    let length = dot(&beyond, &beyond).sqrt();
    for ((u, value), v) in inner.left.iter().zip(&inner.values).zip(&inner.right) {
        for (row, u) in beyond.chunks_exact_mut(rank).zip(u) {
            row.iter_mut().zip(v).for_each(|(x, v)| *x -= u * value * v);
        }
    }
    let turned =
        |basis: &[Vec<f64>], vectors: &[Vec<f64>]| vectors.iter().map(|v| combine(basis, v)).collect();
    let svd =
        Svd { left: turned(&left, &inner.left), values: inner.values, right: turned(&right, &inner.right) };
    Leading { svd, beyond: dot(&beyond, &beyond).sqrt(), length }
}

/// A matrix, column by column.
struct Columns(Vec<Vec<f64>>);

impl Columns {
    fn of(matrix: &[f32], columns: usize) -> Self {
        let column = |j: usize| matrix.iter().skip(j).step_by(columns).map(|&x| f64::from(x)).collect();
        Self((0..columns).map(column).collect())
    }

    fn times(&self, vector: &[f64]) -> Vec<f64> {
        combine(&self.0, vector)
    }

    fn transposed_times(&self, vector: &[f64]) -> Vec<f64> {
        self.0.iter().map(|column| dot(column, vector)).collect()
    }
}

/// The sum of vectors, each times its weight.
fn combine(vectors: &[Vec<f64>], weights: &[f64]) -> Vec<f64> {
    let mut sum = vec![0.0; vectors.first().map_or(0, Vec::len)];
    for (vector, weight) in vectors.iter().zip(weights) {
        sum.iter_mut().zip(vector).for_each(|(sum, x)| *sum += weight * x);
    }
    sum
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// Gram and Schmidt, twice, which leaves rounding errors alone. What lies in the space of those before becomes zero.
fn make_upright(vectors: &mut [Vec<f64>]) {
    for i in 0..vectors.len() {
        let (done, rest) = vectors.split_at_mut(i);
        let Some(vector) = rest.first_mut() else { return };
        let before = dot(vector, vector).sqrt();
        for _ in 0..2 {
            for other in done.iter() {
                let share = dot(other, vector);
                vector.iter_mut().zip(other).for_each(|(x, other)| *x -= share * other);
            }
        }
        let length = dot(vector, vector).sqrt();
        let scale = if length > before * UPRIGHT { 1.0 / length } else { 0.0 };
        vector.iter_mut().for_each(|x| *x *= scale);
    }
}

/// One-sided Jacobi rotations (Hestenes, 1958) turn the columns until all stand upright on each other: their lengths are
/// the singular values then, and the turns are the right vectors.
fn jacobi(mut columns: Vec<Vec<f64>>, count: usize) -> Svd {
    let n = columns.len();
    let unit = |i: usize| (0..n).map(|j| if i == j { 1.0 } else { 0.0 }).collect::<Vec<f64>>();
    let mut turns: Vec<Vec<f64>> = (0..n).map(unit).collect();
    for _ in 0..SWEEPS {
        let mut turned = false;
        for i in 0..n {
            for j in i + 1..n {
                let (a, b) = (dot(&columns[i], &columns[i]), dot(&columns[j], &columns[j]));
                let c = dot(&columns[i], &columns[j]);
                if c.abs() <= UPRIGHT * (a * b).sqrt() {
                    continue;
                }
                turned = true;
                let zeta = (b - a) / (2.0 * c);
                let tangent = zeta.signum() / (zeta.abs() + (1.0 + zeta * zeta).sqrt());
                let cosine = 1.0 / (1.0 + tangent * tangent).sqrt();
                rotate(&mut columns, i, j, cosine, cosine * tangent);
                rotate(&mut turns, i, j, cosine, cosine * tangent);
            }
        }
        if !turned {
            break;
        }
    }
    sorted(columns, turns, count)
}

/// Columns `i` and `j` turned in their plane.
fn rotate(columns: &mut [Vec<f64>], i: usize, j: usize, cosine: f64, sine: f64) {
    let (front, back) = columns.split_at_mut(j);
    for (x, y) in front[i].iter_mut().zip(back[0].iter_mut()) {
        (*x, *y) = (cosine * *x - sine * *y, sine * *x + cosine * *y);
    }
}

fn sorted(columns: Vec<Vec<f64>>, turns: Vec<Vec<f64>>, count: usize) -> Svd {
    let with_length = |(column, turn): (Vec<f64>, Vec<f64>)| (dot(&column, &column).sqrt(), column, turn);
    let mut all: Vec<_> = columns.into_iter().zip(turns).map(with_length).collect();
    all.sort_by(|(a, ..), (b, ..)| b.total_cmp(a));
    let mut svd = Svd { left: Vec::new(), values: Vec::new(), right: Vec::new() };
    for (length, mut column, turn) in all.into_iter().take(count) {
        let scale = if length > 0.0 { 1.0 / length } else { 0.0 };
        column.iter_mut().for_each(|x| *x *= scale);
        svd.left.push(column);
        svd.values.push(length);
        svd.right.push(turn);
    }
    svd
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The matrix that the vectors and values make up, row by row.
    fn product(svd: &Svd) -> Vec<f64> {
        let (rows, columns) = (svd.left[0].len(), svd.right[0].len());
        let mut sum = vec![0.0; rows * columns];
        for ((left, value), right) in svd.left.iter().zip(&svd.values).zip(&svd.right) {
            for (row, l) in sum.chunks_exact_mut(columns).zip(left) {
                row.iter_mut().zip(right).for_each(|(x, r)| *x += l * value * r);
            }
        }
        sum
    }

    fn assert_upright(vectors: &[Vec<f64>]) {
        for (i, a) in vectors.iter().enumerate() {
            for (j, b) in vectors.iter().enumerate() {
                let expected = f64::from(u8::from(i == j));
                assert!((dot(a, b) - expected).abs() < 1e-10, "{i} {j}: {}", dot(a, b));
            }
        }
    }

    fn close(found: &[f64], expected: &[f64], limit: f64) {
        assert_eq!(found.len(), expected.len());
        for (found, expected) in found.iter().zip(expected) {
            assert!((found - expected).abs() < limit, "{found} {expected}");
        }
    }

    #[test]
    fn a_product_is_taken_apart_without_being_made() {
        // Rows 3·e₁ and 2·e₃: the values are 3 and 2, and √13 is the length of both.
        let (b, a) = ([1.0, 0.0, 0.0, 2.0, 0.0, 0.0], [3.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0]);
        let found = of_product(&b, &a, 2, 1, &mut Random::new(1, 0));
        close(&[found.svd.values[0], found.beyond, found.length], &[3.0, 2.0, 13f64.sqrt()], 1e-6);
        close(&product(&found.svd), &[3.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0], 1e-6);
        // A path that is wider than its layer, and repeats itself: twice e₁, of which nothing is beyond one.
        let (b, a) = ([1.0, 1.0, 1.0, 0.0, 0.0, 0.0], [1.0, 0.0, 1.0, 0.0, 0.0, 0.0]);
        let found = of_product(&b, &a, 3, 1, &mut Random::new(1, 0));
        close(&product(&found.svd), &[2.0, 0.0, 0.0, 0.0], 1e-6);
        close(&[found.beyond, found.length], &[0.0, 2.0], 1e-6);
    }

    #[test]
    fn matrices_by_hand() {
        // [[3, 0], [4, 5]]: AᵀA = [[25, 20], [20, 25]], whose eigenvalues are 45 and 5 with (1, 1)/√2 and (1, −1)/√2.
        let random = &mut Random::new(1, 0);
        let svd = leading(&[3.0, 0.0, 4.0, 5.0], 2, 2, random);
        close(&svd.values, &[45f64.sqrt(), 5f64.sqrt()], 1e-12);
        let root = 0.5f64.sqrt();
        close(&svd.right[0].iter().map(|x| x.abs()).collect::<Vec<_>>(), &[root, root], 1e-12);
        close(&product(&svd), &[3.0, 0.0, 4.0, 5.0], 1e-12);
        // Wide, of rank one: (1, 2)ᵀ(2, 0, 1), of length √5·√5.
        let svd = leading(&[2.0, 0.0, 1.0, 4.0, 0.0, 2.0], 2, 2, random);
        close(&svd.values, &[5.0, 0.0], 1e-12);
        close(&product(&svd), &[2.0, 0.0, 1.0, 4.0, 0.0, 2.0], 1e-12);
        let zero = leading(&[0.0; 6], 3, 1, random);
        assert_eq!(zero.values, [0.0]);
    }

    #[test]
    fn small_matrices_of_any_shape_come_together_again() {
        let mut random = Random::new(2, 0);
        for (rows, columns) in [(1, 1), (7, 3), (3, 7), (40, 32), (12, 96)] {
            let matrix: Vec<f32> = (0..rows * columns).map(|_| random.normal() as f32).collect();
            let svd = leading(&matrix, rows, rows.min(columns), &mut random);
            assert_upright(&svd.left);
            assert_upright(&svd.right);
            assert!(svd.values.is_sorted_by(|a, b| a >= b));
            let expected: Vec<f64> = matrix.iter().map(|&x| f64::from(x)).collect();
            close(&product(&svd), &expected, 1e-10);
        }
    }

    #[test]
    fn the_leading_part_of_a_large_matrix_is_that_of_the_whole() {
        let (rows, columns, count) = (130, 110, 6);
        let mut random = Random::new(3, 0);
        // Values that fall as those of trained weights do: fast at first.
        let mut vectors = |length: usize| -> Vec<Vec<f64>> {
            let mut all: Vec<Vec<f64>> =
                (0..columns).map(|_| (0..length).map(|_| random.normal()).collect()).collect();
            make_upright(&mut all);
            all
        };
        let values: Vec<f64> = (0..columns).map(|i| 4.0 / (1.0 + i as f64)).collect();
        let (left, right) = (vectors(rows), vectors(columns));
        let matrix: Vec<f32> =
            product(&Svd { left, values: values.clone(), right }).iter().map(|&x| x as f32).collect();
        let svd = leading(&matrix, rows, count, &mut random);
        close(&svd.values, &values[..count], 1e-4);
        assert_upright(&svd.left);
        assert_upright(&svd.right);
        let whole = jacobi(Columns::of(&matrix, columns).0, count);
        close(&product(&svd), &product(&whole), 1e-3);
    }
}
