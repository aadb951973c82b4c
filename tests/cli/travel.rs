//! `export` and `import`: a model or a run as one file, and as a directory again.

use kindling::formats::to_zip;
use serde_json::Value;

use crate::place::{Place, SHORT, TINY};

const GREEDY: &str = "--tokens 40,41,42 --temperature 0 --max-new-tokens 12 --ignore-eos --json";
const TRAINED: [&str; 2] = ["model.safetensors", "training/optimizer.safetensors"];

fn tokens(place: &Place, model: &str) -> Value {
    place.run(&format!("generate --model {model} {GREEDY}")).ok().result()["tokens"].clone()
}

/// Exports `model` as `m.safetensors` without the state of its run.
fn export_model(place: &Place) {
    place.run("export --model model --to hf --out bare").ok();
    place.remove("bare/training");
    place.run("export --model bare --to single-file --out m.safetensors").ok();
    place.remove("bare");
}

#[test]
fn one_file_is_as_good_as_its_directory() {
    let place = Place::with_model();
    let told = place.run("export --model model --to single-file --out x.safetensors --json").ok().result();
    assert_eq!((&told["out"], &told["step"]), (&"x.safetensors".into(), &3.into()));
    let expected = tokens(&place, "model");
    assert_eq!(tokens(&place, "x.safetensors"), expected);
    for line in [
        "score --model x.safetensors --text lamp",
        "plan --model x.safetensors",
        "chat --model x.safetensors --max-new-tokens 3 --prompt hi",
        "data preview --model x.safetensors --data chat.jsonl --limit 1",
        "tokenizer report --model x.safetensors --data docs.jsonl",
    ] {
        place.run(line).ok();
    }
    let tune = "sft --data chat.jsonl --steps 3 --batch-size 2 --max-seq-len 64";
    place.run(&format!("{tune} --model model --out a")).ok();
    place.run(&format!("{tune} --model x.safetensors --out b")).ok();
    assert!(place.read("a/model.safetensors") == place.read("b/model.safetensors"));
}

#[test]
fn a_directory_comes_back_file_by_file() {
    let place = Place::with_model();
    place.run("export --model model --to single-file --out x.safetensors").ok();
    place.run("export --model x.safetensors --to hf --out back").ok().expect(0, &["--model back"]);
    place.run("export --model back --to single-file --out y.safetensors").ok();
    assert!(place.read("x.safetensors") == place.read("y.safetensors"), "equal contents make equal bytes");
    let before = place.contents("model/checkpoint-000003");
    assert_eq!(before.len(), 10, "the whole checkpoint");
    for (path, bytes) in before {
        let name = path.strip_prefix(place.path("model/checkpoint-000003")).unwrap();
        assert!(place.read(&format!("back/{}", name.display())) == bytes, "{}", name.display());
    }
    // Without a run's state, import makes the same plain directory as export does.
    export_model(&place);
    place.run("import --model m.safetensors --out imported").ok();
    assert_eq!(tokens(&place, "imported"), tokens(&place, "model"));
    assert!(!place.exists("imported/training"));
}

/// A run that goes on from one file elsewhere ends as one that was never stopped.
fn compare(place: &Place, verb: &str, data: &str, flags: &str, rows: &str) {
    let train = format!("{verb} --data {data} --model model --log-every 1 {flags} {rows}");
    place.run(&format!("{train} --out whole")).ok();
    place.run(&format!("{train} --out parts --stop-after 4")).ok();
    place.run("export --model parts --to single-file --out run.safetensors").ok();
    let import = format!("import --model run.safetensors --out run --stage {verb} --data {data} {rows}");
    let advice = format!("step 4 of 9; go on with: kindling {verb} --resume --out run");
    place.run(&import).expect(0, &[&advice]);
    assert_eq!(place.checkpoints("run"), [4]);
    assert_eq!(tokens(place, "run"), tokens(place, "parts"));
    let changed = place.run(&format!("{verb} --resume --out run --learning-rate 0.5"));
    changed.expect(2, &["--learning-rate is 0.5 now and was 0.002"]);
    place.run(&format!("{verb} --resume --out run")).ok();
    for file in TRAINED {
        assert!(place.read(&format!("run/{file}")) == place.read(&format!("whole/{file}")), "{verb}: {file}");
    }
    assert_eq!(place.logged_steps("run"), place.logged_steps("whole")[4..]);
    for name in ["whole", "parts", "run", "run.safetensors"] {
        place.remove(name);
    }
}

