//! One call on its way through a gate: what is shown, and what a refusal is answered with.

use std::sync::Arc;

use octroi_l402::PaymentHash;
use octroi_pow::Submission;
use url::Url;

use crate::agent::unix_now;
use crate::paying::{Purchase, Wanted};
use crate::purse::Kept;
use crate::redeem::{self, Redemption};
use crate::taken::Taken;
use crate::{
    AgentError, Approver, Bought, Paid, Payer, PaymentRequired, Proof, PurseError, Step, Way, Worked, work,
};

/// Most requests that are sent for one call.
pub(crate) const ATTEMPTS_MAX: usize = 8;
/// How often a credential that was just paid for is shown again while the server waits for its node's word. Each time the
/// server itself waits for some seconds.
const UNVERIFIED_MAX: u8 = 3;

/// A tool that asked for payment this long ago, in seconds, is in use: a solution buys several calls then, and not one.
const IN_USE: u64 = 600;

/// What a call is about, as far as money is concerned.
#[derive(Clone, Debug)]
pub(crate) struct Subject {
    pub(crate) endpoint: Url,
    /// What credentials are kept under.
    pub(crate) place: String,
    pub(crate) tool: String,
}

impl Subject {
    /// What a request of an MCP server is about; `None` for those that have no price of their own.
    pub(crate) fn tool(method: &str, name: Option<&str>, uri: Option<&str>) -> Option<String> {
        match method {
            "tools/call" => name.map(str::to_owned),
            "prompts/get" => name.map(|name| format!("prompts/get {name}")),
            "resources/read" => uri.map(|uri| format!("resources/read {uri}")),
            _ => None,
        }
    }
}

/// A call on its way.
pub(crate) struct Visit {
    payer: Arc<Payer>,
    pub(crate) subject: Subject,
    /// How many calls to buy, where the caller says so.
    calls: Option<u32>,
    approver: Option<Arc<dyn Approver>>,
    /// The credential shown now; it goes back into the purse with a visit that comes to no end.
    credential: Option<Taken>,
    /// The solution shown now.
    solution: Option<Submission>,
    /// The tool asked for payment a short while ago, too; `None` before it asks.
    in_use: Option<bool>,
    /// Credentials that are not shown again.
    tried: Vec<PaymentHash>,
    renewed: bool,
    /// How often the server said that the payment has not arrived.
    unverified: u8,
    pub(crate) paid: Option<Paid>,
    pub(crate) work: Option<Worked>,
    pub(crate) steps: Vec<Step>,
}

/// How a call ended, for counting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// The server did what it was asked.
    Served,
    /// It tells a failure, which it usually does not charge.
    Failed,
}

impl Visit {
    pub(crate) fn begin(
        payer: Arc<Payer>,
        subject: Subject,
        calls: Option<u32>,
        approver: Option<Arc<dyn Approver>>,
    ) -> Result<Self, AgentError> {
        let mut visit = Self {
            payer,
            subject,
            calls,
            approver,
            credential: None,
            solution: None,
            in_use: None,
            tried: Vec::new(),
            renewed: false,
            unverified: 0,
            paid: None,
            work: None,
            steps: Vec::new(),
        };
        visit.take_from_purse()?;
        Ok(visit)
    }

    /// The owner would rather compute than use what was paid for, and the server took easy work the last time.
    fn rather_works(&self) -> Result<bool, PurseError> {
        let Payer { policy, purse, work, .. } = &*self.payer;
        if !work.works() || !policy.prefers(Way::Work, Way::Credits) {
            return Ok(false);
        }
        let bits = purse.work_offered(&self.subject.place, &self.subject.tool)?;
        Ok(bits.is_some_and(|bits| work.takes_bits(bits)))
    }

    /// Takes a credential to show: one that was worked for in any case, one that cost money where that is the next best way.
    fn take_from_purse(&mut self) -> Result<(), AgentError> {
        let credits = self.payer.policy.allows(Way::Credits) && !self.rather_works()?;
        self.take_kept(if credits { Kept::Any } else { Kept::Worked })
    }

    fn take_kept(&mut self, kept: Kept) -> Result<(), AgentError> {
        let Subject { place, tool, .. } = &self.subject;
        let purse = &self.payer.purse;
        let taken = purse.take(place, tool, &self.tried, kept, unix_now())?;
        self.credential = taken.map(|bought| Taken::new(purse, bought));
        if let Some(bought) = self.credential() {
            let step = Step::Reused {
                payment_hash: bought.hash(),
                calls_left: bought.calls_left.map(|left| left.saturating_add(1)),
            };
            self.tell(step);
        }
        Ok(())
    }

