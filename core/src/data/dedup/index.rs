//! The index of the rows that are kept: whether one of them says what a row says.

use super::minhash::{BANDS, Signature};
use super::places::Places;
use super::shingles::{jaccard, shingles};
use super::table::Table;
use crate::data::options::Dedup;
use crate::data::scan::RowStart;
use crate::error::Result;
use crate::text::Row;

/// Rows that agree in a band are compared with at most so many: texts that share a beginning must not cost their square.
const MOST_A_BAND: usize = 4;

/// What a row is known by.
pub(in crate::data) struct Marks {
    /// 128 bits of a hash of all that it means.
    pub(in crate::data) meaning: u128,
    /// Its signature, where near-duplicates are looked for.
    pub(in crate::data) signature: Option<Signature>,
}

/// A kept row that says what another one says.
#[derive(Debug, PartialEq)]
pub(in crate::data) struct Earlier {
    /// The number of its file.
    pub(in crate::data) file: usize,
    /// Its place there; the byte is known where near-duplicates are looked for.
    pub(in crate::data) place: RowStart,
    /// How similar both are, where near-duplicates are looked for.
    pub(in crate::data) jaccard: Option<f64>,
}

/// The rows that are kept.
pub(in crate::data) struct DedupIndex(Held);

enum Held {
    /// Nothing is looked for.
    Nothing,
    /// By 96 bits of their meaning.
    Exact(Table<3>, Places),
    /// By the bands of their signatures.
    MinHash(Box<[Table<1>; BANDS]>, Places),
}

impl DedupIndex {
    /// No rows so far.
    pub(in crate::data) fn new(dedup: Dedup) -> Self {
        Self(match dedup {
            Dedup::None => Held::Nothing,
            Dedup::Exact => Held::Exact(Table::new(), Places::new(false)),
            Dedup::Minhash => {
                Held::MinHash(Box::new(std::array::from_fn(|_| Table::new())), Places::new(true))
            }
        })
    }

    /// A kept row that says the same, the first one that is found; `reread` gives a row by its file and place.
    ///
    /// # Errors
    /// What `reread` says.
    pub(in crate::data) fn find(
        &self,
        row: &Row,
        marks: &Marks,
        reread: impl Fn(usize, RowStart) -> Result<Option<Row>>,
    ) -> Result<Option<Earlier>> {
        match (&self.0, marks.signature) {
            (Held::Exact(table, places), _) => {
                let found = table.find(key(marks.meaning)).next().and_then(|number| places.get(number));
                Ok(found.map(|(file, place)| Earlier { file, place, jaccard: None }))
            }
            (Held::MinHash(tables, places), Some(signature)) => {
                let mut candidates = candidates(tables, signature);
                candidates.sort_unstable();
                candidates.dedup();
                if candidates.is_empty() {
                    return Ok(None);
                }
                let own = shingles(row);
                for (file, place) in candidates.into_iter().filter_map(|number| places.get(number)) {
                    let Some(earlier) = reread(file, place)? else { continue };
                    let jaccard = jaccard(&own, &shingles(&earlier));
                    if jaccard >= Dedup::SIMILAR {
                        return Ok(Some(Earlier { file, place, jaccard: Some(jaccard) }));
                    }
                }
                Ok(None)
            }
            (Held::Nothing, _) | (Held::MinHash(..), None) => Ok(None),
        }
    }

    /// Adds a row that is kept.
    ///
    /// # Errors
    /// More rows than it has numbers for.
    pub(in crate::data) fn add(&mut self, marks: &Marks, file: usize, place: RowStart) -> Result<()> {
        match (&mut self.0, marks.signature) {
            (Held::Exact(table, places), _) => {
                let number = places.push(file, place)?;
                table.insert(key(marks.meaning), number);
            }
            (Held::MinHash(tables, places), Some(signature)) => {
                let number = places.push(file, place)?;
                let held: [usize; BANDS] = std::array::from_fn(|at| tables[at].find([signature[at]]).count());
                // A row whose bands are all full stands in the emptiest, so that its copies are found.
                let fewest = (0..BANDS).min_by_key(|&at| held[at]).unwrap_or(0);
                for (at, table) in tables.iter_mut().enumerate() {
                    if held[at] < MOST_A_BAND || at == fewest {
                        table.insert([signature[at]], number);
                    }
                }
            }
            (Held::Nothing, _) | (Held::MinHash(..), None) => {}
        }
        Ok(())
    }

    /// Rows that it holds.
    pub(in crate::data) fn rows(&self) -> u64 {
        match &self.0 {
            Held::Nothing => 0,
            Held::Exact(_, places) | Held::MinHash(_, places) => places.len(),
        }
    }

