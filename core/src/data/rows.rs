//! Reading any usable row of many files, quickly where rows are read in order.

use std::sync::{Mutex, PoisonError};

use super::file::DataFile;
use super::index::{RowIndex, RowSet};
use super::origin::RowOrigin;
use super::scan::Scanner;
use crate::error::{Error, Result};
use crate::text::Row;
use crate::told::{Told, told};

/// A usable row as its file has it, not parsed.
#[derive(Clone, Debug)]
pub struct RawRow {
    /// The number of its file.
    file: usize,
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// Where it stands.
    pub origin: RowOrigin,
}

/// The usable rows of many files, one file after the other.
pub(super) struct Rows {
    files: Vec<DataFile>,
    index: RowIndex,
    unusable: RowSet,
    /// How many rows, usable or not, there are up to the end of each file, or to where it is read no further.
    ends: Vec<u64>,
    /// Where the last read ended: the row behind it needs no search.
    cursor: Mutex<Option<RowCursor>>,
}

/// A place between two rows.
struct RowCursor {
    file: usize,
    scanner: Scanner,
    /// How many rows, usable or not, stand before it.
    found: u64,
    /// The number of the next usable row.
    next: u64,
}

impl Rows {
    pub(super) fn new(files: Vec<DataFile>, index: RowIndex, unusable: RowSet, ends: Vec<u64>) -> Self {
        Self { files, index, unusable, ends, cursor: Mutex::new(None) }
    }

    /// How many usable rows there are.
    pub(super) fn len(&self) -> u64 {
        self.index.len()
    }

    /// The names of the files, in their order.
    pub(super) fn file_names(&self) -> Vec<String> {
        self.files.iter().map(|file| file.name().to_string()).collect()
    }

    /// Finds a row and gives it to `read` with its file; `None` behind the last row.
    ///
    /// # Errors
    /// Reading fails, or a file has become shorter since it was opened.
    pub(super) fn find<T>(&self, row: u64, read: impl FnOnce(&DataFile, &Scanner) -> T) -> Result<Option<T>> {
        self.find_numbered(row, |file, scanner| read(&self.files[file], scanner))
    }

    /// The bytes of a row; `None` behind the last row.
    ///
    /// # Errors
    /// Reading fails, or the file has changed since it was opened.
    pub(super) fn raw(&self, row: u64) -> Result<Option<RawRow>> {
        let read = |file: usize, scanner: &Scanner| {
            let origin = self.files[file].origin(scanner);
            match scanner.bytes() {
                Ok(bytes) => Ok(RawRow { file, bytes: bytes.to_vec(), origin }),
                Err(reason) => Err(changed(&origin, reason)),
            }
        };
        self.find_numbered(row, read)?.transpose()
    }

    /// What the bytes of a row mean. Unlike finding them, this goes on many threads at once.
    ///
    /// # Errors
    /// The file has changed since it was opened.
    pub(super) fn parse(&self, raw: &RawRow) -> Result<Row> {
        match self.files.get(raw.file).map(|file| file.parse(Ok(&raw.bytes))) {
            Some(Ok(parsed)) => Ok(parsed.row),
            Some(Err(reason)) => Err(changed(&raw.origin, &reason)),
            None => Err(Error::Data(told!("prepared.no_file", "the row comes from no file of the data"))),
        }
    }

    /// The same as [`Rows::find`] with the number of the file.
    fn find_numbered<T>(&self, row: u64, read: impl FnOnce(usize, &Scanner) -> T) -> Result<Option<T>> {
        let mut last = self.cursor.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(mut cursor) = self.before(row, last.take()) else {
            return Ok(None);
        };
        self.pass(row, &mut cursor)?;
        let value = read(cursor.file, &cursor.scanner);
        *last = Some(cursor);
        Ok(Some(value))
    }

    /// A cursor before `row`: the last one if no index entry is nearer.
    fn before(&self, row: u64, last: Option<RowCursor>) -> Option<RowCursor> {
        let (number, entry) = self.index.at_or_before(row)?;
        let scanner = match last {
            Some(cursor) if (number..=row).contains(&cursor.next) => return Some(cursor),
            Some(RowCursor { file, mut scanner, .. }) if file == entry.file => {
                scanner.seek(entry.place);
                scanner
            }
            _ => self.files[entry.file].scanner_at(entry.place),
        };
        Some(RowCursor { file: entry.file, scanner, found: entry.found, next: number })
    }

