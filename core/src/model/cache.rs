//! Keys and values of the positions already seen, so that a new token costs one row.

use burn::tensor::{DType, Device, Tensor};

use super::ModelConfig;

/// Room for one sequence batch, allocated once.
#[derive(Clone, Debug)]
pub struct KvCache {
    pub(super) layers: Vec<LayerCache>,
    len: usize,
    capacity: usize,
}

/// One block's keys and values, `[batch, kv_heads, capacity, hd]`.
#[derive(Clone, Debug)]
pub struct LayerCache {
    k: Option<Tensor<4>>,
    v: Option<Tensor<4>>,
}

impl KvCache {
    /// An empty cache for `batch` sequences of at most `capacity` positions.
    pub fn new(config: &ModelConfig, batch: usize, capacity: usize, dtype: DType, device: &Device) -> Self {
        let shape = [batch, config.num_key_value_heads, capacity, config.head_dim];
        let room = || Some(Tensor::zeros(shape, (device, dtype)));
        let layers = (0..config.num_hidden_layers).map(|_| LayerCache { k: room(), v: room() }).collect();
        Self { layers, len: 0, capacity }
    }

    /// Positions held.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether nothing is held.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Most positions it can hold.
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    /// Forgets everything from `len` on; later rows are overwritten in place.
    pub fn truncate(&mut self, len: usize) {
        self.len = self.len.min(len);
    }

    pub(super) fn advance(&mut self, positions: usize) {
        self.len += positions;
    }
}

impl LayerCache {
    /// Writes `k` and `v` at position `start` and returns all rows up to their end.
    pub(super) fn append(&mut self, k: Tensor<4>, v: Tensor<4>, start: usize) -> (Tensor<4>, Tensor<4>) {
        (write(&mut self.k, k, start), write(&mut self.v, v, start))
    }
}

fn write(store: &mut Option<Tensor<4>>, rows: Tensor<4>, start: usize) -> Tensor<4> {
    let [batch, heads, seq, head_dim] = rows.dims();
    let end = start + seq;
    // Taken out, the tensor has one owner, and the backend assigns in place.
    let Some(room) = store.take() else { return rows };
    let room = room.slice_assign([0..batch, 0..heads, start..end, 0..head_dim], rows);
    let seen = room.clone().narrow(2, 0, end);
    *store = Some(room);
    seen
}
