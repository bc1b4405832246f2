//! A Bitcoin chain in memory, spoken to as a bitcoind in regtest mode, as an Esplora server, or as an Electrum server.
//!
//! It is no node: no peers, nothing on disk, and scripts are not run. It does keep real blocks (proof of work at
//! regtest's difficulty, merkle root, BIP 34 height, BIP 141 commitment), a set of unspent outputs and a mempool, and
//! it refuses transactions that spend what is missing, spent or immature, that make money, or that are not final.
//! That is what a Lightning node needs to open, use and close channels.

mod blocks;
mod coins;
mod electrum;
mod esplora;
mod http;
mod index;
mod mempool;
mod rpc;

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::str::FromStr;
use std::sync::Arc;

use bitcoin::{Address, Network, ScriptBuf};
use octroi_lightning::Password;
use octroi_lightning::embedded::ChainSource;
use parking_lot::Mutex;

use self::blocks::Chain;
use self::electrum::Electrum;
use self::http::Server;

/// The user name of the RPC; the password is made anew for every chain.
const USER: &str = "regtest";

/// A regtest chain, served on loopback until it is dropped.
pub struct Regtest {
    chain: Arc<Mutex<Chain>>,
    server: Server,
    electrum: Electrum,
    password: Password,
}

impl Regtest {
    /// Starts a chain that has its first block.
    ///
    /// # Errors
    /// When no loopback port can be had.
    pub fn start() -> io::Result<Self> {
        let mut secret = [0; 16];
        getrandom::fill(&mut secret).map_err(io::Error::other)?;
        let password = Password::new(hex::encode(secret));
        let chain = Arc::new(Mutex::new(Chain::new()));
        let server = Server::start(Arc::clone(&chain), USER, &password)?;
        let electrum = Electrum::start(Arc::clone(&chain))?;
        let regtest = Self { chain, server, electrum, password };
        regtest.mine(1);
        Ok(regtest)
    }

    /// Mines `count` blocks whose reward nobody can spend. What waits in the mempool is in the first of them.
    pub fn mine(&self, count: u32) {
        self.chain.lock().mine(count, &unspendable());
    }

    /// Gives an address the reward of one block (50 coins at first), and mines it ripe.
    ///
    /// # Errors
    /// When `address` is not one of regtest.
    pub fn fund(&self, address: &str) -> io::Result<()> {
        let invalid =
            |error: &dyn std::fmt::Display| io::Error::new(io::ErrorKind::InvalidInput, error.to_string());
        let address = Address::from_str(address).map_err(|error| invalid(&error))?;
        let address = address.require_network(Network::Regtest).map_err(|error| invalid(&error))?;
        let mut chain = self.chain.lock();
        chain.mine(1, &address.script_pubkey());
        chain.mine(coins::MATURITY, &unspendable());
        Ok(())
    }

    /// The height of the best block.
    #[must_use]
    pub fn height(&self) -> u32 {
        self.chain.lock().height()
    }

    /// How many transactions wait to be mined.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.chain.lock().mempool.len()
    }

    /// Every transaction refused so far (the latest hundred), and why. A test of channels expects none.
    #[must_use]
    pub fn refused(&self) -> Vec<String> {
        self.chain.lock().refused.iter().cloned().collect()
    }

    /// Where its RPC listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.server.address
    }

    /// How an embedded node of this process is pointed at it.
    #[must_use]
    pub fn source(&self) -> ChainSource {
        ChainSource::Bitcoind {
            host: Ipv4Addr::LOCALHOST.to_string(),
            port: self.address().port(),
            user: USER.to_owned(),
            password: self.password.clone(),
        }
    }

    /// The same chain as an Esplora server shows it.
    #[must_use]
    pub fn esplora(&self) -> ChainSource {
        ChainSource::Esplora { url: self.esplora_url() }
    }

    /// The base URL of that server.
    #[must_use]
    pub fn esplora_url(&self) -> String {
        format!("http://{}{}", self.address(), esplora::BASE)
    }

    /// The same chain as an Electrum server shows it.
    #[must_use]
    pub fn electrum(&self) -> ChainSource {
        ChainSource::Electrum { url: format!("tcp://{}", self.electrum_address()) }
    }

    /// Where that server listens.
    #[must_use]
    pub fn electrum_address(&self) -> SocketAddr {
        self.electrum.address
    }

    /// How a gate's config names it: `bitcoind://user:password@127.0.0.1:port`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("bitcoind://{USER}:{}@{}", self.password.reveal(), self.address())
    }
}

/// An output that no key can spend: a program of twenty zero bytes.
fn unspendable() -> ScriptBuf {
    use bitcoin::hashes::Hash;
    ScriptBuf::new_p2wpkh(&bitcoin::WPubkeyHash::all_zeros())
}

#[cfg(test)]
mod tests;
