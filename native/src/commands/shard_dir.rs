//! A directory of prepared data: written shard by shard, so that a preparation that was interrupted goes on.

use std::fs;
use std::path::Path;

use kindling::error::{Error, Result};
use kindling::prepared::{INDEX, Plan, Preparation, Shard, ShardEntry, shard_name};

use super::meter::Meter;
use super::signatures::SIGNATURES;
use crate::disk::{remove, replace, sync_dir};
use crate::failure::{Failure, io_error};
use crate::interrupt;
use crate::output::Output;
use crate::prepared_files::{UNFINISHED, open_directory, open_mapped, read_index};
use crate::run_dir::Existing;
use crate::run_lock::RunLock;

/// What was written.
#[derive(Debug, Default)]
pub struct Done {
    pub rows: u64,
    pub tokens: u64,
    pub shards: usize,
    /// Shards that were there already.
    pub kept: usize,
    /// Tokens behind the last full row of an array.
    pub left_over: usize,
}

/// Writes the shards of a preparation, or those that are not there yet.
///
/// # Errors
/// A directory that holds something else; rows that cannot be encoded; a full disk; an interruption, after which the same
/// call goes on.
pub fn write(
    preparation: &Preparation,
    out: &Path,
    existing: Existing,
    output: Output,
) -> Result<Done, Failure> {
    if let Some(done) = check_out(out, preparation.plan(), existing, output)? {
        return Ok(done);
    }
    let lock = RunLock::take(out)?;
    let written = write_shards(preparation, out, output);
    drop(lock);
    // The directory of the lock stays only where something else is in it.
    let _ = fs::remove_dir(out.join("training"));
    written
}

fn write_shards(preparation: &Preparation, out: &Path, output: Output) -> Result<Done, Failure> {
    interrupt::listen();
    let plan = preparation.plan();
    replace(&out.join(UNFINISHED), &to_json(plan)?)?;
    let mut meter = Meter::new(plan.rows, output);
    let (mut entries, mut kept) = (Vec::new(), 0);
    for number in 0..plan.shards() {
        let path = out.join(shard_name(number));
        let rows = plan.rows_per_shard.min(plan.rows - number * plan.rows_per_shard);
        if let Some(entry) = entry_of(&path, number).filter(|entry| entry.rows == rows) {
            kept += 1;
            meter.skip(entry.rows);
            entries.push(entry);
            continue;
        }
        let shard = preparation.shard(number, &mut |rows, tokens| {
            meter.advance(rows, tokens);
            !interrupt::asked()
        })?;
        let Some(bytes) = shard else {
            meter.finish();
            output.say(&format!(
                "stopped at shard {number} of {}; the same command goes on from there",
                plan.shards()
            ));
            return Err(Failure::Interrupted);
        };
        replace(&path, &bytes)?;
        entries.push(entry_of(&path, number).ok_or_else(|| {
            Error::Data(format!("{}: the shard that was written cannot be read", path.display()).into())
        })?);
    }
    meter.finish();
    let index = preparation.index(entries);
    replace(&out.join(INDEX), &to_json(&index)?)?;
    remove(&out.join(UNFINISHED))?;
    remove(&out.join(SIGNATURES))?;
    sync_dir(out);
    Ok(Done { rows: plan.rows, tokens: index.tokens(), shards: index.shards.len(), kept, left_over: 0 })
}

fn to_json(value: &impl serde::Serialize) -> Result<Vec<u8>> {
    serde_json::to_vec_pretty(value).map_err(|e| Error::Data(e.to_string().into()))
}

/// A shard that is there and whole.
fn entry_of(path: &Path, number: u64) -> Option<ShardEntry> {
    let shard = open_mapped(path).and_then(Shard::open).ok()?;
    let sha256 = shard.verify().ok()?;
    Some(ShardEntry { file: shard_name(number), rows: shard.rows(), tokens: shard.tokens(), sha256 })
}

