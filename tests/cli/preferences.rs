//! `dpo`: pairs of answers, what they are compared with, and how a run of them goes on.

use std::f64::consts::LN_2;

use serde_json::Value;

use crate::place::{Place, steps};
use crate::two_parts::compare;

const DPO: &str = "dpo --model model --data pairs.jsonl --batch-size 2 --learning-rate 0.003";
const LOGGED: &str = "--log-every 1";

/// A line of a file of pairs.
fn pair(i: usize) -> String {
    let (question, right) = (format!("What is {i} plus one?"), i + 1);
    format!(
        "{{\"prompt\": \"{question}\", \"chosen\": \"It is {right}.\", \"rejected\": \"A lamp shines.\"}}\n"
    )
}

fn place() -> Place {
    let place = Place::with_model();
    place.write("pairs.jsonl", (0..20).map(pair).collect::<String>());
    place
}

fn losses(place: &Place, run: &str) -> Vec<f64> {
    steps(place, run).iter().map(|line| line["loss"].as_f64().unwrap()).collect()
}

#[test]
fn pairs_are_learned_and_the_first_step_costs_ln_2() {
    let place = place();
    let line = format!("{DPO} --steps 12 --val-split 0.2 --eval-every 4 {LOGGED} --out run");
    let told = ["reward margin", "kindling chat --model run"];
    place.run(&line).expect(0, &told);
    let log = steps(&place, "run");
    assert_eq!(log[0]["loss"].as_f64().unwrap(), f64::from(LN_2 as f32), "{}", log[0]);
    let metric = |line: &Value, name: &str| line[name].as_f64().unwrap_or_else(|| panic!("{name} in {line}"));
    assert_eq!((metric(&log[0], "reward_margin"), metric(&log[0], "reward_accuracy")), (0.0, 0.0));
    assert!(metric(&log[11], "reward_margin") > 0.0 && metric(&log[11], "loss") < LN_2, "{}", log[11]);
    let evals: Vec<Value> = place.log("run").into_iter().filter(|line| line["event"] == "eval").collect();
    assert_eq!(evals.len(), 3);
    for name in ["reward_margin", "reward_accuracy", "reward_chosen", "reward_rejected", "chosen_likelier"] {
        metric(evals.last().unwrap(), name);
        metric(&log[3], name);
    }
    assert!(evals[2]["bits_per_byte"].is_null(), "no likelihood: {}", evals[2]);
    let settings: toml::Table = place.text("run/training/settings.toml").parse().unwrap();
    assert_eq!((settings["stage"].as_str(), settings["beta"].as_float()), (Some("dpo"), Some(0.1)));
    // Nothing of it stands in a run that compares no answers.
    place.run("sft --model model --data chat.jsonl --steps 1 --max-seq-len 64 --out tuned").ok();
    assert!(!place.text("tuned/training/settings.toml").contains("beta"));
}

#[test]
fn a_run_in_two_parts_is_the_same_whatever_it_is_compared_with() {
    let place = place();
    for flags in ["", "--reference cached", "--packing --grad-accum 2", "--dpo-loss ipo --sft-weight 0.1"] {
        compare(&place, &format!("{DPO} {flags} --steps 8 {LOGGED}"), 3, &[]);
    }
    for flags in ["--lora", "--lora --reference cached --length-normalise"] {
        compare(&place, &format!("{DPO} --lora-rank 2 {flags} --steps 8 {LOGGED}"), 3, &[]);
    }
    // The adapter's run needs no --lora to go on.
    assert!(place.exists("parts/training/reference.bin"));
}

#[test]
fn threads_change_nothing_and_the_references_agree() {
    let place = place();
    let run = |threads: &str, flags: &str, out: &str| {
        let line = format!("{DPO} --steps 6 {LOGGED} {flags} --out {out}");
        place.start_with_env(&[("RAYON_NUM_THREADS", threads)], &line).finish().ok();
        losses(&place, out)
    };
    let one = run("1", "", "one");
    for (threads, flags, out) in
        [("2", "", "two"), ("2", "--reference cached", "cached"), ("1", "--reference cached", "cached1")]
    {
        let other = run(threads, flags, out);
        assert_eq!(one.len(), other.len());
        for (one, other) in one.iter().zip(&other) {
            assert!((one - other).abs() < 1e-6, "{out}: {one} {other}");
        }
    }
}

#[test]
fn equal_answers_are_counted_and_left_out() {
    let place = place();
    let equal = pair(3).replace("A lamp shines.", "It is 4.");
    place.write("some.jsonl", [pair(1), equal.clone(), pair(2), pair(5)].concat());
    let told = "1 row: both answers are equal, so that nothing is to be preferred; they are left out (the first: some.jsonl:2)";
    let line = "dpo --model model --data some.jsonl --steps 1 --batch-size 2 --max-seq-len 96 --out run";
    place.run(line).expect(0, &[told, "3 rows, "]);
    place.write("none.jsonl", equal);
    let none = line.replace("some.jsonl", "none.jsonl").replace("--out run", "--out none");
    place.run(&none).expect(1, &["1 are pairs of equal answers (the first: none.jsonl:1)"]);
    assert!(!place.exists("none"));
}

