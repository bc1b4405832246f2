//! The identity desk: access tokens in, callers or 401/403 out.

use std::sync::Arc;

use http::Method;
use octroi_identity::challenge::{Bearer, Dpop};
use octroi_identity::metadata;
use octroi_identity::{Caller, DpopVerifier, InvalidToken, ProofError, ShownProof, TokenError, Verifier};
use url::Url;

use crate::credentials::{Token, TokenScheme};
use crate::policy::ScopeHierarchy;
use crate::reason::Reason;
use crate::refusal::Refusal;

/// Judges access tokens for one MCP server and says what it wants instead.
pub struct IdentityDesk {
    verifier: Verifier,
    possession: Option<Possession>,
    resource: Url,
    resource_metadata: Url,
    required_scopes: Vec<String>,
    everywhere: bool,
}

/// Proofs of possession at one desk (DPoP, RFC 9449).
pub struct Possession {
    /// Checks proofs.
    pub verifier: DpopVerifier,
    /// Whether plain bearer tokens are refused.
    pub required: bool,
}

/// A token as it was shown.
pub(crate) struct Shown<'a> {
    pub(crate) token: &'a Token<'a>,
    /// The proofs that came beside it.
    pub(crate) possessions: &'a [&'a str],
    /// The HTTP method of the request, which a proof names.
    pub(crate) method: &'a Method,
}

/// What one call needs, for judging and for telling.
#[derive(Clone, Copy)]
pub(crate) struct Needs<'a> {
    /// Scopes of the call, beside those that every token needs.
    pub(crate) scopes: &'a [String],
    pub(crate) hierarchy: &'a ScopeHierarchy,
    /// Unix seconds.
    pub(crate) now: u64,
}