/// Makes room for a preparation: `Some` where it is there and whole already.
fn check_out(out: &Path, plan: &Plan, existing: Existing, output: Output) -> Result<Option<Done>, Failure> {
    let place = out.display();
    let (has_index, is_begun) = (out.join(INDEX).is_file(), out.join(UNFINISHED).is_file());
    let taken = is_taken(out);
    if !(has_index || is_begun) {
        return match taken {
            false => Ok(None),
            true => Err(Failure::Usage(format!(
                "--out {place} holds something that is no prepared data; choose a directory that is absent or empty"
            ))),
        };
    }
    if has_index {
        // How many rows a shard has may have been decided otherwise, which changes no row.
        let same = |made: &Plan| *made == Plan { rows_per_shard: made.rows_per_shard, ..plan.clone() };
        match read_index(out) {
            Ok(index) if same(&index.plan) => match open_directory(out) {
                Ok(_) => {
                    output.say(&format!("{place} holds these rows as tokens already"));
                    let (tokens, shards) = (index.tokens(), index.shards.len());
                    return Ok(Some(Done { rows: plan.rows, tokens, shards, kept: shards, left_over: 0 }));
                }
                Err(error) if existing == Existing::Refuse => return Err(again(out, &error.to_string())),
                Err(error) => output.warn(&format!("{error}; it is made again")),
            },
            Ok(_) if existing == Existing::Refuse => {
                return Err(again(out, "it holds other rows, or tokens that were made otherwise"));
            }
            Err(error) if existing == Existing::Refuse => return Err(again(out, &error.to_string())),
            Ok(_) | Err(_) => {}
        }
    }
    let begun =
        fs::read(out.join(UNFINISHED)).ok().and_then(|json| serde_json::from_slice::<Plan>(&json).ok());
    if !has_index && begun.as_ref() == Some(plan) {
        output.say(&format!("{place} holds a preparation that was interrupted; it goes on"));
        return Ok(None);
    }
    if !has_index && existing == Existing::Refuse {
        return Err(again(out, "it holds an interrupted preparation of other rows or settings"));
    }
    clear(out)?;
    Ok(None)
}

/// Whether a directory that holds no preparation holds something else than one leaves that was killed at its beginning: the
/// directory of its lock, and what it computed of the rows.
fn is_taken(out: &Path) -> bool {
    let counts = |entry: std::io::Result<fs::DirEntry>| {
        entry.map_or(true, |entry| !["training", SIGNATURES].iter().any(|own| entry.file_name() == *own))
    };
    fs::read_dir(out).map_or(out.exists(), |entries| entries.into_iter().any(counts))
}

/// Whether what is computed of the rows can be kept in a directory: it is free, or holds a preparation that is not at its end.
pub fn can_keep(out: &Path) -> bool {
    !out.join(INDEX).exists() && (out.join(UNFINISHED).is_file() || !is_taken(out))
}

fn again(out: &Path, why: &str) -> Failure {
    Failure::Usage(format!(
        "--out {}: {why}; choose another directory, or make it anew with --overwrite",
        out.display()
    ))
}

/// Removes what a preparation wrote, the index first.
fn clear(out: &Path) -> Result<()> {
    remove(&out.join(INDEX))?;
    remove(&out.join(UNFINISHED))?;
    remove(&out.join(SIGNATURES))?;
    for entry in fs::read_dir(out).map_err(|e| io_error(out, e))? {
        let path = entry.map_err(|e| io_error(out, e))?.path();
        let name = path.file_name().map_or(String::new(), |name| name.to_string_lossy().into_owned());
        let number = name.strip_prefix("shard-").map(|rest| rest.trim_end_matches(".tmp"));
        let number = number.and_then(|rest| rest.strip_suffix(".bin"));
        if number.is_some_and(|number| number.bytes().all(|digit| digit.is_ascii_digit())) {
            remove(&path)?;
        }
    }
    Ok(())
}
