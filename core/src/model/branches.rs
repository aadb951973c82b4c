//! Several continuations of one text in a single pass: what they begin with is read once, and each continuation sees it
//! and itself alone.

use burn::tensor::{Int, Tensor, TensorData};

use super::{RopeScaling, Trace, Transformer};
use crate::kernels::{Angles, AttentionMask};

/// Sequences in one row of tokens: their common beginning, and behind it the rest of each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Branches {
    tokens: Vec<u32>,
    /// Tokens of the common beginning.
    shared: usize,
    /// Where the rest of each sequence begins in the row, and the end of the last one.
    begins: Vec<usize>,
}

impl Branches {
    /// These sequences, with their longest common beginning once where it is `shared`.
    pub fn of(sequences: &[&[u32]], shared: bool) -> Self {
        let shared = if shared { common_beginning(sequences) } else { 0 };
        let mut tokens = sequences.first().map_or(Vec::new(), |first| first[..shared].to_vec());
        let mut begins = vec![tokens.len()];
        for sequence in sequences {
            tokens.extend(&sequence[shared..]);
            begins.push(tokens.len());
        }
        Self { tokens, shared, begins }
    }

    /// Tokens of the row.
    pub fn len(&self) -> usize {
        self.tokens.len()
    }

    /// Whether it holds no token.
    pub fn is_empty(&self) -> bool {
        self.tokens.is_empty()
    }

    /// Where in the row the token `at` of a sequence stands.
    pub fn place(&self, sequence: usize, at: usize) -> usize {
        if at < self.shared { at } else { self.begins[sequence] + at - self.shared }
    }

    /// The runs of keys that each token sees, up to `len` tokens, of which the last see themselves alone.
    fn runs(&self, len: usize) -> Vec<[(u32, u32); 2]> {
        let run = |start: usize, end: usize| (start as u32, end as u32);
        let one = |start: usize, end: usize| [run(start, end), run(end, end)];
        let mut runs: Vec<_> = (0..self.shared).map(|at| one(0, at + 1)).collect();
        for branch in self.begins.windows(2) {
            let begin = branch[0];
            runs.extend((begin..branch[1]).map(|at| match self.shared {
                0 => one(begin, at + 1),
                shared if shared == begin => one(0, at + 1),
                shared => [run(0, shared), run(begin, at + 1)],
            }));
        }
        runs.extend((self.len()..len).map(|at| one(at, at + 1)));
        runs
    }

    /// Which sequence each token belongs to, from 1, where nothing is shared; 0 behind them.
    fn segments(&self, len: usize) -> Vec<u32> {
        let mut segments = Vec::with_capacity(len);
        for (number, branch) in self.begins.windows(2).enumerate() {
            segments.extend(std::iter::repeat_n(number as u32 + 1, branch[1] - branch[0]));
        }
        segments.resize(len, 0);
        segments
    }
}

/// How many tokens all sequences begin with.
fn common_beginning(sequences: &[&[u32]]) -> usize {
    let Some((first, others)) = sequences.split_first() else { return 0 };
    let common = |other: &&[u32]| first.iter().zip(*other).take_while(|(a, b)| a == b).count();
    others.iter().map(common).min().unwrap_or(first.len())
}

impl Transformer {
    /// Whether sequences may share what they begin with: what a token sees of it depends on neither the length of its text
    /// (dynamic rotary scaling) nor its distance in a row (a sliding window).
    pub fn shares_beginnings(&self) -> bool {
        self.config.sliding_window.is_none()
            && !matches!(self.config.rope_scaling, RopeScaling::Dynamic { .. })
    }

    /// Causal logits of some places of several rows, each as if its sequence stood alone. Places number the tokens of all
    /// rows one after the other, each row as long as the longest.
    ///
    /// # Shapes
    /// `n` places → `[n, vocab]` in f32.
    pub fn forward_branches(&self, rows: &[Branches], places: &[u32]) -> Tensor<2> {
        let len = rows.iter().map(Branches::len).max().unwrap_or(0);
        let mask = match rows.iter().any(|row| row.shared > 0) {
            true => AttentionMask::two_runs(rows.iter().flat_map(|row| row.runs(len)).collect()),
            false => {
                let segments: Vec<u32> = rows.iter().flat_map(|row| row.segments(len)).collect();
                AttentionMask::segments(&segments, len, true)
            }
        };
        let mut tokens = Vec::with_capacity(rows.len() * len);
        for row in rows {
            tokens.extend(row.tokens.iter().map(|&id| id as i32));
            tokens.resize(tokens.len() + len - row.len(), 0);
        }
        let tokens = TensorData::new(tokens, [rows.len(), len]);
        let tokens = Tensor::<2, Int>::from_data(tokens, &self.device());
        let x = self.hidden_at(tokens, &self.angles_of(rows, len), &mask, &mut Trace::default());
        self.logits_of(x, places.iter().map(|&place| place as i32).collect())
    }

