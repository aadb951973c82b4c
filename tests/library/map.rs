//! The README's file map against the tree, and the direction of `use` against the module order.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// All files of the project, by path from the root; what git ignores is left out by name.
fn tree(folder: &Path, files: &mut BTreeSet<String>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if [".git", "target", "dist", "runs", ".gl", ".whl"].contains(&name.as_str()) {
            continue;
        }
        if path.is_dir() {
            tree(&path, files);
        } else {
            let relative = path.strip_prefix(root()).unwrap();
            files.insert(relative.to_string_lossy().replace('\\', "/"));
        }
    }
}

/// Paths of a map whose lines are `name  what it is`, indented two spaces a level; `a.rs b.rs` lists files, and
/// `folder/**` stands for all files below a folder.
fn mapped(readme: &str) -> BTreeSet<String> {
    let map = readme.split("```text\n").nth(1).expect("a ```text block").split("```").next().unwrap();
    let mut folders: Vec<String> = Vec::new();
    let mut files = BTreeSet::new();
    for line in map.lines().filter(|line| !line.trim().is_empty()) {
        let depth = (line.len() - line.trim_start().len()) / 2;
        folders.truncate(depth);
        let names = line.trim().split("  ").next().unwrap();
        if let Some(folder) = names.strip_suffix('/') {
            folders.push(folder.to_string());
        } else {
            let place = folders.iter().map(|folder| format!("{folder}/")).collect::<String>();
            files.extend(names.split(' ').map(|name| format!("{place}{name}")));
        }
    }
    files
}

#[test]
fn both_readmes_map_every_file() {
    let mut files = BTreeSet::new();
    tree(&root(), &mut files);
    for readme in ["README.md", "README.zh-CN.md"] {
        let map = mapped(&std::fs::read_to_string(root().join(readme)).unwrap());
        let covers = |entry: &str, file: &str| match entry.strip_suffix("**") {
            Some(folder) => file.starts_with(folder),
            None => file == entry,
        };
        let missing: Vec<_> =
            files.iter().filter(|file| !map.iter().any(|entry| covers(entry, file))).collect();
        let gone: Vec<_> = map.iter().filter(|entry| !files.iter().any(|file| covers(entry, file))).collect();
        assert!(
            missing.is_empty() && gone.is_empty(),
            "{readme}: not in the map {missing:?}; not in the tree {gone:?}"
        );
    }
}

#[test]
fn modules_use_only_what_stands_above_them() {
    let source = root().join("core/src");
    let lib = std::fs::read_to_string(source.join("lib.rs")).unwrap();
    let order: Vec<&str> =
        lib.lines().filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';')).collect();
    assert!(order.len() > 10);
    let mut files = BTreeSet::new();
    tree(&source, &mut files);
    for file in files {
        let inside = file.trim_start_matches("core/src/");
        let module = inside.split(['/', '.']).next().unwrap();
        let Some(place) = order.iter().position(|name| *name == module) else {
            continue;
        };
        let text = std::fs::read_to_string(root().join(&file)).unwrap();
        let code = text.split("#[cfg(test)]").next().unwrap();
        for (i, later) in order.iter().enumerate().skip(place + 1) {
            assert!(
                !code.contains(&format!("crate::{later}")),
                "{file} uses {later} (module {i}), which stands below it"
            );
        }
    }
}

#[test]
fn files_and_tables_stay_readable() {
    let mut files = BTreeSet::new();
    tree(&root(), &mut files);
    for file in files.iter().filter(|file| file.ends_with(".rs")) {
        let lines = std::fs::read_to_string(root().join(file)).unwrap().lines().count();
        assert!(lines <= 400, "{file} has {lines} lines; 400 is the most");
    }
}
