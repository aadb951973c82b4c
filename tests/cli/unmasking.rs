//! `generate`, `chat` and `replay` with a model that predicts masked tokens: it writes without a flag, its steps are seen, and
//! holes are filled.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::harness::{Outcome, Running};
use crate::place::Place;

/// With a masked predictor in `masked` beside the causal `model` that it was made of.
fn place() -> Place {
    let place = Place::with_model();
    place.run("convert --to diffusion --model model --out masked").ok();
    place
}

const WRITE: &str = "generate --model masked --tokens 1,44,67 --max-new-tokens 8 --ignore-eos";

fn ids(value: &Value) -> Vec<u64> {
    value.as_array().unwrap().iter().map(|id| id.as_u64().unwrap()).collect()
}

/// The filled places of all steps, each with its id.
fn filled(made: &Value) -> Vec<(u64, u64)> {
    let steps = made["steps"].as_array().unwrap();
    let all = steps.iter().flat_map(|step| step["filled"].as_array().unwrap());
    all.map(|one| {
        let confidence = one["confidence"].as_f64().unwrap();
        assert!((0.0..=1.0).contains(&confidence), "{one}");
        (one["place"].as_u64().unwrap(), one["id"].as_u64().unwrap())
    })
    .collect()
}

fn mask(place: &Place) -> u64 {
    place.json("masked/config.json")["mask_token_id"].as_u64().unwrap()
}

#[test]
fn the_checkpoint_says_how_it_writes() {
    let place = place();
    let made = place.run(&format!("{WRITE} --seed 3 --json")).ok().result();
    let keys: Vec<&String> = made.as_object().unwrap().keys().collect();
    let expected = [
        "prompt_tokens",
        "tokens",
        "text",
        "finish_reason",
        "prefill_tokens_per_second",
        "decode_tokens_per_second",
    ];
    assert_eq!(keys, expected, "as of any model");
    assert_eq!((ids(&made["tokens"]).len(), &made["finish_reason"]), (8, &json!("length")));
    assert!(!ids(&made["tokens"]).contains(&mask(&place)), "{made}");
    let again = place.run(&format!("{WRITE} --seed 3 --json")).ok().result();
    assert_eq!(made["tokens"], again["tokens"], "a seed is a text");
    // For people: the text alone, and no code of a terminal where none is.
    let shown = place.run(&format!("{WRITE} --seed 3")).expect(0, &["8 tokens"]);
    assert_eq!(shown.stdout, format!("{}\n", made["text"].as_str().unwrap()));
}

#[test]
fn every_step_is_told_where_it_is_asked_for() {
    let place = place();
    let line = format!("{WRITE} --steps 4 --block-length 8 --show-steps");
    let made = place.run(&format!("{line} --json")).ok().result();
    let steps = made["steps"].as_array().unwrap();
    let numbers: Vec<u64> = steps.iter().map(|step| step["step"].as_u64().unwrap()).collect();
    assert_eq!(numbers, [1, 2, 3, 4]);
    let filled = filled(&made);
    let places: BTreeSet<u64> = filled.iter().map(|(place, _)| *place).collect();
    assert_eq!((filled.len(), places), (8, (0..8).collect()), "every token is filled once");
    let tokens = ids(&made["tokens"]);
    assert!(filled.iter().all(|&(place, id)| tokens[place as usize] == id), "{made}");
    let utf8 = [("LC_ALL", "C.UTF-8")];
    let told = place.start_with_env(&utf8, &line).finish().ok().stdout;
    let lines: Vec<&str> = told.lines().filter(|line| line.starts_with("step ")).collect();
    assert_eq!(lines.len(), 4, "{told}");
    for (number, line) in lines.iter().enumerate() {
        assert!(line.starts_with(&format!("step {}/4: ", number + 1)) && line.contains('['), "{line}");
        assert_eq!(line.contains('░'), number < 3, "{line}");
    }
    assert!(told.ends_with(&format!("{}\n", made["text"].as_str().unwrap())) && !told.contains('\x1b'));
    let ascii = place.start_with_env(&[("LC_ALL", "C")], &line).finish().ok().stdout;
    assert!(ascii.contains("__") && !ascii.contains('░'), "{ascii}");
}

