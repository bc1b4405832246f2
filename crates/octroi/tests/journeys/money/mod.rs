//! Paying for calls: real invoices, paid over a real channel.

pub(crate) mod backends;
mod carriers;
mod credit;
mod dropped;
mod failures;
mod fleet;
mod flood;
mod identity;
mod macaroons;
mod receipts;
mod refunds;
mod vouchers;
