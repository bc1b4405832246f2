//! No text makes the reader panic, and every refusal has a place.

use proptest::prelude::*;

use super::*;

fn format() -> impl Strategy<Value = Format> {
    prop_oneof![Just(Format::Toml), Just(Format::Yaml), Just(Format::Json)]
}

/// Pieces that meet in real files, so that random mixtures get past the syntax now and then.
const PIECES: &[&str] = &[
    "\n",
    " ",
    "  ",
    "=",
    ": ",
    ",",
    "[",
    "]",
    "{",
    "}",
    "\"",
    "'",
    "[[",
    "]]",
    "- ",
    "&a ",
    "*a",
    "<<: ",
    "|\n",
    "#",
    "listen",
    "mcp_server",
    "mcp_servers",
    "auth",
    "payment",
    "pricing",
    "tools",
    "name",
    "sats",
    "upstream",
    "true",
    "-1",
    "1e9",
    "99999999999999999999",
    "null",
    "\"a\"",
    "\"env:X\"",
    "\"file:/x\"",
    "2020-01-01",
    "!!binary",
    "\\u0000",
    "\u{1F600}",
    "\r\n",
    "\t",
    "---",
    "...",
    "\"/m\"",
    "rate_limit",
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn any_text_is_read_or_refused(text in any::<String>(), format in format()) {
        invariants::config(&text, format);
    }

    #[test]
    fn any_mixture_of_pieces_is_read_or_refused(
        pieces in proptest::collection::vec(proptest::sample::select(PIECES), 0..40),
        format in format(),
    ) {
        invariants::config(&pieces.concat(), format);
    }

    #[test]
    fn a_file_with_a_piece_cut_out_and_another_put_in_is_read_or_refused(
        from in 0usize..1200, length in 0usize..40, piece in proptest::sample::select(PIECES), format in format(),
    ) {
        let text = match format {
            Format::Toml => MINIMAL_TOML,
            Format::Yaml => MINIMAL_YAML,
            Format::Json => MINIMAL_JSON,
        };
        let boundary = |at: usize| (0..=at.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
        let (start, end) = (boundary(from), boundary(from + length));
        invariants::config(&format!("{}{piece}{}", &text[..start], &text[end..]), format);
    }

    #[test]
    fn any_override_is_taken_or_refused(set in any::<String>(), path in "[a-z_.0-9\"]{0,30}", value in any::<String>()) {
        for set in [set, format!("{path}={value}")] {
            let _ = toml_with(MINIMAL_TOML, &[&set]);
        }
    }
}

#[test]
fn a_file_too_long_is_refused_before_it_is_read() {
    let text = format!("{MINIMAL_TOML}\n#{}", "x".repeat(1 << 20));
    let shown = toml(&text).unwrap_err().to_string();
    assert!(shown.contains("longer than"), "{shown}");
}
