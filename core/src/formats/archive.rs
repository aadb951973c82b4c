//! Zip archives: a checkpoint directory as one download.

use std::collections::BTreeSet;
use std::fmt::Display;
use std::io::{Cursor, Read, Write};

use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipArchive, ZipWriter};

use super::Files;
use crate::error::{Error, Result};
use crate::told::{Told, told};

/// A checkpoint has a dozen.
const MOST_FILES: usize = 1000;
/// Directories in directories that are told apart.
const DEEPEST: usize = 16;
/// What a directory with a checkpoint or an adapter holds.
const MARKS: [&str; 2] = ["config.json", "adapter_config.json"];
/// Weights shrink to a half at best, texts to a fifth; what grows by more than this is made to fill the memory.
const MOST_GROWTH: u64 = 100;
/// What a small archive may grow to: an adapter of zeros shrinks to almost nothing.
const ALWAYS_FINE: u64 = 64 << 20;

/// One archive of a directory's files. Weights hardly shrink, so nothing is compressed.
///
/// # Errors
/// More than an archive can hold.
pub fn to_zip(files: &Files) -> Result<Vec<u8>> {
    let told = |e: &dyn std::fmt::Display| {
        Error::Checkpoint(told!("zip.unwritten", "the archive cannot be made: {e}", e))
    };
    let mut archive = ZipWriter::new(Cursor::new(Vec::new()));
    let plain = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
    for (name, bytes) in files {
        archive.start_file(name, plain).map_err(|e| told(&e))?;
        archive.write_all(bytes).map_err(|e| told(&e))?;
    }
    Ok(archive.finish().map_err(|e| told(&e))?.into_inner())
}

/// The files of an archive, by [`entry_name`]. Where one directory holds others that are checkpoints of their own, as a
/// run's does, they are left aside; [`zip_others`] names them.
///
/// # Errors
/// An archive that is damaged, that unpacks into far more than it is, or that holds several directories side by side;
/// parts that lie on each other, or have no name of a file.
pub fn from_zip(bytes: &[u8]) -> Result<Files> {
    let mut archive = opened(bytes)?;
    let mut paths = paths(&mut archive)?;
    let others = others(paths.iter().map(|(_, path)| path.as_str()));
    paths.retain(|(_, path)| !lies_in(path, &others));
    if paths.len() > MOST_FILES {
        return Err(Error::Checkpoint(told!(
            "zip.many",
            "{files} files in one archive; a checkpoint has a dozen",
            files = paths.len()
        )));
    }
    let limit = (MOST_GROWTH * bytes.len() as u64).max(ALWAYS_FINE);
    let (mut files, mut left, mut packed) = (Files::new(), limit, bytes.len() as u64);
    for (i, path) in paths {
        let file = archive.by_index(i).map_err(|e| damaged(&e))?;
        let name = plain_name(&path)?;
        // A thousand names for one part would take a thousand times as long to unpack.
        packed = packed.checked_sub(file.compressed_size()).ok_or_else(|| {
            none(told!("zip.overlap", "the parts of this archive lie on each other or beyond its end"))
        })?;
        let mut content = Vec::new();
        // What the archive says of its sizes may be a lie.
        file.take(left + 1).read_to_end(&mut content).map_err(|e| damaged(&e))?;
        left = left.checked_sub(content.len() as u64).ok_or_else(|| {
            none(told!(
                "zip.large",
                "an archive of {bytes} bytes that unpacks into more than {limit}",
                bytes = bytes.len(),
                limit
            ))
        })?;
        put(&mut files, name, content)?;
    }
    Ok(files)
}

/// The directories of an archive that [`from_zip`] leaves aside.
///
/// # Errors
/// An archive that is damaged.
pub fn zip_others(bytes: &[u8]) -> Result<Vec<String>> {
    let paths = paths(&mut opened(bytes)?)?;
    Ok(others(paths.iter().map(|(_, path)| path.as_str())).into_iter().collect())
}

/// The files of a directory that came one by one, each with its path, by the same rules.
///
/// # Errors
/// Several directories side by side.
pub fn from_folder(named: Vec<(String, Vec<u8>)>) -> Result<Files> {
    let plain = |path: &str| path.replace('\\', "/");
    let paths: Vec<String> = named.iter().map(|(path, _)| plain(path)).collect();
    let others = others(paths.iter().map(String::as_str));
    let mut files = Files::new();
    for (path, content) in named {
        if !lies_in(&plain(&path), &others) {
            put(&mut files, entry_name(&path), content)?;
        }
    }
    Ok(files)
}

fn opened(bytes: &[u8]) -> Result<ZipArchive<Cursor<&[u8]>>> {
    ZipArchive::new(Cursor::new(bytes)).map_err(|e| damaged(&e))
}

fn damaged(why: &dyn Display) -> Error {
    Error::Checkpoint(told!("zip.damaged", "no whole zip archive ({why}); copy it again", why))
}

/// Number and path of every file, with `/` between its parts.
fn paths(archive: &mut ZipArchive<Cursor<&[u8]>>) -> Result<Vec<(usize, String)>> {
    let mut paths = Vec::new();
    for i in 0..archive.len() {
        let file = archive.by_index(i).map_err(|e| damaged(&e))?;
        if !file.is_dir() {
            let path = file.name().map_err(|e| damaged(&e))?.replace('\\', "/");
            paths.push((i, path));
        }
    }
    Ok(paths)
}

