//! MiniMind's state dicts of all four generations as Hugging Face models, and a Hugging Face model as MiniMind's newest.

use std::collections::{BTreeMap, BTreeSet};

use super::names::{hugging_face_name, is_interleaved, is_known, layer_of};
use super::{TorchFloat, TorchTensor, write_state_dict};
use crate::error::{Error, Result};
use crate::formats::half_rotate::to_half_rotate;
use crate::formats::{Files, TensorFile, directory_files, plain_files};
use crate::model::{Balance, Experts, ModelConfig, NamedTensor, RopeScaling};

const EMBEDDING: &str = "model.embed_tokens.weight";
const HEAD: &str = "lm_head.weight";
/// The vocabulary of MiniMind's own tokenizers, all of which begin with padding, start and end.
const VOCABULARY: usize = 6400;

/// What the tensors' shapes do not tell. `None` is what MiniMind has by default, where the tensors tell its generation.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct MinimindShape {
    /// Query heads. Only tensors of the newest generation tell them.
    pub heads: Option<usize>,
    /// Key and value heads, which follow from the query heads; given, they are compared.
    pub kv_heads: Option<usize>,
    /// Whether queries and keys are normalised, which the tensors tell; given, it is compared.
    pub qk_norm: Option<bool>,
    /// Base of the rotary frequencies: 1e6 by default, 1e4 in MiniMind's first version and in Tiny-LLM.
    pub rope_theta: Option<f64>,
    /// Added to the mean square in RMSNorm: 1e-5 by default, 1e-6 in the newest generation.
    pub rms_norm_eps: Option<f64>,
    /// Longest sequence in tokens: 8192 by default, 32768 since the Llama-like names, 512 in the first version.
    pub max_position_embeddings: Option<usize>,
    /// Experts that a token is sent to: 2 by default, 1 in the newest generation.
    pub experts_per_token: Option<usize>,
    /// Whether the weights of a token's experts are divided by their sum: where it has several, and in the newest
    /// generation also where it has one.
    pub normalize: Option<bool>,
    /// What training adds to its loss for the gates: 0.01 of each sequence's balance, in the newest generation 5e-4 of the
    /// step's.
    pub balance: Option<Balance>,
}

impl From<&ModelConfig> for MinimindShape {
    fn from(config: &ModelConfig) -> Self {
        Self {
            heads: Some(config.num_attention_heads),
            kv_heads: Some(config.num_key_value_heads),
            qk_norm: Some(config.qk_norm),
            rope_theta: Some(config.rope_theta),
            rms_norm_eps: Some(config.rms_norm_eps),
            max_position_embeddings: Some(config.max_position_embeddings),
            experts_per_token: config.experts.as_ref().map(|experts| experts.per_token),
            normalize: config.experts.as_ref().map(|experts| experts.normalize),
            balance: config.experts.as_ref().map(|experts| experts.balance),
        }
    }
}

/// The files of a model without its tokenizer.
///
/// # Errors
/// Tensors that no MiniMind language model has; heads that are missing or do not fit.
pub(super) fn model_files(tensors: Vec<TorchTensor>, told: &MinimindShape) -> Result<Files> {
    let interleaved = tensors.iter().any(|tensor| is_interleaved(&tensor.name));
    let mut weights = Vec::with_capacity(tensors.len());
    for tensor in tensors {
        let name = hugging_face_name(&tensor.name);
        if !is_known(&name) {
            return Err(Error::Checkpoint(
                format!(
                    "tensor '{}' belongs to no MiniMind language model; only those are read from a .pth file",
                    tensor.name
                )
                .into(),
            ));
        }
        weights.push(NamedTensor { name, ..tensor.into() });
    }
    let config = config(&weights, told, interleaved)?;
    if interleaved {
        for weight in &mut weights {
            let heads = match weight.name.rsplit('.').nth(1) {
                Some("q_proj") => config.num_attention_heads,
                Some("k_proj") => config.num_key_value_heads,
                _ => continue,
            };
            weight.values = to_half_rotate(&weight.name, &weight.values, heads, config.head_dim)?;
        }
    }
    if config.tie_word_embeddings {
        weights.retain(|weight| weight.name != HEAD);
    }
    directory_files(&config, &weights, None)
}

