//! The order in which rows come, pass after pass, and where it ends.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use crate::data::{Draws, Permutation, RowOrder};

/// A row's number in the order of an epoch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct EpochPosition {
    pub(super) epoch: u64,
    pub(super) position: u64,
}

/// The rows of a part of the data, in the order of one pass after the other.
pub(super) struct Walk {
    /// Numbers in the fixed order that separates training from validation.
    part: Range<u64>,
    fixed: RowOrder,
    seed: u64,
    /// How often a pass draws which of these rows, where that is not each of them once.
    draws: Option<Draws>,
    /// Whether each pass has an order of its own.
    shuffled: bool,
    /// Behind the last row; `None` where pass follows pass for ever.
    end: Option<EpochPosition>,
    epoch: u64,
    order: Permutation,
}

impl Walk {
    /// Passes for ever, each shuffled anew; or all rows once, as they are.
    pub(super) fn new(fixed: RowOrder, part: Range<u64>, seed: u64, endless: bool) -> Self {
        let rows = part.end - part.start;
        let order = Permutation::new(rows, seed, 0);
        let end = (!endless).then_some(EpochPosition { epoch: 0, position: rows });
        Self { part, fixed, seed, draws: None, shuffled: endless, end, epoch: 0, order }
    }

    /// Draws the rows of endless passes by the shares of their sources.
    pub(super) fn draw(&mut self, draws: Draws) {
        self.draws = Some(draws);
        self.go_to(self.epoch);
    }

    /// Ends it after so many passes, of the last of which a part may be asked for.
    pub(super) fn end_after(&mut self, passes: f64) {
        self.end = Some(self.end_of(passes));
    }

    /// Behind the last row of so many passes.
    pub(super) fn end_of(&self, passes: f64) -> EpochPosition {
        // The product of 0.07 and 100 is a little above 7.
        const ROUNDING: f64 = 1e-12;
        let rows = self.rows().max(1);
        let last = ((passes * rows as f64 * (1.0 - ROUNDING)).ceil() as u64).max(1) - 1;
        EpochPosition { epoch: last / rows, position: last % rows + 1 }
    }

    /// Rows of a pass.
    pub(super) fn rows(&self) -> u64 {
        self.draws.as_ref().map_or(self.part.end - self.part.start, Draws::pass)
    }

    /// The name of the source that the row at a position of this pass is drawn from, where sources have shares.
    pub(super) fn source(&self, position: u64) -> Option<&str> {
        self.draws.as_ref().map(|draws| draws.source(self.order.at(position)))
    }

    /// Goes to a pass.
    pub(super) fn go_to(&mut self, epoch: u64) {
        self.epoch = epoch;
        self.order = Permutation::new(self.rows(), self.seed, epoch);
    }

    /// The number of the row at a position of this pass; `None` where the pass ends.
    pub(super) fn row(&self, position: u64) -> Option<u64> {
        (position < self.rows_of_pass(self.end, self.epoch))
            .then(|| self.row_in(&self.order, self.epoch, position))
    }

    /// Whether no pass follows this one.
    pub(super) fn is_last(&self) -> bool {
        self.end.is_some_and(|end| self.epoch >= end.epoch)
    }

    /// The rows of so many passes, in order.
    pub(super) fn rows_of(&self, passes: f64) -> impl Iterator<Item = u64> {
        let end = self.end_of(passes);
        (0..=end.epoch).flat_map(move |epoch| {
            let order = Permutation::new(self.rows(), self.seed, epoch);
            let rows = self.rows_of_pass(Some(end), epoch);
            (0..rows).map(move |position| self.row_in(&order, epoch, position))
        })
    }

    fn rows_of_pass(&self, end: Option<EpochPosition>, epoch: u64) -> u64 {
        match end {
            Some(end) if epoch > end.epoch => 0,
            Some(end) if epoch == end.epoch => end.position.min(self.rows()),
            _ => self.rows(),
        }
    }

    fn row_in(&self, order: &Permutation, epoch: u64, position: u64) -> u64 {
        let at = if self.shuffled { order.at(position) } else { position };
        let at = self.draws.as_ref().map_or(at, |draws| draws.row(at, epoch, self.seed));
        self.fixed.at(self.part.start + at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn walk(rows: u64, endless: bool) -> Walk {
        Walk::new(Permutation::new(rows + 3, 1, 0).into(), 3..rows + 3, 7, endless)
    }

    #[test]
    fn passes_end_where_they_are_told_to() {
        let mut endless = walk(5, true);
        assert_eq!((endless.row(4).is_some(), endless.row(5), endless.is_last()), (true, None, false));
        for (passes, ends) in [(1.0, (0, 5)), (0.5, (0, 3)), (2.0, (1, 5)), (2.2, (2, 1)), (1e-9, (0, 1))] {
            endless.end_after(passes);
            let EpochPosition { epoch, position } = endless.end.unwrap();
            assert_eq!((epoch, position), ends, "{passes}");
            endless.go_to(epoch);
            assert!(
                endless.is_last() && endless.row(position - 1).is_some() && endless.row(position).is_none()
            );
            endless.go_to(epoch + 1);
            assert_eq!(endless.row(0), None);
        }
        let once = walk(5, false);
        assert!(once.is_last() && once.row(5).is_none());
    }

    #[test]
    fn rounding_adds_no_row() {
        for (rows, passes, ends) in [
            (100, 0.07, (0, 7)),
            (100, 0.29, (0, 29)),
            (10, 1.1, (1, 1)),
            (1_000_000_000, 0.07, (0, 70_000_000)),
            (1_000_000_000, 0.070_000_001, (0, 70_000_001)),
        ] {
            let EpochPosition { epoch, position } = walk(rows, true).end_of(passes);
            assert_eq!((epoch, position), ends, "{passes} of {rows}");
        }
    }

    #[test]
    fn the_rows_of_passes_are_those_that_are_walked() {
        for endless in [true, false] {
            let mut walk = walk(5, endless);
            let mut walked = Vec::new();
            for epoch in 0..2 {
                walk.go_to(epoch);
                walked.extend((0..5).filter_map(|position| walk.row(position)));
            }
            let passes = if endless { 2.0 } else { 1.0 };
            assert_eq!(walk.rows_of(passes).collect::<Vec<_>>(), walked);
            walked.truncate(3);
            assert_eq!(walk.rows_of(0.6).collect::<Vec<_>>(), walked);
        }
    }

    #[test]
    fn rows_that_are_drawn_by_shares_come_as_often_as_they_should() {
        let mut walk = walk(50, true);
        walk.draw(Draws::new(&[("a", 40, 0.5), ("b", 10, 0.5)]));
        assert_eq!(walk.rows(), 80);
        let b: Vec<u64> = (40..50).map(|at| walk.fixed.at(3 + at)).collect();
        for epoch in [0, 3] {
            walk.go_to(epoch);
            let rows: Vec<u64> = (0..80).map(|position| walk.row(position).unwrap()).collect();
            for (position, row) in (0..80).zip(&rows) {
                assert_eq!(walk.source(position), Some(if b.contains(row) { "b" } else { "a" }));
            }
            let from_b = |rows: &[u64]| rows.iter().filter(|row| b.contains(row)).count();
            assert_eq!(from_b(&rows), 40);
            assert!((8..32).contains(&from_b(&rows[..40])), "they are mixed, not one behind the other");
        }
        let passes: Vec<u64> = walk.rows_of(2.0).collect();
        walk.go_to(1);
        assert_eq!((passes.len(), Some(passes[83])), (160, walk.row(3)));
    }
}