#[test]
fn what_was_told_is_shown_again() {
    let place = place();
    let line = format!("{WRITE} --steps 4 --block-length 8 --show-steps");
    let env = [("LC_ALL", "C.UTF-8")];
    let told = place.start_with_env(&env, &line).finish().ok().stdout;
    place.write("steps.jsonl", place.run(&format!("{line} --json")).ok().stdout);
    let replay = place.start_with_env(&env, "replay steps.jsonl --model masked").finish().ok();
    let steps = |text: &str| {
        text.lines().filter(|line| line.starts_with("step ")).map(String::from).collect::<Vec<_>>()
    };
    assert_eq!(steps(&replay.stdout), steps(&told));
    // Another tokenizer has other words for the same ids, and a file of before does not say which it was.
    place.run("tokenizer train --data chat.jsonl --vocab-size 290 --out other").ok();
    let other = "steps.jsonl:1: other has another tokenizer than the one that wrote these steps";
    place.run("replay steps.jsonl --model other").expect(1, &[other, "with --model"]);
    let mut made: Value = serde_json::from_slice(&place.read("steps.jsonl")).unwrap();
    assert_eq!(made["vocabulary"].as_str().unwrap().len(), 32);
    made.as_object_mut().unwrap().remove("vocabulary");
    place.write("before.jsonl", made.to_string());
    let trust = ["before.jsonl:1: it does not say which tokenizer wrote it", "on trust"];
    place.run("replay before.jsonl --model masked").expect(0, &trust);
    place.write("plain.jsonl", place.run(&format!("{WRITE} --json")).ok().stdout);
    place.run("replay plain.jsonl --model masked").expect(1, &["plain.jsonl:1: not what", "--show-steps"]);
    place.run("replay steps.jsonl --model masked --json").expect(2, &["leave out --json"]);
    place.run("replay absent.jsonl --model masked").expect(1, &["absent.jsonl"]);
}

#[test]
fn flags_of_masks_are_refused_where_there_are_none() {
    let place = Place::with_model();
    let causal = "generate --model model --tokens 1";
    let parts = ["--steps, --threshold says how masked tokens are filled", "convert --to diffusion"];
    place.run(&format!("{causal} --steps 4 --threshold 0.5")).expect(2, &parts);
    // A default that is said is one, too.
    for flag in
        ["--block-length 8", "--remasking low-confidence", "--cfg-scale 0", "--show-steps", "--hole-tokens 3"]
    {
        let name = flag.split(' ').next().unwrap();
        place.run(&format!("{causal} {flag}")).expect(2, &[format!("{name} says how masked").as_str()]);
    }
    place.run("chat --model model --prompt hi --steps 2").expect(2, &["--steps says how masked"]);
    let wrong = place.run(&format!("{causal} --steps 0 --cfg-scale -1 --temperature -1"));
    wrong.expect(2, &["--steps is 0", "--cfg-scale is -1", "--temperature is -1"]);
    // Holes are text there.
    let words = ["generate", "--model", "model", "--prompt", "The ___", "--max-new-tokens", "2", "--json"];
    let made = place.run_words(&words).expect(0, &["___ is text here"]).result();
    assert!(made.get("holes").is_none(), "{made}");
}

