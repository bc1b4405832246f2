//! Every carrier of a credential at once: `octroi_gate::invariants::credentials`. Headers, an empty line, the body.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let end = data.windows(2).position(|pair| pair == b"\n\n").unwrap_or(data.len());
    let (headers, body) = data.split_at(end);
    let Ok(headers) = std::str::from_utf8(headers) else { return };
    octroi_gate::invariants::credentials(headers, body.trim_ascii_start());
});
