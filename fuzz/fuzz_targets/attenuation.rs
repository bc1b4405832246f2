//! What holders append to tokens: `octroi_l402::invariants::attenuation`.
#![no_main]

libfuzzer_sys::fuzz_target!(|text: &str| octroi_l402::invariants::attenuation(text));
