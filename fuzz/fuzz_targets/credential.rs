//! Credentials and challenges in header values: `octroi_l402::invariants::credential`.
#![no_main]

libfuzzer_sys::fuzz_target!(|text: &str| octroi_l402::invariants::credential(text));
