//! `runs`: what is listed, compared and drawn; `--like`: what it sets.

use serde_json::Value;

use crate::place::{Place, SHORT};

/// A chain of three runs below `runs`, of which the last is an adapter.
fn place() -> Place {
    let place = Place::with_model();
    let base =
        "pretrain --data docs.jsonl --model-config tiny.json --tokenizer tok --val-split 0.1 --eval-every 2";
    place.run(&format!("{base} {SHORT} --out runs/base")).ok();
    let chat = "--data chat.jsonl --steps 4 --batch-size 2 --max-seq-len 64 --log-every 1";
    place.run(&format!("sft --model runs/base {chat} --stop-after 2 --out runs/sft")).ok();
    place.run(&format!("lora --model runs/sft {chat} --lora-rank 2 --out runs/lora")).ok();
    place
}

fn named<'a>(lines: &'a [Value], run: &str) -> &'a Value {
    lines.iter().find(|line| line["run"] == run).unwrap_or_else(|| panic!("{run} in {lines:?}"))
}

#[test]
fn runs_are_listed_below_what_they_come_from() {
    let place = place();
    let told = place.run("runs").ok();
    let lines: Vec<&str> = told.stdout.lines().collect();
    assert!(lines[0].starts_with("run ") && lines[0].contains("held-out"), "{told}");
    for (line, parts) in lines[1..].iter().zip([
        ["runs/base", "pretrain", "new tiny.json", "docs.jsonl", "3/3", "finished"],
        ["└ runs/sft", "sft", "runs/base", "chat.jsonl", "2/4", "stopped"],
        ["  └ runs/lora", "lora", "runs/sft", "chat.jsonl", "4/4", "finished"],
    ]) {
        assert!(line.starts_with(parts[0]), "{line}");
        parts.iter().for_each(|part| assert!(line.contains(part), "{part} in {line}"));
    }
    let json = place.run("runs --json").ok().json();
    assert_eq!(json.len(), 3);
    let lora = named(&json, "runs/lora");
    assert_eq!((lora["stage"].as_str(), lora["adapter"].as_bool()), (Some("sft"), Some(true)));
    assert_eq!(lora["lineage"], serde_json::json!(["runs/sft", "runs/base", "new tiny.json"]));
    let base = named(&json, "runs/base");
    let held_out: Vec<f64> = place
        .log("runs/base")
        .iter()
        .filter(|line| line["event"] == "eval")
        .map(|line| line["loss"].as_f64().unwrap())
        .collect();
    assert_eq!(base["heldout_loss"].as_f64(), held_out.last().copied());
    assert_eq!(base["loss"].as_f64(), Some(place.logged_steps("runs/base")[2][1]));
    // Elsewhere the same runs are found by their directory, and those that they come from with them.
    place.copy("runs/lora", "far/lora");
    let far = place.run("runs far --json").ok().json();
    assert_eq!(far.len(), 3, "{far:?}");
    assert_eq!(named(&far, "far/lora")["parent"], "runs/sft");
    place.run("runs nowhere").expect(1, &["nowhere"]);
}

#[test]
fn what_is_damaged_is_named_and_hides_nothing_else() {
    let place = place();
    let log = place.text("runs/base/log.jsonl");
    place.write("runs/base/log.jsonl", format!("{log}{{\"step\": 9, \"lo\nnot json\n"));
    place.write("runs/sft/training/settings.toml", "stage = [");
    place.write("runs/lora/checkpoint-000004/training/progress.json", "{");
    let told = ["runs/base/log.jsonl: 2 lines are damaged and not read (the first: line"];
    let json = place.run("runs --json").expect(0, &told).json();
    assert_eq!(named(&json, "runs/base")["damaged_lines"], 2);
    assert_eq!(named(&json, "runs/base")["state"], "finished");
    for (run, why) in [("runs/sft", "settings.toml is damaged"), ("runs/lora", "progress.json is damaged")] {
        let line = named(&json, run);
        assert_eq!(line["state"], "damaged", "{line}");
        assert!(line["damage"].as_str().unwrap().contains(why), "{line}");
    }
    // An empty directory has no runs, and nothing to say of them.
    let place = Place::new();
    place.run("runs").expect(0, &["there is no ./runs"]);
    place.write("runs/notes.txt", "mine");
    place.run("runs").expect(0, &["there are no runs here"]);
}

#[test]
#[cfg(unix)]
fn a_run_at_work_is_told_by_its_lock() {
    let place = Place::with_model();
    let line = "pretrain --model model --data docs.jsonl --steps 100000 --batch-size 2 --max-seq-len 32 --log-every 1";
    let running = place.start(&format!("{line} --save-every 1 --out runs/long"));
    place.wait_for_save("runs/long");
    let state = || named(&place.run("runs --json").ok().json(), "runs/long")["state"].clone();
    assert_eq!(state(), "running");
    running.kill();
    assert_eq!(state(), "interrupted");
}