#[test]
fn a_cached_reference_is_used_again_and_refused_where_it_belongs_to_others() {
    let place = place();
    let line = format!("{DPO} --steps 6 --reference cached {LOGGED}");
    let asked = place.run(&format!("{line} --out run --stop-after 2"));
    asked.expect(0, &["asking the reference about 20 pairs"]);
    let kept = place.read("run/training/reference.bin");
    // It goes on from what was kept, without the model that the run began with.
    place.copy("model", "moved");
    place.remove("model");
    let resumed = place.run("dpo --resume --out run --stop-after 3").ok();
    assert!(!resumed.stderr.contains("asking the reference"), "{resumed}");
    assert!(place.read("run/training/reference.bin") == kept);
    // Without it the model is needed again, wherever it lies.
    place.remove("run/training/reference.bin");
    let gone = "model: the model that the run is compared with is not there";
    place.run("dpo --resume --out run").expect(2, &[gone]);
    place.run("dpo --resume --out run --model tok").expect(1, &[]);
    let again = place.run("dpo --resume --out run --model moved --stop-after 4");
    again.expect(0, &["asking the reference about 20 pairs"]);
    place.write("run/training/reference.bin", &kept);
    place.copy("moved", "model");
    // That of other rows, and of another model.
    place.write("other.jsonl", (30..50).map(pair).collect::<String>());
    place.run(&format!("{line} --out other --stop-after 1").replace("pairs.jsonl", "other.jsonl")).ok();
    place.run("sft --model model --data chat.jsonl --steps 1 --max-seq-len 64 --out tuned").ok();
    place.run(&format!("{line} --out tuned2 --stop-after 1").replace("--model model", "--model tuned")).ok();
    for (from, part) in [("other", "other rows than these"), ("tuned2", "the weights ")] {
        place.write("run/training/reference.bin", place.read(&format!("{from}/training/reference.bin")));
        let before = place.contents("run/checkpoint-000004");
        place
            .run("dpo --resume --out run")
            .expect(1, &["the cached log-probabilities of the reference are those of", part]);
        assert!(place.contents("run/checkpoint-000004") == before);
    }
    let mut flipped = kept.clone();
    flipped[kept.len() - 40] ^= 1;
    for damaged in [&kept[..kept.len() - 3], &flipped] {
        place.write("run/training/reference.bin", damaged);
        place.run("dpo --resume --out run").expect(1, &["training/reference.bin is damaged", "remove it"]);
    }
    place.write("run/training/reference.bin", &kept);
    place.run("dpo --resume --out run").ok();
    // A run that takes its place uses it again where it fits, and asks anew where not.
    let again = place.run(&format!("{line} --out run --overwrite --beta 0.3")).ok();
    again.expect(0, &["of the run before are used again"]);
    let anew = format!("{line} --out run --overwrite").replace("pairs.jsonl", "other.jsonl");
    place.run(&anew).expect(0, &["asking the reference about 20 pairs"]);
}

#[test]
fn a_run_travels_with_its_settings_and_names_what_it_began_with() {
    let place = place();
    let line = format!("{DPO} --steps 6 --beta 0.3 --label-smoothing 0.1 {LOGGED}");
    place.run(&format!("{line} --out whole")).ok();
    place.run(&format!("{line} --out parts --stop-after 3")).ok();
    place.run("export --model parts --to single-file --out run.safetensors").ok();
    let import = "import --model run.safetensors --stage dpo --data pairs.jsonl --out back";
    place.run(import).expect(2, &["compared with the model that it began with", "--base"]);
    place.run(&import.replace("--stage dpo", "--stage sft")).expect(1, &["a preference pair"]);
    place.run(&format!("{import} --base model")).expect(0, &["kindling dpo --resume --out back"]);
    place.run("dpo --resume --out back").ok();
    assert!(place.read("whole/model.safetensors") == place.read("back/model.safetensors"));
    place.run("export --model model --to single-file --out other.safetensors").ok();
    let other = import
        .replace("run.safetensors", "other.safetensors")
        .replace("pairs", "docs")
        .replace("back", "none");
    place.run(&other).expect(1, &["expected chosen and rejected"]);
}

#[test]
fn a_frozen_reference_must_be_what_the_run_began_with() {
    let place = place();
    place.run(&format!("{DPO} --steps 4 --out run --stop-after 2")).ok();
    place.run("sft --model model --data chat.jsonl --steps 1 --max-seq-len 64 --out tuned").ok();
    let other = ["tuned: these are not the weights that the run began with", "--model DIR"];
    place.run("dpo --resume --out run --model tuned").expect(1, &other);
    place.copy("model", "moved");
    place.remove("model");
    place
        .run("dpo --resume --out run")
        .expect(2, &["model: the model that the run is compared with is not there"]);
    place.run("dpo --resume --out run --model moved").ok();
    assert_eq!(place.checkpoints("run").last(), Some(&4));
}

