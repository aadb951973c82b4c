//! What a run stores: a Hugging Face directory, the last few steps, and the best.

use serde_json::Value;

use crate::place::Place;

const EVERY_STEP: &str = "pretrain --model-config tiny.json --tokenizer tok --data docs.jsonl --out run \
                          --batch-size 2 --max-seq-len 32 --log-every 1 --save-every 1";

#[test]
fn a_checkpoint_is_a_directory_that_transformers_knows() {
    let place = Place::with_model();
    for name in [
        "config.json",
        "tokenizer.json",
        "tokenizer_config.json",
        "chat_template.jinja",
        "generation_config.json",
        "vocab.json",
        "merges.txt",
    ] {
        assert_eq!(
            place.read(&format!("model/{name}")),
            place.read(&format!("model/checkpoint-000003/{name}"))
        );
    }
    let config = place.json("model/config.json");
    assert_eq!((&config["model_type"], &config["vocab_size"]), (&"llama".into(), &300.into()));
    // The keys of both generations of transformers.
    assert_eq!(config["rope_theta"], config["rope_parameters"]["rope_theta"]);
    assert_eq!((&config["torch_dtype"], &config["dtype"]), (&"float32".into(), &"float32".into()));
    // Versions 4 and 5 of transformers look for the template in one or the other.
    let template = place.text("model/chat_template.jinja");
    assert_eq!(place.json("model/tokenizer_config.json")["chat_template"], template.as_str());
    assert_eq!(place.json("model/generation_config.json")["eos_token_id"], config["eos_token_id"]);
    let header = header(&place.read("model/model.safetensors"));
    assert_eq!(header["__metadata__"]["format"], "pt");
    assert_eq!(header["model.embed_tokens.weight"]["shape"], serde_json::json!([300, 16]));
    assert_eq!(header["model.layers.0.self_attn.k_proj.weight"]["shape"], serde_json::json!([8, 16]));
    assert!(header.get("lm_head.weight").is_none(), "a tied head is stored once");
}

/// The JSON in front of a safetensors file's tensors.
fn header(file: &[u8]) -> Value {
    let length = u64::from_le_bytes(file[..8].try_into().unwrap()) as usize;
    serde_json::from_slice(&file[8..8 + length]).unwrap()
}

#[test]
fn the_last_few_steps_are_kept() {
    let place = Place::with_model();
    place.run(&format!("{EVERY_STEP} --steps 7 --keep-last 3")).ok();
    assert_eq!(place.checkpoints("run"), [5, 6, 7]);
    let newest = place.read("run/checkpoint-000007/model.safetensors");
    assert!(place.read("run/model.safetensors") == newest);
    for step in [5, 6, 7] {
        place.run(&format!("score --model run/checkpoint-00000{step} --tokens 1,2,3")).ok();
    }
    assert!(!place.exists("run/best"), "nothing was measured");
}

#[test]
fn a_diverging_run_is_stopped_and_its_last_save_stays() {
    let place = Place::with_model();
    let learn = "pretrain --data docs.jsonl --max-seq-len 32 --lr-schedule constant --log-every 1";
    let known = "--steps 150 --learning-rate 0.02";
    place.run(&format!("{learn} --model model --out good --batch-size 4 {known}")).ok();
    // Steps of 1 a weight, the most that settings allow, take a model apart that knows its texts.
    let wild = "--learning-rate 1 --warmup-ratio 0 --grad-clip 0 --steps 200 --save-every 1 --keep-last 300";
    let parts = ["the loss jumped to", "docs.jsonl:", "lower --learning-rate (now 1)", "untouched"];
    place.run(&format!("{learn} --model good --out run --batch-size 2 {wild}")).expect(1, &parts);
    let steps = place.logged_steps("run").len() as u64;
    assert!((1..199).contains(&steps), "it takes steps and is stopped: {steps}");
    let saved: Vec<u64> = (1..=steps).collect();
    assert_eq!(place.checkpoints("run"), saved, "every step before the jump");
    let newest = place.read(&format!("run/checkpoint-{steps:06}/model.safetensors"));
    assert!(place.read("run/model.safetensors") == newest);
    place.run("score --model run --tokens 1,2,3").ok();
}

