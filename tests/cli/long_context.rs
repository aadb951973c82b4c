//! Longer rows than those of pretraining, from stage to stage and at use: `--rope-scaling`.

use serde_json::{Value, json};

use crate::harness::Outcome;
use crate::place::{Place, SHORT, TINY};

const SFT: &str = "sft --data chat.jsonl --steps 2 --batch-size 2 --log-every 1";

/// With a model of 64 positions in `m64`.
fn place() -> Place {
    let place = Place::with_model();
    place.write("short.json", TINY.replace("128", "64"));
    let new = "pretrain --data docs.jsonl --model-config short.json --tokenizer tok --out m64";
    place.run(&format!("{new} {SHORT}")).ok();
    place
}

/// So many ids.
fn tokens(count: usize) -> String {
    (0..count).map(|i| (3 + i * 7 % 90).to_string()).collect::<Vec<_>>().join(",")
}

fn log_probs(outcome: Outcome) -> Vec<f64> {
    let result = outcome.ok().result();
    result["logprobs"].as_array().unwrap().iter().skip(1).map(|value| value.as_f64().unwrap()).collect()
}

fn rope(place: &Place, run: &str) -> (Value, Value) {
    let config = place.json(&format!("{run}/config.json"));
    (config["max_position_embeddings"].clone(), config["rope_parameters"].clone())
}

#[test]
fn a_model_is_stretched_from_stage_to_stage_and_a_resumed_run_keeps_it() {
    let place = place();
    let longer = format!("{SFT} --model m64 --max-seq-len 128");
    let told = ["--max-seq-len is 128, the model holds 64 positions", "--rope-scaling yarn"];
    place.run(&format!("{longer} --out refused")).expect(2, &told);
    assert!(!place.exists("refused"));
    let told_128 = ["64 positions are stretched by 2 (yarn): it holds 128"];
    place.run(&format!("{longer} --rope-scaling yarn --out m128")).expect(0, &told_128);
    let (positions, yarn) = rope(&place, "m128");
    assert_eq!((positions, &yarn["rope_type"], &yarn["factor"]), (json!(128), &json!("yarn"), &json!(2.0)));
    assert_eq!(yarn["original_max_position_embeddings"], 64);
    let older = &place.json("m128/config.json")["rope_scaling"];
    assert_eq!((&older["rope_type"], &older["factor"]), (&json!("yarn"), &json!(2.0)));

    let again = format!("{SFT} --model m128 --max-seq-len 256 --rope-scaling yarn");
    place
        .run(&format!("{again} --out m256"))
        .expect(0, &["64 positions are stretched by 4 (yarn): it holds 256"]);
    let (positions, yarn) = rope(&place, "m256");
    assert_eq!((positions, yarn["factor"].as_f64()), (json!(256), Some(4.0)));
    place.run(&format!("{again} --out parts --stop-after 1")).ok();
    place.run("sft --resume --out parts --rope-scaling linear").expect(2, &["was yarn"]);
    place.run("sft --resume --out parts").ok();
    for file in ["model.safetensors", "config.json", "training/optimizer.safetensors"] {
        assert!(place.read(&format!("m256/{file}")) == place.read(&format!("parts/{file}")), "{file}");
    }
    let preview = "data preview --data chat.jsonl --model m64 --limit 1 --max-seq-len 128";
    place.run(&format!("{preview} --rope-scaling yarn")).expect(0, &told_128);
    place.run(preview).expect(2, &["the model holds 64 positions"]);
    place
        .run("data preview --data chat.jsonl --model tok --rope-scaling yarn")
        .expect(2, &["there is none beside"]);
    // A stage that says nothing of it keeps what the model has.
    place.run(&format!("{SFT} --model m256 --max-seq-len 200 --out kept")).ok();
    assert_eq!(rope(&place, "kept"), rope(&place, "m256"));
    // All of these positions can be read.
    assert_eq!(
        log_probs(place.run(&format!("score --model m256 --tokens {} --json", tokens(256)))).len(),
        255
    );
}

#[test]
fn a_preference_run_that_goes_on_is_compared_with_the_stretched_model() {
    let place = place();
    let pair = |i: usize| {
        format!(
            "{{\"prompt\": \"What is {i} plus one?\", \"chosen\": \"It is {}.\", \"rejected\": \"A lamp shines.\"}}\n",
            i + 1
        )
    };
    place.write("pairs.jsonl", (0..10).map(pair).collect::<String>());
    let dpo = "dpo --model m64 --data pairs.jsonl --batch-size 2 --learning-rate 0.003 --steps 3 --log-every 1 \
               --max-seq-len 128 --rope-scaling linear";
    place.run(&format!("{dpo} --out whole")).ok();
    place.run(&format!("{dpo} --out parts --stop-after 1")).ok();
    place.run("dpo --resume --out parts").ok();
    assert!(place.read("whole/model.safetensors") == place.read("parts/model.safetensors"));
    assert_eq!(rope(&place, "whole").1["rope_type"], "linear");
}

