#![no_main]
#[path = "../promise.rs"]
mod promise;

libfuzzer_sys::fuzz_target!(|file: &[u8]| promise::hold("chapters-xml", file));
