//! Where rows are, in memory that does not grow with the data.

use super::scan::RowStart;

/// The place of every k-th usable row. When the table is full, every second entry goes and k doubles.
#[derive(Debug)]
pub(super) struct RowIndex {
    entries: Vec<Entry>,
    /// Rows from one entry to the next.
    stride: u64,
    len: u64,
}

/// Where one row is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    /// Number of the file.
    pub(super) file: usize,
    /// The row's place in it.
    pub(super) place: RowStart,
    /// How many rows, usable or not, stand before it in all files.
    pub(super) found: u64,
}

impl RowIndex {
    /// The most entries that are kept: half a MiB.
    const CAPACITY: usize = 16_384;

    pub(super) fn new() -> Self {
        Self { entries: Vec::new(), stride: 1, len: 0 }
    }

    /// How many usable rows there are.
    pub(super) fn len(&self) -> u64 {
        self.len
    }

    /// Adds the next usable row.
    pub(super) fn push(&mut self, entry: Entry) {
        if self.entries.len() == Self::CAPACITY && self.len.is_multiple_of(self.stride) {
            let mut keep = false;
            self.entries.retain(|_| {
                keep = !keep;
                keep
            });
            self.stride *= 2;
        }
        if self.len.is_multiple_of(self.stride) {
            self.entries.push(entry);
        }
        self.len += 1;
    }

    /// The nearest entry that is not behind `row`, with its own row number; `None` behind the last row.
    pub(super) fn at_or_before(&self, row: u64) -> Option<(u64, Entry)> {
        if row >= self.len {
            return None;
        }
        let number = row / self.stride;
        let entry = self.entries.get(usize::try_from(number).ok()?)?;
        Some((number * self.stride, *entry))
    }
}

/// The numbers of the rows that are not used: one bit for each row up to the last of them.
#[derive(Debug, Default)]
pub(super) struct RowSet(Vec<u64>);

impl RowSet {
    pub(super) fn insert(&mut self, row: u64) {
        let word = (row / 64) as usize;
        if self.0.len() <= word {
            self.0.resize(word + 1, 0);
        }
        self.0[word] |= 1 << (row % 64);
    }

    pub(super) fn contains(&self, row: u64) -> bool {
        self.0.get((row / 64) as usize).is_some_and(|word| (word >> (row % 64)) & 1 == 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(row: u64) -> Entry {
        Entry { file: 0, place: RowStart { offset: 100 * row, line: row + 1 }, found: row }
    }

    #[test]
    fn the_table_stays_small_and_every_row_has_an_entry_near_before_it() {
        let mut index = RowIndex::new();
        for row in 0..100_000 {
            assert!(index.entries.len() <= RowIndex::CAPACITY);
            index.push(entry(row));
            if row == 16_383 {
                assert_eq!((index.stride, index.entries.len()), (1, 16_384));
            }
            if row == 16_384 {
                assert_eq!((index.stride, index.entries.len()), (2, 8_193));
            }
        }
        // 100,000 / 8 entries: 100,000 / 4 would be too many.
        assert_eq!((index.stride, index.entries.len(), index.len()), (8, 12_500, 100_000));
        for row in (0..100_000).step_by(37) {
            assert_eq!(index.at_or_before(row), Some((row / 8 * 8, entry(row / 8 * 8))));
        }
        assert_eq!(index.at_or_before(100_000), None);
    }

    #[test]
    fn a_row_set_holds_what_was_put_in() {
        let mut set = RowSet::default();
        for row in [0, 63, 64, 1000] {
            set.insert(row);
        }
        let held: Vec<u64> = (0..2000).filter(|row| set.contains(*row)).collect();
        assert_eq!(held, [0, 63, 64, 1000]);
        assert_eq!(set.0.len(), 16);
    }
}
