//! Configuration files in the three formats: `octroi::config::invariants::config`. The first byte says which.
#![no_main]

use octroi::config::Format;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let Some((first, text)) = data.split_first() else { return };
    let Ok(text) = std::str::from_utf8(text) else { return };
    let format = match first {
        b't' => Format::Toml,
        b'y' => Format::Yaml,
        _ => Format::Json,
    };
    octroi::config::invariants::config(text, format);
});
