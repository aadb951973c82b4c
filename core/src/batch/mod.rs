//! Examples and batches: what the loss sees.

mod encode;
mod examples;
mod fit;
mod keep;
mod loader;
mod loader_config;
mod loader_state;
mod noised;
mod pack;
mod place;
mod reused;
mod rollouts;
mod survey;
mod top_tokens;
mod walk;

pub use encode::{Content, Encoder, RenderWarnings, count_warnings_of_row, render_remarks};
pub use examples::{EncodedRows, ExampleSource, Found};
pub use fit::{Fit, Fitted, TooLong};
pub use keep::KeptRows;
pub use loader::Loader;
pub(crate) use loader::row_length;
pub use loader_config::LoaderConfig;
pub use loader_state::LoaderState;
pub use noised::Noised;
pub use reused::Reused;
pub use rollouts::Rollouts;
pub use survey::Survey;
pub use top_tokens::TopTokens;

use std::ops::Range;

use burn::tensor::{Device, Int, Tensor, TensorData};
use serde::{Deserialize, Serialize};

use crate::data::RowOrigin;
use crate::tokenizer::RenderWarning;

/// One row as tokens; `weights[i]` says how much `ids[i]` counts as a target, 0 that it is none.
#[derive(Clone, Debug, PartialEq)]
pub struct Example {
    /// Token ids.
    pub ids: Vec<u32>,
    /// Same length as `ids`.
    pub weights: Vec<f32>,
    /// What is odd about the row, as shows where it is rendered.
    pub warnings: Vec<RenderWarning>,
    /// Where the row stands.
    pub origin: RowOrigin,
}

/// Rows of equal length, `batch · seq` values each, row by row.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Batch {
    /// Number of rows.
    pub batch: usize,
    /// Tokens a row.
    pub seq: usize,
    /// Rows that belong together and follow each other, such as the two of a preference pair: no thread gets a part of
    /// them. `batch` is a multiple of it.
    pub group: usize,
    /// Examples that belong together and follow each other: as rows, then it equals `group`; or, packed, as segments of
    /// one row, which holds some such groups and no part of one.
    pub members: usize,
    /// What the model reads.
    pub inputs: Vec<u32>,
    /// What it should say next.
    pub targets: Vec<u32>,
    /// How much each target counts; 0 where there is none.
    pub weights: Vec<f32>,
    /// Which example of its row a token belongs to; 0 is padding.
    pub segments: Vec<u32>,
    /// The data rows inside.
    pub origins: Vec<RowOrigin>,
    /// How likely a reference holds each example's targets, as the sum of their weighed log-probabilities, where that was
    /// computed before; else empty.
    pub reference: Vec<f32>,
    /// Whether the model knows these rows already: they are there so that it keeps them, and no part of the lesson.
    pub kept: bool,
    /// Whether the model that trains wrote the targets itself: they are no data, and how likely it holds them tells nothing.
    pub own: bool,
    /// How good the answers are that the model wrote, where rules reward them: one a row.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rollouts: Option<Rollouts>,
    /// Which tokens are hidden from a masked predictor, where one trains: then `inputs` hold mask tokens in their places,
    /// `targets` the tokens of the same places, and `weights` how much each counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub noised: Option<Noised>,
    /// What a teacher holds of the targets that count, in their order, where it was asked before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub taught: Option<TopTokens>,
}

impl Batch {
    /// An empty batch of that row length.
    pub fn new(seq: usize) -> Self {
        let (inputs, targets, weights, segments) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        let (origins, reference) = (Vec::new(), Vec::new());
        Self {
            batch: 0,
            seq,
            group: 1,
            members: 1,
            inputs,
            targets,
            weights,
            segments,
            origins,
            reference,
            kept: false,
            own: false,
            rollouts: None,
            noised: None,
            taught: None,
        }
    }

    /// Adds a row of `seq + 1` tokens or fewer; the rest is padding. Targets are the tokens moved by one, and
    /// a target must belong to the same segment as the token before it.
    pub fn push(&mut self, ids: &[u32], weights: &[f32], segments: &[u32]) {
        for i in 0..self.seq {
            let present = i < ids.len();
            let follows = i + 1 < ids.len() && segments[i] == segments[i + 1];
            self.inputs.push(if present { ids[i] } else { 0 });
            self.segments.push(if present { segments[i] } else { 0 });
            self.targets.push(if follows { ids[i + 1] } else { 0 });
            self.weights.push(if follows { weights[i + 1] } else { 0.0 });
        }
        self.batch += 1;
    }

