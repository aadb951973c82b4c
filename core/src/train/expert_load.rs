//! How evenly the experts of a mixture are used.

use burn::tensor::{Device, Tensor, TensorData};

use crate::error::Result;
use crate::loss::Routed;
use crate::model::{Experts, read};
use crate::ranks::Ranks;

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

    /// Those of all ranks together, of a model with these experts. A rank without rows has counted none.
    ///
    /// # Errors
    /// The device cannot be read; ranks that cannot be reached.
    pub(super) async fn over(
        self,
        ranks: Option<&dyn Ranks>,
        experts: Option<&Experts>,
        device: &Device,
    ) -> Result<Self> {
        let (Some(ranks), Some(experts)) = (ranks, experts) else { return Ok(self) };
        let layers = experts.layers.iter().filter(|routed| **routed).count();
        // In front stands whether there are any, as an objective may have none.
        let mut own = vec![if self.0.is_empty() { 0.0 } else { 1.0 }];
        for layer in self.0 {
            own.extend(read(layer).await?);
        }
        own.resize(1 + layers * experts.count, 0.0);
        let summed = ranks.begin_sum(own)?()?;
        let layer =
            |tokens: &[f32]| Tensor::from_data(TensorData::new(tokens.to_vec(), [tokens.len()]), device);
        Ok(match summed.split_first() {
            Some((&counted, tokens)) if counted > 0.0 => {
                Self(tokens.chunks(experts.count.max(1)).map(layer).collect())
            }
            _ => Self::default(),
        })
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
    fn loads_of_ranks_add_up_also_where_one_counted_none() {
        let experts = Experts {
            count: 4,
            per_token: 1,
            shared: 0,
            intermediate_size: 8,
            normalize: true,
            layers: vec![false, true],
            balance: crate::model::Balance::default(),
        };
        let over = |own: ExpertLoad, ranks: Option<&dyn Ranks>, experts: Option<&Experts>| {
            let summed = pollster::block_on(own.over(ranks, experts, &Device::flex())).unwrap();
            let values = |layer: Tensor<1>| layer.into_data().iter::<f32>().collect::<Vec<f32>>();
            summed.0.into_iter().map(values).collect::<Vec<_>>()
        };
        let own = || load(&[[1.0, 2.0, 3.0, 0.0]]);
        let both: Option<&dyn Ranks> = Some(&crate::ranks::mirror::Mirror);
        assert_eq!(over(own(), both, Some(&experts)), [[2.0, 4.0, 6.0, 0.0]]);
        assert_eq!(over(own(), None, Some(&experts)), [[1.0, 2.0, 3.0, 0.0]]);
        assert!(over(ExpertLoad::default(), both, Some(&experts)).is_empty());
        assert!(over(ExpertLoad::default(), both, None).is_empty());
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
