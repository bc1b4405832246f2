//! Unspent outputs of the best chain.

use std::collections::HashMap;

use bitcoin::{OutPoint, Transaction, TxOut};

/// Blocks before a reward may be spent (consensus: 100).
pub(super) const MATURITY: u32 = 100;

/// An unspent output.
#[derive(Clone)]
pub(super) struct Coin {
    pub(super) output: TxOut,
    /// The block it stands in; for a mempool transaction, the next one.
    pub(super) height: u32,
    pub(super) is_reward: bool,
}

/// All unspent outputs of the best chain.
#[derive(Default)]
pub(super) struct Coins(HashMap<OutPoint, Coin>);

impl Coins {
    pub(super) fn get(&self, outpoint: &OutPoint) -> Option<&Coin> {
        self.0.get(outpoint)
    }

    /// Takes a mined transaction's inputs away and puts its outputs in.
    pub(super) fn apply(&mut self, transaction: &Transaction, height: u32) {
        for input in &transaction.input {
            self.0.remove(&input.previous_output);
        }
        let txid = transaction.compute_txid();
        let is_reward = transaction.is_coinbase();
        for (index, output) in (0..).zip(&transaction.output) {
            if !output.script_pubkey.is_op_return() {
                let coin = Coin { output: output.clone(), height, is_reward };
                self.0.insert(OutPoint::new(txid, index), coin);
            }
        }
    }
}