    /// The angles of rows of `len` tokens: every sequence counts its own positions.
    fn angles_of(&self, rows: &[Branches], len: usize) -> Angles {
        let half = self.config.head_dim / 2;
        let (mut cos, mut sin) = (Vec::new(), Vec::new());
        let mut add = |start: usize, count: usize, text: usize| {
            let angles = self.rope.angles(start, count, text);
            cos.extend_from_slice(angles.cos());
            sin.extend_from_slice(angles.sin());
        };
        for row in rows {
            add(0, row.shared, row.shared);
            for branch in row.begins.windows(2) {
                let count = branch[1] - branch[0];
                add(row.shared, count, row.shared + count);
            }
            // What fills the row up is looked at by nobody.
            (row.len()..len).for_each(|_| add(0, 1, 1));
        }
        debug_assert_eq!(cos.len(), rows.len() * len * half);
        Angles::new(cos, sin)
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;

    use super::super::{SlidingWindow, preset};
    use super::*;

    const VOCAB: usize = 64;

    fn model(change: impl Fn(&mut super::super::ModelConfig)) -> Transformer {
        let mut config = preset("nano").unwrap().config(Some(VOCAB));
        change(&mut config);
        Transformer::init(&config, 3, &Device::flex()).unwrap()
    }

    /// The largest difference between logits of every token in one pass and of each sequence alone.
    fn apart(model: &Transformer, groups: &[Vec<Vec<u32>>]) -> f32 {
        let shared = model.shares_beginnings();
        let rows: Vec<Branches> = groups
            .iter()
            .map(|group| Branches::of(&group.iter().map(Vec::as_slice).collect::<Vec<_>>(), shared))
            .collect();
        let len = rows.iter().map(Branches::len).max().unwrap();
        let (mut places, mut alone) = (Vec::new(), Vec::new());
        for (number, (row, group)) in rows.iter().zip(groups).enumerate() {
            for (sequence, ids) in group.iter().enumerate() {
                places.extend((0..ids.len()).map(|at| (number * len + row.place(sequence, at)) as u32));
                let data =
                    TensorData::new(ids.iter().map(|&id| id as i32).collect::<Vec<_>>(), [1, ids.len()]);
                let tokens = Tensor::<2, Int>::from_data(data, &model.device());
                let logits = model.forward(tokens, &AttentionMask::causal(ids.len(), 0));
                alone.extend(logits.into_data().iter::<f32>());
            }
        }
        let together: Vec<f32> = model.forward_branches(&rows, &places).into_data().iter::<f32>().collect();
        assert_eq!(together.len(), alone.len());
        together.iter().zip(&alone).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
    }

    fn groups() -> Vec<Vec<Vec<u32>>> {
        let text: Vec<u32> = (0..40).map(|i| i * 7 % 64).collect();
        let with = |cut: usize, end: &[u32]| [&text[..cut], end].concat();
        vec![
            vec![with(20, &[1, 2, 3]), with(20, &[1, 9]), with(20, &[5, 5, 5, 5, 5, 5])],
            vec![with(40, &[]), with(40, &[])],
            vec![vec![3, 1, 4], vec![2, 7]],
            vec![with(9, &[8])],
        ]
    }

    #[test]
    fn what_is_common_stands_once() {
        let row = Branches::of(&[&[1, 2, 3, 4], &[1, 2, 5], &[1, 2]], true);
        assert_eq!((row.tokens.as_slice(), row.shared), (&[1, 2, 3, 4, 5][..], 2));
        assert_eq!([row.place(0, 1), row.place(0, 3), row.place(1, 2)], [1, 3, 4]);
        let runs = row.runs(6);
        assert_eq!(runs[1], [(0, 2), (2, 2)]);
        assert_eq!(runs[3], [(0, 4), (4, 4)], "the first branch goes on behind the beginning");
        assert_eq!(runs[4], [(0, 2), (4, 5)]);
        assert_eq!(runs[5], [(5, 6), (6, 6)], "what fills up sees itself");
        let apart = Branches::of(&[&[1, 2], &[1, 3]], false);
        assert_eq!((apart.tokens.as_slice(), apart.segments(5)), (&[1, 2, 1, 3][..], vec![1, 1, 2, 2, 0]));
        assert_eq!(apart.place(1, 0), 2);
        assert_eq!(common_beginning(&[]), 0);
    }

    #[test]
    fn each_sequence_comes_out_as_alone() {
        let plain = model(|_| ());
        assert!(plain.shares_beginnings());
        let largest = apart(&plain, &groups());
        assert!(largest < 1e-4, "{largest}");
    }

    #[test]
    fn windows_and_dynamic_positions_are_kept() {
        let sliding = model(|config| {
            let layers = vec![true; config.num_hidden_layers];
            config.sliding_window = Some(SlidingWindow { window: 4, layers });
        });
        let dynamic =
            model(|config| config.rope_scaling = RopeScaling::Dynamic { factor: 2.0, original: 12 });
        for model in [sliding, dynamic] {
            assert!(!model.shares_beginnings());
            let largest = apart(&model, &groups());
            assert!(largest < 1e-4, "{largest}");
        }
    }
}
