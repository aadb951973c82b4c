//! `--lora` on every stage, `merge` and `--adapter`.

use serde_json::{Value, json};

use crate::place::Place;

const LORA: &str = "lora --model model --data chat.jsonl --lora-rank 4 --learning-rate 0.05";
/// Long enough for the rows to hold their answers.
const LONG: &str = "--steps 3 --batch-size 2 --max-seq-len 64 --log-every 1";
const GREEDY: &str = "--tokens 40,41,42 --temperature 0 --max-new-tokens 12 --ignore-eos --json";

fn tokens(place: &Place, model: &str) -> Value {
    place.run(&format!("generate --model {model} {GREEDY}")).ok().result()["tokens"].clone()
}

#[test]
fn an_adapter_is_small_changes_the_answers_and_merges_into_the_same() {
    let place = Place::with_model();
    let run = place.run(&format!("{LORA} --out run {LONG}")).ok();
    let run =
        run.expect(0, &["trained beside", "frozen parameters", "kindling chat --model model --adapter run"]);
    assert_eq!(run.stdout, "run\n");
    for file in
        ["adapter_config.json", "adapter_model.safetensors", "tokenizer.json", "training/progress.json"]
    {
        assert!(place.exists(&format!("run/{file}")), "{file}");
    }
    assert!(!place.exists("run/model.safetensors") && !place.exists("run/config.json"));
    let base = tokens(&place, "model");
    let adapted = tokens(&place, "model --adapter run");
    assert_ne!(base, adapted);
    place.run("merge --model model --adapter run --out merged").ok().expect(0, &["chat --model merged"]);
    assert_eq!(tokens(&place, "merged"), adapted);
    let twice = place.run("merge --model model --adapter run --adapter run --out twice");
    twice.expect(0, &["--adapter run is given twice, and acts twice"]);
    // Scores agree where the greedy answer is only one number of many.
    let score = |model: &str| {
        let scored =
            place.run(&format!("score --model {model} --tokens 40,41,42,43 --logits --json")).ok().result();
        scored["logits"].as_array().unwrap().iter().map(|x| x.as_f64().unwrap()).collect::<Vec<_>>()
    };
    for (a, b) in score("model --adapter run").iter().zip(score("merged")) {
        assert!((a - b).abs() < 1e-4, "{a} {b}");
    }
    place.run("chat --model model --adapter run --max-new-tokens 3 --prompt hi").ok();
}

#[test]
fn an_adapter_run_resumes_bit_for_bit() {
    let place = Place::with_model();
    let train = format!("{LORA} --lora-dropout 0.1 --steps 6 --batch-size 2 --max-seq-len 64 --log-every 1");
    place.run(&format!("{train} --out whole")).ok();
    place.run(&format!("{train} --out parts --stop-after 2")).ok();
    place.run("lora --resume --out parts").ok();
    let weights = |run: &str| place.read(&format!("{run}/adapter_model.safetensors"));
    assert!(weights("whole") == weights("parts"));
    let changed = place.run("lora --resume --out parts --lora-rank 8");
    changed.expect(2, &["lora-rank"]);
}

#[test]
fn every_kind_of_adapter_trains_resumes_answers_and_merges() {
    let place = Place::with_model();
    let base = tokens(&place, "model");
    for (run, kind) in [
        ("dora", "--dora"),
        ("pissa", "--init-lora pissa"),
        ("modules", "--modules-to-save lm_head,embed_tokens"),
    ] {
        let train = format!("{LORA} {kind} --steps 6 --batch-size 2 --max-seq-len 64");
        place.run(&format!("{train} --out {run}")).ok();
        place.run(&format!("{train} --out {run}-parts --stop-after 2")).ok();
        place.run(&format!("lora --resume --out {run}-parts")).ok();
        let weights = |run: &str| place.read(&format!("{run}/adapter_model.safetensors"));
        assert!(weights(run) == weights(&format!("{run}-parts")), "{run}");
        let adapted = tokens(&place, &format!("model --adapter {run}"));
        assert_ne!(base, adapted, "{run}");
        place.run(&format!("merge --model model --adapter {run} --out {run}-merged")).ok();
        assert_eq!(tokens(&place, &format!("{run}-merged")), adapted, "{run}");
        let gguf = format!("export --model {run}-merged --to gguf --weights f32 --out {run}.gguf");
        place.run(&gguf).ok();
        assert_eq!(tokens(&place, &format!("{run}.gguf")), adapted, "{run}");
    }
    assert_eq!(place.json("pissa/adapter_config.json")["r"], 8);
    assert_eq!(place.json("dora/adapter_config.json")["use_dora"], true);
    // Two ends of their own: the merged model is tied no longer.
    assert_eq!(place.json("modules-merged/config.json")["tie_word_embeddings"], false);
    let mixed = place.run("merge --model model --adapter dora --adapter pissa --out mixed");
    mixed.expect(1, &["DoRA", "use it alone"]);
    assert!(!place.exists("mixed"));
    place.run("score --text hi --model model --adapter pissa --adapter dora").expect(1, &["DoRA"]);
}

