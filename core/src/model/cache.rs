//! Keys and values of the positions already seen, so that a new token costs one row. Each sequence of a batch has a
//! length of its own.

use std::ops::Range;

use burn::tensor::{DType, Tensor};

use super::ModelConfig;

/// Positions are allocated in multiples of this.
const ALLOCATION_STEP: usize = 256;

/// Room for a batch of sequences, which grows with the longest of them: what a long context may once need is not
/// allocated for a short text.
#[derive(Clone, Debug)]
pub struct KvCache {
    pub(super) layers: Vec<LayerCache>,
    pub(super) lens: Vec<usize>,
    /// Where the text ends that is read into each sequence, as far as it is known.
    pub(super) ends: Vec<usize>,
    pub(super) capacity: usize,
    /// Positions that each sequence is to have memory for, from the next write on.
    pub(super) reserved: usize,
}

/// One block's keys and values, `[batch, kv_heads, reserved, hd]` each; none before the first write.
#[derive(Clone, Debug, Default)]
pub struct LayerCache {
    pub(super) k: Option<Tensor<4>>,
    pub(super) v: Option<Tensor<4>>,
}

/// Where the tokens of one call stand: in which sequences of the cache, behind how many positions each.
#[derive(Clone, Debug)]
pub(super) struct Places {
    pub(super) rows: Range<usize>,
    pub(super) starts: Vec<usize>,
    /// Where each one's text ends, where that is behind these tokens.
    ends: Vec<usize>,
    /// Sequences of the cache, and the positions that each is to have memory for.
    batch: usize,
    reserved: usize,
}

impl KvCache {
    /// An empty cache for `batch` sequences of at most `capacity` positions; nothing is allocated yet.
    pub fn new(config: &ModelConfig, batch: usize, capacity: usize) -> Self {
        let layers = vec![LayerCache::default(); config.num_hidden_layers];
        Self { layers, lens: vec![0; batch], ends: vec![0; batch], capacity, reserved: 0 }
    }

    /// Bytes that one position of one sequence takes in all layers, in the type that the model computes in.
    pub fn bytes_per_position(config: &ModelConfig, dtype: DType) -> u64 {
        let values = 2 * config.num_hidden_layers * config.num_key_value_heads * config.head_dim;
        (values * dtype.size()) as u64
    }

    /// Positions that each sequence has memory for at the moment.
    pub fn allocated(&self) -> usize {
        self.layers.iter().flat_map(|layer| &layer.k).map(|keys| keys.dims()[2]).max().unwrap_or(0)
    }

    /// Makes room for so many positions of each sequence, which the capacity holds, when they are next written: in whole
    /// steps, and at least twice what there was, so that copying what is held stays cheap.
    ///
    /// # Panics
    /// More positions than the capacity.
    pub fn reserve(&mut self, positions: usize) {
        assert!(positions <= self.capacity, "{positions} positions in a cache of {}", self.capacity);
        if positions > self.reserved {
            let grown = positions.next_multiple_of(ALLOCATION_STEP).max(2 * self.reserved);
            self.reserved = grown.min(self.capacity);
        }
    }

    /// Tells that a sequence is going to be read up to so many positions, in however many pieces: what depends on the
    /// length of a text looks at that.
    pub fn expect(&mut self, row: usize, positions: usize) {
        self.ends[row] = positions;
    }

    /// Sequences held.
    pub fn batch(&self) -> usize {
        self.lens.len()
    }

    /// Positions held of a sequence.
    pub fn len(&self, row: usize) -> usize {
        self.lens[row]
    }

    /// Whether nothing is held.
    pub fn is_empty(&self) -> bool {
        self.lens.iter().all(|&len| len == 0)
    }

    /// Most positions that a sequence can hold.
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    /// Forgets everything of a sequence from `len` on; later rows are overwritten in place.
    pub fn truncate(&mut self, row: usize, len: usize) {
        self.lens[row] = self.lens[row].min(len);
        self.ends[row] = self.ends[row].min(len);
    }

