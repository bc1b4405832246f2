//! Tools that the gate answers itself, beside the upstream's.

use std::future::Future;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;

use octroi_identity::Caller;
use octroi_mcp::era::Era;
use octroi_mcp::message::Id;
use octroi_mcp::reply;
use serde_json::{Value, json};

/// What one of the gate's tools answers.
pub struct OwnReply {
    /// Sent as `structuredContent` and, the same JSON, as text.
    pub content: Value,
    /// Whether the call failed.
    pub is_error: bool,
}

/// One of the gate's own tools, as `tools/list` shows it.
#[derive(Clone, Debug)]
pub struct OwnTool {
    /// Its name. It shadows an upstream's tool of the same name.
    pub name: String,
    /// The raw JSON tool object.
    pub definition: Vec<u8>,
}

/// A future of a trait object.
pub type OwnFuture<'a> = Pin<Box<dyn Future<Output = OwnReply> + Send + 'a>>;

/// The gate's own tools. Always free, open to everybody, and never forwarded.
pub trait OwnTools: Send + Sync {
    /// The tools, in the order in which they are listed.
    fn tools(&self) -> &[OwnTool];

    /// Answers a call of the tool at `index` in [`OwnTools::tools`]; `arguments` is the raw JSON object, if there is one,
    /// `peer` where the request came from, if that is known.
    fn call<'a>(
        &'a self,
        index: usize,
        arguments: Option<&'a [u8]>,
        caller: Option<&'a Caller>,
        peer: Option<IpAddr>,
    ) -> OwnFuture<'a>;
}

/// The place of the tool called `name`.
pub(crate) fn find(own: Option<&Arc<dyn OwnTools>>, name: &str) -> Option<usize> {
    own?.tools().iter().position(|tool| tool.name == name)
}

/// The JSON-RPC reply that carries an own tool's answer.
pub(crate) fn reply_bytes(id: Id<'_>, reply: &OwnReply, era: Era) -> Vec<u8> {
    let mut result = json!({
        "content": [{"type": "text", "text": reply.content.to_string()}],
        "structuredContent": reply.content,
        "isError": reply.is_error,
    });
    if era == Era::Modern {
        result["resultType"] = json!("complete");
    }
    reply::result(id, result.to_string().as_bytes())
}
