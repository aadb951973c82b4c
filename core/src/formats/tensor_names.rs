//! The tensors of a checkpoint by their plain Hugging Face names, whatever wrote them; which of them the model has, and
//! whether its output projection is the embedding.

use std::collections::{BTreeMap, BTreeSet};

use super::llada_names;
use crate::error::{Error, Result};
use crate::model::ModelConfig;
use crate::told::{Told, told};

pub(super) const EMBEDDING: &str = "model.embed_tokens.weight";
pub(super) const HEAD: &str = "lm_head.weight";
/// Parts of names that wrappers add: `torch.compile`, data parallelism, sharding, activation checkpointing.
pub(super) const WRAPPERS: [&str; 4] =
    ["_orig_mod", "module", "_fsdp_wrapped_module", "_checkpoint_wrapped_module"];
/// Parts that lead to the model: Hugging Face's own, PEFT's, that of a value head. A bare model has none of them.
const LEADING: [&str; 3] = ["model", "base_model", "pretrained_model"];
/// Ends of the names of buffers: tables that a model computes itself.
const BUFFERS: [&str; 9] = [
    "freqs_cos",
    "freqs_sin",
    "freqs_cis",
    "pos_cis",
    "inv_freq",
    "mask",
    "masked_bias",
    "cos_cached",
    "sin_cached",
];
/// Names in one warning; the others are counted.
const NAMED: usize = 4;

/// The plain name of a tensor; that of a stranger stays as it is.
pub(super) fn plain_name(name: &str) -> String {
    let parts: Vec<&str> = name.split('.').filter(|part| !WRAPPERS.contains(part)).collect();
    let leading = parts.iter().take_while(|part| LEADING.contains(part)).count();
    let inside = parts[leading..].join(".");
    match parts.get(leading) {
        Some(&("embed_tokens" | "layers" | "norm")) => format!("model.{inside}"),
        Some(&"lm_head") => inside,
        Some(&"transformer") => llada_names::to_plain(&inside).unwrap_or_else(|| name.to_string()),
        _ => name.to_string(),
    }
}

/// Whether a tensor is a table that the model computes itself, such as the causal mask that GPT-2's classes call a bias.
pub(super) fn is_buffer(name: &str) -> bool {
    let mut parts = name.rsplit('.');
    let (last, before) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    BUFFERS.contains(&last) || last == "bias" && ["attn", "attention", "self_attn"].contains(&before)
}

/// Where the weights of a model stand.
#[derive(Debug, Default)]
pub(crate) struct TensorNames {
    /// The name in the file, by the plain one.
    pub(crate) weights: BTreeMap<String, String>,
    /// What a person should know.
    pub(crate) warnings: Vec<Told>,
}

impl TensorNames {
    /// Gives all tensors their plain names.
    ///
    /// # Errors
    /// Two tensors that would have one name.
    pub(crate) fn new<'a>(names: impl IntoIterator<Item = &'a str>) -> Result<Self> {
        let mut weights: BTreeMap<String, String> = BTreeMap::new();
        // In order, so that the same pair of several is told.
        for name in names.into_iter().collect::<BTreeSet<_>>() {
            if let Some(other) = weights.insert(plain_name(name), name.to_string()) {
                return Err(Error::Checkpoint(told!(
                    "tensor.two_names",
                    "two tensors are one weight of the model: '{other}' and '{name}'; remove that which is too much",
                    other,
                    name
                )));
            }
        }
        Ok(Self { weights, warnings: Vec::new() })
    }

    /// Fits names and config to each other, as `transformers` 5 does: a tied output projection that differs from the
    /// embedding stands on its own, and what the model does not have is left out. `equal` compares two tensors by their
    /// names in the file.
    ///
    /// # Errors
    /// What `equal` says.
    pub(crate) fn fit(
        &mut self,
        config: &mut ModelConfig,
        equal: impl FnOnce(&str, &str) -> Result<bool>,
    ) -> Result<()> {
        if config.tie_word_embeddings {
            self.tie(config, equal)?;
        }
        let mut unread = Vec::new();
        self.weights.retain(|plain, own| {
            let read = config.has_weight(plain);
            if !read && !is_buffer(plain) {
                unread.push(own.clone());
            }
            read
        });
        self.warnings.extend(tell(&unread));
        Ok(())
    }

    /// One of two equal tensors is enough, whichever is there.
    fn tie(
        &mut self,
        config: &mut ModelConfig,
        equal: impl FnOnce(&str, &str) -> Result<bool>,
    ) -> Result<()> {
        let Some(head) = self.weights.get(HEAD).cloned() else { return Ok(()) };
        let tied = match self.weights.get(EMBEDDING) {
            Some(embedding) => equal(embedding, &head)?,
            None => {
                self.weights.insert(EMBEDDING.into(), head.clone());
                true
            }
        };
        if tied {
            self.weights.remove(HEAD);
        } else {
            config.tie_word_embeddings = false;
            self.warnings.push(told!(
                "tensor.not_tied",
                "config.json ties the output projection to the embedding, and '{head}' holds other values; they are not \
                tied, as in transformers 5",
                head
            ));
        }
        Ok(())
    }
}

