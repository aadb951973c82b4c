//! How evenly the experts of a mixture are used.

use burn::tensor::Tensor;

use crate::error::Result;
use crate::loss::Routed;
use crate::model::read;

/// The tokens of each expert, layer by layer; they stay on the device until they are reported.
#[derive(Clone, Debug, Default)]
pub(crate) struct ExpertLoad(Vec<Tensor<1>>);

impl ExpertLoad {
    /// Those of a part of a step.
    pub(super) fn of(routed: &Routed) -> Self {
        Self(routed.uses.iter().map(|own| own.chosen.clone()).collect())
    }

    /// Adds those of more tokens.
    pub(super) fn add(&mut self, more: Self) {
        self.0 = match self.0.is_empty() {
            true => more.0,
            false if more.0.is_empty() => return,
            false => std::mem::take(&mut self.0).into_iter().zip(more.0).map(|(a, b)| a + b).collect(),
        };
    }

    /// Each layer's, `[experts]`.
    pub(super) fn layers(&self) -> &[Tensor<1>] {
        &self.0
    }

    /// Each expert's share of its layer's tokens, as a multiple of an even share.
    ///
    /// # Errors
    /// The device cannot be read.
    pub(super) async fn shares(self) -> Result<Vec<Vec<f64>>> {
        let mut shares = Vec::with_capacity(self.0.len());
        for layer in self.0 {
            let tokens: Vec<f64> = read(layer).await?.into_iter().map(f64::from).collect();
            let even = (tokens.iter().sum::<f64>() / tokens.len().max(1) as f64).max(f64::MIN_POSITIVE);
            shares.push(tokens.into_iter().map(|tokens| tokens / even).collect());
        }
        Ok(shares)
    }
}

/// The largest of all shares; `None` for a dense model.
pub(super) fn largest(shares: &[Vec<f64>]) -> Option<f64> {
    shares.iter().flatten().copied().reduce(f64::max)
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::Device;

    fn load(layers: &[[f32; 4]]) -> ExpertLoad {
        ExpertLoad(layers.iter().map(|layer| Tensor::from_floats(*layer, &Device::flex())).collect())
    }

    #[test]
    fn loads_add_up_and_are_multiples_of_an_even_share() {
        let mut sum = ExpertLoad::default();
        sum.add(load(&[[1.0, 2.0, 3.0, 0.0], [4.0, 0.0, 0.0, 0.0]]));
        sum.add(load(&[[3.0, 2.0, 1.0, 4.0], [0.0, 4.0, 0.0, 0.0]]));
        sum.add(ExpertLoad::default());
        let shares = pollster::block_on(sum.shares()).unwrap();
        assert_eq!(shares, [[1.0; 4], [2.0, 2.0, 0.0, 0.0]]);
        assert_eq!((largest(&shares), largest(&[])), (Some(2.0), None));
        let none = pollster::block_on(load(&[[0.0; 4]]).shares()).unwrap();
        assert_eq!(none, [[0.0; 4]]);
    }
}
