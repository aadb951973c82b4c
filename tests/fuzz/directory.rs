//! The texts of a checkpoint directory.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| drop(targets::directory(bytes)));
