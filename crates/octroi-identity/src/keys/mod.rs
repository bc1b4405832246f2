//! The issuer's keys: where they are, how they are fetched, and how long they are trusted.

pub(crate) mod discovery;
mod jwk;
mod store;

pub(crate) use jwk::{Answer, Key, KeySet};
pub(crate) use store::KeyStore;
