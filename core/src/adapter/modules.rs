//! Modules that train whole beside an adapter's paths, and are saved with them (`modules_to_save` of PEFT).

use burn::module::Param;
use burn::tensor::{Device, Tensor, TensorData};

use super::names::{EMBEDDING, HEAD, known_module, module_path, whole_module};
use super::{Adapter, MERGE_IN_PEFT};
use crate::error::{Error, Result};
use crate::model::{NamedTensor, Transformer, from_named};
use crate::told::told;

/// The name of a module's weight in the base.
fn in_base(module: &str) -> &'static str {
    if module == HEAD { "lm_head.weight" } else { "model.embed_tokens.weight" }
}

impl Adapter {
    /// The weight of each module that it has whole.
    pub(super) fn modules(&self) -> impl Iterator<Item = (&'static str, &NamedTensor)> {
        self.weights.iter().filter_map(|tensor| Some((whole_module(&tensor.name)?, tensor)))
    }

    /// Whether a model has two ends of its own with it, whose table of token vectors may have been its output projection.
    pub fn parts_ends(&self) -> bool {
        self.modules().next().is_some()
    }

    /// With the base's own values, of which training begins.
    pub(super) async fn with_modules(mut self, base: &Transformer) -> Result<Self> {
        for name in &self.config.lora.modules_to_save {
            let Some(module) = known_module(name) else { continue };
            let own = self.weights.iter().any(|tensor| tensor.name == module_path(module));
            if let (false, Some(weight)) = (own, weight_of(base, module).await?) {
                self.weights.push(NamedTensor { name: module_path(module), ..weight });
            }
        }
        Ok(self)
    }

    /// Refuses modules that the settings name and the weights lack, or the other way.
    pub(super) fn check_modules(&self) -> Result<()> {
        let named: Vec<_> =
            self.config.lora.modules_to_save.iter().filter_map(|name| known_module(name)).collect();
        let lacking = named.iter().find(|module| !self.modules().any(|(found, _)| found == **module));
        if let Some(module) = lacking {
            return Err(Error::Checkpoint(told!(
                "adapter.module_lacking",
                "the adapter's settings say that it has '{module}' whole (modules_to_save), and its weights do not hold that; it \
                 was not saved whole: save it again",
                module
            )));
        }
        match self.modules().find(|(module, _)| !named.contains(module)) {
            Some((module, _)) => Err(Error::Checkpoint(told!(
                "adapter.module_unread",
                "the adapter holds '{module}' whole, which its settings (modules_to_save) do not name; settings and weights are \
                 of two adapters: take both files from one save",
                module
            ))),
            None => Ok(()),
        }
    }

    /// Puts its modules in the place of the base's, of another strength than 1 so much of the way there.
    pub(super) fn attach_modules(&self, mut model: Transformer, strength: f64) -> Result<Transformer> {
        let (device, [vocab, hidden]) =
            (model.device(), [model.config().vocab_size, model.config().hidden_size]);
        for (module, tensor) in self.modules() {
            check_shape(module, tensor, &[vocab, hidden])?;
            let shape = if module == HEAD { [hidden, vocab] } else { [vocab, hidden] };
            let own = parameter(from_named(tensor), shape, &device);
            let own = match strength == 1.0 {
                true => own,
                false => {
                    let base = model.end(module == HEAD);
                    own.map(|own| base.clone() + (own - base) * strength)
                }
            };
            let saved = model.saved_mut();
            let place = if module == HEAD { &mut saved.lm_head } else { &mut saved.embed_tokens };
            *place = Some(own);
        }
        Ok(model)
    }

    /// The same among a model's weights, by their names; a tied model gets the output projection that it lacks.
    pub(super) fn merge_modules(&self, weights: &mut Vec<NamedTensor>, strength: f64) -> Result<()> {
        if !self.parts_ends() {
            return Ok(());
        }
        if !weights.iter().any(|weight| weight.name == in_base(HEAD))
            && let Some(table) = weights.iter().find(|weight| weight.name == in_base(EMBEDDING))
        {
            let head = NamedTensor { name: in_base(HEAD).into(), ..table.clone() };
            weights.push(head);
        }
        for (module, tensor) in self.modules() {
            let Some(base) = weights.iter_mut().find(|weight| weight.name == in_base(module)) else {
                return Err(Error::Checkpoint(told!(
                    "adapter.copy_unknown",
                    "the adapter brings {name}, which the model does not have",
                    name = in_base(module)
                )));
            };
            check_shape(module, tensor, &base.shape)?;
            if strength == 1.0 {
                base.values.clone_from(&tensor.values);
                continue;
            }
            for (base, own) in base.values.iter_mut().zip(&tensor.values) {
                *base += (own - *base) * strength as f32;
            }
        }
        Ok(())
    }
}

fn parameter(values: Vec<f32>, shape: [usize; 2], device: &Device) -> Param<Tensor<2>> {
    Param::from_data(TensorData::new(values, shape), device)
}

pub(super) fn check_shape(module: &str, tensor: &NamedTensor, base: &[usize]) -> Result<()> {
    if tensor.shape == base {
        return Ok(());
    }
    Err(Error::Checkpoint(told!(
        "adapter.module_shape",
        "the adapter has '{module}' whole, of the shape {shape}, where the model's is {base}; it belongs to another base, or the \
         vocabulary was changed: {merge_in_peft}",
        module,
        shape = format!("{:?}", tensor.shape),
        base = format!("{base:?}"),
        merge_in_peft = MERGE_IN_PEFT
    )))
}

/// A module's weight in a base; where both ends are one table, that.
async fn weight_of(base: &Transformer, module: &str) -> Result<Option<NamedTensor>> {
    match base.weight(in_base(module)).await? {
        None => base.weight(in_base(EMBEDDING)).await,
        found => Ok(found),
    }
}
