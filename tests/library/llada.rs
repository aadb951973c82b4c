//! Masked predictors against plain PyTorch and LLaDA's own modelling code (tests/golden/llada/make.py): the same logits.

use std::path::{Path, PathBuf};

use burn::tensor::Device;
use kindling::checkpoint::{Checkpoint, ConvertConfig};
use kindling::formats::{Files, StoredFloat, to_llada};
use kindling::kernels::AttentionMask;
use kindling::model::Transformer;
use serde::Deserialize;

use crate::tiny::{ids, largest_difference, values};

#[derive(Deserialize)]
struct Expected {
    tokens: Vec<i32>,
    logits: Vec<Vec<f32>>,
}

/// A folder or a file of `tests/golden`; where the program was carried to another machine, `KINDLING_GOLDEN` is that folder.
fn golden(name: &str) -> PathBuf {
    let golden = std::env::var("KINDLING_GOLDEN");
    let golden = golden.unwrap_or_else(|_| concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/golden").into());
    Path::new(&golden).join(name)
}

fn expected(name: &str) -> Expected {
    serde_json::from_slice(&std::fs::read(golden(name)).unwrap()).unwrap()
}

fn open(folder: &str) -> Checkpoint {
    Checkpoint::open(|name| Ok(std::fs::read(golden(folder).join(name)).ok())).unwrap()
}

fn reopened(files: &Files) -> Checkpoint {
    Checkpoint::open(|name| Ok(files.get(name).cloned())).unwrap()
}

fn files(folder: &str) -> Files {
    let read = |name: &str| (name.to_string(), std::fs::read(golden(folder).join(name)).unwrap());
    Files::from(["config.json", "model.safetensors"].map(read))
}

/// Logits of one row whose positions all see each other.
fn bidirectional(model: &Transformer, row: &[i32]) -> Vec<f32> {
    values(model.forward(ids(&[row], &model.device()), &AttentionMask::bidirectional()))
}

#[test]
fn published_models_answer_as_their_own_code_does() {
    for folder in ["llada/untied", "llada/tied-biased"] {
        let checkpoint = open(folder);
        assert_eq!(checkpoint.warnings, [""; 0], "{folder}");
        let model = checkpoint.model(&Device::flex()).unwrap();
        let expected = expected(&format!("{folder}/expected.json"));
        let off = largest_difference(&bidirectional(&model, &expected.tokens), &expected.logits.concat());
        // Both sides round to f32.
        assert!(off < 2e-5, "{folder}: {off}");
        // Ours keeps every number, and goes back to LLaDA's names.
        let own = checkpoint.as_it_is().files(checkpoint.stored_float()).unwrap();
        assert!(String::from_utf8_lossy(&own["config.json"]).contains("kindling_diffusion"));
        for files in [to_llada(&own).unwrap(), own] {
            let again = reopened(&files);
            assert_eq!(again.config, checkpoint.config, "{folder}");
            let again = again.model(&Device::flex()).unwrap();
            assert!(bidirectional(&again, &expected.tokens) == bidirectional(&model, &expected.tokens));
        }
        assert_eq!(to_llada(&files(folder)).unwrap().len(), 2);
    }
}

#[test]
fn a_converted_mistral_answers_as_plain_pytorch_without_mask_and_window() {
    let causal = open("families/mistral");
    assert!(causal.config.sliding_window.is_some() && !causal.config.tie_word_embeddings);
    assert!(causal.config.num_key_value_heads < causal.config.num_attention_heads);
    let converted = causal.to_diffusion(&ConvertConfig::default()).unwrap();
    let opened = reopened(&converted.files(StoredFloat::F32).unwrap());
    assert_eq!(
        (opened.config.sliding_window.clone(), opened.config.rope_theta),
        (None, causal.config.rope_theta)
    );
    let expected = expected("llada/mistral.json");
    assert!(expected.tokens.contains(&(causal.config.vocab_size as i32)), "it reads masks");
    let model = opened.model(&Device::flex()).unwrap();
    let off = largest_difference(&bidirectional(&model, &expected.tokens), &expected.logits.concat());
    assert!(off < 1e-5, "{off}");
}

#[test]
fn every_family_converts_and_opens() {
    let families = std::fs::read_dir(golden("families")).unwrap().map(|entry| entry.unwrap().path());
    for folder in families.filter(|path| path.is_dir()) {
        let name = format!("families/{}", folder.file_name().unwrap().to_string_lossy());
        let causal = open(&name);
        let converted = causal.to_diffusion(&ConvertConfig::default()).unwrap();
        let files = converted.files(causal.stored_float()).unwrap();
        let opened = reopened(&files);
        assert_eq!(opened.config, converted.config, "{name}");
        assert_eq!(opened.stored_float(), causal.stored_float(), "{name}");
        let model = opened.model(&Device::flex()).unwrap();
        let row = [1, 2, causal.config.vocab_size as i32];
        assert!(bidirectional(&model, &row).iter().all(|logit| logit.is_finite()), "{name}");
    }
}
