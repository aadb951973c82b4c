//! Checkpoints of others as they are found: MiniMind's `.pth`, llama2.c's `.bin`.

use std::path::PathBuf;

use kindling::checkpoint::Checkpoint;
use kindling::formats::{
    ADAPTER_CONFIG, Files, MinimindShape, TensorFile, from_llama2c, from_minimind, llama2c_tokenizer,
};
use kindling::model::preset;
use serde_json::Value;

/// A file of the shared weights, where they are.
fn shared(name: &str) -> Option<Vec<u8>> {
    let shared = std::env::var_os("KINDLING_SHARED")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared"), PathBuf::from);
    let path = shared.join("data/weights").join(name);
    let bytes = std::fs::read(&path).ok();
    if bytes.is_none() {
        eprintln!("SKIPPED: weights_shared: {} is not there", path.display());
    }
    bytes
}

fn small() -> MinimindShape {
    MinimindShape::from(&preset("minimind2-small").unwrap().config(None))
}

fn open(files: &Files) -> Checkpoint {
    Checkpoint::open(|name| Ok(files.get(name).cloned())).unwrap()
}

#[test]
fn a_minimind_model_opens_with_the_right_names_and_shapes() {
    let Some(bytes) = shared("minimind-zzh-64/pretrain_64.pth") else { return };
    let files = from_minimind(&bytes, &small()).unwrap();
    let checkpoint = open(&files);
    let config = &checkpoint.config;
    assert_eq!((config.hidden_size, config.vocab_size, config.num_attention_heads), (64, 6400, 8));
    // Building it asks for every tensor that the config names, in its shape.
    let model = checkpoint.model(&burn::tensor::Device::flex()).unwrap();
    let weights = pollster::block_on(model.weights()).unwrap();
    let stored = TensorFile::open("x", files["model.safetensors"].clone()).unwrap().names();
    assert_eq!(weights.len(), stored.len(), "and no other");
}

#[test]
fn a_minimind_adapter_becomes_one_of_peft() {
    let Some(bytes) = shared("minimind-lora-512/lora_identity_512.pth") else { return };
    let files = from_minimind(&bytes, &small()).unwrap();
    let config: Value = serde_json::from_slice(&files[ADAPTER_CONFIG]).unwrap();
    assert_eq!((config["r"].as_u64(), config["lora_alpha"].as_f64()), (Some(8), Some(8.0)));
    let names = TensorFile::open("x", files["adapter_model.safetensors"].clone()).unwrap().names();
    assert!(names.iter().all(|name| name.starts_with("base_model.model.model.layers.")), "{names:?}");
}

#[test]
fn both_versions_of_llama2c_are_the_same_model_as_in_hugging_face() {
    let names = ["stories260k/stories260K.bin", "stories260k/stories260K_v1.bin", "stories260k/tok512.bin"];
    let [Some(old), Some(new), Some(pieces)] = names.map(shared) else { return };
    let (old, new) = (from_llama2c(&old).unwrap(), from_llama2c(&new).unwrap());
    assert!(old["model.safetensors"] == new["model.safetensors"]);
    let there = TensorFile::open("hf", shared("stories260k/hf/model.safetensors").unwrap()).unwrap();
    let here = TensorFile::open("bin", old["model.safetensors"].clone()).unwrap();
    assert!(here.read_all().unwrap() == there.read_all().unwrap());
    let json = |bytes: &[u8]| serde_json::from_slice::<Value>(bytes).unwrap();
    let tokenizer = llama2c_tokenizer(&pieces, 512).unwrap();
    assert!(json(&tokenizer["tokenizer.json"]) == json(&shared("stories260k/hf/tokenizer.json").unwrap()));
}
