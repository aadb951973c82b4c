//! Modules that an adapter trains whole and puts in the place of the base's (PEFT's `modules_to_save`).

use burn::module::{Module, Param};
use burn::tensor::Tensor;

/// The two ends of a model, where an adapter has its own. As in PEFT a table of token vectors that is the output
/// projection, too, is replaced at one end only: each end has its own then.
#[derive(Module, Debug, Default)]
pub(crate) struct Saved {
    /// Token vectors, `[vocab, hidden]`.
    pub(crate) embed_tokens: Option<Param<Tensor<2>>>,
    /// The output projection, `[hidden, vocab]`.
    pub(crate) lm_head: Option<Param<Tensor<2>>>,
}
