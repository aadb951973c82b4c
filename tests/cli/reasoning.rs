//! `reason`: tags that count more, answers that are judged at every evaluation, and how such a run goes on.

use serde_json::Value;

use crate::place::Place;

const REASON: &str = "reason --model model --data reason.jsonl --batch-size 8 --max-seq-len 96 \
                      --log-every 1 --val-split 0.2 --eval-max-new-tokens 60";

/// With 40 questions that all have the same thought and answer: a tiny model learns them by heart.
fn place() -> Place {
    let place = Place::with_model();
    let row = |i: usize| {
        let answer = r"<think>\nhm\n</think>\n<answer>\n7\n</answer>";
        format!("{{\"user\": \"What is {i} plus one?\", \"assistant\": \"{answer}\"}}\n")
    };
    place.write("reason.jsonl", (0..40).map(row).collect::<String>());
    place
}

fn evals(place: &Place, run: &str) -> Vec<Value> {
    place.log(run).into_iter().filter(|line| line["event"] == "eval").collect()
}

#[test]
fn a_model_learns_the_tags_and_its_answers_are_judged() {
    let place = place();
    let told = ["of 8 answers 100.0 % keep the tags, 100.0 % are right", "kindling chat --model run"];
    place
        .run(&format!("{REASON} --learning-rate 0.02 --steps 160 --eval-every 80 --out run"))
        .expect(0, &told);
    let measured = evals(&place, "run");
    assert_eq!(measured.len(), 2);
    for (name, expected) in [("format_rate", 1.0), ("answer_accuracy", 1.0), ("answers", 8.0)] {
        assert_eq!(measured[1][name].as_f64(), Some(expected), "{}", measured[1]);
    }
    // What it says is piped as it is.
    let said =
        place.run_words(&["chat", "--model", "run", "--prompt", "What is 3 plus one?", "--temperature", "0"]);
    assert_eq!(said.ok().stdout, "<think>\nhm\n</think>\n<answer>\n7\n</answer>\n");
    let settings: toml::Table = place.text("run/training/settings.toml").parse().unwrap();
    assert_eq!(settings["stage"].as_str(), Some("reason"));
    assert_eq!(settings["tag-weight"].as_integer(), Some(10));
    assert_eq!(settings["think-tags"].as_str(), Some("<think>...</think>"));
    // A model that has learned nothing keeps none.
    place.run(&format!("{REASON} --steps 1 --learning-rate 1e-30 --out untaught")).ok();
    let line = &evals(&place, "untaught")[0];
    assert_eq!(
        (line["format_rate"].as_f64(), line["answer_accuracy"].as_f64()),
        (Some(0.0), Some(0.0)),
        "{line}"
    );
}

#[test]
fn whole_tags_count_more_whatever_their_tokens_and_the_preview_shows_it() {
    let place = place();
    let preview = "data preview --stage reason --model model --data reason.jsonl --limit 1";
    let shown = place.run(preview).ok().stdout;
    let row = "[×10:<think>][\nhm\n][×10:</think>][\n][×10:<answer>][\n7\n][×10:</answer>][<|im_end|>]";
    assert!(shown.contains(row), "{shown}");
    let weights = |flags: &str| {
        let row = place.run(&format!("{preview} --json {flags}")).ok().result();
        let weights = row["weights"]
            .as_array()
            .map(|all| all.iter().map(|one| one.as_f64().unwrap()).collect::<Vec<_>>());
        (weights, row["mask"].as_array().unwrap().iter().filter(|one| **one == 1).count())
    };
    let (weighed, targets) = weights("--tag-weight 4");
    let weighed = weighed.unwrap();
    let of = |weight: f64| weighed.iter().filter(|one| **one == weight).count();
    // Four tags of several tokens each, for which this vocabulary has none of their own.
    assert!(of(4.0) > 16 && of(4.0) + of(1.0) == targets && of(1.0) >= 6, "{weighed:?}");
    assert_eq!(weights("--tag-weight 1").0, None, "all count alike");
    let other = place
        .run(&format!("{preview} --think-tags <answer>...</answer> --answer-tags <think>...</think>"))
        .ok();
    assert!(other.stdout.contains("[×10:<think>]"), "{}", other.stdout);
    let none = place.run(&format!("{preview} --think-tags [a]...[/a] --answer-tags [b]...[/b]"));
    let none = none.expect(0, &["does not have thinking and answer between their tags"]);
    assert!(!none.stdout.contains("×10"), "{}", none.stdout);
}

