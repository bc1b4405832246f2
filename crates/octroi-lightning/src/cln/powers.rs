//! What a rune of Core Lightning allows. It stands in the rune itself, so nobody is asked: 32 bytes of authentication, then
//! restrictions. All of them (`&`) must be met, each by one of its alternatives (`|`): a field, a comparison, a value.

use base64::Engine;
use base64::alphabet::URL_SAFE;
use base64::engine::GeneralPurpose;
use base64::engine::general_purpose::GeneralPurposeConfig;

use crate::powers::{Power, Powers};

/// Runes are written with and without padding.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &URL_SAFE,
    GeneralPurposeConfig::new().with_decode_padding_mode(base64::engine::DecodePaddingMode::Indifferent),
);

/// Bytes of authentication at the head.
const HEAD: usize = 32;

/// What the gate calls to sell, to look, and what spends.
const RECEIVE: [&str; 3] = ["invoice", "listinvoices", "waitanyinvoice"];
const LOOK: [&str; 2] = ["getinfo", "listpeerchannels"];
const SPEND: [&str; 6] = ["xpay", "pay", "sendpay", "withdraw", "keysend", "createrune"];

pub(super) fn of(rune: &str) -> Powers {
    let Some(restrictions) = restrictions(rune) else { return Powers::UNKNOWN };
    let may = |method: &&str| allows(&restrictions, method);
    Powers {
        receive: Power::all(RECEIVE.iter().map(may)),
        look: Power::all(LOOK.iter().map(may)),
        spend: Power::any(SPEND.iter().map(may)),
    }
}

fn restrictions(rune: &str) -> Option<String> {
    let bytes = BASE64.decode(rune.trim()).ok()?;
    String::from_utf8(bytes.get(HEAD..)?.to_vec()).ok()
}

fn allows(restrictions: &str, method: &str) -> Power {
    let alternatives = |restriction: &str| Power::any(split(restriction, '|').map(|one| meets(&one, method)));
    Power::all(split(restrictions, '&').filter(|one| !one.is_empty()).map(|one| alternatives(&one)))
}

/// Parts between separators; a backslash takes the next character literally, and stays for the next reading.
fn split(text: &str, separator: char) -> impl Iterator<Item = String> + use<> {
    let mut parts = vec![String::new()];
    let mut literal = false;
    for character in text.chars() {
        if character == separator && !literal {
            parts.push(String::new());
            continue;
        }
        literal = character == '\\' && !literal;
        if let Some(part) = parts.last_mut() {
            part.push(character);
        }
    }
    parts.into_iter()
}

/// Whether one alternative is met by a call of `method`.
fn meets(alternative: &str, method: &str) -> Power {
    let place = alternative.find(|c: char| c.is_ascii_punctuation() && c != '_');
    let Some(place) = place else { return Power::Unknown };
    let (field, rest) = alternative.split_at(place);
    let mut rest = rest.chars();
    let Some(comparison) = rest.next() else { return Power::Unknown };
    let value = rest.as_str().replace('\\', "");
    match (field, comparison) {
        // The rune's own number, and remarks.
        ("", '=') | (_, '#') => Power::Allowed,
        ("method", '=') => Power::from_bool(method == value),
        ("method", '/') => Power::from_bool(method != value),
        ("method", '^') => Power::from_bool(method.starts_with(&value)),
        ("method", '$') => Power::from_bool(method.ends_with(&value)),
        ("method", '~') => Power::from_bool(method.contains(&value)),
        ("method", '!') => Power::Refused,
        // Times, rates, parameters: as it comes.
        _ => Power::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use base64::engine::general_purpose::URL_SAFE as PADDED;
    use proptest::prelude::*;

    use super::*;

    fn rune(restrictions: &str) -> String {
        let mut bytes = vec![7; HEAD];
        bytes.extend_from_slice(restrictions.as_bytes());
        PADDED.encode(bytes)
    }

    #[test]
    fn what_lightningd_makes_is_read() {
        let methods = "method=invoice|method=listinvoices|method=waitanyinvoice|method=delinvoice|method=getinfo|method=listpeerchannels|method=listfunds";
        let least = Powers { receive: Power::Allowed, look: Power::Allowed, spend: Power::Refused };
        assert_eq!(of(&rune(&format!("=3&{methods}"))), least);
        assert_eq!(of(rune(methods).trim_end_matches('=')), least, "without padding, and without a number");
        assert_eq!(of(&rune("=0")), Powers::ALL, "without restrictions");
        assert_eq!(of(&rune("")), Powers::ALL);
        let readonly = "=1&method^list|method^get|method=summary&method/listdatastore";
        let expected = Powers { receive: Power::Refused, look: Power::Allowed, spend: Power::Refused };
        assert_eq!(of(&rune(readonly)), expected);
        let limited = of(&rune(&format!("{methods}&rate=60")));
        assert_eq!((limited.receive, limited.spend), (Power::Unknown, Power::Refused));
        assert_eq!(of(&rune("method/withdraw")).spend, Power::Allowed);
        assert_eq!(of(&rune("method=in\\voice|method=a\\|b")).receive, Power::Refused);
        for no_rune in ["", "x", "!!", "AAAA"] {
            assert_eq!(of(no_rune), Powers::UNKNOWN);
        }
    }

    proptest! {
        #[test]
        fn no_rune_is_too_strange(text in "\\PC{0,100}", restrictions in "[a-z=/|&\\\\!#0-9]{0,60}") {
            let _ = of(&text);
            let _ = of(&rune(&restrictions));
        }
    }
}
