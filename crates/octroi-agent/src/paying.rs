//! Paying an invoice: once, within what is allowed, and never without knowing what became of it.

use std::sync::Arc;
use std::time::Duration;

use octroi_l402::{Msat, Offer, PaymentHash, Preimage, challenge::Scheme};
use octroi_lightning::{LightningNode, NodeError, Outgoing, PayError, Payment, bolt11};
use tokio::sync::watch;
use url::Url;

use crate::agent::unix_now;
use crate::payer::origin;
use crate::policy::Terms;
use crate::purse::{Begun, HOUR, Kept, Spend};
use crate::{
    AgentError, Approver, Bill, BillError, Bought, Paid, Payer, PaymentRequired, PurseError, Question, Step,
    Way,
};

/// How long the wallet may take to pay.
const PAY_WAIT: Duration = Duration::from_secs(60);

/// Something to be bought.
#[derive(Clone)]
pub(crate) struct Purchase {
    pub(crate) endpoint: Url,
    /// What the credential is kept under: the endpoint as text, or an origin.
    pub(crate) place: String,
    pub(crate) tool: String,
    /// How many calls the server was asked for.
    pub(crate) calls: u32,
    /// Credentials that were shown and refused.
    pub(crate) tried: Vec<PaymentHash>,
    /// Who is asked, if it is not the payer's own approver.
    pub(crate) approver: Option<Arc<dyn Approver>>,
    /// Nobody waits for it: what another call has bought meanwhile will do, and is left in the purse.
    pub(crate) ahead: bool,
    pub(crate) wanted: Wanted,
}

/// Whether something that was not begun is still wanted. In the extensions of a request: whether the call is.
#[derive(Clone)]
pub(crate) struct Wanted(Option<watch::Receiver<()>>);

impl Wanted {
    /// Whatever happens.
    pub(crate) const fn in_any_case() -> Self {
        Self(None)
    }

    /// For as long as the first of the two is there.
    pub(crate) fn until_dropped() -> (watch::Sender<()>, Self) {
        let (waiting, waits) = watch::channel(());
        (waiting, Self(Some(waits)))
    }

    pub(crate) fn is_over(&self) -> bool {
        self.0.as_ref().is_some_and(|waits| waits.has_changed().is_err())
    }

    /// Comes to its end when it is not wanted any more.
    pub(crate) async fn over(&self) {
        match self.0.clone() {
            Some(mut waits) => while waits.changed().await.is_ok() {},
            None => std::future::pending().await,
        }
    }
}

impl Purchase {
    /// How many of the calls bought are made at once: nobody else may have them meanwhile.
    fn uses(&self) -> u32 {
        u32::from(!self.ahead)
    }
}

impl Payer {
    /// Pays a bill for calls of `tool` at `endpoint`; the credential it buys is in the purse, too.
    ///
    /// # Errors
    /// [`AgentError`]. After every one but [`AgentError::PaymentPending`] and [`AgentError::WrongProof`] nothing was spent.
    pub async fn pay(&self, endpoint: &Url, tool: &str, bill: &Bill) -> Result<(Bought, Paid), AgentError> {
        let purchase = Purchase {
            endpoint: endpoint.clone(),
            place: endpoint.to_string(),
            tool: tool.to_owned(),
            calls: bill.calls,
            tried: Vec::new(),
            approver: None,
            ahead: true,
            wanted: Wanted::in_any_case(),
        };
        let _turn = self.purse.turn(&purchase.place, tool).await?;
        self.pay_in_turn(self.need_wallet()?, &purchase, bill).await
    }

    /// Pays an invoice that nobody's challenge asked for, under the same limits; it buys nothing that is kept.
    ///
    /// # Errors
    /// As [`Payer::pay`].
    pub async fn pay_invoice(&self, invoice: &str) -> Result<(Paid, Preimage), AgentError> {
        self.pay_invoice_asking(invoice, None).await
    }

