//! `WWW-Authenticate` challenges: Bearer (RFC 6750 §3) and DPoP (RFC 9449 §7.1), pointing at the resource's metadata
//! (RFC 9728 §5.1).

use url::Url;

use crate::{Algorithm, InvalidToken, ProofError};

/// A `Bearer` challenge under construction. The finished value is one header line: nothing that comes in can end it,
/// add a line, or leave its quotes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bearer(Line);

/// A `DPoP` challenge under construction (RFC 9449 §7.1), as safe as [`Bearer`]. It names the algorithms proofs may be
/// signed with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dpop(Line);

/// A scheme and its parameters.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Line {
    text: String,
    parameters: u32,
}

impl Bearer {
    /// 401 for a request without a token: it says where to get one and, as RFC 6750 §3.1 asks, no error.
    #[must_use]
    pub fn missing<S: AsRef<str>>(resource_metadata: &Url, scopes: &[S]) -> Self {
        Self(Line::new("Bearer").metadata(resource_metadata).scope(scopes))
    }

    /// 401 for a token that is wrong or has expired.
    #[must_use]
    pub fn invalid_token<S: AsRef<str>>(resource_metadata: &Url, scopes: &[S], why: &InvalidToken) -> Self {
        let line = Line::new("Bearer").error("invalid_token", &why.to_string());
        Self(line.metadata(resource_metadata).scope(scopes))
    }

    /// 403 for a token that permits too little. `scopes` are all that the operation needs, at once, not only
    /// the missing ones (MCP 2026-07-28 basic/authorization): clients ask for exactly what is named here.
    #[must_use]
    pub fn insufficient_scope<S: AsRef<str>>(
        resource_metadata: &Url,
        scopes: &[S],
        description: &str,
    ) -> Self {
        let line = Line::new("Bearer").error("insufficient_scope", description);
        Self(line.metadata(resource_metadata).scope(scopes))
    }

    /// The header's value.
    #[must_use]
    pub fn into_header_value(self) -> String {
        self.0.text
    }
}

impl Dpop {
    /// As [`Bearer::missing`].
    #[must_use]
    pub fn missing<S: AsRef<str>>(algorithms: &[Algorithm], resource_metadata: &Url, scopes: &[S]) -> Self {
        Self(Line::new("DPoP").algorithms(algorithms).metadata(resource_metadata).scope(scopes))
    }

    /// As [`Bearer::invalid_token`].
    #[must_use]
    pub fn invalid_token<S: AsRef<str>>(
        algorithms: &[Algorithm],
        resource_metadata: &Url,
        scopes: &[S],
        why: &InvalidToken,
    ) -> Self {
        let line = Line::new("DPoP").algorithms(algorithms).error("invalid_token", &why.to_string());
        Self(line.metadata(resource_metadata).scope(scopes))
    }

    /// As [`Bearer::insufficient_scope`].
    #[must_use]
    pub fn insufficient_scope<S: AsRef<str>>(
        algorithms: &[Algorithm],
        resource_metadata: &Url,
        scopes: &[S],
        description: &str,
    ) -> Self {
        let line = Line::new("DPoP").algorithms(algorithms).error("insufficient_scope", description);
        Self(line.metadata(resource_metadata).scope(scopes))
    }

    /// 401 for a proof that is wrong: `invalid_dpop_proof`, or `use_dpop_nonce` where only the nonce is missing, which
    /// the `DPoP-Nonce` header of the same answer must give (RFC 9449 §9).
    #[must_use]
    pub fn invalid_proof<S: AsRef<str>>(
        algorithms: &[Algorithm],
        resource_metadata: &Url,
        scopes: &[S],
        why: &ProofError,
    ) -> Self {
        let line = Line::new("DPoP").algorithms(algorithms).error(why.oauth_code(), &why.to_string());
        Self(line.metadata(resource_metadata).scope(scopes))
    }

    /// The header's value.
    #[must_use]
    pub fn into_header_value(self) -> String {
        self.0.text
    }
}

impl Line {
    fn new(scheme: &str) -> Self {
        Self { text: scheme.to_owned(), parameters: 0 }
    }

    fn error(self, code: &str, description: &str) -> Self {
        self.parameter("error", code).parameter("error_description", description)
    }

    fn algorithms(self, algorithms: &[Algorithm]) -> Self {
        let names: Vec<&str> = algorithms.iter().map(|algorithm| algorithm.name()).collect();
        self.parameter("algs", &names.join(" "))
    }

