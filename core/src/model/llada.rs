//! Reads the `config.json` of LLaDA's published code (`configuration_llada.py` of GSAI-ML/LLaDA-8B-Base), whose keys are
//! OLMo's, as a shape of ours. The class computes a Llama whose positions all see each other; what it can compute beside
//! that is refused by name.

use serde_json::{Map, Value, json};

use super::diffusion;
use super::family::{Family, LLADA};
use super::key_rules::{GENERATION, HARMLESS, Remarks, odd_tokens, untrained};
use super::keys::{Keys, is_nothing, token_ids, unsupported};
use super::{DiffusionConfig, ModelConfig, RopeScaling};
use crate::error::Result;
use crate::told::told;

/// LLaDA's class.
pub(super) const CLASS: &str = "LLaDAModelLM";
/// Shares that training drops.
const DROPOUTS: [&str; 3] = ["attention_dropout", "residual_dropout", "embedding_dropout"];

/// Keys that are read, or that change no number here: how weights began, how a program computes them.
const READ: &[&str] = &[
    "model_type",
    "architectures",
    "d_model",
    "n_heads",
    "n_kv_heads",
    "multi_query_attention",
    "n_layers",
    "mlp_ratio",
    "mlp_hidden_size",
    "max_sequence_length",
    "vocab_size",
    "embedding_size",
    "weight_tying",
    "rope_theta",
    "rms_norm_eps",
    "include_qkv_bias",
    "bias_for_layer_norm",
    "init_std",
    "embedding_range",
    "attention_dropout",
    "residual_dropout",
    "embedding_dropout",
    "is_causal",
    "rope_full_precision",
    "flash_attention",
    "alibi_bias_max",
    "attention_layer_norm_with_affine",
    "init_device",
    "init_fn",
    "init_cutoff_factor",
    "precision",
    // The class has them as other names of the sizes above.
    "num_attention_heads",
    "num_hidden_layers",
    "hidden_size",
    "quantization_config",
    "tie_word_embeddings",
];