    /// As [`Payer::pay_invoice`]; `approver` is asked in place of the payer's own.
    pub(crate) async fn pay_invoice_asking(
        &self,
        invoice: &str,
        approver: Option<Arc<dyn Approver>>,
    ) -> Result<(Paid, Preimage), AgentError> {
        let read = bolt11::decode(invoice).map_err(BillError::Invoice)?;
        let amount = read.amount.filter(|asked| *asked > Msat::ZERO).ok_or(BillError::NoAmount)?;
        if read.is_expired(unix_now()) {
            return Err(BillError::Expired.into());
        }
        let offer = Offer { scheme: Scheme::L402, token: String::new(), invoice: invoice.trim().to_owned() };
        let bill = Bill {
            offer,
            payment_hash: read.payment_hash,
            amount,
            calls: 1,
            expires_at: read.expires_at,
            network: read.network,
            description: read.description,
            counted: true,
        };
        let wallet = self.need_wallet()?;
        self.check_network(wallet, &bill).await?;
        let hash = bill.payment_hash.to_string();
        let _turn = self.purse.turn("", &hash).await?;
        let spend = Spend::new("", "", &hash, &bill);
        // No server's rule holds: only the general ones.
        let terms = self.policy.general();
        self.ask(&terms, &spend, approver.as_ref(), &Wanted::in_any_case()).await?;
        let (bought, paid) = self.make(wallet, spend, &terms, 0).await?;
        let preimage = bought.opens.preimage.parse();
        let preimage = preimage.map_err(|_| AgentError::WrongProof { payment_hash: paid.payment_hash })?;
        Ok((paid, preimage))
    }

    /// How many calls to ask for. The rule: as many as were bought of this tool in the last hour, at least one, at most
    /// `bundle_max`. So bundles grow 1, 1, 2, 4, … with use, and what lies unused is never more than what was used.
    pub(crate) fn bundle(&self, place: &str, tool: &str) -> Result<u32, PurseError> {
        if self.policy.bundle_max <= 1 {
            return Ok(1);
        }
        let (calls, _) = self.purse.bought_since(place, tool, unix_now().saturating_sub(HOUR))?;
        Ok(calls.clamp(1, self.policy.bundle_max))
    }

    /// A credential for a call: one that another call has bought meanwhile, one from an earlier payment whose outcome is now
    /// known, or a new one.
    pub(crate) async fn buy(
        &self,
        purchase: &Purchase,
        required: &PaymentRequired,
    ) -> Result<(Option<Bought>, Option<Paid>), AgentError> {
        let unpaid = || AgentError::PaymentRequired(Box::new(required.clone()));
        let wallet =
            self.wallet.as_deref().filter(|_| self.policy.allows(Way::Lightning)).ok_or_else(unpaid)?;
        let Purchase { place, tool, tried, .. } = purchase;
        let _turn = self.purse.turn(place, tool).await?;
        if purchase.ahead {
            // Another process may have been faster.
            let left = self.purse.calls_left(place, tool, unix_now())?;
            if left.is_none_or(|left| left > u64::from(purchase.calls / 4)) {
                return Ok((None, None));
            }
        }
        if !purchase.ahead
            && let Some(bought) = self.purse.take(place, tool, tried, Kept::Any, unix_now())?
        {
            return Ok((Some(bought), None));
        }
        let resumed = match self.purse.open_spend(place, tool)? {
            Some(spend) => self.resume(wallet, spend, purchase).await?,
            None => None,
        };
        let (bought, paid) = match resumed {
            Some(done) => done,
            None => {
                let bill = required.bill(purchase.calls, unix_now()).map_err(|error| match error {
                    // It asked for work alone, of a kind that has to be named.
                    BillError::NoOffer if required.unknown_work.is_some() => unpaid(),
                    error => error.into(),
                })?;
                self.pay_in_turn(wallet, purchase, &bill).await?
            }
        };
        Ok((Some(bought), Some(paid)))
    }

