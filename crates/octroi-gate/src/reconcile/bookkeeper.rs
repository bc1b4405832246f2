//! Reconciliation beside a running gate.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use octroi_ledger::Ledger;
use octroi_lightning::LightningNode;
use parking_lot::Mutex;

use super::{Acted, FindingKind, ReconcileError, Reconciliation, Scope, act, examine};
use crate::clock::unix_seconds;

/// Each look reaches so far behind the last one: a node's clock is not this one's.
const OVERLAP: Duration = Duration::from_secs(3_600);

/// By itself it spends at most this part of the time on the ledger's own promises, which are all of its past: where that takes
/// longer, they are checked more seldom.
const PROMISES_PART: u32 = 100;

/// How a bookkeeper is set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReconcileSettings {
    /// How often it looks; `None`: only when it is asked to.
    pub every: Option<Duration>,
    /// How far back it looks at most.
    pub reach: Duration,
    /// Whether it acts on what it finds by itself.
    pub act: bool,
    /// A hold that has been open for longer is named.
    pub hold_age: Duration,
    /// The node is asked about at most so many invoices in one look.
    pub asked_max: u64,
    /// Before a credit counts as missing, whoever books settlements has so long to book it.
    pub grace: Duration,
}

/// Looks at the books of a running gate, again and again.
pub struct Bookkeeper {
    ledger: Ledger,
    node: Option<Arc<dyn LightningNode>>,
    settings: ReconcileSettings,
    last: Mutex<Option<Arc<Reconciliation>>>,
    /// When the promises may be checked again.
    due: Mutex<Option<Instant>>,
    /// One look at a time.
    turn: tokio::sync::Mutex<()>,
    looks: AtomicU64,
    failed: AtomicU64,
    credited: AtomicU64,
}

impl Bookkeeper {
    /// For this ledger, and the node whose settlements are booked in it.
    pub fn new(ledger: Ledger, node: Option<Arc<dyn LightningNode>>, settings: ReconcileSettings) -> Self {
        Self {
            ledger,
            node,
            settings,
            last: Mutex::default(),
            due: Mutex::default(),
            turn: tokio::sync::Mutex::default(),
            looks: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            credited: AtomicU64::new(0),
        }
    }

    /// Looks as often as it is set to, for as long as it is polled.
    pub async fn keep(self: Arc<Self>) {
        let Some(every) = self.settings.every else { return };
        loop {
            tokio::time::sleep(every).await;
            let (since, promises) = (self.since(), self.are_promises_due());
            match self.look_at(since, self.settings.act, promises).await {
                Ok((found, _)) if found.is_empty() => tracing::debug!("the books agree"),
                Ok((found, _)) => tell(&found),
                Err(error) => tracing::warn!(%error, "the books could not be compared"),
            }
        }
    }

    /// Where the next look of its own begins, in Unix seconds: where the last one found something, as far back as it.
    fn since(&self) -> u64 {
        let farthest = unix_seconds().saturating_sub(self.settings.reach.as_secs());
        let last = self.last();
        let Some(last) = last else { return farthest };
        let open = last.not_asked > 0 || last.findings.iter().any(|one| one.kind.is_about_a_payment());
        let begin = if open { last.since } else { last.at.saturating_sub(OVERLAP.as_secs()) };
        begin.max(farthest)
    }

    fn are_promises_due(&self) -> bool {
        self.due.lock().is_none_or(|due| due <= Instant::now())
    }

    /// Looks at everything since `since` (Unix seconds), and at the ledger's own promises; with `acting`, settles what can be settled and looks again, so that what
    /// is returned is what is left.
    ///
    /// # Errors
    /// The ledger cannot be read or written, or the node does not answer.
    pub async fn look(
        &self,
        since: u64,
        acting: bool,
    ) -> Result<(Arc<Reconciliation>, Acted), ReconcileError> {
        self.look_at(since, acting, true).await
    }

    async fn look_at(
        &self,
        since: u64,
        acting: bool,
        promises: bool,
    ) -> Result<(Arc<Reconciliation>, Acted), ReconcileError> {
        let _turn = self.turn.lock().await;
        let looked = self.look_in_turn(since, acting, promises).await;
        self.looks.fetch_add(1, Relaxed);
        match looked {
            Ok((found, acted)) => {
                self.credited.fetch_add(acted.credited, Relaxed);
                let found = Arc::new(found);
                *self.last.lock() = Some(Arc::clone(&found));
                Ok((found, acted))
            }
            Err(error) => {
                self.failed.fetch_add(1, Relaxed);
                Err(error)
            }
        }
    }

    async fn look_in_turn(
        &self,
        since: u64,
        acting: bool,
        promises: bool,
    ) -> Result<(Reconciliation, Acted), ReconcileError> {
        let found = self.examine(since, promises).await?;
        if !acting || !found.findings.iter().any(|one| one.kind.is_settled_by_acting()) {
            return Ok((found, Acted::default()));
        }
        let acted = act(&self.ledger, &found).await?;
        let mut left = self.examine(since, false).await?;
        // Nothing was done about the promises: what was said of them a moment ago stands.
        left.say_again(&found);
        left.checked_ms = found.checked_ms;
        Ok((left, acted))
    }

    async fn examine(&self, since: u64, promises: bool) -> Result<Reconciliation, ReconcileError> {
        let ledger = self.ledger.clone();
        let reader = tokio::task::spawn_blocking(move || ledger.reader()).await;
        let reader = reader.map_err(|_| ReconcileError::BrokenOff)??;
        let ReconcileSettings { hold_age, asked_max, grace, .. } = self.settings;
        let scope = Scope { since, now: unix_seconds(), hold_age, asked_max, grace, promises };
        let mut found = examine(reader, self.node.as_deref(), scope).await?;
        match (found.checked_ms, self.last()) {
            (Some(took), _) => {
                let pause = Duration::from_millis(took).saturating_mul(PROMISES_PART);
                *self.due.lock() = Instant::now().checked_add(pause);
            }
            (None, Some(last)) => found.say_again(&last),
            (None, None) => {}
        }
        Ok(found)
    }

    /// As far back as it looks at most, in Unix seconds.
    #[must_use]
    pub fn farthest(&self) -> u64 {
        unix_seconds().saturating_sub(self.settings.reach.as_secs())
    }

    /// The last look; `None` before the first.
    #[must_use]
    pub fn last(&self) -> Option<Arc<Reconciliation>> {
        self.last.lock().clone()
    }

    /// Looks so far, those that failed, and payments booked by acting.
    #[must_use]
    pub fn counts(&self) -> (u64, u64, u64) {
        (self.looks.load(Relaxed), self.failed.load(Relaxed), self.credited.load(Relaxed))
    }
}

fn tell(found: &Reconciliation) {
    for kind in FindingKind::ALL {
        let count = found.count(kind);
        if count > 0 {
            tracing::warn!(%kind, count, "the books do not agree; see octroi ledger reconcile");
        }
    }
}
