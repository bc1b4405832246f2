//! Solutions in header values and JSON, of every kind of puzzle: `octroi_pow::invariants::submission` and `nonce`.
#![no_main]

libfuzzer_sys::fuzz_target!(|text: &str| {
    octroi_pow::invariants::submission(text);
    octroi_pow::invariants::nonce(text);
});
