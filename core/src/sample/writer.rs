//! A checkpoint that writes, whatever it predicts: the next token, or those that are masked.

use super::{
    Autoregressive, Decoder, Flow, Generation, GenerationRequest, MaskedDecoder, Written, generate_pieces,
};
use crate::error::{Error, Result};
use crate::model::Transformer;
use crate::told::told;

/// Writes with whatever the checkpoint is.
pub enum Writer<C = Decoder> {
    /// Token by token, from left to right.
    Causal(C),
    /// Step by step, wherever a mask stands.
    Masked(Box<MaskedDecoder>),
}

impl Writer {
    /// A writer for at most `context` positions (no more than the model holds), prompt and answer together.
    pub fn new(model: &Transformer, context: usize) -> Self {
        match &model.config().diffusion {
            None => Self::Causal(Decoder::new(model, context)),
            Some(diffusion) => Self::Masked(Box::new(MaskedDecoder::new(model, diffusion, context))),
        }
    }
}

impl<C: Autoregressive> Writer<C> {
    /// Most positions that it holds.
    pub fn context(&self) -> usize {
        match self {
            Self::Causal(decoder) => decoder.context(),
            Self::Masked(decoder) => decoder.context(),
        }
    }

    /// How many of the first ids of the last prompt and answer need not be read again: see [`GenerationRequest::reuse`]. What
    /// a model in few bits wrote less exactly than it reads is read again, as [`super::Batcher`] does.
    pub fn position(&self) -> usize {
        match self {
            Self::Causal(decoder) => decoder.reusable(),
            Self::Masked(decoder) => decoder.position(),
        }
    }

    /// The most new tokens that there is room for behind the request's prompt, where that is less than it asks for: the last
    /// token of a causal model needs no position of its own, that of a masked predictor does.
    pub fn bound_by(&self, request: &GenerationRequest) -> Option<usize> {
        match self {
            Self::Causal(decoder) => request.bound_by(decoder.context()),
            Self::Masked(decoder) => request.masked_bound_by(decoder.context()),
        }
    }

    /// Continues `request.prompt` and tells `on` what is written, as it comes; it may end it.
    ///
    /// # Errors
    /// Settings that do not hold or are not for this kind of model, an empty prompt, one that leaves no room for an answer,
    /// a device that cannot be read.
    pub async fn write(
        &mut self,
        request: &GenerationRequest<'_>,
        on: &mut dyn FnMut(Written) -> Flow,
    ) -> Result<Generation> {
        match self {
            Self::Causal(decoder) => {
                generate_pieces(decoder, request, &mut |piece| on(Written::Piece(piece))).await
            }
            Self::Masked(decoder) => decoder.write(request, on).await,
        }
    }

    /// Fills the masks that stand among the ids of `request.prompt`; what is given stays, and is seen on both sides. The
    /// generation's tokens and text are the whole canvas.
    ///
    /// # Errors
    /// As [`Writer::write`]; a model that does not see both sides, a canvas without a mask.
    pub async fn infill(
        &mut self,
        request: &GenerationRequest<'_>,
        on: &mut dyn FnMut(Written) -> Flow,
    ) -> Result<Generation> {
        match self {
            Self::Masked(decoder) => decoder.infill(request, on).await,
            Self::Causal(_) => Err(Error::Model(told!(
                "infill.causal",
                "this model writes from left to right and sees nothing behind a hole; infilling needs a model that \
                 predicts masked tokens: `kindling convert --to diffusion` makes one, which is then trained"
            ))),
        }
    }
}
