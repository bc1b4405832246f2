//! What is queued for the writer, and what it answers.

use std::collections::VecDeque;
use std::sync::Arc;

use tokio::sync::oneshot;

use crate::account::Balance;
use crate::claim::{Answer, Claim};
use crate::engine::{ClaimState, Entry, LoadRequest, Question, Reply};
use crate::entry::{Credited, OutboxRow, Pruned};
use crate::error::LedgerError;
use crate::hold::{HoldCell, HoldTicket};
use crate::id::EntryId;
use crate::report::CallEnd;

/// Something for the writer to do.
#[derive(Debug)]
pub(crate) enum Op {
    Hold(HoldTicket),
    End(HoldEnd),
    /// A hold that may have been written although its caller was told that it was not.
    Undo(Arc<HoldCell>),
    Entry(QueuedEntry),
    Load(QueuedLoad),
    Ask(QueuedQuestion),
}

/// The end of a hold, decided and not yet on disk.
#[derive(Debug)]
pub(crate) struct HoldEnd {
    pub(crate) cell: Arc<HoldCell>,
    pub(crate) captured: i64,
    pub(crate) end: CallEnd,
    pub(crate) at_ms: u64,
    pub(crate) kept: Option<Box<KeptAnswer>>,
}

/// An answer to be written with the charge it belongs to.
#[derive(Debug)]
pub(crate) struct KeptAnswer {
    pub(crate) claim: Claim,
    pub(crate) answer: Answer,
    /// How long it is kept.
    pub(crate) seconds: u64,
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
    /// `None`: nobody waits, and it is written sooner or later whatever happens.
    pub(crate) reply: Option<oneshot::Sender<Result<Receipt, LedgerError>>>,
}

/// A look at the disk that is waited for.
#[derive(Debug)]
pub(crate) struct QueuedLoad {
    pub(crate) request: LoadRequest,
    pub(crate) reply: oneshot::Sender<Result<Vec<Balance>, LedgerError>>,
}

/// A question that is waited for.
#[derive(Debug)]
pub(crate) struct QueuedQuestion {
    pub(crate) question: Question,
    pub(crate) reply: oneshot::Sender<Result<Reply, LedgerError>>,
}

/// The answer to an entry.
#[derive(Clone, Debug)]
pub(crate) enum Receipt {
    Written,
    Credited(Credited),
    Claimed(ClaimState),
    Outbox(Vec<OutboxRow>),
    Pruned(Pruned),
}

impl Op {
    /// Whether somebody waits for it. What nobody waits for rides with whatever is written next.
    const fn is_waited_for(&self) -> bool {
        match self {
            Self::Hold(_) | Self::Load(_) | Self::Ask(_) => true,
            Self::Entry(queued) => queued.reply.is_some(),
            Self::End(_) | Self::Undo(_) => false,
        }
    }
}

/// What is to be written, in its order.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    ops: VecDeque<Op>,
    /// How many of them somebody waits for.
    waited_for: usize,
}

impl Queue {
    /// Whether somebody waits for what was put there.
    pub(super) fn push(&mut self, op: Op) -> bool {
        let waited_for = op.is_waited_for();
        self.waited_for += usize::from(waited_for);
        self.ops.push_back(op);
        waited_for
    }

    pub(super) fn is_empty(&self) -> bool {
        self.ops.is_empty()
    }

    pub(super) fn waited_for(&self) -> usize {
        self.waited_for
    }

    pub(super) fn len(&self) -> usize {
        self.ops.len()
    }

    /// The next so many.
    pub(super) fn take(&mut self, most: usize) -> Vec<Op> {
        let count = most.min(self.ops.len());
        let taken: Vec<Op> = self.ops.drain(..count).collect();
        self.waited_for -= taken.iter().filter(|op| op.is_waited_for()).count();
        taken
    }

    /// Everything.
    pub(crate) fn take_all(&mut self) -> VecDeque<Op> {
        self.waited_for = 0;
        std::mem::take(&mut self.ops)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn op(waited_for: bool) -> Op {
        let reply = waited_for.then(|| oneshot::channel().0);
        Op::Entry(QueuedEntry { id: EntryId::first_of(0), at_ms: 0, entry: Entry::Unclaim([0; 32]), reply })
    }

    #[test]
    fn those_somebody_waits_for_are_counted_in_and_out() {
        let mut queue = Queue::default();
        assert!(!queue.push(op(false)));
        assert!(queue.push(op(true)));
        assert!(!queue.push(op(false)));
        assert!(queue.push(op(true)));
        assert_eq!((queue.len(), queue.waited_for()), (4, 2));
        assert_eq!(queue.take(2).len(), 2);
        assert_eq!((queue.len(), queue.waited_for()), (2, 1));
        assert_eq!(queue.take_all().len(), 2);
        assert_eq!((queue.is_empty(), queue.waited_for()), (true, 0));
    }
}
