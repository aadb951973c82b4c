//! Which files of a repository are the rows to train on.

use std::collections::BTreeSet;
use std::path::PathBuf;

use glob::{MatchOptions, Pattern};
use kindling::data::{Format, format_of};
use kindling::error::Result;

use super::address::Address;
use super::names::first_of;
use super::output;
use super::snapshot::Snapshot;

/// Words of a file's or folder's name that tell a split, as `datasets` reads them.
const TRAIN: [&str; 2] = ["train", "training"];
const HELD_OUT: [&str; 8] = ["validation", "valid", "val", "dev", "test", "testing", "eval", "evaluation"];

/// Beginnings of names that are about the repository.
const ABOUT: [&str; 8] =
    ["readme", "license", "licence", "notice", "changelog", "citation", "dataset_info", "requirements"];

/// The files that are used, and those of the data that are not.
#[derive(Debug, PartialEq, Eq)]
struct Choice<'a> {
    used: Vec<&'a str>,
    left: Vec<&'a str>,
}

/// Fetches the files that the address means: by a pattern, exactly its matches; otherwise all, or those for training
/// where the names tell which these are.
///
/// # Errors
/// A repository without data, a pattern that matches nothing, a hub that gives it not.
pub fn fetch(snapshot: &Snapshot) -> Result<Vec<PathBuf>> {
    let Choice { used, left } = choose(&snapshot.names, &snapshot.address)?;
    if let Some(first) = left.first() {
        output().say(&format!(
            "{}: {} of {} files are used: {}; left out: {} (to use one, name it: {})",
            snapshot.address,
            used.len(),
            used.len() + left.len(),
            first_of(used.iter().copied()),
            first_of(left.iter().copied()),
            snapshot.address.beside(first)
        ));
    }
    snapshot.fetch(used.iter().copied())?;
    Ok(used.into_iter().map(|name| snapshot.local(name)).collect())
}

fn choose<'a>(names: &'a BTreeSet<String>, address: &Address) -> Result<Choice<'a>> {
    let path = address.path.as_str();
    let names = || names.iter().map(String::as_str);
    if let Some(name) = names().find(|name| *name == path) {
        return Ok(Choice { used: vec![name], left: Vec::new() });
    }
    let nothing = |what: &str| {
        let data = first_of(names().filter(|name| is_data(name) && !is_about(name)));
        let data = if data.is_empty() { "no file that is read as rows".to_string() } else { data };
        address.failed(format!("{what}; it holds {data}"))
    };
    if path.contains(['*', '?', '[']) {
        let pattern = Pattern::new(path).map_err(|e| address.failed(format!("this is no pattern: {e}")))?;
        let options = MatchOptions { require_literal_separator: true, ..MatchOptions::new() };
        let used: Vec<&str> =
            names().filter(|name| is_data(name) && pattern.matches_with(name, options)).collect();
        return match used.is_empty() {
            true => Err(nothing("no data file matches")),
            false => Ok(Choice { used, left: Vec::new() }),
        };
    }
    let folder = if path.is_empty() { String::new() } else { format!("{path}/") };
    let rows: Vec<&str> = names()
        .filter(|name| name.strip_prefix(&folder).is_some_and(|below| is_data(name) && !is_about(below)))
        .collect();
    match rows.is_empty() {
        true => Err(nothing("there is no data in it")),
        false => Ok(for_training(rows, folder.len())),
    }
}

/// Divides data files into those to train on and the others; names are looked at behind their first `skipped` bytes.
fn for_training(rows: Vec<&str>, skipped: usize) -> Choice<'_> {
    let any = |holds: &dyn Fn(&str) -> bool| rows.iter().any(|name| holds(&name[skipped..]));
    // Plain texts beside rows describe them.
    let only_rows = any(&|name| !is_text(name));
    let only_train = any(&|name| is_train(name) == Some(true));
    let is_used = |name: &str| !(only_rows && is_text(name)) && (!only_train || is_train(name) == Some(true));
    let (used, left) = rows.into_iter().partition(|name| is_used(&name[skipped..]));
    Choice { used, left }
}

