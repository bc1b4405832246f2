//! The free door: calls bought with computation.

mod access_token;
mod desk;
mod tally;

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use octroi_l402::{Identifier, Preimage, Terms, TokenId};
use octroi_ledger::{AccountRef, Credited, HoldRefused, Unit, Work};
use octroi_mcp::digest::arguments_digest;
use octroi_pow::{Binding, Challenge, Request, Solution, Submission};
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::{Problem, Refused, Sale, Till};
use crate::charge::Charge;
use crate::reason::Reason;
use crate::refusal::Refusal;

pub use access_token::{AccessTokens, BadToken, KeyRejected, WorkClaims};
pub(crate) use desk::FreeCall;
pub use desk::{Bind, WorkAsk, WorkDesk, WorkSettings};
pub use tally::Tallied;

/// What a solution bought.
pub struct WorkGrant {
    /// Standard base64 of the binary macaroon.
    pub macaroon: String,
    /// `<macaroon>:<preimage>`, which is what follows `L402 ` in `Authorization`. Secret.
    pub token: String,
    /// The same in a form that other services can check. Secret.
    pub access_token: String,
    /// How long both may be used, in seconds.
    pub ttl_seconds: u64,
    /// How many calls they are good for.
    pub calls: u32,
    /// The only tool they are for.
    pub tool: Option<String>,
}

/// The challenge as a client gets it: its fields, and the token that goes into an `X-PoW-Solution` header.
pub fn challenge_json(challenge: &Challenge) -> Value {
    let mut json = serde_json::to_value(challenge).unwrap_or_default();
    json["token"] = challenge.to_token().into();
    json
}

impl Till {
    /// The challenge that goes into a 402, where work may stand in for the price.
    pub(super) fn work_challenge(&self, sale: &Sale<'_>) -> Option<Value> {
        let desk = self.work.as_ref().filter(|_| sale.rule.work_accepted)?;
        let bind = &desk.settings().bind;
        let ask = WorkAsk {
            tool: desk.binds_tool().then_some(sale.subject),
            principal: sale.owner.filter(|_| bind.principal),
            arguments_digest: bind.arguments.then(|| arguments_digest(sale.arguments)),
            peer: sale.peer,
        };
        desk.challenge(sale.service, &ask, sale.now).ok().map(|challenge| challenge_json(&challenge))
    }

    /// A solution shown on the call itself: buys this one call and is spent with it.
    pub(super) async fn take_solution(
        &self,
        sale: &Sale<'_>,
        solution: &Submission,
    ) -> Result<Charge, Problem> {
        let Some(desk) = self.work.as_ref().filter(|_| sale.rule.work_accepted) else {
            return Err(Problem::new(Reason::InvalidSolution, "this call does not take work"));
        };
        // Only where the puzzle is bound to arguments is there anything to hash.
        let bound = solution.challenge.binding.arguments_digest.is_some();
        let digest = bound.then(|| arguments_digest(sale.arguments));
        let request = Request {
            service: sale.service,
            tool: Some(sale.subject),
            principal: sale.owner.as_ref(),
            arguments_digest: digest.as_ref(),
        };
        let ask = WorkAsk {
            tool: Some(sale.subject),
            principal: sale.owner,
            peer: sale.peer,
            ..WorkAsk::default()
        };
        let redeemed = self.redeem(desk, solution, 1, &request, &ask, sale.now).await;
        let token_id = redeemed.map_err(Problem::or_pay)?;
        let hold = self.hold(sale, AccountRef::Token(token_id), Unit::Call, None).await;
        hold.map_err(|refused| match refused {
            Refused::Ledger(
                HoldRefused::Unknown | HoldRefused::Insufficient { .. } | HoldRefused::Expired,
            ) => Problem::new(Reason::InvalidSolution, "the solution is already spent"),
            other => other.into_problem(),
        })
    }

    /// Exchanges a solution for a credential and an access token. Where the puzzle is bound to a tool, a principal or
    /// arguments, so is what it buys; `ask` says who brings it.
    ///
    /// # Errors
    /// [`Reason::InvalidSolution`]; [`Reason::RateLimited`] where the door is full; or the ledger cannot record it. It is not
    /// spent then, except where it was spent before.
    pub async fn exchange_work(
        &self,
        service: &str,
        solution: &Submission,
        ask: &WorkAsk<'_>,
        now: u64,
    ) -> Result<WorkGrant, Box<Refusal>> {
        let Some(desk) = &self.work else {
            return Err(Box::new(Refusal::new(Reason::InvalidSolution, "this server does not take work")));
        };
        let Binding { tool, arguments_digest, calls, .. } = &solution.challenge.binding;
        let request = Request {
            service,
            tool: tool.as_deref(),
            principal: ask.principal.as_ref(),
            arguments_digest: arguments_digest.as_ref(),
        };
        let ask = WorkAsk { tool: tool.as_deref(), ..*ask };
        let redeemed = self.redeem(desk, solution, *calls, &request, &ask, now).await;
        let token_id = redeemed.map_err(Problem::into_refusal)?;
        self.grant(desk, token_id, &solution.challenge, now)
            .ok_or_else(|| Box::new(Refusal::new(Reason::LedgerUnavailable, "no credential could be made")))
    }

