//! Which positions may look at which: for every query one run of keys, or two.

use std::sync::Arc;

use burn::tensor::{Bool, Device, Tensor, TensorData};

use super::uploaded::Uploaded;

/// A half-open run of keys.
type Run = (u32, u32);

/// The keys that each query sees, as half-open runs. Clones share what was uploaded to a device.
#[derive(Clone, Debug)]
pub struct AttentionMask {
    /// Row by row, one batch or all; none where every query sees every key.
    runs: Option<Arc<Vec<Run>>>,
    /// A second run a query, behind the first one and apart from it; empty ones begin where they end.
    second: Option<Arc<Vec<Run>>>,
    /// Whether every run ends at its query.
    causal: bool,
    uploaded: Uploaded<4, Bool>,
}

impl AttentionMask {
    fn of(runs: Option<Vec<Run>>, causal: bool) -> Self {
        Self { runs: runs.map(Arc::new), second: None, causal, uploaded: Uploaded::default() }
    }

    /// Every position sees every position.
    pub fn bidirectional() -> Self {
        Self::of(None, false)
    }

    /// A position sees itself and what stands before it; `past` keys stand before the first query.
    pub fn causal(queries: usize, past: usize) -> Self {
        if queries == 1 {
            return Self::bidirectional();
        }
        let runs = (0..queries).map(|query| (0, (past + query + 1) as u32)).collect();
        Self::of(Some(runs), true)
    }

    /// As [`AttentionMask::causal`], but a position sees at most `window` keys: itself and those just before it.
    pub fn causal_window(queries: usize, past: usize, window: usize) -> Self {
        let run = |query: usize| {
            let end = past + query + 1;
            (end.saturating_sub(window) as u32, end as u32)
        };
        Self::of(Some((0..queries).map(run).collect()), true)
    }

    /// Rows of a batch that go on at different positions: row `b` has `starts[b]` keys before its first query. With a
    /// window as [`AttentionMask::causal_window`].
    pub fn causal_rows(starts: &[usize], queries: usize, window: Option<usize>) -> Self {
        let alike = starts.first().filter(|first| starts.iter().all(|start| start == *first));
        match (alike, window) {
            (Some(&past), None) => return Self::causal(queries, past),
            (Some(&past), Some(window)) => return Self::causal_window(queries, past, window),
            (None, _) => {}
        }
        let ends = starts.iter().flat_map(|&start| (1..=queries).map(move |query| start + query));
        let run = |end: usize| (window.map_or(0, |window| end.saturating_sub(window)) as u32, end as u32);
        Self::of(Some(ends.map(run).collect()), true)
    }

    /// The same mask for a layer that looks back at most `window` keys; one that is not causal stays as it is.
    pub fn within(&self, window: usize) -> Self {
        let Some(runs) = self.runs.as_ref().filter(|_| self.causal) else { return self.clone() };
        let cut = |&(start, end): &Run| (start.max(end.saturating_sub(window as u32)), end);
        Self::of(Some(runs.iter().map(cut).collect()), true)
    }

    /// Each query of each batch row sees two runs of keys, the second behind the first: a block of a noised text sees
    /// itself and the clean text before it (Arriola et al., 2025, <https://arxiv.org/abs/2503.09573>).
    ///
    /// # Shapes
    /// `pairs` of `batch · queries`, or of `queries` for all batch rows alike. An empty run begins where it ends.
    pub fn two_runs(pairs: Vec<[(u32, u32); 2]>) -> Self {
        let (first, second) = pairs.into_iter().map(|[first, second]| (first, second)).unzip();
        Self { second: Some(Arc::new(second)), ..Self::of(Some(first), false) }
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
        Self::of(Some(runs), causal)
    }

    /// The runs of keys that a query of a batch row sees, out of `keys`; the second may be empty.
    #[inline(always)]
    pub(super) fn runs(
        &self,
        batch: usize,
        query: usize,
        queries: usize,
        keys: usize,
    ) -> [(usize, usize); 2] {
        let at = |runs: &[Run]| {
            let (start, end) = runs[(batch * queries + query) % runs.len()];
            (start as usize, end as usize)
        };
        let first = self.runs.as_deref().map_or((0, keys), |runs| at(runs));
        [first, self.second.as_deref().map_or((keys, keys), |runs| at(runs))]
    }

    /// `[batch or 1, 1, queries, keys]`, true where hidden; `None` where nothing is. It is made and uploaded once, for
    /// all layers of a forward pass.
    pub(super) fn hidden(&self, queries: usize, keys: usize, device: &Device) -> Option<Tensor<4, Bool>> {
        let runs = self.runs.as_ref()?;
        let batch = runs.len() / queries;
        let shape = [batch, 1, queries, keys];
        Some(self.uploaded.get(device, shape, || {
            let mut hidden = vec![true; runs.len() * keys];
            for runs in [Some(runs), self.second.as_ref()].into_iter().flatten() {
                for (row, &(start, end)) in hidden.chunks_exact_mut(keys).zip(runs.iter()) {
                    row[start as usize..end as usize].fill(false);
                }
            }
            TensorData::new(hidden, shape)
        }))
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
    fn rows_may_go_on_at_different_positions() {
        let (x, o) = (true, false);
        let mask = AttentionMask::causal_rows(&[0, 2], 2, None);
        assert_eq!(rows(&mask, 2, 4), [[o, x, x, x], [o, o, x, x], [o, o, o, x], [o, o, o, o]]);
        let mask = AttentionMask::causal_rows(&[3, 1], 1, Some(2));
        assert_eq!(rows(&mask, 1, 4), [[x, x, o, o], [o, o, x, x]]);
        assert!(AttentionMask::causal_rows(&[3, 3], 1, None).hidden(1, 4, &Device::flex()).is_none());
    }

    #[test]
    fn a_query_may_see_two_runs() {
        let (x, o) = (true, false);
        let mask = AttentionMask::two_runs(vec![[(0, 1), (3, 5)], [(1, 2), (5, 5)]]);
        assert_eq!(rows(&mask, 2, 5), [[o, x, x, o, o], [x, o, x, x, x]]);
        assert_eq!(mask.runs(1, 0, 2, 5), [(0, 1), (3, 5)], "one mask for all batch rows");
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
