//! Chat templates and special tokens wherever their files are: read, chosen and written back alike.

use std::path::Path;

use kindling::formats::to_zip;
use serde_json::{Value, json};

use crate::place::{Place, SHORT};

const NEW: &str = "{% for m in messages %}[{{ m.role }}] {{ m.content }}<|im_end|>\n{% endfor %}\
                   {% if add_generation_prompt %}[assistant] {% endif %}";
/// Another template with the same end of a turn.
const CHATML: &str = "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}\
                      {% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}";
const ENDLESS: &str = "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}{% endfor %}\
                       {% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}";
/// Long enough for the rows to hold their answers.
const LONG: &str = "--steps 2 --batch-size 2 --max-seq-len 64 --log-every 1";

/// Changes a file of JSON.
fn edit(place: &Place, file: &str, change: impl FnOnce(&mut Value)) {
    let mut json = place.json(file);
    change(&mut json);
    place.write(file, json.to_string());
}

/// The first conversation as the model sees it.
fn preview(place: &Place, model: &str, flags: &str) -> Value {
    let line = format!("data preview --model {model} --data chat.jsonl --limit 1 --json {flags}");
    place.run(&line).ok().result()["tokens"].clone()
}

/// A model `m` as transformers 5 saves it: the template in a file of its own; and `old`, whose config holds another.
fn with_file() -> Place {
    let place = Place::with_model();
    place.write("new.jinja", NEW);
    for name in ["m", "old"] {
        place.copy("model/checkpoint-000003", name);
        place.write(&format!("{name}/chat_template.jinja"), NEW);
    }
    edit(&place, "m/tokenizer_config.json", |config| {
        drop(config.as_object_mut().unwrap().remove("chat_template"))
    });
    place
}

#[test]
fn the_file_is_read_in_every_form_and_wins() {
    let place = with_file();
    let expected = preview(&place, "model", "--chat-template new.jinja");
    assert_ne!(preview(&place, "model", ""), expected);
    let name = |path: &Path| path.strip_prefix(place.path("m")).unwrap().to_string_lossy().into_owned();
    let files = place.contents("m").into_iter().map(|(path, bytes)| (name(&path), bytes)).collect();
    place.write("m.zip", to_zip(&files).unwrap());
    for (form, out) in [("hf", "hf"), ("single-file", "x.safetensors"), ("gguf", "x.gguf")] {
        place.run(&format!("export --model m --to {form} --out {out}")).ok();
    }
    for model in ["m", "old", "m/tokenizer.json", "m.zip", "hf", "x.safetensors", "x.gguf"] {
        assert_eq!(preview(&place, model, ""), expected, "{model}");
    }
    for model in ["m", "m.zip", "x.safetensors", "x.gguf"] {
        place.run(&format!("chat --model {model} --max-new-tokens 3 --prompt hi")).ok();
    }
}

#[test]
fn what_won_is_written_wherever_a_checkpoint_is_written() {
    let place = with_file();
    let lora = format!("lora --model old --data chat.jsonl --lora-rank 2 --out lora {LONG}");
    for line in [
        "export --model old --to hf --out hf",
        &format!("sft --model old --data chat.jsonl --out sft {LONG}"),
        &format!("pretrain --model-config tiny.json --tokenizer old --data docs.jsonl --out new {SHORT}"),
        &lora,
        "merge --model old --adapter lora --out merged",
        "import --model model --tokenizer old --out back --stage pretrain --data docs.jsonl",
    ] {
        place.run(line).ok();
    }
    for name in ["hf", "sft", "new", "lora", "merged", "back"] {
        assert_eq!(place.text(&format!("{name}/chat_template.jinja")), NEW, "{name}");
        assert_eq!(place.json(&format!("{name}/tokenizer_config.json"))["chat_template"], NEW, "{name}");
    }
}

#[test]
fn templates_by_name_are_told_and_kept() {
    let place = with_file();
    let named = |names: [&str; 2]| names.map(|name| json!({"name": name, "template": NEW}));
    place.remove("m/chat_template.jinja");
    edit(&place, "m/tokenizer_config.json", |config| config["chat_template"] = json!(named(["rag", "mine"])));
    let parts = ["by name (rag, mine)", "--chat-template FILE"];
    place.run("chat --model m --prompt hi").expect(1, &["m: ", parts[0], parts[1]]);
    place.run("data preview --model m --data chat.jsonl").expect(1, &parts);
    place.run("chat --model m --chat-template new.jinja --max-new-tokens 3 --prompt hi").ok();
    edit(&place, "m/tokenizer_config.json", |config| {
        config["chat_template"] = json!(named(["default", "tool_use"]))
    });
    place.run("export --model m --to hf --out hf").ok();
    assert_eq!(place.text("hf/chat_template.jinja"), NEW);
    assert_eq!(place.text("hf/additional_chat_templates/tool_use.jinja"), NEW);
    assert_eq!(
        place.json("hf/tokenizer_config.json")["chat_template"],
        json!(named(["default", "tool_use"]))
    );
}

