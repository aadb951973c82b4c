//! Tensor names of MiniMind's four generations, and what Hugging Face calls the same tensors.

use super::super::tensor_names::{WRAPPERS, plain_name};

/// Parts of the names of the first two generations (and of llama2.c and Tiny-LLM) and their newer spelling.
const RENAMED: [(&str, &str); 14] = [
    ("tok_embeddings", "embed_tokens"),
    ("output", "lm_head"),
    ("attention", "self_attn"),
    ("self_attention", "self_attn"),
    ("attention_norm", "input_layernorm"),
    ("ffn_norm", "post_attention_layernorm"),
    ("feed_forward", "mlp"),
    ("wq", "q_proj"),
    ("wk", "k_proj"),
    ("wv", "v_proj"),
    ("wo", "o_proj"),
    ("w1", "gate_proj"),
    ("w2", "down_proj"),
    ("w3", "up_proj"),
];

/// The name that Hugging Face gives a tensor or a layer, whatever generation it is of.
pub(super) fn hugging_face_name(name: &str) -> String {
    let mut parts = Vec::new();
    for part in name.split('.').filter(|part| !WRAPPERS.contains(part)) {
        // One shared expert once stood without a number.
        if matches!(part, "w1" | "w2" | "w3") && parts.last() == Some(&"shared_experts") {
            parts.push("0");
        }
        let newer = RENAMED.iter().find(|(old, _)| *old == part);
        parts.push(newer.map_or(part, |(_, newer)| newer));
    }
    plain_name(&parts.join("."))
}

/// Whether a name is of the generations that turn neighbouring pairs: `wq` is v1 and MiniMind2, `q_proj` is later.
pub(super) fn is_interleaved(name: &str) -> bool {
    name.split('.').any(|part| ["tok_embeddings", "wq", "wk"].contains(&part))
}

/// The layer of `model.layers.N.…`.
pub(super) fn layer_of(name: &str) -> Option<usize> {
    name.strip_prefix("model.layers.")?.split('.').next()?.parse().ok()
}

/// Whether a Hugging Face name is one that a MiniMind model has.
pub(super) fn is_known(name: &str) -> bool {
    if ["model.embed_tokens.weight", "model.norm.weight", "lm_head.weight"].contains(&name) {
        return true;
    }
    let Some(("weight", layer)) = name.rsplit_once('.').map(|(layer, last)| (last, layer)) else {
        return false;
    };
    let Some((number, part)) = layer.strip_prefix("model.layers.").and_then(|rest| rest.split_once('.'))
    else {
        return false;
    };
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    is_number(number)
        && match part.split('.').collect::<Vec<_>>().as_slice() {
            ["input_layernorm" | "post_attention_layernorm"] => true,
            ["self_attn", "q_proj" | "k_proj" | "v_proj" | "o_proj" | "q_norm" | "k_norm"] => true,
            ["mlp", "gate_proj" | "up_proj" | "down_proj" | "gate"] => true,
            ["mlp", "experts" | "shared_experts", expert, "gate_proj" | "up_proj" | "down_proj"] => {
                is_number(expert)
            }
            _ => false,
        }
}

#[cfg(test)]
mod tests {
    use super::super::super::tensor_names::is_buffer;
    use super::*;

    #[test]
    fn all_generations_get_one_name() {
        let cases = [
            ("tok_embeddings.weight", "model.embed_tokens.weight"),
            ("_orig_mod.output.weight", "lm_head.weight"),
            ("norm.weight", "model.norm.weight"),
            ("layers.3.attention.wq.weight", "model.layers.3.self_attn.q_proj.weight"),
            ("layers.3.attention_norm.weight", "model.layers.3.input_layernorm.weight"),
            ("module._orig_mod.layers.0.ffn_norm.weight", "model.layers.0.post_attention_layernorm.weight"),
            ("layers.11.feed_forward.w2.weight", "model.layers.11.mlp.down_proj.weight"),
            ("layers.0.feed_forward.experts.2.w3.weight", "model.layers.0.mlp.experts.2.up_proj.weight"),
            ("layers.0.feed_forward.gate.weight", "model.layers.0.mlp.gate.weight"),
            (
                "layers.0.feed_forward.shared_experts.w1.weight",
                "model.layers.0.mlp.shared_experts.0.gate_proj.weight",
            ),
            (
                "model.layers.0.mlp.shared_experts.0.gate_proj.weight",
                "model.layers.0.mlp.shared_experts.0.gate_proj.weight",
            ),
            ("model.layers.0.self_attention.k_proj.weight", "model.layers.0.self_attn.k_proj.weight"),
            ("model.layers.0.self_attn.q_norm.weight", "model.layers.0.self_attn.q_norm.weight"),
            ("lm_head.weight", "lm_head.weight"),
        ];
        for (name, expected) in cases {
            assert_eq!(hugging_face_name(name), expected);
            assert!(is_known(expected), "{expected}");
        }
        for name in [
            "model.layers.x.mlp.gate.weight",
            "model.layers.0.mlp.gate.bias",
            "model.vision_proj.0.weight",
            "model.layers.0.self_attn.q_proj.lora.A.weight",
            "",
        ] {
            assert!(!is_known(name), "{name}");
        }
    }

    #[test]
    fn buffers_and_generations_are_told_by_name() {
        for buffer in ["pos_cis", "model.freqs_cos", "layers.0.attention.mask"] {
            assert!(is_buffer(buffer), "{buffer}");
        }
        assert!(!is_buffer("model.norm.weight"));
        assert!(is_interleaved("layers.0.attention.wq.lora.A.weight"));
        assert!(!is_interleaved("model.layers.0.self_attn.q_proj.weight"));
        assert_eq!(layer_of("model.layers.12.mlp.gate.weight"), Some(12));
        assert_eq!(layer_of("model.norm.weight"), None);
    }
}
