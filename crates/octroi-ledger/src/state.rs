//! What the callers and the writer share: the accounts in memory, and the queue to the disk.
//!
//! One lock covers both, so that the order in which holds are decided is the order in which they are written.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use octroi_l402::TokenId;
use parking_lot::{Condvar, Mutex, MutexGuard};
use tokio::sync::{Notify, oneshot};

use crate::account::Balance;
use crate::accounts::Accounts;
use crate::config::LedgerConfig;
use crate::engine::{Entry, HoldRow, LoadRequest};
use crate::entry::{Credited, HoldRequest, Pruned};
use crate::error::{HoldRefused, LedgerError};
use crate::hold::{HoldCell, HoldTicket, OpenHold};
use crate::id::{EntryId, IdSource, unix_ms};
use crate::report::CallEnd;
use crate::tools::Tools;

/// Something for the writer to do.
#[derive(Debug)]
pub(crate) enum Op {
    Hold(HoldTicket),
    End(HoldEnd),
    Entry(QueuedEntry),
    Load(QueuedLoad),
}

/// The end of a hold, decided and not yet on disk.
#[derive(Debug)]
pub(crate) struct HoldEnd {
    pub(crate) cell: Arc<HoldCell>,
    pub(crate) captured: i64,
    pub(crate) end: CallEnd,
    pub(crate) at_ms: u64,
}

impl HoldEnd {
    /// What went back to the account.
    pub(crate) fn given_back(&self) -> i64 {
        self.cell.row.amount - self.captured
    }
}

/// An entry on its way to the disk.
#[derive(Debug)]
pub(crate) struct QueuedEntry {
    pub(crate) id: EntryId,
    pub(crate) at_ms: u64,
    pub(crate) entry: Entry,
    pub(crate) reply: oneshot::Sender<Result<Receipt, LedgerError>>,
}

/// A look at the disk that is waited for.
#[derive(Debug)]
pub(crate) struct QueuedLoad {
    pub(crate) request: LoadRequest,
    pub(crate) reply: oneshot::Sender<Result<Vec<Balance>, LedgerError>>,
}

/// The answer to an entry.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Receipt {
    Written,
    Credited(Credited),
    Pruned(Pruned),
}

/// Whether the ledger writes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Condition {
    Writing,
    /// The disk does not take writes; it is tried again and again.
    Failing(String),
    /// What is queued is still written.
    Closing,
    Closed,
}

/// What is behind the lock.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) accounts: Accounts,
    pub(crate) queue: VecDeque<Op>,
    /// Holds that have not ended on disk, and other operations not yet answered.
    pub(crate) in_flight: usize,
    pub(crate) condition: Condition,
    waiters: HashMap<TokenId, Waiters>,
    waiting: usize,
    tools: Tools,
    ids: IdSource,
}

#[derive(Debug)]
struct Waiters {
    told: Arc<Notify>,
    count: usize,
}

impl State {
    /// Room for one more operation.
    fn admit(&self, queue: usize) -> Result<(), LedgerError> {
        match &self.condition {
            Condition::Failing(reason) => Err(LedgerError::Unavailable(reason.clone())),
            Condition::Closing | Condition::Closed => {
                Err(LedgerError::Unavailable("it is closed".to_owned()))
            }
            Condition::Writing if self.in_flight >= queue => Err(LedgerError::Busy),
            Condition::Writing => Ok(()),
        }
    }

    /// Those who wait for a credit to `token`.
    pub(crate) fn waiters_of(&self, token: &TokenId) -> Option<Arc<Notify>> {
        self.waiters.get(token).map(|waiters| Arc::clone(&waiters.told))
    }
}

/// The lock, and what wakes those who wait for what is behind it.
#[derive(Debug)]
pub(crate) struct Shared {
    state: Mutex<State>,
    work: Condvar,
    closed: Notify,
    queue: usize,
    waiters: usize,
}

impl Shared {
    pub(crate) fn new(config: &LedgerConfig, last_id: EntryId) -> Self {
        let state = State {
            accounts: Accounts::new(config.cached_accounts),
            queue: VecDeque::new(),
            in_flight: 0,
            condition: Condition::Writing,
            waiters: HashMap::new(),
            waiting: 0,
            tools: Tools::default(),
            ids: IdSource::after(last_id),
        };
        Self {
            state: Mutex::new(state),
            work: Condvar::new(),
            closed: Notify::new(),
            queue: config.queue,
            waiters: config.waiters,
        }
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }

