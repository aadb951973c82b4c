//! Operations with a backward pass of their own: on the processor one pass over plain slices each, elsewhere
//! the same formula out of the backend's operations.
//!
//! The slice code uses one exponential and fixed orders of summation, so that it gives the same bits on every
//! processor and in the browser.

mod cross_entropy;
mod host;
mod mask;
mod rms_norm;
mod rope;
mod slices;
mod softmax;
mod swiglu;

pub use cross_entropy::cross_entropy;
pub use mask::AttentionMask;
pub use rms_norm::rms_norm;
pub use rope::{Angles, rotate};
pub use softmax::masked_softmax;
pub use swiglu::swiglu;
