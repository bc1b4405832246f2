//! What the callers and the writer share: the accounts in memory, and the queue to the disk.
//!
//! One lock covers both, so that the order in which holds are decided is the order in which they are written.

mod ops;
mod waiting;
mod work;

use std::collections::HashMap;
use std::sync::Arc;

use octroi_l402::TokenId;
use parking_lot::{Condvar, Mutex, MutexGuard};
use tokio::sync::{Notify, oneshot};

use crate::MAX_LIMITS;
use crate::account::{Balance, MAX_AMOUNT};
use crate::accounts::Accounts;
use crate::claim::{Answer, Claims, Here};
use crate::config::LedgerConfig;
use crate::counters::Counters;
use crate::engine::{AccountState, Authority, Entry, HoldRow, Kept, LoadRequest, NOBODY, Question, Reply};
use crate::entry::HoldRequest;
use crate::error::{HoldRefused, LedgerError};
use crate::hold::{HoldCell, HoldTicket, OpenHold};
use crate::id::{IdSource, unix_ms};
use crate::report::CallEnd;
use crate::revocation::Revoked;
use crate::tools::Tools;

pub(crate) use ops::{HoldEnd, KeptAnswer, Op, Queue, QueuedEntry, QueuedLoad, QueuedQuestion, Receipt};
use waiting::Waiters;
use work::Sleep;

/// Pruning is asked for when this part of the bounds on kept answers has been kept.
const PRUNE_PART: i64 = 16;

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
    authority: Authority,
    /// Empty where the database decides.
    pub(crate) accounts: Accounts,
    /// Empty where the database decides.
    pub(crate) counters: Counters,
    /// Empty where the database decides.
    pub(crate) revoked: Revoked,
    claims: Claims,
    pub(crate) queue: Queue,
    writer: Sleep,
    /// Holds that have not ended on disk, and other operations not yet answered.
    pub(crate) in_flight: usize,
    pub(crate) condition: Condition,
    waiters: HashMap<TokenId, Waiters>,
    waiting: usize,
    tools: Tools,
    ids: IdSource,
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

    /// `amount` was credited; what the account has now.
    pub(crate) fn credited(&mut self, account: &AccountState, amount: i64) -> i64 {
        match self.authority {
            Authority::Memory => self.accounts.credited(account, amount),
            Authority::Database => account.balance,
        }
    }

    /// A hold that is ending gives back what it does not charge, and can be held again at once.
    fn give_back(&mut self, end: &HoldEnd) {
        let row = &end.cell.row;
        self.accounts.give_back(row.account, end.given_back());
        self.counters.give_back(&row.taken, |one| one.given_back(row.amount, end.captured, end.end));
    }

    /// A hold that never came on disk gives back all of it.
    pub(crate) fn undo_hold(&mut self, row: &HoldRow) {
        self.accounts.give_back(row.account, row.amount);
        self.counters.give_back(&row.taken, |one| one.take);
    }

    /// The end of a hold that is not on disk: nothing is given back, because nothing was taken there.
    pub(crate) fn undo_end(&mut self, end: &HoldEnd) {
        let row = &end.cell.row;
        self.accounts.give_back(row.account, -end.given_back());
        self.counters.give_back(&row.taken, |one| -one.given_back(row.amount, end.captured, end.end));
        self.hold_over(row);
    }

    /// A hold that never came on disk is over.
    fn hold_over(&mut self, row: &HoldRow) {
        self.accounts.hold_over(row.account);
        self.counters.over(&row.taken);
        self.in_flight -= 1;
    }

    /// The end of a hold has come on disk.
    pub(crate) fn end_written(&mut self, end: &HoldEnd) {
        let row = &end.cell.row;
        self.accounts.end_written(row.account, row.amount, end.captured);
        self.counters.over(&row.taken);
        self.in_flight -= 1;
    }
}

/// What is kept of one answer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Keeping {
    /// Most bytes of its body.
    pub(crate) body: usize,
    /// How long.
    pub(crate) seconds: u64,
}

/// The lock, and what wakes those who wait for what is behind it.
#[derive(Debug)]
pub(crate) struct Shared {
    state: Mutex<State>,
    work: Condvar,
    closed: Notify,
    queue: usize,
    waiters: usize,
    authority: Authority,
    /// How many answers are kept.
    pub(crate) kept: Kept,
    /// What is kept of each, and for how long.
    pub(crate) keeping: Keeping,
    /// Answers that were kept, and their bytes, since pruning was last asked for.
    kept_since: Mutex<Kept>,
    /// Asks for pruning.
    pub(crate) prune_due: Notify,
}

impl Shared {
    pub(crate) fn new(config: &LedgerConfig, authority: Authority, ids: IdSource, revoked: Revoked) -> Self {
        let state = State {
            authority,
            accounts: Accounts::new(config.cached_accounts),
            counters: Counters::new(config.cached_accounts),
            revoked,
            claims: Claims::default(),
            queue: Queue::default(),
            writer: Sleep::Awake,
            in_flight: 0,
            condition: Condition::Writing,
            waiters: HashMap::new(),
            waiting: 0,
            tools: Tools::default(),
            ids,
        };
        Self {
            state: Mutex::new(state),
            work: Condvar::new(),
            closed: Notify::new(),
            queue: config.queue,
            waiters: config.waiters,
            authority,
            kept: Kept {
                answers: config.kept_answers.into(),
                bytes: i64::try_from(config.kept_bytes).unwrap_or(i64::MAX),
            },
            keeping: Keeping { body: config.kept_body, seconds: config.kept_for.as_secs() },
            kept_since: Mutex::new(Kept { answers: 0, bytes: 0 }),
            prune_due: Notify::new(),
        }
    }