/// Whether a name tells that the file is for training, or for something else; the last part of the path that tells
/// anything counts.
fn is_train(name: &str) -> Option<bool> {
    let told = |word: &str| {
        let word = word.to_ascii_lowercase();
        let held_out = HELD_OUT.contains(&word.as_str()).then_some(false);
        TRAIN.contains(&word.as_str()).then_some(true).or(held_out)
    };
    name.rsplit('/').find_map(|part| part.split(|c: char| !c.is_alphanumeric()).find_map(told))
}

fn is_data(name: &str) -> bool {
    format_of(name).is_some()
}

fn is_text(name: &str) -> bool {
    format_of(name) == Some(Format::Text)
}

/// Whether the file is about the repository rather than of its data.
pub fn is_about(name: &str) -> bool {
    let file = name.rsplit('/').next().unwrap_or(name).to_ascii_lowercase();
    name.split('/').any(|part| part.starts_with('.')) || ABOUT.iter().any(|about| file.starts_with(about))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The files used and those left out, of names with a space between them.
    fn chosen(address: &str, names: &str) -> Result<(String, String)> {
        let names = names.split(' ').map(str::to_string).collect();
        let Choice { used, left } = choose(&names, &Address::parse(address).unwrap())?;
        Ok((used.join(" "), left.join(" ")))
    }

    #[test]
    fn files_for_training_are_used_where_the_names_tell_them() {
        for (address, names, used, left) in [
            ("hub:o/n", "README.md b.jsonl a.jsonl.zst", "a.jsonl.zst b.jsonl", ""),
            ("hub:o/n", "train.jsonl test.jsonl dev.csv", "train.jsonl", "dev.csv test.jsonl"),
            (
                "hub:o/n",
                "data/train-0.parquet data/test-0.parquet",
                "data/train-0.parquet",
                "data/test-0.parquet",
            ),
            ("hub:o/n", "train/0.csv train/test.csv test/0.csv", "train/0.csv", "test/0.csv train/test.csv"),
            ("hub:o/n", "pretrain.jsonl sft.jsonl", "pretrain.jsonl sft.jsonl", ""),
            ("hub:o/n", "test.jsonl", "test.jsonl", ""),
            ("hub:o/n", "a.json dataset_infos.json .cache/b.json notes.txt", "a.json", "notes.txt"),
            ("hub:o/n", "1.txt LICENSE.txt 2.txt README.md", "1.txt 2.txt", ""),
            ("hub:o/n/zh", "en/train.json zh/train.json zh/test.json", "zh/train.json", "zh/test.json"),
            ("hub:o/n/train", "train/test.jsonl train/x.jsonl", "train/test.jsonl train/x.jsonl", ""),
            ("hub:o/n/data/*", "data/test.jsonl data/x.bin data/a/b.jsonl", "data/test.jsonl", ""),
            ("hub:o/n/**/*.md", "README.md a/b.md", "README.md a/b.md", ""),
            ("hub:o/n/x.bin", "x.bin a.jsonl", "x.bin", ""),
            ("hub:o/n/a[1].csv", "a[1].csv a1.csv", "a[1].csv", ""),
        ] {
            let (got, rest) = chosen(address, names).unwrap();
            assert_eq!((&*got, &*rest), (used, left), "{address} of {names}");
        }
    }

    #[test]
    fn what_holds_no_data_is_told() {
        for (address, names, told) in [
            ("hub:o/n", "README.md a.arrow", "there is no data in it; it holds no file that is read as rows"),
            ("hub:o/n/x*", "a.jsonl b.jsonl", "no data file matches; it holds a.jsonl, b.jsonl"),
            ("hub:o/n/x", "a.jsonl", "there is no data in it; it holds a.jsonl"),
            ("hub:o/n/[", "a.jsonl", "this is no pattern"),
        ] {
            let error = chosen(address, names).unwrap_err().to_string();
            assert!(error.starts_with(address) && error.contains(told), "{error}");
        }
    }
}
