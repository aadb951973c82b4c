//! What the parts of a step bring together, and what the ranks of a run bring together.

use std::collections::HashMap;

use burn::tensor::{Device, Tensor, TensorData};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::losses::Losses;
use super::metrics::{Metrics, MetricsTold};
use crate::batch::Batch;
use crate::error::{Error, Result};
use crate::loss::Metric;
use crate::model::{Transformer, read};
use crate::optim::NamedGradients;
use crate::ranks::{BucketSum, Ranks, gather_told};
use crate::told::told;

/// Sums over the parts of a step, each under the weight of the whole step, so that those of ranks add up, too.
#[derive(Default)]
pub(super) struct StepSums {
    pub gradients: NamedGradients,
    pub losses: Losses,
    pub metrics: Vec<Metric>,
    /// What gates add to the loss.
    pub added: Option<Tensor<1>>,
}

/// What a rank tells of a step beside its sums.
#[derive(Serialize, Deserialize)]
struct Remarks {
    /// Of the batches, which every rank makes for itself.
    batches: String,
    metrics: MetricsTold,
}

impl StepSums {
    /// Those of all ranks, whose batches of the step are the same. The gradients go in buckets, in the order of the model's
    /// walk: while one is on its way the next is read from the device.
    ///
    /// # Errors
    /// The device cannot be read; ranks that cannot be reached, or whose batches are others.
    pub(super) async fn over(
        self,
        ranks: &dyn Ranks,
        model: &Transformer,
        batches: &[Batch],
        bucket: usize,
    ) -> Result<Self> {
        let metrics = over_ranks(ranks, self.metrics, batches, &model.device().inner()).await?;
        let count = |(name, weight): (String, Tensor<1>)| (name, weight.shape().num_elements());
        let trained: Vec<(String, usize)> = model.trained().into_iter().map(count).collect();
        let mut own: HashMap<String, Tensor<1>> = self.gradients.into_inner().into_iter().collect();
        let [lesson, kept] = self.losses.sums();
        let mut sum = BucketSum::new(ranks, bucket);
        for loss in [lesson, kept, self.added] {
            sum.add(&match loss {
                Some(loss) => [1.0, read(loss).await?.first().copied().unwrap_or(f32::NAN)],
                None => [0.0; 2],
            })?;
        }
        // A weight that no rank has a gradient for has none.
        let has: Vec<f32> =
            trained.iter().map(|(name, _)| f32::from(u8::from(own.contains_key(name)))).collect();
        sum.add(&has)?;
        for (name, count) in &trained {
            match own.remove(name) {
                Some(gradient) => sum.add(&read(gradient).await?)?,
                None => sum.add(&vec![0.0; *count])?,
            }
        }
        Ok(Self::of(&sum.finish()?, &trained, metrics, &model.device().inner()))
    }

    /// Out of the numbers that were sent.
    fn of(sums: &[f32], trained: &[(String, usize)], metrics: Vec<Metric>, device: &Device) -> Self {
        let on_device =
            |values: &[f32]| Tensor::<1>::from_data(TensorData::new(values.to_vec(), [values.len()]), device);
        let (losses, rest) = sums.split_at(6.min(sums.len()));
        let loss = |at: usize| {
            let counted = losses.get(2 * at).is_some_and(|ranks| *ranks > 0.0);
            counted.then(|| on_device(&losses[2 * at + 1..2 * at + 2]))
        };
        let (has, mut values) = rest.split_at(trained.len().min(rest.len()));
        let mut gradients = Vec::new();
        for ((name, count), has) in trained.iter().zip(has) {
            let (own, others) = values.split_at((*count).min(values.len()));
            values = others;
            if *has > 0.0 {
                gradients.push((name.clone(), on_device(own)));
            }
        }
        Self {
            gradients: NamedGradients::of(gradients),
            losses: Losses::of([loss(0), loss(1)]),
            metrics,
            added: loss(2),
        }
    }
}

