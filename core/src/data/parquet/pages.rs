//! The pages of a parquet file, unpacked and checked before the parquet crate decodes them.

use std::io::Read;
use std::sync::Arc;

use bytes::Bytes;
use flate2::bufread::MultiGzDecoder;
use parquet::basic::Compression;
use parquet::bloom_filter::Sbbf;
use parquet::column::page::{Page, PageMetadata, PageReader};
use parquet::errors::Result;
use parquet::file::metadata::{ColumnChunkMetaData, RowGroupMetaData};
use parquet::file::reader::{RowGroupReader, SerializedPageReader};
use parquet::record::reader::RowIter;
use parquet::schema::types::Type;

use super::bytes::{FileBytes, failure};
use super::delta;
use crate::data::compressed::ZstdReader;

/// The most bytes that a page may have, unpacked: the format counts them in an `i32`. Mostly it is about one MiB, but
/// pyarrow puts up to 1024 values into a page, however long they are.
const LONGEST: usize = i32::MAX as usize;

/// A row group whose pages are unpacked here.
pub(super) struct RowGroup<'a> {
    file: Arc<FileBytes>,
    metadata: &'a RowGroupMetaData,
}

impl<'a> RowGroup<'a> {
    pub(super) fn new(file: Arc<FileBytes>, metadata: &'a RowGroupMetaData) -> Self {
        Self { file, metadata }
    }
}

impl RowGroupReader for RowGroup<'_> {
    fn metadata(&self) -> &RowGroupMetaData {
        self.metadata
    }

    fn num_columns(&self) -> usize {
        self.metadata.num_columns()
    }

    fn get_column_page_reader(&self, i: usize) -> Result<Box<dyn PageReader>> {
        Ok(Box::new(Pages::new(&self.file, self.metadata.column(i), self.metadata.num_rows())?))
    }

    fn get_column_bloom_filter(&self, _: usize) -> Option<&Sbbf> {
        None
    }

    fn get_row_iter(&self, projection: Option<Type>) -> Result<RowIter<'_>> {
        RowIter::from_row_group(projection, self)
    }
}

/// The pages of one column in one row group.
struct Pages {
    packed: SerializedPageReader<FileBytes>,
    compression: Compression,
    /// The highest levels of repetition and of definition.
    highest_levels: [i16; 2],
}

impl Pages {
    fn new(file: &Arc<FileBytes>, column: &ColumnChunkMetaData, rows: i64) -> Result<Self> {
        // Of a column that is not compressed, the crate gives the pages as they are.
        let packed = column.clone().into_builder().set_compression(Compression::UNCOMPRESSED).build()?;
        let described = column.column_descr();
        Ok(Self {
            packed: SerializedPageReader::new(Arc::clone(file), &packed, usize::try_from(rows)?, None)?,
            compression: column.compression(),
            highest_levels: [described.max_rep_level(), described.max_def_level()],
        })
    }

    fn unpack(&self, mut page: Page) -> Result<Page> {
        match &mut page {
            Page::DataPage { buf, .. } | Page::DictionaryPage { buf, .. } => {
                *buf = unpacked(self.compression, &[], buf, LONGEST)?;
            }
            Page::DataPageV2 { buf, def_levels_byte_len, rep_levels_byte_len, is_compressed, .. } => {
                let levels = u64::from(*def_levels_byte_len) + u64::from(*rep_levels_byte_len);
                let split = usize::try_from(levels)?;
                let (levels, packed) =
                    buf.split_at_checked(split).ok_or_else(|| failure("a page ends inside its levels"))?;
                if *is_compressed {
                    *buf = unpacked(self.compression, levels, packed, LONGEST)?;
                }
            }
        }
        // The crate makes room for all values of a dictionary, none of which is shorter than a byte.
        let too_many = page.is_dictionary_page() && page.num_values() as usize > page.buffer().len();
        if too_many || !delta::counts_fit(&page, self.highest_levels) {
            return Err(failure("a page claims more values than it has"));
        }
        Ok(page)
    }
}

impl Iterator for Pages {
    type Item = Result<Page>;

    fn next(&mut self) -> Option<Self::Item> {
        self.get_next_page().transpose()
    }
}

impl PageReader for Pages {
    fn get_next_page(&mut self) -> Result<Option<Page>> {
        self.packed.get_next_page()?.map(|page| self.unpack(page)).transpose()
    }

    fn peek_next_page(&mut self) -> Result<Option<PageMetadata>> {
        self.packed.peek_next_page()
    }

    fn skip_next_page(&mut self) -> Result<()> {
        self.packed.skip_next_page()
    }

    fn at_record_boundary(&mut self) -> Result<bool> {
        self.packed.at_record_boundary()
    }
}

/// What stands before the packed bytes, and what they unpack to: no more than `longest` bytes in all.
fn unpacked(compression: Compression, before: &[u8], packed: &[u8], longest: usize) -> Result<Bytes> {
    let mut plain = before.to_vec();
    let one_more = longest as u64 + 1;
    match compression {
        // A page without values may have no bytes at all.
        _ if packed.is_empty() => {}
        Compression::SNAPPY => {
            // The densest element of Snappy turns 3 bytes into 64.
            let densest = longest.min(packed.len().saturating_mul(22));
            let fits = snap::raw::decompress_len(packed).is_ok_and(|length| length <= densest);
            let bytes = fits.then(|| snap::raw::Decoder::new().decompress_vec(packed).ok()).flatten();
            plain.extend(bytes.ok_or_else(|| failure("a page's Snappy data is damaged"))?);
        }
        Compression::GZIP(_) => {
            MultiGzDecoder::new(packed).take(one_more).read_to_end(&mut plain)?;
        }
        Compression::ZSTD(_) => {
            ZstdReader::new(packed).take(one_more).read_to_end(&mut plain)?;
        }
        _ => plain.extend(packed),
    }
    match plain.len() > longest {
        true => Err(failure("a page unpacks to more bytes than a page can have")),
        false => Ok(plain.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::Compression as Level;
    use flate2::write::GzEncoder;
    use std::io::Write;

    #[test]
    fn packed_bytes_are_unpacked_behind_what_stands_before_them() {
        let text = "steam ".repeat(1000);
        let mut gz = GzEncoder::new(Vec::new(), Level::fast());
        gz.write_all(text.as_bytes()).unwrap();
        for (compression, packed) in [
            (Compression::SNAPPY, snap::raw::Encoder::new().compress_vec(text.as_bytes()).unwrap()),
            (Compression::GZIP(Default::default()), gz.finish().unwrap()),
            (Compression::UNCOMPRESSED, text.clone().into_bytes()),
        ] {
            let plain = unpacked(compression, b"hot ", &packed, 6004).unwrap();
            assert!(plain == format!("hot {text}"), "{compression}");
            assert_eq!(unpacked(compression, b"", b"", 0).unwrap(), "");
            assert!(unpacked(compression, b"hot ", &packed, 5999).is_err(), "{compression}");
        }
    }

    #[test]
    fn no_page_makes_room_for_more_than_it_has() {
        // 2 GiB of text, as the first bytes claim.
        let packed = [0xFF, 0xFF, 0xFF, 0xFF, 0x07, 0];
        let error = unpacked(Compression::SNAPPY, b"", &packed, LONGEST).unwrap_err().to_string();
        assert!(error.ends_with("a page's Snappy data is damaged"), "{error}");
    }
}
