//! Proof of work: puzzles, verification, solver. No I/O.
//!
//! A [`Challenge`] asks for a text, the *nonce*, with `SHA-256(utf8(salt) ‖ utf8(nonce)) < target`. The [`Signer`]
//! issues challenges and judges solutions; it keeps nothing between the two, because the challenge carries its terms
//! and an HMAC over all of them.
//!
//! **A solution is not spent here.** Whoever redeems one must note its [`Solution::id`] in a durable place until
//! [`Solution::expires_at`], insert-if-absent, and refuse it the second time: the ledger does.
//!
//! Anyone can check a solution with a shell. The nonce `00000000001c873f` solves the salt `octroi` at 20 and even 21 bits:
//!
//! ```text
//! $ printf %s octroi 00000000001c873f | sha256sum
//! 000006a9550173e46683fd3dbf502e7394a612f832989bd7ae10f6d088324303  -
//! ```
//!
//! Randomness and the time (unix seconds) are handed in, except in [`Signer::generate`].
#![forbid(unsafe_code)]

mod algorithm;
mod challenge;
mod difficulty;
pub mod door;
#[cfg(feature = "equix")]
mod equi;
pub mod invariants;
mod sealed;
mod signer;
pub mod simulate;
pub mod solver;
mod submission;

pub use algorithm::{Algorithm, PARTS, Unavailable};
pub use challenge::{Binding, Challenge, ChallengeError, MAX_TOKEN};
pub use difficulty::{Difficulty, DifficultyError};
pub use signer::{MAX_KEYS, PowError, Request, Signer, SignerError, Solution};
pub use submission::{MAX_NONCE, Submission, SubmissionError};
