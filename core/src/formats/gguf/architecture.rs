//! The families of models whose GGUF files are read and written.

use crate::error::{Error, Result};
use crate::told::{Told, told};

/// A family: what llama.cpp calls an architecture and Hugging Face a model type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Architecture {
    /// Llama, and Mistral without a sliding window, which has the same tensors.
    Llama,
    /// Qwen 2 and 2.5: biases on queries, keys and values.
    Qwen2,
    /// Qwen 3: norms on queries and keys.
    Qwen3,
    /// Qwen 3 with routed experts.
    Qwen3Moe,
}

/// Architecture, name in GGUF, model type, class.
const NAMES: [(Architecture, &str, &str, &str); 4] = [
    (Architecture::Llama, "llama", "llama", "LlamaForCausalLM"),
    (Architecture::Qwen2, "qwen2", "qwen2", "Qwen2ForCausalLM"),
    (Architecture::Qwen3, "qwen3", "qwen3", "Qwen3ForCausalLM"),
    (Architecture::Qwen3Moe, "qwen3moe", "qwen3_moe", "Qwen3MoeForCausalLM"),
];

impl Architecture {
    /// The family of a GGUF file's `general.architecture`.
    ///
    /// # Errors
    /// Another one, by name.
    pub fn from_name(name: &str) -> Result<Self> {
        find(name, |row| row.1).ok_or_else(|| {
            unsupported(told!("gguf.architecture_name", "the GGUF file's architecture"), name, |row| row.1)
        })
    }

    /// The family of a `config.json`'s `model_type`.
    ///
    /// # Errors
    /// Another one, by name.
    pub fn from_model_type(name: &str) -> Result<Self> {
        let name = if ["mistral", "ministral"].contains(&name) { "llama" } else { name };
        find(name, |row| row.2)
            .ok_or_else(|| unsupported(told!("gguf.model_type", "the model type"), name, |row| row.2))
    }

    /// The name in GGUF, which also begins the names of its metadata.
    pub fn name(self) -> &'static str {
        NAMES[self as usize].1
    }

    /// Hugging Face's `model_type`.
    pub fn model_type(self) -> &'static str {
        NAMES[self as usize].2
    }

    /// The class in `transformers`.
    pub fn class(self) -> &'static str {
        NAMES[self as usize].3
    }

    /// Whether rotary embedding turns neighbours (2i, 2i + 1) in this family's GGUF files; Hugging Face always
    /// turns i with i + half a head, so that rows of the query and key projections change their places.
    pub fn turns_neighbours(self) -> bool {
        self == Self::Llama
    }

    /// Whether a block may have this part; `part` is the middle of a GGUF name, such as `attn_q`.
    pub(super) fn has(self, part: &str, bias: bool) -> bool {
        let experts = self == Self::Qwen3Moe;
        match part {
            "attn_q" | "attn_k" | "attn_v" if bias => matches!(self, Self::Llama | Self::Qwen2),
            "attn_output" if bias => self == Self::Llama,
            _ if bias => false,
            "attn_q_norm" | "attn_k_norm" => matches!(self, Self::Qwen3 | Self::Qwen3Moe),
            "ffn_gate_inp" | "ffn_gate_exps" | "ffn_up_exps" | "ffn_down_exps" => experts,
            "ffn_gate" | "ffn_up" | "ffn_down" => !experts,
            _ => true,
        }
    }
}

type Row = (Architecture, &'static str, &'static str, &'static str);

fn find(name: &str, column: impl Fn(&Row) -> &'static str) -> Option<Architecture> {
    NAMES.iter().find(|row| column(row) == name).map(|row| row.0)
}

fn unsupported(what: Told, name: &str, column: impl Fn(&Row) -> &'static str) -> Error {
    let known: Vec<&str> = NAMES.iter().map(column).collect();
    Error::Checkpoint(told!(
        "gguf.architecture",
        "{what} '{name}' is not supported between GGUF and Hugging Face; supported: {known}",
        what,
        name,
        known = known.join(", ")
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lead_back() {
        for (i, (architecture, name, model_type, _)) in NAMES.into_iter().enumerate() {
            assert_eq!(architecture as usize, i);
            assert_eq!(Architecture::from_name(name).unwrap(), architecture);
            assert_eq!(Architecture::from_model_type(model_type).unwrap(), architecture);
        }
        assert_eq!(Architecture::from_model_type("mistral").unwrap(), Architecture::Llama);
        let message = Architecture::from_name("gemma3").unwrap_err().to_string();
        assert!(message.contains("'gemma3'") && message.contains("qwen3moe"), "{message}");
    }
}
