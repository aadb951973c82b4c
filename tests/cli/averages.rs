//! `merge --average`: one adapter of several, or one model of several.

use std::path::Path;

use crate::place::Place;

const SHORT: &str =
    "--model model --data chat.jsonl --learning-rate 0.05 --steps 3 --batch-size 2 --max-seq-len 64";

/// A model with two adapters of ranks 4 and 2 beside it.
fn place() -> Place {
    let place = Place::with_model();
    place.run(&format!("lora {SHORT} --lora-rank 4 --seed 1 --out one")).ok();
    place.run(&format!("lora {SHORT} --lora-rank 2 --seed 2 --lora-targets q_proj,v_proj --out two")).ok();
    place
}

fn logits(place: &Place, model: &str) -> Vec<f64> {
    let scored =
        place.run(&format!("score --model {model} --tokens 40,41,42,43 --logits --json")).ok().result();
    scored["logits"].as_array().unwrap().iter().map(|x| x.as_f64().unwrap()).collect()
}

fn close(place: &Place, one: &str, other: &str) {
    for (a, b) in logits(place, one).iter().zip(logits(place, other)) {
        assert!((a - b).abs() < 5e-4, "{one} {other}: {a} {b}");
    }
}

#[test]
fn the_mean_of_adapters_acts_as_the_mean_of_the_models_they_make() {
    let place = place();
    let mean = place.run("merge --average one two --weights 1,3 --out mean --json").ok();
    mean.expect(0, &["of rank 6", "'two' has no path for", "chat --model model --adapter mean"]);
    let config = place.json("mean/adapter_config.json");
    assert_eq!((&config["r"], &config["base_model_name_or_path"]), (&6.into(), &"model".into()));
    assert!(place.exists("mean/tokenizer.json"));
    for name in ["one", "two"] {
        place.run(&format!("merge --model model --adapter {name} --out {name}-merged")).ok();
    }
    place.run("merge --average --model one-merged --model two-merged --weights 1,3 --out models").ok();
    close(&place, "model --adapter mean", "models");
    place.run("merge --average one --adapter two --weights 1,3 --model model --out merged").ok();
    close(&place, "model --adapter mean", "merged");
    let apart = logits(&place, "model --adapter one");
    assert!(logits(&place, "models").iter().zip(apart).any(|(a, b)| (a - b).abs() > 2e-3));
    // What is averaged with itself is what it was.
    place.run("merge --average one one --out same").ok();
    close(&place, "model --adapter same", "model --adapter one");
}

#[test]
fn a_cut_tells_its_error_and_acts_nearly_alike() {
    let place = place();
    let cut = place.run("merge --average one two --rank 2 --out cut --json").ok();
    let cut = cut.expect(0, &["cut from rank 6 to 2", "relative error"]).result();
    let error = cut["cut"]["error"].as_f64().unwrap();
    assert!(error > 0.0 && error < 1.0 && cut["rank"] == 2, "{cut}");
    assert_eq!(place.json("cut/adapter_config.json")["r"], 2);
    place.run("merge --average one two --rank 64 --out whole").expect(0, &["nothing was cut"]);
    place.run("merge --average one two --out exact").ok();
    close(&place, "model --adapter whole", "model --adapter exact");
}

#[test]
fn what_has_no_mean_is_refused_before_anything_is_written() {
    let place = place();
    place.run(&format!("lora {SHORT} --dora --out dora")).ok();
    place.run("pretrain --preset nano --tokenizer model --data docs.jsonl --steps 1 --max-seq-len 32 --out other").ok();
    place.run("lora --model other --data chat.jsonl --steps 1 --max-seq-len 64 --out strange").ok();
    for (line, code, told) in [
        ("--average one dora", 1, "'dora' is an adapter with DoRA"),
        ("--average one strange", 1, "different bases"),
        ("--average one strange --model model", 1, "strange: the adapter was trained on the weights"),
        ("--average one", 2, "a mean is of two or more; 1 was named"),
        ("--average", 2, "0 was named"),
        ("--average one two --weights 1", 2, "--weights has 1 numbers for 2"),
        ("--average one two --weights 1,-1", 2, "must be above 0"),
        ("--average one two --model model --model other", 2, "--average takes adapters of one base"),
        ("--average --model model --model other", 1, "different shapes"),
        ("--average --model model --model model --rank 2", 2, "--rank is an adapter's"),
        ("--model model --adapter one --rank 2", 2, "act on averages alone"),
        ("--model model --model other --adapter one", 2, "to average models, add --average"),
        ("--model model", 2, "--adapter"),
        ("--average one two --tokenizer tok", 2, "--tokenizer would not act"),
        ("--average one two --preset nano", 2, "--preset would not act"),
        ("--average one model", 1, "there is no adapter_config.json"),
    ] {
        place.run(&format!("merge {line} --out out")).expect(code, &[told]);
        assert!(!place.exists("out"), "{line}");
    }
}

#[test]
fn adapters_of_minimind_are_averaged_as_its_files_hold_them() {
    let place = Place::new();
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/golden/torch/lora.pth");
    place.write("lora.pth", std::fs::read(golden).unwrap());
    place.write(
        "shape.json",
        r#"{"model_type": "llama", "vocab_size": 300, "hidden_size": 8, "intermediate_size": 16, "num_hidden_layers": 1,
            "num_attention_heads": 2, "num_key_value_heads": 1, "max_position_embeddings": 64}"#,
    );
    let mean = "merge --average lora.pth lora.pth --out mean";
    place.run(mean).expect(1, &["does not tell the number of heads"]);
    place.run(&format!("{mean} --model-config shape.json")).expect(0, &["of rank 4"]);
    let config = place.json("mean/adapter_config.json");
    assert_eq!((&config["r"], &config["lora_alpha"]), (&4.into(), &4.0.into()));
    place
        .run("merge --average lora.pth lora.pth --rank 2 --model-config shape.json --out cut")
        .expect(0, &["cut from rank 4 to 2: the relative error is 0.0000"]);
}
