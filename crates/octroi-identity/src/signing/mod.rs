//! What the gate signs itself: statements about callers, and about who it is.

mod key;
mod ring;
mod statement;

pub(crate) use key::thumbprint;
pub use key::{KeyError, SigningKey};
pub use ring::{RotationError, SigningKeys};
pub use statement::{CallerSigner, SignerSettings};
