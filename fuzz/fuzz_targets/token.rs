//! Access tokens, their claims by every preset, key sets and proofs of possession: `octroi_identity::invariants`.
#![no_main]

libfuzzer_sys::fuzz_target!(|text: &str| {
    octroi_identity::invariants::token(text);
    octroi_identity::invariants::proof(text);
});
