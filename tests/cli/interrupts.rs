//! Ctrl-C, SIGTERM, a closed terminal and a kill at any moment: what was learned is kept.
#![cfg(unix)]

use std::fs;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::os::unix::fs::MetadataExt;
use std::process::Command;
use std::thread;
use std::time::Duration;

use crate::harness::Running;
use crate::place::{Place, SHORT, TINY};

const ENDLESS: &str = "pretrain --model model --data docs.jsonl --out run --steps 1000000 --batch-size 2 \
                       --max-seq-len 32 --log-every 1";

#[test]
fn an_interrupted_run_saves_and_goes_on() {
    let place = Place::with_model();
    let signals = ["INT", "TERM", "HUP"];
    for signal in signals.into_iter().filter(|signal| *signal != "HUP" || !ignores_hangup()) {
        let running = place.start(&format!("{ENDLESS} --json"));
        place.wait_for("some steps", || place.logged("run").lines().count() > 3);
        running.signal(signal);
        let outcome =
            running.finish_within(Duration::from_secs(20)).expect(130, &["saved", "--resume --out run"]);
        let last = outcome.json().last().unwrap()["step"].as_u64().unwrap();
        assert_eq!(place.checkpoints("run"), [last], "{signal}: every step that was taken is saved");
        let end = place.log("run").pop().unwrap();
        assert_eq!((&end["event"], &end["step"]), (&"save".into(), &last.into()), "{signal}");
        place.run("score --model run --tokens 1,2,3").ok();
        place.run(&format!("pretrain --resume --out run --stop-after {}", last + 2)).ok();
        let steps: Vec<f64> = place.logged_steps("run").iter().map(|step| step[0]).collect();
        assert!(steps.iter().copied().eq((1..=last + 2).map(|step| step as f64)), "{signal}: {steps:?}");
        place.remove("run");
    }
}

#[test]
fn ctrl_c_ends_a_typed_chats_answer_and_not_the_conversation() {
    if !Command::new("script").arg("--version").output().is_ok_and(|found| found.status.success()) {
        eprintln!("SKIPPED: there is no script (util-linux) here, which lends a terminal");
        return;
    }
    let place = Place::with_model();
    // A context whose answers take minutes.
    place.write("long.json", TINY.replace("128", "200000"));
    let new = "pretrain --data docs.jsonl --model-config long.json --tokenizer tok --out long";
    place.run(&format!("{new} {SHORT}")).ok();
    let terminal = ["bash", "-c", "exec script -q -e -f -c \"exec $*\" seen", "--"];
    let line = "chat --model long --max-new-tokens 190000 --ignore-eos --device cpu";
    let mut talk = Running::start(place.root(), &terminal, &line.split(' ').collect::<Vec<_>>());
    let seen = || String::from_utf8_lossy(&fs::read(place.path("seen")).unwrap_or_default()).into_owned();
    for answers in 1..=2 {
        place.wait_for("the prompt", || seen().matches("> ").count() >= answers);
        talk.type_in("hi\r");
        let before = seen().len();
        place.wait_for("some of an answer", || seen().len() > before + 300);
        talk.type_in("\x03");
        place.wait_for("the end of the answer", || seen().matches(" tokens/s)").count() == answers);
    }
    // The exit code that script tells is not always the command's.
    talk.feed("/quit\r");
    talk.finish();
}

/// Whether these tests run under `nohup`, which what they start inherits.
fn ignores_hangup() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    ignored.is_some_and(|mask| u64::from_str_radix(mask.trim(), 16).is_ok_and(|mask| mask & 1 == 1))
}

#[test]
fn under_nohup_a_run_outlives_its_terminal() {
    let place = Place::with_model();
    let words: Vec<&str> = ENDLESS.split_whitespace().chain(["--device", "cpu"]).collect();
    let running = Running::start(place.root(), &["nohup"], &words);
    let steps = || place.logged("run").lines().count();
    place.wait_for("some steps", || steps() > 3);
    running.signal("HUP");
    let before = steps();
    place.wait_for("more steps", || steps() > before + 10);
    running.signal("INT");
    running.finish_within(Duration::from_secs(20)).expect(130, &["saved"]);
}

#[test]
fn a_directory_belongs_to_one_process_at_a_time() {
    let place = Place::with_model();
    let running = place.start(&format!("{ENDLESS} --save-every 2"));
    place.wait_for_save("run");
    let parts = ["--out run is in use: process ", "stop it", "choose another --out"];
    place.run("pretrain --resume --out run").expect(2, &parts);
    place.run(&format!("{ENDLESS} --overwrite")).expect(2, &parts);
    let before = place.logged("run").lines().count();
    place.wait_for("more steps", || place.logged("run").lines().count() > before + 2);
    running.kill();
    assert!(place.exists("run/training/lock"), "a killed process leaves the file");
    let last = *place.checkpoints("run").last().unwrap() + 1;
    place.run(&format!("pretrain --resume --out run --stop-after {last}")).ok();
    assert!(!place.exists("run/training/lock"));
    let steps: Vec<f64> = place.logged_steps("run").iter().map(|step| step[0]).collect();
    assert!(steps.iter().copied().eq((1..=last).map(|step| step as f64)), "each once: {steps:?}");
}