/// A model's weights as MiniMind's state dict: Llama-like names as in its third generation, with norms of queries and
/// keys as in its newest, and the head beside the embedding also where it is the same.
///
/// # Errors
/// A model with parts that MiniMind's does not have; values beyond the range of `float`.
pub fn to_minimind(files: &Files, float: TorchFloat) -> Result<Vec<u8>> {
    let plain = plain_files(files)?.files;
    let files = plain.as_ref().unwrap_or(files);
    let file = |name: &str| {
        files.get(name).ok_or_else(|| {
            Error::Checkpoint(format!("there is no {name}, which a MiniMind checkpoint is made from").into())
        })
    };
    let config = ModelConfig::from_hugging_face(file("config.json")?)?;
    config.check_causal("a MiniMind .pth")?;
    let mut weights =
        TensorFile::open("model.safetensors", file("model.safetensors")?.clone())?.read_all()?;
    if let Some(other) = weights.iter().find(|weight| !is_known(&weight.name)) {
        return Err(Error::Checkpoint(format!(
            "tensor '{}' has no place in MiniMind's model, so this model cannot become a MiniMind checkpoint",
            other.name
        ).into()));
    }
    check_shape(&config, &weights)?;
    weights.sort_by_cached_key(|weight| {
        (weight.name != EMBEDDING, layer_of(&weight.name).unwrap_or(usize::MAX))
    });
    let tied: &[_] = if config.tie_word_embeddings { &[(HEAD, EMBEDDING)] } else { &[] };
    write_state_dict(&weights, tied, float)
}

/// Refuses a model that MiniMind, told its sizes, would compute in another way: a state dict holds no settings.
fn check_shape(config: &ModelConfig, weights: &[NamedTensor]) -> Result<()> {
    let there = self::config(weights, &MinimindShape::from(config), false)?;
    let parts = [
        ("rope_scaling", there.rope_scaling == config.rope_scaling),
        ("sliding_window", there.sliding_window == config.sliding_window),
        ("experts", there.experts == config.experts),
        ("attention_bias", !config.attention_bias && !config.attention_output_bias),
    ];
    match parts.into_iter().find(|(_, same)| !same) {
        None => Ok(()),
        Some((part, _)) => Err(Error::Checkpoint(format!(
            "this model's {part} is not MiniMind's own, and a .pth file has no place for it; export it to another form"
        ).into())),
    }
}

fn shapes(weights: &[NamedTensor]) -> BTreeMap<&str, &[usize]> {
    weights.iter().map(|weight| (weight.name.as_str(), weight.shape.as_slice())).collect()
}

/// The configuration, as far as shapes tell it.
fn config(weights: &[NamedTensor], told: &MinimindShape, interleaved: bool) -> Result<ModelConfig> {
    let shapes = shapes(weights);
    let matrix = |name: &str| {
        match shapes.get(name) {
        Some([rows, columns]) => Ok([*rows, *columns]),
        _ => Err(Error::Checkpoint(format!(
            "the PyTorch file has no matrix '{name}' under this or an older name; it is no whole MiniMind model"
        ).into())),
    }
    };
    let [vocab_size, hidden_size] = matrix(EMBEDDING)?;
    let layers = layers(&shapes)?;
    let first = |name: &str| matrix(&format!("model.layers.0.{name}.weight"));
    let rows = [first("self_attn.q_proj")?[0], first("self_attn.k_proj")?[0]];
    let norm = shapes.get("model.layers.0.self_attn.q_norm.weight").and_then(|shape| shape.first().copied());
    let [heads, kv_heads, head_dim] = heads(rows, norm, told)?;
    let own_vocabulary = vocab_size == VOCABULARY;
    let config = ModelConfig {
        vocab_size,
        hidden_size,
        intermediate_size: first("mlp.gate_proj").or_else(|_| first("mlp.experts.0.gate_proj"))?[0],
        num_hidden_layers: layers,
        num_attention_heads: heads,
        num_key_value_heads: kv_heads,
        head_dim,
        max_position_embeddings: told.max_position_embeddings.unwrap_or(if interleaved {
            8_192
        } else {
            32_768
        }),
        rms_norm_eps: told.rms_norm_eps.unwrap_or(if norm.is_some() { 1e-6 } else { 1e-5 }),
        rope_theta: told.rope_theta.unwrap_or(1e6),
        rope_scaling: RopeScaling::Default,
        attention_bias: false,
        attention_output_bias: false,
        qk_norm: norm.is_some(),
        sliding_window: None,
        diffusion: None,
        experts: experts(&shapes, told, layers, norm.is_some()),
        attention_dropout: 0.0,
        dropout: 0.0,
        untrained: serde_json::Map::new(),
        tie_word_embeddings: is_tied(weights),
        initializer_range: 0.02,
        embedding_range: 0.02,
        bos_token_id: own_vocabulary.then_some(1),
        eos_token_ids: own_vocabulary.then_some(2).into_iter().collect(),
        pad_token_id: own_vocabulary.then_some(0),
        generation: serde_json::Map::new(),
    };
    config.validate()?;
    Ok(config)
}

