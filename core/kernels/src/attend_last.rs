//! Attention of one query a sequence on the processor, as a model that writes asks it of its cache: keys and values are read
//! where they stand, and of each sequence its own alone.

use burn::tensor::{Tensor, TensorData};
use burn_flex::{Flex, FlexTensor};

use super::AttentionMask;
use super::chunks::for_each_chunk;
use super::host::{Input, input};
use super::softmax::row_softmax;
use super::tiles::{Columns, Dots, WIDEST, turned};

/// Multiplications that one task makes at least, so that starting it pays.
const TASK: usize = 256 * 1024;
/// Weighed values that are added before such sums are.
const PART: usize = 256;

/// `softmax(scale · q·kᵀ)·v` under a mask; query head `h` reads key head `h / (heads / kv_heads)`. What a sequence gives does
/// not depend on the others. `None` for more queries than one, inside a graph, on other devices, in other types than f32, and
/// where the keys or values of a head do not stand one behind the other.
///
/// # Shapes
/// `q [batch, 1, heads, hd]`, `k, v [batch, kv_heads, keys, hd]` → `[batch, 1, heads · hd]`.
pub fn attend_last([q, k, v]: [&Tensor<4>; 3], scale: f64, mask: &AttentionMask) -> Option<Tensor<3>> {
    let ([batch, queries, heads, width], [_, kv_heads, keys, _]) = (q.dims(), k.dims());
    let (Input::Plain(q), Input::Plain(k), Input::Plain(v)) = (input(q)?, input(k)?, input(v)?) else {
        return None;
    };
    if queries != 1 || batch * heads * keys * width == 0 {
        return None;
    }
    let (q, k, v) = (q.to_contiguous(), Held::new(&k)?, Held::new(&v)?);
    let q = q.as_slice::<f32>()?;
    let (group, step) = (heads / kv_heads, width.next_multiple_of(WIDEST));
    let of = Head { group, width, scale: scale as f32 };
    // [batch, kv_heads, group, step]
    let mut y = vec![0.0; batch * heads * step];
    let heads_a_task = (TASK / (2 * group * keys * width)).max(1);
    for_each_chunk(&mut y, heads_a_task * group * step, |task, y| {
        for (i, y) in y.chunks_exact_mut(group * step).enumerate() {
            let i = task * heads_a_task + i;
            let (row, head) = (i / kv_heads, i % kv_heads);
            let q = &q[i * group * width..][..group * width];
            let runs = mask.runs(row, 0, 1, keys);
            attend_head(y, q, [k.of(row, head), v.of(row, head)], runs, &of);
        }
    });
    if step > width {
        y = y.chunks_exact(step).flat_map(|y| &y[..width]).copied().collect();
    }
    let shape = [batch, 1, heads * width];
    Some(Tensor::from_primitive::<Flex>(FlexTensor::from_data(TensorData::new(y, shape))))
}

/// Keys or values `[batch, kv_heads, keys, hd]`, of which each head's stand one behind the other.
struct Held<'a> {
    values: &'a [f32],
    /// From one sequence and from one head to the next.
    steps: [usize; 2],
    /// Of one head.
    len: usize,
}

impl<'a> Held<'a> {
    fn new(tensor: &'a FlexTensor) -> Option<Self> {
        let layout = tensor.layout();
        let (&[_, _, keys, width], &[row, head, key, 1]) = (layout.shape().as_slice(), layout.strides())
        else {
            return None;
        };
        if usize::try_from(key) != Ok(width) {
            return None;
        }
        let steps = [usize::try_from(row).ok()?, usize::try_from(head).ok()?];
        let values = tensor.storage::<f32>().get(layout.start_offset()..)?;
        Some(Self { values, steps, len: keys * width })
    }

    /// `[keys, hd]` of a head.
    fn of(&self, row: usize, head: usize) -> &'a [f32] {
        &self.values[row * self.steps[0] + head * self.steps[1]..][..self.len]
    }
}

/// The query heads of one key head, `[group, hd]`, into rows of `y`, which are zeros.
fn attend_head(y: &mut [f32], q: &[f32], [k, v]: [&[f32]; 2], runs: [(usize, usize); 2], of: &Head) {
    let full = || runs.iter().filter(|(start, end)| start < end);
    let (Some(first), Some(last)) = (full().map(|run| run.0).min(), full().map(|run| run.1).max()) else {
        return;
    };
    let &Head { group, width, scale } = of;
    let (keys, seen) = (last - first, first * width..last * width);
    // [keys, group]
    let mut scores = vec![0.0; keys * group];
    pulp::Arch::new().dispatch(Dots { y: &mut scores, x: q, n: group, w: &k[seen.clone()] });
    // [group, keys]
    let mut weights = turned(&scores, group);
    let runs = runs.map(|(start, end)| (start.clamp(first, last) - first, end.clamp(first, last) - first));
    pulp::Arch::new().dispatch(|| {
        for weights in weights.chunks_exact_mut(keys) {
            row_softmax(weights, runs, scale);
        }
    });
    let (n, columns, part) = (group, width, PART);
    pulp::Arch::new().dispatch(Columns { y, x: &weights, n, w: &v[seen], out: width, columns, part });
}

