//! Where results go: what is there already is never lost, and what cannot be written is said.

use crate::place::{Place, SHORT};

fn train(place: &Place, flags: &str) -> crate::harness::Outcome {
    place.run(&format!("pretrain --model model --data docs.jsonl {SHORT} {flags}"))
}

#[test]
fn a_foreign_directory_is_refused_and_left_alone() {
    let place = Place::with_model();
    place.write("photos/notes.txt", "precious");
    place.write("photos/best/one.jpg", "precious too");
    let before = place.contents("photos");
    train(&place, "--out photos").expect(2, &["--out photos holds files that are not a run of ours"]);
    train(&place, "--out photos --overwrite").expect(2, &["not a run of ours"]);
    train(&place, "--out photos --resume").expect(1, &["photos: there is no run to --resume"]);
    assert_eq!(place.contents("photos"), before);
    // A file is not a directory of ours either.
    train(&place, "--out docs.jsonl --overwrite").expect(2, &["--out docs.jsonl"]);
}

#[test]
fn a_run_needs_resume_or_overwrite() {
    let place = Place::with_model();
    train(&place, "--out run --seed 1").ok();
    let before = place.contents("run");
    train(&place, "--out run --seed 2").expect(2, &["already holds a run", "--resume", "--overwrite"]);
    assert_eq!(place.contents("run"), before);
    train(&place, "--out run --seed 2 --overwrite").ok();
    assert_ne!(place.read("run/model.safetensors"), before_of(&before, "model.safetensors"));
    assert_eq!(place.logged_steps("run").len(), 3, "the log is the new run's alone");
}

fn before_of(contents: &[(std::path::PathBuf, Vec<u8>)], name: &str) -> Vec<u8> {
    let found = contents.iter().find(|(path, _)| path.ends_with(format!("run/{name}")));
    found.expect("the file was there").1.clone()
}

#[test]
fn files_beside_a_run_survive_overwrite() {
    let place = Place::with_model();
    train(&place, "--out run").ok();
    place.write("run/my notes.txt", "mine");
    train(&place, "--out run --overwrite").ok();
    assert_eq!(place.text("run/my notes.txt"), "mine");
}

/// A run of three steps with a best one, among files of a person.
fn run_with_company(place: &Place) {
    train(place, "--out run --save-every 1 --val-split 0.1 --eval-every 2").ok();
    for name in COMPANY {
        place.write(&format!("run/{name}"), "mine");
    }
}

/// Takes from the run what runs did not write before they kept a list of their files.
fn make_older(place: &Place) {
    for file in ["files.json", "data.json", "sessions.json"] {
        place.remove(&format!("run/training/{file}"));
    }
    for (path, _) in place.contents("run") {
        if path.ends_with("chat_template.jinja") {
            std::fs::remove_file(path).unwrap();
        }
    }
}

const COMPANY: [&str; 5] =
    ["notes.txt", "data/pretrain.jsonl", "pretrain/config.json", "training/plan.md", "adapter/config.json"];

#[test]
fn overwrite_removes_what_the_run_wrote_and_nothing_else() {
    for listed in [true, false] {
        let place = Place::with_model();
        run_with_company(&place);
        if !listed {
            make_older(&place);
        }
        let short = "--steps 1 --batch-size 2 --max-seq-len 32 --log-every 1";
        place.run(&format!("pretrain --model model --data docs.jsonl {short} --out run --overwrite")).ok();
        assert_eq!(place.checkpoints("run"), [1], "{listed}");
        assert!(!place.exists("run/best"), "{listed}");
        assert_eq!(place.logged_steps("run").len(), 1, "{listed}");
        assert!(COMPANY.iter().all(|name| place.text(&format!("run/{name}")) == "mine"), "{listed}");
    }
}