#[test]
fn frozen_parts_are_told_and_stay() {
    let place = Place::with_model();
    let sft = "sft --model model --data chat.jsonl --steps 2 --batch-size 2 --max-seq-len 64";
    let run = place.run(&format!("{sft} --freeze mlp,embedding --out run"));
    run.expect(0, &["parameters train; frozen: mlp,embedding (which is the output projection, too)"]);
    let settings = settings(&place, "run");
    assert_eq!(settings["freeze"].as_array().map(Vec::len), Some(2));
    place.run("sft --resume --out run --freeze mlp").expect(2, &["freeze"]);
    place.run(&format!("{sft} --out whole")).ok();
    assert!(
        place.read("whole/training/optimizer.safetensors").len()
            > place.read("run/training/optimizer.safetensors").len()
    );
}

const SAVED: [&str; 2] = ["adapter_model.safetensors", "training/optimizer.safetensors"];

fn settings(place: &Place, run: &str) -> toml::Table {
    place.text(&format!("{run}/training/settings.toml")).parse().unwrap()
}

#[test]
fn any_stage_trains_an_adapter_that_resumes_bit_for_bit_beside_an_unchanged_base() {
    let place = Place::with_model();
    let base = place.contents("model");
    let train = "pretrain --lora --model model --data docs.jsonl --lora-rank 4 --lora-dropout 0.1 \
                 --learning-rate 0.05 --steps 6 --batch-size 2 --max-seq-len 32 --log-every 1";
    let told = ["trained beside", "kindling generate --model model --adapter whole --prompt"];
    place.run(&format!("{train} --out whole")).expect(0, &told);
    let advice = "go on with: kindling pretrain --lora --resume --out parts";
    place.run(&format!("{train} --out parts --stop-after 2")).expect(0, &[advice]);
    let kept = settings(&place, "parts");
    assert_eq!((kept["stage"].as_str(), kept["lora"].as_bool()), (Some("pretrain"), Some(true)));
    assert_eq!(kept["epochs"].as_float(), Some(4.0), "the adapter's default");
    // What trains is among the run's settings.
    place.run("pretrain --resume --out parts").ok();
    for file in SAVED {
        assert!(place.read(&format!("whole/{file}")) == place.read(&format!("parts/{file}")), "{file}");
    }
    assert_eq!(place.logged_steps("whole"), place.logged_steps("parts"));
    assert!(place.contents("model") == base, "the base stays");
    assert!(!place.exists("whole/model.safetensors") && !place.exists("whole/config.json"));
    assert_ne!(tokens(&place, "model"), tokens(&place, "model --adapter whole"));
    place.run("merge --model model --adapter whole --out merged").ok();
    assert_eq!(tokens(&place, "merged"), tokens(&place, "model --adapter whole"));
}

#[test]
fn lora_is_sft_of_an_adapter() {
    let place = Place::with_model();
    let rest = "--model model --data chat.jsonl --steps 3 --max-seq-len 64 --log-every 1";
    place.run(&format!("lora {rest} --out a")).ok();
    place.run(&format!("sft {rest} --lora --out b")).ok();
    for file in SAVED {
        assert!(place.read(&format!("a/{file}")) == place.read(&format!("b/{file}")), "{file}");
    }
    let mut kept = ["a", "b"].map(|run| settings(&place, run));
    kept.iter_mut().for_each(|settings| drop(settings.remove("out")));
    assert_eq!(kept[0], kept[1]);
    assert_eq!((kept[0]["stage"].as_str(), kept[0]["learning-rate"].as_float()), (Some("sft"), Some(1e-3)));
    place.run(&format!("lora {rest}")).ok().expect(0, &["runs/lora-001"]);
    let texts = rest.replace("chat", "docs");
    place.run(&format!("pretrain --lora {texts}")).ok().expect(0, &["runs/pretrain-lora-001"]);
}