    /// Decides a hold, and queues it for the disk where it is granted. `loaded`: what is on disk for it has just been loaded.
    pub(crate) fn hold(
        self: &Arc<Self>,
        request: &HoldRequest<'_>,
        loaded: bool,
    ) -> Result<OpenHold, HoldRefused> {
        let now_ms = unix_ms();
        let mut guard = self.state.lock();
        let state = &mut *guard;
        state.admit(self.queue)?;
        let (account, left) =
            state.accounts.take(request.account, (request.unit, request.amount), now_ms / 1_000, loaded)?;
        let row = HoldRow {
            id: state.ids.next(now_ms),
            account,
            unit: request.unit,
            amount: request.amount,
            tool: state.tools.intern(request.service, request.tool),
            call_ref: request.call_ref,
        };
        let cell = Arc::new(HoldCell::new(row));
        state.queue.push_back(Op::Hold(HoldTicket(Arc::clone(&cell))));
        state.in_flight += 1;
        drop(guard);
        self.work.notify_one();
        Ok(OpenHold::new(cell, Arc::clone(self), left))
    }

    /// Ends a hold. What it does not capture can be held again at once.
    pub(crate) fn end(&self, cell: &Arc<HoldCell>, captured: i64, end: CallEnd) {
        let mut state = self.state.lock();
        let account = cell.row.account;
        if cell.has_failed() {
            state.accounts.hold_over(account);
            state.in_flight -= 1;
            return;
        }
        if state.condition == Condition::Closed {
            return;
        }
        let end = HoldEnd { cell: Arc::clone(cell), captured, end, at_ms: unix_ms() };
        state.accounts.give_back(account, end.given_back());
        state.queue.push_back(Op::End(end));
        drop(state);
        self.work.notify_one();
    }

    /// Queues an entry and waits for its answer.
    pub(crate) async fn enter(&self, entry: Entry) -> Result<Receipt, LedgerError> {
        let (reply, answer) = oneshot::channel();
        {
            let at_ms = unix_ms();
            let mut state = self.state.lock();
            state.admit(self.queue)?;
            let id = state.ids.next(at_ms);
            state.queue.push_back(Op::Entry(QueuedEntry { id, at_ms, entry, reply }));
            state.in_flight += 1;
        }
        self.work.notify_one();
        answer.await.unwrap_or_else(|_| Err(stopped()))
    }

    /// Queues a look at the disk and waits for its answer.
    pub(crate) async fn load(&self, request: LoadRequest) -> Result<Vec<Balance>, LedgerError> {
        let (reply, answer) = oneshot::channel();
        {
            let mut state = self.state.lock();
            state.admit(self.queue)?;
            state.queue.push_back(Op::Load(QueuedLoad { request, reply }));
            state.in_flight += 1;
        }
        self.work.notify_one();
        answer.await.unwrap_or_else(|_| Err(stopped()))
    }

    /// For the writer: waits for something to do, at most for `patience`, and takes at most `most` of it.
    pub(crate) fn take_work(&self, most: usize, patience: Option<Duration>) -> (Vec<Op>, Condition) {
        let mut state = self.state.lock();
        while state.queue.is_empty() && state.condition != Condition::Closing {
            match patience {
                None => self.work.wait(&mut state),
                Some(patience) => {
                    if self.work.wait_for(&mut state, patience).timed_out() {
                        break;
                    }
                }
            }
        }
        let count = most.min(state.queue.len());
        (state.queue.drain(..count).collect(), state.condition.clone())
    }

    /// For the writer: waits for `patience`, or until it is to close.
    pub(crate) fn pause(&self, patience: Duration) -> Condition {
        let mut state = self.state.lock();
        let over = std::time::Instant::now() + patience;
        while state.condition != Condition::Closing && !self.work.wait_until(&mut state, over).timed_out() {}
        state.condition.clone()
    }

    /// No new operations; the writer finishes what is queued.
    pub(crate) fn begin_close(&self) {
        let mut state = self.state.lock();
        if state.condition != Condition::Closed {
            state.condition = Condition::Closing;
        }
        drop(state);
        self.work.notify_one();
    }

    /// The writer is gone. Whoever still waits for it hears of it, because what they wait for is dropped.
    pub(crate) fn set_closed(&self) {
        let left = {
            let mut state = self.state.lock();
            state.condition = Condition::Closed;
            std::mem::take(&mut state.queue)
        };
        drop(left);
        self.closed.notify_waiters();
    }

    pub(crate) async fn closed(&self) {
        let closed = self.closed.notified();
        if self.state.lock().condition != Condition::Closed {
            closed.await;
        }
    }

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

fn stopped() -> LedgerError {
    LedgerError::Unavailable("its writer has stopped".to_owned())
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
