//! The identity desk: access tokens in, callers or 401/403 out.

use std::sync::Arc;

use octroi_identity::challenge::Bearer;
use octroi_identity::metadata;
use octroi_identity::{Caller, InvalidToken, TokenError, Verifier};
use url::Url;

use crate::credentials::{Token, TokenScheme};
use crate::reason::Reason;
use crate::refusal::Refusal;

/// Judges access tokens for one MCP server and says what it wants instead.
pub struct IdentityDesk {
    verifier: Verifier,
    resource_metadata: Url,
    required_scopes: Vec<String>,
}

impl IdentityDesk {
    /// `resource` is the public URL of the MCP endpoint, whose metadata every challenge points at (RFC 9728 §5.1);
    /// `required_scopes` are what every token needs here, whatever it calls.
    pub fn new(verifier: Verifier, resource: &Url, required_scopes: Vec<String>) -> Self {
        Self { verifier, resource_metadata: metadata::metadata_url(resource), required_scopes }
    }

    /// The verifier, for metadata and health.
    pub fn verifier(&self) -> &Verifier {
        &self.verifier
    }

    /// Scopes that every token needs here.
    pub fn required_scopes(&self) -> &[String] {
        &self.required_scopes
    }

    /// The challenge for a call without a token (RFC 6750 §3.1: no error code then).
    pub(crate) fn missing_token(&self, scopes: &[String]) -> String {
        Bearer::missing(&self.resource_metadata, &self.all_scopes(scopes)).into_header_value()
    }

    /// Judges a token and the scopes the call needs.
    pub(crate) async fn judge(
        &self,
        token: &Token<'_>,
        scopes: &[String],
        now: u64,
    ) -> Result<Arc<Caller>, Box<Refusal>> {
        if token.scheme == TokenScheme::Dpop {
            // A proof of possession that nobody checks must not look checked.
            return Err(self.invalid(InvalidToken::SenderConstrained, scopes));
        }
        let caller = match self.verifier.cached(&token.text, now) {
            Some(caller) => caller,
            None => {
                self.verifier.verify(&token.text, now).await.map_err(|error| self.refused(error, scopes))?
            }
        };
        let mut needed = self.required_scopes.iter().chain(scopes);
        if needed.all(|scope| caller.scopes.has(scope)) {
            return Ok(caller);
        }
        Err(self.insufficient_scope(scopes))
    }

    fn refused(&self, error: TokenError, scopes: &[String]) -> Box<Refusal> {
        match error {
            TokenError::Missing => {
                let refusal = Refusal::new(Reason::MissingToken, "this call needs an access token");
                Box::new(refusal.challenging(&self.missing_token(scopes)))
            }
            TokenError::Invalid(why) => self.invalid(why, scopes),
            TokenError::Proof(why) => {
                let text = format!("the proof of possession is not accepted: {why}");
                Box::new(Refusal::new(Reason::InvalidToken, text).challenging(&self.missing_token(scopes)))
            }
            TokenError::InsufficientScope { .. } => self.insufficient_scope(scopes),
            TokenError::Unverifiable(why) => {
                Box::new(Refusal::new(Reason::VerificationFailed, why.to_string()).retry_after(5))
            }
        }
    }

    fn insufficient_scope(&self, scopes: &[String]) -> Box<Refusal> {
        let all = self.all_scopes(scopes);
        let text = format!("this call needs the scopes {}", all.join(" "));
        let challenge = Bearer::insufficient_scope(&self.resource_metadata, &all, &text);
        let refusal = Refusal::new(Reason::InsufficientScope, text).with("scopes", all);
        Box::new(refusal.challenging(&challenge.into_header_value()))
    }

    fn invalid(&self, why: InvalidToken, scopes: &[String]) -> Box<Refusal> {
        let challenge = Bearer::invalid_token(&self.resource_metadata, &self.all_scopes(scopes), &why);
        let text = format!("the access token is not accepted: {why}");
        Box::new(Refusal::new(Reason::InvalidToken, text).challenging(&challenge.into_header_value()))
    }

    /// Everything the call needs, at once, so that the client asks its user only once.
    fn all_scopes(&self, scopes: &[String]) -> Vec<String> {
        let mut all = self.required_scopes.clone();
        all.extend(scopes.iter().filter(|scope| !self.required_scopes.contains(scope)).cloned());
        all
    }
}
