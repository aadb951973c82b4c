//! Checkpoints that are damaged, incomplete, foreign or of another kind: each is told apart by name.

use crate::place::{Place, SHORT, TINY};

/// An edit that spoils the checkpoint `m`, and what must be said about it.
type Spoiled = (fn(&Place), &'static [&'static str]);

/// Each edit is made to a fresh copy of the model; then no verb opens it, and each says why.
fn refuse_all(cases: &[Spoiled]) {
    let place = Place::with_model();
    for (spoil, parts) in cases {
        place.copy("model", "m");
        spoil(&place);
        for line in [
            "score --model m --tokens 1,2,3 --json".to_string(),
            "generate --model m --tokens 1,2,3 --json".to_string(),
            format!("pretrain --model m --data docs.jsonl --out run {SHORT} --json"),
        ] {
            let outcome = place.run(&line).expect(1, parts);
            assert_eq!(outcome.stdout, "", "{outcome}");
        }
        assert!(!place.exists("run"));
        place.remove("m");
    }
}

/// Replaces a part of the copy's `config.json`.
fn edit(place: &Place, from: &str, to: &str) {
    let config = place.text("m/config.json");
    assert!(config.contains(from), "{config}");
    place.write("m/config.json", config.replace(from, to));
}

fn cut(place: &Place, file: &str, left: usize) {
    place.write(file, &place.read(file)[..left]);
}

#[test]
fn damaged_weights_are_told_apart() {
    const WHOLE: &str = "model.safetensors is not a whole safetensors file";
    refuse_all(&[
        (
            |place| cut(place, "m/model.safetensors", place.read("m/model.safetensors").len() - 100),
            &["m: ", WHOLE],
        ),
        (|place| cut(place, "m/model.safetensors", 200), &[WHOLE, "200 bytes"]),
        (|place| cut(place, "m/model.safetensors", 0), &[WHOLE, "0 bytes"]),
        (|place| place.remove("m/model.safetensors"), &["m: there is no model.safetensors"]),
        (
            |place| edit(place, "\"intermediate_size\": 32", "\"intermediate_size\": 48"),
            &["'model.layers.0.mlp.gate_proj.weight' has shape [32, 16], the config asks for [48, 16]"],
        ),
        (
            |place| edit(place, "\"num_hidden_layers\": 1", "\"num_hidden_layers\": 2"),
            &["no tensor 'model.layers.1."],
        ),
    ]);
}

#[test]
fn configs_that_are_not_supported_are_refused_by_name() {
    refuse_all(&[
        (
            |place| edit(place, "\"llama\"", "\"gpt2\""),
            &["m: ", "model_type 'gpt2' is not supported", "llama"],
        ),
        (|place| edit(place, "\"silu\"", "\"gelu\""), &["hidden_act 'gelu' is not supported", "silu"]),
        (
            |place| edit(place, "\"rope_scaling\": null", "\"rope_scaling\": {\"rope_type\": \"longrope\"}"),
            &["rope_type 'longrope' is not supported"],
        ),
        (
            |place| edit(place, "\"num_key_value_heads\": 1", "\"num_key_value_heads\": 3"),
            &["num_attention_heads (2) must be a multiple of num_key_value_heads (3)"],
        ),
        (|place| place.write("m/config.json", "{"), &["m: config.json is not a JSON object"]),
        (|place| place.remove("m/config.json"), &["m: there is no config.json"]),
    ]);
}

#[test]
fn a_tokenizer_with_more_ids_than_the_model_is_refused() {
    let place = Place::with_model();
    place.run("tokenizer train --data docs.jsonl --vocab-size 310 --min-frequency 1 --out other").ok();
    place.copy("model", "m");
    for name in ["tokenizer.json", "tokenizer_config.json"] {
        place.write(&format!("m/{name}"), place.read(&format!("other/{name}")));
    }
    let parts = ["m: ", "the tokenizer has 310 ids, the model only 300"];
    place.run("score --model m --text lamp --json").expect(1, &parts);
    place.run(&format!("pretrain --model m --data docs.jsonl --out run {SHORT} --json")).expect(1, &parts);
    // Given to a new model, the same tokenizer sets the size.
    place.write("small.json", TINY.replace("300", "100"));
    let new = "pretrain --model-config small.json --tokenizer other --data docs.jsonl --out run";
    place.run(&format!("{new} {SHORT}")).ok();
    assert_eq!(place.json("run/config.json")["vocab_size"], 310);
}

#[test]
fn broken_tokenizers_are_named() {
    let place = Place::with_model();
    for (file, text) in
        [("tokenizer.json", "{\"model\": 3}"), ("tokenizer.json", "no"), ("tokenizer_config.json", "[]")]
    {
        place.copy("model", "m");
        place.write(&format!("m/{file}"), text);
        let open = "score --model m --text lamp --json";
        let outcome = place.run(open).expect(1, &[file]);
        assert_eq!(outcome.stdout, "", "{outcome}");
        place.remove("m");
    }
    place.copy("model", "m");
    place.remove("m/tokenizer.json");
    for line in ["score --model m --text lamp", "generate --model m --prompt lamp"] {
        place.run(line).expect(1, &["m: there is no tokenizer.json; give ids with --tokens"]);
    }
    place.run("score --model m --tokens 1,2,3").ok();
    place.run("chat --model m --prompt lamp").expect(1, &["m: ", "chat template", "--tokenizer"]);
}

#[test]
fn places_without_a_checkpoint_are_named() {
    let place = Place::new();
    place.write("empty/notes.txt", "nothing");
    for (model, part) in [
        ("nowhere", "nowhere: there is no such directory"),
        ("empty", "empty: there is no config.json"),
        ("hub:../name", "hub:../name: this is no address of the hub"),
        ("a.gguf", "a.gguf"),
        ("a.pth", "a.pth: "),
    ] {
        for line in ["score --tokens 1,2", "generate --tokens 1", "chat --prompt x", "plan"] {
            place.run(&format!("{line} --model {model} --json")).expect(1, &[part]);
        }
    }
}