    /// Bytes that it holds.
    pub(in crate::data) fn bytes(&self) -> u64 {
        match &self.0 {
            Held::Nothing => 0,
            Held::Exact(table, places) => table.bytes() + places.bytes(),
            Held::MinHash(tables, places) => tables.iter().map(Table::bytes).sum::<u64>() + places.bytes(),
        }
    }
}

/// The rows that agree with a signature in a band.
fn candidates(tables: &[Table<1>; BANDS], signature: Signature) -> Vec<u32> {
    tables.iter().zip(signature).flat_map(|(table, band)| table.find([band])).collect()
}

/// 96 bits of a hash.
fn key(meaning: u128) -> [u32; 3] {
    [(meaning >> 96) as u32, (meaning >> 64) as u32, (meaning >> 32) as u32]
}

#[cfg(test)]
mod tests {
    use super::super::signature;
    use super::*;
    use crate::random::Random;

    fn document(text: &str) -> Row {
        Row::Document(text.into())
    }

    fn marks(number: u64, text: &str) -> Marks {
        // A hash of the number: the index expects that every bit is one.
        let mut random = Random::new(number, 1);
        let meaning = u128::from(random.next_u64()) << 64 | u128::from(random.next_u64());
        Marks { meaning, signature: Some(signature(&document(text))) }
    }

    const PLACE: RowStart = RowStart { offset: 70, line: 3 };

    #[test]
    fn equal_rows_are_found_and_near_ones_are_not() {
        let mut index = DedupIndex::new(Dedup::Exact);
        let never = |_: usize, _: RowStart| -> Result<Option<Row>> { panic!("nothing is read again") };
        let find =
            |index: &DedupIndex, number: u64| index.find(&document("x"), &marks(number, "x"), never).unwrap();
        assert_eq!(find(&index, 1), None);
        index.add(&marks(1, "x"), 2, PLACE).unwrap();
        let place = RowStart { offset: 0, line: 3 };
        assert_eq!(find(&index, 1), Some(Earlier { file: 2, place, jaccard: None }));
        assert_eq!((find(&index, 2), index.rows()), (None, 1));
    }

    #[test]
    fn similar_rows_are_found_from_the_threshold_on() {
        let text = |changed: usize| {
            (0..60)
                .map(|i| if i < changed { format!("new{i} ") } else { format!("old{i} ") })
                .collect::<String>()
        };
        let mut index = DedupIndex::new(Dedup::Minhash);
        index.add(&marks(1, &text(0)), 1, PLACE).unwrap();
        let find = |changed: usize| {
            let (row, marks) = (document(&text(changed)), marks(2, &text(changed)));
            let reread = |file: usize, place: RowStart| {
                assert_eq!((file, place), (1, PLACE));
                Ok(Some(document(&text(0))))
            };
            index.find(&row, &marks, reread).unwrap().and_then(|earlier| earlier.jaccard)
        };
        // 56 shingles each; the first `changed` ones of them are others.
        assert_eq!(find(0), Some(1.0));
        assert_eq!(find(2), Some(54.0 / 58.0));
        assert_eq!(find(30), None);
    }

    #[test]
    fn a_row_whose_bands_are_all_full_is_found_again() {
        let mut index = DedupIndex::new(Dedup::Minhash);
        let marks = |meaning: u128| Marks { meaning, signature: Some([7; BANDS]) };
        for file in 0..=MOST_A_BAND {
            index.add(&marks(file as u128), file, PLACE).unwrap();
        }
        let text =
            |file: usize| document(&format!("lamp {file} of {file} and {file} by the door of house {file}"));
        let reread = |file: usize, _: RowStart| Ok(Some(text(file)));
        let found = index.find(&text(MOST_A_BAND), &marks(9), reread).unwrap();
        assert_eq!(found.map(|earlier| earlier.file), Some(MOST_A_BAND));
    }

    #[test]
    fn bytes_a_row_stay_below_what_is_stated() {
        const ROWS: u64 = 100_000;
        for dedup in [Dedup::Exact, Dedup::Minhash] {
            let (mut index, mut random) = (DedupIndex::new(dedup), Random::new(3, 0));
            for line in 1..=ROWS {
                let meaning = u128::from(random.next_u64()) << 64 | u128::from(random.next_u64());
                let signature = Some(std::array::from_fn(|_| random.next_u32()));
                index.add(&Marks { meaning, signature }, 0, RowStart { offset: line, line }).unwrap();
                let most = Dedup::FIXED_BYTES + line * dedup.bytes_a_row();
                assert!(index.bytes() <= most, "{dedup:?}: {} of {most} at {line}", index.bytes());
            }
        }
        assert_eq!(DedupIndex::new(Dedup::None).bytes(), 0);
    }
}