#[test]
fn holes_are_filled_and_the_text_around_them_stays() {
    let place = place();
    let mask = mask(&place);
    let infill = |prompt: &str, flags: &str| {
        let words = ["generate", "--model", "masked", "--prompt", prompt];
        let flags = flags.split_whitespace();
        place.run_words(&words.into_iter().chain(flags).collect::<Vec<_>>())
    };
    let prompt = "The ___ lamp stands beside___.";
    let made = infill(prompt, "--hole-tokens 3 --ignore-eos --show-steps --json").ok().result();
    let (canvas, tokens) = (ids(&made["prompt_tokens"]), ids(&made["tokens"]));
    assert_eq!(canvas.iter().filter(|id| **id == mask).count(), 6);
    assert_eq!(canvas.len(), tokens.len(), "the tokens are the whole text");
    let kept = canvas.iter().zip(&tokens).filter(|(given, _)| **given != mask);
    assert!(kept.clone().all(|(given, token)| given == token), "{made}");
    assert!(!tokens.contains(&mask), "{made}");
    let filled: BTreeSet<u64> = filled(&made).into_iter().map(|(place, _)| place).collect();
    let masks: BTreeSet<u64> = (0..canvas.len() as u64).filter(|at| canvas[*at as usize] == mask).collect();
    assert_eq!(filled, masks);
    let holes: Vec<&str> =
        made["holes"].as_array().unwrap().iter().map(|hole| hole.as_str().unwrap()).collect();
    // This tokenizer has spaces of their own, so that the one before a hole stays.
    assert_eq!(made["text"], format!("The {} lamp stands beside{}.", holes[0], holes[1]));
    // For people the text stands once.
    let shown = infill(prompt, "--hole-tokens 3 --ignore-eos").expect(0, &["6 tokens"]);
    assert_eq!(shown.stdout, format!("{}\n", made["text"].as_str().unwrap()));
    // Behind a backslash they are text, and it is gone on from.
    let plain = infill("The \\___ lamp", "--max-new-tokens 2 --ignore-eos --json").ok().result();
    assert!(plain.get("holes").is_none() && ids(&plain["tokens"]).len() == 2, "{plain}");
    infill("The lamp", "--hole-tokens 3").expect(2, &["--hole-tokens acts on prompts with holes"]);
    infill(prompt, "--max-new-tokens 3")
        .expect(0, &["--max-new-tokens does nothing where the prompt has holes"]);
    infill(prompt, "--hole-tokens 0").expect(2, &["--hole-tokens"]);
    infill(prompt, "--hole-tokens 500").expect(1, &["--hole-tokens 500", "128"]);
}

#[test]
fn a_mask_among_ids_is_a_hole() {
    let place = place();
    let mask = mask(&place);
    let line = format!("generate --model masked --tokens 1,44,{mask},67 --ignore-eos --json");
    let made = place.run(&line).ok().result();
    let tokens = ids(&made["tokens"]);
    assert_eq!((tokens.len(), tokens[..2].to_vec(), tokens[3]), (4, vec![1, 44], 67), "{made}");
    assert_eq!(made["holes"].as_array().unwrap().len(), 1);
}

#[test]
fn rows_have_holes_and_settings_of_their_own() {
    let place = place();
    place.write(
        "rows.jsonl",
        "{\"prompt\": \"the\", \"steps\": 2}\n{\"prompt\": \"The ___ lamp\", \"remasking\": \"random\"}\n\
         {\"question\": \"lamp?\"}\n",
    );
    let line =
        "generate --model masked --data rows.jsonl --max-new-tokens 4 --ignore-eos --show-steps --json";
    let rows = place.run(line).expect(0, &["1 row has holes"]).json();
    assert_eq!(rows.iter().map(|row| row["line"].as_u64().unwrap()).collect::<Vec<_>>(), [1, 2, 3]);
    assert_eq!(rows[0]["steps"].as_array().unwrap().len(), 2);
    assert_eq!((ids(&rows[0]["tokens"]).len(), rows[0].get("holes")), (4, None));
    assert_eq!(rows[1]["holes"].as_array().unwrap().len(), 1);
    assert_eq!((ids(&rows[2]["tokens"]).len(), rows[2].get("holes")), (4, None));
    place.write(
        "holes.jsonl",
        "{\"prompt\": \"The ___ lamp\", \"hole_tokens\": 3}\n{\"prompt\": \"the\", \"hole_tokens\": 3}\n",
    );
    let holes = place.run(&line.replace("rows.jsonl", "holes.jsonl"));
    let rows = holes.expect(0, &["1 row: hole_tokens does nothing"]).json();
    assert_eq!(filled(&rows[0]).len(), 3, "a row says how long its holes are");
    place.write(
        "length.jsonl",
        "{\"prompt\": \"The ___ lamp\", \"max_new_tokens\": 3}\n{\"prompt\": \"the\"}\n",
    );
    let told =
        ["1 row: max_new_tokens does nothing, because the prompt's holes are filled", "length.jsonl:1"];
    let told = [&told[..], &["--max-new-tokens does nothing where the prompt has holes"]].concat();
    place.run(&line.replace("rows.jsonl", "length.jsonl")).expect(0, &told);
    place.write("long.jsonl", "{\"prompt\": \"The ___ lamp\", \"hole_tokens\": 500}\n");
    let long = place.run(&line.replace("rows.jsonl", "long.jsonl")).expect(1, &["with hole_tokens 500"]);
    assert!(!long.stderr.contains("--hole-tokens"), "a row has keys, not flags: {long}");
    place.write("bad.jsonl", "{\"prompt\": \"the\", \"threshold\": 2}\n");
    place.run(&line.replace("rows.jsonl", "bad.jsonl")).expect(1, &["bad.jsonl:1: threshold is 2"]);
    place.run(&format!("{line} --batch-size 2")).expect(2, &["--batch-size continues prompts side by side"]);
    // Of other models such a column is data that nothing reads.
    let causal = "generate --model model --data rows.jsonl --max-new-tokens 2 --json";
    place.run(causal).expect(0, &["remasking (1 row), steps (1 row)"]);
    // But how long holes are is said to no other model.
    let refused =
        ["holes.jsonl:1: hole_tokens says how many tokens fill a hole", "writes from left to right"];
    place.run(&causal.replace("rows.jsonl", "holes.jsonl")).expect(1, &refused);
}

