//! The chain as an Esplora server shows it (Blockstream's API.md), as far as a Lightning node asks.

use bitcoin::consensus::encode::{deserialize_hex, serialize, serialize_hex};
use bitcoin::{Block, BlockHash, MerkleBlock, OutPoint, Transaction, Txid};
use serde_json::{Value, json};

use super::blocks::Chain;

/// Where it stands beside the bitcoind's RPC.
pub(super) const BASE: &str = "/esplora";

/// Blocks of one answer of `/blocks`.
const BLOCKS: u32 = 10;
/// Mined transactions of one answer about a script.
const PAGE: usize = 25;

const OK: &str = "200 OK";

enum Said {
    Json(Value),
    Text(String),
    Bytes(Vec<u8>),
    Nothing,
    Wrong(String),
}

impl Chain {
    /// Answers one request: status and body.
    pub(super) fn esplora(&mut self, method: &str, path: &str, body: &[u8]) -> (&'static str, Vec<u8>) {
        let said = if method == "POST" && path == "/tx" { self.broadcast(body) } else { self.look(path) };
        match said {
            Said::Json(value) => (OK, value.to_string().into_bytes()),
            Said::Text(text) => (OK, text.into_bytes()),
            Said::Bytes(bytes) => (OK, bytes),
            Said::Nothing => ("404 Not Found", b"Transaction not found".to_vec()),
            Said::Wrong(why) => ("400 Bad Request", why.into_bytes()),
        }
    }

    fn broadcast(&mut self, body: &[u8]) -> Said {
        let text = String::from_utf8_lossy(body);
        match deserialize_hex::<Transaction>(text.trim()).map(|transaction| self.accept(transaction)) {
            Ok(Ok(txid)) => Said::Text(txid.to_string()),
            Ok(Err(refusal)) => Said::Wrong(format!(
                "sendrawtransaction RPC error: {{\"code\":{},\"message\":\"{}\"}}",
                refusal.code(),
                refusal.words()
            )),
            Err(error) => Said::Wrong(error.to_string()),
        }
    }

    fn look(&self, path: &str) -> Said {
        let parts: Vec<&str> = path.trim_start_matches('/').split('/').collect();
        let found = match parts.as_slice() {
            ["blocks", "tip", "height"] => Some(Said::Text(self.height().to_string())),
            ["blocks", "tip", "hash"] => Some(Said::Text(self.tip().to_string())),
            ["blocks"] => Some(self.latest(self.height())),
            ["blocks", height] => height.parse().ok().map(|height| self.latest(height)),
            ["block-height", height] => {
                let block = height.parse().ok().and_then(|height| self.at(height));
                block.map(|block| Said::Text(block.block_hash().to_string()))
            }
            ["block", hash, rest @ ..] => self.block_page(hash, rest),
            ["tx", txid, rest @ ..] => txid.parse().ok().and_then(|txid| self.tx_page(&txid, rest)),
            ["scripthash", hash, "txs", rest @ ..] => self.script_page(hash, rest),
            ["fee-estimates"] => Some(Said::Json(json!({"1": 1.0, "6": 1.0, "144": 1.0, "1008": 1.0}))),
            _ => None,
        };
        found.unwrap_or(Said::Nothing)
    }

    fn latest(&self, from: u32) -> Said {
        let last = from.min(self.height());
        let heights = (last.saturating_sub(BLOCKS - 1)..=last).rev();
        Said::Json(heights.filter_map(|height| Some(self.summary(height, self.at(height)?))).collect())
    }

    fn summary(&self, height: u32, block: &Block) -> Value {
        let header = &block.header;
        let mut said = json!({
            "id": block.block_hash().to_string(), "height": height, "version": header.version.to_consensus(),
            "timestamp": header.time, "tx_count": block.txdata.len(), "size": block.total_size(),
            "weight": block.weight().to_wu(), "merkle_root": header.merkle_root.to_string(),
            "mediantime": self.median_time(height), "nonce": header.nonce,
            "bits": header.bits.to_consensus(), "difficulty": 0.0, "previousblockhash": null,
        });
        if height > 0 {
            said["previousblockhash"] = json!(header.prev_blockhash.to_string());
        }
        said
    }

