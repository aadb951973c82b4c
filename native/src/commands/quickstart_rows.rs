//! The rows of a quickstart: of the generated world, or of one's own, a file or a directory for each stage.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use kindling::example::{DEFAULT_SEED, World, WorldSize};

use super::quickstart::STAGES;
use crate::failure::{Failure, io_error};
use crate::output::Output;
use crate::run_dir::RunDir;

/// Where the generated rows lie in the quickstart's directory.
const DATA: &str = "data";

/// What a stage reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StageRows {
    /// Files or directories.
    pub paths: Vec<PathBuf>,
    /// They are conversations, where texts are read.
    pub join_turns: bool,
}

/// What each stage reads, by its name; a stage without rows is left out.
pub type Rows = BTreeMap<&'static str, StageRows>;

/// The names of the generated files.
pub fn generated_files() -> Vec<String> {
    STAGES.iter().map(|stage| format!("{DATA}/{}.jsonl", stage.verb)).collect()
}

/// Writes so many rows of the generated world for each stage, as far as they are not there yet.
///
/// # Errors
/// A directory that cannot be written.
pub fn generate(directory: &RunDir, rows: usize) -> Result<Rows, Failure> {
    // The world has a reasoned sum for every third conversation.
    let size = WorldSize { texts: rows, conversations: 3 * rows, questions: 1 };
    let files = World::new(DEFAULT_SEED).files(size);
    let mut all = Rows::new();
    for stage in STAGES {
        let name = format!("{}.jsonl", stage.verb);
        let Some((_, bytes)) = files.iter().find(|(file, _)| *file == name) else { continue };
        let place = format!("{DATA}/{name}");
        let path = directory.path().join(&place);
        if !path.is_file() {
            let first: Vec<u8> =
                bytes.split_inclusive(|byte| *byte == b'\n').take(rows).flatten().copied().collect();
            directory.write(&place, &first)?;
        }
        all.insert(stage.verb, StageRows { paths: vec![path], join_turns: false });
    }
    Ok(all)
}

/// The rows at a place of one's own, and which stages are left out for lack of them.
///
/// # Errors
/// A place without conversations, or one that cannot be read.
pub fn own(place: &Path, output: Output) -> Result<Rows, Failure> {
    let mut rows = Rows::new();
    if place.is_dir() {
        let unused = collect(place, &mut rows)?;
        if !unused.is_empty() {
            output.say(&format!("not used, because they are called after no stage: {}", unused.join(", ")));
        }
    } else if place.is_file() {
        rows.insert("sft", StageRows { paths: vec![place.to_path_buf()], join_turns: false });
    }
    let place = place.display();
    let Some(chats) = rows.get("sft").cloned() else {
        return Err(Failure::Usage(format!(
            "--data {place}: there are no conversations; name a file of them, or a directory with sft.jsonl and, as far as \
             you have them, {} in it",
            names(|verb| verb != "sft", &Rows::new()).join(", ")
        )));
    };
    // Without texts the conversations are read as such first.
    rows.entry("pretrain").or_insert(StageRows { join_turns: true, ..chats });
    let lacking = names(|_| true, &rows);
    if !lacking.is_empty() {
        output.say(&format!("left out, because --data {place} has no rows for them: {}", lacking.join(", ")));
    }
    Ok(rows)
}

/// The stages without rows.
fn names(wanted: impl Fn(&str) -> bool, rows: &Rows) -> Vec<&'static str> {
    let verbs = STAGES.iter().map(|stage| stage.verb);
    verbs.filter(|verb| wanted(verb) && !rows.contains_key(verb)).collect()
}

/// What of a directory is called after a stage, with any ending; the names of everything else come back.
fn collect(place: &Path, rows: &mut Rows) -> Result<Vec<String>, Failure> {
    let failed = |e| Failure::Work(io_error(place, e));
    let mut paths = Vec::new();
    for entry in fs::read_dir(place).map_err(failed)? {
        paths.push(entry.map_err(failed)?.path());
    }
    paths.sort();
    let mut unused = Vec::new();
    for path in paths {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let stem = name.split('.').next().unwrap_or_default();
        match STAGES.iter().find(|stage| stage.verb == stem) {
            Some(stage) => {
                let new = || StageRows { paths: Vec::new(), join_turns: false };
                rows.entry(stage.verb).or_insert_with(new).paths.push(path);
            }
            None => unused.push(name),
        }
    }
    Ok(unused)
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUIET: Output = Output { json: false, quiet: true, verbose: false };

    #[test]
    fn files_are_known_by_their_stages() {
        let place = tempfile::tempdir().unwrap();
        let root = place.path();
        for name in ["sft.jsonl", "dpo.jsonl.gz", "notes.txt", "lora.a.csv", "lora.b.csv"] {
            fs::write(root.join(name), "").unwrap();
        }
        let mut rows = Rows::new();
        assert_eq!(collect(root, &mut rows).unwrap(), ["notes.txt"]);
        let rows = own(root, QUIET).unwrap();
        assert_eq!(rows["lora"].paths, [root.join("lora.a.csv"), root.join("lora.b.csv")]);
        assert_eq!(rows["pretrain"], StageRows { paths: vec![root.join("sft.jsonl")], join_turns: true });
        assert!(!rows["sft"].join_turns && rows.contains_key("dpo"));
        let file = root.join("notes.txt");
        assert_eq!(own(&file, QUIET).unwrap().keys().collect::<Vec<_>>(), [&"pretrain", &"sft"]);
    }

    #[test]
    fn a_place_without_conversations_is_refused() {
        let place = tempfile::tempdir().unwrap();
        fs::write(place.path().join("pretrain.txt"), "").unwrap();
        for path in [place.path().to_path_buf(), place.path().join("nowhere")] {
            let Err(Failure::Usage(message)) = own(&path, QUIET) else { panic!("{}", path.display()) };
            assert!(message.contains("sft.jsonl and, as far as you have them, pretrain, dpo"), "{message}");
        }
    }
}