    /// Adds a row of whole examples, one after the other, and where they come from.
    pub(crate) fn push_examples(&mut self, examples: &[Example]) {
        let (mut ids, mut weights, mut segments) = (Vec::new(), Vec::new(), Vec::new());
        for (segment, example) in (1..).zip(examples) {
            ids.extend(&example.ids);
            weights.extend(&example.weights);
            segments.extend(std::iter::repeat_n(segment, example.ids.len()));
            self.origins.push(example.origin.clone());
        }
        self.push(&ids, &weights, &segments);
    }

    /// The same rows in at most `parts` batches of nearly equal size, in order; groups stay whole.
    pub fn split(&self, parts: usize) -> Vec<Self> {
        let groups = self.batch / self.group;
        let rows = self.group * groups.div_ceil(parts.clamp(1, groups.max(1)));
        let part = |start: usize| {
            let end = (start + rows).min(self.batch);
            let values = start * self.seq..end * self.seq;
            Self {
                batch: end - start,
                seq: self.seq,
                group: self.group,
                members: self.members,
                inputs: self.inputs[values.clone()].to_vec(),
                targets: self.targets[values.clone()].to_vec(),
                weights: self.weights[values.clone()].to_vec(),
                segments: self.segments[values].to_vec(),
                origins: self.origins.clone(),
                reference: self.reference_of(start..end),
                kept: self.kept,
                own: self.own,
                rollouts: self.rollouts.as_ref().map(|known| known.of_rows(start..end, self.seq)),
                noised: self.noised.as_ref().map(|known| known.of_rows(start..end, self.seq)),
                taught: self
                    .taught
                    .as_ref()
                    .map(|known| known.of_targets(self.targets_before(start)..self.targets_before(end))),
            }
        };
        (0..self.batch).step_by(rows.max(1)).map(part).collect()
    }

    /// What is known of the reference for the examples of these rows.
    fn reference_of(&self, rows: Range<usize>) -> Vec<f32> {
        let before = self.examples_in(0..rows.start);
        let known = self.reference.iter().skip(before).take(self.examples_in(rows));
        known.copied().collect()
    }

    /// Targets that count in the rows before this one.
    fn targets_before(&self, row: usize) -> usize {
        self.weights.iter().take(row * self.seq).filter(|weight| **weight != 0.0).count()
    }

    fn examples_in(&self, rows: Range<usize>) -> usize {
        let segments = &self.segments[rows.start * self.seq..rows.end * self.seq];
        segments.chunks(self.seq.max(1)).map(|row| row.iter().max().map_or(0, |&last| last as usize)).sum()
    }

    /// Number of examples, or of parts of them.
    pub fn examples(&self) -> usize {
        self.examples_in(0..self.batch)
    }

    /// The number of the example that each token belongs to, from 0; padding has that of the example before it.
    pub fn example_numbers(&self) -> Vec<u32> {
        let (mut numbers, mut before) = (Vec::with_capacity(self.segments.len()), 0);
        for row in self.segments.chunks(self.seq.max(1)) {
            let last = row.iter().max().copied().unwrap_or(0);
            let number = |&segment: &u32| {
                let own = if segment == 0 { last } else { segment };
                before + own.saturating_sub(1)
            };
            numbers.extend(row.iter().map(number));
            before += last;
        }
        numbers
    }

    /// Number of targets that count.
    pub fn targets_counted(&self) -> usize {
        self.targets_before(self.batch)
    }

    /// Lets every target count so many times as much.
    pub(crate) fn scale_weights(&mut self, factor: f64) {
        self.weights.iter_mut().for_each(|weight| *weight = (f64::from(*weight) * factor) as f32);
    }

    /// What the targets count together.
    pub fn weight(&self) -> f64 {
        self.weights.iter().map(|&weight| f64::from(weight)).sum()
    }

    /// Tokens that are not padding.
    pub fn tokens(&self) -> usize {
        self.segments.iter().filter(|segment| **segment != 0).count()
    }

    /// Where the examples of the rows stand: the row, and their places in it, padding aside.
    pub fn sequences(&self) -> Vec<(usize, Range<usize>)> {
        let mut found: Vec<(usize, Range<usize>)> = Vec::new();
        for (at, &segment) in self.segments.iter().enumerate() {
            let (row, place) = (at / self.seq, at % self.seq);
            let goes_on = place > 0 && self.segments[at - 1] == segment;
            match found.last_mut() {
                _ if segment == 0 => {}
                Some((_, places)) if goes_on => places.end += 1,
                _ => found.push((row, place..place + 1)),
            }
        }
        found
    }

