//! What an agent reads of servers that it does not trust: `octroi_agent::invariants::answer`. A digit for the status, the
//! challenges (one a line), an empty line, the body.
#![no_main]

const STATUSES: [u16; 5] = [402, 200, 401, 403, 503];

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let Some((digit, rest)) = data.split_first() else { return };
    let status = STATUSES[usize::from(*digit) % STATUSES.len()];
    let end = rest.windows(2).position(|pair| pair == b"\n\n").unwrap_or(rest.len());
    let (challenges, body) = rest.split_at(end);
    let Ok(challenges) = std::str::from_utf8(challenges) else { return };
    octroi_agent::invariants::answer(status, challenges.trim_start(), body.trim_ascii_start());
});
