//! The methods of bitcoind's JSON-RPC that a Lightning node, or a person with curl, asks.

use std::str::FromStr;

use bitcoin::consensus::encode::{deserialize_hex, serialize_hex};
use bitcoin::{Address, Block, BlockHash, Network, OutPoint, Txid};
use serde_json::{Value, json};

use super::blocks::Chain;

/// Most blocks of one `generatetoaddress`.
const MAX_GENERATED: u64 = 1_000;

/// The fee rate answered to every question, in BTC per 1,000 virtual bytes: 1 sat per virtual byte.
const FEE_RATE: f64 = 0.000_01;

/// bitcoind's error codes (`src/rpc/protocol.h`).
const INVALID_ADDRESS_OR_KEY: i64 = -5;
const INVALID_PARAMETER: i64 = -8;
const DESERIALIZATION_ERROR: i64 = -22;
const METHOD_NOT_FOUND: i64 = -32601;

/// An error as JSON-RPC says it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct RpcError {
    pub(super) code: i64,
    pub(super) message: String,
}

fn error(code: i64, message: impl ToString) -> RpcError {
    RpcError { code, message: message.to_string() }
}

/// The positional parameters of a call.
struct Params<'a>(&'a [Value]);

impl Params<'_> {
    fn text(&self, index: usize) -> Result<&str, RpcError> {
        let missing = || error(INVALID_PARAMETER, format!("parameter {index} must be a string"));
        self.0.get(index).and_then(Value::as_str).ok_or_else(missing)
    }

    fn number(&self, index: usize) -> Result<u64, RpcError> {
        let missing = || error(INVALID_PARAMETER, format!("parameter {index} must be a number"));
        self.0.get(index).and_then(Value::as_u64).ok_or_else(missing)
    }

    fn parsed<T: FromStr<Err: ToString>>(&self, index: usize) -> Result<T, RpcError> {
        self.text(index)?.parse().map_err(|wrong: T::Err| error(INVALID_PARAMETER, wrong))
    }
}

impl Chain {
    /// Answers one call.
    pub(super) fn call(&mut self, method: &str, params: &[Value]) -> Result<Value, RpcError> {
        let params = Params(params);
        match method {
            "getblockchaininfo" => Ok(json!({
                "chain": "regtest", "blocks": self.height(), "headers": self.height(),
                "bestblockhash": self.tip().to_string(), "initialblockdownload": false,
            })),
            "getblockcount" => Ok(json!(self.height())),
            "getbestblockhash" => Ok(json!(self.tip().to_string())),
            "getblockhash" => self.block_hash(&params),
            "getblockheader" => self.block_header(&params),
            "getblock" => self.block(&params),
            "getrawtransaction" => self.raw_transaction(&params),
            "sendrawtransaction" => self.send(&params),
            "getrawmempool" => Ok(self.mempool.ids().map(ToString::to_string).collect()),
            "getmempoolentry" => self.mempool_entry(&params),
            "getmempoolinfo" => Ok(json!({
                "loaded": true, "size": self.mempool.len(), "mempoolminfee": FEE_RATE, "minrelaytxfee": FEE_RATE,
            })),
            "estimatesmartfee" => Ok(json!({ "feerate": FEE_RATE, "blocks": params.number(0)? })),
            "gettxout" => self.unspent(&params),
            "generatetoaddress" => self.generate(&params),
            _ => Err(error(METHOD_NOT_FOUND, "Method not found")),
        }
    }

    fn block_hash(&self, params: &Params<'_>) -> Result<Value, RpcError> {
        let block = u32::try_from(params.number(0)?).ok().and_then(|height| self.at(height));
        let block = block.ok_or_else(|| error(INVALID_PARAMETER, "Block height out of range"))?;
        Ok(json!(block.block_hash().to_string()))
    }

    fn known_block(&self, params: &Params<'_>) -> Result<(u32, &Block), RpcError> {
        let hash: BlockHash = params.parsed(0)?;
        self.find(&hash).ok_or_else(|| error(INVALID_ADDRESS_OR_KEY, "Block not found"))
    }

    fn block_header(&self, params: &Params<'_>) -> Result<Value, RpcError> {
        let (height, block) = self.known_block(params)?;
        let header = &block.header;
        let mut said = json!({
            "hash": block.block_hash().to_string(),
            "height": height,
            "confirmations": self.height() - height + 1,
            "version": header.version.to_consensus(),
            "merkleroot": header.merkle_root.to_string(),
            "time": header.time,
            "nonce": header.nonce,
            "bits": format!("{:08x}", header.bits.to_consensus()),
            "chainwork": format!("{:064x}", Self::work(height)),
            "nTx": block.txdata.len(),
        });
        // The first block has no such member; null would not do.
        if height > 0 {
            said["previousblockhash"] = json!(header.prev_blockhash.to_string());
        }
        Ok(said)
    }

    fn block(&self, params: &Params<'_>) -> Result<Value, RpcError> {
        let (_, block) = self.known_block(params)?;
        Ok(json!(serialize_hex(block)))
    }

    fn raw_transaction(&self, params: &Params<'_>) -> Result<Value, RpcError> {
        let txid: Txid = params.parsed(0)?;
        let unknown = || error(INVALID_ADDRESS_OR_KEY, "No such mempool or blockchain transaction");
        Ok(json!(serialize_hex(self.transaction(&txid).ok_or_else(unknown)?)))
    }

    fn send(&mut self, params: &Params<'_>) -> Result<Value, RpcError> {
        let transaction =
            deserialize_hex(params.text(0)?).map_err(|wrong| error(DESERIALIZATION_ERROR, wrong))?;
        match self.accept(transaction) {
            Ok(txid) => Ok(json!(txid.to_string())),
            Err(refusal) => Err(error(refusal.code(), refusal.words())),
        }
    }

    fn mempool_entry(&self, params: &Params<'_>) -> Result<Value, RpcError> {
        let txid: Txid = params.parsed(0)?;
        let entry = self.mempool.get(&txid);
        let entry = entry.ok_or_else(|| error(INVALID_ADDRESS_OR_KEY, "Transaction not in mempool"))?;
        Ok(json!({
            "time": entry.time, "height": entry.height, "vsize": entry.transaction.vsize(),
            "fees": { "base": entry.fee.to_btc() },
        }))
    }

    fn unspent(&self, params: &Params<'_>) -> Result<Value, RpcError> {
        let index = u32::try_from(params.number(1)?).map_err(|wrong| error(INVALID_PARAMETER, wrong))?;
        let Some(coin) = self.coins.get(&OutPoint::new(params.parsed(0)?, index)) else {
            return Ok(Value::Null);
        };
        Ok(json!({
            "bestblock": self.tip().to_string(),
            "confirmations": self.height() - coin.height + 1,
            "value": coin.output.value.to_btc(),
            "scriptPubKey": { "hex": coin.output.script_pubkey.to_hex_string() },
            "coinbase": coin.is_reward,
        }))
    }

    fn generate(&mut self, params: &Params<'_>) -> Result<Value, RpcError> {
        let count = params.number(0)?.min(MAX_GENERATED);
        let address = Address::from_str(params.text(1)?)
            .and_then(|address| address.require_network(Network::Regtest))
            .map_err(|wrong| error(INVALID_ADDRESS_OR_KEY, wrong))?;
        let first = self.height() + 1;
        self.mine(u32::try_from(count).unwrap_or(u32::MAX), &address.script_pubkey());
        let made = (first..=self.height()).filter_map(|height| self.at(height));
        Ok(made.map(|block| block.block_hash().to_string()).collect())
    }
}