    /// Where `new` tokens of each of these sequences stand; there is room for them.
    pub(super) fn places(&mut self, rows: Range<usize>, new: usize) -> Places {
        let starts = self.lens[rows.clone()].to_vec();
        let ends = self.ends[rows.clone()].iter().zip(&starts).map(|(&end, start)| end.max(start + new));
        let ends = ends.collect();
        let mut places = Places { rows, starts, ends, batch: self.lens.len(), reserved: 0 };
        self.reserve(places.end(new));
        places.reserved = self.reserved;
        places
    }

    pub(super) fn advance(&mut self, rows: Range<usize>, positions: usize) {
        self.lens[rows].iter_mut().for_each(|len| *len += positions);
    }
}

impl Places {
    /// Where the tokens of each sequence begin, and how long its text is.
    pub(super) fn texts(&self) -> Vec<(usize, usize)> {
        self.starts.iter().copied().zip(self.ends.iter().copied()).collect()
    }

    /// Positions behind the last of `new` tokens of the longest sequence.
    pub(super) fn end(&self, new: usize) -> usize {
        self.starts.iter().copied().max().unwrap_or(0) + new
    }

    /// The position where all sequences go on, if it is the same.
    pub(super) fn common_start(&self) -> Option<usize> {
        let first = *self.starts.first()?;
        self.starts.iter().all(|&start| start == first).then_some(first)
    }
}

impl LayerCache {
    /// Writes `k` and `v` behind what their sequences hold, and returns these sequences' rows up to the longest's end.
    pub(super) fn append(&mut self, k: Tensor<4>, v: Tensor<4>, places: &Places) -> (Tensor<4>, Tensor<4>) {
        (write(&mut self.k, k, places), write(&mut self.v, v, places))
    }
}

fn write(store: &mut Option<Tensor<4>>, new: Tensor<4>, places: &Places) -> Tensor<4> {
    let [batch, heads, count, head_dim] = new.dims();
    let (first, end) = (places.rows.start, places.end(count));
    // Taken out, the tensor has one owner, and the backend assigns in place.
    let mut held = grown_to_reserve(store.take(), &new, places);
    match places.common_start() {
        Some(start) => {
            let rows = first..first + batch;
            held = held.slice_assign([rows, 0..heads, start..start + count, 0..head_dim], new);
        }
        None => {
            for (i, &start) in places.starts.iter().enumerate() {
                let row = first + i..first + i + 1;
                let new = new.clone().narrow(0, i, 1);
                held = held.slice_assign([row, 0..heads, start..start + count, 0..head_dim], new);
            }
        }
    }
    let seen = held.clone().narrow(2, 0, end);
    let all = held.dims()[0] == batch;
    *store = Some(held);
    if all { seen } else { seen.narrow(0, first, batch) }
}

