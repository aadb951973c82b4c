//! `--data` that is tokens already: a directory of `data prepare`, read by memory map, and the caches of other programs.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use kindling::data::{DataReport, Dataset, Source, SourceShare, TokenData, TokenRows, Turns};
use kindling::error::{Error, Result};
use kindling::formats::Bytes;
use kindling::prepared::{FlatTokens, FlatType, INDEX, NpyTokens, PreparedIndex, open_prepared};
use sha2::{Digest, Sha256};

use crate::disk::map;
use crate::failure::io_error;
use crate::shares;
use crate::sources::{RowArgs, open_bytes};

/// The name of what tells how far a preparation has come that is not at its end.
pub const UNFINISHED: &str = "prepared.partial.json";

/// What holds tokens.
#[derive(Debug, PartialEq)]
enum Held {
    /// A directory of shards.
    Shards(PathBuf),
    /// A NumPy array.
    Npy(PathBuf),
    /// A flat file.
    Flat(PathBuf, FlatType),
}

/// Opens `--data` that is tokens, several of them as one, with their shares; `None` where it is rows. Flat files are cut into rows of `seq` tokens.
///
/// # Errors
/// Tokens beside rows, or made in different ways; flags that choose rows; an unfinished preparation; files that are damaged.
pub fn open(data: &[String], rows: &RowArgs, seq: usize) -> Result<Option<Dataset>> {
    let mut held: Vec<(&String, Held)> = Vec::new();
    for name in data {
        held.extend(held_by(Path::new(shares::name_of(name)))?.map(|held| (name, held)));
    }
    let Some((name, _)) = held.first() else { return Ok(None) };
    if held.len() < data.len() {
        return Err(Error::Config(vec![
            format!(
                "--data {name} holds tokens, and others hold rows; prepare those, too, or mix all rows while they are prepared: \
                 kindling data prepare --data a.jsonl=0.7 --data b.jsonl=0.3"
            )
            .into(),
        ]));
    }
    let idle = idle(rows);
    if !idle.is_empty() {
        return Err(Error::Config(vec![
            format!(
                "{} would not act: --data {name} holds tokens; give it to `data prepare`",
                idle.join(", ")
            )
            .into(),
        ]));
    }
    let shared = shares::of_all(data)?;
    let opened = held.iter().map(|(_, held)| open_held(held, seq)).collect::<Result<Vec<_>>>()?;
    match (shared, <[Dataset; 1]>::try_from(opened)) {
        (None, Ok([alone])) => Ok(Some(alone)),
        (shared, opened) => {
            let share = |(name, share): (&str, f64)| SourceShare { name: name.to_string(), share, files: 1 };
            let shares: Vec<SourceShare> = shared.unwrap_or_default().into_iter().map(share).collect();
            let opened = opened.map_or_else(|several| several, |[alone]| vec![alone]);
            Ok(Some(Dataset::join_tokens(opened, &shares)?))
        }
    }
}

fn open_held(held: &Held, seq: usize) -> Result<Dataset> {
    match held {
        Held::Shards(directory) => open_directory(directory),
        Held::Npy(path) => {
            let tokens = NpyTokens::open(open_bytes(path)?)?;
            Ok(texts(Arc::new(tokens), format!("npy {}", hash_of(path)?)))
        }
        Held::Flat(path, of) => {
            let tokens = FlatTokens::open(open_bytes(path)?, *of, seq as u64)?;
            Ok(texts(Arc::new(tokens), format!("flat {} {seq} {}", of.width(), hash_of(path)?)))
        }
    }
}

/// The type of a flat file's tokens, which stands in its name: `x.u32.bin` or `x.uint32.bin` has 32 bits a token, any other
/// `.bin` 16. `None` for another ending.
pub fn flat_type(path: &Path) -> Option<FlatType> {
    let name = path.file_name()?.to_string_lossy().to_lowercase();
    let stem = name.strip_suffix(".bin")?;
    let is_wide = stem.ends_with(".u32") || stem.ends_with(".uint32");
    Some(if is_wide { FlatType::U32 } else { FlatType::U16 })
}

/// What a path holds, if it is tokens.
fn held_by(path: &Path) -> Result<Option<Held>> {
    if path.is_dir() && path.join(INDEX).is_file() {
        return Ok(Some(Held::Shards(path.to_path_buf())));
    }
    if path.is_dir() && path.join(UNFINISHED).is_file() {
        return Err(Error::Data(
            format!(
                "{}: the preparation of this data is not at its end; the same `kindling data prepare` goes on with it",
                path.display()
            )
            .into(),
        ));
    }
    if !path.is_file() {
        return Ok(None);
    }
    let own = path.to_path_buf();
    if path.file_name().is_some_and(|name| name == INDEX) {
        return Ok(Some(Held::Shards(path.parent().map_or_else(PathBuf::new, Path::to_path_buf))));
    }
    if path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("npy")) {
        return Ok(Some(Held::Npy(own)));
    }
    Ok(flat_type(path).map(|of| Held::Flat(own, of)))
}

