//! Adapters as `peft` and mlx-lm leave them, of a tiny model of `transformers`: the log-probabilities that peft computes, or
//! a refusal that names what is wrong.

use std::path::{Path, PathBuf};

use burn::tensor::Device;
use kindling::adapter::Adapter;
use kindling::checkpoint::Checkpoint;
use kindling::error::Result;
use kindling::formats::{MLX_WEIGHTS, TensorFile};
use kindling::model::Transformer;
use kindling::sample::Decoder;
use serde_json::Value;

use crate::tiny::largest_difference;

const BASE: &str = "base_llama";

fn folder() -> Option<PathBuf> {
    let shared = std::env::var_os("KINDLING_SHARED")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared"), PathBuf::from);
    let folder = shared.join("cases/interop");
    if folder.join(BASE).is_dir() {
        return Some(folder);
    }
    eprintln!("SKIPPED: adapters_shared: {} is not there", folder.display());
    None
}

fn read(folder: &Path) -> impl FnMut(&str) -> Result<Option<Vec<u8>>> {
    move |name| Ok(std::fs::read(folder.join(name)).ok())
}

fn base(folder: &Path) -> (Checkpoint, Transformer) {
    let checkpoint = Checkpoint::open(read(&folder.join(BASE))).unwrap();
    let model = checkpoint.model(&Device::flex()).unwrap();
    (checkpoint, model)
}

/// The base with a case's adapter, as `--adapter` attaches it.
fn adapted(folder: &Path, case: &str) -> Result<Transformer> {
    let (checkpoint, model) = base(folder);
    let adapter = Adapter::open(read(&folder.join(case)))?;
    adapter.compared(|name| checkpoint.token_table(name))?.attach(model, 1.0)
}

fn numbers(values: &Value) -> Vec<f32> {
    let values = values.as_array().unwrap().iter();
    values.filter_map(Value::as_f64).map(|value| value as f32).collect()
}

#[test]
fn what_opens_computes_what_peft_computes() {
    let Some(folder) = folder() else { return };
    let expected: Value =
        serde_json::from_slice(&std::fs::read(folder.join("expected.json")).unwrap()).unwrap();
    let tokens: Vec<u32> = numbers(&expected["tokens"]).into_iter().map(|id| id as u32).collect();
    let opened = |case: &str| match case {
        BASE => base(&folder).1,
        case => adapted(&folder, case).unwrap(),
    };
    for case in [BASE, "a_null", "a_head"] {
        let model = opened(case);
        let score = pollster::block_on(Decoder::new(&model, 64).score(&tokens, None, true)).unwrap();
        let found: Vec<f32> = score.logprobs.iter().flatten().map(|value| *value as f32).collect();
        let there = &expected["cases"][case];
        assert!(largest_difference(&found, &numbers(&there["logprobs"])) < 2e-4, "{case}: {found:?}");
        let logits = score.logits.unwrap();
        assert!(largest_difference(&logits[..8], &numbers(&there["last_logits_8"])) < 2e-4, "{case}");
    }
}

#[test]
fn what_would_open_half_or_otherwise_is_refused_by_name() {
    let Some(folder) = folder() else { return };
    let some = ["q_proj in block 1,", "v_proj in blocks 0, 1,", "down_proj in blocks 0, 1,"];
    for (case, parts) in [
        ("a_zero3", &["12 of its 12 tensors", "ZeRO-3", "stage3_gather_16bit_weights_on_model_save"][..]),
        ("a_zero3part", &["4 of its 12 tensors", "down_proj.lora_A", "zero_to_fp32"]),
        ("a_empty", &["no weights", "v_proj, down_proj, q_proj"]),
        ("a_some", &some),
        ("a_rmismatch", &["rank 16", "rank 8"]),
        ("a_pissa", &["init_lora_weights = \"pissa\"", "path_initial_model_for_weight_conversion"]),
        ("a_alora", &["alora_invocation_tokens = [41,77]", "PEFT"]),
    ] {
        let message = adapted(&folder, case).err().unwrap().to_string();
        assert!(parts.iter().all(|part| message.contains(part)), "{case}: {message}");
    }
}

#[test]
fn an_adapter_of_mlx_adds_its_scaled_product() {
    let Some(folder) = folder() else { return };
    let case = folder.join("a_mlx");
    let file = TensorFile::open(MLX_WEIGHTS, std::fs::read(case.join(MLX_WEIGHTS)).unwrap()).unwrap();
    let layer = "model.layers.0.self_attn.q_proj";
    let (wide, rank, scale) = (64, 8, 20.0);
    let a = file.read(&format!("{layer}.lora_a"), &[wide, rank]).unwrap();
    let b = file.read(&format!("{layer}.lora_b"), &[rank, wide]).unwrap();
    let mut expected = pollster::block_on(base(&folder).1.weights()).unwrap();
    // The case has weights for one block of the two that its num_layers says.
    expected.retain(|tensor| !tensor.name.contains("layers.1."));
    let mut merged = expected.clone();
    let weight = expected.iter_mut().find(|tensor| tensor.name == format!("{layer}.weight")).unwrap();
    for (i, value) in weight.values.iter_mut().enumerate() {
        let (output, input) = (i / wide, i % wide);
        *value += scale * (0..rank).map(|r| a[input * rank + r] * b[r * wide + output]).sum::<f32>();
    }
    Adapter::open(read(&case)).unwrap().merge(&mut merged, 1.0).unwrap();
    for (found, expected) in merged.iter().zip(&expected) {
        assert!(largest_difference(&found.values, &expected.values) < 1e-4, "{}", found.name);
    }
    let message = adapted(&folder, "a_mlx").err().unwrap().to_string();
    assert!(message.contains("ends at block 0, the base at block 1, and mlx-lm"), "{message}");
}