#[test]
fn a_run_goes_on_from_one_file_bit_for_bit() {
    let place = Place::with_model();
    let flags = "--steps 9 --learning-rate 0.002 --lr-schedule wsd --save-every 2";
    let rows = "--limit 90 --min-chars 3";
    compare(
        &place,
        "sft",
        "chat.jsonl",
        &format!("{flags} --batch-size 4 --max-seq-len 64 --val-split 0.1"),
        rows,
    );
    compare(&place, "pretrain", "docs.jsonl", &format!("{flags} --batch-size 2 --max-seq-len 32"), "");
}

/// Puts a directory of `place` into an archive, as the page does.
fn zip(place: &Place, directory: &str, out: &str) {
    let root = place.path(directory);
    let name = |path: &std::path::Path| path.strip_prefix(&root).unwrap().to_string_lossy().into_owned();
    let files = place.contents(directory).into_iter().map(|(path, bytes)| (name(&path), bytes)).collect();
    place.write(out, to_zip(&files).unwrap());
}

#[test]
fn an_archive_is_as_good_as_its_directory() {
    let place = Place::with_model();
    zip(&place, "model/checkpoint-000003", "m.zip");
    assert_eq!(tokens(&place, "m.zip"), tokens(&place, "model"));
    place.run("import --model m.zip --out back --stage pretrain --data docs.jsonl").ok();
    assert!(place.read("back/model.safetensors") == place.read("model/model.safetensors"));
    let whole = place.read("m.zip");
    place.write("cut.zip", &whole[..whole.len() / 2]);
    place.run("generate --model cut.zip --tokens 1").expect(1, &["cut.zip: ", "no whole zip archive"]);
}

#[test]
fn an_adapters_run_goes_on_from_an_archive_bit_for_bit() {
    let place = Place::with_model();
    let train = "lora --model model --data chat.jsonl --steps 6 --batch-size 2 --max-seq-len 64 --log-every 1 \
                 --lora-rank 4 --lora-alpha 6 --lora-dropout 0.1 --lora-targets q_proj,o_proj --rslora";
    place.run(&format!("{train} --out whole")).ok();
    place.run(&format!("{train} --out parts --stop-after 2")).ok();
    zip(&place, "parts/checkpoint-000002", "parts.zip");
    let import = "import --model parts.zip --stage lora --data chat.jsonl";
    let told = ["step 2 of 6", "kindling lora --resume"];
    place.run(&format!("{import} --base model --out run")).expect(0, &told);
    // The file says that an adapter trains; the stage is what it learns.
    let as_sft = "import --model parts.zip --stage sft --data chat.jsonl --base model --out same";
    place.run(as_sft).expect(0, &["kindling lora --resume"]);
    place.run("sft --resume --out same").ok();
    assert!(place.read("same/adapter_model.safetensors") == place.read("whole/adapter_model.safetensors"));
    place.run("lora --resume --out run --lora-rank 8").expect(2, &["--lora-rank is 8 now and was 4"]);
    place.run("lora --resume --out run").ok();
    assert!(place.read("run/adapter_model.safetensors") == place.read("whole/adapter_model.safetensors"));
    assert_eq!(
        tokens(&place, "model --adapter parts.zip"),
        tokens(&place, "model --adapter parts/checkpoint-000002")
    );
    let short = "--steps 1 --batch-size 2 --max-seq-len 64";
    place.run(&format!("sft --model model --data chat.jsonl --out other {short}")).ok();
    place.run(&format!("{import} --base other --out new")).expect(1, &["was trained on the weights"]);
    assert!(!place.exists("new"));
}

#[test]
fn a_gguf_is_as_good_as_its_directory() {
    let place = Place::with_model();
    let told = place.run("export --model model --to gguf --weights f32 --out m.gguf --json").ok().result();
    assert_eq!(told["bytes"].as_u64().unwrap(), place.read("m.gguf").len() as u64);
    assert_eq!(told["step"], Value::Null, "a .gguf has no room for a run's state");
    assert_eq!(tokens(&place, "m.gguf"), tokens(&place, "model"));
    place.run("import --model m.gguf --out back").ok();
    assert_eq!(tokens(&place, "back"), tokens(&place, "model"));
    place.run("export --model back --to gguf --weights f32 --out again.gguf").ok();
    assert!(place.read("again.gguf") == place.read("m.gguf"), "equal contents make equal bytes");
    for weights in ["f16", "bf16", "q8_0", "q4_0"] {
        place.run(&format!("export --model model --to gguf --weights {weights} --out {weights}.gguf")).ok();
        place.run(&format!("chat --model {weights}.gguf --max-new-tokens 3 --prompt hi")).ok();
    }
    let whole = place.read("m.gguf");
    place.write("cut.gguf", &whole[..whole.len() / 2]);
    place.run("generate --model cut.gguf --tokens 1").expect(1, &["cut.gguf: "]);
}

