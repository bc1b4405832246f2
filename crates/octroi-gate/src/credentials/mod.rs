//! Finding the caller's proofs, wherever a client can put them.
//!
//! | proof | carriers |
//! |---|---|
//! | who | `Authorization: Bearer` or `DPoP`, `X-MCP-Auth-Composite: Identity …`, `params._meta.authorization` |
//! | paid | `Authorization: L402` or `LSAT`, `Payment-Authorization`, `Macaroon: <hex>`, `X-MCP-Auth-Composite: Payment …`, `params._meta["dev.octroi/payment"]` |
//! | worked | `X-PoW-Solution`, `params._meta["dev.octroi/payment"]` |
//!
//! The same credential may come twice (a client that sets header and `_meta`); two different ones of one kind are
//! refused, because whichever the gate chose, somebody along the way might have judged by the other.

mod authorization;
mod carriers;
mod payment;

use std::borrow::Cow;

use http::HeaderMap;
use http::header::AUTHORIZATION;
use octroi_mcp::json;
use octroi_mcp::message::{Message, Meta};

use authorization::{Scheme, credentials};
pub use carriers::Carriers;
pub use payment::Proof;

/// `_meta` key of an access token, as LeanMCP's clients send it: `{"type":"bearer","token":…}`.
pub const META_AUTHORIZATION: &str = "authorization";
/// `_meta` key of a payment proof.
pub const META_PAYMENT: &str = "dev.octroi/payment";
/// `_meta` key of the number of calls a challenge should be made for.
pub const META_CALLS: &str = "dev.octroi/calls";
/// `_meta` key of what the caller calls this call, so that it can try it again.
pub const META_IDEMPOTENCY: &str = "dev.octroi/idempotency-key";
/// `_meta` key under which the gate tells an upstream who calls.
pub const META_CALLER: &str = "dev.octroi/caller";
/// `_meta` key of the same in the shape that LeanMCP's servers know.
pub const META_AUTH_USER: &str = "authUser";
/// Every `_meta` key that the upstream never sees from a caller: credentials, and what only the gate may say.
pub const META_KEYS: [&str; 6] =
    [META_AUTHORIZATION, META_PAYMENT, META_CALLS, META_IDEMPOTENCY, META_CALLER, META_AUTH_USER];

/// Header of both proofs in one line.
const COMPOSITE: &str = "x-mcp-auth-composite";
/// Header of a payment credential beside a Bearer token (MPP's name for it).
const PAYMENT_AUTHORIZATION: &str = "payment-authorization";
/// Headers of a hexadecimal macaroon that carries its preimage as a caveat (Aperture).
const MACAROON: [&str; 2] = ["macaroon", "grpc-metadata-macaroon"];
/// Header of a proof of possession (RFC 9449 §4.1).
const DPOP: &str = "dpop";
/// Header of a solved puzzle.
const POW_SOLUTION: &str = "x-pow-solution";
/// Header of the number of calls a challenge should be made for.
const CALLS: &str = "octroi-calls";
/// Header of what the caller calls this call (draft-ietf-httpapi-idempotency-key-header).
const IDEMPOTENCY: &str = "idempotency-key";
/// Longest such name, in bytes.
const IDEMPOTENCY_MAX: usize = 255;

/// How an access token was shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenScheme {
    /// RFC 6750.
    Bearer,
    /// RFC 9449: only good together with a proof of possession.
    Dpop,
}

/// An access token as shown, not yet judged.
#[derive(Clone, PartialEq, Eq)]
pub struct Token<'a> {
    /// How it was shown.
    pub scheme: TokenScheme,
    /// The token itself.
    pub text: Cow<'a, str>,
}

/// What a caller showed.
#[derive(Default)]
pub struct Presented<'a> {
    /// The access token.
    pub token: Option<Token<'a>>,
    /// Whether the access token stands in `_meta` and in no header.
    pub token_in_meta: bool,
    /// The proofs that the sender holds the key of the access token (`DPoP`, RFC 9449), not yet judged: one, if all is well.
    pub possessions: Vec<&'a str>,
    /// The proof of payment or of work.
    pub proof: Option<Proof>,
    /// How many calls the caller would like to buy at once, if it said so.
    pub calls: Option<u32>,
    /// What the caller calls this call, so that it can try it again.
    pub retry: Option<Cow<'a, str>>,
    /// Whether some header shows that the caller handles HTTP 402 itself.
    pub speaks_402: bool,
    /// What is read.
    carriers: Carriers,
    /// A carrier that is shut and held a payment credential.
    shut: Option<&'static str>,
}

