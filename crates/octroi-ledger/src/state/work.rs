//! When the writer writes: what wakes it, what it waits for, and how it ends.

use std::time::{Duration, Instant};

use parking_lot::MutexGuard;

use super::{Condition, Op, Shared, State};

/// How long the end of a hold waits for something to ride with.
const RIDE: Duration = Duration::from_millis(2);
/// How long the writer waits for those it has just answered to ask again, so that they are written together.
const GATHERS: Duration = Duration::from_micros(60);
/// So many ends are written without waiting for anything.
const RIDERS_MAX: usize = 128;

/// What the writer does, as far as those who queue something care.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sleep {
    /// It looks at the queue before it sleeps again.
    Awake,
    /// It waits for something that what is queued can ride with.
    Riding,
    /// It waits for as many as it has just answered.
    Gathering(usize),
    /// Nothing is queued.
    Deep,
}

impl Shared {
    /// Queues an operation, and wakes the writer if it sleeps and this is worth it.
    pub(super) fn push(&self, mut state: MutexGuard<'_, State>, op: Op) {
        let waited_for = state.queue.push(op);
        let wakes = match state.writer {
            Sleep::Awake => false,
            Sleep::Riding => waited_for || state.queue.len() >= RIDERS_MAX,
            Sleep::Gathering(expected) => state.queue.waited_for() >= expected,
            Sleep::Deep => true,
        };
        if wakes {
            state.writer = Sleep::Awake;
        }
        drop(state);
        if wakes {
            self.work.notify_one();
        }
    }

    /// For the writer: waits for something to do, at most for `patience`, and takes at most `most` of it.
    pub(crate) fn take_work(
        &self,
        most: usize,
        expected: usize,
        patience: Option<Duration>,
    ) -> (Vec<Op>, Condition) {
        let mut state = self.state.lock();
        let mut riding: Option<Instant> = None;
        while state.queue.waited_for() == 0 && state.condition != Condition::Closing {
            if state.queue.is_empty() {
                state.writer = Sleep::Deep;
                match patience {
                    None => self.work.wait(&mut state),
                    Some(patience) => {
                        if self.work.wait_for(&mut state, patience).timed_out() {
                            break;
                        }
                    }
                }
            } else {
                // Ends of holds: the next hold takes them along, unless none comes for a while.
                let over = *riding.get_or_insert_with(|| Instant::now() + RIDE);
                state.writer = Sleep::Riding;
                if state.queue.len() >= RIDERS_MAX || self.work.wait_until(&mut state, over).timed_out() {
                    break;
                }
            }
        }
        let waited_for = state.queue.waited_for();
        if waited_for > 0 && waited_for < expected && state.condition == Condition::Writing {
            state.writer = Sleep::Gathering(expected);
            self.work.wait_for(&mut state, GATHERS);
        }
        state.writer = Sleep::Awake;
        (state.queue.take(most), state.condition.clone())
    }

    /// For the writer: waits for `patience`, or until it is to close.
    pub(crate) fn pause(&self, patience: Duration) -> Condition {
        let mut state = self.state.lock();
        let over = Instant::now() + patience;
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
            state.queue.take_all()
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
}
