//! `generate --demo`, `chat --demo` and `data list`: the built-in prompts by the kind of a model, and what is public.

use serde_json::Value;

use crate::harness::Outcome;
use crate::place::Place;

/// A pretrained model in `model`, a chat model of it in `chat` and one of preferences in `dpo`.
fn place() -> Place {
    let place = Place::with_model();
    let pair = |i: usize| {
        format!("{{\"prompt\": \"Is {i} a number?\", \"chosen\": \"It is.\", \"rejected\": \"No idea.\"}}\n")
    };
    place.write("pairs.jsonl", (0..20).map(pair).collect::<String>());
    let short = "--steps 1 --batch-size 2 --max-seq-len 64";
    place.run(&format!("sft --model model --data chat.jsonl {short} --out chat")).ok();
    place.run(&format!("dpo --model chat --data pairs.jsonl {short} --out dpo")).ok();
    place
}

fn texts(lines: &[Value], key: &str) -> Vec<String> {
    lines.iter().filter_map(|line| Some(line[key].as_str()?.to_string())).collect()
}

fn questions(outcome: &Outcome) -> Vec<String> {
    let lines = outcome.json();
    let asked: Vec<Value> = lines.iter().filter(|line| line["role"] == "user").cloned().collect();
    assert_eq!(2 * asked.len(), lines.len(), "every question has an answer: {outcome}");
    texts(&asked, "content")
}

#[test]
fn questions_are_those_of_what_a_model_learned_last_or_as_asked() {
    let place = place();
    let ask =
        |flags: &str| questions(&place.run(&format!("chat --demo --json --max-new-tokens 2 {flags}")).ok());
    let (chat, dpo) = (ask("--model chat"), ask("--model dpo"));
    assert!(chat.len() >= 6 && chat.contains(&"你是谁？".to_string()), "{chat:?}");
    assert_ne!(chat, dpo);
    assert_eq!(ask("--model dpo --demo-kind chat"), chat);
    assert_eq!(ask("--model chat --demo-kind preference"), dpo);
    let sums = ask("--model chat --demo-kind reasoning");
    assert!(sums.iter().any(|text| text.contains("17 + 25")), "{sums:?}");
    let shown = place.run("chat --demo --model chat --max-new-tokens 2").ok();
    assert!(shown.stdout.contains("> Who are you?"), "{shown}");
}

#[test]
fn a_question_stands_for_itself_unless_a_history_is_asked_for() {
    let place = place();
    let flags = "--demo --json --temperature 0 --max-new-tokens 3 --ignore-eos";
    let answers = |more: &str| {
        let lines = place.run(&format!("chat --model chat {flags} {more}")).ok().json();
        let said = lines.into_iter().filter(|line| line["role"] == "assistant");
        said.collect::<Vec<_>>()
    };
    let alone = answers("");
    let single = place.run_words(&[
        "chat",
        "--model",
        "chat",
        "--prompt",
        "Who are you?",
        "--json",
        "--temperature",
        "0",
        "--max-new-tokens",
        "3",
        "--ignore-eos",
    ]);
    assert_eq!(alone[0]["content"], single.ok().result()["content"]);
    assert!(alone.iter().all(|answer| answer["dropped_messages"] == 0), "{alone:?}");
    // With a history of one turn, the third question finds the first turn forgotten.
    let behind = answers("--demo-history 2");
    assert_eq!(behind[0]["content"], alone[0]["content"], "the first one has nothing before it");
    assert!(behind[2]["dropped_messages"].as_u64().unwrap() >= 2, "{behind:?}");
    place
        .run("chat --model chat --demo --demo-history 3")
        .expect(2, &["--demo-history is 3, but it must be even"]);
    place.run("chat --model chat --demo-history 2").expect(2, &["--demo"]);
    place.run("chat --model chat --demo --history 2").expect(2, &["--history"]);
    place.run("chat --model chat --demo --prompt hello").expect(2, &["--prompt"]);
}

