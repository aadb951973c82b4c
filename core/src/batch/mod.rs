//! Examples and batches: what the loss sees.

mod encode;
mod loader;
mod pack;

pub use encode::{Content, Encoder};
pub use loader::{Loader, LoaderConfig, LoaderState, TooLong};

use burn::tensor::{Device, Int, Tensor, TensorData};

use crate::data::RowOrigin;

/// One row as tokens; `mask[i]` says that `ids[i]` is a target.
#[derive(Clone, Debug, PartialEq)]
pub struct Example {
    /// Token ids.
    pub ids: Vec<u32>,
    /// Same length as `ids`.
    pub mask: Vec<bool>,
    /// Where the row stands.
    pub origin: RowOrigin,
}

/// Rows of equal length, `batch · seq` values each, row by row.
#[derive(Clone, Debug, PartialEq)]
pub struct Batch {
    /// Number of rows.
    pub batch: usize,
    /// Tokens a row.
    pub seq: usize,
    /// What the model reads.
    pub inputs: Vec<u32>,
    /// What it should say next.
    pub targets: Vec<u32>,
    /// Which targets count.
    pub mask: Vec<bool>,
    /// Which example of its row a token belongs to; 0 is padding.
    pub segments: Vec<u32>,
    /// The data rows inside.
    pub origins: Vec<RowOrigin>,
}

impl Batch {
    /// An empty batch of that row length.
    pub fn new(seq: usize) -> Self {
        let (inputs, targets, mask, segments) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        Self { batch: 0, seq, inputs, targets, mask, segments, origins: Vec::new() }
    }

    /// Adds a row of `seq + 1` tokens or fewer; the rest is padding. Targets are the tokens moved by one, and
    /// a target must belong to the same segment as the token before it.
    pub fn push(&mut self, ids: &[u32], mask: &[bool], segments: &[u32]) {
        for i in 0..self.seq {
            let present = i < ids.len();
            let follows = i + 1 < ids.len() && segments[i] == segments[i + 1];
            self.inputs.push(if present { ids[i] } else { 0 });
            self.segments.push(if present { segments[i] } else { 0 });
            self.targets.push(if follows { ids[i + 1] } else { 0 });
            self.mask.push(follows && mask[i + 1]);
        }
        self.batch += 1;
    }

    /// The same rows in at most `parts` batches of nearly equal size, in order.
    pub fn split(&self, parts: usize) -> Vec<Self> {
        let rows = self.batch.div_ceil(parts.clamp(1, self.batch.max(1)));
        let part = |start: usize| {
            let end = (start + rows).min(self.batch);
            let values = start * self.seq..end * self.seq;
            Self {
                batch: end - start,
                seq: self.seq,
                inputs: self.inputs[values.clone()].to_vec(),
                targets: self.targets[values.clone()].to_vec(),
                mask: self.mask[values.clone()].to_vec(),
                segments: self.segments[values].to_vec(),
                origins: self.origins.clone(),
            }
        };
        (0..self.batch).step_by(rows.max(1)).map(part).collect()
    }

    /// Number of targets.
    pub fn targets_counted(&self) -> usize {
        self.mask.iter().filter(|counts| **counts).count()
    }

    /// Tokens that are not padding.
    pub fn tokens(&self) -> usize {
        self.segments.iter().filter(|segment| **segment != 0).count()
    }

    /// `[batch, seq]` ids to read.
    pub fn inputs_tensor(&self, device: &Device) -> Tensor<2, Int> {
        let ids: Vec<i32> = self.inputs.iter().map(|&id| id as i32).collect();
        Tensor::from_data(TensorData::new(ids, [self.batch, self.seq]), device)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn splitting_keeps_every_row() {
        let mut batch = Batch::new(2);
        (0..5).for_each(|i| batch.push(&[i, i, i], &[true; 3], &[1; 3]));
        let rows = |parts: usize| batch.split(parts).iter().map(|part| part.batch).collect::<Vec<_>>();
        assert_eq!((rows(1), rows(2), rows(4), rows(9)), (vec![5], vec![3, 2], vec![2, 2, 1], vec![1; 5]));
        let inputs: Vec<u32> = batch.split(2).into_iter().flat_map(|part| part.inputs).collect();
        assert_eq!(inputs, batch.inputs);
    }

    #[test]
    fn targets_are_moved_by_one_and_stop_at_a_segment_end() {
        let mut batch = Batch::new(5);
        batch.push(&[10, 11, 12, 20, 21], &[false, true, true, false, true], &[1, 1, 1, 2, 2]);
        assert_eq!(batch.inputs, [10, 11, 12, 20, 21]);
        assert_eq!(batch.targets, [11, 12, 0, 21, 0]);
        assert_eq!(batch.mask, [true, true, false, true, false]);
        assert_eq!((batch.tokens(), batch.targets_counted()), (5, 3));
    }
}
