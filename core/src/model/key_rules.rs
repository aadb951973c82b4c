//! Which keys of a `config.json` act, and on what. Those that change the numbers are honoured or refused; those of
//! training are honoured or refused where training begins; those that nothing reads are named once.

use serde_json::{Map, Value};

use super::expert_keys::KEYS;
use super::family::Family;
use super::keys::{Keys, is_nothing, odd_token_ids, unsupported};
use super::rope_parameters;
use super::{ModelConfig, diffusion};
use crate::error::Result;
use crate::told::{Told, told};

/// What a `config.json` says beside a model's shape, for a person.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Remarks {
    /// Keys that nothing reads, and settings that contradict each other.
    pub warnings: Vec<Told>,
}

/// Keys of other architectures whose only known value is 1.
const ONE: [&str; 11] = [
    "partial_rotary_factor",
    "rotary_pct",
    "logit_scale",
    "logits_scaling",
    "residual_multiplier",
    "embedding_multiplier",
    "scale_emb",
    "key_multiplier",
    "lm_head_multiplier",
    "attention_out_multiplier",
    "routed_scaling_factor",
];

/// Those that must say nothing.
const NOTHING: [&str; 22] = [
    "mlp_bias",
    "final_logit_softcapping",
    "attn_logit_softcapping",
    "clip_qkv",
    "attention_chunk_size",
    "no_rope_layer_interval",
    "qk_layernorm",
    "query_key_norm",
    "use_mrope",
    "rope_interleaved",
    "rotary_dim",
    "alibi",
    "use_alibi",
    "parallel_attn",
    "parallel_residual",
    "use_parallel_residual",
    "scale_depth",
    "shared_expert_intermediate_size",
    "first_k_dense_replace",
    "n_group",
    "per_layer_config",
    "attention_sinks",
];

/// Keys that act in training alone and are not built, beside every dropout but `attention_dropout` and `dropout`.
const TRAINING: [&str; 4] =
    ["layerdrop", "output_router_logits", "router_jitter_noise", "neftune_noise_alpha"];

/// Keys that are read, by every family.
const READ: [&str; 24] = [
    "model_type",
    "architectures",
    "vocab_size",
    "hidden_size",
    "intermediate_size",
    "num_hidden_layers",
    "num_attention_heads",
    "num_key_value_heads",
    "head_dim",
    "max_position_embeddings",
    "rms_norm_eps",
    "hidden_act",
    "rope_theta",
    "rope_scaling",
    "rope_parameters",
    "original_max_position_embeddings",
    "layer_types",
    "tie_word_embeddings",
    "initializer_range",
    "embedding_range",
    "attention_dropout",
    "dropout",
    "is_causal",
    "quantization_config",
];

/// Keys of `transformers`, and of programs around it, that change no number of these families.
pub(super) const HARMLESS: [&str; 35] = [
    "transformers_version",
    "dtype",
    "torch_dtype",
    "torchscript",
    "use_bfloat16",
    "use_cache",
    "return_dict",
    "output_attentions",
    "output_hidden_states",
    "attn_implementation",
    "experts_implementation",
    "chunk_size_feed_forward",
    "id2label",
    "label2id",
    "num_labels",
    "problem_type",
    "classifier_dropout",
    "task_specific_params",
    "finetuning_task",
    "name_or_path",
    "auto_map",
    "pretraining_tp",
    "router_aux_loss_coef",
    "is_decoder",
    "tokenizer_class",
    "transformers.js_config",
    "unsloth_version",
    "unsloth_fixed",
    "is_llama_config",
    "model_max_length",
    "max_sequence_length",
    "max_seq_len",
    "vocab_file",
    "prefix",
    "tie_last_hidden_states",
];

/// Settings of `generate`, which old files keep here.
pub(super) const GENERATION: [&str; 20] = [
    "max_length",
    "min_length",
    "do_sample",
    "early_stopping",
    "num_beams",
    "num_beam_groups",
    "diversity_penalty",
    "temperature",
    "top_k",
    "top_p",
    "typical_p",
    "repetition_penalty",
    "encoder_repetition_penalty",
    "length_penalty",
    "num_return_sequences",
    "max_new_tokens",
    "num_assistant_tokens",
    "num_assistant_tokens_schedule",
    "assistant_confidence_threshold",
    "bad_words_ids",
];

