//! The decision: policy, identity, payment and ledger make a verdict.
//!
//! A [`Gate`] stands in front of one MCP server. [`Gate::judge`] decides on one call; [`GateLayer`] puts the gate in
//! front of any tower service, forwards what was judged, and settles what was held. There is no listener and no
//! routing here: `octroi-server` has those, and so has every program that embeds this layer.
#![forbid(unsafe_code)]

mod access;
mod bodiless;
mod body;
#[cfg(feature = "cedar")]
pub mod cedar;
mod charge;
mod clock;
mod counters;
pub mod credentials;
pub mod customers;
mod desk;
mod exchange;
mod forms;
mod forward;
mod gate;
mod generations;
mod introduction;
pub mod invariants;
pub mod invoices;
mod limit;
mod listing;
mod on_behalf;
mod own_tools;
mod parts;
pub mod policy;
pub mod price;
mod reason;
pub mod receipts;
pub mod reconcile;
mod refusal;
mod replay;
mod service;
mod sessions;
mod till;

pub use body::{BoxError, GateBody};
pub use charge::{Answered, Charge, Settled};
pub use counters::Counters;
pub use desk::{IdentityDesk, Possession};
pub use forward::RequestHeaders;
pub use gate::{Admission, Call, Gate};
pub use introduction::Introduction;
pub use limit::Rate;
pub use listing::{PRICE_KEY, announced, announcement};
pub use on_behalf::OnBehalf;
pub use own_tools::{OwnFuture, OwnReply, OwnTool, OwnTools};
pub use parts::{ChallengeStyle, GateParts, Limits, ListStyle};
pub use reason::Reason;
pub use receipts::{RECEIPT_KEY, ReceiptDesk, SignedReceipt};
pub use refusal::{Form, Forms, IDENTITY_REQUIRED_KEY, PAYMENT_REQUIRED_KEY, Refusal, WWW_AUTHENTICATE_KEY};
pub use service::{GateLayer, GateService, Inner, InnerBody, RequestBody};
pub use till::{
    AccessTokens, BadToken, Bind, Budget, Budgets, FailedPayments, Failure, KeyRejected, RECOVER_MAX,
    Tallied, Till, TillSettings, WorkAsk, WorkClaims, WorkDesk, WorkGrant, WorkSettings, challenge_json,
};
