//! The held-out loss, and bits per byte, which compares models with different tokenizers.

use std::collections::BTreeMap;

use burn::module::Module;
use serde::Serialize;

use super::BatchSource;
use super::metrics::{Metrics, MetricsTold};
use crate::batch::Batch;
use crate::error::Result;
use crate::loss::{MaskedMetrics, Objective};
use crate::model::{Transformer, read};
use crate::platform::give_way;
use crate::ranks::{Ranks, gather_told};
use crate::tokenizer::Tokenizer;

/// A measurement on rows that are never trained on.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct HeldOut {
    /// The objective's mean loss; of next-token prediction a target's, in nats.
    pub loss: f64,
    /// Loss in bits, divided by the bytes that the targets stand for, both weighed; none of a loss that is no likelihood.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bits_per_byte: Option<f64>,
    /// Targets measured.
    pub targets: u64,
    /// What the objective reports beside the loss, by name.
    #[serde(flatten)]
    pub metrics: BTreeMap<&'static str, f64>,
}

/// Measures `objective` on everything that `batches` gives (a source that ends).
///
/// # Errors
/// Data or the device cannot be read.
pub async fn evaluate(
    model: &Transformer,
    objective: &dyn Objective,
    batches: &mut dyn BatchSource,
    tokenizer: &Tokenizer,
) -> Result<HeldOut> {
    evaluate_together(model, objective, batches, tokenizer, None).await
}

/// The same by several ranks, each of which measures its own rows of every batch: all get the same numbers.
///
/// # Errors
/// As [`evaluate`]; ranks that cannot be reached.
pub(super) async fn evaluate_together(
    model: &Transformer,
    objective: &dyn Objective,
    batches: &mut dyn BatchSource,
    tokenizer: &Tokenizer,
    ranks: Option<&dyn Ranks>,
) -> Result<HeldOut> {
    let model = model.valid();
    let (mut sums, mut masked) = (Sums::default(), MaskedMetrics::default());
    while let Some(batch) = batches.next(&model).await? {
        // By the places of rows among all: so each rank measures all of them.
        masked.add(&model, &batch, tokenizer).await?;
        let own = match ranks {
            None => Some(batch),
            Some(ranks) => batch.split(ranks.size()).into_iter().nth(ranks.rank()),
        };
        if let Some(own) = own {
            sums.add(&model, objective, &own, tokenizer).await?;
        }
        // Whoever measures may hear meanwhile that the run shall stop.
        give_way().await;
    }
    if let Some(ranks) = ranks {
        sums = sums.over(ranks)?;
    }
    let Sums { numbers: [nll, weight, targets, bytes], metrics } = sums;
    let mut metrics = metrics.means();
    metrics.extend(masked.means());
    Ok(HeldOut {
        loss: nll / if weight > 0.0 { weight } else { 1.0 },
        bits_per_byte: objective
            .is_likelihood()
            .then(|| nll / std::f64::consts::LN_2 / if bytes > 0.0 { bytes } else { 1.0 }),
        targets: targets as u64,
        metrics,
    })
}

/// Sums over rows.
#[derive(Default)]
struct Sums {
    /// The loss, what it counts, targets, and the bytes that these stand for.
    numbers: [f64; 4],
    metrics: Metrics,
}

impl Sums {
    async fn add(
        &mut self,
        model: &Transformer,
        objective: &dyn Objective,
        batch: &Batch,
        tokenizer: &Tokenizer,
    ) -> Result<()> {
        let loss = objective.loss(model, batch);
        let nll = f64::from(read(loss.sum).await?.first().copied().unwrap_or(0.0));
        self.metrics.add(loss.metrics).await?;
        let targets = batch.targets_counted() as f64;
        let more = [nll, objective.weight(batch), targets, weighed_bytes(batch, tokenizer)];
        self.numbers.iter_mut().zip(more).for_each(|(sum, more)| *sum += more);
        Ok(())
    }

    /// Those of all ranks.
    fn over(self, ranks: &dyn Ranks) -> Result<Self> {
        let own: ([u64; 4], MetricsTold) = (self.numbers.map(f64::to_bits), self.metrics.told());
        let mut sums = Self::default();
        for (numbers, metrics) in gather_told(ranks, &own)? {
            sums.numbers.iter_mut().zip(numbers).for_each(|(sum, bits)| *sum += f64::from_bits(bits));
            sums.metrics.hear(metrics);
        }
        Ok(sums)
    }
}

/// Bytes that the targets stand for, each as often as it counts. Where tokens are hidden, those of all that may be, so that
/// it does not depend on which are.
fn weighed_bytes(batch: &Batch, tokenizer: &Tokenizer) -> f64 {
    let bytes = |id: u32| tokenizer.token_bytes(id).len() as f64;
    let Some(noised) = &batch.noised else {
        let counted = batch.targets.iter().zip(&batch.weights).filter(|(_, weight)| **weight != 0.0);
        return counted.map(|(&id, &weight)| bytes(id) * f64::from(weight)).sum();
    };
    let seq = batch.seq.max(1);
    let rows = noised.clean.chunks(seq).zip(noised.probabilities.chunks(seq)).zip(&noised.counts);
    let row = |((clean, probabilities), &count): ((&[u32], &[f32]), &f32)| {
        let may = clean.iter().zip(probabilities).filter(|(_, probability)| **probability > 0.0);
        let (tokens, all) = may.fold((0.0, 0.0), |(tokens, all), (&id, _)| (tokens + 1.0, all + bytes(id)));
        if tokens > 0.0 { f64::from(count) * all / tokens } else { 0.0 }
    };
    rows.map(row).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::Noised;
    use crate::sample::fake::letters;

    #[test]
    fn bytes_are_those_of_all_that_may_be_hidden_whatever_is() {
        let mut batch = Batch { batch: 2, ..Batch::new(3) };
        // Letters have one byte each.
        batch.targets = vec![1, 2, 3, 4, 5, 6];
        batch.weights = vec![0.0, 2.0, 0.5, 0.0, 0.0, 0.0];
        assert_eq!(weighed_bytes(&batch, &letters(None)), 2.5);
        let probabilities = vec![0.0, 0.5, 0.5, 0.25, 0.25, 0.25];
        for counts in [[2.0, 3.0], [1.0, 0.5]] {
            let noised = Noised {
                clean: batch.targets.clone(),
                probabilities: probabilities.clone(),
                counts: counts.to_vec(),
            };
            let batch = Batch { noised: Some(noised), ..batch.clone() };
            assert_eq!(weighed_bytes(&batch, &letters(None)), f64::from(counts[0] + counts[1]));
        }
        let none = Noised { clean: vec![1, 2, 3], probabilities: vec![0.0; 3], counts: vec![1.0] };
        let none = Batch { batch: 1, noised: Some(none), ..Batch::new(3) };
        assert_eq!(weighed_bytes(&none, &letters(None)), 0.0);
    }
}