/// The flags that choose or read rows.
fn idle(rows: &RowArgs) -> Vec<&'static str> {
    let flags = [
        ("--limit", rows.limit.is_some()),
        ("--skip-bad-rows", rows.skip_bad_rows),
        ("--join-turns", rows.turns.join_turns),
        ("--render-turns", rows.turns.render_turns),
        ("--text-column", rows.reading.text_column.is_some()),
        ("--encoding", rows.reading.encoding.is_some()),
    ];
    let given = flags.into_iter().chain(rows.filters.given()).filter(|(_, given)| *given);
    given.map(|(flag, _)| flag).collect()
}

/// Opens a directory of prepared data.
///
/// # Errors
/// An index that is torn, shards that are absent or damaged.
pub fn open_directory(directory: &Path) -> Result<Dataset> {
    let index = read_index(directory)?;
    let shards = index.shards.iter().map(|shard| open_mapped(&directory.join(&shard.file)));
    let shards = shards.collect::<Result<Vec<_>>>()?;
    open_prepared(index, shards)
}

/// Reads the index of a directory of prepared data.
///
/// # Errors
/// One that is absent or torn, or names files outside of the directory.
pub fn read_index(directory: &Path) -> Result<PreparedIndex> {
    let path = directory.join(INDEX);
    let json = std::fs::read(&path).map_err(|e| io_error(&path, e))?;
    let index = PreparedIndex::read(&path.display().to_string(), &json)?;
    let is_beside = |name: &str| Path::new(name).file_name().is_some_and(|own| own == name);
    match index.shards.iter().find(|shard| !is_beside(&shard.file)) {
        None => Ok(index),
        Some(shard) => Err(Error::Data(
            format!("{}: the shard {} is not a file beside the index", path.display(), shard.file).into(),
        )),
    }
}

/// A file by memory map: only what is read of it takes room.
///
/// # Errors
/// A file that is absent or cannot be read.
pub fn open_mapped(path: &Path) -> Result<Arc<dyn Source>> {
    let name = path.display().to_string();
    match map(path)? {
        Some(bytes) => Ok(Arc::new(Mapped { name, bytes })),
        None => Err(Error::Data(
            format!("{name}: the shard is absent; copy the whole directory, or prepare the data again")
                .into(),
        )),
    }
}

/// Bytes in a memory map.
struct Mapped {
    name: String,
    bytes: Bytes,
}

impl Source for Mapped {
    fn name(&self) -> &str {
        &self.name
    }

    fn len(&self) -> u64 {
        self.bytes.len() as u64
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> std::io::Result<usize> {
        let start = usize::try_from(offset).map_or(self.bytes.len(), |start| start.min(self.bytes.len()));
        let count = buffer.len().min(self.bytes.len() - start);
        buffer[..count].copy_from_slice(&self.bytes[start..start + count]);
        Ok(count)
    }
}

/// A dataset of texts of which nothing but the tokens is known.
fn texts(rows: Arc<dyn TokenRows>, print: String) -> Dataset {
    let count = rows.rows();
    let report = DataReport { rows: count, usable: count, documents: count, ..DataReport::default() };
    Dataset::of_tokens(TokenData {
        rows,
        report,
        fingerprint: print,
        skip_bad_rows: false,
        turns: Turns::Refused,
        mix: None,
    })
}

/// The SHA-256 of a file in hexadecimal digits.
fn hash_of(path: &Path) -> Result<String> {
    let mut hash = Sha256::new();
    let file = std::fs::File::open(path).map_err(|e| io_error(path, e))?;
    std::io::copy(&mut std::io::BufReader::with_capacity(1 << 20, file), &mut hash)
        .map_err(|e| io_error(path, e))?;
    Ok(hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_known_by_their_names() {
        let place = tempfile::tempdir().unwrap();
        let file = |name: &str| {
            let path = place.path().join(name);
            std::fs::write(&path, "x").unwrap();
            path
        };
        for (name, of) in
            [("a.bin", FlatType::U16), ("a.u32.bin", FlatType::U32), ("a.uint32.BIN", FlatType::U32)]
        {
            let path = file(name);
            assert_eq!(held_by(&path).unwrap(), Some(Held::Flat(path, of)));
        }
        let array = file("a.npy");
        assert_eq!(held_by(&array).unwrap(), Some(Held::Npy(array)));
        assert_eq!(held_by(&file("a.jsonl")).unwrap(), None);
        assert_eq!(held_by(&place.path().join("absent.npy")).unwrap(), None);
        assert_eq!(held_by(place.path()).unwrap(), None);
        file(UNFINISHED);
        assert!(held_by(place.path()).unwrap_err().to_string().contains("not at its end"));
        let index = file(INDEX);
        let shards = Some(Held::Shards(place.path().to_path_buf()));
        assert_eq!(
            (held_by(place.path()).unwrap(), &held_by(&index).unwrap()),
            (Some(Held::Shards(place.path().into())), &shards)
        );
    }
}
