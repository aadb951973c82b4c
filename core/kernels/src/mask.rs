//! Which positions may look at which: for every query one run of keys, or two.

use std::ops::Range;
use std::sync::{Arc, OnceLock};

use burn::tensor::{Bool, Device, Int, Tensor, TensorData};

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
    parts: Arc<OnceLock<Parts>>,
}

/// A mask block by block.
#[derive(Debug)]
struct Parts {
    /// Queries, keys, and queries of a block.
    shape: [usize; 3],
    parts: Arc<[MaskPart]>,
}

/// Some queries of a mask, with the run of keys that any of them sees.
#[derive(Clone, Debug)]
pub(super) struct MaskPart {
    /// The queries.
    pub(super) queries: Range<usize>,
    /// The keys.
    pub(super) keys: Range<usize>,
    /// Which of these keys each of these queries sees.
    pub(super) mask: AttentionMask,
    /// Begin and end of each query's runs, which devices get once for all layers.
    bounds: Uploaded<4, Int>,
}

impl AttentionMask {
    fn of(runs: Option<Vec<Run>>, causal: bool) -> Self {
        Self {
            runs: runs.map(Arc::new),
            second: None,
            causal,
            uploaded: Uploaded::default(),
            parts: Arc::default(),
        }
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

    /// The mask in blocks of so many queries, the last of fewer. They are made once, for all layers of a forward pass and
    /// its backward pass.
    pub(super) fn parts(&self, queries: usize, keys: usize, block: usize) -> Arc<[MaskPart]> {
        let shape = [queries, keys, block];
        let make = || {
            let starts = (0..queries).step_by(block);
            starts.map(|start| self.part(start..(start + block).min(queries), shape)).collect()
        };
        let kept = self.parts.get_or_init(|| Parts { shape, parts: make() });
        if kept.shape == shape { Arc::clone(&kept.parts) } else { make() }
    }

    fn part(&self, rows: Range<usize>, [queries, keys, _]: [usize; 3]) -> MaskPart {
        let batch = self.runs.as_ref().map_or(1, |runs| (runs.len() / queries).max(1));
        let seen: Vec<_> = (0..batch)
            .flat_map(|batch| rows.clone().map(move |query| (batch, query)))
            .map(|(batch, query)| self.runs(batch, query, queries, keys))
            .collect();
        let full = seen.iter().flatten().filter(|(start, end)| start < end);
        let first = full.clone().map(|run| run.0).min().unwrap_or(0);
        let last = full.map(|run| run.1).max().unwrap_or(keys);
        let shifted = |side: usize| {
            let at = |place: usize| (place.clamp(first, last) - first) as u32;
            seen.iter().map(|runs| (at(runs[side].0), at(runs[side].1))).collect::<Vec<Run>>()
        };
        let mask = match seen.iter().all(|runs| runs[0] == (first, last)) {
            true => Self::bidirectional(),
            false => Self {
                second: self.second.as_ref().map(|_| Arc::new(shifted(1))),
                ..Self::of(Some(shifted(0)), false)
            },
        };
        MaskPart { queries: rows, keys: first..last, mask, bounds: Uploaded::default() }
    }
}

impl MaskPart {
    /// Weights of a head: one for each of its queries and each of its keys.
    pub(super) fn weights(&self) -> usize {
        self.queries.len() * self.keys.len()
    }

    /// As [`AttentionMask::hidden`], `[batch or 1, 1, queries, keys]`, but made on the device and for one use: all parts
    /// together would grow with the square of the length.
    pub(super) fn hidden(&self, device: &Device) -> Option<Tensor<4, Bool>> {
        let runs = self.mask.runs.as_ref()?;
        let queries = self.queries.len();
        let shape = [runs.len() / queries, 1, queries, 4];
        let bounds = self.bounds.get(device, shape, || {
            let second = |i: usize| self.mask.second.as_ref().map_or((0, 0), |second| second[i]);
            let ends = runs.iter().enumerate().map(|(i, first)| (first, second(i)));
            let ends = ends.flat_map(|(first, second)| [first.0, first.1, second.0, second.1]);
            TensorData::new(ends.map(|end| end as i32).collect(), shape)
        });
        let keys = Tensor::<1, Int>::arange(0..self.keys.len() as i64, device);
        let keys = keys.reshape([1, 1, 1, self.keys.len()]);
        let bound = |i: usize| bounds.clone().narrow(3, i, 1);
        let outside = |run: usize| {
            let before = keys.clone().lower(bound(2 * run));
            before.bool_or(keys.clone().greater_equal(bound(2 * run + 1)))
        };
        Some(match &self.mask.second {
            Some(_) => outside(0).bool_and(outside(1)),
            None => outside(0),
        })
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
    fn parts_hold_the_keys_that_their_queries_see() {
        let (x, o) = (true, false);
        let bits = |part: &MaskPart| {
            let hidden = part.hidden(&Device::flex()).unwrap();
            assert_eq!(
                part.mask
                    .hidden(part.queries.len(), part.keys.len(), &Device::flex())
                    .unwrap()
                    .into_data()
                    .iter::<bool>()
                    .collect::<Vec<_>>(),
                hidden.clone().into_data().iter::<bool>().collect::<Vec<_>>()
            );
            let bits: Vec<bool> = hidden.into_data().iter::<bool>().collect();
            bits.chunks(part.keys.len()).map(<[bool]>::to_vec).collect::<Vec<_>>()
        };
        let causal = AttentionMask::causal(5, 1);
        let parts = causal.parts(5, 6, 2);
        let ranges: Vec<_> = parts.iter().map(|part| (part.queries.clone(), part.keys.clone())).collect();
        assert_eq!(ranges, [(0..2, 0..3), (2..4, 0..5), (4..5, 0..6)]);
        assert_eq!(bits(&parts[0]), [[o, o, x], [o, o, o]]);
        assert!(parts[2].hidden(&Device::flex()).is_none(), "the last query sees all");
        assert!(Arc::ptr_eq(&parts, &causal.clone().parts(5, 6, 2)), "clones share them");
        assert_eq!(causal.parts(5, 6, 3).len(), 2);

        let packed = AttentionMask::segments(&[1, 1, 2, 2, 1, 1, 1, 1], 4, true);
        let parts = packed.parts(4, 4, 2);
        assert_eq!(parts[1].keys, 0..4, "the second row's queries see its beginning");
        assert_eq!(bits(&parts[1]), [[x, x, o, x], [x, x, o, o], [o, o, o, x], [o, o, o, o]]);
        let window = AttentionMask::causal_window(4, 0, 2).parts(4, 4, 2);
        assert_eq!(window[1].keys, 1..4);

        let two = AttentionMask::two_runs(vec![[(0, 1), (3, 5)], [(1, 2), (5, 5)]]);
        let parts = two.parts(2, 6, 1);
        assert_eq!((parts[0].keys.clone(), parts[1].keys.clone()), (0..5, 1..2));
        assert_eq!(bits(&parts[0]), [[o, x, x, o, o]]);
        assert!(parts[1].hidden(&Device::flex()).is_none());
        assert_eq!(AttentionMask::bidirectional().parts(3, 7, 2)[1].keys, 0..7);
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