/// Refuses by name what would silently compute something else.
pub(super) fn refuse_acting(keys: Keys, family: Family, config: &ModelConfig) -> Result<()> {
    if let Some(act) = keys.text("hidden_act")?.filter(|act| !["silu", "swish"].contains(act)) {
        return unsupported("hidden_act", &act.into(), "silu");
    }
    let is = |key: &str, number: f64| keys.value(key).is_none_or(|value| value.as_f64() == Some(number));
    let head_dim = config.head_dim as f64;
    let scale =
        |value: &Value| value.as_f64().is_some_and(|scale| (scale * head_dim.sqrt() - 1.0).abs() < 1e-6);
    let ones = |value: &Value| value.as_array().is_some_and(|layers| layers.iter().all(|layer| *layer == 1));
    let qk_norm = |key: &str| keys.value(key).is_none_or(|value| *value == config.qk_norm);
    let fixed_bias = matches!(family, Family::Mistral | Family::Ministral);
    let per_head = head_dim.to_string();
    let nothing = |key: &str| keys.value(key).is_none_or(is_nothing);
    let cases = [
        (
            "is_causal",
            keys.flag("is_causal")? != Some(false) || config.diffusion.is_some(),
            "true; this model looks at later tokens, too",
        ),
        (
            "objective",
            config.diffusion.is_some() || keys.text("objective")?.is_none_or(|name| name == "next-token"),
            "next-token; a masked predictor has the model_type kindling_diffusion or llada",
        ),
        ("attention_bias", !fixed_bias || nothing("attention_bias"), "false in this family"),
        ("query_pre_attn_scalar", is("query_pre_attn_scalar", head_dim), per_head.as_str()),
        ("attention_multiplier", keys.value("attention_multiplier").is_none_or(scale), "1/√head_dim"),
        (
            "no_rope_layers",
            nothing("no_rope_layers") || keys.value("no_rope_layers").is_some_and(ones),
            "none",
        ),
        ("qk_norm", qk_norm("qk_norm"), "what the family has"),
        ("use_qk_norm", qk_norm("use_qk_norm"), "what the family has"),
        ("scoring_func", keys.text("scoring_func")?.is_none_or(|name| name == "softmax"), "softmax"),
    ];
    let odd = cases.into_iter().find(|(_, fits, _)| !fits).map(|(key, _, known)| (key, known));
    let odd = odd.or(ONE.into_iter().find(|key| !is(key, 1.0)).map(|key| (key, "1.0")));
    let odd = odd.or(NOTHING.into_iter().find(|key| !nothing(key)).map(|key| (key, "none")));
    match odd {
        Some((key, known)) => unsupported(key, keys.value(key).unwrap_or(&Value::Null), known),
        None => Ok(()),
    }
}

impl Remarks {
    /// Those of a config that was read.
    pub(super) fn of(keys: Keys, family: Family, context: usize) -> Self {
        let mut warnings = rope_parameters::remarks(keys, context);
        warnings.extend(odd_tokens(keys));
        let strange: Vec<&str> = keys
            .0
            .iter()
            .filter(|(key, value)| is_strange(key, value, family))
            .map(|(key, _)| key.as_str())
            .collect();
        if !strange.is_empty() {
            warnings.push(told!(
                "model.unread_keys",
                "config.json: a model of the family {family} does not read {keys}",
                family = family.name(),
                keys = strange.join(", ")
            ));
        }
        Self { warnings }
    }
}

/// What is odd about the special tokens that begin and end a text.
pub(super) fn odd_tokens(keys: Keys) -> Vec<Told> {
    let Ok(Some(tokens)) = keys.optional_size("vocab_size") else { return Vec::new() };
    let odd = |key| odd_token_ids("config.json", key, keys.value(key), tokens);
    ["bos_token_id", "eos_token_id"].into_iter().flat_map(odd).collect()
}

/// The keys, with their values, that act in training elsewhere and not here.
pub(super) fn untrained(root: &Map<String, Value>, family: Family) -> Map<String, Value> {
    // The balance loss that it asks transformers for is built, and acts whenever its weight is above 0.
    let built = |key: &str| key == "output_router_logits" && family.is_routed();
    let acts = root.iter().filter(|(key, value)| is_of_training(key) && !is_nothing(value) && !built(key));
    acts.map(|(key, value)| (key.clone(), value.clone())).collect()
}

/// Whether a key acts in training alone and is not built, under whatever name an architecture has it.
fn is_of_training(key: &str) -> bool {
    let drops = key.contains("dropout") || key.ends_with("_pdrop");
    TRAINING.contains(&key) || drops && !READ.contains(&key) && !HARMLESS.contains(&key)
}

