//! One MCP server behind the gate, as the routes see it.

use std::sync::Arc;

use octroi_gate::{Gate, GateLayer, GateService};
use octroi_identity::metadata::{ProtectedResource, well_known_paths};
use tower::Layer;
use url::Url;

use crate::origin::OriginRules;
use crate::upstream::Upstream;

/// The gate of one MCP server in front of its upstream.
pub struct Endpoint {
    /// Where it is served: `/mcp`, or `/NAME/mcp`.
    pub path: String,
    /// The decision.
    pub gate: Arc<Gate>,
    /// What stands behind it.
    pub upstream: Upstream,
    /// The gate's layer over the upstream.
    pub service: GateService<Upstream>,
    /// Which browsers may call.
    pub origins: OriginRules,
    /// Protected resource metadata (RFC 9728) and the paths it is served at; `None` where nobody is identified.
    pub metadata: Option<Metadata>,
    /// The public keys of receipts, a JWK set; `None` where none are given.
    pub receipt_keys: Option<String>,
}

/// A protected resource metadata document.
pub struct Metadata {
    /// Path-derived first (RFC 9728 §3.1), then root.
    pub paths: Vec<String>,
    /// The JSON.
    pub document: String,
}

impl Endpoint {
    /// Puts `gate` in front of `upstream`. `resource` is the public URL of the endpoint, `keys` that of the key set its
    /// statements about callers are signed with.
    pub fn new(
        path: String,
        resource: &Url,
        keys: Option<String>,
        gate: Gate,
        upstream: Upstream,
        origins: OriginRules,
    ) -> Self {
        let gate = Arc::new(gate);
        let metadata = gate.identity().map(|desk| {
            let scopes = desk.required_scopes().iter().cloned().chain(gate.policy().scopes());
            let mut document = ProtectedResource::new(resource, desk.verifier().issuers())
                .with_scopes(scopes)
                .with_name(gate.service());
            if let Some(possession) = desk.possession() {
                document = document.with_possession(possession.verifier.algorithms(), possession.required);
            }
            if let Some(keys) = &keys {
                document = document.with_keys(keys);
            }
            Metadata { paths: well_known_paths(resource), document: document.to_json() }
        });
        let service = GateLayer::new(Arc::clone(&gate)).layer(upstream.clone());
        Self { path, gate, upstream, service, origins, metadata, receipt_keys: None }
    }

    /// The same endpoint, which publishes these keys (a JWK set) beneath its path.
    #[must_use]
    pub fn with_receipt_keys(self, set: String) -> Self {
        Self { receipt_keys: Some(set), ..self }
    }
}
