//! `convert`: a causal model as a masked predictor, in any form and type, and LLaDA's names on the way out and back in.

use std::fs::OpenOptions;
use std::io::Write;

use kindling::formats::{ShardedWeights, StoredFloat};
use kindling::model::ModelConfig;
use serde_json::json;

use crate::place::{Place, SHORT};

const CONVERT: &str = "convert --to diffusion --model model --out masked";

/// Every file below a directory, by its name there.
fn files(place: &Place, directory: &str) -> Vec<(String, Vec<u8>)> {
    let root = place.path(directory);
    let name = |path: &std::path::Path| path.strip_prefix(&root).unwrap().to_string_lossy().into_owned();
    place.contents(directory).into_iter().map(|(path, bytes)| (name(&path), bytes)).collect()
}

#[test]
fn a_model_becomes_a_masked_predictor_with_a_token_of_its_own() {
    let place = Place::with_model();
    let before = place.contents("model");
    let told = place
        .run(&format!("{CONVERT} --json"))
        .expect(0, &["<|mask|> with the id 300", "sft --model masked"]);
    let told = told.result();
    assert_eq!((&told["mask_token_id"], &told["vocab_size"]), (&300.into(), &301.into()));
    assert_eq!((&told["shift_logits"], &told["dtype"]), (&true.into(), &"float32".into()));
    let config = place.json("masked/config.json");
    assert_eq!(config["model_type"], "kindling_diffusion");
    assert_eq!(
        (&config["objective"], &config["attention"]),
        (&"masked-diffusion".into(), &"bidirectional".into())
    );
    assert_eq!(place.json("masked/tokenizer_config.json")["mask_token"], "<|mask|>");
    assert_eq!(place.json("masked/generation_config.json")["kindling"]["parent"], "model");
    assert!(place.contents("model") == before, "the model stays as it is");
    // What stands there is never destroyed.
    let made = place.contents("masked");
    place.run(CONVERT).expect(2, &["--out masked is taken"]);
    assert!(place.contents("masked") == made);
    let blocks = "convert --to diffusion --model model --shift-logits false --block-length 8 --out blocks";
    place.run(blocks).expect(0, &["block of 8 tokens", "predict its own token"]);
    let config = place.json("blocks/config.json");
    assert_eq!((&config["block_length"], &config["shift_logits"]), (&8.into(), &false.into()));
}

#[test]
fn a_model_tells_what_it_was_made_of_from_wherever_it_lies() {
    let place = Place::with_model();
    let elsewhere = Place::new();
    let parent = |place: &Place, model: &str| {
        place.json(&format!("{model}/generation_config.json"))["kindling"]["parent"].clone()
    };
    place.run("convert --to diffusion --model model --out far/masked").ok();
    assert_eq!(parent(&place, "far/masked"), "model", "it is found from above");
    let lora = "lora --model far/masked --data chat.jsonl --lora-rank 2 --min-steps 0 --max-seq-len 64";
    place.run(&format!("{lora} --steps 1 --out tuned")).ok();
    let merge = "merge --model far/masked --adapter tuned --out";
    place.run(&format!("{merge} merged")).ok();
    assert_eq!(parent(&place, "merged"), "far/masked", "not what that one was made of");
    let real = std::fs::canonicalize(place.path("far/masked")).unwrap();
    place.run(&format!("{merge} {}", elsewhere.path("merged").display())).ok();
    assert_eq!(parent(&elsewhere, "merged"), real.display().to_string());
    let out = elsewhere.path("blocks").display().to_string();
    place.run(&format!("convert --to diffusion --model far/masked --block-length 4 --out {out}")).ok();
    assert_eq!(parent(&elsewhere, "blocks"), real.display().to_string());
    place.run("sft --model merged --data chat.jsonl --steps 1 --max-seq-len 64 --out runs/made").ok();
    let shown = place.run("runs --json").ok().json();
    let run = shown.iter().find(|run| run["run"] == "runs/made").unwrap();
    assert_eq!(run["lineage"].as_array().unwrap()[..2], ["merged", "far/masked"], "{run}");
    assert!(run["lineage"][2].as_str().unwrap().ends_with("model"), "{run}");
}

