//! What memory learns when a batch is on disk.

use octroi_l402::TokenId;

use crate::engine::{Effect, Entry, Outcome};
use crate::entry::Credited;
use crate::error::LedgerError;
use crate::hold::HoldCell;
use crate::state::{HoldEnd, Receipt, State};

/// What one batch leaves to be done when the lock is free again.
#[derive(Default)]
pub(super) struct Aftermath {
    /// Accounts of which the disk knows better.
    pub(super) refused: Vec<TokenId>,
    /// Tokens that were credited.
    pub(super) credited: Vec<TokenId>,
    /// Ends that are on disk. With them go the claims of calls that may be tried again, whose going needs the lock.
    pub(super) ended: Vec<HoldEnd>,
}

pub(super) fn hold_settled(state: &mut State, cell: &HoldCell, outcome: Outcome, after: &mut Aftermath) {
    let (account, amount) = (cell.row.account, cell.row.amount);
    match outcome {
        // Told when it was decided.
        Ok(Effect::Decided(Ok(_))) => cell.decide(Ok(())),
        Ok(Effect::Decided(Err(_))) => cell.decide(Err(LedgerError::Refused)),
        Ok(_) => {
            state.accounts.hold_written(account, amount);
            cell.decide(Ok(()));
        }
        Err(error) => {
            state.undo_hold(&cell.row);
            if error == LedgerError::Refused {
                after.refused.extend(state.accounts.token(account));
            }
            cell.decide(Err(error));
        }
    }
}

pub(super) fn end_settled(state: &mut State, end: &mut HoldEnd, outcome: Outcome) {
    if end.cell.has_failed() {
        state.undo_end(end);
        return;
    }
    match outcome {
        Ok(_) => {
            state.end_written(end);
            if let Some(kept) = &mut end.kept {
                // What the database knew of the claim has become the answer.
                kept.claim.stored = false;
            }
        }
        Err(error) => {
            // Somebody else has changed the file. The hold stays open there; the next opening voids it.
            let hold = hex::encode(end.cell.row.id.to_bytes());
            tracing::error!(%error, %hold, "the ledger on disk refuses the end of a hold");
            state.undo_end(end);
        }
    }
}

pub(super) fn entry_settled(
    state: &mut State,
    entry: &Entry,
    outcome: Outcome,
    after: &mut Aftermath,
) -> Result<Receipt, LedgerError> {
    Ok(match outcome? {
        Effect::Written | Effect::Decided(_) => {
            if let Entry::Revoke { what, revoked, .. } = entry {
                state.revoked.set(*what, *revoked);
            }
            Receipt::Written
        }
        Effect::NotCredited(credited) => Receipt::Credited(credited),
        Effect::Pruned(pruned) => Receipt::Pruned(pruned),
        Effect::Claimed(claimed) => Receipt::Claimed(claimed),
        Effect::Outbox(rows) => Receipt::Outbox(rows),
        Effect::Credited { account, amount } => {
            let balance = state.credited(&account, amount);
            after.credited.push(account.token);
            Receipt::Credited(Credited::New { token_id: account.token, owner: account.owner, balance })
        }
    })
}
