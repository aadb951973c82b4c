//! Models as others left them: what is odd about them is said, and what can be read is read alike by every verb.

use kindling::formats::{TensorFile, TorchFloat, write_state_dict};
use serde_json::{Value, json};

use crate::place::Place;

const SCORE: &str = "--tokens 40,41,42,43,44 --json";

fn score(place: &Place, model: &str) -> Value {
    place.run(&format!("score --model {model} {SCORE}")).ok().result()["logprobs"].clone()
}

/// Sets a key of a JSON file.
fn set(place: &Place, file: &str, key: &str, value: Value) {
    let mut root = place.json(file);
    root[key] = value;
    place.write(file, root.to_string());
}

/// A copy of the model without a run, so that exports hold the same files.
fn copied(place: &Place, to: &str) {
    place.copy("model/checkpoint-000003", to);
    place.remove(&format!("{to}/training"));
}

#[test]
fn keys_that_nothing_reads_are_named_on_stderr_and_those_of_training_are_refused_where_it_begins() {
    let place = Place::with_model();
    copied(&place, "m");
    set(&place, "m/config.json", "depth_scale", json!(2));
    set(&place, "m/config.json", "hidden_dropout", json!(0.1));
    let told = "warning: m: config.json: a model of the family llama does not read depth_scale";
    for line in ["score --model m --tokens 1,2,3 -q", "export --model m --to hf --out copy", "plan --model m"]
    {
        let outcome = place.run(line).expect(0, &[told]);
        assert!(!outcome.stderr.contains("hidden_dropout"), "{outcome}");
    }
    let short = "--data docs.jsonl --steps 2 --batch-size 2 --max-seq-len 32";
    let train = format!("pretrain --model m --out run {short}");
    place.run(&train).expect(2, &["config.json has hidden_dropout 0.1", "set it to 0", "transformers"]);
    set(&place, "m/config.json", "hidden_dropout", json!(0.0));
    set(&place, "m/config.json", "attention_dropout", json!(0.1));
    place.run(&train).expect(0, &[told]);
    let tuned = place.run(&format!("pretrain --model run --out more {short}")).ok();
    assert!(!tuned.stderr.contains("depth_scale"), "{tuned}");
    assert_eq!(
        place.json("run/config.json")["attention_dropout"],
        json!(0.1),
        "training honours it, and keeps it"
    );
}

#[test]
fn a_key_that_acts_is_refused_by_every_verb() {
    let place = Place::with_model();
    for (key, value, told) in [
        ("is_causal", json!(false), "is_causal 'false' is not supported"),
        ("logit_scale", json!(0.5), "logit_scale '0.5' is not supported"),
        ("quantization_config", json!({"quant_method": "gptq", "bits": 4}), "quantised by gptq (4 bits)"),
        ("hidden_act", json!(3), "hidden_act is 3, not a text"),
    ] {
        copied(&place, "m");
        set(&place, "m/config.json", key, value);
        for line in [
            "score --tokens 1,2",
            "export --to hf --out new",
            "export --to gguf --out new.gguf",
            "import --out new",
        ] {
            place.run(&format!("{line} --model m")).expect(1, &["m: ", told]);
        }
        place.remove("m");
    }
    assert!(!place.exists("new") && !place.exists("new.gguf"));
}

#[test]
fn a_weight_that_is_no_number_is_refused_by_name() {
    let place = Place::with_model();
    copied(&place, "m");
    let mut weights = place.read("m/model.safetensors");
    let end = weights.len();
    weights[end - 4..].copy_from_slice(&f32::NAN.to_le_bytes());
    place.write("m/model.safetensors", weights);
    let told = ["m: tensor 'model.", "holds NaN", "an earlier save"];
    place.run("score --model m --tokens 1,2,3").expect(1, &told);
    place.run("generate --model m --tokens 1,2,3").expect(1, &told);
}