    fn metadata(self, url: &Url) -> Self {
        self.parameter("resource_metadata", url.as_str())
    }

    /// Scopes with a character RFC 6749 §3.3 does not allow cannot be asked for and are left out.
    fn scope<S: AsRef<str>>(self, scopes: &[S]) -> Self {
        let named: Vec<&str> =
            scopes.iter().map(AsRef::as_ref).filter(|scope| is_scope_token(scope)).collect();
        if named.is_empty() { self } else { self.parameter("scope", &named.join(" ")) }
    }

    /// Appends `name="value"`. The value keeps the characters RFC 6750 §3 allows, which need no escaping, and
    /// has `'` for a double quote and a space for anything else.
    fn parameter(mut self, name: &str, value: &str) -> Self {
        self.text.push_str(if self.parameters == 0 { " " } else { ", " });
        self.parameters += 1;
        self.text.push_str(name);
        self.text.push_str("=\"");
        self.text.extend(value.chars().map(|c| match c {
            '"' => '\'',
            ' '..='~' if c != '\\' => c,
            _ => ' ',
        }));
        self.text.push('"');
        self
    }
}

fn is_scope_token(scope: &str) -> bool {
    !scope.is_empty() && scope.bytes().all(|b| matches!(b, 0x21 | 0x23..=0x5b | 0x5d..=0x7e))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn metadata() -> Url {
        Url::parse("https://gate.example/.well-known/oauth-protected-resource/mcp").unwrap()
    }

    #[test]
    fn says_what_each_refusal_needs() {
        let at = "resource_metadata=\"https://gate.example/.well-known/oauth-protected-resource/mcp\"";
        assert_eq!(
            Bearer::missing(&metadata(), &["read", "write"]).into_header_value(),
            format!("Bearer {at}, scope=\"read write\"")
        );
        assert_eq!(Bearer::missing::<&str>(&metadata(), &[]).into_header_value(), format!("Bearer {at}"));
        assert_eq!(
            Bearer::invalid_token(&metadata(), &["read"], &InvalidToken::Expired).into_header_value(),
            format!(
                "Bearer error=\"invalid_token\", error_description=\"the token has expired\", {at}, scope=\"read\""
            )
        );
        assert_eq!(
            Bearer::insufficient_scope(&metadata(), &["a", "b"], "delete_user needs \"b\"")
                .into_header_value(),
            format!(
                "Bearer error=\"insufficient_scope\", error_description=\"delete_user needs 'b'\", {at}, scope=\"a b\""
            )
        );
    }

    #[test]
    fn a_proof_is_asked_for_with_its_algorithms() {
        let at = "resource_metadata=\"https://gate.example/.well-known/oauth-protected-resource/mcp\"";
        let algorithms = [Algorithm::Es256, Algorithm::EdDsa];
        assert_eq!(
            Dpop::missing(&algorithms, &metadata(), &["read"]).into_header_value(),
            format!("DPoP algs=\"ES256 EdDSA\", {at}, scope=\"read\"")
        );
        let value =
            |why| Dpop::invalid_proof::<&str>(&algorithms, &metadata(), &[], &why).into_header_value();
        assert_eq!(
            value(ProofError::Method),
            format!(
                "DPoP algs=\"ES256 EdDSA\", error=\"invalid_dpop_proof\", \
                 error_description=\"the proof is for another method\", {at}"
            )
        );
        assert!(value(ProofError::Nonce).contains("error=\"use_dpop_nonce\""));
    }

    #[test]
    fn a_scope_that_cannot_be_written_is_left_out() {
        let value =
            Bearer::missing(&metadata(), &["ok", "two words", "quo\"te", "back\\slash", "li\r\nne", ""]);
        assert!(value.into_header_value().ends_with(", scope=\"ok\""));
    }

    proptest! {
        #[test]
        fn nothing_leaves_its_quotes(description in any::<String>(), scopes in prop::collection::vec(any::<String>(), 0..4)) {
            let value = Bearer::insufficient_scope(&metadata(), &scopes, &description).into_header_value();
            prop_assert!(value.bytes().all(|b| (0x20..0x7f).contains(&b) && b != b'\\'));
            // Two quotes for each of error, error_description, resource_metadata and perhaps scope.
            let quotes = value.matches('"').count();
            prop_assert!(quotes == 6 || quotes == 8);
        }
    }
}
