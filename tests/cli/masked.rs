//! Masked predictors on the command line: trained, resumed, shown, and refused where they do not fit.

use serde_json::Value;

use crate::place::{Place, document};
use crate::two_parts;

const SMALL: &str = "--batch-size 4 --max-seq-len 64 --log-every 1 --steps 6";

/// With a masked predictor in `masked`, whose blocks have eight tokens.
fn place() -> Place {
    let place = Place::with_model();
    place.run("convert --to diffusion --model model --block-length 8 --out masked").ok();
    place
}

/// Compares a run in one go with one in two parts, and looks at what it tells of hidden tokens.
fn compare(place: &Place, command: &str) {
    two_parts::compare(place, command, 3, &["masked_accuracy"]);
    let log = place.log("whole");
    let steps: Vec<_> = log.iter().filter(|line| line.get("event").is_none()).collect();
    assert_eq!(steps.len(), 6);
    assert!(steps.iter().all(|line| (0.0..=1.0).contains(&line["masked_accuracy"].as_f64().unwrap())));
    let eval = log.iter().find(|line| line["event"] == "eval").unwrap();
    assert!(eval["masked_accuracy"].is_number() && eval["loss"].as_f64().unwrap() > 0.0, "{eval}");
    assert_eq!(eval["bits_per_byte"].is_number(), command.contains("--t-range 0,1"), "{eval}");
}

#[test]
fn a_masked_predictor_trains_in_every_way_and_in_two_parts() {
    let place = place();
    let held_out = "--val-split 0.1 --eval-every 3";
    for command in [
        "pretrain --data docs.jsonl --objective diffusion",
        "pretrain --data docs.jsonl --packing false --loss-weight inverse-t --t-range 0,1",
        "sft --data chat.jsonl --freeze mlp --loss-weight inverse-t --t-range 0.1,0.5",
        "lora --data chat.jsonl --lora-rank 4 --min-steps 0",
    ] {
        compare(&place, &format!("{command} --model masked {SMALL} {held_out}"));
    }
    let settings: toml::Table = place.text("whole/training/settings.toml").parse().unwrap();
    assert_eq!(settings["t-range"].as_str(), Some("0.05,1"));
    place.run("lora --resume --out whole --t-range 0,1").expect(2, &["t-range"]);
}

#[test]
fn an_adapter_is_refused_beside_the_same_weights_in_a_model_that_reads_otherwise() {
    let place = place();
    place
        .run(&format!(
            "lora --model masked --data chat.jsonl --lora-rank 4 --min-steps 0 {SMALL} --out tuned"
        ))
        .ok();
    let ask = |model: &str| {
        place.run(&format!("generate --model {model} --adapter tuned --prompt the --max-new-tokens 2"))
    };
    ask("masked").ok();
    for (flags, told) in [
        ("--block-length 4", "block_length was 8 and is 4"),
        ("--block-length 0", "block_length was 8 and is none"),
        ("--shift-logits false", "shift_logits was true and is false"),
    ] {
        place.run(&format!("convert --to diffusion --model masked {flags} --out other")).ok();
        ask("other").expect(1, &["the same weights in a model that reads otherwise", told]);
        place.run("merge --model other --adapter tuned --out merged").expect(1, &[told]);
        place.remove("other");
    }
    // The same weights as a causal model.
    place.copy("masked", "causal");
    let mut config = place.json("model/config.json");
    config["vocab_size"] = place.json("masked/config.json")["vocab_size"].clone();
    place.write("causal/config.json", config.to_string());
    ask("causal").expect(1, &["objective was masked-diffusion and is next-token"]);
}

/// The first bytes of a safetensors file, which tell what is in it, as JSON.
fn header(bytes: &[u8]) -> Value {
    let length = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    serde_json::from_slice(&bytes[8..8 + length]).unwrap()
}

#[test]
fn an_adapter_of_before_learns_how_its_base_reads_where_it_goes_on() {
    const KEY: &str = "kindling.reading";
    let place = place();
    let lora = "lora --model masked --data chat.jsonl --lora-rank 4 --min-steps 0";
    place.run(&format!("{lora} {SMALL} --stop-after 2 --out run")).ok();
    let file = "run/checkpoint-000002/adapter_model.safetensors";
    let mut bytes = place.read(file);
    let before = header(&bytes);
    let mut without = before.clone();
    without["__metadata__"].as_object_mut().unwrap().remove(KEY).unwrap();
    // As long as it was: what is missing is blank.
    let length = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let text = without.to_string();
    bytes[8..8 + length].fill(b' ');
    bytes[8..8 + text.len()].copy_from_slice(text.as_bytes());
    place.write(file, &bytes);
    assert!(header(&place.read(file))["__metadata__"][KEY].is_null());
    place.run("lora --resume --out run").ok();
    let after = header(&place.read("run/adapter_model.safetensors"));
    assert_eq!(after["__metadata__"][KEY], before["__metadata__"][KEY]);
}

