//! PyTorch files, whole or as the pickle in them.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| drop(targets::pickle(bytes)));
