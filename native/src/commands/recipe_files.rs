//! The chains in `recipes/`: each holds as it is shipped, whatever data it names.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use clap::FromArgMatches;

use super::chain_file::Chain;
use super::train_args::TrainArgs;
use crate::chain::Link;
use crate::cli::{Invocation, command};
use crate::config_file::settings_of;
use crate::hub::{self, Address};
use crate::like;
use crate::run_kind::RunKind;
use crate::shares;

fn recipes() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../recipes");
    let mut files: Vec<PathBuf> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

/// Checks a stage as its verb does before it opens anything.
fn check(link: &Link) -> Vec<String> {
    let command = command();
    let mut line: Vec<OsString> = vec!["kindling".into()];
    line.extend(link.words.iter().cloned().chain(["--out".into(), link.out.clone().into()]));
    let recipe = like::apply(&command, &mut line).unwrap();
    let (settings, said) = settings_of(&command, &line).unwrap();
    let matches = command.clone().try_get_matches_from(&line).unwrap();
    let (verb, own) = matches.subcommand().unwrap();
    let args = TrainArgs::from_arg_matches(own).unwrap();
    let kind = RunKind::of_settings(&settings, verb).unwrap();
    let typed = said.clone();
    args.check(kind, &Invocation { words: String::new(), settings, said, typed, recipe }).unwrap();
    args.data
}

#[test]
fn every_shipped_recipe_holds() {
    let files = recipes();
    assert!(files.len() >= 7, "{files:?}");
    for file in files {
        let named = file.display();
        let chain = Chain::read(&std::fs::read_to_string(&file).unwrap());
        let chain = chain.unwrap_or_else(|why| panic!("{named}: {why}"));
        let stem = file.file_stem().unwrap().to_string_lossy();
        assert_eq!(chain.out, Some(Path::new("runs").join(&*stem)), "{named}");
        let links = chain.links(Path::new("o")).unwrap_or_else(|failure| panic!("{named}: {failure:?}"));
        for link in links.iter().filter(|link| !link.is_tokenizer()) {
            for data in check(link) {
                let name = shares::name_of(&data);
                assert!(!hub::is_address(name) || Address::parse(name).is_ok(), "{named}: {name}");
            }
        }
    }
}
