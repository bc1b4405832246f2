//! OAuth 2.1 access tokens: verification, provider presets, proofs of possession, exchange, statements about callers,
//! resource metadata, challenges.
//!
//! The room answers one question about a call: *who is it?* A [`Verifier`] is built from an
//! [`IdentityConfig`], whose [`Provider`] says, as data, what the tokens of one product look like.
//! [`Verifier::cached`] answers without waiting for a token seen before; [`Verifier::verify`] makes the
//! full check, fetching the issuer's keys, or asking the issuer, when it must. [`Verifier::verify_dpop`] is for tokens
//! bound to a key.
//!
//! What it knows of a [`Caller`] it can tell others: as JSON, as single header values ([`CallerField`]), or signed
//! ([`CallerSigner`]). [`TokenExchange`] gets tokens for the server behind, on the caller's behalf.
//!
//! What this crate does not do: read HTTP requests (the gate finds the credential), judge tools, or
//! remember callers. Time comes in as an argument, in seconds since the Unix epoch.
#![forbid(unsafe_code)]

mod address;
mod algorithm;
mod asking;
mod cache;
mod caller;
pub mod challenge;
mod client_auth;
mod config;
mod desk;
mod dpop;
mod error;
mod exchange;
mod flights;
mod http;
pub mod invariants;
mod keys;
pub mod metadata;
mod provider;
mod revocation;
mod secret;
mod setup_error;
mod signing;
mod terms;
mod token;
mod trusted;
mod verifier;

pub use algorithm::{Algorithm, UnknownAlgorithm};
pub use caller::{
    Actor, Binding, Caller, CallerField, CallerKind, NameSet, Names, Organisation, UnknownField,
};
pub use client_auth::ClientAuth;
pub use config::IdentityConfig;
pub use dpop::{CheckedProof, DpopConfig, DpopVerifier, ProofError, ShownProof};
pub use error::{ClaimName, InvalidToken, TokenError, Unverifiable};
pub use exchange::{
    ExchangeConfig, ExchangeError, ExchangeForm, ExchangeTarget, Subject, TokenExchange, UpstreamToken,
};
pub use provider::{
    AudienceRule, ClaimPath, ClaimRule, ClientSign, GitHubApp, GoogleEndpoints, Introspection, IssuerRule,
    KeySource, Method, OverrideError, Preset, PresetError, PresetInput, Profile, Provider, ProviderOverrides,
    ScopeClaim, ScopeForm, SubjectRule, TokenType, UnknownPreset,
};
pub use revocation::TooManyRevocations;
pub use secret::Secret;
pub use setup_error::SetupError;
pub use signing::{CallerSigner, KeyError, RotationError, SignerSettings, SigningKey, SigningKeys};
pub use trusted::{Pattern, TrustedIssuer};
pub use verifier::Verifier;