#[test]
fn a_model_of_blocks_writes_and_fills_no_holes() {
    let place = Place::with_model();
    place.run("convert --to diffusion --model model --block-length 4 --out masked").ok();
    let made = place.run(&format!("{WRITE} --show-steps --json")).ok().result();
    assert_eq!(ids(&made["tokens"]).len(), 8);
    // A block is whole before the next begins: with three tokens of a prompt the first one has one place left.
    let places: Vec<u64> = filled(&made).into_iter().map(|(place, _)| place).collect();
    assert_eq!((places[0], places[1..5].iter().copied().max()), (0, Some(4)), "{places:?}");
    let words = ["generate", "--model", "masked", "--prompt", "The ___ lamp"];
    assert_eq!(place.run_words(&words).code, Some(1));
    place.write("rows.jsonl", "{\"prompt\": \"The ___ lamp\"}\n");
    let rows = place.run("generate --model masked --data rows.jsonl");
    rows.expect(1, &["rows.jsonl:1: this model reads blocks of 4 tokens", "without --block-length"]);
}

#[test]
fn a_conversation_is_written_step_by_step() {
    let place = place();
    let line = "chat --model masked --max-new-tokens 6 --ignore-eos";
    let talk = place.run_with_input(
        &format!("{line} --show-steps --json"),
        "hello\n/steps 2\nagain\n/steps 0\n/threshold 0.5\n/steps\nthird\n",
    );
    let talk = talk.expect(0, &["--steps is 0"]);
    let counts: Vec<usize> =
        talk.json().iter().map(|answer| answer["steps"].as_array().unwrap().len()).collect();
    assert_eq!((counts.len(), counts[0], counts[1]), (3, 6, 2), "{talk}");
    assert!(counts[2] <= 6, "a threshold fills at least one token a step: {talk}");
    // What a conversation told is shown again, each answer by itself, as what `generate` told is.
    let told: Vec<(String, usize)> = talk
        .json()
        .iter()
        .map(|answer| {
            (answer["content"].as_str().unwrap().to_string(), answer["steps"].as_array().unwrap().len())
        })
        .collect();
    place.write("talk.jsonl", &talk.stdout);
    let shown = place.run("replay talk.jsonl --model masked").ok().stdout;
    let mut rest = shown.as_str();
    for (text, steps) in &told {
        for _ in 0..*steps {
            let (line, below) = rest.split_once('\n').unwrap();
            assert!(line.starts_with("step "), "{shown}");
            rest = below;
        }
        rest = rest.strip_prefix(&format!("{text}\n")).unwrap_or_else(|| panic!("{text:?} in {rest:?}"));
    }
    assert_eq!((told.len(), rest), (3, ""));
    let plain = place.run_with_input(line, "hello\n").expect(0, &["(6 tokens"]);
    assert!(!plain.stdout.contains('\x1b'), "{plain}");
    let causal = place.run_with_input("chat --model model --max-new-tokens 2", "/steps 4\nhello\n");
    causal.expect(0, &["writes from left to right and fills no masks"]);
}

