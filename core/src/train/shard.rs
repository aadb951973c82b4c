//! ZeRO-1 (Rajbhandari et al., 2020, <https://arxiv.org/abs/1910.02054>): of several ranks each keeps the optimizer's state of
//! its own weights alone, and takes their step for all.

use std::collections::{HashMap, HashSet};

use burn::tensor::{Tensor, TensorData};

use crate::error::Result;
use crate::model::{NamedTensor, Transformer, read};
use crate::ranks::{BUCKET, BucketSum, Ranks};

/// What the optimizer's state of a weight is called, before the weight's name.
const KINDS: [&str; 3] = ["first", "second", "momentum"];

/// The weights whose step this rank takes: in the order of the model's walk each goes to the rank that has the fewest numbers so
/// far.
pub(super) fn own_weights(model: &Transformer, ranks: &dyn Ranks) -> HashSet<String> {
    let (mut numbers, mut own) = (vec![0; ranks.size()], HashSet::new());
    for (name, weight) in model.trained() {
        let owner = (0..numbers.len()).min_by_key(|&rank| numbers[rank]).unwrap_or_default();
        numbers[owner] += weight.shape().num_elements();
        if owner == ranks.rank() {
            own.insert(name);
        }
    }
    own
}

/// The model with every weight as the rank has it that took its step; this one took that of its `own`.
///
/// # Errors
/// A device that cannot be read; ranks that cannot be reached.
pub(super) async fn spread(
    own: &HashSet<String>,
    model: Transformer,
    ranks: &dyn Ranks,
) -> Result<Transformer> {
    let trained = model.trained();
    let mut sum = BucketSum::new(ranks, BUCKET);
    for (name, weight) in &trained {
        match own.contains(name) {
            true => sum.add(&read(weight.clone()).await?)?,
            false => sum.add(&vec![0.0; weight.shape().num_elements()])?,
        }
    }
    let (sums, device) = (sum.finish()?, model.device().inner());
    let (mut rest, mut values) = (sums.as_slice(), HashMap::new());
    for (name, weight) in trained {
        let (now, others) = rest.split_at(weight.shape().num_elements().min(rest.len()));
        rest = others;
        values.insert(name, Tensor::from_data(TensorData::new(now.to_vec(), [now.len()]), &device));
    }
    Ok(model.with_trained(values))
}

/// Whether a tensor of a saved state is the optimizer's, and no copy of weights.
pub(super) fn is_state(tensor: &NamedTensor) -> bool {
    tensor.name.split_once('.').is_some_and(|(kind, _)| KINDS.contains(&kind))
}

/// The optimizer's state of all ranks, each of which has that of its own weights.
///
/// # Errors
/// Ranks that cannot be reached.
pub(super) fn of_all(
    ranks: &dyn Ranks,
    own: Vec<NamedTensor>,
    weights: &[NamedTensor],
) -> Result<Vec<NamedTensor>> {
    let own: HashMap<String, NamedTensor> =
        own.into_iter().map(|tensor| (tensor.name.clone(), tensor)).collect();
    let places =
        weights.iter().flat_map(|weight| KINDS.map(|kind| (format!("{kind}.{}", weight.name), weight)));
    let places: Vec<(String, &NamedTensor)> = places.collect();
    let has = places.iter().map(|(name, _)| if own.contains_key(name) { 1.0 } else { 0.0 }).collect();
    let has = ranks.begin_sum(has)?()?;
    let kept = places.into_iter().zip(has).filter(|(_, has)| *has > 0.0).map(|(place, _)| place);
    let kept: Vec<(String, &NamedTensor)> = kept.collect();
    let mut sum = BucketSum::new(ranks, BUCKET);
    for (name, weight) in &kept {
        match own.get(name) {
            Some(tensor) => sum.add(&tensor.values)?,
            None => sum.add(&vec![0.0; weight.values.len()])?,
        }
    }
    let sums = sum.finish()?;
    let mut rest = sums.as_slice();
    let tensor = |(name, weight): (String, &NamedTensor)| {
        let (values, others) = rest.split_at(weight.values.len().min(rest.len()));
        rest = others;
        NamedTensor { name, shape: weight.shape.clone(), values: values.to_vec() }
    };
    Ok(kept.into_iter().map(tensor).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::tiny_model;
    use crate::ranks::Summing;
    use burn::tensor::Device;

    /// One of so many ranks, of which no other answers.
    struct Numbered(usize, usize);

    impl Ranks for Numbered {
        fn rank(&self) -> usize {
            self.0
        }

        fn size(&self) -> usize {
            self.1
        }

        fn begin_sum(&self, values: Vec<f32>) -> Result<Summing> {
            Ok(Box::new(move || Ok(values)))
        }

        fn gather(&self, own: Vec<u8>) -> Result<Vec<Vec<u8>>> {
            Ok(vec![own; self.1])
        }
    }

    #[test]
    fn every_weight_has_one_rank_that_takes_its_step() {
        let model = tiny_model(&Device::flex().autodiff());
        let trained = model.trained();
        let shards: Vec<_> = (0..3).map(|rank| own_weights(&model, &Numbered(rank, 3))).collect();
        for (name, _) in &trained {
            assert_eq!(shards.iter().filter(|shard| shard.contains(name)).count(), 1, "{name}");
        }
        let numbers = |shard: &HashSet<String>| -> usize {
            let own = trained.iter().filter(|(name, _)| shard.contains(name));
            own.map(|(_, weight)| weight.shape().num_elements()).sum()
        };
        let (all, most): (usize, usize) =
            (shards.iter().map(numbers).sum(), shards.iter().map(numbers).max().unwrap());
        let largest = trained.iter().map(|(_, weight)| weight.shape().num_elements()).max().unwrap();
        assert!(most <= all / 3 + largest, "{most} of {all}");
    }

    #[test]
    fn the_state_of_all_ranks_has_the_shapes_of_its_weights() {
        let named = |name: &str, shape: &[usize], values: &[f32]| NamedTensor {
            name: name.into(),
            shape: shape.to_vec(),
            values: values.to_vec(),
        };
        let weights = [named("a", &[2], &[0.0; 2]), named("b", &[1, 3], &[0.0; 3]), named("c", &[1], &[0.0])];
        // The only rank that answers has the state of the second weight.
        let own =
            vec![named("second.b", &[1, 3], &[4.0, 5.0, 6.0]), named("first.b", &[1, 3], &[1.0, 2.0, 3.0])];
        let all = of_all(&Numbered(0, 2), own.clone(), &weights).unwrap();
        assert_eq!(all, [own[1].clone(), own[0].clone()]);
    }
}