    /// Moves the cursor behind `row`, which its scanner then shows.
    fn pass(&self, row: u64, cursor: &mut RowCursor) -> Result<()> {
        while cursor.next <= row {
            let is_left = cursor.found >= self.ends[cursor.file];
            if is_left || !cursor.scanner.advance()? {
                cursor.file += 1;
                let Some(file) = self.files.get(cursor.file) else {
                    return Err(shorter(&self.files));
                };
                cursor.scanner = file.scanner();
                continue;
            }
            let usable = !self.unusable.contains(cursor.found);
            cursor.found += 1;
            cursor.next += u64::from(usable);
        }
        Ok(())
    }
}

fn changed(origin: &RowOrigin, reason: &Told) -> Error {
    Error::Data(told!(
        "file.changed",
        "{origin}: the file has changed since it was opened: {reason}",
        origin,
        reason
    ))
}

fn shorter(files: &[DataFile]) -> Error {
    let names: Vec<&str> = files.iter().map(DataFile::name).collect();
    Error::Data(told!(
        "file.fewer_rows",
        "{name}: the data holds fewer rows than when it was opened; start anew",
        name = names.join(", ")
    ))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use crate::data::dataset::tests::{MIXED, open, skipping};
    use crate::data::{Dataset, Memory, RowOrigin, Source};
    use crate::text::Row;

    /// 40,000 rows in two files, of which every seventh is bad: more than the index has entries.
    fn large() -> Dataset {
        let line = |i: u64| {
            if i % 7 == 3 { "bad\n".to_string() } else { format!("{{\"text\": \"row {i}\"}}\n") }
        };
        let part = |range: std::ops::Range<u64>| range.map(line).collect::<String>();
        open(&[("a.jsonl", &part(0..15_000)), ("b.jsonl", &part(15_000..40_000))], skipping()).unwrap()
    }

    #[test]
    fn rows_are_the_same_in_any_order() {
        let data = large();
        let usable: Vec<u64> = (0..40_000).filter(|i| i % 7 != 3).collect();
        assert_eq!(data.len(), usable.len() as u64);
        let check = |row: usize| {
            let (found, origin) = data.row(row as u64).unwrap().unwrap();
            let number = usable[row];
            assert_eq!(found, Row::Document(format!("row {number}")));
            let (name, line) =
                if number < 15_000 { ("a.jsonl", number) } else { ("b.jsonl", number - 15_000) };
            assert_eq!(origin, RowOrigin { source: name.to_string(), line: line + 1 });
        };
        (0..usable.len()).for_each(check);
        // 7919 is coprime to the number of rows: every row once, far apart.
        (0..usable.len()).map(|i| i * 7919 % usable.len()).for_each(check);
        (0..3).for_each(|_| check(5));
    }

    #[test]
    fn the_bytes_of_a_row_are_as_in_the_file() {
        let data = open(&[("a.jsonl", MIXED)], skipping()).unwrap();
        let raw = data.raw_row(1).unwrap().unwrap();
        assert_eq!(raw.bytes, b"{\"q\": \"three\", \"a\": \"\"}\n");
        assert_eq!(raw.origin.to_string(), "a.jsonl:3");
        assert!(data.raw_row(2).unwrap().is_none());
    }

    /// A source whose bytes change once the dataset is open.
    struct Changing(std::sync::Mutex<&'static str>);

    impl Source for Changing {
        fn name(&self) -> &str {
            "a.jsonl"
        }

        fn len(&self) -> u64 {
            self.0.lock().unwrap().len() as u64
        }

        fn read_at(&self, offset: u64, buffer: &mut [u8]) -> std::io::Result<usize> {
            Memory::new("a.jsonl", *self.0.lock().unwrap()).read_at(offset, buffer)
        }
    }

    #[test]
    fn a_file_that_changes_is_noticed() {
        for (later, notice) in [
            ("{\"text\": 1}\n{\"tex\": 1}\n", "a.jsonl:2: the file has changed since it was opened: "),
            ("", "a.jsonl: the data holds fewer rows than when it was opened"),
        ] {
            let source = Arc::new(Changing(std::sync::Mutex::new("{\"text\": 1}\n{\"text\": \"b\"}\n")));
            let data = Dataset::open(vec![source.clone()], skipping()).unwrap();
            *source.0.lock().unwrap() = later;
            let message = data.row(0).unwrap_err().to_string();
            assert!(message.starts_with(notice), "{message}");
        }
    }
}
