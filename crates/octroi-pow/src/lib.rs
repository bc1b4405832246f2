//! Proof of work: puzzles, verification, solver. No I/O.
//!
//! A [`Challenge`] asks for a text, the *nonce*, with `SHA-256(utf8(salt) ‖ utf8(nonce)) < target`. The [`Signer`]
//! issues challenges and judges solutions; it keeps nothing between the two, because the challenge carries its terms
//! and an HMAC over all of them.
//!
//! **A solution is not spent here.** Whoever redeems one must note its [`Solution::id`] in a durable place until
//! [`Solution::expires_at`], insert-if-absent, and refuse it the second time: the ledger does.
//!
//! Anyone can check a solution with a shell. For salt `octroi` and nonce `0000000000109866` at 20 bits:
//!
//! ```text
//! $ printf %s octroi 0000000000109866 | sha256sum
//! ```
//!
//! Randomness and the time (unix seconds) are handed in, except in [`Signer::generate`].
#![forbid(unsafe_code)]

mod challenge;
mod difficulty;
mod sealed;
mod signer;
pub mod solver;
mod submission;

pub use challenge::{Algorithm, Binding, Challenge, ChallengeError, MAX_TOKEN};
pub use difficulty::{Difficulty, DifficultyError};
pub use signer::{MAX_KEYS, PowError, Request, Signer, SignerError, Solution};
pub use submission::{MAX_NONCE, Submission, SubmissionError};