#[test]
fn settings_that_differ_stand_side_by_side() {
    let place = place();
    let told = place.run("runs compare runs/sft runs/lora").expect(0, &["settings are the same"]);
    let line = |name: &str| {
        let found = told.stdout.lines().find(|line| line.split("  ").next() == Some(name));
        found.unwrap_or_else(|| panic!("{name}: {told}")).split_whitespace().collect::<Vec<_>>()
    };
    assert_eq!(line("model"), ["model", "runs/base", "runs/sft"]);
    assert_eq!(line("lora-rank"), ["lora-rank", "–", "2"]);
    assert_eq!(line("steps taken"), ["steps", "taken", "2", "4"]);
    assert!(!told.stdout.lines().any(|line| line.starts_with("batch-size")), "{told}");
    let json = place.run("runs compare runs/sft runs/lora --json").ok().json();
    let rank = json.iter().find(|line| line["name"] == "lora-rank").unwrap();
    assert_eq!(rank["values"], serde_json::json!({"runs/sft": null, "runs/lora": "2"}));
    place.run("runs compare runs/sft").expect(2, &["2"]);
    place.run("runs compare runs/sft docs.jsonl").expect(2, &["docs.jsonl: there is no run here"]);
}

#[test]
fn curves_are_drawn_into_one_file_that_takes_no_others_place() {
    let place = place();
    place.run("runs plot runs/base runs/sft --out curves.html").ok();
    let html = place.text("curves.html");
    assert!(html.starts_with("<!doctype html>") && !html.contains("<script"), "{html}");
    for part in [
        "runs/base",
        "runs/sft",
        "runs/base, held out",
        "step",
        ">lr<",
        ">grad_norm<",
        "prefers-color-scheme",
    ] {
        assert!(html.contains(part), "{part}");
    }
    // The lines of both runs: as logged and their means.
    assert_eq!(html.split("<svg").nth(1).unwrap().matches("class=\"smooth\"").count(), 2);
    place.run("runs plot runs/base --out curves.html").expect(2, &["already holds curves; add --overwrite"]);
    assert_eq!(place.text("curves.html"), html);
    place.run("runs plot runs/base --out curves.html --overwrite --step-axis log --smoothing 0").ok();
    assert!(!place.text("curves.html").contains("runs/sft"));
    for out in ["docs.jsonl", "runs/base"] {
        let before = place.contents("runs/base");
        place
            .run(&format!("runs plot runs/base --overwrite --out {out}"))
            .expect(2, &["is no file that `runs plot` wrote"]);
        assert_eq!(place.contents("runs/base"), before);
    }
    place.run("runs plot runs/base --out x.html --smoothing 1").expect(2, &["--smoothing is 1; it must be"]);
    place.run("runs plot docs.jsonl --out x.html").expect(2, &["there is no run here"]);
    place.run("runs runs/base plot runs/sft --out x.html").expect(2, &["stands before the command"]);
    assert!(!place.exists("x.html"));
}

#[test]
fn a_known_training_is_set_told_and_kept() {
    let place = Place::with_model();
    let short = "--steps 1 --max-seq-len 64 --batch-size 2";
    let told = [
        "--like minimind2-small sets for sft (MiniMind 2, train_full_sft.py)",
        "--learning-rate 0.00005",
        "--lr-schedule minimind2",
        "what you said stays, in the place of its --batch-size 32 --max-seq-len 512",
    ];
    place
        .run(&format!("sft --like minimind2-small --model model --data chat.jsonl {short} --out run"))
        .expect(0, &told);
    let settings: toml::Table = place.text("run/training/settings.toml").parse().unwrap();
    assert_eq!(settings["learning-rate"].as_float(), Some(5e-5));
    assert_eq!(
        (settings["lr-schedule"].as_str(), settings["batch-size"].as_integer()),
        (Some("minimind2"), Some(2))
    );
    assert_eq!(settings["like"].as_str(), Some("minimind2-small"));
    // A settings file wins as well, and a run that goes on has what it had.
    place.write("r.toml", "learning-rate = 0.001\n");
    let line =
        format!("sft --like minigpt --config r.toml --model model --data chat.jsonl {short} --out other");
    place.run(&line).expect(0, &["in the place of its", "--learning-rate 0.00001"]);
    let settings: toml::Table = place.text("other/training/settings.toml").parse().unwrap();
    assert_eq!(
        (settings["learning-rate"].as_float(), settings["lr-schedule"].as_str()),
        (Some(0.001), Some("linear"))
    );
    let on = place.run("sft --resume --out run").ok();
    assert!(!on.stderr.contains("--like"), "{on}");
    place
        .run("sft --like nobody --model model --data chat.jsonl")
        .expect(2, &["--like knows no 'nobody'", "tiny-llm (pretrain, sft)"]);
    place.run("dpo --like spongebob --model model --data chat.jsonl").expect(2, &["tells nothing of `dpo`"]);
}
