//! Parts of a model that can be told apart by the names of their weights, and that training may leave as they are.

use burn::module::{Module, ModuleMapper, Param};
use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

use super::{Path, Transformer};

/// A part of a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[cfg_attr(feature = "cli", derive(clap::ValueEnum))]
pub enum Part {
    /// The feed-forward layers, those with experts and their routers, too.
    Mlp,
    /// The projections of queries, keys, values and outputs; norms of queries and keys are norms.
    Attention,
    /// The table of token vectors; where the output projection is tied to it, that as well.
    Embedding,
    /// All norms.
    Norm,
    /// The output projection, where it has weights of its own.
    Head,
    /// The experts of routed layers, the shared ones, too.
    Experts,
    /// The gates that choose experts.
    Router,
}

impl Part {
    /// The name on the command line and in settings.
    pub fn name(self) -> &'static str {
        match self {
            Self::Mlp => "mlp",
            Self::Attention => "attention",
            Self::Embedding => "embedding",
            Self::Norm => "norm",
            Self::Head => "head",
            Self::Experts => "experts",
            Self::Router => "router",
        }
    }

    /// Whether the weight of this Hugging Face name is in it.
    pub fn has(self, weight: &str) -> bool {
        match self {
            Self::Mlp => weight.contains(".mlp."),
            Self::Attention => weight.contains(".self_attn.") && !Self::Norm.has(weight),
            Self::Embedding => weight == "model.embed_tokens.weight",
            Self::Norm => weight.ends_with("norm.weight"),
            Self::Head => weight == "lm_head.weight",
            Self::Experts => weight.contains(".mlp.experts.") || weight.contains(".mlp.shared_experts."),
            Self::Router => weight.ends_with(".mlp.gate.weight"),
        }
    }
}

impl Transformer {
    /// The same model of which these parts do not train.
    pub fn freeze(self, parts: &[Part]) -> Self {
        match parts {
            [] => self,
            parts => self.map(&mut FreezeParts { parts, path: Path::default() }),
        }
    }
}

struct FreezeParts<'a> {
    parts: &'a [Part],
    path: Path,
}

impl ModuleMapper for FreezeParts<'_> {
    fn enter_module(&mut self, name: &str, container: &str) {
        self.path.enter(name, container);
    }

    fn exit_module(&mut self, _name: &str, container: &str) {
        self.path.exit(container);
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let name = self.path.name();
        match self.parts.iter().any(|part| part.has(&name)) {
            true => param.set_require_grad(false),
            false => param,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Part; 7] =
        [Part::Mlp, Part::Attention, Part::Embedding, Part::Norm, Part::Head, Part::Experts, Part::Router];

    #[test]
    fn every_weight_is_in_its_part() {
        for (weight, parts) in [
            ("model.embed_tokens.weight", &["embedding"][..]),
            ("lm_head.weight", &["head"]),
            ("model.norm.weight", &["norm"]),
            ("model.layers.1.input_layernorm.weight", &["norm"]),
            ("model.layers.1.post_attention_layernorm.weight", &["norm"]),
            ("model.layers.1.self_attn.q_norm.weight", &["norm"]),
            ("model.layers.1.self_attn.q_proj.weight", &["attention"]),
            ("model.layers.1.self_attn.o_proj.bias", &["attention"]),
            ("model.layers.1.mlp.gate_proj.weight", &["mlp"]),
            ("model.layers.1.mlp.gate.weight", &["mlp", "router"]),
            ("model.layers.1.mlp.experts.3.up_proj.weight", &["mlp", "experts"]),
            ("model.layers.1.mlp.shared_experts.0.up_proj.weight", &["mlp", "experts"]),
        ] {
            let found: Vec<_> = ALL.iter().filter(|part| part.has(weight)).map(|part| part.name()).collect();
            assert_eq!(found, parts, "{weight}");
            assert!(ALL.iter().any(|part| part.has(weight)));
        }
    }
}
