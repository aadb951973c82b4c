//! Zip archives: a checkpoint directory as one download.

use std::io::{Cursor, Read, Write};

use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipArchive, ZipWriter};

use super::Files;
use crate::error::{Error, Result};

/// A checkpoint has a dozen.
const MOST_FILES: usize = 1000;
/// Weights shrink to a half at best, texts to a fifth; what grows by more than this is made to fill the memory.
const MOST_GROWTH: u64 = 100;
/// What a small archive may grow to: an adapter of zeros shrinks to almost nothing.
const ALWAYS_FINE: u64 = 64 << 20;

/// One archive of a directory's files. Weights hardly shrink, so nothing is compressed.
///
/// # Errors
/// More than an archive can hold.
pub fn to_zip(files: &Files) -> Result<Vec<u8>> {
    let told = |e: &dyn std::fmt::Display| Error::Checkpoint(format!("the archive cannot be made: {e}"));
    let mut archive = ZipWriter::new(Cursor::new(Vec::new()));
    let plain = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
    for (name, bytes) in files {
        archive.start_file(name, plain).map_err(|e| told(&e))?;
        archive.write_all(bytes).map_err(|e| told(&e))?;
    }
    Ok(archive.finish().map_err(|e| told(&e))?.into_inner())
}

/// The files of an archive, by [`entry_name`].
///
/// # Errors
/// An archive that is damaged, that unpacks into far more than it is, or that holds several directories; parts that lie
/// on each other, or have no name of a file.
pub fn from_zip(bytes: &[u8]) -> Result<Files> {
    let told =
        |e: &dyn std::fmt::Display| Error::Checkpoint(format!("no whole zip archive ({e}); copy it again"));
    let mut archive = ZipArchive::new(Cursor::new(bytes)).map_err(|e| told(&e))?;
    if archive.len() > MOST_FILES {
        return Err(Error::Checkpoint(format!(
            "{} files in one archive; a checkpoint has a dozen",
            archive.len()
        )));
    }
    let limit = (MOST_GROWTH * bytes.len() as u64).max(ALWAYS_FINE);
    let (mut files, mut left, mut packed) = (Files::new(), limit, bytes.len() as u64);
    for i in 0..archive.len() {
        let file = archive.by_index(i).map_err(|e| told(&e))?;
        if file.is_dir() {
            continue;
        }
        let name = plain_name(&file.name().map_err(|e| told(&e))?)?;
        // A thousand names for one part would take a thousand times as long to unpack.
        packed = packed
            .checked_sub(file.compressed_size())
            .ok_or_else(|| none("the parts of this archive lie on each other or beyond its end"))?;
        let mut content = Vec::new();
        // What the archive says of its sizes may be a lie.
        file.take(left + 1).read_to_end(&mut content).map_err(|e| told(&e))?;
        left = left.checked_sub(content.len() as u64).ok_or_else(|| {
            none(&format!("an archive of {} bytes that unpacks into more than {limit}", bytes.len()))
        })?;
        if files.contains_key(&name) {
            return Err(Error::Checkpoint(format!(
                "several {name} in one archive; make one of each directory"
            )));
        }
        files.insert(name, content);
    }
    Ok(files)
}

/// [`entry_name`] of what is the name of a file.
fn plain_name(path: &str) -> Result<String> {
    let name = entry_name(path);
    match name.rsplit('/').next() {
        None | Some("" | "." | "..") => {
            Err(none(&format!("the archive holds '{path}', which names no file")))
        }
        _ => Ok(name),
    }
}

fn none(fact: &str) -> Error {
    Error::Checkpoint(format!("{fact}: no checkpoint"))
}

/// The folders of a checkpoint.
const FOLDERS: [&str; 2] = ["training", "additional_chat_templates"];