#[test]
fn an_earlier_run_of_the_verb_lora_goes_on_bit_for_bit() {
    let place = Place::with_model();
    let train = format!("{LORA} --steps 6 --batch-size 2 --max-seq-len 64 --log-every 1");
    place.run(&format!("{train} --out whole")).ok();
    place.run(&format!("{train} --out before --stop-after 2")).ok();
    // Such runs kept the verb as their stage, and no word of what trains.
    let mut kept = settings(&place, "before");
    assert!(kept.remove("lora").is_some());
    kept.insert("stage".into(), "lora".into());
    place.write("before/training/settings.toml", kept.to_string());
    for (i, verb) in ["lora", "sft", "sft --lora"].into_iter().enumerate() {
        let run = format!("run{i}");
        place.copy("before", &run);
        place.run(&format!("{verb} --resume --out {run} --lora-rank 8")).expect(2, &["lora-rank"]);
        place.run(&format!("{verb} --resume --out {run}")).ok();
        for file in SAVED {
            assert!(place.read(&format!("whole/{file}")) == place.read(&format!("{run}/{file}")), "{verb}");
        }
    }
    place.run("pretrain --resume --out before").expect(2, &["holds settings of `lora`, not of `pretrain`"]);
}

#[test]
fn what_trains_does_not_change_when_a_run_goes_on() {
    let place = Place::with_model();
    place.run("pretrain --lora --resume --out model").expect(2, &["--lora is true now and was false"]);
    place.run(&format!("sft --model model --data chat.jsonl --out tuned {LONG} --stop-after 1")).ok();
    let told = "holds settings of `sft`, not of `lora`; use `kindling sft --resume --out tuned`";
    place.run("lora --resume --out tuned").expect(2, &[told]);
    let texts = "--model model --data docs.jsonl --steps 2 --batch-size 2 --max-seq-len 32 --stop-after 1";
    place.run(&format!("pretrain --lora {texts} --out texts")).ok();
    let told =
        "settings of `pretrain --lora`, not of `sft`; use `kindling pretrain --lora --resume --out texts`";
    place.run("sft --resume --out texts").expect(2, &[told]);
    place.write("whole.toml", "lora = false\n");
    let recipe = format!("lora --model model --data chat.jsonl --out run --config whole.toml {LONG}");
    place.run(&recipe).expect(2, &["not of `lora`"]);
    assert!(!place.exists("run"));
    place.run("sft --resume --out tuned").ok();
}

#[test]
fn an_adapters_flags_are_refused_where_the_model_itself_trains() {
    let place = Place::with_model();
    let train = format!("--model model --out run {LONG}");
    place.write("r.toml", "lora-alpha = 4.5\n");
    for (line, parts) in [
        ("sft --data chat.jsonl --lora-rank 4 --weights q8_0", &["--lora-rank, --weights would not act"][..]),
        ("pretrain --data docs.jsonl --rslora", &["--rslora would not act"]),
        ("sft --data chat.jsonl --config r.toml", &["--lora-alpha would not act"]),
    ] {
        let refused = place.run(&format!("{line} {train}")).expect(2, parts);
        assert!(refused.stderr.contains("add --lora"), "{refused}");
        assert!(!place.exists("run"), "{refused}");
    }
    place.write("r.toml", "lora-alpha = 4.5\nlora = true\n");
    place.run(&format!("sft --data chat.jsonl --config r.toml {train}")).ok();
    assert_eq!(settings(&place, "run")["lora-alpha"].as_float(), Some(4.5));
    // No adapter's settings stand in a run that has none.
    place.run(&format!("sft --data chat.jsonl --model model --out whole {LONG}")).ok();
    let kept = settings(&place, "whole");
    assert!(kept["lora"].as_bool() == Some(false) && !kept.contains_key("lora-rank"), "{kept}");
}

#[test]
fn an_adapter_of_another_base_is_refused_by_name() {
    let place = Place::with_model();
    place.run(&format!("{LORA} --out run {LONG}")).ok();
    place.run(&format!("sft --model model --data chat.jsonl --out other {LONG}")).ok();
    for verb in ["generate --prompt hi", "score --text hi", "chat --prompt hi", "merge --out x"] {
        let refused = place.run(&format!("{verb} --model other --adapter run"));
        refused.expect(1, &["run:", "was trained on the weights", "('model')"]);
    }
    assert!(!place.exists("x"));
    let missing = place.run("generate --model model --adapter docs.jsonl --prompt hi");
    missing.expect(1, &["docs.jsonl", "adapter_config.json"]);
}

