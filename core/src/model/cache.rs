//! Keys and values of the positions already seen, so that a new token costs one row. Each sequence of a batch has a
//! length of its own.

use std::ops::Range;

use burn::tensor::{DType, Device, Int, Tensor, TensorData};

use super::ModelConfig;

/// Room for a batch of sequences, allocated once.
#[derive(Clone, Debug)]
pub struct KvCache {
    pub(super) layers: Vec<LayerCache>,
    lens: Vec<usize>,
    capacity: usize,
}

/// One block's keys and values, `[batch, kv_heads, capacity, hd]`.
#[derive(Clone, Debug)]
pub struct LayerCache {
    k: Option<Tensor<4>>,
    v: Option<Tensor<4>>,
}

/// Where the tokens of one call stand: in which sequences of the cache, behind how many positions each.
#[derive(Clone, Debug)]
pub(super) struct Places {
    pub(super) rows: Range<usize>,
    pub(super) starts: Vec<usize>,
}

impl KvCache {
    /// An empty cache for `batch` sequences of at most `capacity` positions.
    pub fn new(config: &ModelConfig, batch: usize, capacity: usize, dtype: DType, device: &Device) -> Self {
        let shape = [batch, config.num_key_value_heads, capacity, config.head_dim];
        let room = || Some(Tensor::zeros(shape, (device, dtype)));
        let layers = (0..config.num_hidden_layers).map(|_| LayerCache { k: room(), v: room() }).collect();
        Self { layers, lens: vec![0; batch], capacity }
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
    }

    /// Forgets a sequence, whatever its values were: what is not a number would reach others through a weight of zero.
    pub fn clear(&mut self, row: usize) {
        if self.lens[row] == 0 {
            return;
        }
        for layer in &mut self.layers {
            for room in [&mut layer.k, &mut layer.v] {
                *room = room.take().map(|room| {
                    let [_, heads, capacity, head_dim] = room.dims();
                    let zeros = Tensor::zeros([1, heads, capacity, head_dim], (&room.device(), room.dtype()));
                    room.slice_assign([row..row + 1, 0..heads, 0..capacity, 0..head_dim], zeros)
                });
            }
        }
        self.lens[row] = 0;
    }

    /// Keeps these sequences, in this order, and forgets the others.
    pub fn keep(&mut self, rows: &[usize]) {
        let ids: Vec<i32> = rows.iter().map(|&row| row as i32).collect();
        for layer in &mut self.layers {
            for room in [&mut layer.k, &mut layer.v] {
                *room = room.take().map(|room| {
                    let ids = TensorData::new(ids.clone(), [ids.len()]);
                    let ids = Tensor::<1, Int>::from_data(ids, &room.device());
                    room.select(0, ids)
                });
            }
        }
        self.lens = rows.iter().map(|&row| self.lens[row]).collect();
    }

    pub(super) fn places(&self, rows: Range<usize>) -> Places {
        Places { starts: self.lens[rows.clone()].to_vec(), rows }
    }

    pub(super) fn advance(&mut self, rows: Range<usize>, positions: usize) {
        self.lens[rows].iter_mut().for_each(|len| *len += positions);
    }
}

impl Places {
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
    let Some(mut room) = store.take() else { return new };
    match places.common_start() {
        Some(start) => {
            let rows = first..first + batch;
            room = room.slice_assign([rows, 0..heads, start..start + count, 0..head_dim], new);
        }
        None => {
            for (i, &start) in places.starts.iter().enumerate() {
                let row = first + i..first + i + 1;
                let new = new.clone().narrow(0, i, 1);
                room = room.slice_assign([row, 0..heads, start..start + count, 0..head_dim], new);
            }
        }
    }
    let seen = room.clone().narrow(2, 0, end);
    let all = room.dims()[0] == batch;
    *store = Some(room);
    if all { seen } else { seen.narrow(0, first, batch) }
}
