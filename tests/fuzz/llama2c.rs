//! The models and vocabularies of llama2.c.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| drop(targets::llama2c(bytes)));