#[test]
fn overwrite_refuses_to_take_the_places_of_other_files() {
    let place = Place::with_model();
    run_with_company(&place);
    for name in ["checkpoint-000003/notes.txt", "best/mine/one.jpg", "adapter_config.json"] {
        place.write(&format!("run/{name}"), "precious");
        let before = place.contents("run");
        let named = format!("did not write {name},");
        train(&place, "--out run --overwrite").expect(2, &["--out run", &named, "choose another --out"]);
        assert!(place.contents("run") == before, "{name}");
        place.remove(&format!("run/{name}"));
    }
    place.remove("run/best/mine");
    place.write("run/training/files.json", "{\"files\": [\"../docs.jsonl\"]}");
    train(&place, "--out run --overwrite").expect(1, &["run/training/files.json", "damaged"]);
    assert!(place.exists("docs.jsonl"));
    make_older(&place);
    train(&place, "--out run --overwrite").ok();
}

#[cfg(unix)]
#[test]
fn overwrite_follows_no_link_out_of_the_directory() {
    use std::os::unix::fs::symlink;
    let place = Place::with_model();
    train(&place, "--out run --save-every 1 --val-split 0.1 --eval-every 2").ok();
    for name in ["best", "checkpoint-000002"] {
        std::fs::rename(place.path(&format!("run/{name}")), place.path(name)).unwrap();
        symlink(place.path(name), place.path(&format!("run/{name}"))).unwrap();
        let before = place.contents(name);
        train(&place, "--out run --overwrite").expect(2, &[&format!("did not write {name},")]);
        assert!(place.contents(name) == before, "{name}");
        std::fs::remove_file(place.path(&format!("run/{name}"))).unwrap();
    }
    place.write("far.safetensors", "precious");
    place.remove("run/model.safetensors");
    symlink(place.path("far.safetensors"), place.path("run/model.safetensors")).unwrap();
    train(&place, "--out run --overwrite").ok();
    assert_eq!(place.text("far.safetensors"), "precious");
    assert!(place.exists("best") && place.exists("checkpoint-000002"));
}

#[test]
fn a_command_replaces_nothing_that_it_reads() {
    let place = Place::with_model();
    train(&place, "--out run").ok();
    place.write("run/data/docs.jsonl", place.read("docs.jsonl"));
    place.write("run/t.jinja", "{{ messages[0].content }}");
    place.write("run/r.toml", "steps = 3\n");
    place.write("tok/docs.jsonl", place.read("docs.jsonl"));
    let before = (place.contents("run"), place.contents("tok"));
    let model = "--model model --data docs.jsonl";
    for (command, said) in [
        ("pretrain --model model --data run/data/docs.jsonl", "--data run/data/docs.jsonl"),
        ("pretrain --model model --data docs.jsonl --data run/data", "--data run/data/docs.jsonl"),
        ("pretrain --model model --data run/data/*.jsonl", "--data run/data/docs.jsonl"),
        ("pretrain --model model --data .", "run/"),
        ("pretrain --model ./run --data docs.jsonl", "--model ./run"),
        ("pretrain --model run/checkpoint-000003 --data docs.jsonl", "--model run/checkpoint-000003"),
        ("pretrain --preset nano --tokenizer run --data docs.jsonl", "--tokenizer run"),
        (&format!("sft {model} --chat-template run/t.jinja"), "--chat-template run/t.jinja"),
        (&format!("pretrain {model} --config run/r.toml"), "--config run/r.toml"),
        ("pretrain --config run/training/settings.toml", "--config run/training/settings.toml"),
    ] {
        let parts = [said, "is in --out run, which --overwrite replaces", "choose another --out"];
        place.run(&format!("{command} --out run --overwrite")).expect(2, &parts);
    }
    let tokenizer = "tokenizer train --vocab-size 300 --overwrite --data";
    place
        .run(&format!("{tokenizer} tok/docs.jsonl --out tok"))
        .expect(2, &["--data tok/docs.jsonl is in --out tok", "choose another --out"]);
    assert!(before == (place.contents("run"), place.contents("tok")));
}

