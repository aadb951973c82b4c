//! `--tensorboard`, `--wandb`, `--csv` and `--metrics-port`: what others hear of a run. That their own programs read it is
//! for tests/interop/tracking.py to see; here are its steps, its end, and what cannot be.

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::place::{Place, number, steps};

const NEW: &str = "pretrain --data docs.jsonl --model model --batch-size 2 --max-seq-len 32 --log-every 1 --val-split 0.1 \
                   --eval-every 4 --save-every 3 --keep-last 9";
const TRACKED: &str = "--tensorboard tb --wandb w --csv m.csv --sample-every 4 --sample-prompt lamp";

/// The files in a directory whose names begin so, in the order of their names.
fn beginning(directory: &Path, name: &str) -> Vec<PathBuf> {
    let found = fs::read_dir(directory).into_iter().flatten().map(|entry| entry.unwrap().path());
    let begins = |path: &PathBuf| path.file_name().unwrap().to_string_lossy().starts_with(name);
    let mut found: Vec<PathBuf> = found.filter(begins).collect();
    found.sort();
    found
}

/// The events of a file as they stand there, each without its frame.
fn events(path: &Path) -> Vec<Vec<u8>> {
    let (bytes, mut at, mut events) = (fs::read(path).unwrap(), 0, Vec::new());
    while at < bytes.len() {
        let length = u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap()) as usize;
        events.push(bytes[at + 12..at + 12 + length].to_vec());
        at += length + 16;
    }
    assert_eq!(at, bytes.len(), "{}", path.display());
    events
}

fn holds(bytes: &[u8], part: &str) -> bool {
    bytes.windows(part.len()).any(|window| window == part.as_bytes())
}

/// A table's rows, each a number or nothing a column.
fn table(text: &str) -> (Vec<&str>, Vec<Vec<Option<f64>>>) {
    let mut lines = text.lines();
    let head = lines.next().unwrap().split(',').collect();
    let row = |line: &str| line.split(',').map(|field| field.parse().ok()).collect();
    (head, lines.map(row).collect())
}

/// Compares the table with the run's own log.
fn compare(place: &Place, run: &str, csv: &str) {
    let text = place.text(csv);
    let (head, rows) = table(&text);
    let column = |name: &str| {
        head.iter().position(|column| *column == name).unwrap_or_else(|| panic!("{name} in {head:?}"))
    };
    let logged = steps(place, run);
    assert_eq!(rows.len(), logged.len(), "a row a logged step:\n{text}");
    for (row, line) in rows.iter().zip(&logged) {
        let pairs = [
            ("step", "step"),
            ("train/loss", "loss"),
            ("train/learning_rate", "lr"),
            ("train/grad_norm", "grad_norm"),
        ];
        for (name, key) in pairs {
            assert_eq!(row[column(name)], Some(number(line, key)), "{name} of {line}");
        }
    }
    let measured: Vec<Value> = place.log(run).into_iter().filter(|line| line["event"] == "eval").collect();
    let losses = rows.iter().filter_map(|row| Some((row[0]?, row[column("eval/loss")]?)));
    let expected = measured.iter().map(|line| (number(line, "step"), number(line, "loss")));
    assert_eq!(losses.collect::<Vec<_>>(), expected.collect::<Vec<_>>(), "{text}");
}

#[test]
fn all_of_them_hear_a_run_and_the_same_run_goes_on() {
    let place = Place::with_model();
    place.run(&format!("{NEW} --steps 12 --stop-after 9 --out run {TRACKED}")).ok();
    compare(&place, "run", "m.csv");
    let files = beginning(&place.path("tb"), "events.out.tfevents.");
    assert_eq!(files.len(), 1);
    let all = events(&files[0]);
    assert!(holds(&all[0], "brain.Event:2") && holds(&all[1], "settings") && holds(&all[1], "batch-size"));
    for (part, times) in [("train/loss", 9), ("eval/loss", 3), ("samples/1", 2)] {
        assert_eq!(all.iter().filter(|event| holds(event, part)).count(), times, "{part}");
    }
    let sampled: Vec<Value> = place.log("run").into_iter().filter(|line| line["event"] == "sample").collect();
    assert_eq!(sampled.iter().map(|line| number(line, "step")).collect::<Vec<_>>(), [4.0, 8.0]);
    assert!(sampled.iter().all(|line| line["prompt"] == "lamp"), "{sampled:?}");
    // What came behind the last save, that of the best step 8, comes again.
    place.remove("run/checkpoint-000009");
    place.run("pretrain --resume --out run").ok();
    compare(&place, "run", "m.csv");
    let files = beginning(&place.path("tb"), "events.out.tfevents.");
    assert_eq!(files.len(), 2);
    let all = events(&files[1]);
    // Field 2 is the step from which on earlier events give way, field 7 with a 1 that the run goes on.
    assert!(all[1].ends_with(&[0x10, 9, 0x3a, 2, 0x08, 1]), "{:?}", all[1]);
    assert_eq!(all.iter().filter(|event| holds(event, "train/loss")).count(), 4);
    let runs = beginning(&place.path("w/wandb"), "offline-run-");
    assert_eq!(runs.len(), 1, "one run with one identity: {runs:?}");
    let id = place.json("run/training/tracking.json")["id"].as_str().unwrap().to_string();
    assert!(
        runs[0].to_string_lossy().ends_with(&format!("-{id}"))
            && runs[0].join("files/settings.toml").is_file()
    );
    let log = fs::read(runs[0].join(format!("run-{id}.wandb"))).unwrap();
    assert!(log.starts_with(b":W&B\xe1\xbe\0"));
    // A row and its newest values, 12 times.
    assert_eq!(log.windows(10).filter(|window| window == b"train/loss").count(), 24);
}