/// Why the credentials cannot even be judged. The caller's fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CredentialsError {
    /// Two access tokens that differ.
    #[error("two different access tokens were sent; send one")]
    TwoTokens,
    /// Two payment credentials that differ, or a payment and a proof of work.
    #[error("two different payment credentials were sent; send one")]
    TwoPayments,
    /// A credential header is not visible ASCII.
    #[error("the header `{0}` is not visible ASCII text")]
    NotText(&'static str),
    /// `_meta.authorization` has another form.
    #[error("`_meta.authorization` must be {{\"type\":\"bearer\",\"token\":…}}")]
    MetaAuthorization,
    /// The number of calls is not a positive integer.
    #[error("the number of calls must be a positive integer")]
    Calls,
    /// The idempotency key is empty, too long or no visible ASCII, or header and `_meta` say different ones.
    #[error(
        "an idempotency key is 1 to {IDEMPOTENCY_MAX} visible ASCII characters, the same wherever it is sent"
    )]
    Idempotency,
}

/// Reads every carrier that is let in.
///
/// # Errors
/// [`CredentialsError`] where carriers contradict each other or cannot be read. A *payment* credential that cannot be
/// read is no error here: it becomes [`Proof::Unreadable`], so that identity is judged first.
pub fn read<'p, 'm: 'p>(
    headers: &'p HeaderMap,
    message: &Message<'m>,
    carriers: Carriers,
) -> Result<Presented<'p>, CredentialsError> {
    let mut presented = Presented::of_headers(headers, carriers)?;
    if let Some(meta) = &message.params.meta {
        presented.read_meta(meta)?;
    }
    presented.name_shut_carrier();
    Ok(presented)
}

/// Reads the carriers that are headers, for requests without a message.
///
/// # Errors
/// As [`read`].
pub fn read_headers(headers: &HeaderMap, carriers: Carriers) -> Result<Presented<'_>, CredentialsError> {
    let mut presented = Presented::of_headers(headers, carriers)?;
    presented.name_shut_carrier();
    Ok(presented)
}

impl<'a> Presented<'a> {
    fn of_headers(headers: &'a HeaderMap, carriers: Carriers) -> Result<Self, CredentialsError> {
        let mut presented = Self { carriers, ..Self::default() };
        for value in headers.get_all(AUTHORIZATION) {
            let text = value.to_str().map_err(|_| CredentialsError::NotText("authorization"))?;
            for (scheme, credential) in credentials(text) {
                match scheme {
                    Scheme::Bearer => presented.add_token(TokenScheme::Bearer, credential.into())?,
                    Scheme::Dpop => presented.add_token(TokenScheme::Dpop, credential.into())?,
                    Scheme::L402 => {
                        presented.speaks_402 = true;
                        presented.add_proof(Proof::from_credential(credential))?;
                    }
                    Scheme::Identity | Scheme::Payment => {}
                }
            }
        }
        // Most requests carry no other header of ours; one look at each name is cheaper than ten look-ups.
        for (name, value) in headers {
            presented.read_header(name.as_str(), value)?;
        }
        Ok(presented)
    }

    /// Whoever shows a credential where none is taken is told so, unless another one was taken.
    fn name_shut_carrier(&mut self) {
        if let (None, Some(carrier)) = (&self.proof, self.shut) {
            let text = format!("this server takes no credentials from `{carrier}`");
            self.proof = Some(Proof::Unreadable(text));
        }
    }