/// Directories below the one that holds the checkpoint, where they hold others, or a file of the same name as one of its
/// own; none where several checkpoints lie side by side.
fn others<'a>(paths: impl Iterator<Item = &'a str>) -> BTreeSet<String> {
    let split = |path: &'a str| path.rsplit_once('/').unwrap_or(("", path));
    let files: Vec<(&str, &str)> = paths.map(split).collect();
    let marked = || files.iter().filter(|(_, file)| MARKS.contains(file)).map(|(folder, _)| *folder);
    let depth = |folder: &str| if folder.is_empty() { 0 } else { folder.matches('/').count() + 1 };
    let Some(top) = marked().min_by_key(|folder| depth(folder)) else { return BTreeSet::new() };
    let below =
        |folder: &str| top.is_empty() || folder.strip_prefix(top).is_some_and(|rest| rest.starts_with('/'));
    if marked().any(|folder| folder != top && !below(folder)) {
        return BTreeSet::new();
    }
    let own: BTreeSet<&str> =
        files.iter().filter(|(folder, _)| *folder == top).map(|(_, file)| *file).collect();
    let is_other = |folder: &str, file: &str| {
        let kept = FOLDERS.iter().any(|kept| folder.ends_with(kept));
        folder != top && below(folder) && (MARKS.contains(&file) || (own.contains(file) && !kept))
    };
    let others: BTreeSet<&str> =
        files.iter().filter(|(folder, file)| is_other(folder, file)).map(|(folder, _)| *folder).collect();
    let inside = |folder: &str| above(folder).any(|outer| others.contains(outer));
    others.iter().filter(|folder| !inside(folder)).map(ToString::to_string).collect()
}

fn lies_in(path: &str, folders: &BTreeSet<String>) -> bool {
    above(path).any(|folder| folders.contains(folder))
}

/// The directories above what has this path; of a path that is deeper than any of ours, the outer ones.
fn above(path: &str) -> impl Iterator<Item = &str> {
    path.match_indices('/').map(move |(at, _)| &path[..at]).take(DEEPEST)
}

fn put(files: &mut Files, name: String, content: Vec<u8>) -> Result<()> {
    if files.contains_key(&name) {
        return Err(Error::Checkpoint(told!(
            "zip.several",
            "several {name} in directories side by side, and which is meant cannot be told; give one of them alone",
            name
        )));
    }
    files.insert(name, content);
    Ok(())
}

/// [`entry_name`] of what is the name of a file.
fn plain_name(path: &str) -> Result<String> {
    let name = entry_name(path);
    match name.rsplit('/').next() {
        None | Some("" | "." | "..") => {
            Err(none(told!("zip.name", "the archive holds '{path}', which names no file", path)))
        }
        _ => Ok(name),
    }
}

fn none(fact: Told) -> Error {
    Error::Checkpoint(told!("zip.none", "{fact}: no checkpoint", fact))
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
    fn the_directory_of_a_run_is_the_model_at_its_top() {
        let save = ["config.json", "model.safetensors", "training/progress.json"];
        let mut named: Vec<(String, &[u8])> = Vec::new();
        for folder in ["run/", "run/checkpoint-000002/", "run/best/", "run/pretrain/", "run/pretrain/best/"] {
            let content: &[u8] = if folder == "run/" { b"top" } else { b"below" };
            named.extend(save.map(|name| (format!("{folder}{name}"), content)));
        }
        named.push(("run/best/generation_config.json".into(), b"below"));
        named.push(("run/log.jsonl".into(), b"top"));
        named.push(("run/notes/log.jsonl".into(), b"below"));
        named.push(("run/more/extra.json".into(), b"top"));
        let named: Vec<(&str, &[u8])> = named.iter().map(|(name, bytes)| (name.as_str(), *bytes)).collect();
        let top: Vec<(&str, &[u8])> = save
            .into_iter()
            .chain(["log.jsonl", "extra.json"])
            .map(|name| (name, b"top".as_slice()))
            .collect();
        let archive = zipped(&named, CompressionMethod::Stored);
        assert!(from_zip(&archive).unwrap() == files(&top));
        assert_eq!(
            zip_others(&archive).unwrap(),
            ["run/best", "run/checkpoint-000002", "run/notes", "run/pretrain"]
        );
        let one_by_one = named.iter().map(|(name, bytes)| (name.replace('/', "\\"), bytes.to_vec()));
        assert!(from_folder(one_by_one.collect()).unwrap() == files(&top));
        // Saves alone lie side by side.
        let saves: Vec<_> = named.iter().filter(|(name, _)| !name.starts_with("run/c")).copied().collect();
        let two: Vec<_> = saves.iter().filter(|(name, _)| name.matches('/').count() > 1).copied().collect();
        assert!(from_zip(&zipped(&two, CompressionMethod::Stored)).is_err());
        assert_eq!(zip_others(&zipped(&two, CompressionMethod::Stored)).unwrap(), [""; 0]);
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
