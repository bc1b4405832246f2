//! One look: the ledger's payments against the node's, and the ledger against itself.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use futures_util::{StreamExt, stream};
use octroi_l402::PaymentHash;
use octroi_ledger::{MAX_ROWS, PaymentRow, ReadError, Reader};
use octroi_lightning::{InvoiceState, LightningNode, NodeError, Past, Settled};

use super::{FINDINGS_MAX, Finding, FindingKind, ReconcileError, Reconciliation};

/// Questions to the node under way at once.
const AT_ONCE: usize = 8;
/// Rows of the ledger read at a time.
const PAGE: u32 = 1_000;
/// A payee accepts a payment for so long after its invoice's end: until then an unpaid quote may still be settled, in seconds.
const PAYABLE_AFTER_END: u64 = 2 * 3_600;
/// Every backend remembers what it was paid for so long, in seconds; later it may have forgotten.
const REMEMBERED: u64 = 6 * 24 * 3_600;
/// How long the node may take for one answer.
const PATIENCE: Duration = Duration::from_secs(20);

/// What one look covers.
#[derive(Clone, Copy, Debug)]
pub struct Scope {
    /// Payments booked or arrived since this Unix second are compared.
    pub since: u64,
    /// Unix seconds.
    pub now: u64,
    /// A hold that has been open for longer is named.
    pub hold_age: Duration,
    /// The node is asked about at most so many invoices one by one.
    pub asked_max: u64,
    /// Before a credit counts as missing, whoever books settlements has so long to book it.
    pub grace: Duration,
    /// Whether the ledger's own promises are checked: that reads all of it.
    pub promises: bool,
}

/// The ledger, asked outside the async tasks.
struct Books(Option<Reader>);

impl Books {
    async fn ask<T: Send + 'static>(
        &mut self,
        question: impl FnOnce(&Reader) -> Result<T, ReadError> + Send + 'static,
    ) -> Result<T, ReconcileError> {
        let reader = self.0.take().ok_or(ReconcileError::BrokenOff)?;
        let asked = tokio::task::spawn_blocking(move || {
            let answer = question(&reader);
            (reader, answer)
        });
        let (reader, answer) = asked.await.map_err(|_| ReconcileError::BrokenOff)?;
        self.0 = Some(reader);
        Ok(answer?)
    }
}

/// Compares the ledger with the node, where there is one, and with itself. Changes nothing.
///
/// # Errors
/// The ledger cannot be read, or the node does not answer.
pub async fn examine(
    reader: Reader,
    node: Option<&dyn LightningNode>,
    scope: Scope,
) -> Result<Reconciliation, ReconcileError> {
    let mut look = Look {
        books: Books(Some(reader)),
        scope,
        missing: Vec::new(),
        kinds: [0; FindingKind::ALL.len()],
        found: Reconciliation::default(),
    };
    (look.found.at, look.found.since) = (scope.now, scope.since);
    look.found.node = node.map(LightningNode::ledger_name);
    look.payments(node).await?;
    if let Some(node) = node {
        match node.capabilities().past {
            Past::Listed => look.listed(node).await?,
            Past::ByHash | Past::Forgotten => look.unpaid(node).await?,
        }
        look.settle_missing().await?;
    }
    look.itself().await?;
    look.found.findings.sort_by(|a, b| (a.kind, a.at, &a.subject).cmp(&(b.kind, b.at, &b.subject)));
    Ok(look.found)
}

/// What the ledger calls the node that is asked.
#[derive(Default)]
struct Names {
    name: String,
    /// In ledgers of before nodes had names of their own: its kind alone, where no other of its kind is known.
    kind: Option<&'static str>,
}

impl Names {
    /// `known`: the nodes of the ledger.
    fn of(node: &dyn LightningNode, known: &[String]) -> Self {
        let (name, kind) = (node.ledger_name(), node.backend());
        let of_its_kind = |other: &String| other.split_once(':').is_some_and(|(other, _)| other == kind);
        let alone = !known.iter().any(|other| of_its_kind(other) && *other != name);
        Self { name, kind: alone.then_some(kind) }
    }

    fn are(&self, name: &str) -> bool {
        self.name == name || self.kind == Some(name)
    }
}

struct Look {
    books: Books,
    scope: Scope,
    /// Settled at the node and not credited when they were looked for.
    missing: Vec<Settled>,
    /// How many were found of each kind.
    kinds: [usize; FindingKind::ALL.len()],
    found: Reconciliation,
}

impl Look {
    fn add(&mut self, finding: Finding) {
        let count = &mut self.kinds[finding.kind as usize];
        *count += 1;
        if *count > FINDINGS_MAX {
            self.found.more += 1;
        } else {
            self.found.findings.push(finding);
        }
    }

