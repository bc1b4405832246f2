//! Those who wait for a credit.

use std::sync::Arc;

use octroi_l402::TokenId;
use tokio::sync::Notify;

use super::{Shared, State};

#[derive(Debug)]
pub(super) struct Waiters {
    told: Arc<Notify>,
    count: usize,
}

impl State {
    /// Those who wait for a credit to `token`.
    pub(crate) fn waiters_of(&self, token: &TokenId) -> Option<Arc<Notify>> {
        self.waiters.get(token).map(|waiters| Arc::clone(&waiters.told))
    }
}

impl Shared {
    /// A place among those who wait for a credit to `token`; `None` where too many wait.
    pub(crate) fn wait_place(self: &Arc<Self>, token: TokenId) -> Option<WaitPlace> {
        let mut state = self.state.lock();
        if state.waiting >= self.waiters {
            return None;
        }
        state.waiting += 1;
        let waiters =
            state.waiters.entry(token).or_insert_with(|| Waiters { told: Arc::new(Notify::new()), count: 0 });
        waiters.count += 1;
        Some(WaitPlace { shared: Arc::clone(self), told: Arc::clone(&waiters.told), token })
    }
}

/// A place among those who wait; given up when dropped.
pub(crate) struct WaitPlace {
    shared: Arc<Shared>,
    pub(crate) told: Arc<Notify>,
    token: TokenId,
}

impl Drop for WaitPlace {
    fn drop(&mut self) {
        let mut state = self.shared.state.lock();
        state.waiting -= 1;
        if let Some(waiters) = state.waiters.get_mut(&self.token) {
            waiters.count -= 1;
            if waiters.count == 0 {
                state.waiters.remove(&self.token);
            }
        }
    }
}