#[test]
fn rows_of_other_forms_stand_between_the_tags_and_those_that_do_not_think_are_counted() {
    let place = Place::with_model();
    let rows = [
        r#"{"question": "3+4", "answer": "7", "reasoning_content": "hm"}"#,
        r##"{"question": "3+4", "answer": "hm\n#### 7"}"##,
        r#"{"messages": [{"role": "user", "content": "3+4"}, {"role": "assistant", "content": "<think>hm</think>\n\n7"}]}"#,
        r#"{"question": "3+4", "answer": "It is 7."}"#,
    ];
    place.write("reason.jsonl", rows.map(|row| format!("{row}\n")).concat());
    let preview = "data preview --stage reason --model model --data reason.jsonl --limit 4";
    let told = ["1 row: the last answer does not have thinking and answer", "reason.jsonl:4"];
    let shown = place.run(preview).expect(0, &told).stdout;
    let row = "[×10:<think>][\nhm\n][×10:</think>][\n][×10:<answer>][\n7\n][×10:</answer>]";
    assert_eq!(shown.matches(row).count(), 3, "{shown}");
    assert!(shown.contains("[It is 7.<|im_end|>]"), "{shown}");
}

#[test]
fn judging_answers_changes_nothing_and_a_run_in_two_parts_is_the_same() {
    let place = place();
    let run = |flags: &str, out: &str| {
        place.run(&format!("{REASON} --learning-rate 0.02 --steps 8 --eval-every 2 {flags} --out {out}")).ok()
    };
    run("", "whole");
    run("--eval-answers 0", "unasked");
    run("--stop-after 3", "parts");
    place.run("reason --resume --out parts").ok();
    for file in ["model.safetensors", "training/optimizer.safetensors"] {
        let whole = place.read(&format!("whole/{file}"));
        assert!(whole == place.read(&format!("parts/{file}")), "{file} of a run in two parts");
        assert!(whole == place.read(&format!("unasked/{file}")), "{file} without answers");
    }
    assert_eq!(place.logged_steps("whole"), place.logged_steps("parts"));
    let judged = |run: &str| {
        let keys = ["step", "loss", "format_rate", "answer_accuracy"];
        evals(&place, run).iter().map(|line| keys.map(|key| line[key].as_f64())).collect::<Vec<_>>()
    };
    assert_eq!(judged("whole").len(), 4);
    // The stop at step 3 is measured, too.
    assert!(judged("whole").iter().all(|line| judged("parts").contains(line)));
    assert!(judged("unasked").iter().all(|line| line[2].is_none() && line[1].is_some()));
    place.run("reason --resume --out parts --tag-weight 3").expect(2, &["--tag-weight is 3 now and was 10"]);
}

#[test]
fn an_adapter_learns_the_tags_and_a_run_travels_with_its_settings() {
    let place = place();
    let line = format!("{REASON} --learning-rate 0.02 --steps 6 --tag-weight 5");
    place.run(&format!("{line} --lora --lora-rank 2 --out adapter")).expect(0, &["--adapter adapter"]);
    place.run(&format!("{line} --out whole")).ok();
    place.run(&format!("{line} --out parts --stop-after 3")).ok();
    place.run("export --model parts --to single-file --out run.safetensors").ok();
    let import = "import --model run.safetensors --stage reason --data reason.jsonl --out back";
    place.run(import).expect(0, &["kindling reason --resume --out back"]);
    place.run("reason --resume --out back").ok();
    assert!(place.read("whole/model.safetensors") == place.read("back/model.safetensors"));
}

#[test]
fn what_does_not_act_is_refused_by_name_and_nothing_is_written() {
    let place = place();
    for (line, parts) in [
        (
            "reason --data reason.jsonl --out run",
            &["`reason` goes on from a model that answers", "--model DIR"][..],
        ),
        ("reason --model model --out run", &["there is no --data", "reason.jsonl"]),
        (
            "sft --model model --data chat.jsonl --tag-weight 3 --out run",
            &["--tag-weight would not act, because `sft` teaches no tags", "use `reason`"],
        ),
        (
            "reason --model model --data reason.jsonl --tag-weight 0 --eval-max-new-tokens 0 --out run",
            &["--tag-weight is 0", "--eval-max-new-tokens is 0"],
        ),
        (
            "reason --model model --data reason.jsonl --answer-tags <think>...<x> --out run",
            &["the tag <think> stands in the tag <think> as well"],
        ),
        ("reason --model model --data reason.jsonl --think-tags <think> --out run", &["expected both tags"]),
        (
            "reason --model model --data reason.jsonl --val-split 0 --eval-answers 9 --out run",
            &["--eval-answers needs held-out rows", "--val-split"],
        ),
        ("data preview --model model --data chat.jsonl --tag-weight 3", &["--tag-weight", "--stage reason"]),
    ] {
        place.run(line).expect(2, parts);
        assert!(!place.exists("run"), "{line}");
    }
    // Without rows that think there is nothing to ask.
    let none = "reason --model model --data chat.jsonl --steps 2 --max-seq-len 64 --out none";
    let told = [
        "no held-out row has thinking and answer between their tags",
        "95 rows: the last answer does not have",
    ];
    place.run(none).expect(0, &told);
    assert!(evals(&place, "none")[0].get("format_rate").is_none());
}
