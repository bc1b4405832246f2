use bitcoin::absolute::LockTime;
use bitcoin::hashes::Hash;
use bitcoin::{Amount, OutPoint, Sequence, Transaction, TxIn, TxOut, Witness};
use serde_json::json;

use super::blocks::Chain;
use super::coins::MATURITY;
use super::mempool::Refusal;
use super::unspendable;

/// The block whose reward the tests spend: late enough for the times before it to be today's, not the genesis'.
const SPENT: u32 = 20;

/// A chain in which the reward of block [`SPENT`] is just ripe.
fn ripe() -> (Chain, OutPoint) {
    let mut chain = Chain::new();
    chain.mine(SPENT + MATURITY - 1, &unspendable());
    let reward = chain.at(SPENT).unwrap().txdata[0].compute_txid();
    (chain, OutPoint::new(reward, 0))
}

fn spend(from: OutPoint, sat: u64, sequence: Sequence) -> Transaction {
    Transaction {
        version: bitcoin::transaction::Version::TWO,
        lock_time: LockTime::ZERO,
        input: vec![TxIn { previous_output: from, sequence, witness: Witness::new(), ..TxIn::default() }],
        output: vec![TxOut { value: Amount::from_sat(sat), script_pubkey: unspendable() }],
    }
}

const COIN: u64 = 5_000_000_000;

#[test]
fn blocks_are_linked_worked_for_and_committed_to() {
    let (chain, _) = ripe();
    for height in 1..=chain.height() {
        let block = chain.at(height).unwrap();
        assert_eq!(block.header.prev_blockhash, chain.at(height - 1).unwrap().block_hash());
        block.header.validate_pow(block.header.target()).unwrap();
        assert!(block.check_merkle_root() && block.check_witness_commitment());
        // Up to 16 a height is a single opcode, which this reader does not know.
        assert!(height <= 16 || block.bip34_block_height().unwrap() == u64::from(height));
    }
}

#[test]
fn a_transaction_waits_and_is_mined_with_its_child() {
    let (mut chain, reward) = ripe();
    let parent = spend(reward, COIN - 1_000, Sequence::MAX);
    let id = chain.accept(parent.clone()).unwrap();
    let child = spend(OutPoint::new(id, 0), COIN - 3_000, Sequence::MAX);
    chain.accept(child.clone()).unwrap();
    assert_eq!(chain.accept(parent).unwrap(), id, "waiting already is no refusal");
    chain.mine(1, &unspendable());
    let block = chain.at(chain.height()).unwrap();
    assert_eq!(block.txdata.len(), 3);
    assert_eq!(block.txdata[0].output[0].value, Amount::from_sat(COIN + 3_000), "fees go to the reward");
    assert_eq!(chain.mempool.len(), 0);
    assert_eq!(chain.accept(child), Err(Refusal::AlreadyMined));
}

#[test]
fn what_cannot_be_spent_is_refused() {
    let (mut chain, reward) = ripe();
    let unripe = OutPoint::new(chain.at(SPENT + 1).unwrap().txdata[0].compute_txid(), 0);
    let nowhere = OutPoint::new(bitcoin::Txid::all_zeros(), 7);
    let cases = [
        (spend(nowhere, 1, Sequence::MAX), Refusal::MissingInput),
        (spend(unripe, 1, Sequence::MAX), Refusal::ImmatureReward),
        (spend(reward, COIN + 1, Sequence::MAX), Refusal::MakesMoney),
        (spend(reward, 1, Sequence::from_height(101)), Refusal::RelativeLock),
        (spend(reward, 1, Sequence::from_512_second_intervals(60_000)), Refusal::RelativeLock),
        (
            Transaction {
                lock_time: LockTime::from_consensus(SPENT + MATURITY),
                ..spend(reward, 1, Sequence::ZERO)
            },
            Refusal::NotFinal,
        ),
    ];
    let expected = cases.len();
    for (transaction, refusal) in cases {
        assert_eq!(chain.accept(transaction), Err(refusal));
    }
    assert_eq!(chain.refused.len(), expected);
    assert_eq!(chain.mempool.len(), 0);
}

