//! Adapters together with a base or with each other: what adds up, and what does not.

use std::collections::BTreeMap;

use super::lora::no_layer;
use super::modules::check_shape;
use super::whole::{Pair, Pairs};
use super::{Adapter, Fingerprint, Reading, dora};
use crate::error::{Error, Result};
use crate::model::{ModelConfig, NamedTensor, Transformer};
use crate::told::{Told, told};

impl Adapter {
    /// Adds `scale · B·A` to the base's weights (matrices `[out, in]`), or with DoRA sets the length of their rows as well,
    /// and puts modules of its own in the place of the base's. A tied model gets an `lm_head.weight` of its own by that.
    ///
    /// # Errors
    /// As [`Adapter::attach`].
    pub fn merge(&self, weights: &mut Vec<NamedTensor>, strength: f64) -> Result<()> {
        self.refuse_copies()?;
        self.check()?;
        self.merge_paths(&self.weights, weights, strength)?;
        if self.starts_elsewhere() {
            self.merge_paths(&self.start, weights, -strength)?;
        }
        self.merge_modules(weights, strength)
    }

    fn merge_paths(&self, paths: &[NamedTensor], weights: &mut [NamedTensor], strength: f64) -> Result<()> {
        let pairs = Pairs::of(&self.config.lora, paths)?;
        pairs.check_whole(&dense_layers(weights.iter().map(|tensor| tensor.name.as_str())))?;
        for (layer, pair) in pairs.into_all() {
            let name = format!("{layer}.weight");
            let base = weights.iter_mut().find(|base| base.name == name).ok_or_else(|| no_layer(layer))?;
            check_layer(layer, &pair, &base.shape)?;
            match pair.magnitude {
                Some(magnitude) => dora::merge(&mut base.values, &pair, magnitude, strength),
                None => add(&mut base.values, &pair, strength),
            }
        }
        Ok(())
    }

    /// Refuses a model that it cannot belong to, as far as the model's shape tells that: nothing of its weights is read.
    ///
    /// # Errors
    /// Layers or shapes that such a model does not have; one that reads otherwise than that which it was trained on.
    pub fn check_model(&self, config: &ModelConfig) -> Result<()> {
        if let Some(reading) = self.config.base.as_ref().and_then(Fingerprint::reading) {
            reading.check(&Reading::of(config))?;
        }
        let shapes: BTreeMap<String, Vec<usize>> = config.weight_shapes().into_iter().collect();
        let pairs = Pairs::of(&self.config.lora, &self.weights)?;
        pairs.check_whole(&dense_layers(shapes.keys().map(String::as_str)))?;
        for (layer, pair) in pairs.into_all() {
            let base = shapes.get(&format!("{layer}.weight")).ok_or_else(|| no_layer(layer))?;
            check_layer(layer, &pair, base)?;
        }
        let table = [config.vocab_size, config.hidden_size];
        self.modules().try_for_each(|(module, tensor)| check_shape(module, tensor, &table))
    }

    /// Refuses to act beside adapters that are attached already, where the order would count or one would undo the other.
    pub(super) fn refuse_mixture(&self, model: &mut Transformer) -> Result<()> {
        let taken = [model.saved_mut().embed_tokens.is_some(), model.saved_mut().lm_head.is_some()];
        let mut others = Acts { embedding: taken[0], head: taken[1], ..Acts::default() };
        for (layer, linear) in model.linears_mut() {
            others.paths |= !linear.lora.is_empty();
            others.head_path |= !linear.lora.is_empty() && layer == "lm_head";
            others.dora |= linear.lora.iter().any(|path| path.magnitude.is_some());
        }
        others.refuse(&self.acts())
    }

    /// Refuses adapters that do not act beside each other.
    ///
    /// # Errors
    /// Why not.
    pub fn refuse_mixtures(adapters: &[Self]) -> Result<()> {
        let mut before = Acts::default();
        for adapter in adapters {
            let own = adapter.acts();
            before.refuse(&own)?;
            before = before.and(&own);
        }
        Ok(())
    }

    fn acts(&self) -> Acts {
        let has = |module: &str| self.modules().any(|(found, _)| found == module);
        Acts {
            paths: self.weights.iter().any(|tensor| tensor.name.contains(".lora.")),
            head_path: self.weights.iter().any(|tensor| tensor.name.starts_with("lm_head.lora.")),
            dora: self.config.lora.dora,
            embedding: has("embed_tokens"),
            head: has("lm_head"),
        }
    }
}

/// What adapters do to a model, as far as it matters to others.
#[derive(Clone, Copy, Debug, Default)]
struct Acts {
    paths: bool,
    head_path: bool,
    dora: bool,
    embedding: bool,
    head: bool,
}

impl Acts {
    fn and(self, other: &Self) -> Self {
        Self {
            paths: self.paths || other.paths,
            head_path: self.head_path || other.head_path,
            dora: self.dora || other.dora,
            embedding: self.embedding || other.embedding,
            head: self.head || other.head,
        }
    }

    fn refuse(&self, next: &Self) -> Result<()> {
        match self.problem(next) {
            Some(why) => Err(Error::Checkpoint(why)),
            None => Ok(()),
        }
    }