#[test]
fn two_models_write_on_side_by_side() {
    let place = place();
    let flags = "--demo --temperature 0 --max-new-tokens 3 --ignore-eos";
    let alone = |model: &str| {
        let lines = place.run(&format!("generate --model {model} {flags} --json")).ok().json();
        texts(&lines, "text")
    };
    let both = place.run(&format!("generate --model model --model chat {flags} --json")).ok().json();
    assert_eq!(both.len(), 2 * alone("model").len());
    for model in ["model", "chat"] {
        let own: Vec<Value> = both.iter().filter(|line| line["model"] == model).cloned().collect();
        assert_eq!(texts(&own, "text"), alone(model), "{model}");
        assert!(own.iter().all(|line| line["prompt"].is_string() && line["tokens"].is_array()));
    }
    let shown = place.run(&format!("generate --model model --model chat {flags}")).ok().stdout;
    let head = shown.lines().next().unwrap();
    assert!(head.starts_with("model ") && head.ends_with(" chat"), "{shown}");
    assert!(shown.contains("\nOnce upon a time\n") && shown.contains("从前"), "{shown}");
    place.run("generate --model model --model chat --prompt hi").expect(2, &["side by side with --demo"]);
    place.run("generate --model a --model b --model c --demo").expect(2, &["--model is said 3 times"]);
    let adapter = "generate --model model --model chat --demo --adapter x";
    place.run(adapter).expect(2, &["does not say which of the two models"]);
}

#[test]
fn flags_that_act_beside_others_alone_are_refused_without_them() {
    let place = Place::new();
    let alone = |flag: &str, needs: &str, other: &str| {
        format!("--{flag} acts beside --{needs} alone, and --{needs} does not go together with --{other}")
    };
    for (line, flag, needs, other) in [
        ("generate --model m --prompt x --demo-kind chat", "demo-kind", "demo", "prompt"),
        ("generate --model m --prompt x --out rows.jsonl", "out", "data", "prompt"),
        ("chat --model m --prompt x --demo-kind chat", "demo-kind", "demo", "prompt"),
        ("chat --model m --prompt x --demo-history 2", "demo-history", "demo", "prompt"),
        ("chat --model m --history 2 --demo-history 2", "demo-history", "demo", "history"),
        ("score --model m --text x --pairs", "pairs", "data", "text"),
    ] {
        place.run(line).expect(2, &[&alone(flag, needs, other)]);
    }
    let idle = "score --model m --data pairs.jsonl --pairs --add-bos";
    place.run(idle).expect(2, &["'--pairs' cannot be used with '--add-bos'"]);
}

#[test]
fn a_masked_predictor_fills_the_holes_of_its_demo() {
    let place = Place::with_model();
    place.run("convert --to diffusion --model model --out masked").ok();
    let demo = "generate --model masked --demo --hole-tokens 2 --temperature 0 --json";
    let filled = place.run(demo).ok().json();
    assert!(
        filled.len() >= 4 && filled.iter().all(|line| line["holes"].as_array().unwrap().len() == 1),
        "{filled:?}"
    );
    place.run("convert --to diffusion --block-length 4 --model model --out blocks").ok();
    // A model of blocks sees nothing behind a hole, and goes on from beginnings.
    let written = place.run("generate --model blocks --demo --max-new-tokens 4 --json").ok().json();
    assert!(written.iter().all(|line| line.get("holes").is_none()), "{written:?}");
    // Beside a causal model both go on from the same beginnings.
    let line = "generate --model masked --model model --demo --max-new-tokens 4 --steps 2 --json";
    let both = place.run(line).ok().json();
    assert!(texts(&both, "prompt").contains(&"Once upon a time".to_string()), "{both:?}");
}

#[test]
fn public_data_sets_are_listed_without_a_network() {
    let place = Place::new();
    let all = place.run("data list --json").ok().json();
    assert!(all.len() > 20);
    for set in &all {
        for key in ["name", "stage", "languages", "format", "address", "about"] {
            assert!(set[key].is_string(), "{key} in {set}");
        }
        assert!(set.get("size").is_some() && set.get("licence").is_some(), "{set}");
    }
    let pairs = place.run("data list --stage dpo --json").ok().json();
    assert!(!pairs.is_empty() && pairs.len() < all.len() && pairs.iter().all(|set| set["stage"] == "dpo"));
    let shown = place.run("data list").expect(0, &["data of others under their own licences", "sample-data"]);
    assert_eq!(shown.stdout.lines().count(), all.len() + 1);
    assert!(shown.stdout.contains("hub:jingyaogong/minimind_dataset/sft_t2t_mini.jsonl"), "{shown}");
    place.run("data list --stage walking").expect(2, &["walking"]);
}
