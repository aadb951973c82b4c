//! The kept corpus of tests/fuzz: every file is answered, in time and in bounded memory, and none by a panic.
//!
//! `refused-…` are hostile or damaged and `opens-…` are sound, both by tests/fuzz/seeds.py; what has any other name was
//! found by a fuzzer, and may be either.

use std::panic::catch_unwind;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use kindling::error::Result;

#[path = "../fuzz/targets.rs"]
mod targets;

type Target = (&'static str, fn(&[u8]) -> Result<()>);

const TARGETS: [Target; 6] = [
    ("safetensors", targets::safetensors),
    ("directory", targets::directory),
    ("gguf", targets::gguf),
    ("pickle", targets::pickle),
    ("zip", targets::zip),
    ("llama2c", targets::llama2c),
];
/// A file takes some milliseconds; other tests run beside this one.
const LONGEST: Duration = Duration::from_secs(5);
/// An archive may unpack into 64 MiB, for which twice as much is asked while it grows, and this program has 100 by itself.
const MOST_KIB: u64 = 400 << 10;
/// Set where the test runs alone, for its memory.
const ALONE: &str = "KINDLING_CORPUS_ALONE";

fn tests() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests")
}

/// Files of a folder, in order.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

/// What a reader says of a file; `expected` is whether it opens, where that is known.
fn check((_, target): Target, path: &Path, expected: Option<bool>) -> std::result::Result<(), String> {
    let bytes = std::fs::read(path).unwrap();
    let start = Instant::now();
    let answer = catch_unwind(|| target(&bytes));
    let told = match answer {
        Err(_) => "its reader panics".to_string(),
        Ok(_) if start.elapsed() > LONGEST => format!("it takes {:?}", start.elapsed()),
        Ok(answer) if expected.is_none_or(|expected| expected == answer.is_ok()) => return Ok(()),
        Ok(answer) => {
            answer.map_or_else(|error| format!("it is refused: {error}"), |()| "it opens".to_string())
        }
    };
    Err(format!("{}: {told}", path.display()))
}

#[test]
fn every_kept_file_is_answered() {
    let mut wrong = Vec::new();
    for target in TARGETS {
        let mut named = [0, 0];
        for path in files(&tests().join("fuzz/corpus").join(target.0)) {
            let name = path.file_name().unwrap().to_string_lossy();
            let expected = match name.split('-').next() {
                Some("opens") => Some(true),
                Some("refused") => Some(false),
                _ => None,
            };
            named[usize::from(expected == Some(true))] += 1;
            wrong.extend(check(target, &path, expected).err());
        }
        assert!(named[0] > 0 && named[1] > 0, "{}: {named:?} files", target.0);
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    if std::env::var_os(ALONE).is_some() {
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        eprintln!("{}", status.lines().find(|line| line.starts_with("VmHWM:")).unwrap());
    }
}

#[test]
fn files_of_other_writers_open() {
    let [gguf, pickle] = [TARGETS[2], TARGETS[3]];
    let mut wrong = vec![check(gguf, &tests().join("golden/gguf/tiny.gguf"), Some(true)).err()];
    let mut torch = files(&tests().join("golden/torch"));
    torch.retain(|path| path.extension().is_some_and(|ending| ending == "pth"));
    assert!(torch.len() > 10);
    for path in torch {
        let refused = ["hostile.pth", "before_1_6.pth"].iter().any(|name| path.ends_with(name));
        wrong.push(check(pickle, &path, Some(!refused)).err());
    }
    let wrong: Vec<_> = wrong.into_iter().flatten().collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_corpus_takes_bounded_memory() {
    if !cfg!(target_os = "linux") {
        eprintln!("SKIPPED: a process's peak memory is read from /proc, which only Linux has");
        return;
    }
    // In a process of its own: others use memory beside this one.
    let outcome = Command::new(std::env::current_exe().unwrap())
        .args(["corpus::every_kept_file_is_answered", "--exact", "--nocapture"])
        .env(ALONE, "1")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&outcome.stderr).into_owned();
    let peak = said.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB"));
    let peak: u64 = peak.unwrap_or_else(|| panic!("{said}")).trim().parse().unwrap();
    assert!(peak > 1000 && peak < MOST_KIB, "{peak} KiB");
}
