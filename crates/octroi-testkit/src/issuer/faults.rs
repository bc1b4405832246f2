//! What can go wrong at an issuer, on purpose.

use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

/// An endpoint of the issuer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Endpoint {
    /// `/.well-known/oauth-authorization-server{path}` (RFC 8414 §3).
    AuthorizationServerMetadata,
    /// `/.well-known/openid-configuration{path}`.
    OpenidConfiguration,
    /// `{path}/.well-known/openid-configuration`, where the issuer has a path.
    OpenidConfigurationBelow,
    /// The key set.
    Jwks,
    /// The token endpoint.
    Token,
    /// RFC 7662 introspection.
    Introspection,
    /// Google's `tokeninfo`.
    TokenInfo,
    /// Google's `userinfo`.
    UserInfo,
    /// GitHub's check of an app's token.
    GitHubToken,
}

/// How an endpoint misbehaves.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Fault {
    /// Not at all.
    #[default]
    None,
    /// It closes the connection without a word.
    Disconnect,
    /// It never answers.
    Hang,
    /// It answers with this status and nothing else.
    Status(u16),
    /// It redirects there.
    Redirect(String),
    /// It answers 200 with this text.
    Text(String),
    /// It answers 200 with so many bytes of valid JSON white space before the real document.
    Padded(usize),
}

/// Faults and counters, one for each endpoint.
#[derive(Debug, Default)]
pub(super) struct Faults {
    faults: Mutex<[Fault; Endpoint::ALL.len()]>,
    requests: [AtomicU64; Endpoint::ALL.len()],
}

impl Endpoint {
    pub(super) const ALL: [Self; 9] = [
        Self::AuthorizationServerMetadata,
        Self::OpenidConfiguration,
        Self::OpenidConfigurationBelow,
        Self::Jwks,
        Self::Token,
        Self::Introspection,
        Self::TokenInfo,
        Self::UserInfo,
        Self::GitHubToken,
    ];
}

impl Faults {
    pub(super) fn set(&self, endpoint: Endpoint, fault: Fault) {
        self.faults.lock()[endpoint as usize] = fault;
    }

    pub(super) fn requests(&self, endpoint: Endpoint) -> u64 {
        self.requests[endpoint as usize].load(Ordering::Acquire)
    }

    /// Counts a request and gives the fault it meets.
    pub(super) fn meet(&self, endpoint: Endpoint) -> Fault {
        self.requests[endpoint as usize].fetch_add(1, Ordering::Release);
        self.faults.lock()[endpoint as usize].clone()
    }
}