    /// Every payment of the ledger: what it says itself, and what the node says of it.
    async fn payments(&mut self, node: Option<&dyn LightningNode>) -> Result<(), ReconcileError> {
        let (since, mut last) = (self.scope.since, None::<String>);
        let node = node.filter(|node| node.capabilities().past != Past::Forgotten);
        let names = match node {
            Some(node) => Names::of(node, &self.books.ask(Reader::nodes).await?),
            None => Names::default(),
        };
        loop {
            let after = last.take();
            let page = self.books.ask(move |reader| reader.payments(since, after.as_deref(), PAGE)).await?;
            let Some(row) = page.last() else { return Ok(()) };
            last = Some(row.id.clone());
            self.found.payments += page.len() as u64;
            let page: Vec<PaymentRow> = page.into_iter().filter(|row| !row.accepted).collect();
            for row in &page {
                if let Some(finding) = odd(row) {
                    self.add(finding);
                }
            }
            if let Some(node) = node {
                let of_this_node = page.iter().filter(|row| names.are(&row.node));
                let hashes: Vec<PaymentHash> = of_this_node.map(|row| row.payment_hash).collect();
                let states = self.ask_node(node, &hashes).await?;
                for (hash, state) in states {
                    let Some(row) = page.iter().find(|row| row.payment_hash == hash) else { continue };
                    if let Some(finding) = contradiction(row, state, self.scope.now) {
                        self.add(finding);
                    }
                }
            }
        }
    }

    /// Asks about invoices one by one, several at a time, as far as the bound allows.
    async fn ask_node(
        &mut self,
        node: &dyn LightningNode,
        hashes: &[PaymentHash],
    ) -> Result<Vec<(PaymentHash, InvoiceState)>, ReconcileError> {
        let left =
            usize::try_from(self.scope.asked_max.saturating_sub(self.found.asked)).unwrap_or(usize::MAX);
        let asked = &hashes[..hashes.len().min(left)];
        self.found.asked += asked.len() as u64;
        self.found.not_asked += (hashes.len() - asked.len()) as u64;
        let mut answers = stream::iter(asked.iter().copied())
            .map(|hash| async move {
                let said = tokio::time::timeout(PATIENCE, node.lookup(&hash)).await;
                said.unwrap_or(Err(NodeError::Timeout)).map(|state| (hash, state))
            })
            .buffered(AT_ONCE);
        let mut states = Vec::with_capacity(asked.len());
        while let Some(answer) = answers.next().await {
            states.push(answer?);
        }
        Ok(states)
    }

    /// Everything the node says arrived.
    async fn listed(&mut self, node: &dyn LightningNode) -> Result<(), ReconcileError> {
        let (mut from, mut seen) = (self.scope.since, HashSet::new());
        loop {
            let list = tokio::time::timeout(PATIENCE, node.settled_since(from)).await;
            let list = list.unwrap_or(Err(NodeError::Timeout))?;
            let Some(last) = list.last().map(|one| one.settled_at) else { return Ok(()) };
            let new: Vec<Settled> =
                list.into_iter().filter(|one| !seen.contains(&one.payment_hash)).collect();
            if new.is_empty() {
                from = last.saturating_add(1);
                continue;
            }
            self.found.listed += new.len() as u64;
            self.note_missing(&new).await?;
            // Only those of the last second can come again.
            seen.retain(|_| last == from);
            seen.extend(new.iter().filter(|one| one.settled_at >= last).map(|one| one.payment_hash));
            from = last;
        }
    }

    /// Every quote nobody has paid, as far as the ledger knows.
    async fn unpaid(&mut self, node: &dyn LightningNode) -> Result<(), ReconcileError> {
        let (since, mut last) = (self.scope.since, None::<PaymentHash>);
        loop {
            let after = last.take();
            let page = self.books.ask(move |reader| reader.unpaid(after.as_ref(), PAGE)).await?;
            let Some(row) = page.last() else { return Ok(()) };
            last = Some(row.payment_hash);
            let may_be_paid =
                page.iter().filter(|row| row.quoted_until.saturating_add(PAYABLE_AFTER_END) >= since);
            let hashes: Vec<PaymentHash> = may_be_paid.map(|row| row.payment_hash).collect();
            for (payment_hash, state) in self.ask_node(node, &hashes).await? {
                if let InvoiceState::Settled { amount, settled_at } = state {
                    self.missing.push(Settled { payment_hash, amount, settled_at });
                }
            }
        }
    }

