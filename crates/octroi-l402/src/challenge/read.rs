//! Reading `WWW-Authenticate` (RFC 9110 §11.6.1) as servers write it.

use super::{ChallengeError, MAX_HEADER, Offer, Scheme};

/// One comma-separated element: perhaps the name of a scheme that opens here, perhaps a parameter.
struct Element<'a> {
    scheme: Option<&'a str>,
    parameter: Option<(&'a str, String)>,
}

#[derive(Default)]
struct Found {
    scheme: Option<Scheme>,
    macaroon: Option<String>,
    token: Option<String>,
    invoice: Option<String>,
}

pub(super) fn first_offer(header: &str) -> Result<Offer, ChallengeError> {
    if header.len() > MAX_HEADER {
        return Err(ChallengeError::TooLong);
    }
    let mut refusal = ChallengeError::None;
    let mut found = Found::default();
    let mut rest = header;
    loop {
        let element = next_element(&mut rest);
        if element.as_ref().is_none_or(|element| element.scheme.is_some()) {
            match std::mem::take(&mut found).into_offer() {
                Ok(offer) => return Ok(offer),
                Err(ChallengeError::None) => {}
                Err(other) => refusal = other,
            }
        }
        let Some(element) = element else { return Err(refusal) };
        if let Some(scheme) = element.scheme {
            found.scheme = known_scheme(scheme);
        }
        if let Some((name, value)) = element.parameter {
            found.note(name, value);
        }
    }
}

impl Found {
    /// The first of several parameters with one name counts.
    fn note(&mut self, name: &str, value: String) {
        let slot = if name.eq_ignore_ascii_case("macaroon") {
            &mut self.macaroon
        } else if name.eq_ignore_ascii_case("token") {
            &mut self.token
        } else if name.eq_ignore_ascii_case("invoice") {
            &mut self.invoice
        } else {
            return;
        };
        slot.get_or_insert(value);
    }

    fn into_offer(self) -> Result<Offer, ChallengeError> {
        let scheme = self.scheme.ok_or(ChallengeError::None)?;
        let token = self.token.or(self.macaroon).filter(|token| !token.is_empty());
        let token = token.ok_or(ChallengeError::Lacks("token"))?;
        let invoice = self.invoice.filter(|invoice| !invoice.is_empty());
        let invoice = invoice.ok_or(ChallengeError::Lacks("invoice"))?;
        Ok(Offer { scheme, token, invoice })
    }
}

fn known_scheme(name: &str) -> Option<Scheme> {
    [Scheme::L402, Scheme::Lsat].into_iter().find(|scheme| scheme.name().eq_ignore_ascii_case(name))
}

fn is_separator(c: char) -> bool {
    c == ',' || c.is_ascii_whitespace()
}

fn is_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c)
}

/// Takes the next element off the front; `None` at the end. Always takes at least one character.
fn next_element<'a>(rest: &mut &'a str) -> Option<Element<'a>> {
    let text = rest.trim_start_matches(is_separator);
    let first = text.chars().next()?;
    let name_len = text.find(|c| !is_name(c)).unwrap_or(text.len());
    if name_len == 0 {
        // Not a name: something no grammar knows, such as a token68 with a slash in front.
        *rest = &text[first.len_utf8()..];
        return Some(Element { scheme: None, parameter: None });
    }
    let (name, after) = text.split_at(name_len);
    let behind_space = after.trim_start_matches(|c: char| c.is_ascii_whitespace());
    if let Some(value) = behind_space.strip_prefix('=') {
        *rest = value.trim_start_matches(|c: char| c.is_ascii_whitespace());
        return Some(Element { scheme: None, parameter: Some((name, take_value(rest))) });
    }
    *rest = after;
    Some(Element { scheme: Some(name), parameter: None })
}

/// Takes a value in double or single quotes, or bare up to the next comma or white space.
fn take_value(rest: &mut &str) -> String {
    let text = *rest;
    let Some(quote @ ('"' | '\'')) = text.chars().next() else {
        let (value, after) = text.split_at(text.find(is_separator).unwrap_or(text.len()));
        *rest = after;
        return value.to_owned();
    };
    let mut value = String::new();
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        if escaped {
            escaped = false;
            value.push(c);
        } else if c == '\\' {
            escaped = true;
        } else if c == quote {
            *rest = &text[at + c.len_utf8()..];
            return value;
        } else {
            value.push(c);
        }
    }
    // The quote was never closed: what there is counts, and nothing is left.
    *rest = "";
    value
}
