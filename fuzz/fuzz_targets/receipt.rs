//! Receipts and the keys they are signed with: `octroi_l402::invariants::receipt`.
#![no_main]

libfuzzer_sys::fuzz_target!(|text: &str| octroi_l402::invariants::receipt(text));
