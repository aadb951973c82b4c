//! The README's file map against the tree, and the direction of `use`: against the module order, and among files.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use crate::rooms::Code;
use crate::rust_tokens::Token::{Colons, Word};
use crate::rust_tokens::tokens;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// All files of the project, by path from the root; what git ignores is left out by name.
fn tree(folder: &Path, files: &mut BTreeSet<String>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let ignored = [".git", "target", "dist", ".gl", ".whl"].contains(&name.as_str());
        if ignored || (name == "runs" && folder == root()) {
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

/// The files of the library without those of tests alone, each with its module and its code. The crate of the kernels is
/// the room of that name.
fn library() -> Vec<(String, Vec<String>, Code)> {
    let mut files = BTreeSet::new();
    ["core/kernels/src", "core/src"].iter().for_each(|folder| tree(&root().join(folder), &mut files));
    let mut read = Vec::new();
    for file in files.into_iter().filter(|file| file.ends_with(".rs")) {
        let inside = file.replace("core/kernels/src/", "kernels/").replace("core/src/", "");
        let inside = inside.trim_end_matches(".rs");
        let module: Vec<String> =
            inside.split('/').filter(|name| !["mod", "lib"].contains(name)).map(String::from).collect();
        let code = Code::of(&std::fs::read_to_string(root().join(&file)).unwrap());
        read.push((file, module, code));
    }
    let of_tests: Vec<Vec<String>> = read
        .iter()
        .flat_map(|(_, module, code)| {
            code.test_modules().into_iter().map(|name| [&module[..], &[name]].concat())
        })
        .collect();
    read.retain(|(_, module, _)| !of_tests.iter().any(|tests| module.starts_with(tests)));
    read
}

/// Which room uses which, and the file that does.
fn edges(library: &[(String, Vec<String>, Code)]) -> BTreeMap<(String, String), String> {
    let macros: BTreeMap<String, String> = library
        .iter()
        .flat_map(|(_, module, code)| code.macros().into_iter().map(|name| (name, module[0].clone())))
        .collect();
    let mut edges = BTreeMap::new();
    for (file, module, code) in library.iter().filter(|(_, module, _)| !module.is_empty()) {
        for used in code.uses(module, &macros).into_iter().filter(|used| *used != module[0]) {
            edges.insert((module[0].clone(), used), file.clone());
        }
    }
    edges
}

#[test]
fn modules_use_only_what_stands_above_them() {
    let library = library();
    let order = library.iter().find(|(file, ..)| file == "core/src/lib.rs").unwrap().2.modules();
    assert!(order.len() > 10);
    for (file, module, _) in library.iter().filter(|(_, module, _)| !module.is_empty()) {
        assert!(order.contains(&module[0]), "{file} belongs to no module of lib.rs");
    }
    let place = |name: &String| order.iter().position(|room| room == name);
    let mut wrong = Vec::new();
    for ((room, used), file) in &edges(&library) {
        match place(used) {
            None => {
                wrong.push(format!("{file} names {used} at the top of the crate, where only modules stand"))
            }
            Some(below) if Some(below) > place(room) => {
                wrong.push(format!("{file} uses {used}, which stands below it"));
            }
            Some(_) => {}
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// The file that what stands at a place comes from, whoever passes its name on.
fn home<'a>(
    mut place: Vec<String>,
    files: &BTreeMap<&[String], &'a str>,
    names: &BTreeMap<Vec<String>, Vec<String>>,
) -> Option<&'a str> {
    // A name goes through a few hands at most.
    for _ in 0..8 {
        let module = (1..=place.len()).rev().find(|&n| files.contains_key(&place[..n]))?;
        match place.get(..=module).and_then(|passed_on| names.get(passed_on)) {
            Some(next) => place = [&next[..], &place[module + 1..]].concat(),
            None => return files.get(&place[..module]).copied(),
        }
    }
    None
}

/// Which file of a room needs which other one of it. A `pub use` is no need: it only passes a name on.
fn file_edges(library: &[(String, Vec<String>, Code)]) -> BTreeSet<(&str, &str)> {
    let files: BTreeMap<&[String], &str> =
        library.iter().map(|(file, module, _)| (module.as_slice(), file.as_str())).collect();
    let passed_on = library.iter().flat_map(|(_, module, code)| {
        code.names(module).into_iter().map(move |(name, place)| ([&module[..], &[name]].concat(), place))
    });
    let names: BTreeMap<Vec<String>, Vec<String>> = passed_on.collect();
    let mut edges = BTreeSet::new();
    for (file, module, code) in library.iter().filter(|(_, module, _)| !module.is_empty()) {
        let inside = code.needs(module).into_iter().filter(|place| place.first() == module.first());
        let homes = inside.filter_map(|place| home(place, &files, &names));
        edges.extend(homes.filter(|home| home != file).map(|home| (file.as_str(), home)));
    }
    edges
}

/// Those of the uses that go round in circles, or from one circle to another.
fn circles<'a>(uses: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    let mut left = uses.to_vec();
    loop {
        let goes_on = |(from, to): &(&str, &str)| {
            left.iter().any(|(next, _)| next == to) && left.iter().any(|(_, before)| before == from)
        };
        let kept: Vec<_> = left.iter().copied().filter(goes_on).collect();
        if kept.len() == left.len() {
            return kept;
        }
        left = kept;
    }
}

#[test]
fn no_modules_use_each_other_in_a_circle() {
    let known = [("a", "b"), ("b", "c"), ("c", "d"), ("d", "b"), ("d", "e"), ("a", "e")];
    assert_eq!(circles(&known), [("b", "c"), ("c", "d"), ("d", "b")]);
    let edges = edges(&library());
    let uses: Vec<(&str, &str)> = edges.keys().map(|(from, to)| (from.as_str(), to.as_str())).collect();
    assert!(uses.contains(&("train", "optim")) && uses.contains(&("train", "platform")), "{uses:?}");
    assert_eq!(circles(&uses), []);
}

#[test]
fn no_files_of_a_room_need_each_other_in_a_circle() {
    let library = library();
    let uses: Vec<(&str, &str)> = file_edges(&library).into_iter().collect();
    for (file, needed) in [
        ("src/formats/torch/pickle.rs", "src/formats/torch/value.rs"),
        // Through a name that `mod.rs` passes on, and from it into a file of its own folder.
        ("src/model/rope.rs", "src/model/rope_scaling.rs"),
        ("src/formats/peft/mod.rs", "src/formats/peft/mlx.rs"),
        ("kernels/src/softmax.rs", "kernels/src/mask.rs"),
    ] {
        let known = [file, needed].map(|file| format!("core/{file}"));
        assert!(uses.contains(&(&known[0], &known[1])), "{file} needs {needed}: {uses:?}");
    }
    assert_eq!(circles(&uses), []);
}

/// Whether a source names the library, or what computes for it.
fn names_the_library(source: &str) -> bool {
    let is_it = |name: &str| ["kindling", "burn"].contains(&name);
    tokens(source).windows(2).any(|two| match two {
        [Word(name), Colons] => is_it(name),
        [Word(word), Word(name)] => ["use", "crate"].contains(&word.as_str()) && is_it(name),
        _ => false,
    })
}

#[test]
fn of_the_page_only_the_engine_names_the_library() {
    assert!(names_the_library("use burn as b;") && names_the_library("fn f(x: &kindling::told::Told) {}"));
    assert!(!names_the_library("// kindling::data\nuse kindling_web::ui; let kindling = 1;"));
    let mut files = BTreeSet::new();
    tree(&root().join("web/src"), &mut files);
    // The module that the page loads first has no room for it: what all else links is the page's, too.
    let names = |file: &&String| names_the_library(&std::fs::read_to_string(root().join(file)).unwrap());
    let (engine, page): (Vec<&String>, Vec<&String>) = files
        .iter()
        .filter(|file| file.ends_with(".rs"))
        .filter(names)
        .partition(|file| file.starts_with("web/src/engine/"));
    assert!(engine.len() > 10, "{engine:?}");
    assert!(
        page.is_empty(),
        "{page:?}: what needs the library belongs into web/src/engine, behind a message"
    );
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
