//! A run at one step, on the host: enough to go on bit for bit.

use serde::{Deserialize, Serialize};

use super::TrainConfig;
use crate::adapter::AdapterConfig;
use crate::batch::LoaderState;
use crate::error::Result;
use crate::model::{ModelConfig, NamedTensor, Transformer};
use crate::optim::AdamW;

/// Where a run stands, apart from its tensors.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Progress {
    /// Optimizer steps taken.
    pub step: u64,
    /// Optimizer steps planned.
    pub total_steps: u64,
    /// Tokens read, padding aside.
    pub tokens: u64,
    /// Rows that the data had.
    pub rows: u64,
    /// Position in the data.
    pub loader: LoaderState,
    /// Best held-out loss so far.
    pub best_loss: Option<f64>,
    /// Running mean of the loss, against which a spike is judged.
    pub mean_loss: Option<f64>,
    /// The settings of the run.
    pub config: TrainConfig,
}

/// Trained weights, optimizer state and progress.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// The model's shape.
    pub model: ModelConfig,
    /// The adapter that trains; `None` where the whole model does.
    pub adapter: Option<AdapterConfig>,
    /// What trains: the model's weights, or the adapter's.
    pub weights: Vec<NamedTensor>,
    /// The optimizer's moments.
    pub optimizer: Vec<NamedTensor>,
    /// Where the run stands.
    pub progress: Progress,
}

impl Snapshot {
    /// Reads a run back from the device.
    ///
    /// # Errors
    /// The device cannot be read.
    pub async fn capture(
        model: &Transformer,
        adapter: Option<&AdapterConfig>,
        optimizer: &AdamW,
        progress: &Progress,
    ) -> Result<Self> {
        let weights = match adapter {
            Some(_) => model.adapter_weights().await?,
            None => model.weights().await?,
        };
        let optimizer = optimizer.state(&weights).await?;
        let (model, adapter, progress) = (model.config().clone(), adapter.cloned(), progress.clone());
        Ok(Self { model, adapter, weights, optimizer, progress })
    }
}
