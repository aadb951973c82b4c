//! Data that comes through a pipe: kept in a temporary file, because rows are read in any order, and named by what it
//! begins with, because a pipe has no ending.

use std::fs::File;
use std::io::{IsTerminal, Read, Seek};
use std::path::Path;

use kindling::data::{decompressor, format_of};
use kindling::error::Result;
use kindling::text::RowShape;

use crate::failure::io_error;
use crate::output;
use crate::shares;

/// What stands for the standard input.
pub const STDIN: &str = "-";

/// Whether `--data` names a stream, which is gone once it was read: the standard input, a device, a pipe.
pub fn passes(name: &str) -> bool {
    let name = shares::name_of(name);
    let path = Path::new(name);
    let is_pipe = || path.metadata().is_ok_and(|found| !found.is_file() && !found.is_dir());
    name == STDIN || path.starts_with("/dev") || is_pipe()
}

/// Opens a file that can be read at any place, and its name with an ending that tells the format.
///
/// # Errors
/// What the system says.
pub fn open(path: &Path) -> Result<(File, String)> {
    let io = |e| io_error(path, e);
    if path == Path::new(STDIN) {
        if std::io::stdin().is_terminal() {
            output::warn("the rows are what is typed here; Ctrl-D ends them");
        }
        return named(kept(std::io::stdin().lock()).map_err(io)?, "stdin", path);
    }
    let file = File::open(path).map_err(io)?;
    let name = path.display().to_string();
    let is_file = file.metadata().map_err(io)?.is_file();
    let file = if is_file { file } else { kept(&file).map_err(io)? };
    // The devices of the standard input and of shells have no ending, also where a file stands behind them.
    match format_of(&name) {
        None if !is_file || path.starts_with("/dev") => named(file, &name, path),
        _ => Ok((file, name)),
    }
}

/// The bytes of a stream in a temporary file, which goes when it is closed.
fn kept(mut stream: impl Read) -> std::io::Result<File> {
    let mut file = tempfile::tempfile()?;
    std::io::copy(&mut stream, &mut file)?;
    file.rewind()?;
    Ok(file)
}

/// The file with an ending for what it begins with.
fn named(mut file: File, name: &str, path: &Path) -> Result<(File, String)> {
    let ending = ending(&mut file).and_then(|ending| file.rewind().map(|()| ending));
    let ending = ending.map_err(|e| io_error(path, e))?;
    Ok((file, format!("{name}{ending}")))
}

/// The ending of a file with these bytes: what they hold, and what they are packed with.
fn ending(file: &mut File) -> std::io::Result<String> {
    let first = head(&mut *file)?;
    let packed = match first.as_slice() {
        [b'P', b'A', b'R', b'1', ..] => return Ok(".parquet".into()),
        [0x1F, 0x8B, ..] => ".gz",
        [0x28, 0xB5, 0x2F, 0xFD, ..] => ".zst",
        _ => return Ok(ending_of_text(&first).into()),
    };
    file.rewind()?;
    let inside = match decompressor(packed, &*file).map_err(std::io::Error::other)? {
        Some(stream) => head(stream)?,
        None => first,
    };
    Ok(format!("{}{packed}", ending_of_text(&inside)))
}

fn head(stream: impl Read) -> std::io::Result<Vec<u8>> {
    const ENOUGH: u64 = 4096;
    let mut bytes = Vec::new();
    stream.take(ENOUGH).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// JSON by its bracket, a table by the names of its columns; anything else is plain text. A `.json` may hold lines, too.
fn ending_of_text(head: &[u8]) -> &'static str {
    // The marks of UTF-8 and UTF-16, and every second byte of the latter.
    let is_mark = |byte: &u8| matches!(byte, 0 | 0xEF | 0xBB | 0xBF | 0xFE | 0xFF);
    let text: Vec<u8> = head.iter().copied().filter(|byte| !is_mark(byte)).collect();
    let text = String::from_utf8_lossy(text.trim_ascii_start());
    let is_table = |separator: char| {
        let first = text.lines().next().unwrap_or_default();
        let columns: Vec<String> = first.split(separator).map(|name| name.trim().to_lowercase()).collect();
        columns.len() > 1
            && RowShape::find(|key| columns.iter().any(|name| name == key), || String::new().into()).is_ok()
    };
    match text.chars().next() {
        Some('{' | '[') => ".json",
        Some(_) if is_table(',') => ".csv",
        Some(_) if is_table('\t') => ".tsv",
        _ => ".txt",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_bytes_tell_the_ending() {
        for (head, ending) in [
            (&b" {\"text\": \"a\"}\n"[..], ".json"),
            (b"\xEF\xBB\xBF[{", ".json"),
            (b"\xFF\xFE{\0\"\0", ".json"),
            (b"id,Text\n1,a\n", ".csv"),
            (b"question, answer\n", ".csv"),
            (b"question\tanswer\n", ".tsv"),
            (b"text\nof a book\n", ".txt"),
            (b"Once, upon a time\n", ".txt"),
            (b"", ".txt"),
        ] {
            assert_eq!(ending_of_text(head), ending, "{head:?}");
        }
    }
}
