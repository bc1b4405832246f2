//! OAuth 2.1 access tokens: verification, provider presets, resource metadata, challenges.
//!
//! The room answers one question about a call: *who is it?* A [`Verifier`] is built from an
//! [`IdentityConfig`], whose [`Provider`] says, as data, what the tokens of one product look like.
//! [`Verifier::cached`] answers without waiting for a token seen before; [`Verifier::verify`] makes the
//! full check, fetching the issuer's keys when it must.
//!
//! What this crate does not do: read HTTP requests (the gate finds the credential), judge tools, or
//! remember callers. Time comes in as an argument, in seconds since the Unix epoch.
#![forbid(unsafe_code)]

mod address;
mod algorithm;
mod cache;
mod caller;
pub mod challenge;
mod config;
mod error;
pub mod invariants;
mod keys;
pub mod metadata;
mod presets;
mod provider;
mod token;
mod verifier;

pub use algorithm::{Algorithm, UnknownAlgorithm};
pub use caller::{Caller, ScopeSet};
pub use config::{IdentityConfig, SetupError};
pub use error::{InvalidToken, TokenError, Unverifiable};
pub use provider::{KeySource, Provider, ScopeClaim, ScopeForm, SubjectRule, TokenType};
pub use verifier::Verifier;