    async fn note_missing(&mut self, settled: &[Settled]) -> Result<(), ReconcileError> {
        let hashes: Vec<PaymentHash> = settled.iter().map(|one| one.payment_hash).collect();
        let without: HashSet<PaymentHash> =
            self.books.ask(move |reader| reader.not_credited(&hashes)).await?.into_iter().collect();
        self.missing.extend(settled.iter().filter(|one| without.contains(&one.payment_hash)));
        Ok(())
    }

    /// What is missing now may be under way: it counts when it is still missing a moment later.
    async fn settle_missing(&mut self) -> Result<(), ReconcileError> {
        let missing = std::mem::take(&mut self.missing);
        if missing.is_empty() {
            return Ok(());
        }
        tokio::time::sleep(self.scope.grace).await;
        self.note_missing(&missing).await?;
        for one in std::mem::take(&mut self.missing) {
            let text = "the node has this payment, the ledger has no credit for it";
            let finding = Finding::about(FindingKind::NotCredited, &one.payment_hash, text);
            self.add(finding.money(one.amount.as_i64(), None, one.settled_at));
        }
        Ok(())
    }

    /// Credits against calls, holds, and what other ledgers were told.
    async fn itself(&mut self) -> Result<(), ReconcileError> {
        let age_ms = u64::try_from(self.scope.hold_age.as_millis()).unwrap_or(u64::MAX);
        let before_ms = self.scope.now.saturating_mul(1_000).saturating_sub(age_ms);
        let holds = self.books.ask(move |reader| reader.open_holds(before_ms, MAX_ROWS)).await?;
        let bills = self.books.ask(|reader| reader.refused_bills(MAX_ROWS)).await?;
        let mut violations = Vec::new();
        if self.scope.promises {
            let began = Instant::now();
            violations = self.books.ask(Reader::verify_in_turn).await?.violations;
            self.found.checked_ms = Some(u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX));
        }
        let plain = |kind, subject, msat, at, detail| Finding {
            kind,
            subject,
            msat,
            expected_msat: None,
            at,
            detail,
        };
        for broken in violations {
            let subject = broken.promise.to_owned();
            self.add(plain(FindingKind::BrokenPromise, subject, None, None, broken.detail));
        }
        for hold in holds {
            let detail = format!("a call of {} {} has not ended", hold.service, hold.tool);
            let at = Some(hold.since_ms / 1_000);
            self.add(plain(FindingKind::OpenHold, hold.id, Some(hold.amount), at, detail));
        }
        for bill in bills {
            let detail = format!("the charge for {} {} was not taken: {}", bill.service, bill.tool, bill.why);
            let at = Some(bill.at_ms / 1_000);
            self.add(plain(FindingKind::BillRefused, bill.id, Some(bill.msat), at, detail));
        }
        Ok(())
    }
}

/// What is odd about a payment, by the ledger alone.
fn odd(row: &PaymentRow) -> Option<Finding> {
    let about = |kind, text: &str| Finding::about(kind, &row.payment_hash, text);
    let finding = match (row.asked_msat, row.quoted_until) {
        _ if row.suspense => about(FindingKind::Unasked, "no quote explains this payment; it is in suspense"),
        (Some(asked), _) if row.msat > asked => {
            about(FindingKind::Overpaid, "more arrived than was asked; it is credited")
        }
        (Some(asked), _) if row.msat < asked => {
            about(FindingKind::Underpaid, "less arrived than was asked; what arrived is credited")
        }
        (_, Some(until)) if row.settled_at > until => about(
            FindingKind::Late,
            &format!("it arrived after its quote had ended at {until}; it is credited"),
        ),
        _ => return None,
    };
    Some(finding.money(row.msat, row.asked_msat, row.settled_at))
}

/// What the node says against a credit.
fn contradiction(row: &PaymentRow, state: InvoiceState, now: u64) -> Option<Finding> {
    let (kind, msat, text) = match state {
        InvoiceState::Settled { amount, .. } if amount.as_i64() == row.msat => return None,
        InvoiceState::Settled { amount, .. } => (
            FindingKind::AmountDiffers,
            amount.as_i64(),
            "the node says that another amount arrived than was credited",
        ),
        InvoiceState::Open | InvoiceState::Expired => (
            FindingKind::NotSettled,
            0,
            "the ledger has credited this payment, the node says it was not paid",
        ),
        InvoiceState::Unknown if row.settled_at.saturating_add(REMEMBERED) < now => return None,
        InvoiceState::Unknown => {
            (FindingKind::NotSettled, 0, "the ledger has credited this payment, the node does not know it")
        }
    };
    Some(Finding::about(kind, &row.payment_hash, text).money(msat, Some(row.msat), row.settled_at))
}