/// What is wrong, in the words of a challenge.
enum Fault<'a> {
    NoToken,
    Token(&'a InvalidToken),
    Proof(&'a ProofError),
    Scope(&'a str),
}

impl IdentityDesk {
    /// `resource` is the public URL of the MCP endpoint, whose metadata every challenge points at (RFC 9728 §5.1) and which
    /// proofs of possession name; `required_scopes` are what every token needs here, whatever it calls.
    pub fn new(verifier: Verifier, resource: &Url, required_scopes: Vec<String>) -> Self {
        Self {
            verifier,
            possession: None,
            resource: resource.clone(),
            resource_metadata: metadata::metadata_url(resource),
            required_scopes,
            everywhere: false,
        }
    }

    /// The same desk, which takes tokens that are bound to a key.
    #[must_use]
    pub fn with_possession(self, possession: Option<Possession>) -> Self {
        Self { possession, ..self }
    }

    /// The same desk, where every request needs a token and not only calls whose rule says so.
    #[must_use]
    pub fn everywhere(self, everywhere: bool) -> Self {
        Self { everywhere, ..self }
    }

    /// Whether every request needs a token.
    pub fn is_everywhere(&self) -> bool {
        self.everywhere
    }

    /// The verifier, for metadata, health and revocation.
    pub fn verifier(&self) -> &Verifier {
        &self.verifier
    }

    /// Proofs of possession; `None` where no token that is bound to a key is taken.
    pub fn possession(&self) -> Option<&Possession> {
        self.possession.as_ref()
    }

    /// Scopes that every token needs here.
    pub fn required_scopes(&self) -> &[String] {
        &self.required_scopes
    }

    /// 401 for a request without a token (RFC 6750 §3.1: no error code then).
    pub(crate) fn missing_token(&self, needs: Needs<'_>) -> Box<Refusal> {
        let refusal = Refusal::new(Reason::MissingToken, "this call needs an access token");
        self.challenged(refusal, needs, &Fault::NoToken, false)
    }

    /// 401 for a token that is good here but not where it must be exchanged.
    pub(crate) fn sign_in_again(&self, text: String, needs: Needs<'_>) -> Box<Refusal> {
        let refusal = Refusal::new(Reason::InvalidToken, text);
        self.challenged(refusal, needs, &Fault::Token(&InvalidToken::Expired), false)
    }

    /// Judges a token and the scopes the call needs.
    pub(crate) async fn judge(
        &self,
        shown: &Shown<'_>,
        needs: Needs<'_>,
    ) -> Result<Arc<Caller>, Box<Refusal>> {
        let as_dpop = shown.token.scheme == TokenScheme::Dpop;
        let verified =
            if as_dpop { self.proven(shown, needs.now).await } else { self.bearer(shown, needs.now).await };
        let caller = verified.map_err(|error| self.refused(&error, needs, as_dpop))?;
        let mut needed = self.required_scopes.iter().chain(needs.scopes);
        if needed.all(|scope| needs.hierarchy.grants(&caller.scopes, scope)) {
            return Ok(caller);
        }
        Err(self.insufficient_scope(needs, as_dpop))
    }

    async fn bearer(&self, shown: &Shown<'_>, now: u64) -> Result<Arc<Caller>, TokenError> {
        if self.possession.as_ref().is_some_and(|possession| possession.required) {
            return Err(InvalidToken::NotSenderConstrained.into());
        }
        let token = &shown.token.text;
        match self.verifier.cached(token, now) {
            Some(caller) => Ok(caller),
            None => self.verifier.verify(token, now).await,
        }
    }

    async fn proven(&self, shown: &Shown<'_>, now: u64) -> Result<Arc<Caller>, TokenError> {
        let Some(possession) = &self.possession else {
            // A proof of possession that nobody checks must not look checked.
            return Err(InvalidToken::SenderConstrained.into());
        };
        let proof =
            ShownProof { proofs: shown.possessions, method: shown.method.as_str(), url: &self.resource };
        self.verifier.verify_dpop(&possession.verifier, &shown.token.text, &proof, now).await
    }

    fn refused(&self, error: &TokenError, needs: Needs<'_>, as_dpop: bool) -> Box<Refusal> {
        match error {
            TokenError::Missing => self.missing_token(needs),
            TokenError::Invalid(why) => {
                let refusal =
                    Refusal::new(Reason::InvalidToken, format!("the access token is not accepted: {why}"));
                self.challenged(refusal, needs, &Fault::Token(why), as_dpop)
            }
            TokenError::Proof(why) => {
                let refusal =
                    Refusal::new(Reason::InvalidToken, format!("the DPoP proof is not accepted: {why}"));
                self.challenged(refusal, needs, &Fault::Proof(why), true)
            }
            TokenError::InsufficientScope { .. } => self.insufficient_scope(needs, as_dpop),
            TokenError::Unverifiable(why) => {
                Box::new(Refusal::new(Reason::VerificationFailed, why.to_string()).retry_after(5))
            }
        }
    }

    fn insufficient_scope(&self, needs: Needs<'_>, as_dpop: bool) -> Box<Refusal> {
        let all = self.all_scopes(needs.scopes, needs.hierarchy);
        let text = format!("this call needs the scopes {}", all.join(" "));
        let refusal = Refusal::new(Reason::InsufficientScope, text.as_str()).with("scopes", all);
        self.challenged(refusal, needs, &Fault::Scope(&text), as_dpop)
    }

    /// The challenges that belong to a refusal: for the scheme that was used, else for each that would do. `Bearer` comes
    /// first, because most clients read one line only.
    fn challenged(
        &self,
        refusal: Refusal,
        needs: Needs<'_>,
        fault: &Fault<'_>,
        as_dpop: bool,
    ) -> Box<Refusal> {
        let (at, all) = (&self.resource_metadata, self.all_scopes(needs.scopes, needs.hierarchy));
        let mut refusal = refusal;
        let only_dpop = self.possession.as_ref().is_some_and(|possession| possession.required);
        if !(as_dpop && self.possession.is_some() || only_dpop) {
            let bearer = match fault {
                Fault::NoToken => Bearer::missing(at, &all),
                Fault::Token(why) => Bearer::invalid_token(at, &all, why),
                Fault::Proof(_) => Bearer::invalid_token(at, &all, &InvalidToken::SenderConstrained),
                Fault::Scope(text) => Bearer::insufficient_scope(at, &all, text),
            };
            refusal = refusal.challenging(&bearer.into_header_value());
        }
        let Some(possession) = &self.possession else { return Box::new(refusal) };
        let algorithms = possession.verifier.algorithms();
        let dpop = match fault {
            Fault::NoToken => Dpop::missing(algorithms, at, &all),
            Fault::Token(why) => Dpop::invalid_token(algorithms, at, &all, why),
            Fault::Proof(why) => Dpop::invalid_proof(algorithms, at, &all, why),
            Fault::Scope(text) => Dpop::insufficient_scope(algorithms, at, &all, text),
        };
        let nonce = possession.verifier.nonce(needs.now);
        Box::new(refusal.challenging(&dpop.into_header_value()).with_nonce(nonce.as_deref()))
    }

    /// Everything the call needs, at once, so that the client asks its user only once; nothing that another of the scopes
    /// contains.
    pub(crate) fn all_scopes(&self, scopes: &[String], hierarchy: &ScopeHierarchy) -> Vec<String> {
        let all: Vec<&str> = self.required_scopes.iter().chain(scopes).map(String::as_str).collect();
        hierarchy.minimal(&all)
    }
}
