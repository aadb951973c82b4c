//! Which positions may look at which: for every query one run of keys.

use std::sync::Arc;

use burn::tensor::{Bool, Device, Tensor, TensorData};

/// The keys that each query sees, as half-open runs.
#[derive(Clone, Debug)]
pub struct AttentionMask {
    /// Row by row, one batch or all; none where every query sees every key.
    runs: Option<Arc<Vec<(u32, u32)>>>,
    /// Whether every run ends at its query.
    causal: bool,
}

impl AttentionMask {
    /// Every position sees every position.
    pub fn bidirectional() -> Self {
        Self { runs: None, causal: false }
    }

    /// A position sees itself and what stands before it; `past` keys stand before the first query.
    pub fn causal(queries: usize, past: usize) -> Self {
        if queries == 1 {
            return Self::bidirectional();
        }
        let runs = (0..queries).map(|query| (0, (past + query + 1) as u32)).collect();
        Self { runs: Some(Arc::new(runs)), causal: true }
    }

    /// As [`AttentionMask::causal`], but a position sees at most `window` keys: itself and those just before it.
    pub fn causal_window(queries: usize, past: usize, window: usize) -> Self {
        let run = |query: usize| {
            let end = past + query + 1;
            (end.saturating_sub(window) as u32, end as u32)
        };
        Self { runs: Some(Arc::new((0..queries).map(run).collect())), causal: true }
    }

    /// The same mask for a layer that looks back at most `window` keys; one that is not causal stays as it is.
    pub fn within(&self, window: usize) -> Self {
        let Some(runs) = self.runs.as_ref().filter(|_| self.causal) else { return self.clone() };
        let cut = |&(start, end): &(u32, u32)| (start.max(end.saturating_sub(window as u32)), end);
        Self { runs: Some(Arc::new(runs.iter().map(cut).collect())), causal: true }
    }

    /// Positions see only their own segment (a document of a packed row); segment 0 is padding, which
    /// nothing sees but itself, so that its rows stay finite.
    ///
    /// # Shapes
    /// `segments [batch · seq]`, row by row; equal segments stand together.
    pub fn segments(segments: &[u32], seq: usize, causal: bool) -> Self {
        let mut runs = Vec::with_capacity(segments.len());
        for row in segments.chunks_exact(seq) {
            let mut start = 0;
            while start < seq {
                let end = (start..seq).find(|&k| row[k] != row[start]).unwrap_or(seq);
                runs.extend((start..end).map(|query| match (row[start], causal) {
                    (0, _) => (query as u32, query as u32 + 1),
                    (_, true) => (start as u32, query as u32 + 1),
                    (_, false) => (start as u32, end as u32),
                }));
                start = end;
            }
        }
        Self { runs: Some(Arc::new(runs)), causal }
    }

    /// The keys that a query of a batch row sees, out of `keys`.
    #[inline(always)]
    pub(super) fn run(&self, batch: usize, query: usize, queries: usize, keys: usize) -> (usize, usize) {
        match &self.runs {
            None => (0, keys),
            Some(runs) => {
                let (start, end) = runs[(batch * queries + query) % runs.len()];
                (start as usize, end as usize)
            }
        }
    }

    /// `[batch or 1, 1, queries, keys]`, true where hidden; `None` where nothing is.
    pub(super) fn hidden(&self, queries: usize, keys: usize, device: &Device) -> Option<Tensor<4, Bool>> {
        let runs = self.runs.as_ref()?;
        let batch = runs.len() / queries;
        let mut hidden = vec![true; runs.len() * keys];
        for (row, &(start, end)) in hidden.chunks_exact_mut(keys).zip(runs.iter()) {
            row[start as usize..end as usize].fill(false);
        }
        Some(Tensor::from_data(TensorData::new(hidden, [batch, 1, queries, keys]), device))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(mask: &AttentionMask, queries: usize, keys: usize) -> Vec<Vec<bool>> {
        let hidden = mask.hidden(queries, keys, &Device::flex()).unwrap();
        let bits: Vec<bool> = hidden.into_data().iter::<bool>().collect();
        bits.chunks(keys).map(<[bool]>::to_vec).collect()
    }

    #[test]
    fn causal_with_a_past() {
        let mask = AttentionMask::causal(2, 1);
        assert_eq!(rows(&mask, 2, 3), [[false, false, true], [false, false, false]]);
    }

    #[test]
    fn a_window_hides_what_is_too_far_back() {
        let (x, o) = (true, false);
        let mask = AttentionMask::causal_window(2, 2, 2);
        assert_eq!(rows(&mask, 2, 4), [[x, o, o, x], [x, x, o, o]]);
        assert_eq!(rows(&AttentionMask::causal_window(1, 3, 2), 1, 4), [[x, x, o, o]]);
        assert_eq!(rows(&AttentionMask::causal(3, 0).within(2), 3, 3), [[o, x, x], [o, o, x], [x, o, o]]);
        let packed = AttentionMask::segments(&[1, 1, 1, 2], 4, true).within(2);
        assert_eq!(rows(&packed, 4, 4), [[o, x, x, x], [o, o, x, x], [x, o, o, x], [x, x, x, o]]);
        let both = AttentionMask::segments(&[1, 1, 1, 0], 4, false);
        assert_eq!(rows(&both.within(2), 4, 4), rows(&both, 4, 4));
    }

    #[test]
    fn segments_see_only_themselves_and_padding_sees_itself() {
        let (x, o) = (true, false);
        let mask = AttentionMask::segments(&[1, 1, 2, 0], 4, true);
        assert_eq!(rows(&mask, 4, 4), [[o, x, x, x], [o, o, x, x], [x, x, o, x], [x, x, x, o]]);
        let mask = AttentionMask::segments(&[1, 1, 2, 0], 4, false);
        assert_eq!(rows(&mask, 4, 4), [[o, o, x, x], [o, o, x, x], [x, x, o, x], [x, x, x, o]]);
    }
}
