//! L402: macaroons, challenge and credential text. No I/O.
