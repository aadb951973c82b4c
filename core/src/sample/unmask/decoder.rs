//! A masked predictor that writes.

use super::Written;
use crate::error::{Error, Result};
use crate::model::Transformer;
use crate::sample::generate::{Flow, Generation};
use crate::sample::request::GenerationRequest;

/// A masked predictor with what it remembers of a conversation.
pub struct MaskedDecoder {
    context: usize,
}

impl MaskedDecoder {
    /// A decoder for at most `context` positions (no more than the model holds).
    pub fn new(model: &Transformer, context: usize) -> Self {
        Self { context: context.min(model.config().context()) }
    }

    /// Most positions of prompt and answer together.
    pub fn context(&self) -> usize {
        self.context
    }

    /// How many of the first ids of the last prompt and answer need not be read again.
    pub fn position(&self) -> usize {
        0
    }

    /// See [`crate::sample::Writer::write`].
    pub async fn write(
        &mut self,
        _request: &GenerationRequest<'_>,
        _on: &mut dyn FnMut(Written) -> Flow,
    ) -> Result<Generation> {
        Err(Error::Model("masked predictors do not write yet".into()))
    }

    /// See [`crate::sample::Writer::infill`].
    pub async fn infill(
        &mut self,
        _request: &GenerationRequest<'_>,
        _on: &mut dyn FnMut(Written) -> Flow,
    ) -> Result<Generation> {
        Err(Error::Model("masked predictors do not write yet".into()))
    }
}