#[test]
fn the_post_processor_decides_here_and_in_a_gguf() {
    let place = with_file();
    let scored = |model: &str| {
        let score = place.run(&format!("score --model {model} --text lamp --json")).ok().result();
        score["tokens"].as_array().unwrap().clone()
    };
    let plain = scored("m");
    edit(&place, "m/tokenizer_config.json", |config| config["add_bos_token"] = true.into());
    assert_eq!(scored("m"), plain, "as transformers 5, which does not read the key");
    let special = |token: &str| json!({"SpecialToken": {"id": token, "type_id": 0}});
    let known = |token: &str, id: u32| json!({"id": token, "ids": [id], "tokens": [token]});
    let single =
        json!([special("<|im_start|>"), {"Sequence": {"id": "A", "type_id": 0}}, special("<|im_end|>")]);
    edit(&place, "m/tokenizer.json", |tokenizer| {
        tokenizer["post_processor"] = json!({
            "type": "TemplateProcessing", "single": single, "pair": single,
            "special_tokens": {"<|im_start|>": known("<|im_start|>", 1), "<|im_end|>": known("<|im_end|>", 2)},
        });
    });
    edit(&place, "m/tokenizer_config.json", |config| config["add_bos_token"] = false.into());
    let around = [&[json!(1)][..], plain.as_slice(), &[json!(2)]].concat();
    assert_eq!(scored("m"), around);
    place.run("export --model m --to gguf --weights f32 --out m.gguf").ok();
    assert_eq!(scored("m.gguf"), around);
    // A prompt goes on: nothing is put behind it.
    let made =
        place.run("generate --model m --prompt lamp --max-new-tokens 1 --ignore-eos --json").ok().result();
    assert_eq!(made["prompt_tokens"], json!(around[..around.len() - 1]));
}

/// A base whose EOS ends documents (0) and no turns (2).
fn with_base() -> Place {
    let place = Place::with_model();
    place.copy("model/checkpoint-000003", "base");
    edit(&place, "base/tokenizer_config.json", |config| config["eos_token"] = "<|endoftext|>".into());
    for file in ["base/config.json", "base/generation_config.json"] {
        edit(&place, file, |config| config["eos_token_id"] = 0.into());
    }
    place.write("chatml.jinja", CHATML);
    place.write("endless.jinja", ENDLESS);
    place
}

#[test]
fn the_trained_end_of_a_turn_becomes_a_stop_token() {
    let place = with_base();
    let tune = format!("--model base --data chat.jsonl --chat-template chatml.jinja {LONG}");
    place.run(&format!("sft {tune} --out sft")).ok();
    place.run(&format!("lora {tune} --lora-rank 2 --out lora")).ok();
    place.run("merge --model base --adapter lora --out merged").ok();
    for name in ["sft", "merged"] {
        for file in ["config.json", "generation_config.json"] {
            assert_eq!(place.json(&format!("{name}/{file}"))["eos_token_id"], json!([2, 0]), "{name} {file}");
        }
    }
    for name in ["sft", "lora", "merged"] {
        assert_eq!(place.json(&format!("{name}/tokenizer_config.json"))["eos_token"], "<|im_end|>", "{name}");
        assert_eq!(place.text(&format!("{name}/chat_template.jinja")), CHATML, "{name}");
    }
    // Texts have no turns.
    place.run(&format!("pretrain --model base --data docs.jsonl --out texts {SHORT}")).ok();
    assert_eq!(place.json("texts/config.json")["eos_token_id"], 0);
    assert_eq!(place.json("texts/tokenizer_config.json")["eos_token"], "<|endoftext|>");
}

#[test]
fn a_template_without_an_end_is_warned_of_before_training() {
    let place = with_base();
    let tune = "--model base --data chat.jsonl --chat-template endless.jinja";
    let told = ["warning: the chat template writes no token of its own", "{{ eos_token }}", "--stop TEXT"];
    place.run(&format!("sft {tune} --out run {LONG}")).expect(0, &told);
    let logged = place.log("run");
    assert!(logged.iter().any(|line| line["event"] == "warning"), "{logged:?}");
    let silent = place.run(&format!("sft {} --out other {LONG}", tune.replace("endless", "chatml"))).ok();
    assert!(!silent.stderr.contains("writes no token"), "{silent}");
}

#[test]
fn an_adapter_answers_and_stops_as_it_was_taught() {
    let place = with_base();
    let tune = format!("--model base --data chat.jsonl --chat-template chatml.jinja {LONG}");
    place.run(&format!("lora {tune} --lora-rank 2 --out lora")).ok();
    let greedy =
        "generate --model base --adapter lora --tokens 40,41,42 --temperature 0 --max-new-tokens 6 --json";
    // What the answer begins with becomes the end that the adapter's own tokenizer names.
    let end = place.run(&format!("{greedy} --ignore-eos")).ok().result()["tokens"][0].clone();
    let vocab = place.json("lora/vocab.json");
    let (text, _) = vocab.as_object().unwrap().iter().find(|(_, id)| **id == end).unwrap();
    edit(&place, "lora/tokenizer_config.json", |config| config["eos_token"] = text.as_str().into());
    let stopped = place.run(greedy).ok().result();
    assert_eq!((&stopped["tokens"], &stopped["finish_reason"]), (&json!([]), &json!("stop")));
    // Two that were taught to talk differently are told apart.
    place.write("new.jinja", NEW);
    place.run(&format!("lora {} --lora-rank 2 --out other", tune.replace("chatml", "new"))).ok();
    place
        .run("chat --model base --adapter lora --adapter other --max-new-tokens 3 --prompt hi")
        .expect(0, &["the adapters lora and other were trained with different chat templates"]);
}
