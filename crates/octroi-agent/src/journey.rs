//! One call, all the way: through the purse, a puzzle or a payment, to its answer.

use std::sync::Arc;

use octroi_l402::PaymentHash;
use serde_json::Value;

use crate::agent::unix_now;
use crate::{
    Agent, AgentError, Bought, CallOptions, Exchange, Paid, PaymentRequired, Proof, Request, Step, Worked,
    work,
};

/// Most requests that are sent for one call.
const ATTEMPTS_MAX: usize = 8;
/// How often a credential that was just paid for is shown again while the server waits for its node's word. Each time the
/// server itself waits for some seconds.
const UNVERIFIED_MAX: u8 = 3;

/// What a call got, and what it cost.
#[derive(Clone, Debug)]
pub struct CallOutcome {
    /// `result` of the reply.
    pub result: Value,
    /// The tool says that it failed.
    pub is_error: bool,
    /// What was paid for it now; none where a credential was left.
    pub paid: Option<Paid>,
    /// What was computed for it.
    pub work: Option<Worked>,
    /// What the server charged: msat, or calls where it was paid with work.
    pub price: Option<i64>,
    /// What is left on the account, in the same unit.
    pub balance: Option<i64>,
    /// Everything that was done, in order.
    pub steps: Vec<Step>,
}

/// A call on its way.
struct Journey<'a> {
    agent: &'a Agent,
    tool: &'a str,
    arguments: &'a Value,
    calls: u32,
    /// The credential shown now.
    credential: Option<Bought>,
    /// The solution shown now.
    solution: Option<String>,
    /// Credentials that are not shown again.
    tried: Vec<PaymentHash>,
    renewed: bool,
    /// How often the server said that the payment has not arrived.
    unverified: u8,
    paid: Option<Paid>,
    work: Option<Worked>,
    steps: Vec<Step>,
}

impl Agent {
    /// Calls `tool` with `arguments` (a JSON object), and pays or computes for it where that is asked and allowed.
    ///
    /// One payment is made at most. The request is never repeated after the connection broke: the tool may have run.
    ///
    /// # Errors
    /// [`AgentError`]. What was paid for before it is not lost: the credential stays in the purse.
    pub async fn call(
        &self,
        tool: &str,
        arguments: Value,
        options: CallOptions,
    ) -> Result<CallOutcome, AgentError> {
        let mut journey = Journey {
            agent: self,
            tool,
            arguments: &arguments,
            calls: options.calls.max(1),
            credential: None,
            solution: None,
            tried: Vec::new(),
            renewed: false,
            unverified: 0,
            paid: None,
            work: None,
            steps: Vec::new(),
        };
        journey.take_from_purse()?;
        for _ in 0..ATTEMPTS_MAX {
            let exchange = journey.send().await?;
            let Some(required) = PaymentRequired::read(&exchange) else {
                return journey.arrive(&exchange).await;
            };
            journey.answer(&required).await?;
        }
        Err(AgentError::BadReply(format!("no end after {ATTEMPTS_MAX} requests")))
    }
}

