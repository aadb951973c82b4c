//! Rows of what a model knows already, beside those that it is to learn: trained on both, it keeps what it knew
//! (rehearsal: Robins, 1995, <https://doi.org/10.1080/09540099550039318>).

use super::loader::row_length;
use super::{Batch, Example, ExampleSource, Fit, Found};
use crate::error::{Error, Result};
use crate::random::Random;
use crate::told::told;

/// The stream of the seed that draws rows.
const STREAM: u64 = 0x6b65_6570 << 32;
/// Draws for one row, before none of the data's counts as usable.
const TRIES: usize = 200;

/// Kept rows, of which every step draws some. Which ones depends on the seed and the step's number alone, so that a run
/// that goes on needs no place in them.
pub struct KeptRows {
    source: Box<dyn ExampleSource>,
    fit: Fit,
    share: f64,
    seed: u64,
}

impl KeptRows {
    /// Rows of which a step takes `share` (0 to 1, both excluded) of what it trains on: of its rows, and of the weight
    /// of its targets.
    pub fn new(source: Box<dyn ExampleSource>, fit: Fit, share: f64, seed: u64) -> Self {
        Self { source, fit, share, seed }
    }

    /// What they count for each that the lesson counts.
    pub fn ratio(&self) -> f64 {
        self.share / (1.0 - self.share)
    }

    /// Kept rows beside so many of the lesson: at least one.
    pub fn rows_beside(&self, lesson: usize) -> usize {
        let rows = self.ratio() * lesson as f64;
        // Not one more for what a sum in binary adds.
        ((rows - 1e-9).ceil() as usize).max(1)
    }

    /// The kept rows of step number `step` (from 0), beside the batches of its lesson. Their targets count together as
    /// the share says, whatever their number.
    ///
    /// # Errors
    /// Rows that cannot be read or encoded, or none that fits.
    pub fn beside(&self, lesson: &[Batch], step: u64) -> Result<Batch> {
        let mut random = Random::new(self.seed, STREAM ^ step);
        let rows = self.rows_beside(lesson.iter().map(|batch| batch.batch).sum());
        let examples = (0..rows).map(|_| self.draw(&mut random)).collect::<Result<Vec<_>>>()?;
        let longest = examples.iter().map(|example| example.ids.len() - 1).max().unwrap_or(1);
        let mut batch = Batch { kept: true, ..Batch::new(row_length(longest, self.fit.seq_len)) };
        examples.iter().for_each(|example| batch.push_examples(std::slice::from_ref(example)));
        let wanted = self.ratio() * lesson.iter().map(Batch::weight).sum::<f64>();
        // Of a lesson none of whose tokens came out hidden the weights say nothing: what it counts is known where the kept
        // rows' tokens are hidden, too.
        if wanted > 0.0 {
            batch.scale_weights(wanted / batch.weight());
        }
        Ok(batch)
    }

    /// A row that has something to learn.
    fn draw(&self, random: &mut Random) -> Result<Example> {
        for _ in 0..TRIES {
            let Found::Examples(examples) = self.source.examples(random.below(self.source.rows()))? else {
                continue;
            };
            let Some((examples, _)) = self.fit.all(examples) else { continue };
            let pieces = examples.into_iter().flat_map(|example| self.fit.pieces(example));
            // Of a long text the first piece with a target.
            let learns = |piece: &Example| piece.weights.iter().skip(1).any(|&weight| weight != 0.0);
            if let Some(example) = pieces.into_iter().find(learns) {
                return Ok(example);
            }
        }
        Err(Error::Data(told!(
            "data.keep_nothing",
            "no row of --keep-data that was drawn holds anything to learn within --max-seq-len; give shorter rows, a \
             longer --max-seq-len, or --keep-share 0"
        )))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::{Content, TooLong};
    use crate::data::RowOrigin;

    /// Row `i` has the token `i` and two more; its last two are targets, but row 1 has none.
    struct Counted;

    impl ExampleSource for Counted {
        fn rows(&self) -> u64 {
            5
        }

        fn examples(&self, row: u64) -> Result<Found> {
            let weight = if row == 1 { 0.0 } else { 1.0 };
            let origin = RowOrigin { source: "known".into(), line: row + 1 };
            let (ids, weights) = (vec![row as u32, 7, 8], vec![0.0, weight, weight]);
            Ok(Found::Examples(vec![Example { ids, weights, warnings: Vec::new(), origin }]))
        }
    }

    fn kept(share: f64) -> KeptRows {
        let fit = Fit::new(Content::Conversations, 32, TooLong::Cut);
        KeptRows::new(Box::new(Counted), fit, share, 9)
    }

    /// Rows with three targets each.
    fn lesson(rows: usize) -> Batch {
        let mut batch = Batch::new(4);
        (0..rows).for_each(|_| batch.push(&[1, 2, 3, 4, 5], &[0.0, 0.0, 1.0, 1.0, 1.0], &[1; 5]));
        batch
    }

    #[test]
    fn the_share_is_of_rows_and_of_weight() {
        for (share, lesson, rows) in
            [(0.5, 4, 4), (0.2, 4, 1), (0.3, 4, 2), (0.3, 1, 1), (0.3, 3, 2), (0.75, 2, 6), (0.001, 4, 1)]
        {
            assert_eq!(kept(share).rows_beside(lesson), rows, "{share} of {lesson}");
        }
        // 3 + 6 rows have 27 targets; a quarter of all weight is a third of that.
        let batch = kept(0.25).beside(&[lesson(3), lesson(6)], 0).unwrap();
        assert_eq!((batch.batch, batch.seq, batch.kept), (3, 16, true));
        assert!((batch.weight() - 9.0).abs() < 1e-5, "{}", batch.weight());
        assert_eq!(batch.targets_counted(), 6);
        assert!(batch.split(2).iter().all(|part| part.kept));
        // Of a lesson that counts nothing the kept rows count as they are.
        let mut none = lesson(3);
        none.weights.fill(0.0);
        assert_eq!(kept(0.25).beside(&[none], 0).unwrap().weight(), 2.0);
    }

    #[test]
    fn a_step_draws_its_own_rows_and_the_same_again() {
        let drawn = |step: u64| -> Vec<u32> {
            let batch = kept(0.5).beside(&[lesson(8)], step).unwrap();
            batch.inputs.chunks(batch.seq).map(|row| row[0]).collect()
        };
        assert_eq!(drawn(3), drawn(3));
        assert_ne!(drawn(3), drawn(4));
        let mut all: Vec<u32> = (0..20).flat_map(drawn).collect();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all, [0, 2, 3, 4], "every row but the one without a target");
    }

    #[test]
    fn rows_of_which_none_fits_are_refused() {
        let short =
            KeptRows { fit: Fit { seq_len: 1, too_long: TooLong::Drop, keep_pieces: false }, ..kept(0.5) };
        let message = short.beside(&[lesson(1)], 0).unwrap_err().to_string();
        assert!(message.contains("--keep-data") && message.contains("--keep-share 0"), "{message}");
    }
}
