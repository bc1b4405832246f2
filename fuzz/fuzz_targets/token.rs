//! Access tokens, their claims and key sets: `octroi_identity::invariants::token`.
#![no_main]

libfuzzer_sys::fuzz_target!(|text: &str| octroi_identity::invariants::token(text));