    fn read_header(&mut self, name: &str, value: &'a http::HeaderValue) -> Result<(), CredentialsError> {
        let text = |label| value.to_str().map_err(|_| CredentialsError::NotText(label));
        match name {
            COMPOSITE if !self.carriers.composite => {
                self.shut = Some("X-MCP-Auth-Composite");
                Ok(())
            }
            COMPOSITE => self.read_composite(text(COMPOSITE)?),
            DPOP => {
                self.possessions.push(text(DPOP)?);
                Ok(())
            }
            PAYMENT_AUTHORIZATION if !self.carriers.payment_authorization => {
                self.shut = Some("Payment-Authorization");
                Ok(())
            }
            PAYMENT_AUTHORIZATION => {
                self.speaks_402 = true;
                for (scheme, credential) in credentials(text(PAYMENT_AUTHORIZATION)?) {
                    if scheme == Scheme::L402 {
                        self.add_proof(Proof::from_credential(credential))?;
                    }
                }
                Ok(())
            }
            POW_SOLUTION => {
                self.speaks_402 = true;
                self.add_proof(Proof::from_solution(text(POW_SOLUTION)?))
            }
            CALLS => {
                self.speaks_402 = true;
                let calls = text(CALLS)?.trim().parse().ok().filter(|n| *n > 0);
                self.calls = Some(calls.ok_or(CredentialsError::Calls)?);
                Ok(())
            }
            IDEMPOTENCY => {
                let text = text(IDEMPOTENCY)?.trim();
                // The draft writes a quoted string (RFC 8941 §3.3.3); most clients write it bare.
                let bare = text.strip_prefix('"').and_then(|text| text.strip_suffix('"'));
                self.add_retry(bare.unwrap_or(text).into())
            }
            "accept-authenticate" | "accept-payment" => {
                self.speaks_402 = true;
                Ok(())
            }
            _ if MACAROON.contains(&name) && !self.carriers.macaroon => {
                self.shut = Some("Macaroon");
                Ok(())
            }
            _ if MACAROON.contains(&name) => {
                self.speaks_402 = true;
                self.add_proof(Proof::from_macaroon_hex(text("macaroon")?.trim()))
            }
            _ => Ok(()),
        }
    }

    fn read_composite(&mut self, text: &'a str) -> Result<(), CredentialsError> {
        self.speaks_402 = true;
        for (scheme, credential) in credentials(text) {
            match scheme {
                Scheme::Identity | Scheme::Bearer => {
                    self.add_token(TokenScheme::Bearer, credential.into())?
                }
                Scheme::Dpop => self.add_token(TokenScheme::Dpop, credential.into())?,
                Scheme::Payment | Scheme::L402 => self.add_proof(Proof::from_credential(credential))?,
            }
        }
        Ok(())
    }

    fn read_meta<'m: 'a>(&mut self, meta: &Meta<'m>) -> Result<(), CredentialsError> {
        if let Some(member) = meta.get(META_AUTHORIZATION).filter(|_| self.carriers.meta) {
            let kind = json::get(member.value, "type").and_then(json::string);
            let token = json::get(member.value, "token").and_then(json::string);
            let (Some(kind), Some(token)) = (kind, token) else {
                return Err(CredentialsError::MetaAuthorization);
            };
            if !kind.eq_ignore_ascii_case("bearer") {
                return Err(CredentialsError::MetaAuthorization);
            }
            self.token_in_meta = self.token.is_none();
            self.add_token(TokenScheme::Bearer, token)?;
        }
        match meta.get(META_PAYMENT) {
            Some(member) if self.carriers.meta => self.add_proof(Proof::from_meta(member.value))?,
            Some(_) => self.shut = Some("_meta"),
            None => {}
        }
        if let Some(member) = meta.get(META_IDEMPOTENCY) {
            self.add_retry(json::string(member.value).ok_or(CredentialsError::Idempotency)?)?;
        }
        if let Some(member) = meta.get(META_CALLS) {
            let text = std::str::from_utf8(member.value).ok();
            let calls = text.and_then(|text| text.parse().ok()).filter(|n| *n > 0);
            self.calls = Some(calls.ok_or(CredentialsError::Calls)?);
        }
        Ok(())
    }

    fn add_retry(&mut self, key: Cow<'a, str>) -> Result<(), CredentialsError> {
        let visible = key.bytes().all(|byte| (0x20..0x7f).contains(&byte));
        let same = self.retry.as_ref().is_none_or(|other| *other == key);
        if !visible || !same || !(1..=IDEMPOTENCY_MAX).contains(&key.len()) {
            return Err(CredentialsError::Idempotency);
        }
        self.retry = Some(key);
        Ok(())
    }

    fn add_token(&mut self, scheme: TokenScheme, text: Cow<'a, str>) -> Result<(), CredentialsError> {
        let token = Token { scheme, text };
        match &self.token {
            None => self.token = Some(token),
            Some(other) if *other == token => {}
            Some(_) => return Err(CredentialsError::TwoTokens),
        }
        Ok(())
    }

    fn add_proof(&mut self, proof: Proof) -> Result<(), CredentialsError> {
        match &self.proof {
            None => self.proof = Some(proof),
            Some(other) if other.is_same(&proof) => {}
            Some(_) => return Err(CredentialsError::TwoPayments),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