/// A key that the class reads, its value where a file lacks it, and the only one that is computed here.
pub(super) fn fixed() -> [(&'static str, Value, Value); 11] {
    [
        ("block_type", json!("sequential"), json!("llama")),
        ("activation_type", json!("swiglu"), json!("silu")),
        ("layer_norm_type", json!("default"), json!("rms")),
        ("rope", json!(false), json!(true)),
        ("alibi", json!(false), json!(false)),
        ("block_group_size", json!(1), json!(1)),
        ("attention_layer_norm", json!(false), json!(false)),
        ("layer_norm_with_affine", json!(true), json!(true)),
        ("include_bias", json!(false), json!(false)),
        ("scale_logits", json!(false), json!(false)),
        ("input_emb_norm", json!(false), json!(false)),
    ]
}

/// Whether a `config.json` is LLaDA's, by its `model_type`, or by its class where it has none.
///
/// # Errors
/// Keys of another kind.
pub(super) fn is_llada(keys: Keys) -> Result<bool> {
    Ok(match keys.text("model_type")?.filter(|name| !name.is_empty()) {
        Some(name) => name == LLADA,
        None => keys.list("architectures")?.and_then(|classes| classes.first()?.as_str()) == Some(CLASS),
    })
}

/// Reads the shape, with what else the file says.
///
/// # Errors
/// A missing size, and every value that would change the numbers, by name.
pub(super) fn read(keys: Keys) -> Result<(ModelConfig, Remarks)> {
    for (key, absent, known) in fixed() {
        let value = keys.value(key).unwrap_or(&absent);
        if *value != known {
            return unsupported(key, value, &known.as_str().map_or_else(|| known.to_string(), String::from));
        }
    }
    if keys.flag("bias_for_layer_norm")?.unwrap_or(false) {
        return unsupported("bias_for_layer_norm", &true.into(), "false");
    }
    let config = shape(keys)?;
    config.validate()?;
    let strange: Vec<&str> =
        keys.0.iter().filter(|(key, value)| is_strange(key, value)).map(|(key, _)| key.as_str()).collect();
    let mut warnings = odd_tokens(keys);
    if !strange.is_empty() {
        warnings.push(told!(
            "model.unread_keys",
            "config.json: a model of the family {family} does not read {keys}",
            family = LLADA,
            keys = strange.join(", ")
        ));
    }
    Ok((config, Remarks { warnings }))
}

fn shape(keys: Keys) -> Result<ModelConfig> {
    let (hidden_size, heads) = (keys.size("d_model")?, keys.size("n_heads")?);
    let intermediate_size = match keys.optional_size("mlp_hidden_size")? {
        Some(size) => size,
        None => keys.optional_size("mlp_ratio")?.unwrap_or(4).saturating_mul(hidden_size),
    };
    let initializer_range = keys.number("init_std")?.unwrap_or(0.02);
    let (dropout, attention_dropout, untrained) = dropouts(keys)?;
    let rows = keys.size("vocab_size")?;
    Ok(ModelConfig {
        // The rows of the embedding; behind the vocabulary stand those that no token owns.
        vocab_size: keys.optional_size("embedding_size")?.unwrap_or(rows),
        hidden_size,
        intermediate_size,
        num_hidden_layers: keys.size("n_layers")?,
        num_attention_heads: heads,
        num_key_value_heads: key_value_heads(keys, heads)?,
        head_dim: hidden_size / heads.max(1),
        max_position_embeddings: keys.optional_size("max_sequence_length")?.unwrap_or(1024),
        rms_norm_eps: keys.number("rms_norm_eps")?.unwrap_or(1e-5),
        rope_theta: keys.number("rope_theta")?.unwrap_or(1e4),
        rope_scaling: RopeScaling::Default,
        attention_bias: keys.flag("include_qkv_bias")?.unwrap_or(false),
        attention_output_bias: false,
        attention_dropout,
        dropout,
        untrained,
        qk_norm: false,
        sliding_window: None,
        experts: None,
        diffusion: Some(DiffusionConfig::read_kind(keys)?),
        tie_word_embeddings: keys.flag("weight_tying")?.unwrap_or(true),
        initializer_range,
        embedding_range: keys.number("embedding_range")?.unwrap_or(initializer_range),
        bos_token_id: token_ids(keys.value("bos_token_id")).first().copied(),
        eos_token_ids: token_ids(keys.value("eos_token_id")),
        pad_token_id: token_ids(keys.value("pad_token_id")).first().copied(),
        generation: Map::new(),
    })
}

/// The class's `effective_n_kv_heads`.
fn key_value_heads(keys: Keys, heads: usize) -> Result<usize> {
    let asked = keys.flag("multi_query_attention")?.map(|one| if one { 1 } else { heads });
    match (keys.optional_size("n_kv_heads")?, asked) {
        (None, asked) => Ok(asked.unwrap_or(heads)),
        (Some(own), Some(asked)) if own != asked => {
            unsupported("multi_query_attention", &(asked == 1).into(), "what n_kv_heads says")
        }
        (Some(own), _) => Ok(own),
    }
}

/// What training drops of everything alike, what of attention weights alone, and what is not built. A share that a file
/// lacks is 0: the class's own 0.1 never acts where a model answers.
fn dropouts(keys: Keys) -> Result<(f64, f64, Map<String, Value>)> {
    let mut shares = [0.0; 3];
    for (share, key) in shares.iter_mut().zip(DROPOUTS) {
        *share = keys.number(key)?.unwrap_or(0.0);
    }
    let mut others = untrained(keys.0, Family::Diffusion);
    let [attention, residual, embedding] = shares;
    if attention > 0.0 && attention == residual && attention == embedding {
        DROPOUTS.iter().for_each(|key| drop(others.remove(*key)));
        return Ok((attention, 0.0, others));
    }
    Ok((0.0, attention, others))
}

/// Whether a key says something that nothing reads.
fn is_strange(key: &str, value: &Value) -> bool {
    let known = [READ, &HARMLESS[..], &GENERATION[..], &diffusion::KEYS[..]].concat().contains(&key);
    let named = key.starts_with('_') || key.ends_with("_token_id") || key.ends_with("_token");
    !known && !named && !is_nothing(value) && !fixed().iter().any(|(own, ..)| *own == key)
}

#[cfg(test)]
mod tests {
    use super::*;

    const UNTIED: &str = include_str!("../../../tests/golden/llada/untied/config.json");
    const TIED: &str = include_str!("../../../tests/golden/llada/tied-biased/config.json");

    fn changed(key: &str, value: Value) -> String {
        let mut root: Map<String, Value> = serde_json::from_str(UNTIED).unwrap();
        root.insert(key.into(), value);
        Value::Object(root).to_string()
    }

    fn read(text: &str) -> ModelConfig {
        ModelConfig::from_hugging_face(text.as_bytes()).unwrap()
    }

    #[test]
    fn published_keys_say_a_shape_of_ours() {
        let (config, remarks) = ModelConfig::read_hugging_face(UNTIED.as_bytes()).unwrap();
        assert_eq!(remarks, Remarks::default(), "every key is known");
        assert_eq!((config.hidden_size, config.intermediate_size, config.num_hidden_layers), (16, 24, 2));
        assert_eq!((config.num_attention_heads, config.num_key_value_heads, config.head_dim), (4, 2, 4));
        assert_eq!((config.rope_theta, config.max_position_embeddings), (500_000.0, 64));
        assert!(!config.tie_word_embeddings && !config.attention_bias);
        let expected = DiffusionConfig { mask_token_id: 63, block_length: None, shift_logits: false };
        assert_eq!(config.diffusion, Some(expected));
        assert_eq!((config.eos_token_ids.as_slice(), config.pad_token_id), (&[2][..], Some(2)));
        let tied = read(TIED);
        assert!(tied.tie_word_embeddings && tied.attention_bias && !tied.attention_output_bias);
        assert_eq!(tied.num_key_value_heads, 1, "multi_query_attention");
        // Rows of the embedding that no token owns, and a width by its ratio.
        assert_eq!(read(&changed("embedding_size", json!(128))).vocab_size, 128);
        assert_eq!(read(&changed("embedding_size", Value::Null)).vocab_size, 64);
        assert_eq!(read(&changed("mlp_hidden_size", Value::Null)).intermediate_size, 64);
    }

    #[test]
    fn a_key_that_would_change_the_numbers_is_refused_by_name() {
        for (key, value) in [
            ("block_type", json!("sequential")),
            ("activation_type", json!("swiglu")),
            ("layer_norm_type", json!("default")),
            ("rope", json!(false)),
            ("alibi", json!(true)),
            ("block_group_size", json!(2)),
            ("attention_layer_norm", json!(true)),
            ("layer_norm_with_affine", json!(false)),
            ("include_bias", json!(true)),
            ("bias_for_layer_norm", json!(true)),
            ("scale_logits", json!(true)),
            ("input_emb_norm", json!(true)),
            ("multi_query_attention", json!(true)),
        ] {
            let message = ModelConfig::from_hugging_face(changed(key, value.clone()).as_bytes());
            let message = message.err().unwrap_or_else(|| panic!("{key}")).to_string();
            assert!(message.contains(&format!("config.json: {key} '")), "{message}");
        }
        // The class's own default is another one.
        let lacking = changed("rope", Value::Null);
        assert!(
            ModelConfig::from_hugging_face(lacking.as_bytes())
                .unwrap_err()
                .to_string()
                .contains("rope 'false'")
        );
        let lacking = changed("mask_token_id", Value::Null);
        assert!(
            ModelConfig::from_hugging_face(lacking.as_bytes())
                .unwrap_err()
                .to_string()
                .contains("mask_token_id")
        );
        // Keys of ours beside those of the class.
        let odd = changed("objective", json!("score-entropy"));
        let told = ModelConfig::from_hugging_face(odd.as_bytes()).unwrap_err().to_string();
        assert!(told.contains("objective 'score-entropy'"), "{told}");
        let blocks = changed("attention", json!("block")).replacen('{', "{\"block_length\": 8, ", 1);
        let told = ModelConfig::from_hugging_face(blocks.as_bytes()).unwrap_err().to_string();
        assert!(told.contains("config.json has no shift_logits"), "{told}");
        let strange = changed("rope_scaling", json!({"type": "linear", "factor": 2.0}));
        let (_, remarks) = ModelConfig::read_hugging_face(strange.as_bytes()).unwrap();
        assert!(remarks.warnings[0].contains("does not read rope_scaling"), "{remarks:?}");
    }
}
