//! Rows by shares: how often a pass draws the rows of each source, and which row each of its places is.

use super::order::Permutation;

/// The stream of a seed that a source's rounds are taken from; each source has one of its own behind it.
const ROUND_STREAM: u64 = 0x4D49_5800 << 32;

/// How the rows of several sources are drawn: a pass is as long as the shares need for every row to come at least once.
/// The rows of a source come in rounds, each in an order of its own; a round may begin in one pass and end in another.
/// Every place is computed from its number, so that a run can go on anywhere.
#[derive(Clone, Debug, PartialEq)]
pub struct Draws {
    sources: Vec<Drawn>,
    pass: u64,
}

/// One source.
#[derive(Clone, Debug, PartialEq)]
struct Drawn {
    name: String,
    /// Its rows, and the number of the first of them.
    rows: u64,
    first_row: u64,
    /// Its places in a pass, and the number of the first of them.
    draws: u64,
    first_place: u64,
}

impl Draws {
    /// Sources by name, rows (1 or more) and share (their sum is 1); their rows follow each other.
    pub fn new(sources: &[(&str, u64, f64)]) -> Self {
        let pass = sources.iter().map(|(_, rows, share)| *rows as f64 / share).fold(0.0, f64::max);
        let (mut first_row, mut first_place) = (0, 0);
        let drawn = |&(name, rows, share): &(&str, u64, f64)| {
            // The longest source's own product may round to less than its rows.
            let draws = ((pass * share).round() as u64).max(rows);
            let drawn = Drawn { name: name.to_string(), rows, first_row, draws, first_place };
            first_row += rows;
            first_place += draws;
            drawn
        };
        let sources: Vec<Drawn> = sources.iter().map(drawn).collect();
        let pass = sources.iter().map(|source| source.draws).sum();
        Self { sources, pass }
    }

    /// Places of a pass.
    pub fn pass(&self) -> u64 {
        self.pass
    }

    /// The row at a place of a pass, before that is shuffled.
    pub fn row(&self, place: u64, pass: u64, seed: u64) -> u64 {
        let number = self.number(place);
        let Some(source) = self.sources.get(number) else { return place };
        let draw = pass.saturating_mul(source.draws).saturating_add(place - source.first_place);
        let (round, within) = (draw / source.rows.max(1), draw % source.rows.max(1));
        let stream = ROUND_STREAM.wrapping_add((number as u64) << 32).wrapping_add(round);
        source.first_row + Permutation::from_stream(source.rows, seed, stream).at(within)
    }

    /// The name of the source that a place belongs to.
    pub fn source(&self, place: u64) -> &str {
        self.sources.get(self.number(place)).map_or("", |source| &source.name)
    }

    /// Each source's name, its rows, and how many of them a pass draws.
    pub fn counts(&self) -> impl Iterator<Item = (&str, u64, u64)> {
        self.sources.iter().map(|source| (source.name.as_str(), source.rows, source.draws))
    }

    fn number(&self, place: u64) -> usize {
        self.sources.partition_point(|source| source.first_place <= place).saturating_sub(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows_of(draws: &Draws, pass: u64) -> Vec<u64> {
        (0..draws.pass()).map(|place| draws.row(place, pass, 5)).collect()
    }

    #[test]
    fn shares_hold_in_every_pass_and_rows_come_equally_often() {
        // 70 rows at 0.7 need a pass of 100: of 8 rows at 0.3 come 30.
        let draws = Draws::new(&[("a", 70, 0.7), ("b", 8, 0.3)]);
        assert_eq!(draws.counts().collect::<Vec<_>>(), [("a", 70, 70), ("b", 8, 30)]);
        let mut times = [0u64; 78];
        for pass in 0..4 {
            let rows = rows_of(&draws, pass);
            assert_eq!(rows.iter().filter(|row| **row >= 70).count(), 30);
            rows.iter().for_each(|row| times[*row as usize] += 1);
            let b = &times[70..];
            // Rounds go on over passes: after every one of them no row is ahead by more than one.
            assert!(b.iter().max().unwrap() - b.iter().min().unwrap() <= 1, "{times:?}");
            assert!(times[..70].iter().all(|&times| times == pass + 1));
        }
        // 4 passes of 30 are 15 rounds of 8.
        assert_eq!(times[70..], [15; 8]);
    }

    #[test]
    fn rows_in_proportion_come_once_each() {
        let draws = Draws::new(&[("a", 3, 0.3), ("b", 7, 0.7)]);
        let mut rows = rows_of(&draws, 2);
        assert_ne!(rows, rows_of(&draws, 3));
        rows.sort_unstable();
        assert!(rows.into_iter().eq(0..10));
        assert_eq!([0, 2, 3, 9].map(|place| draws.source(place)), ["a", "a", "b", "b"]);
        for share in [1.0 / 3.0, 0.07, 0.999_999] {
            let (one, other) = ((1e6 * share) as u64, 1_000_000 - (1e6 * share) as u64);
            let draws = Draws::new(&[("a", one, one as f64 / 1e6), ("b", other, other as f64 / 1e6)]);
            assert_eq!(draws.pass(), 1_000_000, "{share}");
        }
    }

    #[test]
    fn seeds_and_sources_differ() {
        let draws = Draws::new(&[("a", 50, 0.5), ("b", 50, 0.5)]);
        let order = |seed: u64, from: u64| {
            (from..from + 50).map(|at| draws.row(at, 0, seed) % 50).collect::<Vec<_>>()
        };
        assert_eq!(order(1, 0), order(1, 0));
        assert_ne!(order(1, 0), order(2, 0));
        assert_ne!(order(1, 0), order(1, 50));
    }
}