    /// An answer is kept: after a sixteenth of the bound, pruning is due.
    fn note_kept(&self, answer: &Answer) {
        let bytes = answer.body.as_ref().map_or(0, Vec::len);
        let mut since = self.kept_since.lock();
        since.answers += 1;
        since.bytes = since.bytes.saturating_add(i64::try_from(bytes).unwrap_or(i64::MAX));
        if since.answers > self.kept.answers / PRUNE_PART || since.bytes > self.kept.bytes / PRUNE_PART {
            *since = Kept { answers: 0, bytes: 0 };
            self.prune_due.notify_one();
        }
    }

    /// Who decides holds.
    pub(crate) fn authority(&self) -> Authority {
        self.authority
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
        if request.limits.len() > MAX_LIMITS || !(0..=MAX_AMOUNT).contains(&request.amount) {
            return Err(HoldRefused::Amount);
        }
        let now_ms = unix_ms();
        let now = now_ms / 1_000;
        let mut guard = self.state.lock();
        let state = &mut *guard;
        state.admit(self.queue)?;
        let (account, left, taken) = match self.authority {
            Authority::Memory => {
                let taken = state.counters.judge(request.limits, request.amount, now)?;
                let wanted = (request.unit, request.amount);
                let (account, left) =
                    state.accounts.take(request.account, wanted, now, loaded, &state.revoked)?;
                state.counters.take(&taken);
                (account, left, taken)
            }
            Authority::Database => {
                let taken = request.limits.iter().map(|limit| limit.taken(request.amount, now)).collect();
                (NOBODY, 0, taken)
            }
        };
        let row = HoldRow {
            id: state.ids.next(now_ms),
            payer: request.account,
            account,
            unit: request.unit,
            amount: request.amount,
            tool: state.tools.intern(request.service, request.tool),
            taken,
            bill: request.bill.map(Into::into),
        };
        let cell = Arc::new(HoldCell::new(row));
        state.in_flight += 1;
        self.push(guard, Op::Hold(HoldTicket(Arc::clone(&cell))));
        Ok(OpenHold::new(cell, Arc::clone(self), left))
    }

    /// Ends a hold. What it does not capture can be held again at once.
    pub(crate) fn end(
        &self,
        cell: &Arc<HoldCell>,
        captured: i64,
        end: CallEnd,
        kept: Option<Box<KeptAnswer>>,
    ) {
        if let Some(kept) = &kept {
            self.note_kept(&kept.answer);
        }
        let mut state = self.state.lock();
        if cell.has_failed() {
            state.hold_over(&cell.row);
            return;
        }
        if state.condition == Condition::Closed {
            return;
        }
        let end = HoldEnd { cell: Arc::clone(cell), captured, end, at_ms: unix_ms(), kept };
        state.give_back(&end);
        self.push(state, Op::End(end));
    }

    /// Queues an entry and waits for its answer.
    pub(crate) async fn enter(&self, entry: Entry) -> Result<Receipt, LedgerError> {
        let (reply, answer) = oneshot::channel();
        {
            let at_ms = unix_ms();
            let mut state = self.state.lock();
            state.admit(self.queue)?;
            let id = state.ids.next(at_ms);
            state.in_flight += 1;
            self.push(state, Op::Entry(QueuedEntry { id, at_ms, entry, reply: Some(reply) }));
        }
        answer.await.unwrap_or_else(|_| Err(stopped()))
    }

    /// Queues an entry nobody waits for. There are no more of these than operations in flight before them.
    pub(crate) fn tell(&self, entry: Entry) {
        let mut state = self.state.lock();
        if state.condition == Condition::Closed {
            return;
        }
        let at_ms = unix_ms();
        let id = state.ids.next(at_ms);
        self.push(state, Op::Entry(QueuedEntry { id, at_ms, entry, reply: None }));
    }

    /// Claims a call for this gate, as far as this gate knows.
    pub(crate) fn claim_here(&self, key: [u8; 32], request: [u8; 32]) -> Result<Here, LedgerError> {
        let mut state = self.state.lock();
        state.admit(self.queue)?;
        if state.claims.len() >= self.queue {
            return Err(LedgerError::Busy);
        }
        Ok(state.claims.claim(key, request))
    }

    /// Gives a claim up, and tells those who wait for it.
    pub(crate) fn unclaim(&self, key: &[u8; 32]) {
        let ended = self.state.lock().claims.end(key);
        if let Some(ended) = ended {
            ended.notify_waiters();
        }
    }

    /// Whether somebody here has claimed the call.
    pub(crate) fn is_claimed(&self, key: &[u8; 32]) -> bool {
        self.state.lock().claims.has(key)
    }

    /// Queues a question and waits for its answer.
    pub(crate) async fn ask(&self, question: Question) -> Result<Reply, LedgerError> {
        let (reply, answer) = oneshot::channel();
        {
            let mut state = self.state.lock();
            state.admit(self.queue)?;
            state.in_flight += 1;
            self.push(state, Op::Ask(QueuedQuestion { question, reply }));
        }
        answer.await.unwrap_or_else(|_| Err(stopped()))
    }

    /// Queues a look at the disk and waits for its answer.
    pub(crate) async fn load(&self, request: LoadRequest) -> Result<Vec<Balance>, LedgerError> {
        let (reply, answer) = oneshot::channel();
        {
            let mut state = self.state.lock();
            state.admit(self.queue)?;
            state.in_flight += 1;
            self.push(state, Op::Load(QueuedLoad { request, reply }));
        }
        answer.await.unwrap_or_else(|_| Err(stopped()))
    }
}

fn stopped() -> LedgerError {
    LedgerError::Unavailable("its writer has stopped".to_owned())
}