    /// Spends a solution: once per challenge, whatever happens afterwards. The cheap checks come first.
    async fn redeem(
        &self,
        desk: &Arc<WorkDesk>,
        solution: &Submission,
        calls: u32,
        request: &Request<'_>,
        ask: &WorkAsk<'_>,
        now: u64,
    ) -> Result<TokenId, Problem> {
        let solved = desk
            .verify(solution, now, request)
            .map_err(|error| Problem::new(Reason::InvalidSolution, error))?;
        if !desk.claim(&solved) {
            return Err(Problem::new(Reason::InvalidSolution, "the solution is already spent"));
        }
        if let Err(full) = desk.admit(&solved, calls, ask) {
            desk.give_back(&solved);
            return Err(Problem::new(Reason::RateLimited, full).retry_after(full.retry_after_seconds));
        }
        let token_id = self.work_token(&solved.id);
        let work = Work {
            challenge_id: solved.id,
            token_id,
            owner: solution.challenge.binding.principal,
            service: request.service.to_owned(),
            calls,
            // Never before the puzzle itself: until then its id must be remembered as spent.
            expires_at: solved.expires_at.max(now + desk.settings().credential_ttl_seconds),
        };
        self.book(desk, &solved, work, now).await.map(|()| token_id)
    }

    /// The ledger has the last word on what is spent: it outlives a restart, and gates may share one.
    async fn book(&self, desk: &WorkDesk, solved: &Solution, work: Work, now: u64) -> Result<(), Problem> {
        match self.settings.ledger.credit_work(work).await {
            Ok(credited) => {
                let new = matches!(credited, Credited::New { .. });
                if new {
                    desk.count_solved(solved, now);
                    Ok(())
                } else {
                    Err(Problem::new(Reason::InvalidSolution, "the solution is already spent"))
                }
            }
            Err(error) => {
                tracing::warn!(%error, "work could not be booked");
                desk.give_back(solved);
                let text = "the ledger cannot record the solution right now; it is not spent";
                Err(Problem::Fatal(Box::new(Refusal::new(Reason::LedgerUnavailable, text).retry_after(1))))
            }
        }
    }

    /// The account that a challenge's solution opens, derived so that one challenge can open only one.
    fn work_token(&self, challenge_id: &[u8; 16]) -> TokenId {
        let mut hasher = Sha256::new();
        hasher.update(b"octroi work account v1");
        hasher.update(challenge_id);
        let digest: [u8; 32] = hasher.finalize().into();
        let mut random = [0; 28];
        random.copy_from_slice(&digest[..28]);
        self.settings.keys.new_token_id(random)
    }

    /// A credential for a work account. Its preimage is random and goes with it: there was no invoice to open.
    fn grant(
        &self,
        desk: &WorkDesk,
        token_id: TokenId,
        challenge: &Challenge,
        now: u64,
    ) -> Option<WorkGrant> {
        let settings = desk.settings();
        let Binding { tool, principal, arguments_digest, calls, service } = &challenge.binding;
        let ttl_seconds = settings.credential_ttl_seconds;
        let mut secret = [0; 32];
        getrandom::fill(&mut secret).ok()?;
        let preimage = Preimage::from_bytes(secret);
        let identifier = Identifier { payment_hash: preimage.payment_hash(), token_id };
        let mut terms = Terms::new(service);
        terms.tools = tool.clone().map(|tool| vec![tool]);
        terms.principal = *principal;
        terms.arguments_digest = *arguments_digest;
        terms.valid_until = Some(now + ttl_seconds);
        terms.calls = Some(*calls);
        let macaroon = STANDARD.encode(self.sign(&identifier, &terms.to_caveats().ok()?)?);
        let access_token = settings.access_tokens.issue(&WorkClaims {
            audience: &settings.audience,
            principal: *principal,
            challenge_id: challenge.id,
            service,
            tool: tool.as_deref(),
            calls: *calls,
            bits: challenge.difficulty.bits(),
            issued_at: now,
            expires_at: now + ttl_seconds,
        })?;
        let token = format!("{macaroon}:{}", preimage.to_hex());
        Some(WorkGrant { macaroon, token, access_token, ttl_seconds, calls: *calls, tool: tool.clone() })
    }
}