#[test]
fn a_gguf_is_known_by_its_first_bytes() {
    let place = Place::with_model();
    place.run("export --model model --to gguf --weights f32 --out m.gguf").ok();
    place.write("blobs/sha256-0123", place.read("m.gguf"));
    place.write("blobs/other", "no model at all");
    assert_eq!(score(&place, "blobs/sha256-0123"), score(&place, "m.gguf"));
    for line in [
        "import --out back",
        "chat --prompt hi --max-new-tokens 3",
        "data preview --data chat.jsonl --limit 1",
        "tokenizer report --data docs.jsonl",
        "plan",
    ] {
        place.run(&format!("{line} --model blobs/sha256-0123")).ok();
    }
    assert_eq!(score(&place, "back"), score(&place, "m.gguf"));
    let told = ["blobs/other: this file is of no form of a model", ".gguf"];
    place.run("score --tokens 1,2 --model blobs/other").expect(1, &told);
}

#[test]
fn weights_of_torch_are_read_beside_their_config() {
    let place = Place::with_model();
    copied(&place, "m");
    let weights = TensorFile::open("m", place.read("m/model.safetensors")).unwrap().read_all().unwrap();
    place.write("m/pytorch_model.bin", write_state_dict(&weights, &[], TorchFloat::F32).unwrap());
    place.remove("m/model.safetensors");
    assert_eq!(score(&place, "m"), score(&place, "model"));
    place.run("export --model m --to single-file --out m.safetensors").ok();
    assert_eq!(score(&place, "m.safetensors"), score(&place, "model"));
    let alone = ["m/pytorch_model.bin: these are PyTorch's weights alone", "config.json"];
    place.run("score --tokens 1,2 --model m/pytorch_model.bin").expect(1, &alone);
    place.remove("m/pytorch_model.bin");
    place.write("m/pytorch_model.bin.index.json", "{}");
    place.run("score --tokens 1,2 --model m").expect(1, &["m: its weights are PyTorch's", "save_pretrained"]);
}

#[test]
fn a_tokenizer_can_be_named_where_a_model_has_none() {
    let place = Place::with_model();
    copied(&place, "m");
    for file in ["tokenizer.json", "tokenizer_config.json", "vocab.json", "merges.txt"] {
        place.remove(&format!("m/{file}"));
    }
    place.run("score --model m --text lamp").expect(1, &["there is no tokenizer.json", "--tokenizer"]);
    for line in [
        "score --text lamp",
        "generate --prompt lamp --max-new-tokens 3",
        "chat --prompt lamp --max-new-tokens 3",
        "export --to gguf --out m.gguf",
        "pretrain --data docs.jsonl --steps 2 --batch-size 2 --max-seq-len 32 --out run",
    ] {
        place.run(&format!("{line} --model m --tokenizer model")).ok();
    }
    assert_eq!(score(&place, "m.gguf").as_array().unwrap().len(), 5);
    place.write("m/tokenizer.model", "pieces");
    for line in ["score --text lamp", "data preview --data chat.jsonl"] {
        place
            .run(&format!("{line} --model m"))
            .expect(1, &["m: there is no tokenizer.json", "tokenizer.model", "AutoTokenizer"]);
    }
}

#[test]
fn merging_keeps_the_settings_of_generation() {
    let place = Place::with_model();
    copied(&place, "m");
    set(&place, "m/generation_config.json", "temperature", json!(0.6));
    set(&place, "m/generation_config.json", "top_p", json!(0.9));
    let short = "--steps 2 --batch-size 2 --max-seq-len 64";
    place.run(&format!("lora --model m --data chat.jsonl --out lora {short}")).ok();
    place.run("merge --model m --adapter lora --out merged").ok();
    let mut merged = place.json("merged/generation_config.json");
    // What it was made of is told beside them.
    let card = merged.as_object_mut().unwrap().remove("kindling").unwrap();
    assert_eq!(card["parent"], "m");
    assert_eq!(merged, place.json("m/generation_config.json"));
    assert_eq!((&merged["temperature"], &merged["top_p"]), (&json!(0.6), &json!(0.9)));
}