#[test]
fn an_interrupted_example_says_that_it_begins_again() {
    let place = Place::new();
    let running = place.start("sft --out run");
    place.wait_for("some steps", || place.logged("run/pretrain").lines().count() > 0);
    running.signal("INT");
    running
        .finish_within(Duration::from_secs(20))
        .expect(130, &["the example does not go on", "kindling sft --overwrite --out run"]);
    place.run("sft --resume --out run").expect(2, &["run holds the generated example", "--overwrite"]);
    // It begins again where it wrote, beside what a person keeps there; a run of before kept no lists.
    place.write("run/data/mine.jsonl", "mine");
    let lists = ["run/training/files.json", "run/pretrain/training/files.json"];
    for of_before in [false, true] {
        if of_before {
            lists.iter().for_each(|list| place.remove(list));
            // Runs without a list did not write them yet.
            ["dpo_brief", "dpo_invite"]
                .iter()
                .for_each(|name| place.remove(&format!("run/data/{name}.jsonl")));
        }
        place.remove("run/pretrain/log.jsonl");
        let running = place.start("sft --overwrite --out run --seed 7");
        place.wait_for("some steps", || place.logged("run/pretrain").lines().count() > 0);
        running.kill();
        assert_eq!(place.text("run/data/mine.jsonl"), "mine");
        assert!(lists.iter().all(|list| place.exists(list)));
    }
    place.write("run/pretrain/mine.txt", "mine");
    place.run("sft --overwrite --out run").expect(2, &["did not write pretrain/mine.txt,"]);
}

#[test]
fn a_run_is_saved_by_time_and_a_kill_loses_minutes() {
    let place = Place::with_model();
    let running = place.start(&format!("{ENDLESS} --save-minutes 0.0005"));
    let saves = || place.logged("run").matches(r#""event":"save""#).count();
    place.wait_for("three saves that nobody asked for", || saves() >= 3);
    running.kill();
    let last = *place.checkpoints("run").last().unwrap() + 3;
    place.run("pretrain --resume --out run --save-minutes=-1").expect(2, &["--save-minutes is -1"]);
    place.run(&format!("pretrain --resume --out run --save-minutes 0 --stop-after {last}")).ok();
    assert_eq!(place.checkpoints("run"), [last], "the save that was asked for replaces the others");
    let whole = ENDLESS.replace("--out run", "--out whole --save-minutes 0");
    place.run(&format!("{whole} --stop-after {last}")).ok();
    for file in ["model.safetensors", "training/optimizer.safetensors"] {
        assert!(place.read(&format!("run/{file}")) == place.read(&format!("whole/{file}")), "{file}");
    }
}

#[test]
fn an_interrupted_run_equals_one_that_was_not() {
    let place = Place::with_model();
    let running = place.start(ENDLESS);
    place.wait_for("some steps", || place.logged("run").lines().count() > 8);
    running.signal("INT");
    running.finish().expect(130, &[]);
    let last = place.checkpoints("run")[0] + 4;
    place.run(&format!("pretrain --resume --out run --stop-after {last}")).ok();
    let whole = ENDLESS.replace("--out run", "--out whole");
    place.run(&format!("{whole} --stop-after {last}")).ok();
    assert!(place.read("run/model.safetensors") == place.read("whole/model.safetensors"), "{last} steps");
    assert_eq!(place.logged_steps("run"), place.logged_steps("whole"));
}

#[test]
fn verbs_that_have_nothing_to_save_end_at_once() {
    let place = Place::new();
    let running =
        place.start("bench --preset nano --what prefill --seconds 100 --batch-size 1 --max-seq-len 16");
    thread::sleep(Duration::from_millis(700));
    running.signal("INT");
    let outcome = running.finish_within(Duration::from_secs(10));
    assert!(outcome.code.is_none_or(|code| code == 130), "{outcome}");
}

/// A random moment within the time that a run takes to start, train a few steps and save them.
fn moment() -> Duration {
    let random = RandomState::new().build_hasher().finish();
    Duration::from_micros(random % 350_000)
}

#[test]
fn a_run_killed_at_any_moment_opens_and_goes_on() {
    const ROUNDS: usize = 16;
    let place = Place::with_model();
    let running = place.start(&format!("{ENDLESS} --save-every 1 --val-split 0.1 --eval-every 3 -q"));
    place.wait_for_save("run");
    running.kill();
    let mut newest = 0;
    for _ in 0..ROUNDS {
        let delay = moment();
        let running = place.start("pretrain --resume --out run -q");
        thread::sleep(delay);
        running.kill();
        place.run("score --model run --tokens 1,2,3 --json").ok();
        if place.exists("run/best/model.safetensors") {
            place.run("score --model run/best --tokens 1,2,3 --json").ok();
        }
        let now = place.checkpoints("run").pop().unwrap();
        assert!(now >= newest, "step {newest} was saved and is gone after a kill at {delay:?}");
        newest = now;
        // It goes on, and already has as many steps as this asks for.
        place.run(&format!("pretrain --resume --out run -q --stop-after {newest}")).ok();
    }
    place.run(&format!("pretrain --resume --out run -q --stop-after {}", newest + 2)).ok();
    place.logged_steps("run");
}

#[test]
fn a_checkpoint_that_is_resumed_is_never_written_again() {
    let place = Place::with_model();
    place.run(&format!("{ENDLESS} --save-every 1 --stop-after 3")).ok();
    let weights = place.path("run/checkpoint-000003/model.safetensors");
    let file = || std::fs::metadata(&weights).unwrap().ino();
    let before = file();
    // Writing it anew would open a moment in which a kill leaves neither the old nor the new one.
    place.run("pretrain --resume --out run --stop-after 3").ok();
    assert_eq!(file(), before);
    place.run("pretrain --resume --out run --stop-after 4").ok();
    assert_eq!(file(), before);
}
