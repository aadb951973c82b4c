//! Tensor names of GGUF and of Hugging Face
//! (<https://github.com/ggml-org/llama.cpp/blob/master/gguf-py/gguf/tensor_mapping.py>).

use super::Architecture;

/// Names outside the blocks: GGUF, Hugging Face.
const OUTSIDE: [(&str, &str); 3] =
    [("token_embd", "model.embed_tokens"), ("output_norm", "model.norm"), ("output", "lm_head")];

/// Names inside a block.
const INSIDE: [(&str, &str); 12] = [
    ("attn_norm", "input_layernorm"),
    ("attn_q", "self_attn.q_proj"),
    ("attn_k", "self_attn.k_proj"),
    ("attn_v", "self_attn.v_proj"),
    ("attn_output", "self_attn.o_proj"),
    ("attn_q_norm", "self_attn.q_norm"),
    ("attn_k_norm", "self_attn.k_norm"),
    ("ffn_norm", "post_attention_layernorm"),
    ("ffn_gate", "mlp.gate_proj"),
    ("ffn_up", "mlp.up_proj"),
    ("ffn_down", "mlp.down_proj"),
    ("ffn_gate_inp", "mlp.gate"),
];

/// Stacks of experts: one tensor in GGUF, one for each expert in Hugging Face.
const STACKS: [(&str, &str); 3] =
    [("ffn_gate_exps", "gate_proj"), ("ffn_up_exps", "up_proj"), ("ffn_down_exps", "down_proj")];

/// The projections whose rows are in the order of the rotary embedding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rotated {
    /// The query projection and its bias.
    Query,
    /// The key projection and its bias.
    Key,
}

/// A GGUF tensor, by what Hugging Face calls it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HuggingFaceName {
    /// The name before the number of an expert; the whole name where there is none.
    before: String,
    /// The name behind the number of an expert.
    after: Option<String>,
    /// Whether its rows follow the rotary embedding.
    pub rotated: Option<Rotated>,
}

impl HuggingFaceName {
    /// Whether it is a stack of experts, `[experts, out, in]`.
    pub fn is_stack(&self) -> bool {
        self.after.is_some()
    }

    /// Hugging Face's name, of one expert of a stack.
    pub fn name(&self, expert: u64) -> String {
        match &self.after {
            None => self.before.clone(),
            Some(after) => format!("{}.{expert}.{after}", self.before),
        }
    }
}

/// Where a GGUF tensor belongs; `None` where the family has no such tensor.
pub fn to_hugging_face(architecture: Architecture, name: &str) -> Option<HuggingFaceName> {
    let (stem, kind) = name.rsplit_once('.')?;
    if !["weight", "bias"].contains(&kind) {
        return None;
    }
    let bias = kind == "bias";
    let one =
        |stem: String, rotated| HuggingFaceName { before: format!("{stem}.{kind}"), after: None, rotated };
    let Some((layer, part)) = stem.strip_prefix("blk.").and_then(|inside| inside.split_once('.')) else {
        let (_, stem) = OUTSIDE.iter().find(|(gguf, _)| *gguf == stem)?;
        return (!bias).then(|| one((*stem).to_string(), None));
    };
    let layer = number(layer)?;
    if !architecture.has(part, bias) {
        return None;
    }
    if let Some((_, projection)) = STACKS.iter().find(|(gguf, _)| *gguf == part) {
        let before = format!("model.layers.{layer}.mlp.experts");
        return Some(HuggingFaceName { before, after: Some(format!("{projection}.weight")), rotated: None });
    }
    let (_, stem) = INSIDE.iter().find(|(gguf, _)| *gguf == part)?;
    Some(one(format!("model.layers.{layer}.{stem}"), rotated(part)))
}

/// A Hugging Face tensor's name in GGUF.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GgufName {
    /// The place among the blocks, which begin with 1; 0 stands before all of them, the largest number behind them.
    pub layer: u64,
    /// The name.
    pub name: String,
    /// The expert, in a stack.
    pub expert: Option<u64>,
    /// Whether its rows follow the rotary embedding.
    pub rotated: Option<Rotated>,
}