#[test]
fn what_cannot_be_is_told_before_anything_is_written() {
    let place = Place::with_model();
    place.write("file", "text");
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let line = format!(
        "{NEW} --steps 2 --out run --tensorboard file/tb --wandb file --csv file/m.csv --metrics-port {port} --sample-prompt a"
    );
    let parts = [
        "--tensorboard file/tb cannot be written",
        "--wandb file cannot be written",
        "--csv file/m.csv cannot be written",
        "is a file",
        &format!("--metrics-port {port} cannot be used"),
        "--sample-prompt would not act without --sample-every",
    ];
    place.run(&line).expect(2, &parts);
    assert!(!place.exists("run") && place.text("file") == "text");
    // A second run takes the place of the first only where that is said.
    let line = format!("{NEW} --steps 2 --out run --tensorboard tb --csv m.csv");
    place.run(&line).ok();
    let other = line.replace("--out run", "--out other");
    place.run(&other).expect(2, &["--tensorboard tb holds the event files", "--csv m.csv is there already"]);
    assert!(!place.exists("other"));
    place.run(&format!("{line} --overwrite")).ok();
    compare(&place, "run", "m.csv");
    let files = beginning(&place.path("tb"), "events.out.tfevents.");
    assert!(events(&files[1])[1].ends_with(&[0x3a, 2, 0x08, 1]), "all earlier events give way");
}

#[cfg(unix)]
#[test]
fn a_disk_that_fills_ends_no_run() {
    let place = Place::with_model();
    let new = "pretrain --data docs.jsonl --model model --batch-size 1 --max-seq-len 16 --log-every 1 --save-minutes 0";
    let outcome = place.run_limited(90, &format!("{new} --steps 400 --out run --wandb w --csv m.csv")).ok();
    assert_eq!(outcome.stderr.matches("is off from here on").count(), 1, "{outcome}");
    assert!(outcome.stderr.contains("--wandb w/wandb/offline-run-"), "{outcome}");
    compare_steps(&place, 400);
    let is_told =
        |line: &Value| line["message"].as_str().is_some_and(|told| told.contains("is off from here on"));
    let warned = place.log("run").iter().filter(|line| is_told(line)).count();
    assert_eq!(warned, 1);
}

fn compare_steps(place: &Place, count: usize) {
    let text = place.text("m.csv");
    assert_eq!((steps(place, "run").len(), table(&text).1.len()), (count, count));
}

#[test]
fn prometheus_is_answered_while_a_run_trains() {
    let place = Place::with_model();
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let running = place.start(&format!("{NEW} --steps 1000000 --out run --metrics-port {port}"));
    place.wait_for("a step and a measurement", || {
        let text = ask(port).unwrap_or_default();
        text.contains("\nkindling_train_loss ") && text.contains("\nkindling_eval_loss ")
    });
    let text = ask(port).unwrap();
    for part in [
        "200 OK",
        "# TYPE kindling_train_tokens_per_second gauge",
        "kindling_steps 1000000",
        "stage=\"pretrain\"",
    ] {
        assert!(text.contains(part), "{part} in {text}");
    }
    running.kill();
    assert!(ask(port).is_none());
}

fn ask(port: u16) -> Option<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n").ok()?;
    let mut text = String::new();
    stream.read_to_string(&mut text).ok()?;
    Some(text)
}

