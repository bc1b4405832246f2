//! What the gate reads from `params`.

use std::{borrow::Cow, fmt, ops::Range};

use smallvec::SmallVec;

use super::{Id, Message};
use crate::json::{self, Member};

/// The fields of `params` that are judged or compared with headers. A field that is absent, or is not of the type it has
/// in MCP, is `None`; where the method needs it, [`super::scan`] has already refused the message.
#[derive(Clone, Default)]
pub struct Params<'a> {
    /// The whole raw `params` object.
    pub raw: Option<&'a [u8]>,
    /// `name`: always there for `tools/call` and `prompts/get`.
    pub name: Option<Cow<'a, str>>,
    /// `uri`: always there for `resources/read`.
    pub uri: Option<Cow<'a, str>>,
    /// `taskId` (tasks extension).
    pub task_id: Option<Cow<'a, str>>,
    /// `cursor` of a list.
    pub cursor: Option<Cow<'a, str>>,
    /// `protocolVersion`: always there for `initialize`, unless `_meta` names a version.
    pub protocol_version: Option<Cow<'a, str>>,
    /// The raw `arguments` object. A `null` counts as absent.
    pub arguments: Option<&'a [u8]>,
    /// The raw `capabilities` object of `initialize`.
    pub capabilities: Option<&'a [u8]>,
    /// `requestId` of `notifications/cancelled`.
    pub request_id: Option<Id<'a>>,
    /// `requestState` of a retried request (MCP 2026-07-28 patterns/mrtr); made by the server but in the caller's hands.
    pub request_state: Option<Cow<'a, str>>,
    /// The raw `inputResponses` object of a retried request.
    pub input_responses: Option<&'a [u8]>,
    /// `_meta`.
    pub meta: Option<Meta<'a>>,
}

impl Params<'_> {
    /// Whether `_meta` names a protocol version.
    pub(super) fn names_version(&self) -> bool {
        self.meta.as_ref().and_then(Meta::protocol_version).is_some()
    }
}

impl fmt::Debug for Params<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Params");
        shown.field("name", &self.name).field("uri", &self.uri).field("task_id", &self.task_id);
        shown.field("meta", &self.meta).finish_non_exhaustive()
    }
}

/// The members of `params._meta`, with spans into the whole body.
#[derive(Clone)]
pub struct Meta<'a> {
    pub(crate) raw: &'a [u8],
    pub(crate) span: Range<usize>,
    pub(crate) members: SmallVec<[Member<'a>; 6]>,
}

impl fmt::Debug for Meta<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.members.iter().map(|member| &member.key)).finish()
    }
}

impl<'a> Meta<'a> {
    /// The key of the protocol version, required on every modern request.
    pub const PROTOCOL_VERSION: &'static str = "io.modelcontextprotocol/protocolVersion";
    /// The key of the client's capabilities, required on every modern request.
    pub const CLIENT_CAPABILITIES: &'static str = "io.modelcontextprotocol/clientCapabilities";
    /// The key of the client's name and version: unverified, never to be used for security.
    pub const CLIENT_INFO: &'static str = "io.modelcontextprotocol/clientInfo";
    /// The key of the progress token.
    pub const PROGRESS_TOKEN: &'static str = "progressToken";

    /// The whole raw `_meta` object.
    #[must_use]
    pub fn raw(&self) -> &'a [u8] {
        self.raw
    }

    /// Where `_meta`'s object stands in the body.
    #[must_use]
    pub fn span(&self) -> Range<usize> {
        self.span.clone()
    }

    /// All members, in order.
    #[must_use]
    pub fn members(&self) -> &[Member<'a>] {
        &self.members
    }

    /// The member with this decoded key.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Member<'a>> {
        self.members.iter().find(|member| member.key == key)
    }

    /// The protocol version, if it is a string.
    #[must_use]
    pub fn protocol_version(&self) -> Option<Cow<'a, str>> {
        json::string(self.get(Self::PROTOCOL_VERSION)?.value)
    }

    /// The raw capabilities object of a modern client.
    #[must_use]
    pub fn client_capabilities(&self) -> Option<&'a [u8]> {
        object(self.get(Self::CLIENT_CAPABILITIES)?.value)
    }

    /// The raw client info object of a modern client.
    #[must_use]
    pub fn client_info(&self) -> Option<&'a [u8]> {
        object(self.get(Self::CLIENT_INFO)?.value)
    }

    /// The raw progress token, a string or an integer.
    #[must_use]
    pub fn progress_token(&self) -> Option<Id<'a>> {
        Id::from_raw(self.get(Self::PROGRESS_TOKEN)?.value)
    }
}

impl<'a> Message<'a> {
    /// The raw capabilities the client declared in this very message: in `_meta` (modern) or in `initialize` (legacy).
    #[must_use]
    pub fn client_capabilities(&self) -> Option<&'a [u8]> {
        self.params.meta.as_ref().and_then(Meta::client_capabilities).or(self.params.capabilities)
    }

    /// Whether this message declares the capability at `path`, for example `["elicitation", "url"]`. A capability is
    /// declared by an object or by `true`.
    #[must_use]
    pub fn has_capability(&self, path: &[&str]) -> bool {
        let found =
            path.iter().try_fold(self.client_capabilities(), |value, key| Some(json::get(value?, key)));
        found.flatten().is_some_and(|value| object(value).is_some() || value == b"true")
    }
}

/// The value itself, if it is an object.
pub(super) fn object(raw: &[u8]) -> Option<&[u8]> {
    (raw.first() == Some(&b'{')).then_some(raw)
}
