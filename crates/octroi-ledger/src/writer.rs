//! The one thread that writes: takes what is queued, commits it as one batch, tells those who wait.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use octroi_l402::TokenId;

use crate::account::AccountRef;
use crate::engine::{AccountId, Command, Effect, Engine, EngineError, LoadRequest, Outcome};
use crate::entry::Credited;
use crate::error::LedgerError;
use crate::hold::HoldCell;
use crate::state::{Condition, HoldEnd, Op, QueuedLoad, Receipt, Shared, State};

/// How long the writer sleeps when its engine wants housekeeping and nothing is queued.
const UPKEEP_EVERY: Duration = Duration::from_millis(250);

/// The writer, with the engine only it touches.
pub(crate) struct Writer<E> {
    engine: E,
    shared: Arc<Shared>,
    batch: usize,
    retry_after: Duration,
    /// Ends of holds the disk did not take yet. They come before anything else.
    unended: Vec<Op>,
}

/// What one batch leaves to be done when the lock is free again.
#[derive(Default)]
struct Aftermath {
    /// Accounts of which the disk knows better.
    refused: Vec<TokenId>,
    /// Tokens that were credited.
    credited: Vec<TokenId>,
}

/// Starts the writer's thread. Whatever ends it, nobody is left waiting.
pub(crate) fn start<E: Engine>(
    engine: E,
    shared: &Arc<Shared>,
    batch: usize,
    retry_after: Duration,
) -> std::io::Result<()> {
    let writer = Writer { engine, shared: Arc::clone(shared), batch, retry_after, unended: Vec::new() };
    let shared = Arc::clone(shared);
    std::thread::Builder::new().name("octroi-ledger".to_owned()).spawn(move || {
        if catch_unwind(AssertUnwindSafe(|| writer.run())).is_err() {
            tracing::error!(
                "the ledger's writer has failed; calls that cost something are refused until a restart"
            );
        }
        shared.set_closed();
    })?;
    Ok(())
}

impl<E: Engine> Writer<E> {
    fn run(mut self) {
        let mut patience = None;
        loop {
            let (ops, mut condition) = self.shared.take_work(self.batch, patience);
            let idle = ops.is_empty();
            if !idle && let Err(error) = self.write(ops) {
                condition = self.recover(&error);
            }
            if idle && condition == Condition::Closing {
                break;
            }
            patience = self.engine.upkeep(false).then_some(UPKEEP_EVERY);
        }
        self.engine.upkeep(true);
    }

    /// Waits until the disk takes writes again, and writes what is owed to it.
    fn recover(&mut self, error: &EngineError) -> Condition {
        tracing::error!(%error, "the ledger cannot write; calls that cost something are refused");
        loop {
            let condition = self.shared.pause(self.retry_after);
            if let Err(error) = self.try_again() {
                tracing::debug!(%error, "the ledger still cannot write");
                if condition == Condition::Closing {
                    tracing::error!(
                        lost = self.unended.len(),
                        "closed without writing: open holds will be voided"
                    );
                    return self.abandon();
                }
                continue;
            }
            let mut state = self.shared.lock();
            if matches!(state.condition, Condition::Failing(_)) {
                state.condition = Condition::Writing;
            }
            tracing::info!("the ledger writes again");
            return state.condition.clone();
        }
    }

    /// Writes what is owed to the disk; where nothing is, only tries it.
    fn try_again(&mut self) -> Result<(), EngineError> {
        self.engine.probe()?;
        while !self.unended.is_empty() {
            let most = self.batch.min(self.unended.len());
            let owed: Vec<Op> = self.unended.drain(..most).collect();
            let rest = std::mem::take(&mut self.unended);
            let written = self.write(owed);
            self.unended.extend(rest);
            written?;
        }
        Ok(())
    }

    fn abandon(&mut self) -> Condition {
        self.unended.clear();
        self.shared.lock().queue.clear();
        Condition::Closing
    }

    /// Commits `ops`. On error those that can be refused are, and the rest is kept.
    fn write(&mut self, ops: Vec<Op>) -> Result<(), EngineError> {
        let (ops, loads) = self.sort_out(ops);
        if !ops.is_empty() {
            let commands: Vec<Command<'_>> = ops.iter().filter_map(command).collect();
            match self.engine.commit(&commands) {
                Ok(outcomes) => self.settle(ops, outcomes),
                Err(error) => {
                    self.give_up(ops, &error.to_string());
                    self.answer_loads(loads);
                    return Err(error);
                }
            }
        }
        self.answer_loads(loads);
        Ok(())
    }

    /// Sets loads aside, and drops the ends of holds that never came on disk.
    fn sort_out(&self, ops: Vec<Op>) -> (Vec<Op>, Vec<QueuedLoad>) {
        let (mut writes, mut loads) = (Vec::with_capacity(ops.len()), Vec::new());
        for op in ops {
            match op {
                Op::Load(load) => loads.push(load),
                Op::End(end) if end.cell.has_failed() => end_over(&mut self.shared.lock(), &end),
                other => writes.push(other),
            }
        }
        (writes, loads)
    }