/// Metrics added up by name over all ranks, which have made the same batches.
async fn over_ranks(
    ranks: &dyn Ranks,
    own: Vec<Metric>,
    batches: &[Batch],
    device: &Device,
) -> Result<Vec<Metric>> {
    let (mut mine, mut sums) = (Metrics::default(), Metrics::default());
    mine.add(own).await?;
    let remarks = Remarks { batches: digest(batches)?, metrics: mine.told() };
    for (rank, Remarks { batches, metrics }) in gather_told(ranks, &remarks)?.into_iter().enumerate() {
        if batches != remarks.batches {
            return Err(other_batch(rank, ranks.rank()));
        }
        sums.hear(metrics);
    }
    let metric = |(name, (sum, weight)): (&'static str, (f64, f64))| Metric {
        name,
        sum: Tensor::from_data(TensorData::new(vec![sum as f32], [1]), device),
        weight,
    };
    Ok(sums.into_sums().into_iter().map(metric).collect())
}

fn other_batch(rank: usize, own: usize) -> Error {
    Error::Data(told!(
        "ranks.batch",
        "rank {rank} made other rows of this step than rank {own}, so their gradients cannot be added; all ranks need the \
         same data and processors or cards of the same kind, whose answers are the same. The last saved checkpoint is \
         untouched",
        rank,
        own
    ))
}

/// A hash of all that a step learns from.
fn digest(batches: &[Batch]) -> Result<String> {
    let mut hash = Sha256::new();
    for batch in batches {
        hash.update(
            [batch.batch as u64, batch.seq as u64, batch.group as u64].map(u64::to_le_bytes).concat(),
        );
        for numbers in [&batch.inputs, &batch.targets, &batch.segments] {
            numbers.iter().for_each(|number| hash.update(number.to_le_bytes()));
        }
        for values in [&batch.weights, &batch.reference] {
            values.iter().for_each(|value| hash.update(value.to_le_bytes()));
        }
        let beside = serde_json::to_vec(&(&batch.rollouts, &batch.noised, &batch.taught));
        hash.update(beside.map_err(|e| Error::Data(e.into()))?);
    }
    Ok(hash.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::tiny_model;
    use crate::ranks::mirror::Mirror;

    fn tensor(values: &[f32]) -> Tensor<1> {
        Tensor::from_data(TensorData::new(values.to_vec(), [values.len()]), &Device::flex())
    }

    fn value(tensor: Tensor<1>) -> f32 {
        tensor.into_scalar::<f32>()
    }

    #[test]
    fn sums_of_two_ranks_by_hand_and_what_neither_has_stays_away() {
        let model = tiny_model(&Device::flex().autodiff());
        let trained = model.trained();
        let (name, count) = (trained[1].0.clone(), trained[1].1.shape().num_elements());
        let values: Vec<f32> = (0..count).map(|i| i as f32).collect();
        let mut losses = Losses::default();
        losses.add(tensor(&[0.25]), false);
        let metric = |sum: f32| Metric { name: "margin", sum: tensor(&[sum]), weight: 2.0 };
        let own = StepSums {
            gradients: NamedGradients::of(vec![(name.clone(), tensor(&values))]),
            losses,
            metrics: vec![metric(3.0), metric(4.0)],
            added: None,
        };
        let sums = pollster::block_on(own.over(&Mirror, &model, &[Batch::new(4)], 7)).unwrap();
        let [lesson, kept] = sums.losses.sums();
        assert_eq!((value(lesson.unwrap()), kept.is_some(), sums.added.is_some()), (0.5, false, false));
        let [Metric { name: told, sum, weight }] = &sums.metrics[..] else { panic!("one metric") };
        assert_eq!((*told, value(sum.clone()), *weight), ("margin", 14.0, 8.0));
        let gradients = sums.gradients.into_inner();
        assert_eq!((gradients.len(), &gradients[0].0), (1, &name));
        let found: Vec<f32> = gradients[0].1.clone().into_data().iter::<f32>().collect();
        assert_eq!(found, values.iter().map(|value| 2.0 * value).collect::<Vec<f32>>());
    }

    #[test]
    fn another_batch_is_another_digest() {
        let mut batch = Batch::new(3);
        batch.push(&[1, 2, 3], &[1.0; 3], &[1; 3]);
        let digest = |batch: &Batch| digest(std::slice::from_ref(batch)).unwrap();
        let mut other = batch.clone();
        other.targets[1] += 1;
        assert_ne!(digest(&batch), digest(&other));
        assert_ne!(digest(&batch), digest(&Batch { weights: vec![0.5; 3], ..batch.clone() }));
        assert_eq!(digest(&batch), digest(&batch.clone()));
        assert!(
            other_batch(3, 1).to_string().starts_with("rank 3 made other rows of this step than rank 1,")
        );
    }
}
