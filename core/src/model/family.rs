//! Families of models: one class of `transformers` each, and our own for what none of them computes.

use serde_json::{Map, Value, json};

use super::keys::Keys;
use super::{ModelConfig, expert_keys};
use crate::error::{Error, Result};
use crate::told::{Told, told};

/// A `model_type` of `config.json`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Family {
    Llama,
    Mistral,
    /// Mistral whose layers see the last keys or all of them, each as `layer_types` says.
    Ministral,
    Qwen2,
    Qwen3,
    Qwen3Moe,
    /// Shapes that no class of `transformers` has, such as MiniMind's mixtures with shared experts.
    Own,
    /// Masked predictors, which no program may take for causal models of the same shape.
    Diffusion,
}

/// The `model_type` of LLaDA's published code, whose keys and names are its own; a model of it is one of
/// [`Family::Diffusion`] here.
pub(super) const LLADA: &str = "llada";

const FAMILIES: [Family; 8] = [
    Family::Llama,
    Family::Mistral,
    Family::Ministral,
    Family::Qwen2,
    Family::Qwen3,
    Family::Qwen3Moe,
    Family::Own,
    Family::Diffusion,
];

impl Family {
    /// The family of a `model_type`, or of the class in `architectures` where a file lost that key.
    ///
    /// # Errors
    /// One that is not supported, by name; a file that tells neither.
    pub(super) fn of_keys(keys: Keys) -> Result<Self> {
        let known = || FAMILIES.map(Self::name).join(", ") + ", " + LLADA;
        if let Some(name) = keys.text("model_type")?.filter(|name| !name.is_empty()) {
            return FAMILIES.into_iter().find(|family| family.name() == name).ok_or_else(|| {
                Error::Model(told!(
                    "model.type",
                    "config.json: model_type '{name}' is not supported; supported: {known}; use this model with transformers, or \
                     take one of these families",
                    name,
                    known = known()
                ))
            });
        }
        let class = keys.list("architectures")?.and_then(|classes| classes.first()?.as_str());
        FAMILIES.into_iter().find(|family| Some(family.class()) == class).ok_or_else(|| {
            let class = class.map_or(Told::default(), |class| {
                told!("model.class", ", and its architectures name '{class}'", class)
            });
            Error::Model(told!(
                "model.no_type",
                "config.json has no model_type{class}; add it, as one of {known}",
                class,
                known = known()
            ))
        })
    }

    /// The family whose class computes what the config says.
    pub(super) fn of(config: &ModelConfig) -> Self {
        if config.diffusion.is_some() {
            return Self::Diffusion;
        }
        let same_bias = config.attention_bias == config.attention_output_bias;
        let sliding = config.sliding_window.as_ref();
        let all_slide = sliding.is_none_or(|sliding| !sliding.layers.contains(&false));
        match (&config.experts, config.qk_norm) {
            (Some(experts), true) if experts.shared == 0 && same_bias && all_slide => Self::Qwen3Moe,
            (Some(_), _) => Self::Own,
            (None, true) if same_bias => Self::Qwen3,
            (None, false) if config.attention_bias && !config.attention_output_bias => Self::Qwen2,
            (None, false) if same_bias && sliding.is_none() => Self::Llama,
            (None, false) if same_bias && !config.attention_bias && all_slide => Self::Mistral,
            (None, false) if same_bias && !config.attention_bias => Self::Ministral,
            _ => Self::Own,
        }
    }

    /// Whether its feed-forward layers may be routed.
    pub(super) fn is_routed(self) -> bool {
        matches!(self, Self::Qwen3Moe | Self::Own | Self::Diffusion)
    }

    /// As `model_type` has it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Llama => "llama",
            Self::Mistral => "mistral",
            Self::Ministral => "ministral",
            Self::Qwen2 => "qwen2",
            Self::Qwen3 => "qwen3",
            Self::Qwen3Moe => "qwen3_moe",
            Self::Own => "kindling",
            Self::Diffusion => "kindling_diffusion",
        }
    }

    /// The class in `architectures`.
    pub(super) fn class(self) -> &'static str {
        match self {
            Self::Llama => "LlamaForCausalLM",
            Self::Mistral => "MistralForCausalLM",
            Self::Ministral => "MinistralForCausalLM",
            Self::Qwen2 => "Qwen2ForCausalLM",
            Self::Qwen3 => "Qwen3ForCausalLM",
            Self::Qwen3Moe => "Qwen3MoeForCausalLM",
            Self::Own => "KindlingForCausalLM",
            Self::Diffusion => "KindlingForMaskedDiffusion",
        }
    }

    /// The keys that only this family has.
    pub(super) fn keys(self, config: &ModelConfig) -> Map<String, Value> {
        let sliding = config.sliding_window.as_ref();
        let window = json!(sliding.map(|sliding| sliding.window));
        let slides = |layer: usize| sliding.is_some_and(|sliding| sliding.layers[layer]);
        let kind = |layer| if slides(layer) { "sliding_attention" } else { "full_attention" };
        let types: Vec<&str> = (0..config.num_hidden_layers).map(kind).collect();
        let full = types.iter().position(|kind| *kind == "sliding_attention").unwrap_or(types.len());
        let mut keys = match self {
            Self::Llama => json!({"mlp_bias": false}),
            Self::Mistral => json!({"sliding_window": window}),
            Self::Ministral => json!({"sliding_window": window, "layer_types": types}),
            Self::Qwen2 | Self::Qwen3 | Self::Qwen3Moe => json!({
                "use_sliding_window": sliding.is_some(), "sliding_window": window,
                "max_window_layers": full, "layer_types": types,
            }),
            Self::Own | Self::Diffusion => json!({
                "qk_norm": config.qk_norm, "attention_output_bias": config.attention_output_bias,
                "sliding_window": window, "layer_types": types,
            }),
        };
        if let (Some(keys), Some(experts)) = (keys.as_object_mut(), &config.experts) {
            keys.extend(expert_keys::write(experts));
        }
        if let (Some(keys), Some(diffusion)) = (keys.as_object_mut(), &config.diffusion) {
            keys.extend(diffusion.write());
        }
        if let Value::Object(keys) = keys { keys } else { Map::new() }
    }
}
