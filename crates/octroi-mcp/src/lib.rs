//! The MCP envelope: strict scan, eras, headers, SSE frames, replies. No I/O.
//!
//! The rule this crate keeps: *what was judged is what is forwarded*. [`message::scan`] reads a request body once,
//! borrowing from it, and refuses everything two JSON readers could understand differently (duplicate keys, lone
//! surrogates, case variants of the keys that are judged). Whoever forwards the call forwards those same bytes.
//!
//! This crate knows nothing of money or identity, and does no I/O.

pub mod digest;
pub mod era;
pub mod headers;
pub mod invariants;
pub mod json;
pub mod lists;
pub mod message;
pub mod method;
pub mod reply;
pub mod sse;
