//! Binary macaroons, V1 and V2: `octroi_l402::invariants::macaroon`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| octroi_l402::invariants::macaroon(bytes));
