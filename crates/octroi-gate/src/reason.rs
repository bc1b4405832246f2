//! Why a call was refused: one table, the same in the HTTP body, in JSON-RPC `error.data.reason` and in metrics.

use http::StatusCode;

/// A stable reason code. Adding one is a change of the public contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Reason {
    /// The call was made and charged before, and its answer was too long to keep.
    AnswerNotKept,
    /// The operator lets nobody spend more in this minute, hour or day.
    BudgetExceeded,
    /// The same call is under way and did not end while it was waited for.
    CallInProgress,
    /// The credential outlived its `valid_until`; its money is kept and a renewed credential is offered.
    CredentialExpired,
    /// The credential is genuine and paid, but its account no longer holds the price.
    CredentialSpent,
    /// Another call was made under this `Idempotency-Key`.
    IdempotencyConflict,
    /// The access token is genuine but lacks a scope that this call needs.
    InsufficientScope,
    /// The price follows from the call's arguments, and none follows from these.
    InvalidArguments,
    /// The payment credential could not be read, was not signed by this gate, or is bound to another caller.
    InvalidMacaroon,
    /// The proof of work is forged, expired, unsolved, already spent, or meant for another call.
    InvalidSolution,
    /// The access token is malformed, expired, or not meant for this server.
    InvalidToken,
    /// The ledger cannot record the charge; nothing was charged.
    LedgerUnavailable,
    /// The request is not a well-formed MCP message, or carries contradicting credentials.
    MalformedRequest,
    /// The call needs an access token and none was shown.
    MissingToken,
    /// No Lightning node can receive the price right now.
    NoLiquidity,
    /// The call has a price and no payment was shown.
    PaymentRequired,
    /// The preimage is right, but the node has not settled the invoice.
    PaymentUnverified,
    /// The caller's allowance for this tool is used up for now.
    RateLimited,
    /// The policy lets nobody, or not this caller, make this call.
    ToolForbidden,
    /// The server behind the gate did not answer.
    UpstreamUnavailable,
    /// The issuer's keys could not be had, so the token could be neither accepted nor refused.
    VerificationFailed,
    /// The credential is genuine but was bought for another tool.
    WrongTool,
}

impl Reason {
    /// Every reason, in the order of their codes; the index of a reason is its place in metrics.
    pub const ALL: [Self; 22] = [
        Self::AnswerNotKept,
        Self::BudgetExceeded,
        Self::CallInProgress,
        Self::CredentialExpired,
        Self::CredentialSpent,
        Self::IdempotencyConflict,
        Self::InsufficientScope,
        Self::InvalidArguments,
        Self::InvalidMacaroon,
        Self::InvalidSolution,
        Self::InvalidToken,
        Self::LedgerUnavailable,
        Self::MalformedRequest,
        Self::MissingToken,
        Self::NoLiquidity,
        Self::PaymentRequired,
        Self::PaymentUnverified,
        Self::RateLimited,
        Self::ToolForbidden,
        Self::UpstreamUnavailable,
        Self::VerificationFailed,
        Self::WrongTool,
    ];

    /// The code as it stands on the wire.
    pub const fn code(self) -> &'static str {
        match self {
            Self::AnswerNotKept => "ANSWER_NOT_KEPT",
            Self::BudgetExceeded => "BUDGET_EXCEEDED",
            Self::CallInProgress => "CALL_IN_PROGRESS",
            Self::CredentialExpired => "CREDENTIAL_EXPIRED",
            Self::CredentialSpent => "CREDENTIAL_SPENT",
            Self::IdempotencyConflict => "IDEMPOTENCY_CONFLICT",
            Self::InsufficientScope => "INSUFFICIENT_SCOPE",
            Self::InvalidArguments => "INVALID_ARGUMENTS",
            Self::InvalidMacaroon => "INVALID_MACAROON",
            Self::InvalidSolution => "INVALID_SOLUTION",
            Self::InvalidToken => "INVALID_TOKEN",
            Self::LedgerUnavailable => "LEDGER_UNAVAILABLE",
            Self::MalformedRequest => "MALFORMED_REQUEST",
            Self::MissingToken => "MISSING_TOKEN",
            Self::NoLiquidity => "NO_LIQUIDITY",
            Self::PaymentRequired => "PAYMENT_REQUIRED",
            Self::PaymentUnverified => "PAYMENT_UNVERIFIED",
            Self::RateLimited => "RATE_LIMITED",
            Self::ToolForbidden => "TOOL_FORBIDDEN",
            Self::UpstreamUnavailable => "UPSTREAM_UNAVAILABLE",
            Self::VerificationFailed => "VERIFICATION_FAILED",
            Self::WrongTool => "WRONG_TOOL",
        }
    }

    /// The HTTP status that goes with the reason.
    ///
    /// Every payment trouble is a 402 with a fresh challenge, never a 401: a 401 would send an MCP client into its
    /// OAuth flow although its token was fine.
    pub const fn status(self) -> StatusCode {
        match self {
            Self::MissingToken | Self::InvalidToken => StatusCode::UNAUTHORIZED,
            Self::InsufficientScope | Self::ToolForbidden => StatusCode::FORBIDDEN,
            Self::CredentialExpired
            | Self::CredentialSpent
            | Self::InvalidMacaroon
            | Self::InvalidSolution
            | Self::PaymentRequired
            | Self::PaymentUnverified
            | Self::WrongTool => StatusCode::PAYMENT_REQUIRED,
            Self::InvalidArguments | Self::MalformedRequest => StatusCode::BAD_REQUEST,
            Self::AnswerNotKept | Self::CallInProgress | Self::IdempotencyConflict => StatusCode::CONFLICT,
            Self::BudgetExceeded | Self::RateLimited => StatusCode::TOO_MANY_REQUESTS,
            Self::LedgerUnavailable | Self::NoLiquidity | Self::VerificationFailed => {
                StatusCode::SERVICE_UNAVAILABLE
            }
            Self::UpstreamUnavailable => StatusCode::BAD_GATEWAY,
        }
    }

    /// The JSON-RPC error code: the HTTP status as a number.
    ///
    /// MCP 2026-07-28 reserves −32020…−32099 and asks new codes to lie outside −32768…−32000, so a plain `402` is legal
    /// where `-32042` is not.
    pub const fn json_rpc_code(self) -> i64 {
        self.status().as_u16() as i64
    }

    /// Whether the refusal is about money, so that it may be said in band to a plain MCP client.
    pub fn is_payment(self) -> bool {
        self.status() == StatusCode::PAYMENT_REQUIRED || self == Self::NoLiquidity
    }

    /// Whether the refusal is about who calls, so that it may be said in band to a client that does not see HTTP.
    pub const fn is_identity(self) -> bool {
        matches!(
            self,
            Self::InsufficientScope
                | Self::InvalidToken
                | Self::MissingToken
                | Self::ToolForbidden
                | Self::VerificationFailed
        )
    }

    /// The place of this reason in [`Reason::ALL`].
    pub const fn index(self) -> usize {
        self as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_unique_and_indexed_in_order() {
        for (i, r) in Reason::ALL.iter().enumerate() {
            assert_eq!(r.index(), i);
            assert_eq!(Reason::ALL.iter().filter(|o| o.code() == r.code()).count(), 1);
        }
    }

    #[test]
    fn no_code_lies_in_the_range_json_rpc_reserves() {
        assert!(Reason::ALL.iter().all(|r| (400..=503).contains(&r.json_rpc_code())));
    }
}
