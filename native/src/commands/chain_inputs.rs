//! Whether what the stages of a chain read is there, before the first of them begins.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use clap::ArgMatches;

use crate::chain::Link;
use crate::cli::command;
use crate::failure::Failure;
use crate::piped::STDIN;
use crate::{hub, shares, sources};

/// Flags that name data: files, directories, patterns, with shares or without.
const DATA: [&str; 2] = ["data", "keep_data"];
/// Flags that name one file or directory.
const PLACES: [&str; 5] = ["model", "teacher", "tokenizer", "model_config", "chat_template"];
/// A flag that names what a stage makes beside its run.
const MADE: &str = "process_data";

/// Refuses a chain of which a stage reads what is neither there nor made by a stage before it, all of it at once. What is to be
/// fetched is asked for when its stage begins, and a stage that is done reads nothing.
///
/// # Errors
/// Every name, with its stage.
pub fn check(links: &[Link]) -> Result<(), Failure> {
    let mut made: Vec<PathBuf> = Vec::new();
    let mut problems = Vec::new();
    for link in links {
        let matches = parsed(link)?;
        let mut own = matches.subcommand().map(|(_, own)| own);
        while let Some((_, inner)) = own.and_then(ArgMatches::subcommand) {
            own = Some(inner);
        }
        let Some(own) = own else { continue };
        if !link.is_done() {
            let missing = missing(own, &made).into_iter();
            problems.extend(missing.map(|why| format!("stage '{}': {why}", link.name)));
        }
        made.push(link.out.clone());
        made.extend(values(own, MADE).into_iter().map(PathBuf::from));
    }
    match problems.is_empty() {
        true => Ok(()),
        false => Err(Failure::Usage(format!(
            "nothing was begun, because not all that the stages read is there:\n  - {}",
            problems.join("\n  - ")
        ))),
    }
}

/// What a stage reads that is not there, a sentence each.
fn missing(own: &ArgMatches, made: &[PathBuf]) -> Vec<String> {
    let mut missing = Vec::new();
    for flag in DATA {
        missing.extend(values(own, flag).iter().filter_map(|data| lacks(data, made)));
    }
    for flag in PLACES {
        let named = values(own, flag).into_iter().filter(|place| !is_known(place, made));
        missing
            .extend(named.map(|place| format!("{} is {place}, which is not there", flag.replace('_', "-"))));
    }
    missing
}

/// The command line of a stage, which held when the file was read.
fn parsed(link: &Link) -> Result<ArgMatches, Failure> {
    let out: [OsString; 2] = ["--out".into(), link.out.clone().into()];
    let line = [OsString::from("kindling")].into_iter().chain(link.words.iter().cloned()).chain(out);
    Ok(command().try_get_matches_from(line)?)
}

/// What stands behind a flag; nothing where the verb has none of this name.
fn values(own: &ArgMatches, flag: &str) -> Vec<String> {
    let values = own.try_get_raw(flag).ok().flatten().into_iter().flatten();
    values.map(|value| value.to_string_lossy().into_owned()).collect()
}

/// Why data cannot be read.
fn lacks(data: &str, made: &[PathBuf]) -> Option<String> {
    let name = shares::name_of(data);
    if name == STDIN || is_known(name, made) {
        return None;
    }
    sources::files(name).err().map(|error| error.to_string())
}

/// Whether something is there, will be, or is elsewhere.
fn is_known(name: &str, made: &[PathBuf]) -> bool {
    let whole = |path: &Path| std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf());
    let own = whole(Path::new(name));
    hub::is_address(name) || own.exists() || made.iter().any(|made| own.starts_with(whole(made)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn link(place: &Path, name: &str, words: &str) -> Link {
        let words = words.split(' ').map(OsString::from).collect();
        Link { name: name.into(), words, out: place.join(name), overwrites: false }
    }

    #[test]
    fn all_that_is_missing_is_told_at_once_but_for_what_is_made_or_fetched() {
        let place = tempfile::tempdir().unwrap();
        let at = |name: &str| place.path().join(name).display().to_string();
        std::fs::write(at("texts.jsonl"), "{\"text\": \"a\"}\n").unwrap();
        std::fs::create_dir(at("empty")).unwrap();
        let (texts, tokens) = (at("texts.jsonl"), at("tokens"));
        let first =
            link(place.path(), "tokenizer", &format!("tokenizer train --data {texts} --vocab-size 300"));
        let second = format!(
            "pretrain --preset nano --tokenizer {} --data {texts}=0.5 --data hub:a/b=0.5 --process-data {tokens}",
            at("tokenizer")
        );
        let second = link(place.path(), "pretrain", &second);
        let third = format!("sft --model {} --data {tokens} --data -", at("pretrain"));
        let whole = [first, second, link(place.path(), "sft", &third)];
        check(&whole).unwrap();
        let bad =
            format!("sft --model {} --data {} --data {}/*.csv", at("gone"), at("none.jsonl"), at("empty"));
        let later = format!("lora --model {} --data {}", at("later"), texts);
        let links =
            [whole[0].clone(), link(place.path(), "talk", &bad), link(place.path(), "lora", &later), {
                link(
                    place.path(),
                    "later",
                    &format!("tokenizer train --data {} --vocab-size 300", at("lost.txt")),
                )
            }];
        let Err(Failure::Usage(told)) = check(&links) else { panic!() };
        for part in [
            "stage 'talk'",
            "none.jsonl",
            "*.csv",
            "model is ",
            "gone",
            "stage 'lora'",
            "stage 'later'",
            "lost.txt",
        ] {
            assert!(told.contains(part), "{part} in {told}");
        }
        assert_eq!(told.lines().count(), 6, "{told}");
        // What is done reads nothing any more.
        std::fs::create_dir(at("later")).unwrap();
        std::fs::write(at("later/tokenizer.json"), "{}").unwrap();
        check(&links[3..]).unwrap();
    }
}
