//! What the desk does beside selling: look at the node, fill the stock, let go of what expired.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Instant;

use octroi_l402::PaymentHash;
use octroi_lightning::NodeError;
use tokio::task::JoinSet;

use super::alert::Alert;
use super::ready::Order;
use super::{INVOICE_WAIT, InvoiceDesk};
use crate::clock::unix_seconds;

/// Most invoices made ahead at the same time; the rest follows.
const AHEAD_AT_ONCE: usize = 4;

impl InvoiceDesk {
    /// Tends the desk for as long as the gate runs.
    pub async fn tend(self: Arc<Self>) {
        let mut looked: Option<Instant> = None;
        loop {
            if looked.is_none_or(|at| at.elapsed() >= self.settings.look_every) {
                self.look().await;
                if !self.slow.swap(false, Relaxed) {
                    self.alerts.clear(Alert::Slow);
                }
                looked = Some(Instant::now());
            }
            self.stock_up().await;
            self.let_go(self.guard.take_expired(unix_seconds())).await;
            let _ = tokio::time::timeout(self.settings.look_every, self.wanted.notified()).await;
        }
    }

    /// Asks the node what it can carry. A node that cannot say is asked who it is, so that one that is down is known.
    pub(super) async fn look(&self) {
        let capabilities = self.node.capabilities();
        let asked = async {
            if capabilities.balances {
                self.node.balances().await.map(Some)
            } else {
                self.node.info().await.map(|_| None)
            }
        };
        match tokio::time::timeout(INVOICE_WAIT, asked).await.unwrap_or(Err(NodeError::Timeout)) {
            Ok(balances) => {
                self.health.up(&self.alerts);
                if let Some(balances) = balances {
                    self.health.saw_balances(balances);
                    self.judge_inbound();
                }
                self.judge_closings().await;
            }
            Err(error) => self.health.failed(&error, Instant::now(), &self.alerts),
        }
    }

    fn judge_inbound(&self) {
        let inbound = self.balances().and_then(|balances| balances.inbound);
        let (Some(least), Some(inbound)) = (self.settings.low_inbound, inbound) else { return };
        if inbound < least {
            let text = format!("{} msat can be received, {} are wanted", inbound.as_i64(), least.as_i64());
            self.alerts.raise(Alert::LowInbound, &text);
        } else {
            self.alerts.clear(Alert::LowInbound);
        }
    }

    /// The alert is over when all of the money is in the wallet.
    async fn judge_closings(&self) {
        let Ok(Ok(closing)) = tokio::time::timeout(INVOICE_WAIT, self.node.closing()).await else { return };
        let mut unasked = closing.iter().filter(|one| one.unasked);
        let Some(first) = unasked.next() else { return self.alerts.clear(Alert::ChannelClosed) };
        let sat = unasked.fold(first.sat, |sum, one| sum.saturating_add(one.sat));
        let reason = first.reason.as_deref().unwrap_or("not known");
        let text = format!("channel {}: {reason}; {sat} sat are on their way back on chain", first.channel);
        self.alerts.raise(Alert::ChannelClosed, &text);
    }

    async fn stock_up(self: &Arc<Self>) {
        let needs = self.ready.needs(Instant::now(), unix_seconds());
        self.let_go(needs.forget).await;
        let wanted = needs.make.into_iter().flat_map(|(order, missing)| std::iter::repeat_n(order, missing));
        let mut under_way = JoinSet::new();
        for order in wanted {
            if self.health.answers(Instant::now()).is_err() {
                return;
            }
            if under_way.len() >= AHEAD_AT_ONCE {
                under_way.join_next().await;
            }
            under_way.spawn(Arc::clone(self).make_ahead(order));
        }
        while under_way.join_next().await.is_some() {}
    }

    async fn make_ahead(self: Arc<Self>, order: Order) {
        if let Ok(invoice) = self.make(order.clone()).await {
            self.ready.put(&order, invoice);
        }
    }

    async fn let_go(&self, expired: Vec<PaymentHash>) {
        if !self.node.capabilities().forget {
            return;
        }
        for hash in expired {
            if let Err(error) = self.node.forget(&hash).await {
                tracing::debug!(%error, "an expired invoice was not forgotten; the node drops it by its age");
                if self.health.answers(Instant::now()).is_err() {
                    return;
                }
            }
        }
    }
}
