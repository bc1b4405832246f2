//! Which protocol revision a message speaks (MCP 2026-07-28 basic/versioning).

use std::fmt;

use http::StatusCode;

use crate::{
    json,
    message::{Kind, Message, Meta},
    method,
};

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

/// Most characters of an unknown version that are echoed.
const MAX_ECHOED: usize = 64;

/// Why no revision could be settled: the caller's fault, always HTTP 400.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EraError {
    /// A version this gate does not serve.
    #[error("protocol version {requested:?} is not supported")]
    Unsupported {
        /// What was asked for, cut to 64 characters.
        requested: String,
        /// How it was asked: only a modern client knows error −32022.
        era: Era,
    },
    /// A modern request lacks this member of `params._meta`, or it has the wrong type.
    #[error("`params._meta` lacks `{key}`")]
    MissingMeta {
        /// The required key.
        key: &'static str,
    },
}

impl EraError {
    /// UnsupportedProtocolVersion, or −32600 for a legacy client, which does not know that code.
    /// −32602 for missing metadata.
    #[must_use]
    pub fn code(&self) -> i64 {
        match self {
            Self::Unsupported { era: Era::Modern, .. } => -32022,
            Self::Unsupported { era: Era::Legacy, .. } => -32600,
            Self::MissingMeta { .. } => -32602,
        }
    }

    /// Always 400.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        StatusCode::BAD_REQUEST
    }

    /// The raw `data` of the JSON-RPC error: `{"supported":[…],"requested":"…"}` for an unsupported version.
    #[must_use]
    pub fn data(&self) -> Option<Vec<u8>> {
        let Self::Unsupported { requested, .. } = self else { return None };
        let mut data = b"{\"supported\":[".to_vec();
        for (index, revision) in SUPPORTED.iter().enumerate() {
            if index > 0 {
                data.push(b',');
            }
            json::write_string(&mut data, revision.as_str());
        }
        data.extend_from_slice(b"],\"requested\":");
        json::write_string(&mut data, requested);
        data.push(b'}');
        Some(data)
    }
}

/// Settles era and revision from the body and the value of the `MCP-Protocol-Version` header.
///
/// The version in the body counts; whether the header agrees with it is for [`crate::headers::check_version`].
/// `initialize` is legacy when it asks for a version, even a modern one: the server then negotiates down. Without any version a request
/// is taken for 2025-03-26, unless its method exists only in the modern era.
///
/// # Errors
/// See [`EraError`].
pub fn era(msg: &Message<'_>, header_version: Option<&str>) -> Result<(Era, Revision), EraError> {
    if msg.method == "initialize" && msg.params.protocol_version.is_some() {
        let asked = msg.params.protocol_version.as_deref().and_then(Revision::parse);
        let legacy = asked.filter(|revision| revision.era() == Era::Legacy);
        return Ok((Era::Legacy, legacy.unwrap_or(Revision::V2025_11_25)));
    }
    let meta = msg.params.meta.as_ref();
    let in_body = meta.and_then(Meta::protocol_version);
    let revision = match (in_body.as_deref(), header_version) {
        (Some(name), _) => Revision::parse(name).ok_or_else(|| unsupported(name, Era::Modern))?,
        (None, Some(name)) => Revision::parse(name).ok_or_else(|| unsupported(name, shape(name)))?,
        (None, None) if modern_only(&msg.method) => Revision::V2026_07_28,
        (None, None) => Revision::V2025_03_26,
    };
    if revision.era() == Era::Modern && msg.kind == Kind::Request {
        if in_body.is_none() {
            return Err(EraError::MissingMeta { key: Meta::PROTOCOL_VERSION });
        }
        if meta.and_then(Meta::client_capabilities).is_none() {
            return Err(EraError::MissingMeta { key: Meta::CLIENT_CAPABILITIES });
        }
    }
    Ok((revision.era(), revision))
}

fn unsupported(name: &str, era: Era) -> EraError {
    EraError::Unsupported { requested: name.chars().take(MAX_ECHOED).collect(), era }
}

/// The era of an unknown version: versions are dates, and dates sort as text.
fn shape(name: &str) -> Era {
    let is_date = name.len() == 10 && name.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-');
    if is_date && name > Revision::V2026_07_28.as_str() { Era::Modern } else { Era::Legacy }
}

fn modern_only(method: &str) -> bool {
    method::known(Era::Modern, method) && !method::known(Era::Legacy, method)
}

#[cfg(test)]
mod tests;
