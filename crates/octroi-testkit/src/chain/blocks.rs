//! Making blocks and finding them again.

use std::collections::{HashMap, VecDeque};
use std::time::{SystemTime, UNIX_EPOCH};

use bitcoin::absolute::LockTime;
use bitcoin::block::{Block, Header, Version};
use bitcoin::hashes::Hash;
use bitcoin::{
    Amount, BlockHash, CompactTarget, Network, OutPoint, ScriptBuf, Sequence, Target, Transaction, TxIn,
    TxMerkleNode, TxOut, Txid, Witness, WitnessMerkleNode,
};

use super::coins::Coins;
use super::index::Index;
use super::mempool::Mempool;

/// The easiest target there is: two hashes make a block.
const REGTEST_BITS: u32 = 0x207f_ffff;

/// The work of one such block.
const WORK_PER_BLOCK: u64 = 2;

/// Blocks between two halvings of the reward on regtest.
const HALVING: u32 = 150;

/// The first reward.
const REWARD_SAT: u64 = 50 * 100_000_000;

/// BIP 141: what stands before the commitment to the witnesses, in an output that cannot be spent.
const WITNESS_COMMITMENT: [u8; 6] = [0x6a, 0x24, 0xaa, 0x21, 0xa9, 0xed];

/// How many refused transactions are remembered.
pub(super) const REFUSED_KEPT: usize = 100;

/// The one chain there is: nothing ever replaces a block.
pub(super) struct Chain {
    blocks: Vec<Block>,
    heights: HashMap<BlockHash, u32>,
    tip: BlockHash,
    mined: HashMap<Txid, (u32, Transaction)>,
    pub(super) index: Index,
    pub(super) coins: Coins,
    pub(super) mempool: Mempool,
    pub(super) refused: VecDeque<String>,
}

impl Chain {
    pub(super) fn new() -> Self {
        let genesis = bitcoin::constants::genesis_block(Network::Regtest);
        let tip = genesis.block_hash();
        Self {
            blocks: vec![genesis],
            heights: HashMap::from([(tip, 0)]),
            tip,
            mined: HashMap::new(),
            index: Index::default(),
            coins: Coins::default(),
            mempool: Mempool::default(),
            refused: VecDeque::new(),
        }
    }

    pub(super) fn height(&self) -> u32 {
        u32::try_from(self.blocks.len() - 1).unwrap_or(u32::MAX)
    }

    pub(super) const fn tip(&self) -> BlockHash {
        self.tip
    }

    pub(super) fn at(&self, height: u32) -> Option<&Block> {
        self.blocks.get(usize::try_from(height).ok()?)
    }

    /// A block and its height.
    pub(super) fn find(&self, hash: &BlockHash) -> Option<(u32, &Block)> {
        let height = *self.heights.get(hash)?;
        Some((height, self.at(height)?))
    }

    pub(super) fn is_mined(&self, txid: &Txid) -> bool {
        self.mined.contains_key(txid)
    }

    /// The height of the block that a transaction stands in.
    pub(super) fn mined_at(&self, txid: &Txid) -> Option<u32> {
        self.mined.get(txid).map(|(height, _)| *height)
    }

    /// A transaction, mined or waiting.
    pub(super) fn transaction(&self, txid: &Txid) -> Option<&Transaction> {
        self.mempool
            .get(txid)
            .map(|entry| &entry.transaction)
            .or_else(|| self.mined.get(txid).map(|(_, transaction)| transaction))
    }

    /// All work up to and including a height.
    pub(super) fn work(height: u32) -> u64 {
        WORK_PER_BLOCK * (u64::from(height) + 1)
    }

    /// BIP 113: the median of the eleven blocks up to `height`, which is what locks on time are compared with.
    pub(super) fn median_time(&self, height: u32) -> u32 {
        let first = (height + 1).saturating_sub(11);
        let mut times: Vec<u32> =
            (first..=height).filter_map(|height| self.at(height)).map(|block| block.header.time).collect();
        times.sort_unstable();
        times.get(times.len() / 2).copied().unwrap_or(0)
    }

    /// Mines `count` blocks on the tip, their rewards going to `reward_to`.
    pub(super) fn mine(&mut self, count: u32, reward_to: &ScriptBuf) {
        for _ in 0..count {
            let block = self.next_block(reward_to);
            self.connect(block);
        }
    }

    fn next_block(&self, reward_to: &ScriptBuf) -> Block {
        let height = self.height() + 1;
        let (fees, waiting) = self.mempool.in_order();
        let mut transactions = Vec::with_capacity(waiting.len() + 1);
        transactions.push(reward(height, fees, reward_to));
        transactions.extend(waiting);
        let header = Header {
            version: Version::from_consensus(0x2000_0000),
            prev_blockhash: self.tip,
            merkle_root: TxMerkleNode::all_zeros(),
            time: now().max(self.median_time(self.height()) + 1),
            bits: CompactTarget::from_consensus(REGTEST_BITS),
            nonce: 0,
        };
        let mut block = Block { header, txdata: transactions };
        commit_to_witnesses(&mut block);
        block.header.merkle_root = block.compute_merkle_root().unwrap_or_else(TxMerkleNode::all_zeros);
        let target = Target::from_compact(block.header.bits);
        while !target.is_met_by(block.block_hash()) {
            block.header.nonce += 1;
        }
        block
    }

    fn connect(&mut self, block: Block) {
        let height = self.height() + 1;
        for transaction in &block.txdata {
            let txid = transaction.compute_txid();
            self.index.note(height, txid, transaction, &self.coins);
            self.coins.apply(transaction, height);
            self.mempool.mined(&txid);
            self.mined.insert(txid, (height, transaction.clone()));
        }
        self.tip = block.block_hash();
        self.heights.insert(self.tip, height);
        self.blocks.push(block);
    }
}

/// The coinbase of the block at `height`, without its commitment. BIP 34 puts the height in front.
fn reward(height: u32, fees: Amount, to: &ScriptBuf) -> Transaction {
    let subsidy = Amount::from_sat(REWARD_SAT.checked_shr(height / HALVING).unwrap_or(0));
    // A second push, because the script must have at least two bytes.
    let script_sig = bitcoin::script::Builder::new().push_int(height.into()).push_int(0).into_script();
    Transaction {
        version: bitcoin::transaction::Version::TWO,
        lock_time: LockTime::ZERO,
        input: vec![TxIn {
            previous_output: OutPoint::null(),
            script_sig,
            sequence: Sequence::MAX,
            witness: Witness::from_slice(&[[0_u8; 32]]),
        }],
        output: vec![TxOut { value: subsidy + fees, script_pubkey: to.clone() }],
    }
}

/// BIP 141: the coinbase commits to every witness of the block.
fn commit_to_witnesses(block: &mut Block) {
    let root = block.witness_root().unwrap_or_else(WitnessMerkleNode::all_zeros);
    let commitment = Block::compute_witness_commitment(&root, &[0; 32]);
    let script = [&WITNESS_COMMITMENT[..], commitment.as_byte_array()].concat();
    if let Some(coinbase) = block.txdata.first_mut() {
        coinbase.output.push(TxOut { value: Amount::ZERO, script_pubkey: ScriptBuf::from_bytes(script) });
    }
}

/// Seconds since the Unix epoch, as block headers count them.
pub(super) fn now() -> u32 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u32::try_from(since.as_secs()).unwrap_or(u32::MAX)
}