#[test]
fn what_lies_beside_the_new_directory_stays() {
    let place = Place::with_model();
    place.write(".masked.tmp/notes.txt", "mine");
    place.write(".one.safetensors.tmp", "mine");
    // What a killed command leaves has a lock that nobody holds.
    place.write(".one.safetensors.aB3xYz.tmp/.kindling-making", "");
    place.write(".one.safetensors.aB3xYz.tmp/made", "half");
    let left = ".one.safetensors.aB3xYz.tmp: what an interrupted command left there was removed";
    place.run(CONVERT).expect(0, &[left]);
    place.run("export --model masked --to single-file --out one.safetensors").ok();
    assert_eq!(place.text(".masked.tmp/notes.txt"), "mine");
    assert_eq!(place.text(".one.safetensors.tmp"), "mine");
    assert_eq!(hidden(&place), [".masked.tmp", ".one.safetensors.tmp"]);
}

/// What begins with a point, in order.
fn hidden(place: &Place) -> Vec<String> {
    let names = std::fs::read_dir(place.root()).unwrap();
    let names = names.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned());
    let mut names: Vec<String> = names.filter(|name| name.starts_with('.')).collect();
    names.sort();
    names
}

#[cfg(unix)]
#[test]
fn an_interrupted_conversion_leaves_nothing() {
    let place = Place::new();
    let shape = json!({"model_type": "llama", "vocab_size": 4000, "hidden_size": 512, "intermediate_size": 2048,
        "num_hidden_layers": 16, "num_attention_heads": 8, "max_position_embeddings": 64,
        "tie_word_embeddings": false});
    write_model(&place, "large", &shape.to_string(), 1 << 30);
    let running = place.start("convert --to diffusion --model large --dtype f32 --out masked");
    place.wait_for("the first file", || !hidden(&place).is_empty() || place.exists("masked"));
    running.signal("INT");
    let ended = running.finish();
    assert_eq!(ended.code, Some(130), "{ended}");
    assert!(hidden(&place).is_empty() && !place.exists("masked"), "{ended}");
}

#[test]
fn flags_that_do_not_fit_are_refused_by_name() {
    let place = Place::with_model();
    for (flags, code, parts) in [
        ("", 2, &["--to diffusion", "--dtype"][..]),
        ("--shift-logits true", 2, &["add --to diffusion"]),
        ("--block-length 4", 2, &["add --to diffusion"]),
        ("--to diffusion --block-length 1000", 2, &["--block-length is 1000", "128 positions"]),
        ("--to diffusion --block-length -1", 2, &["--block-length"]),
        ("--to diffusion --shift-logits maybe", 2, &["maybe"]),
        ("--to autoregressive", 2, &["autoregressive"]),
    ] {
        place.run(&format!("convert --model model --out new {flags}")).expect(code, parts);
        assert!(!place.exists("new"), "{flags}");
    }
    place.run("convert --to diffusion --model nowhere --out new").expect(1, &["nowhere"]);
    place.run("convert --to diffusion --model model --out model").expect(2, &["--out model is taken"]);
}

#[test]
fn a_second_time_only_what_is_asked_for_changes() {
    let place = Place::with_model();
    place.run(CONVERT).ok();
    let again = "convert --to diffusion --model masked --out again";
    place.run(again).expect(2, &["predicts masked tokens already"]);
    let without = "convert --model masked --out again --block-length 0";
    place.run(without).expect(2, &["predicts masked tokens already", "so add that"]);
    assert!(!place.exists("again"));
    let told = place.run(&format!("{again} --block-length 16"));
    let told = told.expect(0, &["its weights stay", "block of 16 tokens"]);
    assert!(!told.stderr.contains("yet to learn"), "what it has learned nobody knows: {told}");
    assert!(place.read("again/model.safetensors") == place.read("masked/model.safetensors"));
    assert!(
        place.read("again/tokenizer.json") == place.read("masked/tokenizer.json"),
        "no second mask token"
    );
    assert_eq!(place.json("again/config.json")["shift_logits"], true);
}

