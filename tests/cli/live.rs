//! Beside the installed `transformers` and `peft`, wherever Python has them: tests/interop/compare.py.

use std::path::Path;
use std::process::Command;

use crate::place::Place;

/// The Python that is asked; `KINDLING_PYTHON` names another.
fn python() -> String {
    std::env::var("KINDLING_PYTHON").unwrap_or_else(|_| "python3".into())
}

/// Whether Python has these packages. It only looks for them: importing torch takes seconds.
fn has(packages: &str) -> bool {
    let look = "import sys, importlib.util as u; sys.exit(not all(map(u.find_spec, sys.argv[1].split())))";
    let run = Command::new(python()).args(["-c", look, packages]).output();
    run.is_ok_and(|run| run.status.success())
}

/// Runs a part of the comparison, which names what differs.
fn compare(part: &str, packages: &str) {
    if !has(packages) {
        let packages = packages.replace(' ', " and ");
        eprintln!("SKIPPED: {} has no {packages}; tests/interop/run installs them", python());
        return;
    }
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/interop/compare.py");
    let place = Place::new();
    let mut command = Command::new(python());
    // Without bytecode, which would lie beside the scripts.
    command.args(["-B", "-W", "ignore"]).arg(script).arg(env!("CARGO_BIN_EXE_kindling"));
    let run = command.arg(place.root()).args(["--only", part]).output().unwrap();
    let [said, complaint] = [run.stdout, run.stderr].map(|text| String::from_utf8_lossy(&text).into_owned());
    assert!(run.status.success(), "compare.py --only {part}\n{said}{complaint}");
    assert!(said.contains("\nok "), "it compared nothing\n{said}");
}

#[test]
fn models_of_every_family_go_both_ways_beside_transformers() {
    compare("families", "torch transformers");
}

#[test]
fn stretched_models_compute_as_in_transformers() {
    compare("stretched", "torch transformers");
}

#[test]
fn tokenizers_that_are_written_make_the_same_ids_in_transformers() {
    compare("tokenizers", "torch transformers");
}

#[test]
fn adapters_go_both_ways_beside_peft() {
    compare("adapters", "torch transformers peft");
}
