//! Request bodies, upstream replies and tool lists: `octroi_mcp::invariants::envelope`.
#![no_main]

libfuzzer_sys::fuzz_target!(|body: &[u8]| octroi_mcp::invariants::envelope(body));
