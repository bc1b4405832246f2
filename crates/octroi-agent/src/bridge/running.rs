//! Calls that a legacy client may give up while the bridge still computes, asks or pays for them: their server knows nothing of
//! them yet, so that its client's `notifications/cancelled` (MCP 2025-11-25 basic/utilities/cancellation) is for the bridge. A
//! call that was sent is the server's to end. A modern client closes its request, and nothing of this is needed.

use std::collections::HashMap;

use bytes::Bytes;
use http::Extensions;
use octroi_mcp::json::Limits;
use octroi_mcp::message::{self, Kind};
use parking_lot::Mutex;
use tokio::sync::watch;

use crate::paying::Wanted;

/// What ends the waiting, by the raw ids of requests. As many as their front lets be under way at once.
#[derive(Default)]
pub(super) struct Running(Mutex<HashMap<Vec<u8>, watch::Sender<()>>>);

/// A request under way; forgotten when this is dropped.
pub(super) struct Underway<'a> {
    running: &'a Running,
    id: Vec<u8>,
}

impl Running {
    /// Looks at a message: a request can be given up from now on, and is told so by its extensions; a cancellation gives one up,
    /// and is passed on like everything else.
    pub(super) fn note(&self, body: &Bytes, extensions: &mut Extensions) -> Option<Underway<'_>> {
        let message = message::scan(body, &Limits::default()).ok()?;
        match message.kind {
            Kind::Request => {
                let id = message.id?.as_raw().to_vec();
                let (waiting, wanted) = Wanted::until_dropped();
                extensions.insert(wanted);
                self.0.lock().insert(id.clone(), waiting);
                Some(Underway { running: self, id })
            }
            _ if message.method == "notifications/cancelled" => {
                let id = message.params.request_id?;
                self.0.lock().remove(id.as_raw());
                None
            }
            _ => None,
        }
    }
}

impl Drop for Underway<'_> {
    fn drop(&mut self) {
        self.running.0.lock().remove(&self.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_given_up_by_its_id_and_no_other() {
        let running = Running::default();
        let note = |text: &str| {
            let mut extensions = Extensions::new();
            let underway = running.note(&Bytes::from(text.to_owned()), &mut extensions);
            (underway, extensions.remove::<Wanted>())
        };
        let (underway, wanted) = note(r#"{"jsonrpc":"2.0","id":"7","method":"ping"}"#);
        let wanted = wanted.unwrap();
        for other in ["7", "\"8\"", "null"] {
            note(&format!(
                r#"{{"jsonrpc":"2.0","method":"notifications/cancelled","params":{{"requestId":{other}}}}}"#
            ));
        }
        assert!(!wanted.is_over());
        note(r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":"7"}}"#);
        assert!(wanted.is_over());
        drop(underway);
        let (underway, _wanted) = note(r#"{"jsonrpc":"2.0","id":9,"method":"ping"}"#);
        assert_eq!(running.0.lock().len(), 1);
        drop(underway);
        assert!(running.0.lock().is_empty());
    }
}
