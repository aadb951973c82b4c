//! The token caches of other programs: NumPy arrays, and flat files.

use std::fs::{self, File};
use std::io::{BufWriter, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use kindling::data::TokenRow;
use kindling::error::{Error, Result};
use kindling::prepared::{FlatType, Preparation, flat_tokens, npy_header};

use super::meter::Meter;
use super::shard_dir::Done;
use crate::failure::{Failure, io_error};
use crate::interrupt;
use crate::output::{self, Output};
use crate::prepared_files::flat_type;
use crate::run_dir::Existing;

/// Writes a file that appears at once.
///
/// # Errors
/// A name that is taken, what cannot be written; what `fill` says.
pub(super) fn write_file<T>(
    out: &Path,
    existing: Existing,
    fill: impl FnOnce(&mut BufWriter<File>) -> Result<T, Failure>,
) -> Result<T, Failure> {
    if out.exists() && existing == Existing::Refuse {
        return Err(Failure::Usage(format!(
            "--out {} is taken; choose another name, or add --overwrite",
            out.display()
        )));
    }
    interrupt::listen();
    let mut temporary = out.as_os_str().to_owned();
    temporary.push(".tmp");
    let temporary = PathBuf::from(temporary);
    let file = File::create(&temporary).map_err(|e| io_error(&temporary, e))?;
    let mut file = BufWriter::new(file);
    let written = fill(&mut file).and_then(|done| {
        let file = file.into_inner().map_err(std::io::IntoInnerError::into_error);
        file.and_then(|file| file.sync_all()).map_err(|e| io_error(&temporary, e))?;
        fs::rename(&temporary, out).map_err(|e| io_error(out, e))?;
        Ok(done)
    });
    if written.is_err() {
        let _ = fs::remove_file(&temporary);
    }
    written
}

/// The tokens of texts, given on as they come; what is told of them in the end.
fn each_text(
    preparation: &Preparation,
    output: Output,
    mut take: impl FnMut(Vec<u32>) -> Result<()>,
) -> Result<Done, Failure> {
    let mut done = Done { rows: preparation.plan().rows, shards: 1, ..Done::default() };
    let mut meter = Meter::new(done.rows, output);
    preparation.each(|rows: Vec<TokenRow>| {
        let before = (done.tokens, rows.len() as u64);
        for example in rows.into_iter().flat_map(|row| row.examples) {
            done.tokens += example.ids.len() as u64;
            take(example.ids)?;
        }
        meter.advance(before.1, done.tokens - before.0);
        Ok(!interrupt::asked())
    })?;
    meter.finish();
    if interrupt::asked() { Err(Failure::Interrupted) } else { Ok(done) }
}

/// Writes the texts of a preparation as a NumPy array of rows of `length` tokens.
///
/// # Errors
/// A name that is taken, texts that fill no row, what cannot be written.
pub fn write_npy(
    preparation: &Preparation,
    length: usize,
    out: &Path,
    existing: Existing,
    output: Output,
) -> Result<Done, Failure> {
    write_file(out, existing, |file| fill_npy(preparation, length, file, output))
}

fn fill_npy(
    preparation: &Preparation,
    length: usize,
    file: &mut BufWriter<File>,
    output: Output,
) -> Result<Done, Failure> {
    let io = |e| io_error(Path::new("--out"), e);
    file.write_all(&npy_header(0, length as u64)).map_err(io)?;
    let (mut row, mut rows) = (Vec::new(), 0);
    let done = each_text(preparation, output, |ids| {
        row.extend(ids);
        let whole = row.len() / length * length;
        for id in row.drain(..whole) {
            let id =
                i32::try_from(id).map_err(|_| Error::Data(format!("the token {id} is no int32").into()))?;
            file.write_all(&id.to_le_bytes()).map_err(io)?;
        }
        rows += (whole / length) as u64;
        Ok(())
    })?;
    if rows == 0 {
        return Err(Error::Data(
            format!(
                "the data has {} tokens, which fill no row of {length}; take a shorter --max-seq-len",
                done.tokens
            )
            .into(),
        )
        .into());
    }
    file.seek(SeekFrom::Start(0)).map_err(io)?;
    file.write_all(&npy_header(rows, length as u64)).map_err(io)?;
    file.flush().map_err(io)?;
    if !row.is_empty() {
        let dropped = output::counted(
            row.len() as u64,
            ["token behind the last full row is dropped", "tokens behind the last full row are dropped"],
        );
        output.say(&dropped);
    }
    Ok(Done { rows, tokens: rows * length as u64, left_over: row.len(), ..done })
}

/// Writes the tokens of the texts of a preparation one behind the other, of the type that the name tells.
///
/// # Errors
/// A name that is taken, a token that the type does not hold, what cannot be written.
pub fn write_flat(
    preparation: &Preparation,
    out: &Path,
    existing: Existing,
    output: Output,
) -> Result<Done, Failure> {
    let of = flat_type(out).unwrap_or(FlatType::U16);
    write_file(out, existing, |file| fill_flat(preparation, of, file, output))
}

fn fill_flat(
    preparation: &Preparation,
    of: FlatType,
    file: &mut BufWriter<File>,
    output: Output,
) -> Result<Done, Failure> {
    let done = each_text(preparation, output, |ids| {
        let bytes = flat_tokens(&ids, of).map_err(|id| {
            Error::Data(
                format!("the token {id} does not fit uint16; let the name of --out end in .u32.bin").into(),
            )
        })?;
        file.write_all(&bytes).map_err(|e| io_error(Path::new("--out"), e))
    })?;
    file.flush().map_err(|e| io_error(Path::new("--out"), e))?;
    Ok(done)
}