#[test]
fn an_adapter_that_would_open_half_or_otherwise_is_refused_by_every_verb() {
    let place = Place::with_model();
    place.run(&format!("{LORA} --out run {LONG}")).ok();
    let settings = place.json("run/adapter_config.json");
    let other = |name: &str, key: &str, value: Value| {
        place.copy("run", name);
        let mut settings = settings.clone();
        settings[key] = value;
        place.write(&format!("{name}/adapter_config.json"), settings.to_string());
    };
    other("wide", "r", json!(8));
    other("head", "target_modules", json!(["q_proj", "lm_head"]));
    other("pissa", "init_lora_weights", json!("pissa"));
    other("behind", "alora_invocation_tokens", json!([7]));
    other("null", "fan_in_fan_out", Value::Null);
    for (name, parts) in [
        ("wide", &["wide:", "say rank 8", "of rank 4"][..]),
        ("head", &["head:", "do not name", "down_proj"]),
        ("pissa", &["pissa:", "init_lora_weights", "path_initial_model_for_weight_conversion"]),
        ("behind", &["behind:", "alora_invocation_tokens = [7]"]),
    ] {
        for verb in ["generate --prompt hi", "score --text hi", "chat --prompt hi", "merge --out x"] {
            place.run(&format!("{verb} --model model --adapter {name}")).expect(1, parts);
        }
    }
    assert!(!place.exists("x"));
    assert_eq!(tokens(&place, "model --adapter null"), tokens(&place, "model --adapter run"));
    // What is no pair of mlx-lm's is told as mlx-lm's, not as damaged.
    let mlx =
        json!({"fine_tune_type": "lora", "num_layers": 1, "lora_parameters": {"rank": 4, "scale": 2.0}});
    place.write("mlx/adapter_config.json", mlx.to_string());
    let lacking = place.run("score --text hi --model model --adapter mlx");
    lacking.expect(1, &["mlx:", "there is no adapters.safetensors"]);
    place.write("mlx/adapters.safetensors", place.read("run/adapter_model.safetensors"));
    let foreign = place.run("score --text hi --model model --adapter mlx");
    foreign.expect(1, &["mlx:", "of mlx-lm", "neither lora_a nor lora_b", "mlx_lm.fuse"]);
}

#[test]
fn flags_that_do_not_hold_are_named_before_any_work() {
    let place = Place::with_model();
    let bad = place.run(&format!("{LORA} --lora-targets q_proj,qq --lora-dropout 2 --out run {LONG}"));
    bad.expect(2, &["names 'qq'", "--lora-dropout is 2"]);
    let head = place.run(&format!("{LORA} --lora-targets lm_head --out run {LONG}"));
    head.expect(2, &["'lm_head'", "does not have"]);
    let baseless =
        place.run(&format!("lora --data chat.jsonl --preset nano --tokenizer tok --out run {LONG}"));
    baseless.expect(2, &["lora adapts a trained model", "--model"]);
    place.run("lora").expect(2, &["--data"]);
    let together =
        place.run(&format!("{LORA} --dora --init-lora pissa --modules-to-save norm --out run {LONG}"));
    together.expect(2, &["--dora does not go with --init-lora pissa", "--modules-to-save names 'norm'"]);
    place.run(&format!("{LORA} --freeze mlp --out run {LONG}")).expect(2, &["--freeze would not act"]);
    let whole = format!("sft --model model --data chat.jsonl --out run {LONG}");
    for idle in ["--dora", "--init-lora pissa", "--modules-to-save lm_head"] {
        let name = idle.split(' ').next().unwrap();
        place.run(&format!("{whole} {idle}")).expect(2, &[name, "would not act", "--lora"]);
    }
    place.run(&format!("{whole} --freeze head,router")).expect(2, &["--freeze names head", "names router"]);
    place.run(&format!("{whole} --freeze everything")).expect(2, &["everything", "attention"]);
    assert!(!place.exists("run"));
    let taken = place.run(&format!("{LORA} --out run {LONG}"));
    taken.ok();
    place.run("merge --model model --adapter run --out tok").expect(2, &["--out tok is taken"]);
}

