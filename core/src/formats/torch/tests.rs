//! What torch wrote (tests/golden/torch, made by its make.py) against what is read, and what is written against torch.

use std::collections::BTreeMap;

use serde_json::Value;

use super::*;
use crate::formats::TensorFile;
use crate::model::{ModelConfig, NamedTensor};

macro_rules! golden {
    ($name:literal) => {
        include_bytes!(concat!("../../../../tests/golden/torch/", $name, ".pth")).as_slice()
    };
}

fn expected(name: &str) -> BTreeMap<String, Value> {
    let text = include_str!("../../../../tests/golden/torch/expected.json");
    let mut all: BTreeMap<String, BTreeMap<String, Value>> = serde_json::from_str(text).unwrap();
    all.remove(name).unwrap()
}

fn sizes(value: &Value) -> Vec<usize> {
    value.as_array().unwrap().iter().map(|size| size.as_u64().unwrap() as usize).collect()
}

fn values(value: &Value) -> Vec<f32> {
    value["values"].as_array().unwrap().iter().map(|value| value.as_f64().unwrap() as f32).collect()
}

fn dtype(name: &str) -> DType {
    match name {
        "float16" => DType::F16,
        "bfloat16" => DType::BF16,
        "float64" => DType::F64,
        "int64" => DType::I64,
        "int32" => DType::I32,
        "int16" => DType::I16,
        "int8" => DType::I8,
        "uint8" => DType::U8,
        "bool" => DType::Bool,
        _ => DType::F32,
    }
}

/// Compares a model's weights with the expected ones, all of them and no more.
fn same_weights(file: &[u8], expected: &BTreeMap<String, Value>) {
    let weights = TensorFile::open("x", file.to_vec()).unwrap().read_all().unwrap();
    let names: Vec<_> = weights.iter().map(|weight| weight.name.as_str()).collect();
    assert_eq!(names, expected.keys().map(String::as_str).collect::<Vec<_>>());
    for weight in weights {
        let expected = &expected[&weight.name];
        assert_eq!(weight.shape, sizes(&expected["shape"]), "{}", weight.name);
        assert_eq!(weight.values, values(expected), "{}", weight.name);
    }
}

fn heads() -> MinimindShape {
    MinimindShape { heads: Some(2), kv_heads: Some(1), ..MinimindShape::default() }
}

fn config(files: &Files) -> ModelConfig {
    ModelConfig::from_hugging_face(&files["config.json"]).unwrap()
}

#[test]
fn every_kind_of_state_dict_is_read_as_torch_meant_it() {
    for (name, bytes) in [
        ("number_types", golden!("number_types")),
        ("views", golden!("views")),
        ("training", golden!("training")),
        ("parameters", golden!("parameters")),
        ("protocol3", golden!("protocol3")),
        ("protocol4", golden!("protocol4")),
        ("protocol5", golden!("protocol5")),
    ] {
        let (tensors, expected) = (open_state_dict(bytes).unwrap(), expected(name));
        assert_eq!(tensors.len(), expected.len(), "{name}");
        for tensor in tensors {
            let expected = &expected[&tensor.name];
            assert_eq!(tensor.shape, sizes(&expected["shape"]), "{name}: {}", tensor.name);
            assert_eq!(tensor.strides, sizes(&expected["strides"]), "{name}: {}", tensor.name);
            assert_eq!(tensor.dtype, dtype(expected["dtype"].as_str().unwrap()), "{name}: {}", tensor.name);
            assert_eq!(tensor.values, values(expected), "{name}: {}", tensor.name);
        }
    }
}

#[test]
fn the_second_generation_gets_hugging_face_names_and_rotary_layout() {
    let files = from_minimind(golden!("second_generation"), &heads()).unwrap();
    same_weights(&files["model.safetensors"], &expected("second_generation"));
    let config = config(&files);
    assert_eq!((config.hidden_size, config.head_dim, config.num_key_value_heads), (8, 4, 1));
    assert_eq!((config.num_hidden_layers, config.intermediate_size, config.vocab_size), (2, 3, 3));
    assert_eq!((config.rope_theta, config.rms_norm_eps, config.max_position_embeddings), (1e6, 1e-5, 8192));
    assert!(config.tie_word_embeddings && !config.qk_norm);
}

#[test]
fn the_newest_generation_tells_its_heads_itself() {
    let files = from_minimind(golden!("newest_generation"), &MinimindShape::default()).unwrap();
    same_weights(&files["model.safetensors"], &expected("newest_generation"));
    let config = config(&files);
    assert_eq!((config.num_attention_heads, config.num_key_value_heads, config.head_dim), (2, 1, 4));
    assert_eq!((config.rms_norm_eps, config.max_position_embeddings), (1e-6, 32768));
    assert!(config.qk_norm && !config.tie_word_embeddings);
}

