//! Event streams, cut by the size in the first byte: `octroi_mcp::invariants::sse`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| octroi_mcp::invariants::sse(input));
