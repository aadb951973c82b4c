//! A name for a set of weights, which no other set has, and how the model of these weights reads.

use sha2::{Digest, Sha256};

use super::Reading;
use crate::error::{Error, Result};
use crate::model::{ModelConfig, NamedTensor, WeightSource};
use crate::told::{Told, told};

/// SHA-256 over names, shapes and values (as f32), so that it does not depend on the file they came in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fingerprint {
    weights: String,
    /// What the model of these weights does with them; `None` where nobody says so.
    reading: Option<Reading>,
}

impl Fingerprint {
    /// Of these weights, in whatever order they are.
    pub fn of(weights: &[NamedTensor]) -> Self {
        let mut sorted: Vec<_> = weights.iter().collect();
        sorted.sort_by(|a, b| a.name.cmp(&b.name));
        let mut hash = Sha256::new();
        sorted.into_iter().for_each(|tensor| add(&mut hash, &tensor.name, &tensor.shape, &tensor.values));
        Self::from_hash(hash)
    }

    /// Of weights that are read one by one, in whatever order their names and shapes are.
    ///
    /// # Errors
    /// What `read` says.
    pub fn of_each(mut shapes: Vec<(String, Vec<usize>)>, read: &mut WeightSource) -> Result<Self> {
        shapes.sort();
        let mut hash = Sha256::new();
        for (name, shape) in shapes {
            add(&mut hash, &name, &shape, &read(&name, &shape)?);
        }
        Ok(Self::from_hash(hash))
    }

    fn from_hash(hash: Sha256) -> Self {
        let weights = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
        Self { weights, reading: None }
    }

    /// As read from a file.
    pub fn from_hex(text: &str) -> Self {
        Self { weights: text.to_string(), reading: None }
    }

    /// The same of weights that this model has.
    #[must_use]
    pub fn read_by(self, config: &ModelConfig) -> Self {
        self.read_as(Some(Reading::of(config)))
    }

    /// The same of weights that are read so.
    #[must_use]
    pub fn read_as(self, reading: Option<Reading>) -> Self {
        Self { reading, ..self }
    }

    /// The same, which reads as `base` does where nobody said how: adapters of earlier versions do not tell it.
    #[must_use]
    pub fn taught_by(self, base: &Self) -> Self {
        let reading = self.reading.clone().or_else(|| base.reading.clone());
        self.read_as(reading)
    }

    /// How the model of these weights reads, where that is known.
    pub fn reading(&self) -> Option<&Reading> {
        self.reading.as_ref()
    }

    /// All 64 digits.
    pub fn hex(&self) -> &str {
        &self.weights
    }

    /// The first digits, for people.
    pub fn short(&self) -> &str {
        self.weights.get(..12).unwrap_or(&self.weights)
    }

    /// Refuses another base than the one an adapter was trained on; one that reads otherwise is another one, too, where both
    /// are known to.
    ///
    /// # Errors
    /// Names both.
    pub fn check(&self, base: &Self, base_name: Option<&str>) -> Result<()> {
        if self.weights == base.weights {
            return match (&self.reading, &base.reading) {
                (Some(trained_on), Some(given)) => trained_on.check(given),
                // Adapters of earlier versions do not tell it.
                _ => Ok(()),
            };
        }
        let name = base_name.map_or_else(Told::default, |name| told!("adapter.named", " ('{name}')", name));
        Err(Error::Checkpoint(told!(
            "adapter.other_base",
            "the adapter was trained on the weights {trained_on}{name}, these are {given}; give it the base that it belongs to",
            trained_on = self.short(),
            name,
            given = base.short()
        )))
    }
}

fn add(hash: &mut Sha256, name: &str, shape: &[usize], values: &[f32]) {
    hash.update(format!("{name} {shape:?}\n"));
    for block in values.chunks(4096) {
        let bytes: Vec<u8> = block.iter().flat_map(|value| value.to_le_bytes()).collect();
        hash.update(bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{DiffusionConfig, preset};

    #[test]
    fn order_does_not_matter_and_every_value_does() {
        let tensor = |name: &str, values: [f32; 2]| NamedTensor {
            name: name.into(),
            shape: vec![2],
            values: values.to_vec(),
        };
        let (a, b) = (tensor("a", [1.0, 2.0]), tensor("b", [3.0, 4.0]));
        let first = Fingerprint::of(&[a.clone(), b.clone()]);
        let shapes = [&b, &a].map(|tensor| (tensor.name.clone(), tensor.shape.clone())).to_vec();
        let mut read = |name: &str, _: &[usize]| Ok(if name == "a" { &a } else { &b }.values.clone());
        assert_eq!(first, Fingerprint::of_each(shapes, &mut read).unwrap());
        assert_eq!(first, Fingerprint::of(&[b, a.clone()]));
        let other = Fingerprint::of(&[a, tensor("b", [3.0, 4.000_001])]);
        assert_ne!(first, other);
        let message = first.check(&other, Some("tiny")).unwrap_err().to_string();
        assert!(message.contains(first.short()) && message.contains("'tiny'"), "{message}");
    }

    #[test]
    fn the_same_weights_in_a_model_that_reads_otherwise_are_another_base() {
        let weights = || Fingerprint::from_hex("ab12");
        let causal = preset("minimind2").unwrap().config(None);
        let diffusion = DiffusionConfig { mask_token_id: 6399, block_length: None, shift_logits: true };
        let masked = ModelConfig { diffusion: Some(diffusion), ..causal.clone() };
        let own = weights().read_by(&masked);
        own.check(&weights().read_by(&masked), None).unwrap();
        let message = own.check(&weights().read_by(&causal), None).unwrap_err().to_string();
        assert!(message.contains("objective was masked-diffusion and is next-token"), "{message}");
        // Saved before it was kept, or compared where nobody knows it.
        weights().check(&own, None).unwrap();
        own.check(&weights(), None).unwrap();
        assert_eq!(weights().taught_by(&own), own, "where it goes on, it learns it");
        let other = weights().read_by(&causal);
        assert_eq!(other.clone().taught_by(&own), other, "and keeps what it knew");
    }
}
