//! On behalf of the caller: a token for the server behind the gate, in exchange for the caller's.

use std::sync::Arc;

use http::HeaderValue;
use octroi_identity::{Caller, ExchangeError, ExchangeTarget, Subject, TokenExchange};

use crate::gate::Gate;
use crate::policy::OPEN;
use crate::reason::Reason;
use crate::refusal::Refusal;

/// Where callers' tokens are exchanged, and for what.
pub struct OnBehalf {
    /// Asks the issuer.
    pub exchange: Arc<TokenExchange>,
    /// What the new tokens are for.
    pub target: ExchangeTarget,
}

impl Gate {
    /// The `Authorization` of the request to the server behind the gate: a token of the caller's for that server. `None`
    /// where nothing is exchanged, or nobody showed a token.
    ///
    /// It is asked for when the call is admitted and its price is held: who may not call causes no exchange, and where
    /// there is no token the hold is given back.
    ///
    /// # Errors
    /// 401 where another token of the caller's would help, 403 where none would, 502 where it is not the caller's fault.
    pub(crate) async fn authorization(
        &self,
        caller: Option<&Arc<Caller>>,
        token: Option<&str>,
        now: u64,
    ) -> Result<Option<HeaderValue>, Box<Refusal>> {
        let (Some(on_behalf), Some(caller), Some(token)) = (&self.on_behalf, caller, token) else {
            return Ok(None);
        };
        // A caller that is bound to a key has proved to hold it: the desk admits no other.
        let subject = Subject { token, caller, proven: caller.is_sender_constrained() };
        let exchanged = on_behalf.exchange.exchange(subject, &on_behalf.target, now).await;
        let token = exchanged.map_err(|error| self.not_exchanged(&error, now))?;
        let value = HeaderValue::from_str(&format!("Bearer {}", token.token.reveal()));
        let mut value = value.map_err(|_| self.not_exchanged(&ExchangeError::Unavailable, now))?;
        value.set_sensitive(true);
        Ok(Some(value))
    }

    fn not_exchanged(&self, error: &ExchangeError, now: u64) -> Box<Refusal> {
        let text = format!("no token for the server behind the gate: {error}; nothing was charged");
        match (error.status(), self.identity()) {
            (401, Some(desk)) => desk.sign_in_again(text, self.needs(&OPEN, now)),
            (403, _) => Box::new(Refusal::new(Reason::ToolForbidden, text)),
            _ => {
                tracing::warn!(service = %self.service, %error, "a token could not be exchanged");
                Box::new(Refusal::new(Reason::UpstreamUnavailable, text))
            }
        }
    }
}
