//! Transactions that wait for a block, and who may join them.

use std::collections::HashMap;

use bitcoin::absolute::LockTime;
use bitcoin::{Amount, OutPoint, Sequence, Transaction, Txid};

use super::blocks::{Chain, REFUSED_KEPT, now};
use super::coins::{Coin, MATURITY};

/// BIP 68: the lowest sixteen bits count, in blocks or in units of 512 seconds.
const RELATIVE_LOCK_MASK: u32 = 0xffff;
const RELATIVE_LOCK_IS_TIME: u32 = 1 << 22;
const RELATIVE_LOCK_UNIT_SECS: u32 = 512;

/// A transaction that waits.
pub(super) struct Entry {
    pub(super) transaction: Transaction,
    pub(super) fee: Amount,
    /// When it came, seconds since the Unix epoch.
    pub(super) time: u32,
    /// The best height when it came.
    pub(super) height: u32,
    order: u64,
}

/// All that wait.
#[derive(Default)]
pub(super) struct Mempool {
    entries: HashMap<Txid, Entry>,
    spent_by: HashMap<OutPoint, Txid>,
    next_order: u64,
}

/// Why a transaction was not taken: bitcoind's code and words for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    AlreadyMined,
    Coinbase,
    NotFinal,
    MissingInput,
    ImmatureReward,
    RelativeLock,
    MakesMoney,
    ReplacesForLess,
}

impl Refusal {
    pub(super) const fn code(self) -> i64 {
        match self {
            Self::AlreadyMined => -27,
            Self::MissingInput => -25,
            _ => -26,
        }
    }

    pub(super) const fn words(self) -> &'static str {
        match self {
            Self::AlreadyMined => "Transaction outputs already in utxo set",
            Self::Coinbase => "coinbase",
            Self::NotFinal => "non-final",
            Self::MissingInput => "bad-txns-inputs-missingorspent",
            Self::ImmatureReward => "bad-txns-premature-spend-of-coinbase",
            Self::RelativeLock => "non-BIP68-final",
            Self::MakesMoney => "bad-txns-in-belowout",
            Self::ReplacesForLess => "insufficient fee, rejecting replacement",
        }
    }
}

impl Mempool {
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(super) fn get(&self, txid: &Txid) -> Option<&Entry> {
        self.entries.get(txid)
    }

    pub(super) fn ids(&self) -> impl Iterator<Item = &Txid> {
        self.entries.keys()
    }

    /// All fees, and the transactions as they came: parents before children.
    pub(super) fn in_order(&self) -> (Amount, Vec<Transaction>) {
        let mut entries: Vec<&Entry> = self.entries.values().collect();
        entries.sort_unstable_by_key(|entry| entry.order);
        let fees = entries.iter().map(|entry| entry.fee).sum();
        (fees, entries.into_iter().map(|entry| entry.transaction.clone()).collect())
    }

    /// It is in a block now.
    pub(super) fn mined(&mut self, txid: &Txid) {
        if let Some(entry) = self.entries.remove(txid) {
            for input in &entry.transaction.input {
                self.spent_by.remove(&input.previous_output);
            }
        }
    }

    fn insert(&mut self, txid: Txid, transaction: Transaction, fee: Amount, height: u32) {
        for input in &transaction.input {
            self.spent_by.insert(input.previous_output, txid);
        }
        let order = self.next_order;
        self.next_order += 1;
        self.entries.insert(txid, Entry { transaction, fee, time: now(), height, order });
    }

    /// Drops a transaction and all that spend from it.
    fn evict(&mut self, txid: Txid) {
        let mut doomed = vec![txid];
        while let Some(txid) = doomed.pop() {
            let Some(entry) = self.entries.remove(&txid) else { continue };
            for input in &entry.transaction.input {
                self.spent_by.remove(&input.previous_output);
            }
            let outputs = (0..).zip(&entry.transaction.output);
            doomed.extend(outputs.filter_map(|(index, _)| self.spent_by.get(&OutPoint::new(txid, index))));
        }
    }
}