/// What is held, copied into a larger tensor where there is too little room.
fn grown_to_reserve(held: Option<Tensor<4>>, new: &Tensor<4>, places: &Places) -> Tensor<4> {
    let [_, heads, _, head_dim] = new.dims();
    let grown =
        || Tensor::zeros([places.batch, heads, places.reserved, head_dim], (&new.device(), new.dtype()));
    match held {
        None => grown(),
        Some(held) if held.dims()[2] >= places.reserved => held,
        Some(held) => {
            let all = held.dims().map(|size| 0..size);
            grown().slice_assign(all, held)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::AttentionMask;
    use crate::model::{Transformer, preset};
    use burn::tensor::{Device, Int, TensorData};

    /// A small model that claims the context of a large one.
    fn model() -> Transformer {
        let mut config = preset("nano").unwrap().config(Some(64));
        config.max_position_embeddings = 131_072;
        Transformer::init(&config, 3, &Device::flex()).unwrap()
    }

    fn feed(model: &Transformer, cache: &mut KvCache, ids: &[i32]) -> Vec<f32> {
        let tokens = TensorData::new(ids.to_vec(), [1, ids.len()]);
        let tokens = Tensor::<2, Int>::from_data(tokens, &model.device());
        model.forward_cached(tokens, cache, 0..1, true).into_data().iter::<f32>().collect()
    }

    #[test]
    fn a_long_context_costs_nothing_until_it_is_filled() {
        let model = model();
        let mut cache = KvCache::new(model.config(), 1, 131_072);
        assert_eq!((cache.capacity(), cache.allocated()), (131_072, 0));
        feed(&model, &mut cache, &[1, 2, 3]);
        assert_eq!((cache.len(0), cache.allocated()), (3, 256));
        feed(&model, &mut cache, &[5; 254]);
        assert_eq!((cache.len(0), cache.allocated()), (257, 512));
        // What was forgotten is written over.
        cache.truncate(0, 1);
        feed(&model, &mut cache, &[7; 511]);
        assert_eq!((cache.len(0), cache.allocated()), (512, 512));
    }

    #[test]
    #[should_panic(expected = "101 positions in a cache of 100")]
    fn more_than_the_capacity_cannot_be_reserved() {
        KvCache::new(&preset("nano").unwrap().config(None), 1, 100).reserve(101);
    }

    #[test]
    fn room_grows_in_steps_at_least_twofold_and_never_beyond_the_capacity() {
        let config = preset("nano").unwrap().config(None);
        let mut cache = KvCache::new(&config, 1, 3000);
        let reserves = [1, 256, 257, 500, 1100, 1101, 2000, 2100, 3000].map(|positions| {
            cache.reserve(positions);
            cache.reserved
        });
        assert_eq!(reserves, [256, 256, 512, 512, 1280, 1280, 2560, 2560, 3000]);
        let mut short = KvCache::new(&config, 1, 100);
        short.reserve(7);
        assert_eq!(short.reserved, 100);
    }

    #[test]
    fn a_cache_that_grew_gives_the_numbers_of_one_that_did_not_have_to() {
        let model = model();
        let (mut grown, mut roomy) =
            (KvCache::new(model.config(), 1, 2048), KvCache::new(model.config(), 1, 2048));
        roomy.reserve(2048);
        let text: Vec<i32> = (0..250).map(|i| i * 7 % 64).collect();
        for ids in [&text[..], &[3, 1, 4], &[1], &[5], &[9], &[2], &[6; 254], &[5], &[3]] {
            assert!(feed(&model, &mut grown, ids) == feed(&model, &mut roomy, ids), "{} held", grown.len(0));
        }
        assert_eq!((grown.allocated(), roomy.allocated()), (1024, 2048));
    }

    #[test]
    fn cached_logits_equal_uncached_ones_across_the_borders_of_blocks() {
        let model = model();
        let text: Vec<i32> = (0..520).map(|i| i * 11 % 64).collect();
        let tokens = Tensor::<2, Int>::from_data(TensorData::new(text.clone(), [1, 520]), &model.device());
        let whole = model.forward(tokens, &AttentionMask::causal(520, 0)).into_data();
        let whole: Vec<f32> = whole.iter::<f32>().collect();
        let mut cache = KvCache::new(model.config(), 1, 131_072);
        let mut start = 0;
        for len in [254, 1, 1, 1, 254, 2, 7] {
            let found = feed(&model, &mut cache, &text[start..start + len]);
            start += len;
            let expected = &whole[(start - 1) * 64..start * 64];
            let largest = found.iter().zip(expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            assert!(largest < 1e-4, "{largest} at {start} with room for {}", cache.allocated());
        }
        assert_eq!((start, cache.allocated()), (520, 1024));
    }

    #[test]
    fn a_position_takes_a_key_and_a_value_of_each_head_in_each_layer() {
        let mut config = preset("nano").unwrap().config(None);
        (config.num_hidden_layers, config.num_key_value_heads, config.head_dim) = (3, 2, 5);
        assert_eq!(KvCache::bytes_per_position(&config, DType::F32), 2 * 3 * 2 * 5 * 4);
        assert_eq!(KvCache::bytes_per_position(&config, DType::BF16), 2 * 3 * 2 * 5 * 2);
    }
}
