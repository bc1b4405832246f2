//! The chain as an Electrum server shows it (protocol 1.4), as far as a Lightning node asks: JSON, one request on a line, over TCP.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use bitcoin::Txid;
use bitcoin::consensus::encode::{deserialize_hex, serialize_hex};
use bitcoin::hashes::{Hash, sha256d};
use parking_lot::Mutex;
use serde_json::{Value, json};

use super::blocks::Chain;
use super::index::ScriptHash;

/// Most bytes of one request: the largest standard transaction, in hex, with room to spare.
const MAX_LINE: u64 = 4 * 1024 * 1024;
/// Most connections at once; a node holds one.
const MAX_CONNECTIONS: usize = 64;
/// Most headers of one answer, as real servers have it.
const MAX_HEADERS: u64 = 2016;
/// In BTC for a thousand virtual bytes.
const FEE_RATE: f64 = 0.000_01;

/// The listener; it ends when dropped.
pub(super) struct Electrum {
    pub(super) address: SocketAddr,
    closed: Arc<AtomicBool>,
}

impl Electrum {
    pub(super) fn start(chain: Arc<Mutex<Chain>>) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let address = listener.local_addr()?;
        let (closed, connections) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let stop = Arc::clone(&closed);
        thread::Builder::new().name("electrum".to_owned()).spawn(move || {
            for stream in listener.incoming() {
                if stop.load(Ordering::Acquire) {
                    return;
                }
                let Ok(stream) = stream else { continue };
                if connections.load(Ordering::Acquire) >= MAX_CONNECTIONS {
                    continue;
                }
                let (chain, connections) = (Arc::clone(&chain), Arc::clone(&connections));
                connections.fetch_add(1, Ordering::AcqRel);
                thread::spawn(move || {
                    // A caller that went away is no news.
                    let _ = serve(&chain, stream);
                    connections.fetch_sub(1, Ordering::AcqRel);
                });
            }
        })?;
        Ok(Self { address, closed })
    }
}

impl Drop for Electrum {
    fn drop(&mut self) {
        self.closed.store(true, Ordering::Release);
        drop(TcpStream::connect(self.address));
    }
}

fn serve(chain: &Mutex<Chain>, mut stream: TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut line = String::new();
    loop {
        line.clear();
        if reader.by_ref().take(MAX_LINE).read_line(&mut line)? == 0 {
            return Ok(());
        }
        let request: Value = serde_json::from_str(&line)?;
        let params = request["params"].as_array().map_or(&[][..], Vec::as_slice);
        let said = chain.lock().electrum(request["method"].as_str().unwrap_or_default(), params);
        let reply = match said {
            Ok(result) => json!({"jsonrpc": "2.0", "id": request["id"], "result": result}),
            Err(why) => {
                json!({"jsonrpc": "2.0", "id": request["id"], "error": {"code": 1, "message": why}})
            }
        };
        stream.write_all(format!("{reply}\n").as_bytes())?;
    }
}

impl Chain {
    fn electrum(&mut self, method: &str, params: &[Value]) -> Result<Value, String> {
        match method {
            "server.version" => Ok(json!(["octroi-testkit", "1.4"])),
            "server.ping" => Ok(Value::Null),
            "blockchain.headers.subscribe" => {
                Ok(json!({"height": self.height(), "hex": self.header(self.height())?}))
            }
            "blockchain.block.header" => self.header(height(params, 0)?),
            "blockchain.block.headers" => {
                let (start, count) = (height(params, 0)?, number(params, 1)?.min(MAX_HEADERS));
                let heights = start..start.saturating_add(u32::try_from(count).unwrap_or(0));
                let headers: Vec<String> = heights
                    .filter_map(|height| self.at(height))
                    .map(|block| serialize_hex(&block.header))
                    .collect();
                Ok(json!({"count": headers.len(), "hex": headers.concat(), "max": MAX_HEADERS}))
            }
            "blockchain.estimatefee" | "blockchain.relayfee" => Ok(json!(FEE_RATE)),
            "blockchain.scripthash.get_history" => Ok(self.script_history(&script(params)?)),
            "blockchain.transaction.get" => {
                let transaction = self.transaction(&txid(params)?);
                transaction.map(|it| json!(serialize_hex(it))).ok_or_else(|| "No such transaction".to_owned())
            }
            "blockchain.transaction.get_merkle" => self.branch(&txid(params)?),
            "blockchain.transaction.broadcast" => {
                let transaction = deserialize_hex(text(params, 0)?).map_err(|error| error.to_string())?;
                let taken = self.accept(transaction);
                taken.map(|txid| json!(txid.to_string())).map_err(|refusal| refusal.words().to_owned())
            }
            _ => Err(format!("unknown method {method}")),
        }
    }

    fn header(&self, height: u32) -> Result<Value, String> {
        let block = self.at(height).ok_or_else(|| "no such height".to_owned())?;
        Ok(json!(serialize_hex(&block.header)))
    }

    fn script_history(&self, script: &ScriptHash) -> Value {
        let entry = |(height, txid): (Option<u32>, Txid)| match height {
            Some(height) => json!({"height": height, "tx_hash": txid.to_string()}),
            None => {
                let fee = self.mempool.get(&txid).map_or(0, |entry| entry.fee.to_sat());
                json!({"height": 0, "tx_hash": txid.to_string(), "fee": fee})
            }
        };
        self.history(script).into_iter().map(entry).collect()
    }

    /// The hashes that lead from a transaction to its block's root, the deepest first.
    fn branch(&self, txid: &Txid) -> Result<Value, String> {
        let unknown = || "the transaction is not in a block".to_owned();
        let height = self.mined_at(txid).ok_or_else(unknown)?;
        let block = self.at(height).ok_or_else(unknown)?;
        let mut row: Vec<[u8; 32]> =
            block.txdata.iter().map(|it| it.compute_txid().to_byte_array()).collect();
        let place = row.iter().position(|hash| *hash == txid.to_byte_array()).ok_or_else(unknown)?;
        let (mut at, mut branch) = (place, Vec::new());
        while row.len() > 1 {
            // Of an odd row, the last stands twice.
            let last = row.len() - 1;
            branch.push(sha256d::Hash::from_byte_array(row[(at ^ 1).min(last)]).to_string());
            row = row
                .chunks(2)
                .map(|pair| sha256d::Hash::hash(&[pair[0], pair[pair.len() - 1]].concat()).to_byte_array())
                .collect();
            at /= 2;
        }
        Ok(json!({"block_height": height, "pos": place, "merkle": branch}))
    }
}

fn text(params: &[Value], index: usize) -> Result<&str, String> {
    params.get(index).and_then(Value::as_str).ok_or_else(|| format!("parameter {index} must be a string"))
}

fn number(params: &[Value], index: usize) -> Result<u64, String> {
    params.get(index).and_then(Value::as_u64).ok_or_else(|| format!("parameter {index} must be a number"))
}

fn height(params: &[Value], index: usize) -> Result<u32, String> {
    u32::try_from(number(params, index)?).map_err(|error| error.to_string())
}

fn txid(params: &[Value]) -> Result<Txid, String> {
    text(params, 0)?.parse().map_err(|_| "not a transaction's id".to_owned())
}

/// Electrum writes a script's hash backwards.
fn script(params: &[Value]) -> Result<ScriptHash, String> {
    let mut script = [0; 32];
    hex::decode_to_slice(text(params, 0)?, &mut script).map_err(|error| error.to_string())?;
    script.reverse();
    Ok(script)
}