impl Chain {
    /// Takes a transaction into the mempool; one that waits already is fine.
    pub(super) fn accept(&mut self, transaction: Transaction) -> Result<Txid, Refusal> {
        let txid = transaction.compute_txid();
        let taken = self.judge(&txid, &transaction);
        if let Err(refusal) = taken {
            if self.refused.len() == REFUSED_KEPT {
                self.refused.pop_front();
            }
            self.refused.push_back(format!("{txid}: {}", refusal.words()));
        }
        if let Some(fee) = taken? {
            let conflicts: Vec<Txid> = self.conflicts(&transaction);
            for conflict in conflicts {
                self.mempool.evict(conflict);
            }
            let height = self.height();
            self.mempool.insert(txid, transaction, fee, height);
        }
        Ok(txid)
    }

    /// The fee of a new transaction; `None` for one that waits already.
    fn judge(&self, txid: &Txid, transaction: &Transaction) -> Result<Option<Amount>, Refusal> {
        if self.mempool.get(txid).is_some() {
            return Ok(None);
        }
        if self.is_mined(txid) {
            return Err(Refusal::AlreadyMined);
        }
        if transaction.is_coinbase() {
            return Err(Refusal::Coinbase);
        }
        if !self.is_final(transaction) {
            return Err(Refusal::NotFinal);
        }
        let next = self.height() + 1;
        let mut inputs = Amount::ZERO;
        for input in &transaction.input {
            let coin = self.coin(&input.previous_output).ok_or(Refusal::MissingInput)?;
            if coin.is_reward && next < coin.height + MATURITY {
                return Err(Refusal::ImmatureReward);
            }
            if transaction.version.0 >= 2 && !self.relative_lock_over(input.sequence, &coin) {
                return Err(Refusal::RelativeLock);
            }
            inputs += coin.output.value;
        }
        let outputs = transaction.output.iter().map(|output| output.value).sum();
        let fee = inputs.checked_sub(outputs).ok_or(Refusal::MakesMoney)?;
        let conflicts = self.conflicts(transaction);
        let replaced: Amount =
            conflicts.iter().filter_map(|id| self.mempool.get(id)).map(|entry| entry.fee).sum();
        if !conflicts.is_empty() && fee <= replaced {
            return Err(Refusal::ReplacesForLess);
        }
        Ok(Some(fee))
    }

    /// An output that can be spent by the next block: of the chain, or of the mempool.
    fn coin(&self, outpoint: &OutPoint) -> Option<Coin> {
        if let Some(coin) = self.coins.get(outpoint) {
            return Some(coin.clone());
        }
        let entry = self.mempool.get(&outpoint.txid)?;
        let output = entry.transaction.output.get(usize::try_from(outpoint.vout).ok()?)?;
        Some(Coin { output: output.clone(), height: self.height() + 1, is_reward: false })
    }

    /// Who of the mempool spends what this transaction spends.
    fn conflicts(&self, transaction: &Transaction) -> Vec<Txid> {
        let spenders =
            transaction.input.iter().filter_map(|input| self.mempool.spent_by.get(&input.previous_output));
        let mut conflicts: Vec<Txid> = spenders.copied().collect();
        conflicts.sort_unstable();
        conflicts.dedup();
        conflicts
    }

    /// BIP 65 and 113: the absolute lock is over, or switched off.
    fn is_final(&self, transaction: &Transaction) -> bool {
        let over = match transaction.lock_time {
            LockTime::Blocks(height) => height.to_consensus_u32() <= self.height(),
            LockTime::Seconds(time) => time.to_consensus_u32() < self.median_time(self.height()),
        };
        over || transaction.input.iter().all(|input| input.sequence == Sequence::MAX)
    }

    /// BIP 68: the lock counted from the spent output is over, or there is none.
    fn relative_lock_over(&self, sequence: Sequence, coin: &Coin) -> bool {
        if !sequence.is_relative_lock_time() {
            return true;
        }
        let lock = sequence.to_consensus_u32();
        let count = lock & RELATIVE_LOCK_MASK;
        if lock & RELATIVE_LOCK_IS_TIME == 0 {
            return self.height() + 1 >= coin.height + count;
        }
        let since = self.median_time(coin.height.saturating_sub(1));
        coin.height <= self.height()
            && self.median_time(self.height()) >= since + count * RELATIVE_LOCK_UNIT_SECS
    }
}
