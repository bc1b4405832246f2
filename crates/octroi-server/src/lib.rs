//! The running gate: listeners, routes, upstreams, the gate's own tools, admin and metrics.
//!
//! A request comes in at the [`Listener`], finds its [`Endpoint`] through the [`Routes`], passes the
//! [`Gate`](octroi_gate::Gate) and reaches an [`upstream`]. [`stdio_front`] drives the same service from standard input.
#![forbid(unsafe_code)]

mod admin;
mod bill_pages;
mod clock;
mod endpoint;
mod free_door;
mod identity_pages;
mod ledger_pages;
mod lightning_metrics;
pub mod lightning_pages;
mod listener;
mod metrics;
mod operator_key;
mod origin;
mod own_tools;
mod proxies;
mod reconcile_pages;
mod routes;
mod spending_pages;
pub mod stdio_front;
pub mod stripe;
pub mod upstream;

pub use admin::Admin;
pub use bill_pages::{BillError, BillFate, BillReply, BillRequest, settle_bills};
pub use endpoint::{Endpoint, Metadata};
pub use ledger_pages::{RevocationRequest, Revoked, VoucherRequest};
pub use listener::Listener;
pub use operator_key::{OperatorKey, SEAL_HEADER};
pub use origin::OriginRules;
pub use own_tools::{GateTools, ToolNames};
pub use proxies::TrustedProxies;
pub use reconcile_pages::{ReconcileReply, ReconcileRequest};
pub use routes::{JWKS_PATH, ReplyBody, Routes};
pub use spending_pages::{CloseRequest, OpenRequest, PayRequest, RequestId, WithdrawRequest};