    fn block_page(&self, hash: &str, rest: &[&str]) -> Option<Said> {
        let (height, block) = self.find(&hash.parse::<BlockHash>().ok()?)?;
        match rest {
            [] => Some(Said::Json(self.summary(height, block))),
            ["header"] => Some(Said::Text(serialize_hex(&block.header))),
            ["raw"] => Some(Said::Bytes(serialize(block))),
            ["status"] => {
                let next = self.at(height + 1).map(|next| next.block_hash().to_string());
                Some(Said::Json(json!({"in_best_chain": true, "height": height, "next_best": next})))
            }
            ["txid", number] => {
                let transaction = block.txdata.get(number.parse::<usize>().ok()?)?;
                Some(Said::Text(transaction.compute_txid().to_string()))
            }
            _ => None,
        }
    }

    fn tx_page(&self, txid: &Txid, rest: &[&str]) -> Option<Said> {
        let transaction = self.transaction(txid)?;
        match rest {
            [] => Some(Said::Json(self.tx(txid)?)),
            ["raw"] => Some(Said::Bytes(serialize(transaction))),
            ["status"] => Some(Said::Json(self.status(txid))),
            ["merkleblock-proof"] => {
                let block = self.at(self.mined_at(txid)?)?;
                let proof = MerkleBlock::from_block_with_predicate(block, |found| found == txid);
                Some(Said::Text(serialize_hex(&proof)))
            }
            ["outspend", number] => {
                let output = OutPoint::new(*txid, number.parse().ok()?);
                let Some((spender, input)) = self.spender(&output) else {
                    return Some(Said::Json(json!({"spent": false})));
                };
                let status = self.status(&spender);
                let said =
                    json!({"spent": true, "txid": spender.to_string(), "vin": input, "status": status});
                Some(Said::Json(said))
            }
            _ => None,
        }
    }

    /// `/txs`: what waits, then a page of what is mined, newest first; `/txs/chain/{last}`: the pages after.
    fn script_page(&self, hash: &str, rest: &[&str]) -> Option<Said> {
        let mut script = [0; 32];
        hex::decode_to_slice(hash, &mut script).ok()?;
        let history = self.history(&script);
        let (mined, waiting): (Vec<_>, Vec<_>) =
            history.into_iter().partition(|(height, _)| height.is_some());
        let mined = mined.into_iter().rev().map(|(_, txid)| txid);
        let page: Vec<Txid> = match rest {
            [] => waiting.into_iter().map(|(_, txid)| txid).chain(mined.take(PAGE)).collect(),
            ["chain", last] => {
                let last: Txid = last.parse().ok()?;
                mined.skip_while(|txid| *txid != last).skip(1).take(PAGE).collect()
            }
            _ => return None,
        };
        Some(Said::Json(page.iter().filter_map(|txid| self.tx(txid)).collect()))
    }

    fn status(&self, txid: &Txid) -> Value {
        let Some(height) = self.mined_at(txid) else { return json!({"confirmed": false}) };
        let block = self.at(height);
        json!({
            "confirmed": true,
            "block_height": height,
            "block_hash": block.map(|block| block.block_hash().to_string()),
            "block_time": block.map(|block| block.header.time),
        })
    }

    fn tx(&self, txid: &Txid) -> Option<Value> {
        let transaction = self.transaction(txid)?;
        let mut paid_in = 0;
        let inputs: Vec<Value> = transaction
            .input
            .iter()
            .map(|input| {
                let from = input.previous_output;
                let index = usize::try_from(from.vout).unwrap_or(usize::MAX);
                let spent = self.transaction(&from.txid).and_then(|spent| spent.output.get(index));
                paid_in += spent.map_or(0, |output| output.value.to_sat());
                json!({
                    "txid": from.txid.to_string(), "vout": from.vout,
                    "prevout": spent.map(|output| json!({
                        "value": output.value.to_sat(), "scriptpubkey": output.script_pubkey.to_hex_string(),
                    })),
                    "scriptsig": input.script_sig.to_hex_string(),
                    "witness": input.witness.iter().map(hex::encode).collect::<Vec<_>>(),
                    "sequence": input.sequence.to_consensus_u32(),
                    "is_coinbase": transaction.is_coinbase(),
                })
            })
            .collect();
        let paid_out: u64 = transaction.output.iter().map(|output| output.value.to_sat()).sum();
        Some(json!({
            "txid": txid.to_string(),
            "version": transaction.version.0,
            "locktime": transaction.lock_time.to_consensus_u32(),
            "vin": inputs,
            "vout": transaction.output.iter().map(|output| json!({
                "value": output.value.to_sat(), "scriptpubkey": output.script_pubkey.to_hex_string(),
            })).collect::<Vec<_>>(),
            "size": transaction.total_size(),
            "weight": transaction.weight().to_wu(),
            "fee": if transaction.is_coinbase() { 0 } else { paid_in.saturating_sub(paid_out) },
            "status": self.status(txid),
        }))
    }
}