#[test]
fn a_tokenizer_takes_the_place_of_a_tokenizer_only() {
    let place = Place::with_model();
    place.write("photos/notes.txt", "precious");
    let before = (place.contents("photos"), place.contents("model"));
    let train = "tokenizer train --data docs.jsonl --vocab-size 300 --out";
    for flag in ["", "--overwrite"] {
        let parts = ["--out photos holds files that are not a tokenizer of ours", "another directory"];
        place.run(&format!("{train} photos {flag}")).expect(2, &parts);
        place.run(&format!("{train} model {flag}")).expect(2, &["--out model holds a model"]);
    }
    assert!(before == (place.contents("photos"), place.contents("model")));
}

#[test]
fn absent_and_empty_directories_are_used_and_numbered_ones_made() {
    let place = Place::with_model();
    std::fs::create_dir(place.path("empty")).unwrap();
    train(&place, "--out empty").ok();
    train(&place, "--out deep/below/run").ok();
    for number in ["001", "002"] {
        let outcome = train(&place, "").ok();
        assert_eq!(outcome.stdout.trim(), format!("runs/pretrain-{number}"), "{outcome}");
        assert!(place.exists(&format!("runs/pretrain-{number}/model.safetensors")));
    }
}

#[test]
fn a_place_that_cannot_be_written_is_named_before_any_work() {
    let place = Place::with_model();
    // Tests may run as root, for whom only the file system itself has limits: there is nothing below a file.
    let outcome = train(&place, "--out docs.jsonl/run --json").expect(1, &["docs.jsonl/run"]);
    assert_eq!(outcome.stdout, "", "{outcome}");
    let tokenizer = "tokenizer train --data docs.jsonl --vocab-size 300 --out";
    place.run(&format!("{tokenizer} docs.jsonl/tok --json")).expect(1, &["docs.jsonl/tok"]);
    place.run(&format!("{tokenizer} tok")).expect(2, &["tok already holds a tokenizer", "--overwrite"]);
    place.run(&format!("{tokenizer} tok --overwrite")).ok();
}

#[test]
fn commands_that_are_told_can_be_copied_whatever_a_place_is_called() {
    let place = Place::with_model();
    let told = |words: &[&str]| place.run_words(words).ok().stderr;
    let out = "it's 我的 model";
    let export = told(&["export", "--model", "model", "--to", "hf", "--weights-only", "--out", out]);
    let typed = r"'it'\''s 我的 model'";
    assert!(export.contains(&format!("kindling generate --model {typed} --prompt \"Once\"")), "{export}");
    let flags = "--steps 1 --batch-size 2 --max-seq-len 64 --data chat.jsonl".split(' ');
    let words = ["sft", "--model", out, "--out", "一 run"].into_iter().chain(flags).collect::<Vec<_>>();
    let trained = told(&words);
    assert!(trained.contains("try it: kindling chat --model '一 run'\n"), "{trained}");
    let words = [&words[..], &["--lora", "--overwrite"]].concat();
    let adapted = told(&words);
    let both = format!("try it: kindling chat --model {typed} --adapter '一 run'\n");
    assert!(adapted.contains(&both), "{adapted}");
}

/// A name that is no UTF-8, where the system has such names.
#[cfg(target_os = "linux")]
#[test]
fn a_place_may_have_a_name_that_is_no_text() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;
    let place = Place::with_model();
    let program = env!("CARGO_BIN_EXE_kindling");
    let prompt = "{\"prompt\": \"The\"}\n";
    place.write("p.jsonl", prompt);
    for (number, line) in [
        "sft --model model --data chat.jsonl --steps 1 --batch-size 2 --max-seq-len 64",
        "lora --model model --data chat.jsonl --steps 1 --batch-size 2 --max-seq-len 64",
        "export --model model --to hf --weights-only",
        "convert --to diffusion --model model",
        "tokenizer train --data docs.jsonl --vocab-size 300",
        "data prepare --model model --data chat.jsonl --max-seq-len 64",
        "generate --model model --data p.jsonl --max-new-tokens 2",
        "distill --generate --teacher model --data p.jsonl --max-new-tokens 2 --keep-cut",
    ]
    .into_iter()
    .enumerate()
    {
        let name = [format!("out{number}").as_bytes(), &b"\xFF"[..]].concat();
        let mut command = std::process::Command::new(program);
        command
            .args(line.split(' '))
            .args(["--json", "--device", "cpu", "--out"])
            .arg(OsStr::from_bytes(&name));
        let done = command.current_dir(place.root()).output().unwrap();
        let told = String::from_utf8_lossy(&done.stderr);
        assert!(done.status.success(), "{line}: {told}");
        let lines = String::from_utf8(done.stdout).unwrap();
        let last: serde_json::Value = serde_json::from_str(lines.lines().last().unwrap()).unwrap();
        assert_eq!(last["out"], format!("out{number}\u{FFFD}"), "{line}");
    }
}

