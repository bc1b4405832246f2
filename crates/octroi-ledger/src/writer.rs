//! The one thread that writes: takes what is queued, commits it as one batch, tells those who wait.

mod settled;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use octroi_l402::TokenId;

use crate::account::AccountRef;
use crate::engine::{
    AccountState, AnswerRow, Authority, Command, Effect, EndRow, Engine, EngineError, LoadRequest, Outcome,
};
use crate::error::LedgerError;
use crate::hold::Granted;
use crate::id::unix_ms;
use crate::report::CallEnd;
use crate::state::{Condition, HoldEnd, Op, QueuedEntry, QueuedLoad, QueuedQuestion, Shared};
use settled::{Aftermath, end_settled, entry_settled, hold_settled};

/// How long the writer sleeps when its engine wants housekeeping and nothing is queued.
const UPKEEP_EVERY: Duration = Duration::from_millis(250);

/// The writer, with the engine only it touches.
pub(crate) struct Writer<E> {
    engine: E,
    shared: Arc<Shared>,
    batch: usize,
    retry_after: Duration,
    /// What the disk did not take yet and must: ends of holds, claims given up. They come before anything else.
    unended: Vec<Op>,
}

/// What is waited for and writes nothing.
#[derive(Default)]
struct Looks {
    loads: Vec<QueuedLoad>,
    questions: Vec<QueuedQuestion>,
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
        let mut patience = self.engine.upkeep(false).then_some(UPKEEP_EVERY);
        let mut expected = 0;
        loop {
            let (ops, mut condition) = self.shared.take_work(self.batch, expected, patience);
            expected = ops.iter().filter(|op| matches!(op, Op::Hold(_))).count();
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
        let left = self.shared.lock().queue.take_all();
        // Outside the lock: what goes with them takes it.
        drop(left);
        Condition::Closing
    }

    /// Answers what is asked, and commits the rest. On error those that can be refused are, and the rest is kept.
    fn write(&mut self, ops: Vec<Op>) -> Result<(), EngineError> {
        let (ops, mut looks) = self.sort_out(ops);
        if self.shared.authority() == Authority::Memory {
            // Of an account or a counter that is not in memory nothing is under way: who asks need not wait for the batch.
            self.answer_loads(std::mem::take(&mut looks.loads));
        }
        let written = if ops.is_empty() { Ok(()) } else { self.commit(ops) };
        self.answer_loads(looks.loads);
        self.answer(looks.questions);
        written
    }

    fn commit(&mut self, ops: Vec<Op>) -> Result<(), EngineError> {
        let commands: Vec<Command<'_>> = ops.iter().filter_map(command).collect();
        let committed = match self.engine.commit(&commands) {
            Ok(outcomes) => self.flush(&ops, &outcomes).map(|()| outcomes),
            Err(error) => Err(error),
        };
        match committed {
            Ok(outcomes) => {
                self.settle(ops, outcomes);
                Ok(())
            }
            Err(error) => {
                self.give_up(ops, &error.to_string());
                Err(error)
            }
        }
    }

    /// Where the database decides: tells what it has decided, then makes it durable. Callers go on meanwhile; their replies wait.
    fn flush(&mut self, ops: &[Op], outcomes: &[Outcome]) -> Result<(), EngineError> {
        if self.shared.authority() == Authority::Memory {
            return Ok(());
        }
        let mut of_calls = false;
        for (op, outcome) in ops.iter().zip(outcomes) {
            of_calls |= matches!(op, Op::Hold(_) | Op::End(_) | Op::Undo(_));
            if let (Op::Hold(ticket), Ok(Effect::Decided(decided))) = (op, outcome) {
                let cell = &ticket.0;
                cell.judge(decided.clone().map(|left| Granted { left }));
                cell.tell();
            }
        }
        if of_calls { self.engine.flush() } else { Ok(()) }
    }