    /// How many tokens the example at each place has, `[batch · seq]`; 0 for padding.
    pub fn example_lengths(&self) -> Vec<u32> {
        let mut lengths = vec![0; self.batch * self.seq];
        for (row, places) in self.sequences() {
            let tokens = places.len() as u32;
            lengths[row * self.seq..][places].fill(tokens);
        }
        lengths
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

    /// An example of these weights with the ids 0, 1, 2 and so on.
    pub(super) fn example(weights: &[f32]) -> Example {
        let origin = RowOrigin { source: "a".into(), line: 1 };
        let ids = (0..weights.len() as u32).collect();
        Example { ids, weights: weights.to_vec(), warnings: vec![RenderWarning::TextLeftOut], origin }
    }

    #[test]
    fn the_length_of_the_example_at_each_place() {
        let mut batch = Batch::new(4);
        batch.push(&[1, 2, 3, 4, 5], &[1.0; 5], &[1, 1, 2, 2, 2]);
        batch.push(&[4, 5, 6], &[1.0; 3], &[1, 1, 1]);
        assert_eq!(batch.example_lengths(), [2, 2, 2, 2, 3, 3, 3, 0]);
    }

    #[test]
    fn splitting_keeps_every_row() {
        let mut batch = Batch::new(2);
        (0..5).for_each(|i| batch.push(&[i, i, i], &[1.0; 3], &[1; 3]));
        let rows = |parts: usize| batch.split(parts).iter().map(|part| part.batch).collect::<Vec<_>>();
        assert_eq!((rows(1), rows(2), rows(4), rows(9)), (vec![5], vec![3, 2], vec![2, 2, 1], vec![1; 5]));
        let inputs: Vec<u32> = batch.split(2).into_iter().flat_map(|part| part.inputs).collect();
        assert_eq!(inputs, batch.inputs);
        batch.push(&[5, 5, 5], &[1.0; 3], &[1; 3]);
        batch.group = 2;
        let rows = |parts: usize| batch.split(parts).iter().map(|part| part.batch).collect::<Vec<_>>();
        assert_eq!((rows(1), rows(2), rows(9)), (vec![6], vec![4, 2], vec![2, 2, 2]), "pairs stay together");
    }

    #[test]
    fn examples_are_numbered_over_rows_and_keep_their_reference() {
        let mut batch = Batch::new(4);
        batch.push(&[1, 2, 3, 4], &[1.0; 4], &[1, 1, 2, 2]);
        batch.push(&[5, 6, 7], &[1.0; 3], &[1, 1, 1]);
        batch.push(&[5, 6, 7, 8], &[1.0; 4], &[1, 2, 3, 3]);
        batch.reference = vec![-1.0, -2.0, -3.0, -4.0, -5.0, -6.0];
        assert_eq!(
            (batch.examples(), batch.example_numbers()),
            (6, vec![0, 0, 1, 1, 2, 2, 2, 2, 3, 4, 5, 5])
        );
        let known = |targets: std::ops::Range<u32>| TopTokens {
            ids: targets.clone().collect(),
            log_probs: (2 * targets.start..2 * targets.end).map(|value| -(value as f32)).collect(),
            ..TopTokens::new(1, 9)
        };
        batch.taught = Some(known(0..batch.targets_counted() as u32));
        let parts = batch.split(2);
        let first = parts[0].targets_counted() as u32;
        let taught = [parts[0].taught.clone().unwrap(), parts[1].taught.clone().unwrap()];
        assert_eq!(taught, [known(0..first), known(first..batch.targets_counted() as u32)]);
        let known: Vec<_> = parts.iter().map(|part| part.reference.clone()).collect();
        assert_eq!(known, [vec![-1.0, -2.0, -3.0], vec![-4.0, -5.0, -6.0]]);
        assert!(parts.iter().all(|part| part.examples() == 3));
    }

    #[test]
    fn targets_are_moved_by_one_and_stop_at_a_segment_end() {
        let mut batch = Batch::new(5);
        batch.push(&[10, 11, 12, 20, 21], &[0.0, 1.0, 0.5, 0.0, 1.0], &[1, 1, 1, 2, 2]);
        assert_eq!(batch.inputs, [10, 11, 12, 20, 21]);
        assert_eq!(batch.targets, [11, 12, 0, 21, 0]);
        assert_eq!(batch.weights, [1.0, 0.5, 0.0, 1.0, 0.0]);
        assert_eq!((batch.tokens(), batch.targets_counted(), batch.weight()), (5, 3, 2.5));
        batch.push(&[10, 11], &[0.0, 1.0], &[2, 2]);
        assert_eq!(batch.sequences(), [(0, 0..3), (0, 3..5), (1, 0..2)]);
    }
}
