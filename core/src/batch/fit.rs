//! What training sees of an example that is longer than a row: the one way from data to training, which `data preview`
//! shows.

use serde::{Deserialize, Serialize};

use super::{Content, Example};

/// What happens to a row longer than the model's rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "cli", derive(clap::ValueEnum))]
#[serde(rename_all = "kebab-case")]
pub enum TooLong {
    /// A text is cut into pieces, a conversation loses its end.
    Cut,
    /// The row is left out.
    Drop,
}

/// How examples are made to fit the rows of a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fit {
    /// Tokens a row, at most.
    pub seq_len: usize,
    /// What happens to longer examples.
    pub too_long: TooLong,
    /// Whether what is cut off is trained in rows of its own.
    pub keep_pieces: bool,
}

/// What training sees of an example.
#[derive(Clone, Debug, PartialEq)]
pub enum Fitted {
    /// All of it.
    Whole(Example),
    /// It is longer than a row: its beginning, or all of it where the pieces are kept.
    Cut(Example),
    /// Nothing: it is longer than a row.
    TooLong,
    /// Nothing: no target is in it, or none is left.
    NoTarget,
}

impl Fit {
    /// The fit of a kind of content: a text is cut into pieces, a conversation loses its end.
    pub fn new(content: Content, seq_len: usize, too_long: TooLong) -> Self {
        Self { seq_len, too_long, keep_pieces: content == Content::Documents }
    }

    /// What training sees of an example.
    pub fn fit(&self, mut example: Example) -> Fitted {
        let longest = self.seq_len.saturating_add(1);
        let long = example.ids.len() > longest;
        if long && self.too_long == TooLong::Drop {
            return Fitted::TooLong;
        }
        if long && !self.keep_pieces {
            example.ids.truncate(longest);
            example.weights.truncate(longest);
        }
        // The first token is never a target: nothing stands before it.
        match example.weights.iter().skip(1).any(|&weight| weight != 0.0) {
            false => Fitted::NoTarget,
            true if long => Fitted::Cut(example),
            true => Fitted::Whole(example),
        }
    }

    /// What training sees of examples that belong together, and whether any loses its end; `None` where one of them is
    /// left out, and so all are, or where two are the same.
    pub fn all(&self, examples: Vec<Example>) -> Option<(Vec<Example>, bool)> {
        let mut cut = false;
        let kept = examples.into_iter().map(|example| match self.fit(example) {
            Fitted::Whole(example) => Some(example),
            Fitted::Cut(example) => {
                cut = !self.keep_pieces;
                Some(example)
            }
            Fitted::TooLong | Fitted::NoTarget => None,
        });
        let kept = kept.collect::<Option<Vec<_>>>()?;
        match kept.as_slice() {
            // Cut behind their difference, or told apart by nothing that the template prints.
            [one, other] if one.ids == other.ids => None,
            _ => Some((kept, cut)),
        }
    }

    /// The rows of a fitted example: pieces of at most `seq_len + 1` tokens, each beginning with the last token of the
    /// one before.
    pub fn pieces(&self, example: Example) -> Vec<Example> {
        let seq = self.seq_len;
        if example.ids.len() <= seq.saturating_add(1) {
            return vec![example];
        }
        let piece = |start: usize| {
            let end = (start + seq + 1).min(example.ids.len());
            Example {
                ids: example.ids[start..end].to_vec(),
                weights: example.weights[start..end].to_vec(),
                warnings: Vec::new(),
                origin: example.origin.clone(),
            }
        };
        (0..example.ids.len() - 1).step_by(seq.max(1)).map(piece).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::tests::example;

    #[test]
    fn an_example_is_whole_cut_or_left_out() {
        let cut = Fit::new(Content::Conversations, 2, TooLong::Cut);
        assert_eq!(cut.fit(example(&[0.0, 0.0, 0.5])), Fitted::Whole(example(&[0.0, 0.0, 0.5])));
        assert_eq!(cut.fit(example(&[0.0, 1.0, 0.0, 1.0])), Fitted::Cut(example(&[0.0, 1.0, 0.0])));
        assert_eq!(cut.fit(example(&[1.0, 0.0, 0.0])), Fitted::NoTarget);
        assert_eq!(cut.fit(example(&[0.0, 0.0, 0.0, 1.0])), Fitted::NoTarget, "its answer is cut off");
        let drop = Fit { too_long: TooLong::Drop, ..cut };
        assert_eq!(drop.fit(example(&[0.0, 1.0, 0.0, 1.0])), Fitted::TooLong);
        let pieces = Fit::new(Content::Documents, 2, TooLong::Cut);
        assert_eq!(pieces.fit(example(&[1.0; 6])), Fitted::Cut(example(&[1.0; 6])));
        for (fit, loses_its_end) in [(pieces, false), (Fit { keep_pieces: false, ..pieces }, true)] {
            let (_, cut) = fit.all(vec![example(&[1.0; 2]), example(&[1.0; 6])]).unwrap();
            assert_eq!(cut, loses_its_end);
        }
        let pair = |length: usize| vec![example(&[0.0, 1.0, 1.0]), example(&vec![1.0; length])];
        assert_eq!(cut.all(pair(4)), None, "their difference is cut off");
        assert!(cut.all(pair(2)).is_some_and(|(kept, cut)| kept.len() == 2 && !cut));
    }

    #[test]
    fn pieces_share_their_border_token() {
        let fit = Fit::new(Content::Documents, 2, TooLong::Cut);
        let ids =
            |n: usize| fit.pieces(example(&vec![1.0; n])).into_iter().map(|e| e.ids).collect::<Vec<_>>();
        assert_eq!(ids(3), [vec![0, 1, 2]]);
        assert_eq!(ids(5), [vec![0, 1, 2], vec![2, 3, 4]]);
        assert_eq!(ids(6), [vec![0, 1, 2], vec![2, 3, 4], vec![4, 5]]);
    }
}
