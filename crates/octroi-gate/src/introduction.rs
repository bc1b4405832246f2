//! How the server behind the gate learns who calls: never from the caller, always from the gate.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};
use octroi_identity::{Caller, CallerField, CallerSigner};
use octroi_mcp::message::{self, Kind, Message};
use serde_json::Value;
use smallvec::SmallVec;

use crate::credentials::{META_AUTH_USER, META_CALLER, META_KEYS};
use crate::reason::Reason;
use crate::refusal::Refusal;

/// What the server behind the gate is told of callers. Whatever a caller itself sent in these places is taken off, whether
/// or not the gate has something to put there.
#[derive(Default)]
pub struct Introduction {
    /// The header of a signed statement, and who signs it.
    pub statement: Option<(HeaderName, CallerSigner)>,
    /// Whether `_meta["dev.octroi/caller"]` is set.
    pub meta: bool,
    /// Whether `_meta.authUser` is set, in the shape LeanMCP's servers know.
    pub auth_user: bool,
    /// Headers, each with the fact it tells; a fact that the caller does not have is not told.
    pub headers: Vec<(HeaderName, CallerField)>,
}

impl Introduction {
    /// Puts what is said in headers there. `now` is in seconds since the Unix epoch.
    ///
    /// # Errors
    /// The statement cannot be signed: a server that relies on it must not be called without.
    pub(crate) fn add_headers(
        &self,
        caller: Option<&Arc<Caller>>,
        headers: &mut HeaderMap,
        now: u64,
    ) -> Result<(), Box<Refusal>> {
        if let Some((name, signer)) = &self.statement {
            headers.remove(name);
            if let Some(caller) = caller {
                let statement = signer.statement(caller, now).ok();
                let value = statement.and_then(|statement| HeaderValue::from_str(&statement).ok());
                headers.insert(name, sensitive(value.ok_or_else(unsigned)?));
            }
        }
        for (name, fact) in &self.headers {
            headers.remove(name);
            let value = caller.and_then(|caller| fact.header_value(caller));
            if let Some(value) = value.and_then(|value| HeaderValue::from_str(&value).ok()) {
                headers.insert(name, value);
            }
        }
        Ok(())
    }

    /// The message for the server: without credentials, without what a caller claims to be, and with what the gate says.
    pub(crate) fn message(
        &self,
        caller: Option<&Arc<Caller>>,
        message: &Message<'_>,
        bytes: &Bytes,
    ) -> Bytes {
        let mut said: SmallVec<[(&str, Vec<u8>); 2]> = SmallVec::new();
        if let Some(caller) = caller.filter(|_| message.kind == Kind::Request) {
            let json = |view| Value::Object(view).to_string().into_bytes();
            if self.meta {
                said.push((META_CALLER, json(caller.to_json())));
            }
            if self.auth_user {
                said.push((META_AUTH_USER, json(caller.to_auth_user())));
            }
        }
        if said.is_empty() {
            return message::without_meta(message, &META_KEYS).map_or_else(|| bytes.clone(), Bytes::from);
        }
        let set: SmallVec<[(&str, &[u8]); 2]> =
            said.iter().map(|(key, value)| (*key, value.as_slice())).collect();
        message::with_meta(message, &META_KEYS, &set).into()
    }
}

fn sensitive(mut value: HeaderValue) -> HeaderValue {
    value.set_sensitive(true);
    value
}

fn unsigned() -> Box<Refusal> {
    let text = "the gate cannot sign who calls right now; nothing was charged";
    Box::new(Refusal::new(Reason::VerificationFailed, text).retry_after(5))
}