    async fn pay_in_turn(
        &self,
        wallet: &dyn LightningNode,
        purchase: &Purchase,
        bill: &Bill,
    ) -> Result<(Bought, Paid), AgentError> {
        if bill.expires_at <= unix_now() {
            return Err(BillError::Expired.into());
        }
        let terms = self.terms(&purchase.endpoint)?;
        self.check_network(wallet, bill).await?;
        let Purchase { place, tool, .. } = purchase;
        let spend = Spend::new(&origin(&purchase.endpoint), place, tool, bill);
        let approver = purchase.approver.as_ref().filter(|_| !purchase.ahead);
        self.ask(&terms, &spend, approver, &purchase.wanted).await?;
        self.make(wallet, spend, &terms, purchase.uses()).await
    }

    fn need_wallet(&self) -> Result<&dyn LightningNode, AgentError> {
        self.wallet.as_deref().ok_or_else(|| AgentError::Config("there is no wallet to pay with".to_owned()))
    }

    async fn check_network(&self, wallet: &dyn LightningNode, bill: &Bill) -> Result<(), AgentError> {
        let ask = || async { wallet.info().await.map(|info| info.network) };
        match self.network.get_or_try_init(ask).await {
            Ok(network) if !network.is_empty() && network != bill.network => {
                Err(BillError::Network { invoice: bill.network, wallet: network.clone() }.into())
            }
            _ => Ok(()),
        }
    }

    /// Refuses what costs too much, and asks the owner about what costs much. Each call is looked at for what it costs.
    async fn ask(
        &self,
        terms: &Terms,
        spend: &Spend,
        approver: Option<&Arc<dyn Approver>>,
        wanted: &Wanted,
    ) -> Result<(), AgentError> {
        let most =
            terms.per_call.map_or(i64::MAX, |most| most.as_i64().saturating_mul(i64::from(spend.calls)));
        if spend.amount.as_i64() > most {
            return Err(AgentError::OverBudget {
                asked: spend.amount,
                left: Msat::new(most),
                limit: "per call",
            });
        }
        if terms.ask_above.is_some_and(|above| spend.amount > above) {
            let question = Question {
                server: spend.server.clone(),
                tool: spend.tool.clone(),
                amount: spend.amount,
                calls: spend.calls,
                description: spend.description.clone(),
            };
            let allowed = match approver.or(self.approver.as_ref()) {
                Some(approver) => tokio::select! {
                    allowed = approver.approve(&question) => allowed,
                    () = wanted.over() => return Err(AgentError::GivenUp),
                },
                None => false,
            };
            if !allowed {
                return Err(AgentError::NotApproved(Box::new(question)));
            }
            // The answer may have taken its time.
            if spend.invoice_expires_at <= unix_now() {
                return Err(BillError::Expired.into());
            }
        }
        if wanted.is_over() { Err(AgentError::GivenUp) } else { Ok(()) }
    }

    /// Sets the money aside, writes the spend down, and only then pays.
    async fn make(
        &self,
        wallet: &dyn LightningNode,
        spend: Spend,
        terms: &Terms,
        uses: u32,
    ) -> Result<(Bought, Paid), AgentError> {
        let (hash, amount, calls) = (spend.payment_hash, spend.amount, spend.calls);
        let max_fee = self.spending.reserve(hash, amount, calls)?;
        let begun = self.purse.begin(&spend, &terms.limits, max_fee, unix_now());
        let max_fee = match begun {
            Ok(Begun::Within(fee)) => fee,
            Ok(Begun::Over { limit, left }) => {
                self.spending.release(&hash);
                return Err(AgentError::OverBudget { asked: amount, left: Msat::new(left.max(0)), limit });
            }
            Err(error) => {
                self.spending.release(&hash);
                return Err(error.into());
            }
        };
        self.tell(&Step::Paying { amount, max_fee, calls });
        let error = match wallet.pay(spend.invoice(), max_fee, PAY_WAIT).await {
            Ok(payment) => return self.accept(&spend, &payment, uses),
            Err(error) => error,
        };
        if nothing_was_sent(&error) {
            self.give_up(&hash)?;
            return Err(AgentError::Pay(error));
        }
        match wallet.outgoing(&hash).await {
            Ok(Outgoing::Paid(payment)) => self.accept(&spend, &payment, uses),
            Ok(Outgoing::Failed) => {
                self.give_up(&hash)?;
                Err(AgentError::Pay(error))
            }
            _ => Err(AgentError::PaymentPending { payment_hash: hash }),
        }
    }