    /// What to show with the next request.
    pub(crate) fn proof(&mut self) -> Proof {
        match (&self.credential, self.solution.take()) {
            (Some(taken), _) => Proof::Payment(taken.bought().authorization()),
            (None, Some(solution)) => Proof::Work(solution.to_header()),
            (None, None) => Proof::None,
        }
    }

    /// The credential that is shown.
    pub(crate) fn credential(&self) -> Option<&Bought> {
        self.credential.as_ref().map(Taken::bought)
    }

    /// How many calls to ask for, should one have to be bought.
    pub(crate) fn asking(&self) -> Result<u32, AgentError> {
        match self.calls {
            Some(calls) => Ok(calls.max(1)),
            None if self.credential.is_some() => Ok(1),
            None => Ok(self.payer.bundle(&self.subject.place, &self.subject.tool)?),
        }
    }

    /// The answer is not about payment: what is left is counted. `price` and `balance` are what the server says they are.
    pub(crate) fn end(
        &mut self,
        ending: Ending,
        price: Option<i64>,
        balance: Option<i64>,
    ) -> Result<(), AgentError> {
        let Some(taken) = &mut self.credential else { return Ok(()) };
        // The balance is told while the call is held; a failed call is not charged.
        if ending == Ending::Failed {
            self.credential = None;
            return Ok(());
        }
        taken.is_made();
        if let (Some(price @ 1..), Some(balance)) = (price, balance) {
            let left = (balance / price).clamp(0, i64::from(u32::MAX));
            let left = u32::try_from(left).unwrap_or(u32::MAX);
            self.payer.purse.learn(&taken.bought().hash(), left)?;
        }
        Ok(())
    }