#[test]
fn an_adapter_that_is_given_as_the_model_is_told_with_the_command_that_uses_it() {
    let place = Place::with_model();
    place.run(&format!("{LORA} --out run {LONG}")).ok();
    // Without what makes it a run of ours, which the test below has.
    place.remove("run/training");
    let used = "run: this is a LoRA adapter (adapter_config.json, in PEFT's layout) and no model; use it with its base: \
                --model model --adapter run; or make one model of both: kindling merge --model model --adapter run --out \
                MERGED";
    for line in
        ["score --tokens 1,2", "chat --prompt hi", "generate --prompt hi", "sft --data chat.jsonl --out x"]
    {
        place.run(&format!("{line} --model run")).expect(1, &[used]);
    }
    place.run("export --model run --to hf --out x").expect(1, &[used]);
    for (base, told) in [
        (json!("of/another-place"), "--model hub:of/another-place --adapter run"),
        (json!("./my/model"), "--model ./my/model --adapter run"),
        (json!("/nowhere/there"), "--model /nowhere/there --adapter run"),
        (Value::Null, "--model BASE --adapter run"),
    ] {
        let mut settings = place.json("run/adapter_config.json");
        settings["base_model_name_or_path"] = base;
        place.write("run/adapter_config.json", settings.to_string());
        let refused = place.run("score --tokens 1,2 --model run").expect(1, &[told]);
        let of_hub = refused
            .stderr
            .contains("'of/another-place' is read as a name on the hub, because there is no such");
        assert_eq!(of_hub, told.contains("hub:"), "{refused}");
    }
}

#[test]
fn the_next_stage_takes_an_adapters_run_as_it_is() {
    let place = Place::with_model();
    place.run(&format!("{LORA} --out run {LONG}")).ok();
    place.run("merge --model model --adapter run --out merged").ok();
    let train = "sft --data chat.jsonl --steps 2 --batch-size 2 --max-seq-len 64";
    let told = ["begins with run (lora, step", "run is an adapter; it is used together with its model model"];
    place.run(&format!("{train} --model run --out next")).expect(0, &told);
    place.run(&format!("{train} --model merged --out same")).ok();
    assert!(place.read("next/model.safetensors") == place.read("same/model.safetensors"));
    assert_eq!(tokens(&place, "run"), tokens(&place, "merged"));
    // An adapter beside an adapter: both are there when it is used.
    place.run(&format!("{train} --lora --model run --out second")).ok();
    assert_eq!(tokens(&place, "run --adapter second"), tokens(&place, "merged --adapter second"));
    place.remove("model");
    place.run("score --tokens 1,2 --model run").expect(1, &["this is a LoRA adapter"]);
}

#[test]
fn an_adapters_run_goes_on_with_its_model_elsewhere() {
    let place = Place::with_model();
    let train = format!("{LORA} --steps 4 --batch-size 2 --max-seq-len 64");
    place.run(&format!("{train} --out whole")).ok();
    place.run(&format!("{train} --out parts --stop-after 2")).ok();
    place.copy("model", "moved");
    place.remove("model");
    let gone = ["model: the model that the run's adapter belongs to is not there any more", "--model DIR"];
    place.run("lora --resume --out parts").expect(2, &gone);
    let new = "pretrain --data docs.jsonl --model-config tiny.json --tokenizer tok --out other --seed 9";
    place.run(&format!("{new} --steps 1 --batch-size 2 --max-seq-len 32")).ok();
    let before = place.contents("parts");
    place.run("lora --resume --out parts --model other").expect(1, &["parts/checkpoint-000002: "]);
    assert!(place.contents("parts") == before);
    place.run("lora --resume --out parts --model moved").ok();
    let weights = |run: &str| place.read(&format!("{run}/adapter_model.safetensors"));
    assert!(weights("whole") == weights("parts"));
}

#[test]
fn the_command_line_takes_lora_back() {
    let place = Place::with_model();
    place.write("r.toml", "lora = true\nlora_rank = 2\nlora-alpha = 4\nsteps = 1\nmax-seq-len = 64\n");
    let train = "sft --model model --data chat.jsonl --config r.toml --out run";
    place.run(&format!("{train} --lora=false")).ok();
    assert!(place.exists("run/model.safetensors") && !place.exists("run/adapter_config.json"));
    assert_eq!(settings(&place, "run")["lora"].as_bool(), Some(false));
    place.run(&format!("{train} --overwrite")).ok();
    assert!(place.exists("run/adapter_config.json"));
    place
        .run("lora --model model --data chat.jsonl --out b --lora=false")
        .expect(2, &["`lora` is `sft --lora`"]);
    // Said of an adapter that does not train, its flags do not act.
    place.run(&format!("{train} --overwrite --lora=false --lora-rank 3")).expect(2, &["--lora-rank"]);
    let both = place.run("lora --resume --overwrite --out run").expect(2, &["'--overwrite'"]);
    assert!(!both.stderr.contains("--learning-rate"), "{both}");
}
