//! The split of rows for validation.

use std::ops::Range;

use super::draws::Draws;
use super::mix::MixSource;
use super::order::{OrderBlock, Permutation, RowOrder};

/// The stream of a seed that the split is taken from.
const SPLIT_STREAM: u64 = 0x5350_4C54 << 32;

/// Rows held out for validation and rows to train on.
///
/// The first `validation` positions of a fixed order are held out, whatever the epoch; the rest is for training.
#[derive(Clone, Debug, PartialEq)]
pub struct Split {
    /// How many rows are held out.
    pub validation: u64,
    /// How many rows are trained on.
    pub train: u64,
    order: RowOrder,
    draws: Option<Draws>,
}

/// Holds out a `fraction` of `len` rows: the nearest number of rows, but at least one of each part if there are two
/// rows and the fraction is above 0.
pub fn split(len: u64, fraction: f64, seed: u64) -> Split {
    let validation = held_out(len, fraction);
    let order = Permutation::from_stream(len, seed, SPLIT_STREAM);
    Split { validation, train: len - validation, order: order.into(), draws: None }
}

fn held_out(len: u64, fraction: f64) -> u64 {
    match fraction > 0.0 && len >= 2 {
        true => ((len as f64 * fraction).round() as u64).clamp(1, len - 1),
        false => 0,
    }
}

impl Split {
    /// Holds out a `fraction` of each source's rows, which follow each other in the data, and draws the others by shares.
    pub(super) fn of_sources(sources: &[MixSource], fraction: f64, seed: u64) -> Self {
        let (mut held, mut trained, mut drawn) = (Vec::new(), Vec::new(), Vec::new());
        let (mut validation, mut train, mut first_row) = (0, 0, 0);
        for (number, source) in (0u64..).zip(sources) {
            let order = Permutation::from_stream(source.rows, seed, SPLIT_STREAM.wrapping_add(number));
            let out = held_out(source.rows, fraction);
            if out > 0 {
                held.push(OrderBlock { start: validation, from: 0, first_row, order: order.clone() });
            }
            if source.rows > out {
                trained.push(OrderBlock { start: train, from: out, first_row, order });
                drawn.push((source.name.as_str(), source.rows - out, source.share));
            }
            validation += out;
            train += source.rows - out;
            first_row += source.rows;
        }
        trained.iter_mut().for_each(|block| block.start += validation);
        held.extend(trained);
        Self { validation, train, order: RowOrder::of(held), draws: Some(Draws::new(&drawn)) }
    }

    /// The fixed order of all rows that both parts are cut from.
    pub fn order(&self) -> &RowOrder {
        &self.order
    }

    /// How the rows that are trained on are drawn, where their sources have shares.
    pub fn draws(&self) -> Option<&Draws> {
        self.draws.as_ref()
    }

    /// Rows that a pass of training gives: each once, or as many as the shares ask for.
    pub fn pass(&self) -> u64 {
        self.draws.as_ref().map_or(self.train, Draws::pass)
    }

    /// The row that stands at a place of the first pass, before that is shuffled.
    pub fn row_of_pass(&self, place: u64, seed: u64) -> u64 {
        let place = self.draws.as_ref().map_or(place, |draws| draws.row(place, 0, seed));
        self.order.at(self.validation + place)
    }

    /// The positions in that order that are held out.
    pub fn validation_part(&self) -> Range<u64> {
        0..self.validation
    }

    /// The positions in that order that are trained on.
    pub fn train_part(&self) -> Range<u64> {
        self.validation..self.validation + self.train
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_split_has_the_asked_share_and_parts_that_do_not_meet() {
        for (len, fraction, validation) in [
            (100, 0.1, 10),
            (7, 0.5, 4),
            (1000, 0.0001, 1),
            (2, 0.01, 1),
            (2, 1.0, 1),
            (1, 0.5, 0),
            (0, 0.5, 0),
            (100, 0.0, 0),
            (100, f64::NAN, 0),
        ] {
            let split = split(len, fraction, 4);
            assert_eq!(
                (split.validation, split.train),
                (validation, len - validation),
                "{fraction} of {len}"
            );
            let parts = split.validation_part().chain(split.train_part());
            let mut rows: Vec<u64> = parts.map(|position| split.order().at(position)).collect();
            rows.sort_unstable();
            assert!(rows.into_iter().eq(0..len));
        }
    }

    #[test]
    fn the_split_is_shuffled_and_depends_on_the_seed_alone() {
        let held = |seed| {
            let split = split(1000, 0.1, seed);
            split.validation_part().map(|position| split.order().at(position)).collect::<Vec<_>>()
        };
        assert_eq!(held(1), held(1));
        assert_ne!(held(1), held(2));
        let mean = held(1).iter().sum::<u64>() as f64 / 100.0;
        assert!((mean - 500.0).abs() < 120.0, "{mean}");
    }

    #[test]
    fn each_source_holds_out_its_own_share() {
        let source = |name: &str, rows: u64, share: f64| MixSource { name: name.into(), share, rows };
        let sources = [source("a", 40, 0.5), source("b", 10, 0.5)];
        let split = Split::of_sources(&sources, 0.1, 3);
        assert_eq!((split.validation, split.train), (5, 45));
        let rows = |part: Range<u64>| part.map(|place| split.order().at(place)).collect::<Vec<u64>>();
        let (held, trained) = (rows(split.validation_part()), rows(split.train_part()));
        assert_eq!(held.iter().filter(|&&row| row < 40).count(), 4);
        let mut all = [held, trained].concat();
        all.sort_unstable();
        assert!(all.into_iter().eq(0..50));
        // 36 rows of a at one half are a pass of 72, in which the 9 rows of b come four times.
        assert_eq!(split.pass(), 72);
        let mut pass: Vec<u64> = (0..72).map(|place| split.row_of_pass(place, 3)).collect();
        pass.sort_unstable();
        let times = |row: u64| pass.iter().filter(|other| **other == row).count();
        let trained = rows(split.train_part());
        assert!(trained.iter().all(|&row| times(row) == if row < 40 { 1 } else { 4 }), "{pass:?}");
        // One source with all of the shares is the plain split.
        let alone = Split::of_sources(&[source("a", 40, 1.0)], 0.1, 3);
        assert!((0..40).all(|place| alone.order().at(place) == super::split(40, 0.1, 3).order().at(place)));
        assert_eq!(alone.pass(), 36);
    }
}
