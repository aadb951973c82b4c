//! The trained end of a turn is written where chat and other programs look for it.

use std::sync::Arc;

use burn::tensor::Device;
use kindling::checkpoint::{Checkpoint, open_tokenizer, put_tokenizer, run_files};
use kindling::formats::Files;
use kindling::model::{ModelConfig, Transformer};
use kindling::tokenizer::Tokenizer;
use kindling::train::{Job, Stage, TrainConfig};
use serde_json::{Value, json};

use crate::tiny::{Record, config, job, tokenizer, train_config, train_run};

const CHATML: &str = "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}\
                      {% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}";
/// Its turns end where the next one begins.
const ENDLESS: &str = "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}{% endfor %}\
                       {% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}";

/// A tokenizer whose EOS is the end of a document, 0, and no end of a turn, 2.
fn document_ender(template: &str) -> Tokenizer {
    let mut files = Files::new();
    put_tokenizer(&mut files, &tokenizer()).unwrap();
    let mut config: Value = serde_json::from_slice(&files["tokenizer_config.json"]).unwrap();
    config["eos_token"] = "<|endoftext|>".into();
    files.insert("tokenizer_config.json".into(), config.to_string().into_bytes());
    let mut tokenizer = open_tokenizer(&mut |name: &str| Ok(files.get(name).cloned())).unwrap().unwrap();
    tokenizer.set_chat_template(template).unwrap();
    assert_eq!((tokenizer.eos(), tokenizer.stop_ids()), (Some(0), vec![0]));
    tokenizer
}

fn taught(stage: Stage, template: &str) -> Job {
    let config = TrainConfig { steps: Some(1), ..train_config(stage) };
    Job { tokenizer: Arc::new(document_ender(template)), ..job(config, stage, 4) }
}

fn model(job: &Job) -> Transformer {
    let config = ModelConfig { eos_token_ids: vec![0], ..config(job.tokenizer.vocab_size()) };
    Transformer::init(&config, 3, &Device::flex().autodiff()).unwrap()
}

/// The files that a run of one step leaves.
fn trained(job: Job) -> Files {
    let model = model(&job);
    let run = job.start(model).unwrap();
    let tokenizer = Arc::clone(&run.tokenizer);
    let mut record = Record::default();
    train_run(run, &mut record).unwrap();
    let snapshot = record.snapshots.last().unwrap();
    run_files(snapshot, &snapshot.model, &tokenizer).unwrap()
}

#[test]
fn the_trained_end_is_written_everywhere() {
    let job = taught(Stage::Sft, CHATML);
    assert!(job.warnings().is_empty());
    let files = trained(job);
    let json = |name: &str| serde_json::from_slice::<Value>(&files[name]).unwrap();
    // The one that was there stays.
    assert_eq!(json("config.json")["eos_token_id"], json!([2, 0]));
    assert_eq!(json("generation_config.json")["eos_token_id"], json!([2, 0]));
    assert_eq!(json("tokenizer_config.json")["eos_token"], "<|im_end|>");
    assert_eq!(files["chat_template.jinja"], CHATML.as_bytes());
    let again = Checkpoint::open(|name| Ok(files.get(name).cloned())).unwrap();
    assert_eq!(again.config.eos_token_ids, [2, 0]);
    assert_eq!(again.tokenizer.unwrap().eos(), Some(2));
}

#[test]
fn a_template_that_prints_eos_keeps_it() {
    let files = trained(taught(Stage::Sft, &format!("{{{{ eos_token }}}}{CHATML}")));
    let json = |name: &str| serde_json::from_slice::<Value>(&files[name]).unwrap();
    assert_eq!(json("config.json")["eos_token_id"], json!([2, 0]));
    assert_eq!(json("tokenizer_config.json")["eos_token"], "<|endoftext|>");
}

#[test]
fn texts_have_no_turns_and_an_end_that_is_missing_is_told() {
    let pretrain = taught(Stage::Pretrain, CHATML);
    assert!(pretrain.warnings().is_empty());
    let files = trained(pretrain);
    let json = |name: &str| serde_json::from_slice::<Value>(&files[name]).unwrap();
    assert_eq!(json("config.json")["eos_token_id"], 0);
    assert_eq!(json("tokenizer_config.json")["eos_token"], "<|endoftext|>");
    let endless = taught(Stage::Sft, ENDLESS);
    let warnings = endless.warnings();
    assert!(warnings.len() == 1 && warnings[0].contains("does not learn where to stop"), "{warnings:?}");
    assert!(warnings[0].contains("{{ eos_token }}") && warnings[0].contains("--stop"), "{warnings:?}");
    let files = trained(endless);
    assert_eq!(serde_json::from_slice::<Value>(&files["config.json"]).unwrap()["eos_token_id"], 0);
    assert!(taught(Stage::Pretrain, ENDLESS).warnings().is_empty());
}
