//! What PEFT repeats of the base in an adapter's file: the output projection beside its own adapter, or both ends of the
//! model where it takes the vocabulary for a new one. On opening, PEFT puts it in the place of the base's.

use half::{bf16, f16};

use super::{Adapter, MERGE_IN_PEFT};
use crate::error::{Error, Result};
use crate::model::{NamedTensor, Transformer};
use crate::told::told;

/// What is in few bits in one file may be in more in another: the same numbers, once rounded.
const ROUNDINGS: [fn(f32) -> f32; 3] = [|x| x, |x| bf16::from_f32(x).to_f32(), |x| f16::from_f32(x).to_f32()];
/// What a tied model has for both ends.
const EMBEDDING: &str = "model.embed_tokens.weight";

impl Adapter {
    /// With what its file repeats of the base, by the base's names.
    pub(crate) fn with_copies(mut self, copies: Vec<NamedTensor>) -> Self {
        self.copies = copies;
        self
    }

    /// Lets go of what its file repeats of the base, which `base` gives by name.
    ///
    /// # Errors
    /// What is not as in the base, by name.
    pub fn compared(mut self, mut base: impl FnMut(&str) -> Result<NamedTensor>) -> Result<Self> {
        for copy in std::mem::take(&mut self.copies) {
            compare(&copy, &base(&copy.name)?)?;
        }
        Ok(self)
    }

    /// The same where nothing is left of the base but the model on its device.
    ///
    /// # Errors
    /// As [`Adapter::compared`]; the device cannot be read.
    pub async fn compared_with(mut self, base: &Transformer) -> Result<Self> {
        for copy in std::mem::take(&mut self.copies) {
            let found = match base.weight(&copy.name).await? {
                None => base.weight(EMBEDDING).await?,
                found => found,
            };
            let found = found.ok_or_else(|| {
                Error::Checkpoint(told!(
                    "adapter.copy_unknown",
                    "the adapter brings {name}, which the model does not have",
                    name = copy.name
                ))
            })?;
            compare(&copy, &found)?;
        }
        Ok(self)
    }
}

fn compare(copy: &NamedTensor, base: &NamedTensor) -> Result<()> {
    let equal = |round: &fn(f32) -> f32| {
        let mut pairs = copy.values.iter().zip(&base.values);
        pairs.all(|(copy, base)| round(*copy) == round(*base))
    };
    if copy.shape == base.shape && ROUNDINGS.iter().any(equal) {
        return Ok(());
    }
    let differs = match copy.shape == base.shape {
        true => told!("adapter.copy_values", "other values than the base's"),
        false => told!(
            "adapter.copy_shape",
            "the shape {shape}, where the base's is {base}",
            shape = format!("{:?}", copy.shape),
            base = format!("{:?}", base.shape)
        ),
    };
    Err(Error::Checkpoint(told!(
        "adapter.copy_differs",
        "the adapter brings {name} of its own, with {differs}: PEFT would put it in the base's place. Give the adapter the base \
         that it was trained on, held as f32; where that tensor was trained or the vocabulary changed, {merge_in_peft}",
        name = copy.name,
        differs,
        merge_in_peft = MERGE_IN_PEFT
    )))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::adapter::{AdapterConfig, LoraConfig};

    fn tensor(name: &str, values: &[f32]) -> NamedTensor {
        NamedTensor { name: name.into(), shape: vec![values.len(), 1], values: values.to_vec() }
    }

    fn adapter(values: &[f32]) -> Adapter {
        let config = AdapterConfig { lora: LoraConfig::default(), base: None, base_name: None };
        Adapter::new(config, Vec::new()).with_copies(vec![tensor("lm_head.weight", values)])
    }

    #[test]
    fn a_copy_equals_the_base_but_for_rounding() {
        let third = 1.0_f32 / 3.0;
        let rounded = [bf16::from_f32(third).to_f32(), f16::from_f32(third).to_f32()];
        let base = |values: &[f32]| {
            let base = tensor("lm_head.weight", values);
            move |_: &str| Ok(base.clone())
        };
        for copy in [third, rounded[0], rounded[1]] {
            let open = adapter(&[copy, 2.0]).compared(base(&[third, 2.0])).unwrap();
            assert!(open.copies.is_empty());
            adapter(&[third]).compared(base(&[copy])).unwrap();
        }
        for (other, told) in [(&[0.34, 2.0][..], "other values"), (&[third], "the shape [2, 1]")] {
            let message = adapter(&[third, 2.0]).compared(base(other)).unwrap_err().to_string();
            assert!(message.contains("lm_head.weight") && message.contains(told), "{message}");
        }
    }
}