/// What a checkpoint calls a file that came in some folder: one of its own stays, what stands before it goes.
pub fn entry_name(path: &str) -> String {
    let mut parts = path.rsplit(['/', '\\']);
    let file = parts.next().unwrap_or(path);
    match parts.next() {
        Some(folder) if FOLDERS.contains(&folder) => format!("{folder}/{file}"),
        _ => file.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(named: &[(&str, &[u8])]) -> Files {
        named.iter().map(|(name, bytes)| (name.to_string(), bytes.to_vec())).collect()
    }

    fn zipped(named: &[(&str, &[u8])], method: CompressionMethod) -> Vec<u8> {
        let mut archive = ZipWriter::new(Cursor::new(Vec::new()));
        for (name, bytes) in named {
            archive.start_file(*name, SimpleFileOptions::default().compression_method(method)).unwrap();
            archive.write_all(bytes).unwrap();
        }
        archive.finish().unwrap().into_inner()
    }

    #[test]
    fn what_was_packed_comes_out() {
        let files = files(&[
            ("config.json", b"{}"),
            ("model.safetensors", &[7; 5000]),
            ("training/state.json", b"1"),
        ]);
        assert!(from_zip(&to_zip(&files).unwrap()).unwrap() == files);
    }

    #[test]
    fn folders_and_compression_of_other_packers_are_read() {
        let named: [(&str, &[u8]); 5] = [
            ("my model/", b""),
            ("my model/additional_chat_templates/rag.jinja", b"r"),
            ("my model/config.json", b"{}"),
            ("my model/training/progress.json", b"1"),
            ("__MACOSX/my model/._config.json", b"x"),
        ];
        let read = from_zip(&zipped(&named, CompressionMethod::Deflated)).unwrap();
        let expected = files(&[
            ("config.json", b"{}"),
            ("additional_chat_templates/rag.jinja", b"r"),
            ("training/progress.json", b"1"),
            ("._config.json", b"x"),
        ]);
        assert!(read == expected);
    }

    #[test]
    fn no_name_leads_out_of_the_directory() {
        let named: [(&str, &[u8]); 3] = [("../../a.json", b"a"), ("/etc/b.json", b"b"), ("C:\\c.json", b"c")];
        let read = from_zip(&zipped(&named, CompressionMethod::Stored)).unwrap();
        assert_eq!(read.into_keys().collect::<Vec<_>>(), ["a.json", "b.json", "c.json"]);
    }

    #[test]
    fn a_part_is_unpacked_once_and_has_a_name() {
        let refused = |bytes: &[u8]| from_zip(bytes).unwrap_err().to_string();
        for name in ["..", "a/..", "a/.", "training/.."] {
            let told = refused(&zipped(&[(name, b"a")], CompressionMethod::Stored));
            assert!(told.contains("names no file"), "{told}");
        }
        // A second entry for the same part.
        let mut bytes = zipped(&[("a", &[7; 3000])], CompressionMethod::Stored);
        let (entry, end) =
            (bytes.windows(4).position(|window| window == b"PK\x01\x02").unwrap(), bytes.len() - 22);
        let mut second = bytes[entry..end].to_vec();
        second[46] = b'b';
        bytes.splice(end..end, second);
        let end = bytes.len() - 22;
        (bytes[end + 8], bytes[end + 10]) = (2, 2);
        bytes[end + 12..end + 16].copy_from_slice(&((end - entry) as u32).to_le_bytes());
        assert!(refused(&bytes).contains("lie on each other"), "{}", refused(&bytes));
    }

    #[test]
    fn an_archive_of_two_directories_is_refused() {
        let named: [(&str, &[u8]); 2] = [("base/config.json", b"{}"), ("tuned/config.json", b"{}")];
        let error = from_zip(&zipped(&named, CompressionMethod::Stored)).unwrap_err();
        assert!(error.to_string().contains("several config.json"), "{error}");
    }

    #[test]
    fn damage_is_told() {
        let whole = zipped(&[("config.json", &[b'a'; 3000])], CompressionMethod::Stored);
        for cut in [0, 10, whole.len() / 2, whole.len() - 5] {
            assert!(
                from_zip(&whole[..cut]).unwrap_err().to_string().contains("copy it again"),
                "cut at {cut}"
            );
        }
        let mut changed = whole;
        changed[200] ^= 1;
        assert!(from_zip(&changed).unwrap_err().to_string().contains("copy it again"));
    }

    #[test]
    fn a_bomb_is_refused_before_it_fills_the_memory() {
        let zeros = vec![0; 65 << 20];
        let bomb = zipped(&[("model.safetensors", &zeros)], CompressionMethod::Deflated);
        assert!(bomb.len() < 1 << 20);
        assert!(from_zip(&bomb).unwrap_err().to_string().contains("unpacks into more than"));
    }
}
