//! Paying an invoice: once, within the budget, and never without knowing what became of it.

use std::time::Duration;

use octroi_l402::{Msat, PaymentHash};
use octroi_lightning::{LightningNode, NodeError, Outgoing, PayError, Payment};

use crate::agent::unix_now;
use crate::purse::Spend;
use crate::{Agent, AgentError, Bill, BillError, Bought, Paid, PaymentRequired, PurseError, Step};

/// How long the wallet may take to pay.
const PAY_WAIT: Duration = Duration::from_secs(60);

impl Agent {
    /// Pays a bill for calls of `tool`; the credential it buys is in the purse, too.
    ///
    /// # Errors
    /// [`AgentError`]. After every one but [`AgentError::PaymentPending`] and [`AgentError::WrongProof`] nothing was spent.
    pub async fn pay(&self, tool: &str, bill: &Bill) -> Result<(Bought, Paid), AgentError> {
        let Some(wallet) = self.wallet.as_deref() else {
            return Err(AgentError::Config("there is no wallet to pay with".to_owned()));
        };
        let _turn = self.purse.turn().await;
        self.pay_in_turn(wallet, tool, bill, &mut Vec::new()).await
    }

    /// A credential for a call: one that another call has bought meanwhile, one from an earlier payment whose outcome is now
    /// known, or a new one.
    pub(crate) async fn buy(
        &self,
        tool: &str,
        required: &PaymentRequired,
        calls: u32,
        tried: &[PaymentHash],
        steps: &mut Vec<Step>,
    ) -> Result<(Bought, Option<Paid>), AgentError> {
        let Some(wallet) = self.wallet.as_deref() else {
            return Err(AgentError::PaymentRequired(Box::new(required.clone())));
        };
        let _turn = self.purse.turn().await;
        let endpoint = self.endpoint.as_str();
        if let Some(bought) = self.purse.take(endpoint, tool, tried, unix_now())? {
            return Ok((bought, None));
        }
        let resumed = match self.purse.open_spend(endpoint, tool) {
            Some(spend) => self.resume(wallet, spend, steps).await?,
            None => None,
        };
        let (mut bought, paid) = match resumed {
            Some(done) => done,
            None => {
                let bill = required.bill(calls, unix_now())?;
                self.pay_in_turn(wallet, tool, &bill, steps).await?
            }
        };
        bought.calls_left = bought.calls_left.saturating_sub(1);
        self.purse.learn(&bought.hash(), bought.calls_left)?;
        Ok((bought, Some(paid)))
    }

    async fn pay_in_turn(
        &self,
        wallet: &dyn LightningNode,
        tool: &str,
        bill: &Bill,
        steps: &mut Vec<Step>,
    ) -> Result<(Bought, Paid), AgentError> {
        if bill.expires_at <= unix_now() {
            return Err(BillError::Expired.into());
        }
        self.check_network(wallet, bill).await?;
        self.make(wallet, Spend::new(self.endpoint.as_str(), tool, bill), steps).await
    }

    /// A wallet that does not say where it is will refuse what is not for it by itself.
    async fn check_network(&self, wallet: &dyn LightningNode, bill: &Bill) -> Result<(), AgentError> {
        let ask = || async { wallet.info().await.map(|info| info.network) };
        match self.network.get_or_try_init(ask).await {
            Ok(network) if !network.is_empty() && network != bill.network => {
                Err(BillError::Network { invoice: bill.network, wallet: network.clone() }.into())
            }
            _ => Ok(()),
        }
    }

    /// Sets the money aside, writes the spend down, and only then pays.
    async fn make(
        &self,
        wallet: &dyn LightningNode,
        spend: Spend,
        steps: &mut Vec<Step>,
    ) -> Result<(Bought, Paid), AgentError> {
        let hash = spend_hash(&spend)?;
        let (amount, calls) = (spend.amount(), spend.calls);
        let max_fee = self.spending.reserve(hash, amount, calls)?;
        if let Err(error) = self.purse.begin(spend.clone()) {
            self.spending.release(&hash);
            return Err(error.into());
        }
        self.tell(steps, Step::Paying { amount, max_fee, calls });
        let error = match wallet.pay(&spend.invoice, max_fee, PAY_WAIT).await {
            Ok(payment) => return self.accept(spend, &payment, steps),
            Err(error) => error,
        };
        if nothing_was_sent(&error) {
            self.give_up(&spend, &hash)?;
            return Err(AgentError::Pay(error));
        }
        match wallet.outgoing(&hash).await {
            Ok(Outgoing::Paid(payment)) => self.accept(spend, &payment, steps),
            Ok(Outgoing::Failed) => {
                self.give_up(&spend, &hash)?;
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
        steps: &mut Vec<Step>,
    ) -> Result<Option<(Bought, Paid)>, AgentError> {
        let hash = spend_hash(&spend)?;
        match wallet.outgoing(&hash).await {
            Ok(Outgoing::Paid(payment)) => self.accept(spend, &payment, steps).map(Some),
            Ok(Outgoing::Failed) => self.give_up(&spend, &hash).map(|()| None),
            Ok(Outgoing::Unknown) if spend.invoice_expires_at <= unix_now() => {
                self.give_up(&spend, &hash).map(|()| None)
            }
            // The same invoice again: a node pays a payment hash once, whatever it knows of the first time.
            Ok(Outgoing::Unknown) | Err(NodeError::Unsupported(_)) => {
                self.make(wallet, spend, steps).await.map(Some)
            }
            _ => Err(AgentError::PaymentPending { payment_hash: hash }),
        }
    }

    /// The payment was made: the money is gone, and what it bought is kept.
    fn accept(
        &self,
        spend: Spend,
        payment: &Payment,
        steps: &mut Vec<Step>,
    ) -> Result<(Bought, Paid), AgentError> {
        let hash = spend_hash(&spend)?;
        let amount = payment.amount.max(spend.amount());
        let cost = amount.checked_add(payment.fee).unwrap_or(Msat::new(i64::MAX));
        self.spending.settle(&hash, cost);
        if payment.preimage.payment_hash() != hash {
            self.purse.forget(&spend)?;
            return Err(AgentError::WrongProof { payment_hash: hash });
        }
        let paid = Paid { amount, fee: payment.fee, payment_hash: hash, calls: spend.calls };
        let bought = self.purse.finish(spend, &payment.preimage)?;
        self.tell(steps, Step::Paid(paid));
        Ok((bought, paid))
    }

    fn give_up(&self, spend: &Spend, hash: &PaymentHash) -> Result<(), AgentError> {
        self.spending.release(hash);
        Ok(self.purse.forget(spend)?)
    }
}

fn spend_hash(spend: &Spend) -> Result<PaymentHash, AgentError> {
    let hash = spend.payment_hash.parse();
    hash.map_err(|_| PurseError::Format("a payment without its hash".to_owned()).into())
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
