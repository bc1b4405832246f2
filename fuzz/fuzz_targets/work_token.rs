//! Access tokens for work: `octroi_gate::invariants::work_token`.
#![no_main]

libfuzzer_sys::fuzz_target!(|text: &str| octroi_gate::invariants::work_token(text));
