//! Packing: examples one after another, cut into rows of equal length without padding; and whole, where several belong
//! together.

use super::walk::EpochPosition;
use super::{Batch, Example};
use crate::data::RowOrigin;

/// Tokens read and not yet given out, with their weights, segments and sources.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct PackedStream {
    pub(super) ids: Vec<u32>,
    weights: Vec<f32>,
    /// Running number of the example, from 1.
    segments: Vec<u32>,
    /// Source and place of each segment, from `first_segment` on.
    origins: Vec<(RowOrigin, EpochPosition)>,
    first_segment: u32,
    /// Tokens of the first segment that were given out.
    skipped: usize,
}

impl PackedStream {
    /// Adds an example at the end.
    pub(super) fn push(&mut self, example: Example, place: EpochPosition) {
        if self.origins.is_empty() {
            self.first_segment = 1;
            self.skipped = 0;
        }
        let segment = self.first_segment + self.origins.len() as u32;
        self.segments.extend(std::iter::repeat_n(segment, example.ids.len()));
        self.ids.extend(example.ids);
        self.weights.extend(example.weights);
        self.origins.push((example.origin, place));
    }

    /// Where the first token comes from: its row and how many tokens of it stand before.
    pub(super) fn front(&self) -> Option<(EpochPosition, usize)> {
        self.origins.first().filter(|_| !self.ids.is_empty()).map(|(_, place)| (*place, self.skipped))
    }

    /// Takes up to `rows` rows of `seq` tokens; a row's last target is the next row's first token. Fewer
    /// tokens than asked for give a last row that is padded.
    pub(super) fn take(&mut self, rows: usize, seq: usize) -> Batch {
        let mut batch = Batch::new(seq);
        let mut start = 0;
        while batch.batch < rows && start + 1 < self.ids.len() {
            let end = (start + seq + 1).min(self.ids.len());
            let local = renumber(&self.segments[start..end]);
            batch.push(&self.ids[start..end], &self.weights[start..end], &local);
            start += seq;
        }
        let used = start.min(self.ids.len());
        batch.origins = self.origins_of(used);
        self.drop_front(used);
        batch
    }

    /// Sources of the first `count` tokens.
    fn origins_of(&self, count: usize) -> Vec<RowOrigin> {
        let (Some(first), Some(last)) = (self.segments.first(), self.segments[..count].last()) else {
            return Vec::new();
        };
        let at = |segment: &u32| (segment - self.first_segment) as usize;
        self.origins[at(first)..=at(last)].iter().map(|(origin, _)| origin.clone()).collect()
    }

    /// Forgets the first `count` tokens.
    pub(super) fn drop_front(&mut self, count: usize) {
        let count = count.min(self.ids.len());
        let (before, first) = (self.segments.first().copied(), self.segments.get(count).copied());
        let dropped =
            self.segments[..count].iter().rev().take_while(|&&segment| Some(segment) == first).count();
        self.ids.drain(..count);
        self.weights.drain(..count);
        self.segments.drain(..count);
        let Some(first) = first else {
            self.origins.clear();
            return;
        };
        self.skipped = dropped + if Some(first) == before { self.skipped } else { 0 };
        self.origins.drain(..(first - self.first_segment) as usize);
        self.first_segment = first;
    }
}

/// Which groups share a row: each stands whole in the last one, or opens the next.
pub(super) struct NextFit {
    /// Tokens a row, the one that is only a target among them.
    longest: usize,
    filled: usize,
}

impl NextFit {
    pub(super) fn new(seq: usize) -> Self {
        let longest = seq.saturating_add(1);
        Self { longest, filled: longest }
    }

    /// Puts a group of so many tokens, at most a row's, into a row; whether it is a new one.
    pub(super) fn opens_row(&mut self, tokens: usize) -> bool {
        let opens = self.filled + tokens > self.longest;
        self.filled = if opens { tokens } else { self.filled + tokens };
        opens
    }
}

/// Tokens of examples together.
pub(super) fn tokens_of(examples: &[Example]) -> usize {
    examples.iter().map(|example| example.ids.len()).sum()
}

/// Segments of a row from 1 on: 0 is kept for padding.
fn renumber(segments: &[u32]) -> Vec<u32> {
    let first = segments.first().copied().unwrap_or(1);
    segments.iter().map(|segment| segment - first + 1).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn example(ids: &[u32]) -> Example {
        let origin = RowOrigin { source: "a".into(), line: u64::from(ids[0]) };
        Example { ids: ids.to_vec(), weights: vec![1.0; ids.len()], warnings: Vec::new(), origin }
    }

    #[test]
    fn a_group_opens_a_row_where_the_last_one_has_no_room_for_all_of_it() {
        let mut fit = NextFit::new(9);
        let opened = [4, 6, 1, 9, 2, 10, 3, 3, 4].map(|tokens| fit.opens_row(tokens));
        assert_eq!(opened, [true, false, true, false, true, true, true, false, false]);
    }

    #[test]
    fn rows_share_their_border_token_and_remember_their_sources() {
        let mut stream = PackedStream::default();
        for ids in [[1, 2, 3].as_slice(), &[4, 5], &[6, 7, 8, 9]] {
            stream.push(example(ids), EpochPosition::default());
        }
        let batch = stream.take(2, 4);
        assert_eq!(batch.inputs, [1, 2, 3, 4, 5, 6, 7, 8]);
        assert_eq!(batch.targets, [2, 3, 0, 5, 0, 7, 8, 9]);
        assert_eq!(batch.segments, [1, 1, 1, 2, 1, 2, 2, 2]);
        assert_eq!(batch.weights, [1.0, 1.0, 0.0, 1.0, 0.0, 1.0, 1.0, 1.0]);
        let lines: Vec<u64> = batch.origins.iter().map(|origin| origin.line).collect();
        assert_eq!(lines, [1, 4, 6]);
        assert_eq!(stream.ids, [9]);
        assert_eq!(stream.front(), Some((EpochPosition::default(), 3)));
        stream.push(example(&[10, 11]), EpochPosition::default());
        let rest = stream.take(2, 4);
        assert_eq!((rest.batch, rest.inputs), (1, vec![9, 10, 11, 0]));
        assert_eq!(rest.targets, [0, 11, 0, 0]);
    }

    #[test]
    fn padding_is_no_token() {
        let mut stream = PackedStream::default();
        stream.push(example(&[1, 2, 3, 4, 5, 6, 7]), EpochPosition::default());
        let batch = stream.take(2, 4);
        assert_eq!((batch.inputs.len(), batch.tokens()), (8, 7));
    }
}