/// Whether a key says something that the family does not read.
fn is_strange(key: &str, value: &Value, family: Family) -> bool {
    let known: [&[&str]; 5] = [&READ, &HARMLESS, &GENERATION, &ONE, &NOTHING];
    let own = match key {
        // Another one is refused.
        "objective" => true,
        _ if diffusion::KEYS.contains(&key) => family == Family::Diffusion,
        "query_pre_attn_scalar" | "attention_multiplier" | "no_rope_layers" | "qk_norm" | "use_qk_norm" => {
            true
        }
        "attention_bias" | "attention_output_bias" | "scoring_func" => true,
        "sliding_window" => family != Family::Llama,
        "use_sliding_window" => matches!(family, Family::Qwen2 | Family::Qwen3 | Family::Qwen3Moe),
        "max_window_layers" => {
            matches!(
                family,
                Family::Qwen2 | Family::Qwen3 | Family::Qwen3Moe | Family::Own | Family::Diffusion
            )
        }
        _ if KEYS.contains(&key) => family.is_routed(),
        _ => key.starts_with('_') || key.ends_with("_token_id") || key.ends_with("_token"),
    };
    !own && !is_nothing(value) && !is_of_training(key) && !known.iter().any(|keys| keys.contains(&key))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(extra: Value) -> Result<(ModelConfig, Remarks)> {
        let mut root = json!({
            "model_type": "llama", "vocab_size": 320, "hidden_size": 64, "intermediate_size": 112,
            "num_hidden_layers": 2, "num_attention_heads": 4,
        });
        root.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        ModelConfig::read_hugging_face(root.to_string().as_bytes())
    }

    fn refused(extra: Value) -> String {
        read(extra.clone()).err().unwrap_or_else(|| panic!("{extra}")).to_string()
    }

    #[test]
    fn a_key_that_would_change_the_numbers_is_refused_by_name() {
        for (key, value) in [
            ("is_causal", json!(false)),
            ("objective", json!("masked-diffusion")),
            ("mlp_bias", json!(true)),
            ("logit_scale", json!(0.0625)),
            ("residual_multiplier", json!(0.22)),
            ("attention_multiplier", json!(0.5)),
            ("query_pre_attn_scalar", json!(64)),
            ("final_logit_softcapping", json!(30.0)),
            ("attention_chunk_size", json!(8192)),
            ("no_rope_layers", json!([1, 0])),
            ("clip_qkv", json!(8.0)),
            ("use_qk_norm", json!(true)),
            ("rope_interleaved", json!(true)),
        ] {
            let message = refused(json!({key: value}));
            let shown = value.as_str().map_or_else(|| value.to_string(), str::to_string);
            assert!(message.contains(&format!("{key} '{shown}' is not supported")), "{message}");
            assert!(
                message.contains("supported: ") && message.contains("with transformers, or take"),
                "{message}"
            );
        }
        let mistral = refused(json!({"model_type": "mistral", "attention_bias": true}));
        assert!(mistral.contains("attention_bias 'true' is not supported"), "{mistral}");
    }

    #[test]
    fn the_values_that_change_nothing_are_read() {
        let neutral = json!({
            "is_causal": true, "mlp_bias": false, "logit_scale": 1.0, "attention_multiplier": 0.25,
            "query_pre_attn_scalar": 16, "final_logit_softcapping": null, "no_rope_layers": [1, 1],
            "clip_qkv": null, "use_qk_norm": false, "rope_interleaved": false, "quantization_config": {},
            "temperature": 0.6, "_name_or_path": "/tmp/x", "unsloth_version": "2025.1", "pad_token_id": 0,
            "sliding_window": null, "attention_dropout": 0.0, "objective": "next-token",
        });
        assert_eq!(read(neutral).unwrap().1, Remarks::default());
    }

    #[test]
    fn special_tokens_beyond_the_vocabulary_are_named() {
        let told = |extra: Value| read(extra).unwrap().1.warnings;
        let named = "config.json: eos_token_id 320 is beyond the vocabulary of 320 tokens, and never occurs";
        assert_eq!(told(json!({"eos_token_id": [2, 320]})), [named]);
        assert!(told(json!({"bos_token_id": 50256}))[0].contains("bos_token_id 50256 is beyond"));
        let fits = json!({"eos_token_id": 319, "bos_token_id": null, "pad_token_id": 320});
        assert_eq!(told(fits), [""; 0], "a token that fills rows is never read");
        // Each of them is told, and what is no id.
        let odd = told(json!({"eos_token_id": [-1, 400, "2", 320]}));
        assert_eq!(odd.len(), 4, "{odd:?}");
        assert_eq!(odd[0], "config.json: eos_token_id has -1, which is no id of a token, and is left aside");
        assert_eq!(told(json!({"bos_token_id": 2.5})).len(), 1);
    }

    #[test]
    fn keys_that_nothing_reads_are_named_once_and_those_of_training_apart() {
        let (config, remarks) = read(json!({
            "sliding_window": 16, "layer_norm_kind": "odd", "num_experts": 4, "attention_dropout": 0.1,
            "nothing_of_it": [], "resid_pdrop": 0.2, "output_router_logits": true, "embd_pdrop": 0.0,
            "ffn_dropout": 0.3, "classifier_dropout": 0.1, "dropout": 0.2,
        }))
        .unwrap();
        let named = [
            "config.json: a model of the family llama does not read sliding_window, layer_norm_kind, num_experts",
        ];
        assert_eq!(remarks.warnings, named);
        assert_eq!((config.attention_dropout, config.dropout), (0.1, 0.2));
        let written = ModelConfig::read_hugging_face(config.to_hugging_face().as_bytes()).unwrap().0;
        assert_eq!(written.dropout, 0.2);
        let untrained = json!({"resid_pdrop": 0.2, "output_router_logits": true, "ffn_dropout": 0.3});
        assert_eq!(Value::Object(config.untrained), untrained);
        assert!(refused(json!({"attention_dropout": 1})).contains("attention_dropout is 1; it must be"));
        assert!(refused(json!({"dropout": -0.1})).contains("dropout is -0.1; it must be"));
    }
}
