//! The decision: policy, identity, payment and ledger make a verdict.
//!
//! A [`Gate`] stands in front of one MCP server. [`Gate::judge`] decides on one call; [`GateLayer`] puts the gate in
//! front of any tower service, forwards what was judged, and settles what was held. There is no listener and no
//! routing here: `octroi-server` has those, and so has every program that embeds this layer.
#![forbid(unsafe_code)]

mod body;
mod charge;
mod counters;
pub mod credentials;
mod desk;
mod exchange;
mod forward;
mod gate;
pub mod invariants;
pub mod invoices;
mod limit;
mod listing;
mod own_tools;
pub mod policy;
pub mod price;
mod reason;
mod refusal;
mod service;
mod till;

pub use body::{BoxError, GateBody};
pub use charge::{Answered, Charge, Settled};
pub use counters::Counters;
pub use desk::IdentityDesk;
pub use forward::RequestHeaders;
pub use gate::{Admission, Call, ChallengeStyle, Gate, GateParts, Limits};
pub use limit::Rate;
pub use listing::{Listing, PRICE_KEY, announced, announcement};
pub use own_tools::{OwnFuture, OwnReply, OwnTool, OwnTools};
pub use reason::Reason;
pub use refusal::{Form, PAYMENT_REQUIRED_KEY, Refusal};
pub use service::{GateLayer, GateService, Inner, InnerBody, RequestBody};
pub use till::{
    AccessTokens, BadToken, Bind, KeyRejected, Tallied, Till, TillSettings, WorkAsk, WorkClaims, WorkDesk,
    WorkGrant, WorkSettings, challenge_json,
};
