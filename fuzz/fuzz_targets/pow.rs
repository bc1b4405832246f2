//! Solutions in header values and JSON: `octroi_pow::invariants::submission`.
#![no_main]

libfuzzer_sys::fuzz_target!(|text: &str| octroi_pow::invariants::submission(text));
