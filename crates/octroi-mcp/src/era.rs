//! Which protocol revision a message speaks (MCP 2026-07-28 basic/versioning).
use crate::message::Message;
use http::StatusCode;
use std::fmt;

/// How a client carries its protocol state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Era {
    /// Version and capabilities in every request's `_meta` (2026-07-28 and later): stateless.
    Modern,
    /// Negotiated once by `initialize` (2025-11-25 and earlier).
    Legacy,
}

/// A protocol revision this crate knows; ordered by date.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Revision(&'static str);

impl Revision {
    /// 2024-11-05.
    pub const V2024_11_05: Self = Self("2024-11-05");
    /// 2025-03-26: assumed when a legacy request has no version header.
    pub const V2025_03_26: Self = Self("2025-03-26");
    /// 2025-06-18.
    pub const V2025_06_18: Self = Self("2025-06-18");
    /// 2025-11-25: the newest with `initialize`.
    pub const V2025_11_25: Self = Self("2025-11-25");
    /// 2026-07-28: the first modern one.
    pub const V2026_07_28: Self = Self("2026-07-28");

    /// The revision with this name, if it is one of [`SUPPORTED`].
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        SUPPORTED.into_iter().find(|revision| revision.0 == name)
    }

    /// Its name, a date.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        self.0
    }

    /// The era it belongs to.
    #[must_use]
    pub fn era(self) -> Era {
        if self >= Self::V2026_07_28 { Era::Modern } else { Era::Legacy }
    }
}

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

/// Every revision served, newest first.
pub const SUPPORTED: [Revision; 5] = [
    Revision::V2026_07_28,
    Revision::V2025_11_25,
    Revision::V2025_06_18,
    Revision::V2025_03_26,
    Revision::V2024_11_05,
];

/// Why no revision could be settled: the caller's fault, always HTTP 400.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EraError {
    /// A version this gate does not serve.
    #[error("protocol version {requested:?} is not supported")]
    Unsupported {
        /// What was asked for.
        requested: String,
    },
    /// A modern request lacks this member of `params._meta`, or it has the wrong type.
    #[error("`params._meta` lacks `{key}`")]
    MissingMeta {
        /// The required key.
        key: &'static str,
    },
}

impl EraError {
    /// −32022 (UnsupportedProtocolVersion) or −32602.
    #[must_use]
    pub fn code(&self) -> i64 {
        todo!()
    }

    /// Always 400.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        StatusCode::BAD_REQUEST
    }

    /// The raw `data` of the JSON-RPC error: `{"supported":[…],"requested":"…"}` for an unsupported version.
    #[must_use]
    pub fn data(&self) -> Option<Vec<u8>> {
        todo!()
    }
}

/// Settles era and revision from the body and the `MCP-Protocol-Version` header.
///
/// # Errors
/// See [`EraError`].
pub fn era(_msg: &Message<'_>, _header_version: Option<&str>) -> Result<(Era, Revision), EraError> {
    todo!()
}