#[test]
fn what_needs_a_causal_model_refuses_a_masked_one_by_name() {
    let place = Place::with_model();
    place.run(CONVERT).ok();
    let refused = ["needs a model that predicts the next token", "it was converted from"];
    place.write("pairs.jsonl", "{\"prompt\": \"a\", \"chosen\": \"b\", \"rejected\": \"c\"}\n".repeat(8));
    for line in [
        "export --model masked --to gguf --out m.gguf".to_string(),
        "export --model masked --to minimind-pth --out m.pth".to_string(),
        format!("dpo --model masked --data pairs.jsonl --out run {SHORT}"),
        format!("distill --model model --teacher masked --data chat.jsonl --out run {SHORT}"),
    ] {
        let told = place.run(&line);
        assert_ne!(told.code, Some(0), "{told}");
        refused.iter().for_each(|part| assert!(told.stderr.contains(part), "{told}"));
    }
    for name in ["m.gguf", "m.pth"] {
        assert!(!place.exists(name), "{name}");
    }
}

#[test]
fn other_forms_hold_a_masked_predictor_and_give_it_back() {
    let place = Place::with_model();
    place.run("convert --to diffusion --model model --shift-logits false --block-length 8 --out masked").ok();
    place.run("export --model masked --to single-file --out one.safetensors").ok();
    place.run("import --model one.safetensors --out back").ok();
    for file in ["config.json", "model.safetensors", "tokenizer.json"] {
        assert!(place.read(&format!("back/{file}")) == place.read(&format!("masked/{file}")), "{file}");
    }
    // LLaDA's form, with what its code does not do told, and ours again.
    let told =
        place.run("export --model masked --to hf --out llada").expect(0, &["block_length in config.json"]);
    assert!(!told.stderr.contains("shift_logits in config.json"), "{told}");
    let config = place.json("llada/config.json");
    assert_eq!(
        (&config["model_type"], &config["architectures"][0]),
        (&"llada".into(), &"LLaDAModelLM".into())
    );
    assert_eq!(
        (&config["d_model"], &config["mask_token_id"], &config["block_length"]),
        (&16.into(), &300.into(), &8.into())
    );
    let weights = place.read("llada/model.safetensors");
    let holds = |name: &str| weights.windows(name.len()).any(|part| part == name.as_bytes());
    assert!(holds("model.transformer.blocks.0.attn_out.weight") && !holds("self_attn"));
    place.run("import --model llada --out ours").ok();
    assert!(place.read("ours/model.safetensors") == place.read("masked/model.safetensors"));
    assert_eq!(place.json("ours/config.json"), place.json("masked/config.json"));
    // A shifted model says so, and a causal one is exported as ever.
    place.run("convert --to diffusion --model model --out shifted").ok();
    place.run("export --model shifted --to hf --out x").expect(0, &["shift_logits in config.json"]);
    place.run("export --model model --to hf --weights-only --out causal").ok();
    assert_eq!(place.json("causal/config.json")["model_type"], "llama");
}

#[test]
fn a_model_that_the_published_code_cannot_compute_stays_in_our_form() {
    let place = Place::new();
    let shape = json!({"model_type": "qwen3", "vocab_size": 300, "hidden_size": 16, "intermediate_size": 32,
        "num_hidden_layers": 1, "num_attention_heads": 2, "num_key_value_heads": 1, "head_dim": 8,
        "max_position_embeddings": 64, "tie_word_embeddings": true});
    write_model(&place, "causal", &shape.to_string(), 1 << 30);
    place.run("convert --to diffusion --model causal --out masked").ok();
    place
        .run("export --model masked --to hf --out out")
        .expect(0, &["warning: LLaDA's published code has no", "qk_norm"]);
    assert!(place.read("out/model.safetensors") == place.read("masked/model.safetensors"));
    assert_eq!(place.json("out/config.json")["model_type"], "kindling_diffusion");
}

