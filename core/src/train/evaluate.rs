//! The held-out loss, and bits per byte, which compares models with different tokenizers.

use burn::module::Module;
use serde::Serialize;

use super::Objective;
use crate::batch::Loader;
use crate::error::Result;
use crate::model::{Transformer, read};
use crate::tokenizer::Tokenizer;

/// A measurement on rows that are never trained on.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct HeldOut {
    /// Mean loss a target, in nats.
    pub loss: f64,
    /// Loss in bits, divided by the bytes that the targets stand for.
    pub bits_per_byte: f64,
    /// Targets measured.
    pub targets: u64,
}

/// Measures `objective` on everything that `loader` gives (a loader that ends).
///
/// # Errors
/// Data or the device cannot be read.
pub async fn evaluate(
    model: &Transformer,
    objective: &impl Objective,
    loader: &mut Loader,
    tokenizer: &Tokenizer,
) -> Result<HeldOut> {
    let model = model.valid();
    let (mut nll, mut targets, mut bytes) = (0.0, 0u64, 0u64);
    while let Some(batch) = loader.next_batch()? {
        let loss = objective.loss(&model, &batch);
        nll += f64::from(read(loss.sum).await?.first().copied().unwrap_or(0.0));
        targets += loss.weight as u64;
        let counted = batch.targets.iter().zip(&batch.mask).filter(|(_, counts)| **counts);
        bytes += counted.map(|(&id, _)| tokenizer.token_bytes(id).len() as u64).sum::<u64>();
    }
    Ok(HeldOut {
        loss: nll / targets.max(1) as f64,
        bits_per_byte: nll / std::f64::consts::LN_2 / bytes.max(1) as f64,
        targets,
    })
}
