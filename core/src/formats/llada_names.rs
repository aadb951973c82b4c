//! The names of the weights in LLaDA's published modelling code (`modeling_llada.py` of GSAI-ML/LLaDA-8B-Base), which are
//! OLMo's, beside the plain ones.

/// What all names of the published class begin with.
const TOP: &str = "model.transformer.";

/// Names outside the layers, LLaDA's first.
const OUTSIDE: [(&str, &str); 3] =
    [("wte", "model.embed_tokens"), ("ln_f", "model.norm"), ("ff_out", "lm_head")];

/// Names inside a layer, LLaDA's first.
const INSIDE: [(&str, &str); 9] = [
    ("q_proj", "self_attn.q_proj"),
    ("k_proj", "self_attn.k_proj"),
    ("v_proj", "self_attn.v_proj"),
    ("attn_out", "self_attn.o_proj"),
    ("ff_proj", "mlp.gate_proj"),
    ("up_proj", "mlp.up_proj"),
    ("ff_out", "mlp.down_proj"),
    ("attn_norm", "input_layernorm"),
    ("ff_norm", "post_attention_layernorm"),
];

/// The plain name of `transformer.wte.weight`, `transformer.blocks.0.q_proj.weight` and so on.
pub(super) fn to_plain(name: &str) -> Option<String> {
    let (module, kind) = name.strip_prefix("transformer.")?.rsplit_once('.')?;
    let found = |table: &[(&str, &'static str)], own: &str| {
        table.iter().find(|(theirs, _)| *theirs == own).map(|(_, plain)| *plain)
    };
    match module.strip_prefix("blocks.").and_then(|rest| rest.split_once('.')) {
        Some((layer, part)) => Some(format!("model.layers.{layer}.{}.{kind}", found(&INSIDE, part)?)),
        None => Some(format!("{}.{kind}", found(&OUTSIDE, module)?)),
    }
}

/// The name in LLaDA's class of a weight with a plain name; `None` of one that its layers do not have.
pub(super) fn of_plain(name: &str) -> Option<String> {
    let (module, kind) = name.rsplit_once('.')?;
    let found = |table: &[(&'static str, &str)], plain: &str| {
        table.iter().find(|(_, own)| *own == plain).map(|(theirs, _)| *theirs)
    };
    match module.strip_prefix("model.layers.").and_then(|rest| rest.split_once('.')) {
        Some((layer, part)) => Some(format!("{TOP}blocks.{layer}.{}.{kind}", found(&INSIDE, part)?)),
        None => Some(format!("{TOP}{}.{kind}", found(&OUTSIDE, module)?)),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::Value;

    use super::*;
    use crate::model::ModelConfig;

    /// By tests/golden/llada/make.py: what `state_dict` of the published class holds.
    const KEYS: &str = include_str!("../../../tests/golden/llada/keys.json");
    const CONFIGS: [(&str, &str); 2] = [
        ("untied", include_str!("../../../tests/golden/llada/untied/config.json")),
        ("tied-biased", include_str!("../../../tests/golden/llada/tied-biased/config.json")),
    ];

    fn published(name: &str) -> BTreeMap<String, Vec<usize>> {
        let keys: Value = serde_json::from_str(KEYS).unwrap();
        serde_json::from_value(keys[name].clone()).unwrap()
    }

    #[test]
    fn the_names_of_the_published_class_are_those_of_a_model_of_ours_and_back() {
        for (name, text) in CONFIGS {
            let config = ModelConfig::from_hugging_face(text.as_bytes()).unwrap();
            let published = published(name);
            let own: BTreeMap<String, Vec<usize>> = config
                .weight_shapes()
                .into_iter()
                .map(|(plain, shape)| (of_plain(&plain).unwrap_or_else(|| panic!("{plain}")), shape))
                .collect();
            assert_eq!(own, published, "{name}");
            for own in published.keys() {
                let plain = to_plain(own.strip_prefix("model.").unwrap()).unwrap();
                assert!(config.has_weight(&plain), "{own}: {plain}");
                assert_eq!(of_plain(&plain).as_ref(), Some(own));
            }
        }
        assert_eq!(to_plain("transformer.h.0.attn.bias"), None, "GPT-2's");
        assert_eq!(of_plain("model.layers.0.self_attn.q_norm.weight"), None);
    }
}