#[test]
fn a_model_whose_files_do_not_say_what_it_predicts_is_refused_by_name() {
    let place = place();
    let opened = |model: &str, key: &str, value: Value| {
        place.copy(model, "changed");
        let mut config = place.json("changed/config.json");
        config[key] = value;
        place.write("changed/config.json", config.to_string());
        let outcome = place.run("generate --model changed --tokens 5,6 --max-new-tokens 2");
        place.remove("changed");
        outcome
    };
    let mask = opened("masked", "mask_token_id", 44.into());
    mask.expect(1, &["mask_token_id is 44", "the tokenizer's mask_token is <|mask|> with the id 300"]);
    opened("masked", "shift_logits", Value::Null).expect(1, &["config.json has no shift_logits"]);
    let causal = opened("model", "objective", "masked-diffusion".into());
    causal.expect(1, &["objective 'masked-diffusion' is not supported", "kindling_diffusion"]);
}

#[test]
fn a_masked_predictor_trains_from_tokens_made_before_and_from_shares() {
    let place = place();
    for (to, out) in [("shards", "shards"), ("npy", "rows.npy")] {
        let prepare = "data prepare --data docs.jsonl --model masked --stage pretrain --max-seq-len 64";
        place.run(&format!("{prepare} --to {to} --out {out}")).ok();
        place.run(&format!("pretrain --model masked {SMALL} --data {out} --out from-{to}")).ok();
    }
    let chats = "data prepare --data chat.jsonl --model masked --stage sft --max-seq-len 64 --out chats";
    place.run(chats).ok();
    place.run(&format!("sft --model masked {SMALL} --data chats --out from-chats")).ok();
    place.write("more.jsonl", (300..320).map(document).collect::<String>());
    let shares = "--data docs.jsonl=0.7 --data more.jsonl=0.3";
    place.run(&format!("pretrain --model masked {SMALL} {shares} --out shares")).ok();
}

#[test]
fn a_preview_shows_what_training_hides() {
    let place = place();
    let rows = |stage: &str, data: &str, more: &str| {
        let line = format!(
            "data preview --model masked --stage {stage} --data {data}.jsonl --limit 2 --max-seq-len 96 --json {more}"
        );
        let shown = place.run(&line).ok().json();
        shown.into_iter().filter(|line| line["event"] == "hidden").collect::<Vec<_>>()
    };
    let places = |row: &Value| -> Vec<u64> {
        row["hidden"].as_array().unwrap().iter().map(|at| at.as_u64().unwrap()).collect()
    };
    for (stage, data) in [("pretrain", "docs"), ("sft", "chat")] {
        let shown = rows(stage, data, "--t-range 1,1");
        assert_eq!(shown.len(), 2);
        for row in &shown {
            let (hidden, tokens) = (places(row), row["tokens"].as_array().unwrap().len() as u64);
            assert_eq!(row["p"].as_f64(), Some(1.0));
            // All of a text but its first token; of a conversation the answer and what fills the row.
            assert_eq!(hidden, (hidden[0]..tokens).collect::<Vec<u64>>());
            assert_eq!(hidden[0] == 1, stage == "pretrain");
        }
        let some = rows(stage, data, "--t-range 0.4,0.6");
        assert!(some.iter().all(|row| (0.4..0.61).contains(&row["p"].as_f64().unwrap())));
        assert_eq!(some, rows(stage, data, "--t-range 0.4,0.6"), "the same every time");
    }
    let told = place.run("data preview --model masked --data chat.jsonl --limit 1").ok().stdout;
    assert!(told.contains("hidden with a probability of") && told.contains('⟦'), "{told}");
    let plain = place.run("data preview --model model --data chat.jsonl --limit 1").ok().stdout;
    assert!(!plain.contains("hidden with"), "{plain}");
    place.run("data preview --model model --data chat.jsonl --t-range 0,1").expect(2, &["--t-range acts on"]);
}

#[test]
fn what_does_not_fit_is_refused_by_name() {
    let place = place();
    for (line, code, parts) in [
        (
            "sft --model model --data chat.jsonl --objective diffusion",
            1,
            &["--objective diffusion needs a model that predicts masked tokens", "convert --to diffusion"][..],
        ),
        ("sft --model masked --data chat.jsonl --objective next-token", 1, &["--objective next-token"]),
        (
            "sft --model model --data chat.jsonl --loss-weight inverse-t",
            2,
            &["--loss-weight and --t-range act"],
        ),
        ("pretrain --model model --data docs.jsonl --t-range 0,1", 2, &["--loss-weight and --t-range act"]),
        // Typed, the defaults are idle as well.
        (
            "sft --model model --data chat.jsonl --loss-weight uniform",
            2,
            &["--loss-weight and --t-range act"],
        ),
        ("lora --model model --data chat.jsonl --t-range 0.05,1", 2, &["--loss-weight and --t-range act"]),
        ("sft --model masked --data chat.jsonl --t-range -1,1", 2, &["--t-range is -1,1; it must be"]),
        ("sft --model masked --data chat.jsonl --t-range 0.9,0.1", 2, &["--t-range is 0.9,0.1"]),
        ("sft --model masked --data chat.jsonl --t-range 0.9", 2, &["is no range of two shares"]),
        ("sft --model masked --data chat.jsonl --loss-weight t", 2, &["inverse-t"]),
        ("sft --model masked --data chat.jsonl --packing", 2, &["--packing does not act on conversations"]),
        (
            "dpo --model model --data chat.jsonl --loss-weight uniform",
            2,
            &["--loss-weight would not act, because `dpo` hides no tokens"],
        ),
        ("reason --model model --data chat.jsonl --objective diffusion", 2, &["`reason` hides no tokens"]),
    ] {
        place.run(&format!("{line} {SMALL} --out run")).expect(code, parts);
        assert!(!place.exists("run"), "{line}");
    }
}