#[test]
fn what_does_not_act_or_does_not_stand_together_is_refused() {
    let place = place();
    let dpo = format!("{DPO} --steps 2 --out run");
    for (line, parts) in [
        (format!("{dpo} --reference base"), &["--reference base is the model under an adapter"][..]),
        (format!("{dpo} --lora --reference frozen"), &["--reference frozen would hold the model twice"]),
        (format!("{dpo} --beta 0 --label-smoothing 0.7"), &["--beta is 0", "--label-smoothing is 0.7"]),
        (
            format!("{dpo} --dpo-loss hinge --label-smoothing 0.1"),
            &["acts with --dpo-loss sigmoid or robust"],
        ),
        (format!("{dpo} --dpo-loss robust"), &["needs the share of swapped pairs"]),
        (format!("{dpo} --max-prompt-len 128"), &["--max-prompt-len is 128", "--max-seq-len 128"]),
        (format!("{dpo} --keep-data chat.jsonl --keep-share 0.2"), &["does not act on pairs"]),
        (format!("{dpo} --join-turns"), &["--join-turns makes texts", "pairs of answers"]),
        ("dpo --data pairs.jsonl --out run".into(), &["`dpo` goes on from a model", "--model DIR"]),
        ("dpo --model model --out run".into(), &["no --data", "dpo.jsonl"]),
        (
            "sft --model model --data chat.jsonl --out run --beta 0.2 --reference cached".into(),
            &["--beta, --reference would not act", "use `dpo`"],
        ),
        ("data preview --model model --data chat.jsonl --max-prompt-len 9".into(), &["--stage dpo"]),
    ] {
        place.run(&line).expect(2, parts);
        assert!(!place.exists("run"), "{line}");
    }
    let wrong = place.run(&dpo.replace("pairs.jsonl", "chat.jsonl"));
    wrong.expect(1, &["chat.jsonl:1: expected chosen and rejected", "100 of the data's rows"]);
    let tuned = place.run("sft --model model --data pairs.jsonl --steps 1 --max-seq-len 64 --out run");
    tuned.expect(1, &["a preference pair (chosen, rejected) is not read here; train on it with `dpo`"]);
    assert!(!place.exists("run"));
}

#[test]
fn pairs_are_shown_as_they_are_trained() {
    let place = place();
    let long = pair(7).replace("What is", &"word ".repeat(30));
    place.write("shown.jsonl", pair(1) + &long);
    let line = "data preview --stage dpo --model model --data shown.jsonl --max-seq-len 120";
    let shown = place.run(line).ok();
    for part in ["shown.jsonl:1 · chosen · ", "shown.jsonl:1 · rejected · ", "[It is 2.", "[A lamp shines."]
    {
        assert!(shown.stdout.contains(part), "{part}\n{shown}");
    }
    let cut = place.run(&format!("{line} --max-prompt-len 40 --json"));
    let cut = cut.expect(
        0,
        &["1 row: the prompt is longer than --max-prompt-len and loses its beginning", "shown.jsonl:2"],
    );
    let rows = cut.json();
    let sides: Vec<&str> = rows.iter().filter_map(|row| row["side"].as_str()).collect();
    assert_eq!(sides, ["chosen", "rejected", "chosen", "rejected"]);
    let prompt = |row: &Value| row["mask"].as_array().unwrap().iter().take_while(|mask| **mask == 0).count();
    assert_eq!((prompt(&rows[2]), prompt(&rows[3])), (40, 40), "{cut}");
    // The rows of the generated world are such pairs.
    place.run("sample-data world").ok();
    let world = place.run("data preview --stage dpo --model model --data world/dpo.jsonl --limit 2000");
    world.expect(0, &["rows, "]);
}

#[test]
fn pairs_are_scored_and_those_that_a_run_holds_out_alone() {
    let place = place();
    let score = |flags: &str| {
        let line = format!("score --pairs --data pairs.jsonl --json {flags}");
        place.run(&line).ok().json().pop().unwrap()
    };
    let before = score("--model model");
    assert_eq!(before["pairs"], 20);
    assert!(
        before["chosen_likelier"].as_f64().is_some() && before.get("reward_margin").is_none(),
        "{before}"
    );
    let line = format!("{DPO} --steps 12 --val-split 0.2 {LOGGED}");
    place.run(&format!("{line} --out run")).ok();
    let held_out = score("--model run --reference model --val-split 0.2");
    assert_eq!(held_out["pairs"], 4);
    let eval = place.log("run").into_iter().rfind(|line| line["event"] == "eval").unwrap();
    for name in ["reward_margin", "reward_accuracy", "chosen_likelier"] {
        let (scored, logged) = (held_out[name].as_f64().unwrap(), eval[name].as_f64().unwrap());
        assert!((scored - logged).abs() < 1e-5, "{name}: {scored}, logged {logged}");
    }
    place.run(&format!("{line} --lora --lora-rank 2 --out adapter")).ok();
    let beside = score("--model model --adapter adapter");
    assert!(beside["reward_margin"].as_f64().unwrap() > 0.0, "{beside}");
    let missing = place.run("score --pairs --model model --text hi");
    missing.expect(2, &["--pairs acts beside --data alone", "--data in the place of --text"]);
}