#[test]
fn a_replacement_pays_more_and_takes_the_children_along() {
    let (mut chain, reward) = ripe();
    let id = chain.accept(spend(reward, COIN - 1_000, Sequence::MAX)).unwrap();
    chain.accept(spend(OutPoint::new(id, 0), COIN - 2_000, Sequence::MAX)).unwrap();
    assert_eq!(chain.accept(spend(reward, COIN - 1_000, Sequence::ZERO)), Err(Refusal::ReplacesForLess));
    chain.accept(spend(reward, COIN - 1_001, Sequence::ZERO)).unwrap();
    assert_eq!(chain.mempool.len(), 1);
    chain.mine(1, &unspendable());
    assert_eq!(chain.at(chain.height()).unwrap().txdata.len(), 2);
}

#[test]
fn headers_are_said_as_block_sync_reads_them() {
    let (mut chain, _) = ripe();
    let first = chain.call("getblockhash", &[json!(0)]).unwrap();
    let genesis = chain.call("getblockheader", &[first]).unwrap();
    assert!(genesis.get("previousblockhash").is_none());
    assert_eq!(genesis["chainwork"], format!("{:064x}", 2));
    assert_eq!(genesis["bits"], "207fffff");
    let tip = chain.call("getbestblockhash", &[]).unwrap();
    let header = chain.call("getblockheader", &[tip]).unwrap();
    assert_eq!(header["height"], json!(SPENT + MATURITY - 1));
}

#[test]
fn hostile_parameters_are_errors() {
    let (mut chain, _) = ripe();
    let methods = [
        "getblockhash",
        "getblockheader",
        "getblock",
        "getrawtransaction",
        "sendrawtransaction",
        "getmempoolentry",
        "estimatesmartfee",
        "gettxout",
        "generatetoaddress",
        "stop",
    ];
    for method in methods {
        for params in
            [vec![], vec![json!(null)], vec![json!("zz"), json!("zz")], vec![json!(-1), json!(u64::MAX)]]
        {
            chain.call(method, &params).unwrap_err();
        }
    }
    let unknown = chain.call("getblock", &[json!("00".repeat(32))]).unwrap_err();
    assert_eq!(unknown.code, -5, "what is not found must be -5");
}

mod over_http {
    use std::io::{Read, Write};
    use std::net::TcpStream;

    use super::super::Regtest;

    fn ask(regtest: &Regtest, authorization: &str, length: usize, body: &str) -> String {
        let mut stream = TcpStream::connect(regtest.address()).unwrap();
        let head =
            format!("POST / HTTP/1.1\r\nAuthorization: {authorization}\r\nContent-Length: {length}\r\n\r\n");
        // A connection refused halfway may end in a reset, here or below; what came before it counts.
        let _ = stream.write_all((head + body).as_bytes());
        let _ = stream.shutdown(std::net::Shutdown::Write);
        let mut reply = Vec::new();
        let _ = stream.read_to_end(&mut reply);
        String::from_utf8(reply).unwrap()
    }

    fn basic(regtest: &Regtest) -> String {
        use base64::Engine;
        let url = regtest.url();
        let login = url.strip_prefix("bitcoind://").unwrap().split('@').next().unwrap();
        format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(login))
    }

    #[test]
    fn who_knows_the_password_is_answered() {
        let regtest = Regtest::start().unwrap();
        let body = r#"{"method":"getblockcount","params":[],"id":7}"#;
        let good = ask(&regtest, &basic(&regtest), body.len(), body);
        let (head, said) = good.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 200"), "{good}");
        let said: serde_json::Value = serde_json::from_str(said).unwrap();
        assert_eq!(said, serde_json::json!({"error": null, "id": 7, "result": 1}));
        for wrong in ["", "Basic", "Basic cmVndGVzdDo="] {
            assert!(ask(&regtest, wrong, body.len(), body).starts_with("HTTP/1.1 401"));
        }
    }

    #[test]
    fn hostile_requests_end_the_connection_only() {
        let regtest = Regtest::start().unwrap();
        let login = basic(&regtest);
        assert!(ask(&regtest, &login, usize::MAX, "").starts_with("HTTP/1.1 413"));
        assert!(ask(&regtest, &login, 3, "nope").starts_with("HTTP/1.1 400"));
        assert_eq!(ask(&regtest, &"x".repeat(20_000), 0, ""), "");
        assert!(ask(&regtest, &login, 2, "{}").contains("Method not found"));
    }
}