/// Whether `bash` can set a limit, which stands in for a full disk.
#[cfg(unix)]
pub fn has_bash() -> bool {
    let found = std::process::Command::new("bash").args(["-c", "ulimit -f 1"]).status();
    let found = found.is_ok_and(|status| status.success());
    if !found {
        eprintln!("SKIPPED: there is no bash here whose ulimit could limit the size of files");
    }
    found
}

#[cfg(unix)]
#[test]
fn a_full_disk_ends_the_run_with_a_message_and_keeps_the_checkpoint() {
    let place = Place::with_model();
    if !has_bash() {
        return;
    }
    train(&place, "--out whole").ok();
    train(&place, "--out run --stop-after 2").ok();
    let before = place.contents("run");
    // The weights have 30 KB, the optimizer's state 60 KB, a log line less than 1 KB.
    for kib in [20, 40] {
        let outcome = place.run_limited(kib, "pretrain --resume --out run --json");
        let outcome = outcome.expect(1, &["run/", ".safetensors", "the one before it stays"]);
        assert_eq!(outcome.json().len(), 1, "the step before the failed save\n{outcome}");
        let untouched =
            place.contents("run").into_iter().filter(|(path, _)| !path.ends_with("run/log.jsonl"));
        let was = before.iter().filter(|(path, _)| !path.ends_with("run/log.jsonl"));
        assert!(untouched.eq(was.cloned()), "{outcome}");
        place.run("score --model run --tokens 1,2,3").ok();
    }
    place.run("pretrain --resume --out run").ok();
    assert_eq!(place.read("run/model.safetensors"), place.read("whole/model.safetensors"));
}

#[cfg(unix)]
#[test]
fn a_disk_that_is_full_from_the_start_is_said_by_every_writer() {
    let place = Place::with_model();
    if !has_bash() {
        return;
    }
    let new = "pretrain --model model --data docs.jsonl --out run";
    place.run_limited(20, &format!("{new} {SHORT}")).expect(1, &["run/", "model.safetensors"]);
    place.run(&format!("{new} {SHORT} --overwrite")).ok();
    place
        .run_limited(1, "tokenizer train --data docs.jsonl --vocab-size 300 --out other")
        .expect(1, &["other/"]);
    assert!(place.contents("other").is_empty(), "a half-written file is left behind");
    let before = place.contents("tok");
    place
        .run_limited(1, "tokenizer train --data docs.jsonl --vocab-size 290 --out tok --overwrite")
        .expect(1, &["tok/"]);
    assert!(place.contents("tok") == before, "the old tokenizer stays, and nothing beside it");
    // `/dev/full` is a disk without space for a single byte.
    if std::path::Path::new("/dev/full").exists() {
        let line = "\"$0\" score --model model --tokens 1,2,3 --json --device cpu > /dev/full";
        let mut command = std::process::Command::new("bash");
        command.args(["-c", line, env!("CARGO_BIN_EXE_kindling")]).current_dir(place.root());
        let output = command.output().expect("bash runs");
        assert_eq!(output.status.code(), Some(1), "a result that is lost is a failure: {output:?}");
    }
}