/// Names the tensors that nothing reads.
fn tell(unread: &[String]) -> Option<Told> {
    let named: Vec<String> = unread.iter().take(NAMED).map(|name| format!("'{name}'")).collect();
    let more = match unread.len().saturating_sub(NAMED) {
        0 => Told::default(),
        more => told!("tensor.more", " and {more} more", more),
    };
    (!unread.is_empty()).then(|| {
        told!(
            "tensor.unread",
            "{count} of the checkpoint's tensors are not read, as the model that config.json describes does not have them: \
            {names}{more}",
            count = unread.len(),
            names = named.join(", "),
            more
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::preset;

    fn config(tied: bool) -> ModelConfig {
        ModelConfig { tie_word_embeddings: tied, ..preset("nano").unwrap().config(None) }
    }

    fn fitted(names: &[&str], tied: bool, equal: bool) -> (TensorNames, bool) {
        let (mut names, mut config) = (TensorNames::new(names.iter().copied()).unwrap(), config(tied));
        names.fit(&mut config, |_, _| Ok(equal)).unwrap();
        (names, config.tie_word_embeddings)
    }

    #[test]
    fn wrappers_and_what_leads_to_the_model_are_taken_away() {
        let layer = "model.layers.0.mlp.up_proj.weight";
        for name in [
            layer,
            "layers.0.mlp.up_proj.weight",
            "_orig_mod.model.layers.0.mlp.up_proj.weight",
            "module.module.layers.0.mlp.up_proj.weight",
            "model._orig_mod.layers.0._checkpoint_wrapped_module.mlp.up_proj.weight",
            "base_model.model.model.layers.0.mlp.up_proj.weight",
            "pretrained_model.model.layers.0.mlp.up_proj.weight",
        ] {
            assert_eq!(plain_name(name), layer, "{name}");
        }
        for (name, plain) in [
            ("module.lm_head.weight", HEAD),
            ("model.lm_head.weight", HEAD),
            ("embed_tokens.weight", EMBEDDING),
            ("norm.weight", "model.norm.weight"),
            ("model.visual.blocks.0.weight", "model.visual.blocks.0.weight"),
            ("module.score.weight", "module.score.weight"),
            ("", ""),
        ] {
            assert_eq!(plain_name(name), plain, "{name}");
        }
        let twice = TensorNames::new(["norm.weight", "model.norm.weight"]).unwrap_err().to_string();
        assert!(twice.contains("'model.norm.weight' and 'norm.weight'"), "{twice}");
    }

    #[test]
    fn a_tied_head_is_tied_only_where_it_is_the_embedding() {
        let both = ["model.embed_tokens.weight", "module.lm_head.weight"];
        let (names, tied) = fitted(&both, true, true);
        assert!(tied && names.warnings.is_empty() && names.weights.len() == 1);
        let (names, tied) = fitted(&both, true, false);
        assert!(!tied && names.weights[HEAD] == "module.lm_head.weight");
        assert!(names.warnings[0].contains("'module.lm_head.weight' holds other values"), "{names:?}");
        let (names, tied) = fitted(&["lm_head.weight"], true, false);
        assert!(tied && names.weights[EMBEDDING] == HEAD && names.weights.len() == 1);
        assert!(!fitted(&both, false, true).1);
    }

    #[test]
    fn what_nothing_reads_is_named_and_buffers_are_not() {
        let (names, _) = fitted(
            &[
                "model.norm.weight",
                "model.layers.0.self_attn.rotary_emb.inv_freq",
                "model.layers.0.attn.masked_bias",
                "model.layers.0.attn.bias",
                "model.layers.0.self_attn.q_proj.bias",
                "score.weight",
            ],
            true,
            true,
        );
        let [warning] = names.warnings.as_slice() else { panic!("{names:?}") };
        assert!(warning.starts_with("2 of the checkpoint's tensors are not read"), "{warning}");
        assert!(warning.ends_with("'model.layers.0.self_attn.q_proj.bias', 'score.weight'"), "{warning}");
        assert_eq!(names.weights.len(), 1);
        let many: Vec<String> = (0..9).map(|i| format!("mtp.{i}.weight")).collect();
        let (names, _) = fitted(&many.iter().map(String::as_str).collect::<Vec<_>>(), true, true);
        assert!(names.warnings[0].ends_with("'mtp.3.weight' and 5 more"), "{names:?}");
    }
}