fn layers(shapes: &BTreeMap<&str, &[usize]>) -> Result<usize> {
    let layers: BTreeSet<usize> = shapes.keys().filter_map(|name| layer_of(name)).collect();
    match (0..layers.len()).find(|layer| !layers.contains(layer)) {
        Some(missing) => Err(Error::Checkpoint(format!(
            "the PyTorch file has tensors of {} layers, but none of layer {missing}; it is no whole model",
            layers.len()
        ).into())),
        None => Ok(layers.len()),
    }
}

/// Query heads, key heads and their width, from the rows of the projections and the length of a head's norm.
fn heads([q_rows, k_rows]: [usize; 2], norm: Option<usize>, told: &MinimindShape) -> Result<[usize; 3]> {
    let head_dim = match (norm, told.heads) {
        (Some(head_dim), _) => head_dim,
        (None, Some(heads)) => q_rows.checked_div(heads).unwrap_or_default(),
        (None, None) => {
            return Err(Error::Checkpoint(
                "a MiniMind checkpoint of before MiniMind 3 does not tell its number of heads; name the preset that it \
                was trained with, such as --preset minimind2-small, or give --model-config"
                    .into(),
            ));
        }
    };
    let (heads, kv_heads) = (q_rows.checked_div(head_dim), k_rows.checked_div(head_dim));
    let found = [heads.unwrap_or_default(), kv_heads.unwrap_or_default(), head_dim];
    let whole =
        found[0] * head_dim == q_rows && found[1] * head_dim == k_rows && found.iter().all(|size| *size > 0);
    let same = |told: Option<usize>, found: usize| told.is_none_or(|told| told == found);
    let normed = told.qk_norm.is_none_or(|told| told == norm.is_some());
    if whole && normed && same(told.heads, found[0]) && same(told.kv_heads, found[1]) {
        return Ok(found);
    }
    let norms = if norm.is_some() { "with" } else { "without" };
    Err(Error::Checkpoint(format!(
        "the file's projections have {q_rows} rows for queries and {k_rows} for keys, {norms} norms; that does not fit {} \
        query and {} key heads{}: name the preset that it was trained with, or give --model-config",
        told.heads.map_or("unknown".into(), |heads| heads.to_string()),
        told.kv_heads.map_or("unknown".into(), |heads| heads.to_string()),
        match told.qk_norm {
            Some(true) => " with norms",
            Some(false) => " without norms",
            None => "",
        }
    ).into()))
}

/// Whether the output projection is the embedding: absent, or the same values.
fn is_tied(weights: &[NamedTensor]) -> bool {
    let find = |name: &str| weights.iter().find(|weight| weight.name == name);
    match (find(HEAD), find(EMBEDDING)) {
        (Some(head), Some(embedding)) => {
            head.shape == embedding.shape
                && head.values.iter().zip(&embedding.values).all(|(a, b)| a.to_bits() == b.to_bits())
        }
        _ => true,
    }
}

/// The routed layers, where there are any: MiniMind routes all or none.
fn experts(
    shapes: &BTreeMap<&str, &[usize]>,
    told: &MinimindShape,
    layers: usize,
    normed: bool,
) -> Option<Experts> {
    let count = |kind: &str| {
        let prefix = format!("model.layers.0.mlp.{kind}.");
        let of_kind = |name: &&&str| name.starts_with(&prefix) && name.ends_with("gate_proj.weight");
        shapes.keys().filter(of_kind).count()
    };
    let (routed, shared) = (count("experts"), count("shared_experts"));
    let width = shapes.get("model.layers.0.mlp.experts.0.gate_proj.weight")?.first().copied()?;
    // The newest generation computes what Qwen3's mixture does, also for one expert a token.
    let newest = normed && shared == 0;
    let per_token = told.experts_per_token.unwrap_or(if newest { 1 } else { 2 });
    Some(Experts {
        count: routed,
        per_token,
        shared,
        intermediate_size: width,
        normalize: told.normalize.unwrap_or(newest || per_token > 1),
        layers: vec![true; layers],
        balance: told.balance.unwrap_or(if newest {
            Balance { router_aux_loss_coef: 5e-4, ..Balance::default() }
        } else {
            Balance { aux_loss_alpha: 0.01, ..Balance::default() }
        }),
    })
}