#[test]
fn positions_may_grow_without_scaling() {
    let place = place();
    let told = ["64 positions become 128, which are not stretched"];
    let longer = format!("{SFT} --model m64 --max-seq-len 128 --rope-scaling none");
    place.run(&format!("{longer} --out raised")).expect(0, &told);
    let (positions, rope) = rope(&place, "raised");
    assert_eq!((positions, &rope["rope_type"]), (json!(128), &json!("default")));
    assert!(place.json("raised/config.json")["rope_scaling"].is_null());
    for (line, told) in [
        (format!("{SFT} --model m64 --max-seq-len 64 --rope-scaling none --out x"), "would not act"),
        (format!("{SFT} --model m64 --max-seq-len 64 --rope-scaling yarn --out x"), "rows of 64 tokens fit"),
        (format!("{longer} --rope-factor 2 --out x"), "--rope-factor would not act"),
        (format!("{SFT} --model m64 --rope-scaling yarn --rope-factor 1 --out x"), "must be above 1"),
        (format!("{SFT} --model m64 --rope-factor 2 --out x"), "--rope-scaling"),
        (
            "lora --data chat.jsonl --model m64 --rope-scaling yarn --out x".to_string(),
            "kindling export --model DIR --to hf --weights-only --rope-scaling yarn",
        ),
    ] {
        place.run(&line).expect(2, &[told]);
        assert!(!place.exists("x"), "{line}");
    }
}

#[test]
fn a_model_is_stretched_at_use_and_in_its_files() {
    let place = place();
    let long = tokens(120);
    place.run(&format!("score --model m64 --tokens {long}")).expect(1, &["the model holds 64"]);
    place
        .run(&format!("score --model m64 --tokens {long} --rope-scaling yarn"))
        .expect(2, &["needs --rope-factor"]);
    let export = "export --model m64 --to hf --weights-only";
    let whole = "export --model m64 --to hf --rope-scaling yarn --rope-factor 2 --out x";
    place.run(whole).expect(2, &["of a run that goes on; add --weights-only"]);
    for kind in ["linear", "dynamic", "yarn", "llama3"] {
        let flags = format!("--rope-scaling {kind} --rope-factor 2");
        let told = format!("stretched by 2 ({kind}): it holds 128");
        let used = place.run(&format!("score --model m64 --tokens {long} {flags} --json"));
        let used = log_probs(used.expect(0, &[&told]));
        place.run(&format!("{export} --out {kind} {flags}")).expect(0, &[&told]);
        assert_eq!(log_probs(place.run(&format!("score --model {kind} --tokens {long} --json"))), used);
        place.run(&format!("generate --model m64 --tokens {long} --max-new-tokens 4 --seed 1 {flags}")).ok();
    }
    // Other keys of the config stay as they were.
    let (mut before, mut after) = (place.json("m64/config.json"), place.json("yarn/config.json"));
    for key in ["max_position_embeddings", "rope_scaling", "rope_parameters"] {
        (before[key], after[key]) = (Value::Null, Value::Null);
    }
    assert_eq!(before, after);
    // The remedy of what refuses to stretch a model under an adapter.
    let refused = place.run("lora --data chat.jsonl --model m64 --rope-scaling yarn --out x");
    let told = refused.expect(2, &["an adapter has no place to say so", "adapt DIR2"]).stderr;
    let remedy = told.split("`kindling ").nth(1).and_then(|rest| rest.split('`').next()).unwrap();
    place.run(&remedy.replace("DIR2", "stretched").replace("DIR", "m64")).ok();
    let adapt = "lora --data chat.jsonl --model stretched --steps 1 --batch-size 2 --max-seq-len 128";
    place.run(&format!("{adapt} --out adapter")).ok();
    place
        .run(&format!("generate --model stretched --adapter adapter --tokens {long} --max-new-tokens 2"))
        .ok();

    for kind in ["linear", "yarn", "llama3"] {
        place.run(&format!("export --model {kind} --to gguf --weights f32 --out {kind}.gguf")).ok();
        let score =
            |model: &str| log_probs(place.run(&format!("score --model {model} --tokens {long} --json")));
        let off = score(kind).into_iter().zip(score(&format!("{kind}.gguf")));
        assert!(off.fold(0.0, |most: f64, (a, b)| most.max((a - b).abs())) < 1e-4, "{kind}");
    }
    let refused = place.run("export --model dynamic --to gguf --out dynamic.gguf");
    refused.expect(1, &["rope_type 'dynamic' is not written to GGUF"]);
}

#[test]
fn attention_is_measured_by_blocks_and_whole() {
    let place = Place::new();
    let bench = "bench --preset nano --what prefill --batch-size 1 --max-seq-len 600 --seconds 0 --json";
    for (flag, block) in [("", None), ("--attention-block 0", Some(0)), ("--attention-block 64", Some(64))] {
        let line = place.run(&format!("{bench} {flag}")).ok().result();
        assert_eq!(line["attention_block"].as_u64(), block, "{line}");
        assert!(line["tokens_per_second"].as_f64().unwrap() > 0.0 && line["seq"] == 600);
    }
}

#[test]
fn in_blocks_a_long_row_takes_less_memory() {
    if !cfg!(target_os = "linux") {
        eprintln!("SKIPPED: a process's peak memory is read from /proc, which only Linux has");
        return;
    }
    let place = Place::new();
    let bench = "bench --preset nano --what train --batch-size 1 --max-seq-len 1024 --seconds 0 --json";
    let peak = |flag: &str| {
        let line = place.run(&format!("{bench} {flag}")).ok().result();
        line["peak_memory_bytes"].as_f64().unwrap()
    };
    let (blocks, whole) = (peak(""), peak("--attention-block 0"));
    // At once the weights of 4 layers of 4 heads are kept: of 1024 queries each, which see half of as many keys.
    let kept = f64::from(4 * 4 * 1024 * 1024 / 2) * 4.0;
    assert!(whole - blocks > 0.7 * kept, "{blocks} bytes in blocks, {whole} at once; {kept} kept");
}