#[test]
fn a_mixture_keeps_its_experts_and_says_what_it_is() {
    let files = from_minimind(golden!("mixture"), &heads()).unwrap();
    same_weights(&files["model.safetensors"], &expected("mixture"));
    let experts = config(&files).experts.unwrap();
    assert_eq!((experts.count, experts.shared, experts.per_token, experts.normalize), (2, 1, 2, true));
}

#[test]
fn a_lora_file_becomes_a_peft_adapter() {
    let files = from_minimind(golden!("lora"), &heads()).unwrap();
    same_weights(&files["adapter_model.safetensors"], &expected("lora"));
    let config: Value = serde_json::from_slice(&files["adapter_config.json"]).unwrap();
    assert_eq!((config["r"].as_u64(), config["lora_alpha"].as_f64()), (Some(2), Some(2.0)));
    assert_eq!(config["target_modules"], serde_json::json!(["o_proj", "q_proj"]));
    let message = from_minimind(golden!("lora"), &MinimindShape::default()).unwrap_err().to_string();
    assert!(message.contains("--preset minimind2-small"), "{message}");
}

#[test]
fn heads_that_are_missing_or_wrong_are_told() {
    let second = golden!("second_generation");
    let refused = |bytes, told: &MinimindShape| from_minimind(bytes, told).unwrap_err().to_string();
    let none = refused(second, &MinimindShape::default());
    assert!(none.contains("does not tell its number of heads") && none.contains("--preset"), "{none}");
    for told in [
        MinimindShape { heads: Some(3), ..heads() },
        MinimindShape { heads: Some(0), ..heads() },
        MinimindShape { kv_heads: Some(2), ..heads() },
        MinimindShape { heads: Some(usize::MAX), ..heads() },
        MinimindShape { qk_norm: Some(true), ..heads() },
    ] {
        let message = refused(second, &told);
        assert!(message.contains("8 rows for queries and 4 for keys, without norms"), "{message}");
    }
    let message = refused(golden!("newest_generation"), &MinimindShape { heads: Some(4), ..heads() });
    assert!(message.contains("4 query and 1 key heads"), "{message}");
    let message = refused(golden!("views"), &heads());
    assert!(message.contains("'whole' belongs to no MiniMind language model"), "{message}");
}

#[test]
fn a_model_comes_back_from_minimind_as_it_went() {
    for (name, told) in [("second_generation", heads()), ("newest_generation", MinimindShape::default())] {
        let golden = if name == "newest_generation" {
            golden!("newest_generation")
        } else {
            golden!("second_generation")
        };
        let files = from_minimind(golden, &told).unwrap();
        for float in [TorchFloat::F16, TorchFloat::F32] {
            let written = to_minimind(&files, float).unwrap();
            assert!(to_minimind(&files, float).unwrap() == written, "equal files make equal bytes");
            let tensors = open_state_dict(&written).unwrap();
            assert_eq!(tensors[0].name, "model.embed_tokens.weight");
            assert!(tensors.iter().any(|tensor| tensor.name == "lm_head.weight"), "{name}");
            let width = if float == TorchFloat::F16 { DType::F16 } else { DType::F32 };
            assert!(tensors.iter().all(|tensor| tensor.dtype == width));
            let again = from_minimind(&written, &heads()).unwrap();
            assert!(again["model.safetensors"] == files["model.safetensors"], "{name}");
            if name == "newest_generation" {
                assert!(again == files);
            }
        }
    }
}

#[test]
fn a_model_that_minimind_would_compute_otherwise_is_refused() {
    let mut files = from_minimind(golden!("newest_generation"), &MinimindShape::default()).unwrap();
    let mut config: Value = serde_json::from_slice(&files["config.json"]).unwrap();
    config["rope_scaling"] = serde_json::json!({"rope_type": "linear", "factor": 2.0});
    files.insert("config.json".into(), config.to_string().into_bytes());
    let message = to_minimind(&files, TorchFloat::F32).unwrap_err().to_string();
    assert!(message.contains("rope_scaling is not MiniMind's own"), "{message}");
}

#[test]
fn what_cannot_be_written_is_told() {
    let tensor = |values: &[f32]| NamedTensor { name: "w".into(), shape: vec![2], values: values.to_vec() };
    let refused =
        |values: &[f32], float| write_state_dict(&[tensor(values)], &[], float).unwrap_err().to_string();
    let message = refused(&[0.0, -70_000.0], TorchFloat::F16);
    assert!(message.contains("holds -70000, and 16 bits go to 65504"), "{message}");
    assert!(refused(&[0.0], TorchFloat::F32).contains("1 values for the shape [2]"));
    let message = write_state_dict(&[], &[("a", "b")], TorchFloat::F32).unwrap_err().to_string();
    assert!(message.contains("no tensor 'b'"), "{message}");
    let infinite = write_state_dict(&[tensor(&[f32::INFINITY, f32::NAN])], &[], TorchFloat::F16).unwrap();
    assert!(open_state_dict(&infinite).unwrap()[0].values[1].is_nan());
}