/// Twelve texts of letters in no order: a model can learn them by heart, and grows worse on the others by it.
fn noise() -> String {
    let mut state: u64 = 1;
    let mut letter = || {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        char::from(b'a' + (state >> 33) as u8 % 26)
    };
    let mut text = || (0..40).map(|_| letter()).collect::<String>();
    (0..12).map(|_| format!("{{\"text\": \"{}\"}}\n", text())).collect()
}

#[test]
fn the_best_step_is_kept_when_later_ones_are_worse() {
    let place = Place::with_model();
    place.write("noise.jsonl", noise());
    let line = "pretrain --model-config tiny.json --tokenizer tok --data noise.jsonl --out run --batch-size 2 \
                --max-seq-len 32 --learning-rate 0.02 --lr-schedule constant --val-split 0.5 --steps 120 \
                --eval-every 10 --save-every 10";
    place.run(&format!("{line} --keep-last 100")).ok();
    let evals: Vec<Value> = place.log("run").into_iter().filter(|line| line["event"] == "eval").collect();
    assert_eq!(evals.len(), 12);
    let loss = |eval: &Value| eval["loss"].as_f64().unwrap();
    let best = evals.iter().min_by(|a, b| loss(a).total_cmp(&loss(b))).unwrap()["step"].as_u64().unwrap();
    assert!(best < 120, "the last step is the best: {evals:?}");
    let weights = place.read(&format!("run/checkpoint-{best:06}/model.safetensors"));
    assert!(place.read("run/best/model.safetensors") == weights);
    assert!(place.read("run/model.safetensors") != weights, "the newest stands at the top");
    // With fewer kept, the best one stays all the same.
    place.run(&format!("{line} --keep-last 1 --overwrite")).ok();
    assert_eq!(place.checkpoints("run"), [120]);
    assert!(place.read("run/best/model.safetensors") == weights);
}

#[test]
fn a_loss_that_leaves_the_road_stops_the_run_and_keeps_the_checkpoint() {
    let place = Place::with_model();
    let wild = "--learning-rate 1 --lr-schedule constant --grad-clip 0 --steps 3000 --keep-last 1";
    let advice = ["step ", "docs.jsonl:", "lower --learning-rate", "checkpoint"];
    place.run(&format!("{EVERY_STEP} {wild}").replace("--save-every 1", "--save-every 5")).expect(1, &advice);
    place.run("score --model run --tokens 1,2,3").ok();
}

#[test]
fn settings_of_generation_outlive_training_and_gained_ends_are_told() {
    let place = Place::with_model();
    place.copy("model", "base");
    let mut config = place.json("base/config.json");
    config["eos_token_id"] = 2.into();
    place.write("base/config.json", config.to_string());
    let settings = r#"{"temperature": 0.6, "top_k": 20, "repetition_penalty": 1.1, "eos_token_id": 2, "of_mine": {"x": [1]}}"#;
    place.write("base/generation_config.json", settings);
    let sft = "sft --data chat.jsonl --batch-size 2 --max-seq-len 64 --log-every 1 --steps 4";
    let told = ["answers end with <|endoftext|> (0), too", "list [2, 0] as eos_token_id", "began with [2]"];
    place.run(&format!("{sft} --model base --out run --stop-after 2")).ok().expect(0, &told);
    let again = place.run("sft --resume --out run").ok();
    assert!(!again.stderr.contains("answers end with"), "its files say it now\n{again}");
    for name in ["run", "run/checkpoint-000004"] {
        let made = place.json(&format!("{name}/generation_config.json"));
        let kept = ["temperature", "top_k", "repetition_penalty", "of_mine"].map(|key| made[key].clone());
        let expected = [0.6.into(), 20.into(), 1.1.into(), serde_json::json!({"x": [1]})];
        assert_eq!((kept, &made["eos_token_id"]), (expected, &serde_json::json!([2, 0])), "{name}");
    }
    // A merged model tells it as well.
    place.run(&format!("lora{} --model base --out adapter", sft.trim_start_matches("sft"))).ok();
    let merged = place.run("merge --model base --adapter adapter --out merged").ok();
    merged.expect(0, &told);
    assert_eq!(place.json("merged/generation_config.json")["of_mine"], serde_json::json!({"x": [1]}));
}
