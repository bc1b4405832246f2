//! Who pays: a wallet, a purse, and what the owner allows. Shared by everything that calls.

use std::collections::HashSet;
use std::sync::Arc;

use octroi_l402::Msat;
use octroi_lightning::LightningNode;
use parking_lot::Mutex;
use tokio::sync::OnceCell;
use url::Url;

use crate::budget::Spending;
use crate::policy::{Policy, Terms};
use crate::{AgentError, Approver, Budget, Observer, Purse, Step, WorkPolicy};

/// Pays, computes, and remembers; one for any number of servers.
pub struct Payer {
    pub(crate) wallet: Option<Arc<dyn LightningNode>>,
    /// The network the wallet is on, once it said so.
    pub(crate) network: OnceCell<String>,
    pub(crate) spending: Spending,
    pub(crate) policy: Policy,
    pub(crate) work: WorkPolicy,
    pub(crate) purse: Arc<Purse>,
    pub(crate) approver: Option<Arc<dyn Approver>>,
    /// What is being bought in the background.
    pub(crate) fetching: Mutex<HashSet<(String, String)>>,
    observer: Option<Observer>,
}

/// Sets a [`Payer`] up. Without a wallet and a [`Budget`] it pays nothing; without a [`WorkPolicy`] it computes nothing.
#[derive(Default)]
pub struct PayerBuilder {
    pub(crate) wallet: Option<Arc<dyn LightningNode>>,
    pub(crate) budget: Budget,
    pub(crate) policy: Policy,
    pub(crate) work: Option<WorkPolicy>,
    pub(crate) purse: Option<Arc<Purse>>,
    pub(crate) approver: Option<Arc<dyn Approver>>,
    pub(crate) observer: Option<Observer>,
}

impl PayerBuilder {
    /// What pays.
    #[must_use]
    pub fn wallet(mut self, wallet: Arc<dyn LightningNode>) -> Self {
        self.wallet = Some(wallet);
        self
    }

    /// How much this payer may give away in its life, beside what the policy limits.
    #[must_use]
    pub fn budget(mut self, budget: Budget) -> Self {
        self.budget = budget;
        self
    }

    /// The owner's rules, across every process that uses the same purse.
    #[must_use]
    pub fn policy(mut self, policy: Policy) -> Self {
        self.policy = policy;
        self
    }

    /// Whether puzzles are solved; what the policy says unless given.
    #[must_use]
    pub fn work(mut self, work: WorkPolicy) -> Self {
        self.work = Some(work);
        self
    }

    /// Where credentials are kept. Without one they are forgotten with the payer.
    #[must_use]
    pub fn purse(mut self, purse: Arc<Purse>) -> Self {
        self.purse = Some(purse);
        self
    }

    /// Who is asked about payments above the policy's limit.
    #[must_use]
    pub fn approver(mut self, approver: Arc<dyn Approver>) -> Self {
        self.approver = Some(approver);
        self
    }

    /// Who is told of every step.
    #[must_use]
    pub fn observer(mut self, observer: Observer) -> Self {
        self.observer = Some(observer);
        self
    }

    /// The payer. Nothing is sent yet.
    #[must_use]
    pub fn build(self) -> Arc<Payer> {
        let seconds = self.policy.work_seconds;
        let by_policy = if seconds > 0.0 { WorkPolicy::Within(seconds) } else { WorkPolicy::Never };
        Arc::new(Payer {
            wallet: self.wallet,
            network: OnceCell::new(),
            spending: Spending::new(self.budget),
            policy: self.policy,
            work: self.work.unwrap_or(by_policy),
            purse: self.purse.unwrap_or_default(),
            approver: self.approver,
            fetching: Mutex::default(),
            observer: self.observer,
        })
    }
}

impl Payer {
    /// A payer to be set up.
    #[must_use]
    pub fn builder() -> PayerBuilder {
        PayerBuilder::default()
    }

    /// What this payer has given away so far, or has set aside for payments without an outcome.
    #[must_use]
    pub fn spent(&self) -> Msat {
        self.spending.spent()
    }

    /// What it keeps.
    #[must_use]
    pub fn purse(&self) -> &Arc<Purse> {
        &self.purse
    }

    /// What the owner allows.
    #[must_use]
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// What pays, if anything.
    #[must_use]
    pub fn wallet(&self) -> Option<&Arc<dyn LightningNode>> {
        self.wallet.as_ref()
    }

    /// Tells the observer of a step.
    pub(crate) fn tell(&self, step: &Step) {
        if let Some(observer) = &self.observer {
            observer(step);
        }
    }

    /// What the policy says of `endpoint`, if it may be dealt with at all.
    pub(crate) fn terms(&self, endpoint: &Url) -> Result<Terms, AgentError> {
        let terms = self.policy.terms(endpoint);
        if terms.allowed {
            return Ok(terms);
        }
        Err(AgentError::NotListed { server: origin(endpoint) })
    }
}

/// The origin as it is written in limits and receipts.
pub(crate) fn origin(url: &Url) -> String {
    url.origin().ascii_serialization()
}