#[test]
fn weights_take_another_type_where_it_is_asked_for_and_else_keep_theirs() {
    let place = Place::with_model();
    place.run("convert --model model --dtype bf16 --out narrow").ok();
    assert_eq!(place.json("narrow/config.json")["dtype"], "bfloat16");
    let (wide, narrow) =
        (place.read("model/model.safetensors").len(), place.read("narrow/model.safetensors").len());
    assert!(narrow < wide * 6 / 10, "{narrow} of {wide}");
    place.run("generate --model narrow --prompt a --max-new-tokens 2").ok();
    let told = place.run("convert --to diffusion --model narrow --out masked --json").ok().result();
    assert_eq!(told["dtype"], "bfloat16");
    place.run("export --model masked --to hf --out llada").ok();
    assert_eq!(place.json("llada/config.json")["torch_dtype"], "bfloat16");
    place.run("import --model llada --out ours").ok();
    assert_eq!(place.json("ours/config.json"), place.json("masked/config.json"));
    let told = place.run("convert --to diffusion --model narrow --dtype f32 --out f32 --json").ok().result();
    assert_eq!(told["dtype"], "float32");
}

/// A model of a shape with made-up weights in files of at most `most` bytes.
fn write_model(place: &Place, name: &str, shape: &str, most: u64) {
    let config = ModelConfig::from_hugging_face(shape.as_bytes()).unwrap();
    place.write(&format!("{name}/config.json"), config.to_hugging_face());
    let mut source =
        |_: &str, shape: &[usize], take: &mut dyn FnMut(&[f32]) -> kindling::error::Result<()>| {
            let rows = shape[..shape.len() - 1].iter().product::<usize>();
            let row: Vec<f32> = (0..shape[shape.len() - 1]).map(|i| (i % 7) as f32 * 0.01 - 0.03).collect();
            (0..rows).try_for_each(|_| take(&row))
        };
    let mut sink = |file: &str, bytes: &[u8]| {
        let path = place.path(name).join(file);
        let file = OpenOptions::new().create(true).append(true).open(path);
        file.unwrap().write_all(bytes).unwrap();
        Ok(())
    };
    ShardedWeights::new(config.weight_shapes(), StoredFloat::Bf16, most)
        .write(&mut source, &mut sink)
        .unwrap();
}

#[test]
fn a_divided_model_of_any_size_takes_the_memory_of_a_few_of_its_weights() {
    if !cfg!(target_os = "linux") {
        eprintln!("SKIPPED: a process's peak memory is read from /proc, which only Linux has");
        return;
    }
    let place = Place::new();
    let peak = |layers: usize| {
        let shape = json!({"model_type": "mistral", "vocab_size": 2000, "hidden_size": 512,
            "intermediate_size": 2048, "num_hidden_layers": layers, "num_attention_heads": 8,
            "num_key_value_heads": 2, "max_position_embeddings": 64, "sliding_window": 16,
            "tie_word_embeddings": false});
        write_model(&place, "large", &shape.to_string(), 12 << 20);
        let (parts, all) = (files(&place, "large").len(), files(&place, "large"));
        let all: usize = all.iter().map(|(_, bytes)| bytes.len()).sum();
        let outcome =
            place.run("convert --to diffusion --model large --out masked").expect(0, &["window of 16"]);
        place.remove("large");
        place.remove("masked");
        (outcome.peak_kib as f64 / 1024.0, all as f64 / f64::from(1 << 20), parts)
    };
    let (small, large) = (peak(2), peak(14));
    assert!(large.2 > 8 && large.1 - small.1 > 80.0, "{large:?} beside {small:?}");
    assert!(small.0 > 1.0, "{} MB cannot be", small.0);
    // The largest weight takes 4 MB in f32; the files grew by more than 80 MB.
    assert!(large.0 - small.0 < 16.0, "{large:?} MB at the peak, {small:?} with fewer layers");
}