#[test]
fn a_gguf_of_metaspace_scores_the_same_and_tells_what_llama_cpp_does() {
    let place = Place::with_model();
    let plain = place.run("export --model model --to gguf --out plain.gguf").ok();
    assert!(!plain.stderr.contains("llama.cpp"), "{plain}");
    place.write("spaces/tokenizer.json", include_bytes!("../golden/metaspace/tokenizer.json"));
    let config = r#"{"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>",
        "chat_template": "{% for m in messages %}<|user|>{{ m.content }}<|end|>{% endfor %}"}"#;
    place.write("spaces/tokenizer_config.json", config);
    place.write("wide.json", TINY.replace("300", "443"));
    let new = "pretrain --data docs.jsonl --model-config wide.json --tokenizer spaces --out m";
    place.run(&format!("{new} {SHORT}")).ok();
    let told = ["warning: llama.cpp puts a space before every text", "prepend_scheme \"first\""];
    place.run("export --model m --to gguf --weights f32 --out m.gguf").expect(0, &told);
    for text in ["In Fenholt is a lantern.", "  two spaces", "<|user|>Where?<|end|>\n<|user|>"] {
        let [here, there] = ["m", "m.gguf"].map(|model| {
            place.run_words(&["score", "--model", model, "--text", text, "--json"]).ok().result()
        });
        assert_eq!(here, there, "{text:?}");
    }
}

#[test]
fn a_pth_is_as_good_as_its_directory() {
    let place = Place::with_model();
    place.run("export --model model --to minimind-pth --out m.pth").ok();
    let import = "import --model m.pth --out back --model-config model/config.json --tokenizer model";
    place.run(import).ok();
    assert_eq!(tokens(&place, "back"), tokens(&place, "model"));
    assert_eq!(tokens(&place, "m.pth --model-config model/config.json"), tokens(&place, "model"));
    let told = ["m.pth", "does not tell its number of heads", "--preset minimind2-small", "--model-config"];
    place.run("generate --model m.pth --tokens 1").expect(1, &told);
    let told = ["--model-config is the shape of a MiniMind .pth", "--model model says its own"];
    place.run("generate --model model --model-config model/config.json --tokens 1").expect(2, &told);
    for line in [
        "score --text lamp --model m.pth --model-config model/config.json --tokenizer tok",
        "export --model m.pth --model-config model/config.json --tokenizer model --to gguf --weights f32 --out m.gguf",
        "sft --model m.pth --model-config model/config.json --tokenizer model --data chat.jsonl --steps 2 --batch-size 2 \
         --max-seq-len 64 --out tuned",
    ] {
        place.run(line).ok();
    }
    assert_eq!(tokens(&place, "m.gguf"), tokens(&place, "model"));
}

#[test]
fn what_is_there_already_is_left_alone() {
    let place = Place::with_model();
    place.write("x.safetensors", "mine");
    let single = "export --model model --to single-file --out";
    place.run(&format!("{single} x.safetensors")).expect(2, &["--out x.safetensors is taken"]);
    assert_eq!(place.text("x.safetensors"), "mine");
    let before = place.contents("tok");
    place.run("export --model model --to hf --out tok").expect(2, &["--out tok is taken"]);
    place.run(&format!("{single} deep/run.safetensors")).ok();
    let import = "import --model deep/run.safetensors --stage pretrain --data docs.jsonl --out tok";
    place.run(import).expect(2, &["--out tok is taken"]);
    assert!(place.contents("tok") == before);
}

