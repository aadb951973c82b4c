//! Sequences that come and go in a cache: forgotten, copied, moved, and room for more or fewer of them.

use burn::tensor::{Int, Tensor, TensorData};

use super::KvCache;

impl KvCache {
    /// Forgets a sequence, whatever its values were: what is not a number would reach others through a weight of zero.
    pub fn clear(&mut self, row: usize) {
        self.ends[row] = 0;
        if self.lens[row] == 0 {
            return;
        }
        self.change(|held| {
            let [_, heads, positions, head_dim] = held.dims();
            let zeros = Tensor::<4>::zeros([1, heads, positions, head_dim], (&held.device(), held.dtype()));
            held.slice_assign([row..row + 1, 0..heads, 0..positions, 0..head_dim], zeros)
        });
        self.lens[row] = 0;
    }

    /// Gives a sequence the first `len` positions of another one, in the place of what it held.
    pub fn copy(&mut self, from: usize, to: usize, len: usize) {
        self.clear(to);
        let len = len.min(self.lens[from]);
        if len == 0 {
            return;
        }
        self.change(|held| {
            let beginning = row_of(&held, from, len);
            put(held, beginning, to)
        });
        self.lens[to] = len;
        self.expect(to, len);
    }

    /// Lets two sequences change places.
    pub fn swap(&mut self, a: usize, b: usize) {
        let len = self.lens[a].max(self.lens[b]);
        if a != b && len > 0 {
            self.change(|held| {
                let (of_a, of_b) = (row_of(&held, a, len), row_of(&held, b, len));
                put(put(held, of_b, a), of_a, b)
            });
        }
        self.lens.swap(a, b);
        self.ends.swap(a, b);
    }

    /// Keeps these sequences, in this order, and forgets the others.
    pub fn keep(&mut self, rows: &[usize]) {
        let ids: Vec<i32> = rows.iter().map(|&row| row as i32).collect();
        self.change(|held| {
            let ids = TensorData::new(ids.clone(), [ids.len()]);
            let ids = Tensor::<1, Int>::from_data(ids, &held.device());
            held.select(0, ids)
        });
        self.lens = rows.iter().map(|&row| self.lens[row]).collect();
        self.ends = rows.iter().map(|&row| self.ends[row]).collect();
    }

    /// Makes it a cache of `batch` sequences, no fewer than it has, of at most `capacity` positions each. Sequences that
    /// are longer are cut there; what is allocated beyond it is given back.
    ///
    /// # Panics
    /// Fewer sequences than it has.
    pub fn resize(&mut self, batch: usize, capacity: usize) {
        assert!(batch >= self.batch(), "{batch} sequences for a cache of {}", self.batch());
        let (rows, grows) = (self.batch(), batch > self.batch());
        self.capacity = capacity;
        self.reserved = self.reserved.min(capacity);
        self.change(|held| {
            let [_, heads, allocated, head_dim] = held.dims();
            let positions = allocated.min(capacity);
            if !grows && positions == allocated {
                return held;
            }
            let roomy =
                Tensor::<4>::zeros([batch, heads, positions, head_dim], (&held.device(), held.dtype()));
            let all = [0..rows, 0..heads, 0..positions, 0..head_dim];
            roomy.slice_assign(all.clone(), held.slice(all))
        });
        self.lens.resize(batch, 0);
        self.ends.resize(batch, 0);
        (0..batch).for_each(|row| self.truncate(row, capacity));
    }

    /// Changes all that is held, tensor by tensor.
    fn change(&mut self, change: impl Fn(Tensor<4>) -> Tensor<4>) {
        for layer in &mut self.layers {
            for store in [&mut layer.k, &mut layer.v] {
                *store = store.take().map(&change);
            }
        }
    }
}

/// The first `len` positions of a sequence in memory of their own: a view would make the backend copy all that is held as
/// soon as some of it changes.
fn row_of(held: &Tensor<4>, row: usize, len: usize) -> Tensor<4> {
    let [_, heads, _, head_dim] = held.dims();
    let own = Tensor::<4>::zeros([1, heads, len, head_dim], (&held.device(), held.dtype()));
    let view = held.clone().slice([row..row + 1, 0..heads, 0..len, 0..head_dim]);
    own.slice_assign([0..1, 0..heads, 0..len, 0..head_dim], view)
}

