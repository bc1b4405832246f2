//! Prices that follow from arguments: `octroi_gate::invariants::formula`. The formula, a line end, the arguments.
#![no_main]

libfuzzer_sys::fuzz_target!(|text: &str| octroi_gate::invariants::formula(text));
