//! GGUF files.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| drop(targets::gguf(bytes)));
