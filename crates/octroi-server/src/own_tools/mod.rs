//! The gate's own MCP tools: `challenge`, `verify`, `status`.
//!
//! They answer with the same JSON as `structuredContent` and as text, and as the HTTP endpoints do.

mod definitions;

use std::net::IpAddr;
use std::sync::Arc;

use octroi_gate::policy::Policy;
use octroi_gate::{OwnFuture, OwnReply, OwnTool, OwnTools, Till};
use octroi_identity::Caller;
use serde_json::json;

use crate::free_door::{self, Place, Visit};

/// The names the tools go by; `None` leaves one out.
#[derive(Clone, Debug)]
pub struct ToolNames {
    /// Asks for a puzzle.
    pub challenge: Option<String>,
    /// Hands in its solution.
    pub verify: Option<String>,
    /// Tells prices and how to pay.
    pub status: Option<String>,
}

#[derive(Clone, Copy)]
enum Which {
    Challenge,
    Verify,
    Status,
}

/// The gate's own tools for one MCP server.
pub struct GateTools {
    service: String,
    policy: Policy,
    till: Option<Arc<Till>>,
    tools: Vec<OwnTool>,
    which: Vec<Which>,
}

impl GateTools {
    /// `challenge` and `verify` exist only where there is a free door.
    pub fn new(service: &str, policy: &Policy, till: Option<Arc<Till>>, names: &ToolNames) -> Self {
        let free_door = till.as_ref().is_some_and(|till| till.work().is_some());
        let wanted = [
            (names.challenge.as_ref().filter(|_| free_door), Which::Challenge),
            (names.verify.as_ref().filter(|_| free_door), Which::Verify),
            (names.status.as_ref(), Which::Status),
        ];
        let (mut tools, mut which) = (Vec::new(), Vec::new());
        for (name, kind) in wanted {
            let Some(name) = name else { continue };
            let definition = match kind {
                Which::Challenge => definitions::challenge(name),
                Which::Verify => definitions::verify(name),
                Which::Status => definitions::status(name),
            };
            tools.push(OwnTool { name: name.clone(), definition: definition.to_string().into_bytes() });
            which.push(kind);
        }
        Self { service: service.to_owned(), policy: policy.clone(), till, tools, which }
    }
}

impl OwnTools for GateTools {
    fn tools(&self) -> &[OwnTool] {
        &self.tools
    }

    fn call<'a>(
        &'a self,
        index: usize,
        arguments: Option<&'a [u8]>,
        caller: Option<&'a Caller>,
        peer: Option<IpAddr>,
    ) -> OwnFuture<'a> {
        Box::pin(async move {
            let till = self.till.as_deref();
            let place = Place { service: &self.service, policy: &self.policy, till };
            let (visit, arguments) = (Visit { caller, peer }, arguments.unwrap_or(b"{}"));
            let answered = match self.which.get(index) {
                Some(Which::Challenge) => free_door::challenge(&place, arguments, visit),
                Some(Which::Verify) => free_door::verify(&place, arguments, visit).await,
                _ => Ok(free_door::status(&place)),
            };
            match answered {
                Ok(content) => OwnReply { content, is_error: false },
                Err(refusal) => OwnReply {
                    content: json!({"reason": refusal.reason.code(), "message": refusal.message}),
                    is_error: true,
                },
            }
        })
    }
}