#[test]
fn a_file_gives_a_range_as_a_list_and_the_frozen_part_is_told() {
    let place = place();
    place.write("run.toml", "t-range = [0.2, 0.4]\nfreeze = [\"mlp\"]\n");
    let told =
        place.run(&format!("sft --config run.toml --model masked --data chat.jsonl {SMALL} --out run")).ok();
    let settings: toml::Table = place.text("run/training/settings.toml").parse().unwrap();
    assert_eq!(settings["t-range"].as_str(), Some("0.2,0.4"));
    let line = told.stderr.lines().find(|line| line.contains("trained beside")).unwrap();
    let numbers = line.split(" on ").next().unwrap().replace(',', "");
    let numbers: Vec<u64> = numbers.split(' ').filter_map(|word| word.parse().ok()).collect();
    let all = place.run("convert --model masked --dtype f32 --out same --json").ok().result()["parameters"]
        .as_u64();
    assert_eq!((numbers.len(), Some(numbers.iter().sum())), (2, all), "{line}");
    place.write("bad.toml", "t-range = [0.2]\n");
    let bad = format!("sft --config bad.toml --model masked --data chat.jsonl {SMALL} --out other");
    place.run(&bad).expect(2, &["'0.2' is no range of two shares, as 0.1,0.5"]);
}

#[test]
fn help_lists_no_other_flags_below_those_of_masked_predictors() {
    let place = Place::new();
    for verb in ["pretrain", "sft"] {
        let help = place.run(&format!("{verb} --help")).ok().stdout;
        let (before, below) = help.split_once("Masked predictors:").unwrap();
        // The next heading begins its line.
        let below = below.split("\n\n").take_while(|part| part.starts_with([' ', '\n']));
        let below = below.collect::<String>();
        for flag in ["--objective", "--loss-weight", "--t-range"] {
            assert!(below.contains(flag) && !before.contains(flag), "{verb} {flag}: {help}");
        }
        for flag in ["--neftune", "--ema", "--save-minutes"] {
            assert!(before.contains(flag) && !below.contains(flag), "{verb} {flag}: {help}");
        }
    }
}

#[test]
fn an_adapter_of_a_masked_predictor_has_defaults_of_its_own() {
    let place = place();
    let lora = |model: &str, flags: &str| {
        let line = format!(
            "lora --model {model} --data chat.jsonl --steps 2 --batch-size 2 --max-seq-len 64 {flags}"
        );
        let told = place.run(&line).ok().stderr;
        let out = flags.rsplit(' ').next().unwrap();
        let settings: toml::Table = place.text(&format!("{out}/training/settings.toml")).parse().unwrap();
        let progress = place.json(&format!("{out}/training/progress.json"));
        assert_eq!(
            progress["config"]["learning-rate"].as_f64(),
            settings["learning-rate"].as_float(),
            "{out}"
        );
        let rate = settings["learning-rate"].as_float().unwrap();
        (told, rate, settings["min-steps"].as_integer().unwrap())
    };
    let (told, rate, least) = lora("masked", "--out few");
    assert!(
        told.contains("an adapter of a masked predictor learns with --learning-rate 0.005, unless"),
        "{told}"
    );
    assert_eq!((rate, least), (5e-3, 1200));
    let (told, rate, least) = lora("masked", "--learning-rate 0.001 --min-steps 10 --out said");
    assert_eq!((told.contains("masked predictor learns"), rate, least), (false, 1e-3, 10));
    let (told, rate, least) = lora("model", "--out causal");
    assert_eq!((told.contains("masked predictor learns"), rate, least), (false, 1e-3, 160));
    // A run that goes on has what it began with.
    place.run("lora --resume --out few").ok();
}

#[test]
fn a_masked_predictor_that_is_not_there_is_told_with_the_commands_that_make_one() {
    let place = Place::with_model();
    for verb in
        ["sft", "pretrain", "lora --data chat.jsonl", "sft --preset nano --tokenizer tok --data chat.jsonl"]
    {
        let told = [
            "--objective diffusion trains a masked predictor, and no --model names one",
            "kindling convert --to diffusion --model my/first --out my/masked",
            "--objective diffusion --model my/masked --data my/first/data/",
        ];
        place.run(&format!("{verb} --objective diffusion")).expect(2, &told);
    }
    assert!(!place.exists("runs"));
}
