//! L402: macaroons, challenge and credential text. No I/O.
//!
//! Everything here is a pure function of its arguments: bytes, the time (unix seconds) and randomness are handed
//! in. Only the constructors named `generate`, and sealing, ask the operating system for randomness.
//!
//! The walk of a credential: [`Credential::parse`] (or [`Credential::from_macaroon_hex`]) reads the text,
//! [`verify`] judges it against the [`MasterKeys`], and the [`Verified`] terms say with
//! [`Verified::permits`] what it may be used for. What has been *spent* is not known here: a macaroon names a
//! ledger account by its [`TokenId`], and the ledger keeps the count.
#![forbid(unsafe_code)]

mod amount;
pub mod caveat;
pub mod challenge;
pub mod credential;
mod hex32;
mod identifier;
pub mod invariants;
pub mod keys;
pub mod macaroon;
pub mod receipt;
pub mod sealed;

pub use amount::Msat;
pub use caveat::{Budget, Counted, Terms};
pub use challenge::{Challenge, Offer};
pub use credential::{Credential, NotPermitted, Verified, VerifyError, authenticate, verify};
pub use identifier::{Identifier, IdentifierError, PaymentHash, Preimage, TokenId};
pub use keys::{MasterKeys, RootKey};
pub use macaroon::{Macaroon, MacaroonView};
pub use receipt::{Receipt, ReceiptKey, ReceiptKeys};
