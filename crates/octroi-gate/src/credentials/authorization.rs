//! `Authorization` values: one credential (RFC 9110 §11.6.2), or several joined by commas.
//!
//! RFC 9110 allows one credential per value. Callers with two proofs and one header nevertheless send
//! `Bearer <jwt>, L402 <macaroon>:<preimage>`, and neither part can hold a comma followed by a known scheme, so the joined form
//! can be told apart safely.

/// A scheme this gate reads. Everything else is ignored (and never forwarded).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scheme {
    /// RFC 6750.
    Bearer,
    /// RFC 9449.
    Dpop,
    /// L402, or its older name LSAT.
    L402,
    /// The identity part of `X-MCP-Auth-Composite`.
    Identity,
    /// The payment part of `X-MCP-Auth-Composite`.
    Payment,
}

impl Scheme {
    /// Scheme names are compared without case (RFC 9110 §11.1).
    fn parse(name: &str) -> Option<Self> {
        [
            ("bearer", Self::Bearer),
            ("dpop", Self::Dpop),
            ("l402", Self::L402),
            ("lsat", Self::L402),
            ("identity", Self::Identity),
            ("payment", Self::Payment),
        ]
        .into_iter()
        .find_map(|(known, scheme)| name.eq_ignore_ascii_case(known).then_some(scheme))
    }
}

/// The credentials in one header value, in order.
///
/// A comma starts a new credential only where a known scheme and white space follow; otherwise it belongs to the
/// credential before it (`L402 m1,m2:preimage` is one credential, refused later as naming several macaroons).
pub(super) fn credentials(value: &str) -> impl Iterator<Item = (Scheme, &str)> {
    let mut rest = Some(value);
    std::iter::from_fn(move || {
        loop {
            let text = rest?;
            let (head, tail) = split_at_next_scheme(text);
            rest = tail;
            let head = head.trim_matches([' ', '\t', ',']);
            if let Some((name, credential)) = head.split_once([' ', '\t'])
                && let Some(scheme) = Scheme::parse(name)
            {
                return Some((scheme, credential.trim_matches([' ', '\t'])));
            }
        }
    })
}

/// Cuts before the next comma that is followed by a known scheme.
fn split_at_next_scheme(text: &str) -> (&str, Option<&str>) {
    for (at, _) in text.match_indices(',') {
        let after = text[at + 1..].trim_start_matches([' ', '\t', ',']);
        let name = after.split([' ', '\t']).next().unwrap_or_default();
        if name.len() < after.len() && Scheme::parse(name).is_some() {
            return (&text[..at], Some(&text[at + 1..]));
        }
    }
    (text, None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(value: &str) -> Vec<(Scheme, &str)> {
        credentials(value).collect()
    }

    #[test]
    fn one_credential() {
        assert_eq!(read("Bearer abc.def.ghi"), [(Scheme::Bearer, "abc.def.ghi")]);
        assert_eq!(read("  lsat \t AgE=:aa  "), [(Scheme::L402, "AgE=:aa")]);
        assert_eq!(read("DPoP x"), [(Scheme::Dpop, "x")]);
    }

    #[test]
    fn two_joined_in_any_order_and_white_space() {
        let expected = [(Scheme::Bearer, "j.w.t"), (Scheme::L402, "m:p")];
        assert_eq!(read("Bearer j.w.t, L402 m:p"), expected);
        assert_eq!(read("bearer  j.w.t ,l402\tm:p"), expected);
        assert_eq!(read("L402 m:p,Bearer j.w.t"), [expected[1], expected[0]]);
        assert_eq!(
            read("Identity j.w.t, Payment m:p"),
            [(Scheme::Identity, "j.w.t"), (Scheme::Payment, "m:p")]
        );
    }

    #[test]
    fn a_comma_inside_a_credential_stays() {
        assert_eq!(read("L402 m1,m2:p"), [(Scheme::L402, "m1,m2:p")]);
    }

    #[test]
    fn unknown_schemes_are_ignored() {
        assert_eq!(read("Basic dXNlcjpwYXNz"), []);
        assert_eq!(read(""), []);
        assert_eq!(read("Bearer"), []);
        assert_eq!(read(",,,"), []);
    }

    proptest! {
        #[test]
        fn any_text_is_read_without_panic(value in "\\PC{0,80}") {
            let _ = read(&value);
        }

        #[test]
        fn what_is_read_stands_in_the_text(value in "[a-z ,:]{0,60}") {
            for (_, credential) in credentials(&value) {
                prop_assert!(value.contains(credential));
            }
        }
    }
}
