//! Who calls, through the real gate: rules, lists, challenges, what the server behind is told, and tokens of its own.

mod challenges;
mod forwarding;
mod issuers;
mod operator;
mod pipes;
mod possession;
mod rules;
pub(crate) mod sign_in;

use std::time::{SystemTime, UNIX_EPOCH};

use octroi_testkit::issuer::{Endpoint, Issuer, TokenSpec};
use octroi_testkit::upstream::sample::Sample;
use serde_json::Value;

use crate::harness::{Caller, Gate, Launch};

/// An issuer, a sample server, and the gate between them.
pub(crate) struct Scene {
    pub(crate) issuer: Issuer,
    pub(crate) sample: Sample,
    pub(crate) gate: Gate,
    pub(crate) caller: Caller,
}

impl Scene {
    /// Opens the scene. `identity` are lines of `[mcp_server.auth.identity]`, in which `{token_endpoint}` and `{introspection}`
    /// stand for the issuer's; `rest` is what follows; `policies` are in `policies.cedar`.
    pub(crate) async fn open(server: &str, identity: &str, rest: &str, policies: &str) -> Self {
        Self::open_after(server, identity, rest, policies, |_| {}).await
    }

    /// The same, with something to do in the gate's folder before it starts.
    pub(crate) async fn open_after(
        server: &str,
        identity: &str,
        rest: &str,
        policies: &str,
        first: impl FnOnce(&Launch),
    ) -> Self {
        let (issuer, sample) = (Issuer::start().await.unwrap(), Sample::start().await.unwrap());
        let identity = identity
            .replace("{token_endpoint}", &issuer.token_endpoint())
            .replace("{introspection}", &issuer.endpoint(Endpoint::Introspection));
        let config = format!(
            "listen = \"127.0.0.1:0\"\n[mcp_server]\nupstream = \"{}\"\n{server}\n\
             [mcp_server.auth.identity]\nissuer = \"{}\"\n{identity}\n{rest}",
            sample.url(),
            issuer.url(),
        );
        let launch = Launch::new(&config, &[]);
        std::fs::write(launch.folder().join("policies.cedar"), policies).unwrap();
        first(&launch);
        let gate = launch.start().await;
        let caller = Caller::of(&gate);
        Self { issuer, sample, gate, caller }
    }

    /// A token for the gate.
    pub(crate) fn token(&self, spec: impl FnOnce(TokenSpec) -> TokenSpec) -> String {
        self.issuer.token(spec(TokenSpec::new("alice", &self.gate.url)))
    }

    /// What reached the server: the headers and the message of a call of `echo_request`.
    pub(crate) async fn echoed(&self, ask: crate::harness::Ask) -> (Value, Value) {
        let reply = ask.send().await;
        reply.worked();
        let echoed = reply.message["result"]["structuredContent"].clone();
        let body = echoed["body"].as_str().and_then(|body| serde_json::from_str(body).ok()).unwrap();
        (echoed["headers"].clone(), body)
    }
}

/// The value of a header that reached the server.
pub(crate) fn header<'h>(headers: &'h Value, name: &str) -> Option<&'h str> {
    let lines = headers.as_array().unwrap();
    lines.iter().find(|line| line[0] == name).and_then(|line| line[1].as_str())
}

/// Seconds since the Unix epoch.
pub(crate) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}
