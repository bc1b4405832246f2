//! Which transactions touch a script: what Esplora and Electrum are asked, and a bitcoind is not.

use std::collections::HashMap;

use bitcoin::{OutPoint, Script, Transaction, Txid};
use sha2::{Digest, Sha256};

use super::blocks::Chain;
use super::coins::Coins;

/// SHA-256 of a script, by which both protocols name it.
pub(super) type ScriptHash = [u8; 32];

/// What was mined, by script and by spent output.
#[derive(Default)]
pub(super) struct Index {
    touched: HashMap<ScriptHash, Vec<(u32, Txid)>>,
    spent_by: HashMap<OutPoint, (Txid, usize)>,
}

impl Index {
    /// Notes a transaction that is being mined; `coins` still has what it spends.
    pub(super) fn note(&mut self, height: u32, txid: Txid, transaction: &Transaction, coins: &Coins) {
        for (number, input) in transaction.input.iter().enumerate() {
            self.spent_by.insert(input.previous_output, (txid, number));
            if let Some(coin) = coins.get(&input.previous_output) {
                self.touch(&coin.output.script_pubkey, height, txid);
            }
        }
        for output in &transaction.output {
            self.touch(&output.script_pubkey, height, txid);
        }
    }

    fn touch(&mut self, script: &Script, height: u32, txid: Txid) {
        let touched = self.touched.entry(hash_of(script)).or_default();
        if touched.last().is_none_or(|(_, last)| *last != txid) {
            touched.push((height, txid));
        }
    }
}

impl Chain {
    /// What touches a script, oldest first; no height for what waits.
    pub(super) fn history(&self, script: &ScriptHash) -> Vec<(Option<u32>, Txid)> {
        let mined = self.index.touched.get(script).into_iter().flatten();
        let mut history: Vec<_> = mined.map(|(height, txid)| (Some(*height), *txid)).collect();
        for txid in self.mempool.ids() {
            let Some(transaction) = self.transaction(txid) else { continue };
            let paid = transaction.output.iter().any(|output| hash_of(&output.script_pubkey) == *script);
            let spent = || {
                transaction.input.iter().any(|input| {
                    self.output(&input.previous_output).is_some_and(|output| hash_of(&output) == *script)
                })
            };
            if paid || spent() {
                history.push((None, *txid));
            }
        }
        history
    }

    /// Who spends an output, with which input.
    pub(super) fn spender(&self, output: &OutPoint) -> Option<(Txid, usize)> {
        let waiting = self.mempool.ids().find_map(|txid| {
            let inputs = &self.transaction(txid)?.input;
            Some((*txid, inputs.iter().position(|input| input.previous_output == *output)?))
        });
        self.index.spent_by.get(output).copied().or(waiting)
    }

    fn output(&self, outpoint: &OutPoint) -> Option<bitcoin::ScriptBuf> {
        let index = usize::try_from(outpoint.vout).ok()?;
        Some(self.transaction(&outpoint.txid)?.output.get(index)?.script_pubkey.clone())
    }
}

pub(super) fn hash_of(script: &Script) -> ScriptHash {
    Sha256::digest(script.as_bytes()).into()
}