    fn problem(&self, next: &Self) -> Option<Told> {
        let with_paths = self.paths && next.paths;
        if with_paths && (self.dora || next.dora) {
            return Some(told!(
                "adapter.mixed_dora",
                "an adapter with DoRA rescales whole rows of the base, so that what comes of it beside another adapter depends on \
                 their order; use it alone, or merge one of them first and train the other on the result"
            ));
        }
        let module = match (self.embedding && next.embedding, self.head && next.head) {
            (true, _) => Some("embed_tokens"),
            (false, true) => Some("lm_head"),
            (false, false) => None,
        };
        if let Some(module) = module {
            return Some(told!(
                "adapter.mixed_modules",
                "two adapters have '{module}' whole (modules_to_save), and one would undo the other; use one of them",
                module
            ));
        }
        let crossed = (self.head && next.head_path) || (self.head_path && next.head);
        crossed.then(|| {
            told!(
                "adapter.mixed_head",
                "one adapter has 'lm_head' whole (modules_to_save) and another changes it by a path, which the first would \
                 undo; use one of them"
            )
        })
    }
}

/// Adds `scale · B·A` to a matrix `[out, in]`.
fn add(base: &mut [f32], pair: &Pair, strength: f64) {
    let (inputs, scale) = (pair.a.shape[1].max(1), (pair.scale * strength) as f32);
    for (row, factors) in base.chunks_exact_mut(inputs).zip(pair.b.values.chunks_exact(pair.rank)) {
        for (&factor, a) in factors.iter().zip(pair.a.values.chunks_exact(inputs)) {
            let factor = factor * scale;
            row.iter_mut().zip(a).for_each(|(weight, a)| *weight += factor * a);
        }
    }
}

/// Refuses a path whose halves are not those of a layer `[out, in]`.
fn check_layer(layer: &str, pair: &Pair, base: &[usize]) -> Result<()> {
    if *base == [pair.b.shape[0], pair.a.shape[1]] {
        return Ok(());
    }
    Err(Error::Checkpoint(told!(
        "adapter.merge_shapes",
        "the adapter's shapes for '{layer}' are {a} and {b}, the layer's is {base}; it belongs to another base",
        layer,
        a = format!("{:?}", pair.a.shape),
        b = format!("{:?}", pair.b.shape),
        base = format!("{base:?}")
    )))
}

/// The dense layers among a model's weights.
fn dense_layers<'a>(names: impl Iterator<Item = &'a str>) -> Vec<String> {
    let names = names.filter_map(|name| name.strip_suffix(".weight"));
    names.filter(|name| name.ends_with("_proj")).map(String::from).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::adapter::{AdapterConfig, LoraConfig, path};
    use crate::model::preset;

    #[test]
    fn a_model_that_it_cannot_belong_to_is_told_by_its_shape() {
        let nano = preset("nano").unwrap().config(Some(8));
        let own =
            ModelConfig { hidden_size: 16, intermediate_size: 8, num_hidden_layers: 1, head_dim: 4, ..nano };
        let half = |half, shape: [usize; 2]| NamedTensor {
            name: path("model.layers.0.self_attn.q_proj", half),
            shape: shape.to_vec(),
            values: vec![0.0; shape[0] * shape[1]],
        };
        let lora =
            LoraConfig { rank: 2, alpha: 4.0, targets: vec!["q_proj".into()], ..LoraConfig::default() };
        let config = AdapterConfig { lora, base: None, base_name: None };
        let mut adapter = Adapter::new(config, vec![half('a', [2, 16]), half('b', [16, 2])]);
        adapter.check_model(&own).unwrap();
        let wide = ModelConfig { hidden_size: 32, ..own.clone() };
        let deep = ModelConfig { num_hidden_layers: 2, ..own.clone() };
        for (other, told) in [(wide, "the layer's is [16, 32]"), (deep, "belongs to another base")] {
            let message = adapter.check_model(&other).unwrap_err().to_string();
            assert!(message.contains(told), "{message}");
        }
        let masked = Reading::MaskedDiffusion { mask_token_id: 5, block_length: None, shift_logits: true };
        adapter.config.base = Some(Fingerprint::from_hex("ab").read_as(Some(masked)));
        assert!(adapter.check_model(&own).is_err(), "it was trained on a predictor of masked tokens");
    }

    #[test]
    fn what_does_not_act_together_is_told_whatever_comes_first() {
        let plain = Acts { paths: true, ..Acts::default() };
        let dora = Acts { dora: true, ..plain };
        let head = Acts { head: true, ..plain };
        let head_path = Acts { head_path: true, ..plain };
        let embedding = Acts { embedding: true, ..plain };
        for (one, other) in [(plain, plain), (plain, head), (head, embedding), (embedding, head_path)] {
            assert!(one.problem(&other).is_none() && other.problem(&one).is_none(), "{one:?} {other:?}");
        }
        for (one, other, part) in [
            (dora, plain, "DoRA"),
            (dora, dora, "DoRA"),
            (head, head, "'lm_head' whole"),
            (embedding, embedding, "'embed_tokens' whole"),
            (head, head_path, "by a path"),
        ] {
            for (first, second) in [(one, other), (other, one)] {
                let told = first.problem(&second).unwrap().to_string();
                assert!(told.contains(part), "{told}");
            }
        }
    }
}
