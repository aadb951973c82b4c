//! Single-file checkpoints, whole or as a header and data.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| drop(targets::safetensors(bytes)));
