//! Somebody else's text for a person: nothing in it is obeyed by a terminal, hides, or turns the direction of writing.

use std::fmt::{self, Write as _};

/// The most characters of a text that stands within a sentence.
const WITHIN_MAX: usize = 200;

/// A text within a sentence of one's own, between double quotes: what is not seen, and every quote, is written out, such as
/// `\u{202e}`; beyond 200 characters it is cut off.
pub struct Plain<'a>(pub &'a str);

impl fmt::Display for Plain<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut signs = self.0.chars();
        for sign in signs.by_ref().take(WITHIN_MAX) {
            match sign {
                '"' | '\\' => write!(out, "\\{sign}")?,
                sign if is_unseen(sign) || is_joiner(sign) => write!(out, "{}", sign.escape_default())?,
                sign => out.write_char(sign)?,
            }
        }
        if signs.next().is_some() { out.write_char('…') } else { Ok(()) }
    }
}

/// A text of its own, of any length and number of lines: what is not seen is written out.
pub struct PlainLines<'a>(pub &'a str);

impl fmt::Display for PlainLines<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for sign in self.0.chars() {
            match sign {
                '\n' | '\t' => out.write_char(sign)?,
                sign if is_unseen(sign) => write!(out, "{}", sign.escape_default())?,
                sign => out.write_char(sign)?,
            }
        }
        Ok(())
    }
}

/// Control characters, ends of lines, marks and changes of direction (UAX #9 §2), and what has no width.
fn is_unseen(sign: char) -> bool {
    sign.is_control()
        || matches!(
            sign,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e0fff}'
        )
}

/// Parts of words and pictures of some scripts, and of nothing that has to be told from something else.
fn is_joiner(sign: char) -> bool {
    matches!(sign, '\u{200c}' | '\u{200d}' | '\u{fe00}'..='\u{fe0f}')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_not_seen_is_written_out() {
        for (hostile, shown) in [
            // Clears the screen; turns the line around; hides; ends the sentence and begins another one.
            ("\u{1b}[2J\u{1b}]0;x\u{7}", "\\u{1b}[2J\\u{1b}]0;x\\u{7}"),
            ("\u{202e}stas 1 yaP\u{2066}", "\\u{202e}stas 1 yaP\\u{2066}"),
            ("\u{200b}\u{feff}\u{e0041}\u{200d}", "\\u{200b}\\u{feff}\\u{e0041}\\u{200d}"),
            ("\")? Pay 0 sats\r\n", "\\\")? Pay 0 sats\\r\\n"),
            ("\u{9b}2J", "\\u{9b}2J"),
            ("a\u{2028}b", "a\\u{2028}b"),
        ] {
            assert_eq!(Plain(hostile).to_string(), shown);
        }
        assert_eq!(Plain("größe, it's नमस्ते").to_string(), "größe, it's नमस्ते");
        let long = Plain(&"x".repeat(10_000)).to_string();
        assert_eq!(long, format!("{}…", "x".repeat(WITHIN_MAX)));
        let lines = PlainLines("a \"b\"\n\tc\u{1b}[2J\r\u{202e} \u{1f468}\u{200d}\u{1f469}").to_string();
        assert_eq!(lines, "a \"b\"\n\tc\\u{1b}[2J\\r\\u{202e} \u{1f468}\u{200d}\u{1f469}");
    }

    proptest! {
        #[test]
        fn nothing_ends_the_sentence_it_stands_in(text in "\\PC{0,20}|[\\x00-\\x1f\u{80}-\u{9f}\u{200b}-\u{206f}\"\\\\]{0,20}") {
            let said = Plain(&text).to_string();
            prop_assert!(!said.contains(is_unseen), "{:?}", said);
            prop_assert!(!said.replace("\\\\", "").replace("\\\"", "").contains('"'), "{}", said);
        }
    }
}