#[test]
fn every_stage_of_a_chain_has_places_of_its_own() {
    let place = Place::with_model();
    place.write(
        "chain.toml",
        "[[stage]]\nverb = \"pretrain\"\ndata = [\"docs.jsonl\"]\nmodel = \"model\"\nsteps = 2\nlog-every = 1\nmax-seq-len = 32\n\
         [[stage]]\nverb = \"lora\"\ndata = [\"chat.jsonl\"]\nsteps = 3\nlog-every = 1\nmax-seq-len = 64\ncsv = \"own.csv\"\n",
    );
    let line = "run chain.toml --out c --tensorboard tb --wandb w --csv m.csv";
    place.run(line).ok();
    let rows = |csv: &str| table(&place.text(csv)).1.len();
    assert_eq!((rows("m-pretrain.csv"), rows("own.csv")), (2, 3));
    assert!(!place.exists("m.csv") && !place.exists("m-lora.csv"));
    for stage in ["pretrain", "lora"] {
        assert_eq!(beginning(&place.path("tb").join(stage), "events.out.tfevents.").len(), 1, "{stage}");
    }
    assert_eq!(beginning(&place.path("w/wandb"), "offline-run-").len(), 2);
    // What is done stays, and what begins again takes the place of what was there.
    place.run(line).expect(0, &["c/lora is done already"]);
    place.run(&format!("{line} --overwrite")).ok();
    assert_eq!((rows("m-pretrain.csv"), rows("own.csv")), (2, 3));
    assert_eq!(beginning(&place.path("tb/lora"), "events.out.tfevents.").len(), 2);
}

#[test]
fn files_that_are_taken_away_before_a_run_goes_on_are_named_and_followed_by_others() {
    let place = Place::with_model();
    place.run(&format!("{NEW} --steps 12 --stop-after 6 --out run {TRACKED}")).ok();
    // A table that was cut, an event file that is gone, and an offline run that stays.
    let before = place.text("m.csv");
    place.write("m.csv", before.lines().take(3).map(|line| format!("{line}\n")).collect::<String>());
    let events_before = beginning(&place.path("tb"), "events.out.tfevents.");
    fs::remove_file(&events_before[0]).unwrap();
    let outcome = place.run("pretrain --resume --out run").ok();
    let told = |part: &str| outcome.stderr.lines().filter(|line| line.contains(part)).count();
    assert_eq!(
        (told("m.csv, which this run wrote, was cut"), told("which this run wrote, is not there")),
        (1, 1),
        "{outcome}"
    );
    assert_eq!(told(".wandb, which this run wrote"), 0, "{outcome}");
    let warned =
        |line: &Value| line["message"].as_str().is_some_and(|text| text.contains("which this run wrote"));
    assert_eq!(place.log("run").iter().filter(|line| warned(line)).count(), 2);
    // The steps from here on are in both; the settings in the new event file.
    let text = place.text("m.csv");
    assert_eq!(
        table(&text).1.iter().map(|row| row[0].unwrap() as u64).collect::<Vec<_>>(),
        [1, 2, 7, 8, 9, 10, 11, 12]
    );
    let files = beginning(&place.path("tb"), "events.out.tfevents.");
    assert!(files.len() == 1 && events(&files[0]).iter().any(|event| holds(event, "batch-size")));
}

#[test]
fn files_that_are_taken_away_while_a_run_trains_are_told_and_followed_by_others() {
    let place = Place::with_model();
    let new = "pretrain --data docs.jsonl --model model --batch-size 1 --max-seq-len 16 --log-every 1 --steps 1000000";
    let running = place.start(&format!("{new} --out run --tensorboard tb --wandb w --csv m.csv"));
    place.wait_for("the first rows", || place.exists("m.csv") && place.text("m.csv").lines().count() > 3);
    fs::remove_file(&beginning(&place.path("tb"), "events.out.tfevents.")[0]).unwrap();
    let offline = beginning(&place.path("w/wandb"), "offline-run-");
    fs::remove_file(&beginning(&offline[0], "run-")[0]).unwrap();
    place.write("m.csv", "mine\n");
    place.wait_for("the rows in the next table", || {
        place.exists("m-2.csv") && place.text("m-2.csv").lines().count() > 3
    });
    place.wait_for("the next offline run", || beginning(&place.path("w/wandb"), "offline-run-").len() == 2);
    running.signal("INT");
    let outcome = running.finish().expect(130, &["m.csv was cut from", "the run goes on in m-2.csv"]);
    assert!(outcome.stderr.matches("was removed while the run wrote it").count() == 2, "{outcome}");
    assert!(!outcome.stderr.contains("is off from here on"), "{outcome}");
    assert!(place.text("m.csv").starts_with("mine\n"));
    let files = beginning(&place.path("tb"), "events.out.tfevents.");
    assert!(files.len() == 1 && events(&files[0]).iter().any(|event| holds(event, "train/loss")));
    // It goes on where it went on.
    let state = place.json("run/training/tracking.json");
    assert_eq!(state["table"], serde_json::json!(["m.csv", "m-2.csv"]));
    let rows = place.text("m-2.csv").lines().count();
    let step = number(steps(&place, "run").last().unwrap(), "step");
    place.run(&format!("pretrain --resume --out run --stop-after {}", step + 2.0)).ok();
    assert!(place.text("m-2.csv").lines().count() > rows - 1 && place.text("m.csv").starts_with("mine\n"));
}

#[test]
fn a_table_is_no_stream() {
    let place = Place::with_model();
    place.run(&format!("{NEW} --steps 2 --out run --csv -")).expect(2, &["--csv - is no stream", "--json"]);
    assert!(!place.exists("run") && !place.exists("-"));
}
