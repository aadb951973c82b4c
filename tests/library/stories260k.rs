//! Real weights: the Hugging Face form against the original llama2.c file, computed by plain loops.
//!
//! Format of the `.bin` (llama2.c, legacy): seven little-endian int32 (dim, hidden, layers, heads, kv heads,
//! vocab, seq; a positive vocab means a shared classifier), then f32 tensors layer-major: embedding, attention
//! norms, wq, wk, wv, wo, ffn norms, w1, w2, w3, final norm, and two unused frequency tables.

use std::path::PathBuf;

use burn::tensor::Device;
use kindling::checkpoint::Checkpoint;
use kindling::model::{ModelConfig, NamedTensor};
use kindling::sample::{Decoder, Flow, GenerationRequest, SamplingConfig, UnmaskConfig, generate};

use crate::model::Reference;
use crate::tiny::largest_difference;

fn folder() -> Option<PathBuf> {
    let shared = std::env::var_os("KINDLING_SHARED")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared"), PathBuf::from);
    let folder = shared.join("data/weights/stories260k");
    if folder.is_dir() {
        return Some(folder);
    }
    eprintln!("SKIPPED: stories260k: {} is not there", folder.display());
    None
}

fn open(folder: &std::path::Path) -> Checkpoint {
    Checkpoint::open(|name| Ok(std::fs::read(folder.join("hf").join(name)).ok())).unwrap()
}

/// The tensors of the original file under Hugging Face names, rotary pairs still interleaved.
fn read_bin(bytes: &[u8]) -> Vec<NamedTensor> {
    let ints: Vec<usize> =
        bytes[..28].chunks(4).map(|b| i32::from_le_bytes(b.try_into().unwrap()) as usize).collect();
    let [dim, hidden, layers, heads, kv_heads, vocab, _] = ints[..] else { panic!("header") };
    let kv = dim / heads * kv_heads;
    let mut floats = bytes[28..].chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap()));
    let mut tensors = Vec::new();
    let mut take = |name: String, shape: Vec<usize>| {
        let values = floats.by_ref().take(shape.iter().product()).collect();
        tensors.push(NamedTensor { name, shape, values });
    };
    take("model.embed_tokens.weight".into(), vec![vocab, dim]);
    let per_layer = [
        ("input_layernorm", vec![dim]),
        ("self_attn.q_proj", vec![dim, dim]),
        ("self_attn.k_proj", vec![kv, dim]),
        ("self_attn.v_proj", vec![kv, dim]),
        ("self_attn.o_proj", vec![dim, dim]),
        ("post_attention_layernorm", vec![dim]),
        ("mlp.gate_proj", vec![hidden, dim]),
        ("mlp.down_proj", vec![dim, hidden]),
        ("mlp.up_proj", vec![hidden, dim]),
    ];
    for (part, shape) in per_layer {
        (0..layers).for_each(|layer| take(format!("model.layers.{layer}.{part}.weight"), shape.clone()));
    }
    take("model.norm.weight".into(), vec![dim]);
    tensors
}

#[test]
fn logits_equal_those_of_the_original_file() {
    let Some(folder) = folder() else { return };
    let weights = read_bin(&std::fs::read(folder.join("stories260K.bin")).unwrap());
    let checkpoint = open(&folder);
    let config: ModelConfig = checkpoint.config.clone();
    let ids = [1, 403, 407, 261, 378, 432, 2, 1, 10, 500, 33, 33];
    let expected = Reference { config: &config, weights: &weights, interleaved: true }.logits(&ids);
    let model = checkpoint.model(&Device::flex()).unwrap();
    let found = crate::tiny::logits(&model, &ids);
    assert!(largest_difference(&expected, &found) < 1e-4);
    // `score` goes through the cache in one piece and gives the last row.
    let tokens: Vec<u32> = ids.iter().map(|&id| id as u32).collect();
    let score = pollster::block_on(Decoder::new(&model, 64).score(&tokens, None, true)).unwrap();
    assert!(largest_difference(&expected[11 * 512..], &score.logits.unwrap()) < 1e-4);
}

#[test]
fn greedy_generation_tells_a_story() {
    let Some(folder) = folder() else { return };
    let checkpoint = open(&folder);
    let model = checkpoint.model(&Device::flex()).unwrap();
    let tokenizer = checkpoint.tokenizer.as_ref().unwrap();
    let prompt = tokenizer.encode_document("Once upon a time").unwrap();
    assert_eq!(prompt[0], 1, "the tokenizer asks for a first token");
    let config = SamplingConfig { temperature: 0.0, max_new_tokens: 120, ..SamplingConfig::default() };
    let request = GenerationRequest {
        prompt: &prompt,
        reuse: 0,
        end_ids: &[2],
        tokenizer: Some(tokenizer),
        config: &config,
        unmask: UnmaskConfig::default(),
    };
    let mut streamed = String::new();
    let mut on_text = |text: &str| {
        streamed.push_str(text);
        Flow::Continue
    };
    let story = pollster::block_on(generate(&mut Decoder::new(&model, 512), &request, &mut on_text)).unwrap();
    assert_eq!(streamed, story.text);
    assert!(story.text.starts_with(", there was a little girl named"), "{}", story.text);
    let known = ["the", "and", "was", "to", "a", "she", "her", "he", "it", "Lily", "They", "very", "day"];
    let words: Vec<&str> = story.text.split_whitespace().collect();
    let common = words.iter().filter(|word| known.contains(&word.trim_matches(['.', ',']))).count();
    assert!(common * 4 > words.len(), "{}", story.text);
}
