//! What nodes, wallets and relays may answer, read by the adapter that the first byte chooses: `octroi_lightning::invariants::any_answer`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| octroi_lightning::invariants::any_answer(data));
