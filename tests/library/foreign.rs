//! Checkpoints of others in every form that is made of them: the same log-probabilities as their directory, or a refusal
//! that names why. Golden models of every family always; the odd ones of `../shared/cases` where they are.

use std::path::{Path, PathBuf};

use burn::tensor::Device;
use kindling::checkpoint::{Checkpoint, WEIGHTS_INDEX, from_single_file, to_single_file, whole_weights};
use kindling::error::Result;
use kindling::formats::gguf::{WeightType, to_gguf};
use kindling::formats::{
    Files, MinimindShape, TensorFile, TorchFloat, from_minimind, plain_files, to_minimind, write_tensors,
};
use kindling::model::NamedTensor;
use kindling::sample::Decoder;
use serde_json::{Value, json};

const WEIGHTS: &str = "model.safetensors";
/// How far two answers may be from each other.
const NEAR: f64 = 2e-4;

/// A model, a form that cannot be made of it, and what is said.
type Refusal = (&'static str, &'static str, &'static str);

const OF_FAMILIES: [Refusal; 16] = [
    ("llama", "pth", "bias' has no place"),
    ("llama-dynamic", "gguf", "rope_type 'dynamic'"),
    ("llama-dynamic", "pth", "rope_scaling"),
    ("llama-linear", "pth", "rope_scaling"),
    ("llama-yarn", "pth", "rope_scaling"),
    ("llama3", "pth", "rope_scaling"),
    ("mistral", "gguf", "sliding_window 5"),
    ("mistral", "pth", "sliding_window"),
    ("qwen2", "pth", "bias' has no place"),
    ("qwen2-sliding", "gguf", "sliding_window 5"),
    ("qwen2-sliding", "pth", "bias' has no place"),
    ("qwen3", "gguf", "attention_bias true"),
    ("qwen3", "pth", "bias' has no place"),
    ("qwen3-moe", "gguf", "mlp.down_proj.weight' has no counterpart"),
    ("qwen3-moe", "pth", "experts"),
    ("qwen3-moe-one", "gguf", "norm_topk_prob false"),
];

const OF_CASES: [Refusal; 5] = [
    ("r_mlt", "gguf", "sliding_window 16"),
    ("r_mlt", "pth", "sliding_window"),
    ("r_theta3", "pth", "rope_scaling"),
    ("r_both", "pth", "bias' has no place"),
    ("m_mtq", "pth", "bias' has no place"),
];

fn golden(name: &str) -> PathBuf {
    let golden = std::env::var("KINDLING_GOLDEN");
    let golden = golden.unwrap_or_else(|_| concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/golden").into());
    Path::new(&golden).join("families").join(name)
}

/// The odd checkpoints, where they are.
fn cases() -> Option<PathBuf> {
    let shared = std::env::var_os("KINDLING_SHARED")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared"), PathBuf::from);
    let folder = shared.join("cases/interop");
    if folder.is_dir() {
        return Some(folder);
    }
    eprintln!("SKIPPED: foreign: {} is not there", folder.display());
    None
}

fn json_of(path: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

fn tokens_of(expected: &Value) -> Vec<u32> {
    expected["tokens"].as_array().unwrap().iter().map(|id| id.as_u64().unwrap() as u32).collect()
}

/// A directory's files, with a tokenizer of three pieces where it has none.
fn files_of(folder: &Path) -> Files {
    let read = |name: &str| -> Result<Option<Vec<u8>>> { Ok(std::fs::read(folder.join(name)).ok()) };
    let names = ["config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json", WEIGHTS];
    let mut files = Files::new();
    for name in names {
        files.extend(read(name).unwrap().map(|bytes| (name.to_string(), bytes)));
    }
    if folder.join(WEIGHTS_INDEX).is_file() {
        files.insert(WEIGHTS.into(), whole_weights(read).unwrap());
    }
    files.entry("tokenizer.json".into()).or_insert_with(|| small_tokenizer().to_string().into_bytes());
    files
}

fn small_tokenizer() -> Value {
    let bytes = |prefix: bool| json!({"type": "ByteLevel", "add_prefix_space": prefix, "trim_offsets": true, "use_regex": true});
    json!({
        "version": "1.0", "truncation": null, "padding": null, "added_tokens": [], "normalizer": null,
        "pre_tokenizer": bytes(false), "post_processor": null, "decoder": bytes(true),
        "model": {
            "type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": null,
            "end_of_word_suffix": null, "fuse_unk": false, "byte_fallback": false,
            "vocab": {"a": 0, "b": 1, "ab": 2}, "merges": [["a", "b"]],
        },
    })
}

fn open(files: &Files) -> Result<Checkpoint> {
    Checkpoint::open(|name| Ok(files.get(name).cloned()))
}

fn score(checkpoint: &Checkpoint, tokens: &[u32]) -> Result<Vec<f64>> {
    let model = checkpoint.model(&Device::flex())?;
    let score = pollster::block_on(Decoder::new(&model, tokens.len()).score(tokens, None, false))?;
    Ok(score.logprobs.into_iter().skip(1).map(Option::unwrap).collect())
}

fn score_files(files: &Files, tokens: &[u32]) -> Result<Vec<f64>> {
    score(&open(files)?, tokens)
}

/// What every form that is made of a directory answers.
fn forms(files: &Files, tokens: &[u32]) -> [(&'static str, Result<Vec<f64>>); 5] {
    let plain = plain_files(files).unwrap().files.unwrap_or_else(|| files.clone());
    let single = to_single_file(&plain).and_then(|bytes| from_single_file(&bytes));
    let checkpoint = open(files).unwrap();
    let weights = pollster::block_on(checkpoint.model(&Device::flex()).unwrap().weights()).unwrap();
    let merged = checkpoint.files_with(&weights);
    let gguf = to_gguf(files, WeightType::F32).and_then(Checkpoint::open_gguf);
    let shape = MinimindShape::from(&checkpoint.config);
    let pth = to_minimind(files, TorchFloat::F32).and_then(|bytes| from_minimind(&bytes, &shape));
    [
        ("hf", score_files(&plain, tokens)),
        ("single file", single.and_then(|files| score_files(&files, tokens))),
        ("merged", merged.and_then(|files| score_files(&files, tokens))),
        ("gguf", gguf.and_then(|checkpoint| score(&checkpoint, tokens))),
        ("pth", pth.and_then(|files| score_files(&files, tokens))),
    ]
}

fn check_near(found: &[f64], expected: &[f64], what: &str) {
    assert_eq!(found.len(), expected.len(), "{what}");
    for (place, (found, expected)) in found.iter().zip(expected).enumerate() {
        assert!((found - expected).abs() < NEAR, "{what}, token {place}: {found} and {expected}");
    }
}

/// Every form answers as the directory, or is refused as the list says.
fn check_forms(name: &str, files: &Files, tokens: &[u32], refusals: &[Refusal]) -> Vec<f64> {
    let directory = score_files(files, tokens).unwrap_or_else(|e| panic!("{name}: {e}"));
    for (form, answer) in forms(files, tokens) {
        let refused = refusals.iter().find(|(model, of, _)| *model == name && *of == form);
        match (answer, refused) {
            (Ok(found), None) => check_near(&found, &directory, &format!("{name} as {form}")),
            (Err(error), Some((.., told))) => {
                let message = error.to_string();
                assert!(message.contains(told), "{name} as {form}: {message}");
            }
            (Ok(_), Some(_)) => panic!("{name} as {form} is made, and should be refused"),
            (Err(error), None) => panic!("{name} as {form}: {error}"),
        }
    }
    directory
}

#[test]
fn every_family_answers_alike_in_every_form() {
    let mut count = 0;
    for entry in std::fs::read_dir(golden("")).unwrap() {
        let folder = entry.unwrap().path();
        if !folder.is_dir() {
            continue;
        }
        let name = folder.file_name().unwrap().to_string_lossy().into_owned();
        let files = files_of(&folder);
        assert_eq!(open(&files).unwrap().warnings, [""; 0], "{name}");
        let tokens = tokens_of(&json_of(&folder.join("expected.json")));
        check_forms(&name, &files, &tokens, &OF_FAMILIES);
        count += 1;
    }
    assert_eq!(count, 11);
}

/// The files with other tensors.
fn with_tensors(files: &Files, change: impl FnOnce(&mut Vec<NamedTensor>)) -> Files {
    let mut tensors = TensorFile::open(WEIGHTS, files[WEIGHTS].clone()).unwrap().read_all().unwrap();
    change(&mut tensors);
    let mut files = files.clone();
    files.insert(WEIGHTS.into(), write_tensors(&tensors, &[]).unwrap());
    files
}

#[test]
fn a_tied_head_of_its_own_and_wrapped_names_are_the_same_in_every_form() {
    let files = files_of(&golden("qwen2"));
    let tokens = tokens_of(&json_of(&golden("qwen2").join("expected.json")));
    let plain = score_files(&files, &tokens).unwrap();
    let wrapped = with_tensors(&files, |tensors| {
        for tensor in tensors.iter_mut() {
            tensor.name = tensor.name.replacen("model.", "_orig_mod.module.", 1);
        }
        let buffer = NamedTensor {
            name: "_orig_mod.module.layers.0.self_attn.rotary_emb.inv_freq".into(),
            shape: vec![1],
            values: vec![9.0],
        };
        tensors.push(buffer);
    });
    assert_eq!(open(&wrapped).unwrap().warnings, [""; 0]);
    check_near(&check_forms("qwen2", &wrapped, &tokens, &OF_FAMILIES), &plain, "wrapped");
    let untied = |scale: f32| {
        with_tensors(&files, |tensors| {
            let embedding = tensors.iter().find(|tensor| tensor.name.contains("embed_tokens")).unwrap();
            let values = embedding.values.iter().map(|value| value * scale).collect();
            let shape = embedding.shape.clone();
            tensors.push(NamedTensor { name: "lm_head.weight".into(), shape, values });
        })
    };
    check_near(&check_forms("qwen2", &untied(1.0), &tokens, &OF_FAMILIES), &plain, "tied");
    let other = untied(1.5);
    let checkpoint = open(&other).unwrap();
    assert!(!checkpoint.config.tie_word_embeddings);
    assert!(
        checkpoint.warnings[0].contains("'lm_head.weight' holds other values"),
        "{:?}",
        checkpoint.warnings
    );
    let answer = check_forms("qwen2", &other, &tokens, &OF_FAMILIES);
    assert!(answer.iter().zip(&plain).any(|(a, b)| (a - b).abs() > 0.01), "the head of its own answers");
}

#[test]
fn odd_checkpoints_answer_as_transformers_does() {
    let Some(cases) = cases() else { return };
    let expected = json_of(&cases.join("expected.json"));
    let tokens = tokens_of(&expected);
    for (name, warned) in [
        ("base_llama", ""),
        ("b_inv", ""),
        ("m_tiediff", "'lm_head.weight' holds other values"),
        ("m_biasabsent", "8 of the checkpoint's tensors are not read"),
        ("m_mtq", ""),
        ("m_noprefix", ""),
        ("r_mlt", ""),
        ("r_both", "rope_scaling and rope_parameters contradict each other"),
        ("r_theta3", ""),
    ] {
        let files = files_of(&cases.join(name));
        let warnings = open(&files).unwrap().warnings.into_iter();
        let (of_class, warnings): (Vec<_>, Vec<_>) = warnings
            .partition(|warning| warning.contains("transformers 5 opens the tokenizer as Qwen2Tokenizer"));
        assert_eq!(of_class.len(), usize::from(name == "r_both"), "{name}: {of_class:?}");
        assert_eq!(warnings.len(), usize::from(!warned.is_empty()), "{name}: {warnings:?}");
        assert!(warnings.iter().all(|warning| warning.contains(warned)), "{name}: {warnings:?}");
        let found = check_forms(name, &files, &tokens, &OF_CASES);
        // transformers refuses a config without model_type.
        if let Some(logprobs) = expected["cases"][name]["logprobs"].as_array() {
            let logprobs: Vec<f64> = logprobs[1..].iter().map(|logprob| logprob.as_f64().unwrap()).collect();
            check_near(&found, &logprobs, name);
        }
    }
}

#[test]
fn mixed_layers_slide_as_ministrals() {
    let Some(cases) = cases() else { return };
    let tokens: Vec<u32> = (0..48).map(|i| (37 * i + 5) % 320).collect();
    let found = score_files(&files_of(&cases.join("r_mlt")), &tokens).unwrap();
    // By plain loops in f64, of which the first layer looks back 16 keys and the second at all of them.
    let expected = [-7.99854, -7.46385, -6.97024, -6.73512, -7.18205];
    check_near(&found[found.len() - 5..], &expected, "r_mlt");
}

#[test]
fn what_is_computed_otherwise_or_in_few_bits_is_refused_by_name() {
    let Some(cases) = cases() else { return };
    for (name, told) in [
        ("m_bidir", "is_causal 'false' is not supported"),
        ("m_qbnb4", "quantised by bitsandbytes (4 bits)"),
        ("m_qawq", "quantised by awq (4 bits)"),
        ("m_qfp8", "quantised by fp8"),
        ("m_qmlx", "quantised by MLX (4 bits)"),
    ] {
        let message = open(&files_of(&cases.join(name))).err().unwrap().to_string();
        assert!(message.contains(told), "{name}: {message}");
    }
}