#[test]
fn steps_that_are_too_few_are_told_at_once() {
    let place = place();
    let line = "chat --model masked --max-new-tokens 8 --block-length 2 --ignore-eos";
    let talk = place.run_with_input(&format!("{line} --show-steps --json"), "/steps 5\n/steps 3\nhello\n");
    let talk = talk.expect(0, &["--steps is 3", "give at least 4", "stay as they were"]);
    assert_eq!(talk.result()["steps"].as_array().unwrap().len(), 5, "{talk}");
    let wrong = place.run_with_input(&format!("{line} --steps 3"), "hello\n");
    assert_eq!(wrong.expect(2, &["give at least 4"]).stdout, "");
    // A prompt is shown when it can be gone on from.
    let steps = "generate --model masked --prompt lamp --max-new-tokens 8 --block-length 2 --steps 3";
    assert_eq!(place.run(steps).expect(2, &["give at least 4"]).stdout, "");
    let long = "lamp ".repeat(200);
    for model in ["masked", "model"] {
        let long = place.run_words(&["generate", "--model", model, "--prompt", &long]);
        assert_eq!(long.expect(1, &["128"]).stdout, "");
    }
}

/// A command on a terminal of its own, or a word on why the test is skipped.
fn on_terminal(place: &Place, env: &[(&str, &str)], line: &str) -> Option<Outcome> {
    if !cfg!(target_os = "linux") || !std::path::Path::new("/usr/bin/script").exists() {
        eprintln!("SKIPPED: there is no /usr/bin/script");
        return None;
    }
    let wrapper = ["sh", "-c", "exec script -qec \"$*\" /dev/null", "sh"];
    let words: Vec<&str> = line.split(' ').chain(["--device", "cpu"]).collect();
    Some(Running::start_with_env(place.root(), env, &wrapper, &words).finish().ok())
}

/// What is left on a terminal behind the last time that all was taken away.
fn left(text: &str) -> String {
    text.rsplit("\x1b[J").next().unwrap().replace('\r', "")
}

#[test]
fn a_terminal_shows_the_text_as_it_fills_and_keeps_only_the_text() {
    let place = place();
    let line = format!("{WRITE} --steps 8 --block-length 8");
    let text = place.run(&line).ok().stdout.replace('\r', "");
    let color = [("TERM", "xterm-256color"), ("LC_ALL", "C.UTF-8"), ("NO_COLOR", "")];
    let Some(seen) = on_terminal(&place, &color, &line) else { return };
    let seen = seen.stdout;
    for part in ["░", "\x1b[K", "\x1b[2m", "38;5;", "step 1/8 · 1 of 8 tokens"] {
        assert!(seen.contains(part), "{part:?} in {seen:?}");
    }
    assert!(left(&seen).contains(&text), "{seen:?}");
    let plain = [("TERM", "xterm-256color"), ("LC_ALL", "C"), ("NO_COLOR", "1")];
    let seen = on_terminal(&place, &plain, &line).unwrap().stdout;
    assert!(seen.contains("__") && seen.contains("\x1b[K") && !seen.contains('░'), "{seen:?}");
    assert!(!seen.contains("\x1b[2m") && !seen.contains("38;5;"), "{seen:?}");
    assert!(left(&seen).contains(&text), "{seen:?}");
    // A terminal that cannot draw, and a person who wants no progress, get the text as it comes.
    let dumb = on_terminal(&place, &[("TERM", "dumb")], &line).unwrap().stdout;
    let quiet = on_terminal(&place, &color, &format!("{line} --quiet")).unwrap().stdout;
    for seen in [dumb, quiet] {
        assert!(!seen.contains("\x1b[K") && seen.replace('\r', "").contains(&text), "{seen:?}");
    }
}