#[test]
fn what_cannot_be_exported_or_imported_is_said() {
    let place = Place::with_model();
    export_model(&place);
    place.run("export --model model --to single-file --out run.safetensors").ok();
    let short = "--steps 2 --batch-size 2 --max-seq-len 64";
    place.run(&format!("lora --model model --data chat.jsonl --out lora {short}")).ok();
    let run = "import --model run.safetensors --out new";
    for (line, code, parts) in [
        ("export --model model --to gguf --out new", 2, &["--out new", ".gguf"][..]),
        ("export --model model --to peft --out new", 2, &["PEFT's layout"]),
        ("export --model model --to hf --weights f16 --out new", 2, &["--weights belongs to --to gguf"]),
        ("export --model model --to minimind-pth --out new", 2, &["--out new", ".pth"]),
        ("export --model model --to single-file --out new", 2, &["--out new", ".safetensors"]),
        ("export --model model --to zip --out new", 2, &["'zip'", "single-file"]),
        ("export --model lora --to hf --out new", 1, &["lora", "LoRA adapter", "kindling merge", "PEFT"]),
        (
            "export --model lora --to single-file --out new.safetensors",
            1,
            &["LoRA adapter", "kindling merge"],
        ),
        ("export --model nowhere --to hf --out new", 1, &["nowhere: there is no such directory"]),
        ("import --model m.safetensors --out new --to single-file", 2, &["kindling export"]),
        (
            "import --model m.safetensors --out new --stage sft",
            2,
            &["m.safetensors holds a model and no run"],
        ),
        ("import --model m.safetensors --out new --limit 3", 2, &["m.safetensors holds a model and no run"]),
        (run, 2, &["run.safetensors holds a run", "--stage", "--data", "export"]),
        (&format!("{run} --stage pretrain"), 2, &["run.safetensors holds a run"]),
        (&format!("{run} --data docs.jsonl"), 2, &["run.safetensors holds a run"]),
        (&format!("{run} --stage lora --data docs.jsonl"), 2, &["holds no adapter's run", "pretrain"]),
        (&format!("{run} --stage pretrain --data docs.jsonl --base model"), 2, &["--base belongs to"]),
        ("import --model lora --out new", 2, &["lora holds a run", "--stage", "--data"]),
        ("import --model lora --out new --stage lora --data chat.jsonl", 2, &["--base"]),
        ("import --model lora --out new --stage sft --data chat.jsonl", 2, &["an adapter's run", "--base"]),
        (
            "import --model lora --out new --stage lora --data chat.jsonl --base lora",
            1,
            &["lora", "config.json"],
        ),
        (
            &format!("{run} --stage pretrain --data docs.jsonl --limit 100"),
            1,
            &["trained on 200 rows, the data has 100 now"],
        ),
        (&format!("{run} --stage pretrain --data chat.jsonl"), 1, &["--join-turns"]),
    ] {
        let outcome = place.run(&format!("{line} --json")).expect(code, parts);
        assert_eq!(outcome.stdout, "", "{outcome}");
        assert!(!place.exists("new") && !place.exists("new.safetensors"), "{outcome}");
    }
}

#[test]
fn files_that_are_no_checkpoint_are_named() {
    let place = Place::with_model();
    export_model(&place);
    let whole = place.read("m.safetensors");
    place.write("cut.safetensors", &whole[..whole.len() - 100]);
    for (model, parts) in [
        (
            "model/model.safetensors",
            &["model/model.safetensors: ", "not a single-file checkpoint", "config.json"][..],
        ),
        ("cut.safetensors", &["cut.safetensors: ", "not a whole safetensors file"]),
        ("no.safetensors", &["no.safetensors"]),
    ] {
        for verb in
            ["generate --tokens 1", "score --tokens 1,2", "export --to hf --out new", "import --out new"]
        {
            place.run(&format!("{verb} --model {model}")).expect(1, parts);
        }
        place.run(&format!("data preview --model {model} --data chat.jsonl")).expect(1, parts);
    }
    assert!(!place.exists("new"));
}

#[cfg(unix)]
#[test]
fn a_full_disk_leaves_nothing_half_written() {
    let place = Place::with_model();
    if !crate::output_dirs::has_bash() {
        return;
    }
    let export = "export --model model --to single-file --out out/x.safetensors";
    place.run_limited(20, export).expect(1, &["x.safetensors"]);
    assert!(place.contents("out").is_empty());
    place.run(export).ok();
    let import = "import --model out/x.safetensors --stage pretrain --data docs.jsonl --out run";
    place.run_limited(20, import).expect(1, &["model.safetensors"]);
    assert!(!place.exists("run") && !place.exists(".run.tmp"));
    place.run(import).ok();
}

#[test]
fn an_archive_of_a_runs_directory_is_the_model_at_its_top() {
    let place = Place::with_model();
    let run = place.contents("model").into_iter();
    let named = run.map(|(path, bytes)| (path.strip_prefix(place.root()).unwrap().to_path_buf(), bytes));
    let files = named.map(|(path, bytes)| (path.to_string_lossy().replace('\\', "/"), bytes)).collect();
    place.write("run.zip", to_zip(&files).unwrap());
    let opened = place.run("score --model run.zip --tokens 1,2,3 --json").ok();
    let opened = opened
        .expect(0, &["run.zip: what lies at its top is used", "left aside are model/checkpoint-000003"]);
    let plain = place.run("score --model model --tokens 1,2,3 --json").ok();
    assert_eq!(opened.result()["logprobs"], plain.result()["logprobs"]);
    place.run("export --model run.zip --to hf --out hf").ok().expect(0, &["left aside are"]);
    assert!(place.read("hf/model.safetensors") == place.read("model/model.safetensors"));
}
