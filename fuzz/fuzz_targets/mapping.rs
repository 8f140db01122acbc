#![no_main]

libfuzzer_sys::fuzz_target!(|text: &str| bcce_fuzz::mapping(text));
