//! What is known of an optimizer step before it is divided.

use crate::batch::Batch;

/// What all batches of a step hold together.
#[derive(Clone, Copy, Debug, Default)]
pub struct StepTotals {
    /// What they weigh: their summed losses are divided by it.
    pub weight: f64,
    /// Their tokens, padding aside.
    pub tokens: f64,
    /// Their examples: several a row where rows are packed.
    pub sequences: f64,
}

impl StepTotals {
    /// Of batches that weigh so much together; nothing that is divided by is 0.
    pub fn of(weight: f64, batches: &[Batch]) -> Self {
        let tokens: usize = batches.iter().map(Batch::tokens).sum();
        let sequences: usize = batches.iter().map(|batch| batch.sequences().len()).sum();
        Self {
            weight: if weight > 0.0 { weight } else { 1.0 },
            tokens: tokens.max(1) as f64,
            sequences: sequences.max(1) as f64,
        }
    }
}
