//! What an operator should know at once.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

use parking_lot::Mutex;
use tokio::sync::mpsc;

/// Most alerts waiting to be carried away; more are only logged.
const WAITING_MAX: usize = 64;

/// A thing that is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Alert {
    /// The node does not answer; nothing can be sold for money.
    NodeDown,
    /// The node can receive less than the operator wants it to.
    LowInbound,
    /// Making invoices, or booking settlements, takes longer than the operator wants it to.
    Slow,
    /// A channel was closed that nobody asked to close, and its money is still on its way back.
    ChannelClosed,
}

impl Alert {
    /// Every alert, in the order of their numbers.
    pub const ALL: [Self; 4] = [Self::NodeDown, Self::LowInbound, Self::Slow, Self::ChannelClosed];

    /// As it stands in metrics and webhooks.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NodeDown => "node_down",
            Self::LowInbound => "low_inbound",
            Self::Slow => "slow",
            Self::ChannelClosed => "channel_closed",
        }
    }
}

/// An alert that began or ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AlertNews {
    /// Which.
    pub alert: Alert,
    /// Whether it begins.
    pub raised: bool,
    /// More about it, without secrets.
    pub text: String,
}

/// Which alerts are raised, and who is told.
#[derive(Default)]
pub(crate) struct Alerts {
    raised: [AtomicBool; Alert::ALL.len()],
    counts: [AtomicU64; Alert::ALL.len()],
    listener: Mutex<Option<mpsc::Sender<AlertNews>>>,
}

impl Alerts {
    /// What is told from now on. There is one listener; a later one takes the place of an earlier.
    pub(crate) fn listen(&self) -> mpsc::Receiver<AlertNews> {
        let (sender, receiver) = mpsc::channel(WAITING_MAX);
        *self.listener.lock() = Some(sender);
        receiver
    }

    /// Begins an alert, unless it is on already.
    pub(crate) fn raise(&self, alert: Alert, text: &str) {
        if !self.raised[alert as usize].swap(true, Relaxed) {
            self.counts[alert as usize].fetch_add(1, Relaxed);
            tracing::warn!(alert = alert.as_str(), detail = text, "Lightning alert");
            self.tell(alert, true, text);
        }
    }

    /// Ends an alert, if it is on.
    pub(crate) fn clear(&self, alert: Alert) {
        if self.raised[alert as usize].swap(false, Relaxed) {
            tracing::info!(alert = alert.as_str(), "Lightning alert is over");
            self.tell(alert, false, "");
        }
    }

    fn tell(&self, alert: Alert, raised: bool, text: &str) {
        if let Some(listener) = &*self.listener.lock() {
            // Whoever carries them is slow, or gone; the log has it.
            let _ = listener.try_send(AlertNews { alert, raised, text: text.to_owned() });
        }
    }

    pub(crate) fn is_raised(&self, alert: Alert) -> bool {
        self.raised[alert as usize].load(Relaxed)
    }

    /// How often it was raised.
    pub(crate) fn count(&self, alert: Alert) -> u64 {
        self.counts[alert as usize].load(Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_alert_is_told_when_it_begins_and_when_it_ends() {
        let alerts = Alerts::default();
        alerts.raise(Alert::Slow, "before anybody listened");
        let mut told = alerts.listen();
        alerts.raise(Alert::LowInbound, "1 of 2 sat");
        alerts.raise(Alert::LowInbound, "0 of 2 sat");
        alerts.clear(Alert::LowInbound);
        alerts.clear(Alert::LowInbound);
        let news = |raised, text: &str| AlertNews { alert: Alert::LowInbound, raised, text: text.to_owned() };
        assert_eq!(told.try_recv(), Ok(news(true, "1 of 2 sat")));
        assert_eq!(told.try_recv(), Ok(news(false, "")));
        assert!(told.try_recv().is_err());
        assert!(alerts.is_raised(Alert::Slow) && !alerts.is_raised(Alert::LowInbound));
        assert_eq!((alerts.count(Alert::LowInbound), alerts.count(Alert::NodeDown)), (1, 0));
        for _ in 0..2 * WAITING_MAX {
            alerts.raise(Alert::NodeDown, "");
            alerts.clear(Alert::NodeDown);
        }
    }
}