    /// Tells memory, then the callers, what is on disk.
    fn settle(&mut self, ops: Vec<Op>, outcomes: Vec<Outcome>) {
        let mut after = Aftermath::default();
        let mut replies = Vec::new();
        let mut tickets = Vec::with_capacity(ops.len());
        {
            let mut state = self.shared.lock();
            for (op, outcome) in ops.into_iter().zip(outcomes) {
                match op {
                    Op::Hold(ticket) => {
                        hold_settled(&mut state, &ticket.0, outcome, &mut after);
                        tickets.push(ticket);
                    }
                    Op::End(end) => end_settled(&mut state, &end, outcome),
                    Op::Entry(queued) => {
                        state.in_flight -= 1;
                        replies.push((queued.reply, entry_settled(&mut state, outcome, &mut after)));
                    }
                    Op::Load(_) => {}
                }
            }
        }
        self.correct(&after.refused);
        // A ticket tells its caller when it goes.
        drop(tickets);
        for (reply, answer) in replies {
            let _ = reply.send(answer);
        }
        let told: Vec<_> = {
            let state = self.shared.lock();
            after.credited.iter().filter_map(|token| state.waiters_of(token)).collect()
        };
        for waiters in told {
            waiters.notify_waiters();
        }
    }

    /// The disk refused what memory allowed: memory learns what the disk says.
    fn correct(&mut self, refused: &[TokenId]) {
        for token in refused {
            tracing::error!(%token, "the ledger on disk does not cover a hold; the account in memory is corrected");
            let request =
                LoadRequest { account: AccountRef::Token(*token), unit: crate::Unit::Msat, amount: 0 };
            match self.engine.load(&request) {
                Ok(states) => {
                    let mut state = self.shared.lock();
                    states.iter().for_each(|account| state.accounts.correct(account));
                }
                Err(error) => tracing::error!(%error, "the ledger cannot read an account"),
            }
        }
    }

    fn answer_loads(&mut self, loads: Vec<QueuedLoad>) {
        for QueuedLoad { request, reply } in loads {
            let loaded = self.engine.load(&request);
            let mut state = self.shared.lock();
            state.in_flight -= 1;
            let answer = match loaded {
                Ok(states) => Ok(state.accounts.loaded(request.account, &states)),
                Err(error) => Err(LedgerError::Unavailable(error.to_string())),
            };
            drop(state);
            let _ = reply.send(answer);
        }
    }

    /// Refuses what the disk did not take, what is queued behind it, and from now on everything; the ends of holds are kept.
    fn give_up(&mut self, ops: Vec<Op>, reason: &str) {
        let refused = || LedgerError::Unavailable(reason.to_owned());
        let mut tickets = Vec::new();
        let mut state = self.shared.lock();
        if state.condition == Condition::Writing {
            state.condition = Condition::Failing(reason.to_owned());
        }
        let queued = std::mem::take(&mut state.queue);
        for op in ops.into_iter().chain(queued) {
            match op {
                Op::Hold(ticket) => {
                    state.accounts.give_back(ticket.0.row.account, ticket.0.row.amount);
                    ticket.0.decide(Err(refused()));
                    tickets.push(ticket);
                }
                Op::End(end) => self.unended.push(Op::End(end)),
                Op::Entry(queued) => {
                    state.in_flight -= 1;
                    let _ = queued.reply.send(Err(refused()));
                }
                Op::Load(load) => {
                    state.in_flight -= 1;
                    let _ = load.reply.send(Err(refused()));
                }
            }
        }
        drop(state);
        // A ticket tells its caller when it goes.
        drop(tickets);
    }
}

fn command(op: &Op) -> Option<Command<'_>> {
    match op {
        Op::Hold(ticket) => Some(Command::Hold(&ticket.0.row)),
        Op::End(HoldEnd { cell, captured, end, at_ms }) => {
            Some(Command::End { hold: &cell.row, captured: *captured, end: *end, at_ms: *at_ms })
        }
        Op::Entry(queued) => {
            Some(Command::Entry { id: queued.id, at_ms: queued.at_ms, entry: &queued.entry })
        }
        Op::Load(_) => None,
    }
}

fn hold_settled(state: &mut State, cell: &HoldCell, outcome: Outcome, after: &mut Aftermath) {
    let (account, amount): (AccountId, i64) = (cell.row.account, cell.row.amount);
    match outcome {
        Ok(_) => {
            state.accounts.hold_written(account, amount);
            cell.decide(Ok(()));
        }
        Err(error) => {
            state.accounts.give_back(account, amount);
            if error == LedgerError::Refused {
                after.refused.extend(state.accounts.token(account));
            }
            cell.decide(Err(error));
        }
    }
}

fn end_settled(state: &mut State, end: &HoldEnd, outcome: Outcome) {
    let row = &end.cell.row;
    if end.cell.has_failed() {
        end_over(state, end);
        return;
    }
    match outcome {
        Ok(_) => {
            state.accounts.end_written(row.account, row.amount, end.captured);
            state.in_flight -= 1;
        }
        Err(error) => {
            // Somebody else has changed the file. The hold stays open there; the next opening voids it.
            tracing::error!(%error, hold = %hex::encode(row.id.to_bytes()), "the ledger on disk refuses the end of a hold");
            end_over(state, end);
        }
    }
}

/// The end of a hold that is not on disk: nothing is given back, because nothing was taken there.
fn end_over(state: &mut State, end: &HoldEnd) {
    let account = end.cell.row.account;
    state.accounts.give_back(account, -end.given_back());
    state.accounts.hold_over(account);
    state.in_flight -= 1;
}

fn entry_settled(state: &mut State, outcome: Outcome, after: &mut Aftermath) -> Result<Receipt, LedgerError> {
    Ok(match outcome? {
        Effect::Written => Receipt::Written,
        Effect::NotCredited(credited) => Receipt::Credited(credited),
        Effect::Pruned(pruned) => Receipt::Pruned(pruned),
        Effect::Credited { account, amount } => {
            let balance = state.accounts.credited(&account, amount);
            after.credited.push(account.token);
            Receipt::Credited(Credited::New { token_id: account.token, owner: account.owner, balance })
        }
    })
}

#[cfg(test)]
mod tests;