    /// The server asks for payment: finds what to show next. `asked_for` is how many calls it was asked for.
    pub(crate) async fn answer(
        &mut self,
        required: &PaymentRequired,
        asked_for: u32,
    ) -> Result<(), AgentError> {
        let work_bits = required.work.as_ref().map(|work| work.difficulty.bits());
        let price = required.price.map(|price| price.amount);
        let asked = Step::Asked { reason: required.reason.clone(), price, work_bits };
        self.tell(asked);
        self.learn_terms(price.map(octroi_l402::Msat::as_i64), work_bits)?;
        if let Some(refused) = self.credential.take() {
            let Some(refused) = self.renew(refused, required)? else { return Ok(()) };
            let unverified = required.reason.as_deref() == Some("PAYMENT_UNVERIFIED");
            if unverified && self.paid.is_some() && self.unverified < UNVERIFIED_MAX {
                self.unverified += 1;
                self.credential = Some(refused);
                return Ok(());
            }
            self.set_aside(refused, required)?;
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
        self.payer.terms(&self.subject.endpoint)?;
        if self.payer.policy.prefers(Way::Work, Way::Credits) && self.solve(required).await? {
            return Ok(());
        }
        // Not looked for at the beginning, where work came first.
        if self.payer.policy.allows(Way::Credits) {
            self.take_kept(Kept::Any)?;
        }
        if self.credential.is_some() {
            return Ok(());
        }
        if self.payer.policy.prefers(Way::Work, Way::Lightning) && self.solve(required).await? {
            return Ok(());
        }
        match self.buy(required, asked_for).await {
            Ok(()) => Ok(()),
            // What cannot be paid may still be computed.
            Err(error) => {
                if self.solve(required).await? {
                    Ok(())
                } else {
                    Err(error)
                }
            }
        }
    }

    fn learn_terms(&mut self, price_msat: Option<i64>, work_bits: Option<f64>) -> Result<(), PurseError> {
        let (purse, now) = (&self.payer.purse, unix_now());
        let Subject { place, tool, .. } = &self.subject;
        if self.in_use.is_none() {
            self.in_use = Some(purse.asked_since(place, tool, now.saturating_sub(IN_USE))?);
        }
        purse.learn_terms(place, tool, price_msat, work_bits, now)
    }

    /// Buys in a task of its own: a caller that goes away meanwhile does not leave a payment without its credential, which is in
    /// the purse then for the next call. What is not being paid yet is not paid for nobody.
    async fn buy(&mut self, required: &PaymentRequired, calls: u32) -> Result<(), AgentError> {
        let Subject { endpoint, place, tool } = self.subject.clone();
        let (tried, approver) = (self.tried.clone(), self.approver.clone());
        let (_waiting, wanted) = Wanted::until_dropped();
        let purchase = Purchase { endpoint, place, tool, calls, tried, approver, ahead: false, wanted };
        let (payer, required) = (Arc::clone(&self.payer), required.clone());
        let buying = tokio::spawn(async move {
            let (bought, paid) = payer.buy(&purchase, &required).await?;
            Ok((bought.map(|bought| Taken::new(&payer.purse, bought)), paid))
        });
        let bought =
            buying.await.map_err(|_| AgentError::Config("the payment's task was stopped".to_owned()))?;
        let (taken, paid) = match bought {
            // A server may make one offer to several callers who look alike. Another one has taken it: the next request gets
            // a fresh one.
            Err(AgentError::Purse(PurseError::PaidBefore)) => return Ok(()),
            bought => bought?,
        };
        self.steps.extend(paid.map(Step::Paid));
        self.paid = paid;
        self.credential = taken;
        Ok(())
    }

    /// Takes the credential that the server offers in place of an expired one, once; otherwise the refused one is handed back.
    fn renew(&mut self, mut refused: Taken, required: &PaymentRequired) -> Result<Option<Taken>, AgentError> {
        let Some(renewal) = required.renewed.as_ref().filter(|_| !self.renewed) else {
            return Ok(Some(refused));
        };
        let hash = refused.bought().hash();
        self.renewed = true;
        let purse = &self.payer.purse;
        let Some(renewed) = purse.renew(&hash, &renewal.macaroon)? else { return Ok(Some(refused)) };
        // The call stays counted off.
        refused.is_made();
        self.credential = Some(Taken::new(purse, renewed));
        self.tell(Step::Renewed { payment_hash: hash });
        Ok(None)
    }

    /// A credential that the server calls spent or expired is dropped, and one of a server that does not say why. One it refuses
    /// for another reason may still be good: for another caller's token, elsewhere, or when the node's word has arrived.
    fn set_aside(&mut self, mut refused: Taken, required: &PaymentRequired) -> Result<(), AgentError> {
        let bought = refused.bought();
        let hash = bought.hash();
        self.tried.push(hash);
        let over = match required.reason.as_deref() {
            Some(reason) => matches!(reason, "CREDENTIAL_SPENT" | "CREDENTIAL_EXPIRED"),
            None => bought.calls_left.is_none() && bought.tool == self.subject.tool && self.paid.is_none(),
        };
        if over {
            self.payer.purse.drop_credential(&hash)?;
            refused.is_made();
            self.tell(Step::Dropped { payment_hash: hash, reason: required.reason_code() });
        }
        Ok(())
    }

    /// Solves the puzzle that is taken instead of money, once, where the agent's owner allows it.
    async fn solve(&mut self, required: &PaymentRequired) -> Result<bool, AgentError> {
        let now = unix_now();
        if self.work.is_some() || !self.payer.policy.allows(Way::Work) {
            return Ok(false);
        }
        let takes = |challenge: &&octroi_pow::Challenge| self.payer.work.takes(challenge, now);
        let Some(challenge) = required.work.as_ref().filter(takes) else { return Ok(false) };
        let tried = Arc::default();
        self.tell(Step::Solving { bits: challenge.difficulty.bits(), tried: Arc::clone(&tried) });
        let Some((submission, worked)) = work::solve(challenge, tried, now).await else { return Ok(false) };
        self.tell(Step::Worked(worked));
        self.solution = Some(submission);
        self.work = Some(worked);
        Ok(true)
    }

    /// What to hand in for several calls before the solution is shown for one, where the tool is in use.
    pub(crate) fn redemption(&self) -> Option<Redemption> {
        let solution = self.solution.as_ref().filter(|_| self.in_use == Some(true))?;
        Redemption::of(&self.subject, solution)
    }

    /// What came of it; the server's answer where it was a good one. Otherwise the solution is shown for this call.
    pub(crate) fn redeemed(&mut self, answer: Option<&[u8]>) -> Result<(), AgentError> {
        let now = unix_now();
        let Some(mut given) = answer.and_then(|answer| redeem::read(&self.subject, answer, now)) else {
            return Ok(());
        };
        let calls = given.calls_left.unwrap_or(1);
        // One of them is made now.
        given.calls_left = Some(calls.saturating_sub(1));
        if self.payer.purse.keep(&given, now)? {
            self.solution = None;
            self.credential = Some(Taken::new(&self.payer.purse, given));
            self.tell(Step::Redeemed { calls });
        }
        Ok(())
    }

    /// Tells the observer of a step, and keeps it.
    pub(crate) fn tell(&mut self, step: Step) {
        self.payer.tell(&step);
        self.steps.push(step);
    }
}
