//! The free door: calls bought with computation.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use octroi_l402::{Identifier, Preimage, Terms, TokenId};
use octroi_ledger::{AccountRef, Credited, HoldRefused, Unit, Work};
use octroi_pow::{Binding, Challenge, Difficulty, PowError, Request, Signer, Solution, Submission};
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::{Problem, Sale, Till, unavailable};
use crate::charge::Charge;
use crate::reason::Reason;
use crate::refusal::Refusal;

/// What the free door asks and gives.
#[derive(Clone)]
pub struct WorkSettings {
    /// Signs challenges.
    pub signer: Signer,
    /// How hard a challenge is.
    pub difficulty: Difficulty,
    /// How many calls one solution buys at `verify`. Shown on a call itself, a solution buys that call.
    pub calls: u32,
    /// How long a challenge may be solved, in seconds.
    pub challenge_ttl_seconds: u64,
    /// How long the credential that a solution buys may be used, in seconds.
    pub credential_ttl_seconds: u64,
}

/// Hands out challenges and counts them.
pub struct WorkDesk {
    settings: WorkSettings,
    issued: AtomicU64,
    solved: AtomicU64,
}

/// What a solution bought.
pub struct WorkGrant {
    /// Standard base64 of the binary macaroon.
    pub macaroon: String,
    /// `<macaroon>:<preimage>`, which is what follows `L402 ` in `Authorization`. Secret.
    pub token: String,
    /// How long it may be used, in seconds.
    pub ttl_seconds: u64,
    /// How many calls it is good for.
    pub calls: u32,
}

impl WorkDesk {
    pub(super) fn new(settings: WorkSettings) -> Self {
        Self { settings, issued: AtomicU64::new(0), solved: AtomicU64::new(0) }
    }

    /// How hard a challenge is now.
    pub fn difficulty(&self) -> Difficulty {
        self.settings.difficulty
    }

    /// Challenges handed out since the start, those inside a 402 included.
    pub fn issued(&self) -> u64 {
        self.issued.load(Relaxed)
    }

    /// Challenges redeemed since the start.
    pub fn solved(&self) -> u64 {
        self.solved.load(Relaxed)
    }

    /// A challenge for `service`. Nothing about it is remembered.
    ///
    /// # Errors
    /// The operating system gives no randomness.
    pub fn challenge(&self, service: &str, now: u64) -> Result<Challenge, getrandom::Error> {
        let mut id = [0; 16];
        getrandom::fill(&mut id)?;
        self.issued.fetch_add(1, Relaxed);
        let binding = Binding {
            tool: None,
            principal: None,
            arguments_digest: None,
            calls: self.settings.calls,
            service: service.to_owned(),
        };
        let WorkSettings { signer, difficulty, challenge_ttl_seconds, .. } = &self.settings;
        Ok(signer.issue(*difficulty, binding, now, *challenge_ttl_seconds, id))
    }

    fn verify(&self, service: &str, solution: &Submission, now: u64) -> Result<Solution, PowError> {
        let request = Request { service, tool: None, principal: None, arguments_digest: None };
        self.settings.signer.verify(&solution.challenge, &solution.nonce, now, &request)
    }
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
        desk.challenge(sale.service, sale.now).ok().map(|challenge| challenge_json(&challenge))
    }

    /// A solution shown on the call itself: buys this one call and is spent with it.
    pub(super) async fn take_solution(
        &self,
        sale: &Sale<'_>,
        solution: &Submission,
    ) -> Result<Charge, Problem> {
        if !sale.rule.work_accepted {
            return Err(Problem::new(Reason::InvalidSolution, "this call does not take work"));
        }
        let token_id = self.redeem(sale.service, solution, 1, sale.now).await?;
        self.hold(sale, AccountRef::Token(token_id), Unit::Call).await.map_err(|refused| match refused {
            HoldRefused::Unknown | HoldRefused::Insufficient { .. } | HoldRefused::Expired => {
                Problem::new(Reason::InvalidSolution, "the solution is already spent")
            }
            other => unavailable(&other),
        })
    }

    /// Exchanges a solution for a credential.
    ///
    /// # Errors
    /// [`Reason::InvalidSolution`], or the ledger cannot record it.
    pub async fn exchange_work(
        &self,
        service: &str,
        solution: &Submission,
        now: u64,
    ) -> Result<WorkGrant, Box<Refusal>> {
        let calls = solution.challenge.binding.calls;
        let token_id = self.redeem(service, solution, calls, now).await.map_err(|problem| match problem {
            Problem::Payment(trouble) => Box::new(Refusal::new(trouble.reason, trouble.text)),
            Problem::Fatal(refusal) => refusal,
        })?;
        self.grant(service, token_id, calls, now)
            .ok_or_else(|| Box::new(Refusal::new(Reason::LedgerUnavailable, "no credential could be made")))
    }

    /// Spends a solution: once per challenge, whatever happens afterwards.
    async fn redeem(
        &self,
        service: &str,
        solution: &Submission,
        calls: u32,
        now: u64,
    ) -> Result<TokenId, Problem> {
        let Some(desk) = &self.work else {
            return Err(Problem::new(Reason::InvalidSolution, "this server does not take work"));
        };
        let solved = desk
            .verify(service, solution, now)
            .map_err(|error| Problem::new(Reason::InvalidSolution, error))?;
        let token_id = self.work_token(&solved.id);
        let work = Work {
            challenge_id: solved.id,
            token_id,
            owner: None,
            service: service.to_owned(),
            calls,
            // Never before the puzzle itself: until then its id must be remembered as spent.
            expires_at: solved.expires_at.max(now + desk.settings.credential_ttl_seconds),
        };
        match self.settings.ledger.credit_work(work).await {
            Ok(Credited::New { .. }) => {
                desk.solved.fetch_add(1, Relaxed);
                Ok(token_id)
            }
            Ok(_) => Err(Problem::new(Reason::InvalidSolution, "the solution is already spent")),
            Err(error) => {
                tracing::warn!(%error, "work could not be booked");
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
    fn grant(&self, service: &str, token_id: TokenId, calls: u32, now: u64) -> Option<WorkGrant> {
        let ttl_seconds = self.work.as_ref()?.settings.credential_ttl_seconds;
        let mut secret = [0; 32];
        getrandom::fill(&mut secret).ok()?;
        let preimage = Preimage::from_bytes(secret);
        let identifier = Identifier { payment_hash: preimage.payment_hash(), token_id };
        let mut terms = Terms::new(service);
        terms.valid_until = Some(now + ttl_seconds);
        terms.calls = Some(calls);
        let macaroon = STANDARD.encode(self.sign(&identifier, &terms.to_caveats().ok()?)?);
        let token = format!("{macaroon}:{}", preimage.to_hex());
        Some(WorkGrant { macaroon, token, ttl_seconds, calls })
    }
}
