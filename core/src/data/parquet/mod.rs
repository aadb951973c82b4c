//! Parquet files as JSON lines: a stream, which the caller keeps where it can be read at any place.
//!
//! The parquet crate trusts what a file claims, and panics or asks for terabytes where it lies; so the claims are
//! checked first, and a panic becomes an error.

mod bytes;
mod delta;
mod footer;
mod line;
mod pages;
mod schema;

use std::io::{self, Read};
use std::sync::Arc;

use parquet::file::metadata::ParquetMetaData;
use parquet::record::reader::{ReaderIter, TreeBuilder};

use self::bytes::FileBytes;
use self::footer::reason;
use self::pages::RowGroup;
use super::source::Source;
use crate::error::{Error, Result};
use crate::panics;

/// The rows of a parquet file, each as a JSON object of its columns and a line end.
///
/// Lists and structs become lists and objects, dates and decimals strings; an absent value is null, in a struct it is
/// an absent key. Memory is bounded by the pages of a few rows of each column: neither the file nor a row group is ever held.
///
/// # Errors
/// [`Error::Data`] naming the file: it is no parquet file, or has a compression that is not read. Damaged pages show
/// as errors of the reader, which tell the row.
pub fn parquet_rows(file: Arc<dyn Source>) -> Result<impl Read> {
    let name = file.name().to_string();
    let rows = caught(|| ParquetRows::open(FileBytes::new(file)));
    let rows = rows.map_err(|why| Error::Data(format!("{name}: {why}").into()))?;
    Ok(Lines { rows, text: Vec::new(), read: 0 })
}

/// Does work that may panic on a damaged file.
fn caught<T>(work: impl FnOnce() -> Result<T, String>) -> Result<T, String> {
    panics::caught(work).unwrap_or_else(|cause| Err(format!("the file is damaged ({cause})")))
}

/// Gives the lines byte by byte.
struct Lines {
    rows: ParquetRows,
    text: Vec<u8>,
    /// How much of the text is read.
    read: usize,
}

impl Lines {
    /// Makes the text of the next few rows; none at the end.
    fn fill(&mut self) -> io::Result<()> {
        const ENOUGH: usize = 1 << 16;
        let Self { rows, text, read } = self;
        (*read, *text) = (0, Vec::new());
        let filled = caught(|| {
            while text.len() < ENOUGH && rows.next_line(text)? {}
            Ok(())
        });
        filled.map_err(|why| {
            text.clear();
            io::Error::new(io::ErrorKind::InvalidData, format!("row {}: {why}", rows.given + 1))
        })
    }
}

impl Read for Lines {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.read == self.text.len() {
            self.fill()?;
        }
        let count = (&self.text[self.read..]).read(buffer)?;
        self.read += count;
        Ok(count)
    }
}

/// Goes through the rows of a file.
struct ParquetRows {
    file: Arc<FileBytes>,
    metadata: ParquetMetaData,
    next_group: usize,
    /// The rows that are left of a row group.
    group: Option<ReaderIter>,
    /// How many rows were given.
    given: u64,
}

impl ParquetRows {
    fn open(file: FileBytes) -> Result<Self, String> {
        let metadata = footer::read(&file)?;
        Ok(Self { file: Arc::new(file), metadata, next_group: 0, group: None, given: 0 })
    }

    /// Writes the next row; false at the end.
    fn next_line(&mut self, text: &mut Vec<u8>) -> Result<bool, String> {
        // Rows of a batch are held together, and a row may fill a page.
        const BATCH: usize = 32;
        loop {
            if let Some(row) = self.group.as_mut().and_then(Iterator::next) {
                line::write(&row.map_err(reason)?, text)?;
                self.given += 1;
                return Ok(true);
            }
            if self.next_group == self.metadata.num_row_groups() {
                return Ok(false);
            }
            let group = RowGroup::new(Arc::clone(&self.file), self.metadata.row_group(self.next_group));
            self.next_group += 1;
            let schema = self.metadata.file_metadata().schema_descr_ptr();
            let rows = TreeBuilder::new().with_batch_size(BATCH).as_iter(schema, &group);
            self.group = Some(rows.map_err(reason)?);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::source::Memory;

    const CONVERSATIONS: &[u8] = include_bytes!("../../../../tests/golden/parquet/conversations.parquet");
    const TEXTS: &[u8] = include_bytes!("../../../../tests/golden/parquet/texts.parquet");
    const VALUES: &[u8] = include_bytes!("../../../../tests/golden/parquet/values.parquet");

    /// The lines of a file `a.parquet`, and what stopped them.
    fn lines(bytes: &[u8]) -> (String, Option<String>) {
        let mut text = String::new();
        let stopped = match parquet_rows(Arc::new(Memory::new("a.parquet", bytes))) {
            Ok(mut rows) => rows.read_to_string(&mut text).err().map(|error| error.to_string()),
            Err(error) => Some(error.to_string()),
        };
        (text, stopped)
    }

    fn stopped(bytes: &[u8]) -> String {
        lines(bytes).1.unwrap_or_else(|| "read".to_string())
    }

    #[test]
    fn every_golden_file_gives_its_lines() {
        for (bytes, expected) in [
            (CONVERSATIONS, include_str!("../../../../tests/golden/parquet/conversations.jsonl")),
            (TEXTS, include_str!("../../../../tests/golden/parquet/texts.jsonl")),
            (VALUES, include_str!("../../../../tests/golden/parquet/values.jsonl")),
        ] {
            assert_eq!(lines(bytes), (expected.replace("\r\n", "\n"), None));
        }
    }

    #[test]
    fn what_is_not_read_is_refused_by_file_or_row() {
        let binary = include_bytes!("../../../../tests/golden/parquet/image.parquet");
        assert_eq!(stopped(binary), "row 2: column image holds bytes that are no text");
        let brotli = include_bytes!("../../../../tests/golden/parquet/brotli.parquet");
        assert_eq!(
            stopped(brotli),
            "a.parquet: column text is compressed with BROTLI, which is not read; \
             write the file with Snappy, gzip or zstd"
        );
        for bytes in [&b""[..], b"PAR1", b"{\"text\": \"a row\"}\n", &TEXTS[..TEXTS.len() - 1]] {
            assert_eq!(stopped(bytes), "a.parquet: this is no parquet file, or one that is cut off");
        }
    }

    #[test]
    fn damage_is_an_error_that_names_the_file_or_the_row() {
        let mut found = 0;
        for golden in [CONVERSATIONS, TEXTS, VALUES] {
            for at in (0..golden.len()).step_by(2) {
                let mut bytes = golden.to_vec();
                bytes[at] = [bytes[at] ^ 1, bytes[at] ^ 0x80, 0xFF][at % 3];
                if let Some(why) = lines(&bytes).1 {
                    assert!(why.starts_with("a.parquet: ") || why.starts_with("row "), "{at}: {why}");
                    found += 1;
                }
            }
        }
        assert!(found > 3000, "{found}");
    }

    #[test]
    fn no_cut_file_is_read() {
        for golden in [CONVERSATIONS, TEXTS, VALUES] {
            // What is missing at the front moves every page away from its place.
            for at in (1..golden.len()).step_by(3) {
                assert!(stopped(&golden[..at]).starts_with("a.parquet: "), "{at}");
                assert_ne!(stopped(&golden[at..]), "read", "{at}");
            }
        }
    }
}