/// What is held with these positions at the beginning of a sequence.
fn put(held: Tensor<4>, positions: Tensor<4>, row: usize) -> Tensor<4> {
    let [_, heads, len, head_dim] = positions.dims();
    held.slice_assign([row..row + 1, 0..heads, 0..len, 0..head_dim], positions)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Transformer, preset};
    use burn::tensor::Device;

    fn model() -> Transformer {
        Transformer::init(&preset("nano").unwrap().config(Some(64)), 3, &Device::flex()).unwrap()
    }

    /// Feeds each of these sequences its share of the ids; gives their last logits.
    fn feed(model: &Transformer, cache: &mut KvCache, ids: &[i32], rows: std::ops::Range<usize>) -> Vec<f32> {
        let shape = [rows.len(), ids.len() / rows.len()];
        let tokens = Tensor::<2, Int>::from_data(TensorData::new(ids.to_vec(), shape), &model.device());
        model.forward_cached(tokens, cache, rows, true).into_data().iter::<f32>().collect()
    }

    /// The logits behind `next`, after these ids alone.
    fn alone(model: &Transformer, ids: &[i32], next: i32) -> Vec<f32> {
        let mut cache = KvCache::new(model.config(), 1, 300);
        feed(model, &mut cache, ids, 0..1);
        feed(model, &mut cache, &[next], 0..1)
    }

    fn assert_close(found: &[f32], expected: &[f32]) {
        let apart = found.iter().zip(expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(found.len() == expected.len() && apart < 1e-4, "{apart}");
    }

    #[test]
    fn a_copied_beginning_goes_on_like_one_that_was_read() {
        let model = model();
        let mut cache = KvCache::new(model.config(), 3, 300);
        feed(&model, &mut cache, &[3, 1, 4, 1], 0..1);
        feed(&model, &mut cache, &[9, 9, 9, 9, 9, 9], 1..2);
        // What the sequences hold behind the copied positions, or held before, is nobody's.
        feed(&model, &mut cache, &[7, 7], 0..1);
        cache.copy(0, 1, 4);
        cache.copy(0, 2, 4);
        cache.truncate(0, 4);
        assert_eq!([0, 1, 2].map(|row| cache.len(row)), [4; 3]);
        let together = feed(&model, &mut cache, &[5, 5, 5], 0..3);
        for row in together.chunks(64) {
            assert_close(row, &alone(&model, &[3, 1, 4, 1], 5));
        }
    }

    #[test]
    fn sequences_that_change_places_keep_all_that_they_hold() {
        let model = model();
        let mut cache = KvCache::new(model.config(), 3, 300);
        feed(&model, &mut cache, &[3, 1, 4, 1, 5], 0..1);
        feed(&model, &mut cache, &[9, 2], 2..3);
        cache.swap(0, 2);
        cache.swap(1, 1);
        assert_eq!([0, 1, 2].map(|row| cache.len(row)), [2, 0, 5]);
        assert_close(&feed(&model, &mut cache, &[8], 0..1), &alone(&model, &[9, 2], 8));
        assert_close(&feed(&model, &mut cache, &[8], 2..3), &alone(&model, &[3, 1, 4, 1, 5], 8));
        // An empty one moves as well.
        cache.swap(1, 2);
        assert_eq!([0, 1, 2].map(|row| cache.len(row)), [3, 6, 0]);
        assert_close(&feed(&model, &mut cache, &[6], 1..2), &alone(&model, &[3, 1, 4, 1, 5, 8], 6));
    }

    #[test]
    fn a_cache_takes_more_sequences_and_gives_memory_back() {
        let model = model();
        let mut cache = KvCache::new(model.config(), 1, 600);
        feed(&model, &mut cache, &[7; 300], 0..1);
        assert_eq!((cache.batch(), cache.allocated()), (1, 512));
        cache.truncate(0, 40);
        cache.resize(3, 200);
        assert_eq!((cache.batch(), cache.allocated(), cache.capacity()), (3, 200, 200));
        feed(&model, &mut cache, &[1, 2, 3], 2..3);
        assert_eq!([0, 1, 2].map(|row| cache.len(row)), [40, 0, 3]);
        assert_close(&feed(&model, &mut cache, &[8], 0..1), &alone(&model, &[7; 40], 8));
        assert_close(&feed(&model, &mut cache, &[8], 2..3), &alone(&model, &[1, 2, 3], 8));
        // A shorter capacity cuts what is longer, and more room is allocated when it is written.
        cache.resize(3, 10);
        assert_eq!([0, 1, 2].map(|row| cache.len(row)), [10, 0, 4]);
        cache.resize(3, 300);
        assert_close(&feed(&model, &mut cache, &[9; 290], 0..1), &{
            let mut cache = KvCache::new(model.config(), 1, 300);
            feed(&model, &mut cache, &[[7; 10].as_slice(), &[9; 290]].concat(), 0..1)
        });
        assert_eq!(cache.len(0), 300);
    }
}