    /// Sets questions aside, and drops the ends of holds that never came on disk.
    fn sort_out(&self, ops: Vec<Op>) -> (Vec<Op>, Looks) {
        let (mut writes, mut looks) = (Vec::with_capacity(ops.len()), Looks::default());
        for op in ops {
            match op {
                Op::Load(load) => looks.loads.push(load),
                Op::Ask(question) => looks.questions.push(question),
                Op::End(end) if end.cell.has_failed() => {
                    self.shared.lock().undo_end(&end);
                }
                other => writes.push(other),
            }
        }
        (writes, looks)
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
                    Op::End(mut end) => {
                        end_settled(&mut state, &mut end, outcome);
                        after.ended.push(end);
                    }
                    Op::Entry(queued) => {
                        let answer = entry_settled(&mut state, &queued.entry, outcome, &mut after);
                        if let Some(reply) = queued.reply {
                            state.in_flight -= 1;
                            replies.push((reply, answer));
                        }
                    }
                    Op::Undo(_) | Op::Load(_) | Op::Ask(_) => {}
                }
            }
        }
        self.correct(&after.refused);
        // A ticket tells its caller when it goes.
        drop(tickets);
        for (reply, answer) in replies {
            let _ = reply.send(answer);
        }
        drop(after.ended);
        if after.credited.is_empty() {
            return;
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
            match self.engine.load(&LoadRequest::of(AccountRef::Token(*token))) {
                Ok(loaded) => {
                    let mut state = self.shared.lock();
                    loaded.accounts.iter().for_each(|account| state.accounts.correct(account));
                }
                Err(error) => tracing::error!(%error, "the ledger cannot read an account"),
            }
        }
    }

    fn answer_loads(&mut self, loads: Vec<QueuedLoad>) {
        let memory = self.shared.authority() == Authority::Memory;
        for QueuedLoad { request, reply } in loads {
            let loaded = self.engine.load(&request);
            let mut state = self.shared.lock();
            state.in_flight -= 1;
            let answer = match loaded {
                Ok(loaded) if memory => {
                    state.counters.loaded(&loaded.counters);
                    Ok(state.accounts.loaded(request.account, &loaded.accounts))
                }
                Ok(loaded) => Ok(loaded.accounts.iter().map(AccountState::as_balance).collect()),
                Err(error) => Err(LedgerError::Unavailable(error.to_string())),
            };
            drop(state);
            let _ = reply.send(answer);
        }
    }

    fn answer(&mut self, questions: Vec<QueuedQuestion>) {
        for QueuedQuestion { question, reply } in questions {
            let answer = self.engine.ask(&question);
            self.shared.lock().in_flight -= 1;
            let _ = reply.send(answer.map_err(|error| LedgerError::Unavailable(error.to_string())));
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
        let queued = state.queue.take_all();
        for op in ops.into_iter().chain(queued) {
            match op {
                Op::Hold(ticket) => {
                    state.undo_hold(&ticket.0.row);
                    if self.shared.authority() == Authority::Database {
                        self.unended.push(Op::Undo(Arc::clone(&ticket.0)));
                    }
                    ticket.0.decide(Err(refused()));
                    tickets.push(ticket);
                }
                Op::Entry(QueuedEntry { reply: Some(reply), .. }) => {
                    state.in_flight -= 1;
                    let _ = reply.send(Err(refused()));
                }
                Op::Load(load) => {
                    state.in_flight -= 1;
                    let _ = load.reply.send(Err(refused()));
                }
                Op::Ask(asked) => {
                    state.in_flight -= 1;
                    let _ = asked.reply.send(Err(refused()));
                }
                owed => self.unended.push(owed),
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
        Op::End(HoldEnd { cell, captured, end, at_ms, kept }) => {
            let answer = kept.as_deref().map(|kept| AnswerRow {
                key: &kept.claim.key,
                request: &kept.claim.request,
                answer: &kept.answer,
                seconds: kept.seconds,
            });
            let (hold, captured, end, at_ms) = (&cell.row, *captured, *end, *at_ms);
            Some(Command::End(EndRow { hold, captured, end, at_ms, answer }))
        }
        Op::Undo(cell) => {
            let (hold, end, at_ms) = (&cell.row, CallEnd::Recovered, unix_ms());
            Some(Command::End(EndRow { hold, captured: 0, end, at_ms, answer: None }))
        }
        Op::Entry(queued) => {
            Some(Command::Entry { id: queued.id, at_ms: queued.at_ms, entry: &queued.entry })
        }
        Op::Load(_) | Op::Ask(_) => None,
    }
}

#[cfg(test)]
mod tests;