/// What GGUF calls a Hugging Face tensor; `None` where the family has no such tensor.
pub fn to_gguf(architecture: Architecture, name: &str) -> Option<GgufName> {
    let (stem, kind) = name.rsplit_once('.')?;
    if !["weight", "bias"].contains(&kind) {
        return None;
    }
    let bias = kind == "bias";
    let Some((layer, inside)) = stem.strip_prefix("model.layers.").and_then(|rest| rest.split_once('.'))
    else {
        let (gguf, _) = OUTSIDE.iter().find(|(_, hf)| *hf == stem)?;
        let layer = if *gguf == "token_embd" { 0 } else { u64::MAX };
        let name = format!("{gguf}.{kind}");
        return (!bias).then_some(GgufName { layer, name, expert: None, rotated: None });
    };
    let layer = number(layer)?;
    let (part, expert) = match inside.strip_prefix("mlp.experts.") {
        Some(stacked) => {
            let (expert, projection) = stacked.split_once('.')?;
            let (gguf, _) = STACKS.iter().find(|(_, hf)| *hf == projection)?;
            (*gguf, Some(number(expert)?))
        }
        None => (INSIDE.iter().find(|(_, hf)| *hf == inside)?.0, None),
    };
    architecture.has(part, bias).then(|| GgufName {
        layer: layer + 1,
        name: format!("blk.{layer}.{part}.{kind}"),
        expert,
        rotated: rotated(part),
    })
}

fn rotated(part: &str) -> Option<Rotated> {
    match part {
        "attn_q" => Some(Rotated::Query),
        "attn_k" => Some(Rotated::Key),
        _ => None,
    }
}

/// A number as names have it: digits, without zeros in front.
fn number(text: &str) -> Option<u64> {
    text.parse::<u32>().ok().filter(|number| number.to_string() == text).map(u64::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_all_families_lead_there_and_back() {
        let llama = Architecture::Llama;
        let cases = [
            (llama, "token_embd.weight", "model.embed_tokens.weight"),
            (llama, "output.weight", "lm_head.weight"),
            (llama, "blk.11.attn_output.bias", "model.layers.11.self_attn.o_proj.bias"),
            (Architecture::Qwen2, "blk.0.attn_k.bias", "model.layers.0.self_attn.k_proj.bias"),
            (Architecture::Qwen3, "blk.3.attn_q_norm.weight", "model.layers.3.self_attn.q_norm.weight"),
            (Architecture::Qwen3, "blk.3.ffn_norm.weight", "model.layers.3.post_attention_layernorm.weight"),
            (Architecture::Qwen3Moe, "blk.3.ffn_gate_inp.weight", "model.layers.3.mlp.gate.weight"),
            (
                Architecture::Qwen3Moe,
                "blk.3.ffn_up_exps.weight",
                "model.layers.3.mlp.experts.7.up_proj.weight",
            ),
        ];
        for (architecture, gguf, hf) in cases {
            assert_eq!(to_hugging_face(architecture, gguf).unwrap().name(7), hf);
            let back = to_gguf(architecture, hf).unwrap();
            assert_eq!((back.name.as_str(), back.expert), (gguf, gguf.contains("exps").then_some(7)));
            assert_eq!(back.rotated, to_hugging_face(architecture, gguf).unwrap().rotated);
        }
    }

    #[test]
    fn what_a_family_does_not_have_is_none() {
        let qwen3 = Architecture::Qwen3;
        for name in [
            "rope_freqs.weight",
            "blk.0.attn_q.bias",
            "blk.01.attn_q.weight",
            "blk.0.ffn_up_exps.weight",
            "a",
        ] {
            assert_eq!(to_hugging_face(qwen3, name), None, "{name}");
        }
        for name in [
            "model.layers.0.mlp.experts.gate_up_proj",
            "model.layers.-1.mlp.gate_proj.weight",
            "lm_head.bias",
        ] {
            assert_eq!(to_gguf(Architecture::Qwen3Moe, name), None, "{name}");
        }
    }
}
