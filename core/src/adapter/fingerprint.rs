//! A name for a set of weights, which no other set has.

use sha2::{Digest, Sha256};

use crate::error::{Error, Result};
use crate::model::{NamedTensor, WeightSource};
use crate::told::{Told, told};

/// SHA-256 over names, shapes and values (as f32), so that it does not depend on the file they came in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fingerprint(String);

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
        Self(hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
    }

    /// As read from a file.
    pub fn from_hex(text: &str) -> Self {
        Self(text.to_string())
    }

    /// All 64 digits.
    pub fn hex(&self) -> &str {
        &self.0
    }

    /// The first digits, for people.
    pub fn short(&self) -> &str {
        self.0.get(..12).unwrap_or(&self.0)
    }

    /// Refuses another base than the one an adapter was trained on.
    ///
    /// # Errors
    /// Names both.
    pub fn check(&self, base: &Self, base_name: Option<&str>) -> Result<()> {
        if self == base {
            return Ok(());
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
}
