//! What the agent's commands share: who pays, who calls, what is shown meanwhile, and how they end.

mod exit;
mod identity;
mod payer;
mod person;
mod places;
mod progress;
mod text;
mod wallet;

pub(super) use exit::{EXIT_IDENTITY, EXIT_PAYMENT, EXIT_REFUSED, EXIT_TOOL, finish};
pub(super) use identity::{IdentityArgs, WhenToAsk};
pub(super) use payer::{Funds, PayerArgs};
pub(super) use progress::progress;
pub(super) use text::{paid_json, sats, secret};
