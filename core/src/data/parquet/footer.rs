//! A parquet file's footer: the columns, and where their pages lie.

use parquet::basic::Compression;
use parquet::errors::ParquetError;
use parquet::file::metadata::{
    ColumnChunkMetaData, FooterTail, ParquetMetaData, ParquetMetaDataReader, RowGroupMetaData,
};
use parquet::file::reader::{ChunkReader, Length};

use super::bytes::FileBytes;
use super::schema;

/// Reads the footer.
///
/// # Errors
/// Why the file cannot be read: it is no parquet file, encrypted or damaged, or a column has a compression that is
/// not read.
pub(super) fn read(file: &FileBytes) -> Result<ParquetMetaData, String> {
    const TAIL: usize = 8;
    let cut = |_| "this is no parquet file, or one that is cut off".to_string();
    let end = file.len().saturating_sub(TAIL as u64);
    let tail = file.get_bytes(end, TAIL).and_then(|tail| FooterTail::try_from(&tail[..])).map_err(cut)?;
    if tail.is_encrypted_footer() {
        return Err("the file is encrypted".to_string());
    }
    let length = tail.metadata_length();
    let bytes = file.get_bytes(end.saturating_sub(length as u64), length).map_err(cut)?;
    if !schema::is_sound(&bytes) {
        return Err("the file is damaged: its columns do not fit together".to_string());
    }
    let metadata = ParquetMetaDataReader::decode_metadata(&bytes)
        .map_err(|error| format!("the file is damaged ({})", reason(error)))?;
    metadata
        .row_groups()
        .iter()
        .flat_map(RowGroupMetaData::columns)
        .try_for_each(|column| check(column, file))?;
    Ok(metadata)
}

/// What the parquet crate says, without its prefixes and no longer than a message should be.
pub(super) fn reason(error: ParquetError) -> String {
    const SHOWN: usize = 200;
    let text = match error {
        ParquetError::General(text) | ParquetError::EOF(text) | ParquetError::NYI(text) => text,
        ParquetError::External(error) => error.to_string(),
        other => other.to_string(),
    };
    text.chars().take(SHOWN).collect()
}

/// Whether a column lies in the file and has a compression that is read.
fn check(column: &ColumnChunkMetaData, file: &FileBytes) -> Result<(), String> {
    let name = column.column_path().string();
    match column.compression() {
        Compression::UNCOMPRESSED | Compression::SNAPPY | Compression::GZIP(_) | Compression::ZSTD(_) => {}
        other => {
            let other = other.to_string();
            let kind = other.split('(').next().unwrap_or_default();
            return Err(format!(
                "column {name} is compressed with {kind}, which is not read; write the file with Snappy, gzip or zstd"
            ));
        }
    }
    let start = column.dictionary_page_offset().unwrap_or(column.data_page_offset());
    let end = start.checked_add(column.compressed_size());
    let inside = |end: i64| start >= 0 && end >= start && end.unsigned_abs() <= file.len();
    match end.is_some_and(inside) {
        true => Ok(()),
        false => Err(format!("the file is damaged or cut off: column {name} lies outside of it")),
    }
}