    /// What became of a payment that had no outcome: what it bought, or `None` where it never will be made.
    async fn resume(
        &self,
        wallet: &dyn LightningNode,
        spend: Spend,
        purchase: &Purchase,
    ) -> Result<Option<(Bought, Paid)>, AgentError> {
        let (hash, uses) = (spend.payment_hash, purchase.uses());
        match wallet.outgoing(&hash).await {
            Ok(Outgoing::Paid(payment)) => self.accept(&spend, &payment, uses).map(Some),
            Ok(Outgoing::Failed) => self.give_up(&hash).map(|()| None),
            Ok(Outgoing::Unknown) if spend.invoice_expires_at <= unix_now() => {
                self.give_up(&hash).map(|()| None)
            }
            // The same invoice again: a node pays a payment hash once, whatever it knows of the first time.
            Ok(Outgoing::Unknown) | Err(NodeError::Unsupported(_)) => {
                let terms = self.terms(&purchase.endpoint)?;
                self.make(wallet, spend, &terms, uses).await.map(Some)
            }
            _ => Err(AgentError::PaymentPending { payment_hash: hash }),
        }
    }

    /// Looks up every payment without an outcome, as after a crash: what was paid is kept, what failed is forgotten. How many
    /// are still open.
    ///
    /// # Errors
    /// [`AgentError::Purse`]; a wallet that cannot say leaves a payment open.
    pub async fn settle_open(&self) -> Result<usize, AgentError> {
        let wallet = self.need_wallet()?;
        let mut open = 0;
        for spend in self.purse.open_spends()? {
            let _turn = self.purse.turn(&spend.endpoint, &spend.tool).await?;
            match wallet.outgoing(&spend.payment_hash).await {
                Ok(Outgoing::Paid(payment)) => drop(self.accept(&spend, &payment, 0)?),
                Ok(Outgoing::Failed) => self.give_up(&spend.payment_hash)?,
                Ok(Outgoing::Unknown) if spend.invoice_expires_at <= unix_now() => {
                    self.give_up(&spend.payment_hash)?;
                }
                _ => open += 1,
            }
        }
        Ok(open)
    }

    /// The payment was made: the money is gone, and what it bought is kept, but for the calls that are made with it at once.
    fn accept(&self, spend: &Spend, payment: &Payment, uses: u32) -> Result<(Bought, Paid), AgentError> {
        let hash = spend.payment_hash;
        let amount = payment.amount.max(spend.amount);
        let cost = amount.checked_add(payment.fee).unwrap_or(Msat::new(i64::MAX));
        self.spending.settle(&hash, cost);
        if payment.preimage.payment_hash() != hash {
            self.purse.lose(&hash, cost, unix_now())?;
            return Err(AgentError::WrongProof { payment_hash: hash });
        }
        let paid = Paid { amount, fee: payment.fee, payment_hash: hash, calls: spend.calls };
        let bought = self.purse.finish(spend, &payment.preimage, cost, uses, unix_now())?;
        self.tell(&Step::Paid(paid));
        Ok((bought, paid))
    }

    fn give_up(&self, hash: &PaymentHash) -> Result<(), AgentError> {
        self.spending.release(hash);
        Ok(self.purse.fail(hash, unix_now())?)
    }
}

/// Errors after which it is certain that no money moves. Of every other one the wallet's own record has to be asked.
fn nothing_was_sent(error: &PayError) -> bool {
    matches!(
        error,
        PayError::InvalidInvoice(_)
            | PayError::WrongNetwork
            | PayError::NoAmount
            | PayError::Expired
            | PayError::NoRoute
            | PayError::Rejected
            | PayError::Failed(_)
            | PayError::Node(NodeError::Refused(_) | NodeError::Unsupported(_) | NodeError::Config(_))
    )
}