impl Journey<'_> {
    fn take_from_purse(&mut self) -> Result<(), AgentError> {
        let Agent { purse, endpoint, .. } = self.agent;
        self.credential = purse.take(endpoint.as_str(), self.tool, &self.tried, unix_now())?;
        if let Some(bought) = &self.credential {
            let step =
                Step::Reused { payment_hash: bought.hash(), calls_left: bought.calls_left.saturating_add(1) };
            self.agent.tell(&mut self.steps, step);
        }
        Ok(())
    }

    async fn send(&mut self) -> Result<Exchange, AgentError> {
        let proof = match (&self.credential, self.solution.take()) {
            (Some(bought), _) => Proof::Payment(bought.authorization()),
            (None, Some(solution)) => Proof::Work(solution),
            (None, None) => Proof::None,
        };
        let request = Request::call(self.tool, self.arguments)
            .with_token(self.agent.token.clone())
            .with_proof(proof)
            .buying(self.calls);
        let sent = self.agent.send_raw(&request).await;
        match sent {
            Ok(exchange) => {
                let step = Step::Answered { status: exchange.status, elapsed: exchange.elapsed };
                self.agent.tell(&mut self.steps, step);
                Ok(exchange)
            }
            Err(error) => {
                // Whether it was charged the server will say when the credential is shown again.
                self.give_back()?;
                Err(error)
            }
        }
    }

    fn give_back(&self) -> Result<(), AgentError> {
        match &self.credential {
            Some(bought) => Ok(self.agent.purse.give_back(&bought.hash())?),
            None => Ok(()),
        }
    }

    /// The answer is not about payment: the end.
    async fn arrive(self, exchange: &Exchange) -> Result<CallOutcome, AgentError> {
        let Some(result) = exchange.result() else {
            self.give_back()?;
            return Err(self.agent.refusal(exchange).await);
        };
        let is_error = result.get("isError") == Some(&Value::Bool(true));
        let (price, balance) = (exchange.price(), exchange.balance());
        if let (Some(bought), Some(price @ 1..), Some(balance)) = (&self.credential, price, balance) {
            // The balance is told while the call is held; a failed call is not charged.
            let left = u32::try_from(balance / price).unwrap_or(0);
            self.agent.purse.learn(&bought.hash(), left.saturating_add(u32::from(is_error)))?;
        } else if is_error {
            self.give_back()?;
        }
        Ok(CallOutcome {
            result: result.clone(),
            is_error,
            paid: self.paid,
            work: self.work,
            price,
            balance,
            steps: self.steps,
        })
    }

    /// The server asks for payment: finds what to show next.
    async fn answer(&mut self, required: &PaymentRequired) -> Result<(), AgentError> {
        let step = Step::Asked {
            reason: required.reason.clone(),
            price: required.price.map(|price| price.amount),
            work_bits: required.work.as_ref().map(|work| work.difficulty.bits()),
        };
        self.agent.tell(&mut self.steps, step);
        if let Some(refused) = self.credential.take() {
            if self.renew(&refused, required)? {
                return Ok(());
            }
            let unverified = required.reason.as_deref() == Some("PAYMENT_UNVERIFIED");
            if unverified && self.paid.is_some() && self.unverified < UNVERIFIED_MAX {
                self.unverified += 1;
                self.credential = Some(refused);
                return Ok(());
            }
            self.set_aside(&refused, required)?;
            if self.paid.is_some() {
                return Err(AgentError::StillUnpaid {
                    reason: required.reason_code(),
                    message: required.message.clone(),
                });
            }
            self.take_from_purse()?;
            if self.credential.is_some() {
                return Ok(());
            }
        }
        if self.solve(required).await? {
            return Ok(());
        }
        let (bought, paid) =
            self.agent.buy(self.tool, required, self.calls, &self.tried, &mut self.steps).await?;
        self.paid = paid;
        self.credential = Some(bought);
        Ok(())
    }

    /// Takes the credential that the server offers in place of an expired one, once.
    fn renew(&mut self, refused: &Bought, required: &PaymentRequired) -> Result<bool, AgentError> {
        let Some(renewal) = required.renewed.as_ref().filter(|_| !self.renewed) else { return Ok(false) };
        let hash = refused.hash();
        self.renewed = true;
        self.credential = self.agent.purse.renew(&hash, &renewal.macaroon)?;
        self.agent.tell(&mut self.steps, Step::Renewed { payment_hash: hash });
        Ok(self.credential.is_some())
    }

    /// A credential that the server calls spent or expired is dropped. One it refuses for another reason may still be good: for
    /// another caller's token, or when the node's word has arrived.
    fn set_aside(&mut self, refused: &Bought, required: &PaymentRequired) -> Result<(), AgentError> {
        let hash = refused.hash();
        self.tried.push(hash);
        match required.reason.as_deref() {
            Some(reason @ ("CREDENTIAL_SPENT" | "CREDENTIAL_EXPIRED")) => {
                self.agent.purse.drop_credential(&hash)?;
                let step = Step::Dropped { payment_hash: hash, reason: reason.to_owned() };
                self.agent.tell(&mut self.steps, step);
                Ok(())
            }
            _ => Ok(self.agent.purse.give_back(&hash)?),
        }
    }

    /// Solves the puzzle that is taken instead of money, once, where the agent's owner allows it.
    async fn solve(&mut self, required: &PaymentRequired) -> Result<bool, AgentError> {
        let now = unix_now();
        let takes = |challenge: &&octroi_pow::Challenge| self.agent.work.takes(challenge, now);
        let Some(challenge) = required.work.as_ref().filter(takes).filter(|_| self.work.is_none()) else {
            return Ok(false);
        };
        let tried = Arc::default();
        let solving = Step::Solving { bits: challenge.difficulty.bits(), tried: Arc::clone(&tried) };
        self.agent.tell(&mut self.steps, solving);
        let Some((submission, worked)) = work::solve(challenge, tried, now).await else { return Ok(false) };
        self.agent.tell(&mut self.steps, Step::Worked(worked));
        self.solution = Some(submission.to_header());
        self.work = Some(worked);
        Ok(true)
    }
}
