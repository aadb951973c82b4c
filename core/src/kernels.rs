//! Operations with a backward pass of their own (`core/kernels/src/lib.rs`). They are a crate of their own, because the page
//! builds them for speed, and the rest of the library for size.

pub(crate) use kindling_kernels::{
    ATTENTION_ROWS, AdamWState, AdamWStep, adamw, among_threads, apart, few_rows, few_rows_transposed,
    for_each_chunk, host_values, in_dtype, multiply, multiply_transposed, scaled, sum_of_squares,
};
pub use kindling_kernels::{
    Activations, Angles, AttentionBlocks, AttentionMask, BLOCK, Divergence, ExpertRows, IGNORED,
    Quantization, QuantizedMatrix, attend_in_blocks, attend_last, attend_rows, beside_teacher, encode_q4_0,
    encode_q8_0, grouped_sums, masked_softmax, rms_norm, rotate, swiglu, take_rows, token_log_probs,
    weigh_rows, weighted_sum,
};
