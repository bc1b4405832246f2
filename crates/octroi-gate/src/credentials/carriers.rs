//! Which carriers of credentials the operator lets in.

/// Where credentials may stand in a request besides `Authorization` and `X-PoW-Solution`, which are always read.
///
/// What stands in a carrier that is shut counts as not shown. It is taken off the request all the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Carriers {
    /// `Payment-Authorization`.
    pub payment_authorization: bool,
    /// `Macaroon` and `Grpc-Metadata-Macaroon`.
    pub macaroon: bool,
    /// `X-MCP-Auth-Composite`, its identity and its payment.
    pub composite: bool,
    /// `params._meta`, likewise.
    pub meta: bool,
}

impl Carriers {
    /// All of them.
    pub const ALL: Self = Self { payment_authorization: true, macaroon: true, composite: true, meta: true };
    /// `Authorization` alone.
    pub const NONE: Self =
        Self { payment_authorization: false, macaroon: false, composite: false, meta: false };
}

impl Default for Carriers {
    fn default() -> Self {
        Self::ALL
    }
}