/// What is the same for all heads.
struct Head {
    /// Query heads of a key head.
    group: usize,
    width: usize,
    scale: f32,
}

#[cfg(test)]
mod tests {
    use super::super::masked_softmax;
    use super::*;
    use burn::tensor::Device;

    fn tensor(shape: [usize; 4], step: usize) -> Tensor<4> {
        let count: usize = shape.iter().product();
        let values: Vec<f32> = (0..count).map(|i| ((i * step) % 101) as f32 / 50.0 - 1.0).collect();
        Tensor::from_data(TensorData::new(values, shape), &Device::flex())
    }

    fn read<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
        tensor.into_data().iter().collect()
    }

    #[test]
    fn two_keys_by_hand() {
        let of = |values: &[f32], shape: [usize; 4]| {
            Tensor::<4>::from_data(TensorData::new(values.to_vec(), shape), &Device::flex())
        };
        // The scores are ln 3 and 0, so the weights are 3/4 and 1/4.
        let q = of(&[3.0_f32.ln(), 0.0], [1, 1, 1, 2]);
        let k = of(&[1.0, 0.0, 0.0, 5.0], [1, 1, 2, 2]);
        let v = of(&[8.0, 4.0, 16.0, -4.0], [1, 1, 2, 2]);
        let found = read(attend_last([&q, &k, &v], 1.0, &AttentionMask::causal(1, 1)).unwrap());
        assert!((found[0] - 10.0).abs() < 1e-5 && (found[1] - 2.0).abs() < 1e-5, "{found:?}");
    }

    #[test]
    fn it_is_what_the_products_give_and_a_sequence_gives_what_it_gives_alone() {
        // Sequences of several lengths in a cache that has room for more, heads that fill vectors and that do not.
        let (starts, room) = ([299, 0, 17, 40], 320);
        for (heads, kv_heads, width) in [(8, 2, 64), (6, 6, 5), (4, 1, 48)] {
            let q = tensor([4, 1, heads, width], 37);
            let held = [53, 41].map(|step| tensor([6, kv_heads, room, width], step));
            let seen = |rows: std::ops::Range<usize>, keys: usize| {
                held.each_ref().map(|held| held.clone().narrow(2, 0, keys).narrow(0, rows.start, rows.len()))
            };
            for window in [None, Some(9)] {
                let mask = AttentionMask::causal_rows(&starts, 1, window);
                let [k, v] = seen(0..4, 300);
                let found = read(attend_last([&q, &k, &v], 0.3, &mask).unwrap());
                let group = heads / kv_heads;
                let grouped = q.clone().swap_dims(1, 2).reshape([4, kv_heads, group, width]);
                let scores = grouped.matmul(k.swap_dims(2, 3)).reshape([4, heads, 1, 300]);
                let weights = masked_softmax(scores, 0.3, &mask).reshape([4, kv_heads, group, 300]);
                let expected = read(weights.matmul(v));
                assert_eq!(found.len(), expected.len());
                let near = |(a, b): (&f32, &f32)| (a - b).abs() < 1e-4;
                assert!(found.iter().zip(&expected).all(near), "{heads} {window:?}");
                for (row, start) in starts.into_iter().enumerate() {
                    let [k, v] = seen(row..row + 1, start + 1);
                    let mask = AttentionMask::causal_rows(&[start], 1, window);
                    let alone = attend_last([&q.clone().narrow(0, row, 1), &k, &v], 0.3, &mask);
                    let all = heads * width;
                    assert_eq!(read(alone.unwrap()), found[row * all..(row + 1) * all], "{heads} {row}");
                }
            }
        }
    }

    #[test]
    fn what_it_does_not_take_is_left_to_others() {
        let of = |shape| tensor(shape, 37);
        let mask = AttentionMask::causal(1, 2);
        let (q, k) = (of([1, 1, 2, 4]), of([1, 2, 3, 4]));
        assert!(attend_last([&q, &k, &k], 1.0, &mask).is_some());
        let turned = of([1, 3, 2, 4]).swap_dims(1, 2);
        assert!(attend_last([&q, &turned, &k], 1.0, &mask).is_none(), "heads beside each other");
        assert!(attend_last([&of([1, 2, 2, 4]), &k, &k], 1.0, &mask).is_none(), "two queries");
        let graph = Tensor::from_inner(q).require_grad();
        let k = Tensor::from_inner(k);
        assert!(attend_last([&graph, &k, &k], 1.0, &mask).is_none(), "a graph");
    }
}
