//! Operations with a backward pass of their own: on the processor one pass over plain slices each, elsewhere
//! the same formula out of the backend's operations.
//!
//! The slice code uses one exponential and fixed orders of summation, so that it gives the same bits on every
//! processor and in the browser.
#![recursion_limit = "256"]

mod activations;
mod attend_last;
mod attention;
mod attention_rows;
mod block_matrix;
mod blocks;
mod chunks;
mod dense;
mod divergence;
mod dots;
mod encoded;
mod expert_rows;
mod few_rows;
mod grouped_sums;
mod host;
mod log_probs;
mod mask;
mod matrix;
mod optimizer;
mod panels;
mod quantized;
mod rms_norm;
mod rope;
mod slices;
mod softmax;
mod swiglu;
mod tiles;
mod uploaded;
mod weighted_sum;

pub use activations::Activations;
pub use attend_last::attend_last;
pub use attention::{AttentionBlocks, attend_in_blocks};
pub use attention_rows::{ATTENTION_ROWS, attend_rows};
pub use blocks::{BLOCK, Quantization, encode_q4_0, encode_q8_0};
pub use chunks::{among_threads, for_each_chunk};
pub use dense::{multiply, multiply_transposed};
pub use divergence::{Divergence, apart, beside_teacher};
pub use expert_rows::{ExpertRows, take_rows, weigh_rows};
pub use few_rows::{few_rows, few_rows_transposed};
pub use grouped_sums::grouped_sums;
pub use host::host_values;
pub use log_probs::{IGNORED, token_log_probs};
pub use mask::AttentionMask;
pub use optimizer::{AdamWState, AdamWStep, adamw, scaled, sum_of_squares};
pub use quantized::QuantizedMatrix;
pub use rms_norm::rms_norm;
pub use rope::{Angles, rotate};
pub use softmax::masked_softmax;
pub use swiglu::swiglu;
pub use weighted_sum::weighted_sum;

use burn::tensor::{DType, Device, Tensor};

/// Master weights stay f32; products run in the activations' dtype.
pub fn in_dtype<const D: usize>(tensor: Tensor<D>, dtype: DType) -> Tensor<D> {
    if tensor.dtype() == dtype { tensor } else { tensor.cast(dtype) }
}

/// Whether tensors of this device are computed by the processor's own code.
pub fn is_processor(device: &Device) -> bool {
    device.clone().inner() == Device::flex()
}
