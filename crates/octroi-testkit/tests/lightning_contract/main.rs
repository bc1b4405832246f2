//! What every backend promises, asked of each: the embedded node itself, and the phoenixd client before the wallet's
//! HTTP API, behind which stands the same kind of node.

// Helpers of tests may fail as tests do.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod faults;
mod hostile;
mod nostr;
mod real_lnbits;
mod streams;
mod wallet;

use std::sync::Arc;
use std::time::Duration;

use octroi_l402::{Msat, PaymentHash, Preimage};
use octroi_lightning::cln::Cln;
use octroi_lightning::lnbits::Lnbits;
use octroi_lightning::lnd::Lnd;
use octroi_lightning::lnurl::Lnurl;
use octroi_lightning::nwc::Nwc;
use octroi_lightning::phoenixd::Phoenixd;
use octroi_lightning::{
    Invoice, InvoiceRequest, InvoiceState, LightningNode, NodeError, Outgoing, Password, PayError,
    Settlement, Settlements, bolt11,
};
use octroi_testkit::node_apis::nwc::{Connection, Terms};
use octroi_testkit::node_apis::{self, NodeApi};
use octroi_testkit::nodes::{Pair, StoreDir};
use octroi_testkit::wallet_api::{self, WalletApi};

const PATIENCE: Duration = Duration::from_secs(60);

fn asking(msat: i64) -> InvoiceRequest {
    InvoiceRequest {
        amount: Msat::new(msat),
        description: "a call".to_owned(),
        expiry: Duration::from_secs(600),
        preimage: None,
    }
}

async fn pair() -> Pair {
    Pair::start(StoreDir::temporary().unwrap()).await.unwrap()
}

async fn next(node: &dyn LightningNode, after: Option<&str>) -> Settlement {
    tokio::time::timeout(PATIENCE, node.next_settlement(after))
        .await
        .expect("money should have arrived")
        .unwrap()
}

/// `payee` keeps the contract of receiving, `payer` that of paying; they have a channel.
async fn contract(payee: &dyn LightningNode, payer: &dyn LightningNode) {
    amounts_are_exact_or_rounded_up(payee).await;
    let paid = each_payment_is_one_settlement(payee, payer).await;
    what_must_be_refused_is(payee, payer, &paid).await;
    both_say_who_they_are(&[payee, payer]).await;
}

/// What the invoice says is what is reported.
async fn amounts_are_exact_or_rounded_up(payee: &dyn LightningNode) {
    for msat in [1_000, 1_700, 1_001, 250_000] {
        let invoice = payee.create_invoice(asking(msat)).await.unwrap();
        let exact = payee.capabilities().msat_invoices;
        let expected =
            if exact { Msat::new(msat) } else { Msat::from_sat(Msat::new(msat).ceil_to_sat()).unwrap() };
        assert_eq!(invoice.amount, expected);
        let decoded = bolt11::decode(&invoice.bolt11).unwrap();
        assert_eq!((decoded.amount, decoded.payment_hash), (Some(expected), invoice.payment_hash));
        assert_eq!((decoded.expires_at, decoded.network), (invoice.expires_at, "regtest"));
        assert_eq!(decoded.description.as_deref(), Some("a call"));
    }
    let chosen = Preimage::from_bytes([7; 32]);
    let request = InvoiceRequest { preimage: Some(chosen), ..asking(1_000) };
    if !payee.capabilities().chosen_preimage {
        assert!(matches!(payee.create_invoice(request).await, Err(NodeError::Unsupported(_))));
    }
}

/// Two payments are two settlements, each once; what is not acknowledged stays.
async fn each_payment_is_one_settlement(
    payee: &dyn LightningNode,
    payer: &dyn LightningNode,
) -> Vec<Invoice> {
    let mut paid = Vec::new();
    for _ in 0..2 {
        let invoice = payee.create_invoice(asking(3_000)).await.unwrap();
        assert_eq!(payee.lookup(&invoice.payment_hash).await.unwrap(), InvoiceState::Open);
        let payment = payer.pay(&invoice.bolt11, Msat::new(10_000), PATIENCE).await.unwrap();
        assert_eq!(payment.preimage.payment_hash(), invoice.payment_hash);
        assert_eq!((payment.amount, payment.fee), (invoice.amount, Msat::ZERO));
        assert_eq!(payer.outgoing(&invoice.payment_hash).await.unwrap(), Outgoing::Paid(payment));
        let state = payee.lookup(&invoice.payment_hash).await.unwrap();
        assert!(
            matches!(state, InvoiceState::Settled { amount, .. } if amount == invoice.amount),
            "{state:?}"
        );
        paid.push(invoice);
    }
    let first = next(payee, None).await;
    assert_eq!(next(payee, None).await, first);
    let second = next(payee, Some(&first.cursor)).await;
    let mut hashes = [first.payment_hash, second.payment_hash];
    if !matches!(payee.capabilities().settlements, Settlements::Stream | Settlements::ToldAndListed) {
        // Of two that came between two questions either may be found first.
        hashes.sort_by_key(|hash| paid.iter().position(|invoice| invoice.payment_hash == *hash));
    }
    assert_eq!(hashes, [paid[0].payment_hash, paid[1].payment_hash]);
    assert_eq!((first.amount, second.amount), (paid[0].amount, paid[1].amount));
    payee.acknowledge(&first).await.unwrap();
    payee.acknowledge(&first).await.unwrap();
    assert_eq!(next(payee, None).await, second);
    payee.acknowledge(&second).await.unwrap();
    let more =
        tokio::time::timeout(Duration::from_millis(10), payee.next_settlement(Some(&second.cursor))).await;
    assert!(more.is_err(), "nothing is left: {more:?}");
    paid
}

/// With the reason that tells the caller what to do.
async fn what_must_be_refused_is(payee: &dyn LightningNode, payer: &dyn LightningNode, paid: &[Invoice]) {
    let again = payer.pay(&paid[0].bolt11, Msat::new(10_000), PATIENCE).await;
    assert_eq!(again, Err(PayError::AlreadyPaid));
    let huge = payee.create_invoice(asking(2_000_000_000)).await.unwrap();
    assert_eq!(payer.pay(&huge.bolt11, Msat::new(10_000), PATIENCE).await, Err(PayError::NoRoute));
    let junk = payer.pay("lnbcrt1junk", Msat::ZERO, PATIENCE).await;
    assert!(matches!(junk, Err(PayError::InvalidInvoice(_))));
    assert!(matches!(payee.create_invoice(asking(0)).await, Err(NodeError::Refused(_))));
    let nobodys = PaymentHash::from_bytes([0; 32]);
    assert_eq!(payee.lookup(&nobodys).await.unwrap(), InvoiceState::Unknown);
    assert_eq!(payer.outgoing(&nobodys).await.unwrap(), Outgoing::Unknown);
    payee.forget(&nobodys).await.unwrap();
    payee.forget(&huge.payment_hash).await.unwrap();
    payee.forget(&paid[0].payment_hash).await.unwrap();
    let state = payee.lookup(&paid[0].payment_hash).await.unwrap();
    let gone = payee.capabilities().custodial && state == InvoiceState::Unknown;
    assert!(
        matches!(state, InvoiceState::Settled { .. }) || gone,
        "a paid invoice is not forgotten: {state:?}"
    );
}

/// And what they can carry, as far as they say that they can say it.
async fn both_say_who_they_are(nodes: &[&dyn LightningNode]) {
    for node in nodes {
        let can = node.capabilities();
        let info = node.info().await.unwrap();
        if !can.custodial {
            assert_eq!((info.network.as_str(), info.channels, info.usable_channels), ("regtest", 1, 1));
            assert_eq!((info.id.len(), info.synced), (66, true));
        }
        match node.balances().await {
            Ok(balances) => {
                assert!(can.balances && balances.outbound > Msat::ZERO);
                assert_eq!(balances.inbound.is_some_and(|inbound| inbound > Msat::ZERO), can.inbound);
            }
            Err(error) => assert!(!can.balances && matches!(error, NodeError::Unsupported(_))),
        }
        let channels = node.channels().await.unwrap();
        assert_eq!(channels.len(), usize::from(can.channels));
        for channel in channels {
            assert_eq!((channel.usable, channel.capacity_sat), (true, 1_000_000));
        }
    }
}

async fn phoenixd(node: Arc<dyn LightningNode>) -> (Phoenixd, WalletApi) {
    let password = Password::new("contract");
    let api = wallet_api::serve(node, &password).await.unwrap();
    (Phoenixd::new(&api.url.parse().unwrap(), password).unwrap(), api)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_embedded_node_keeps_the_contract() {
    let pair = pair().await;
    contract(&*pair.payee, &*pair.payer.node).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_phoenixd_client_keeps_the_contract() {
    let pair = pair().await;
    let (payee, _payee_api) = phoenixd(pair.payee.clone()).await;
    let (payer, _payer_api) = phoenixd(pair.payer.node.clone()).await;
    contract(&payee, &payer).await;
}

/// What a client is made from. It stays when the API goes.
struct Door {
    url: String,
    certificate: String,
    credential: String,
}

impl Door {
    fn of(api: &NodeApi) -> Self {
        let (url, certificate) = (api.url.clone(), api.certificate.clone());
        Self { url, certificate, credential: api.credential.clone() }
    }

    fn at(&self) -> url::Url {
        self.url.parse().unwrap()
    }

    fn secret(&self) -> Password {
        Password::new(self.credential.clone())
    }

    fn lnd(&self) -> Lnd {
        Lnd::new(&self.at(), &self.secret(), Some(&self.certificate)).unwrap()
    }

    fn clnrest(&self) -> Cln {
        Cln::over_rest(&self.at(), &self.secret(), Some(&self.certificate)).unwrap()
    }

    fn lnbits(&self) -> Lnbits {
        Lnbits::new(&self.at(), &self.secret()).unwrap()
    }

    fn nwc(&self, file: std::path::PathBuf) -> Nwc {
        Nwc::new(&self.secret(), file).unwrap()
    }
}

async fn lnd(node: Arc<dyn LightningNode>) -> (Lnd, NodeApi) {
    let api = node_apis::lnd(node).await.unwrap();
    (Door::of(&api).lnd(), api)
}

async fn clnrest(node: Arc<dyn LightningNode>) -> (Cln, NodeApi) {
    let api = node_apis::clnrest(node).await.unwrap();
    (Door::of(&api).clnrest(), api)
}

async fn lnbits(node: Arc<dyn LightningNode>) -> (Lnbits, NodeApi) {
    let api = node_apis::lnbits(node).await.unwrap();
    (Door::of(&api).lnbits(), api)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_lnd_client_keeps_the_contract() {
    let pair = pair().await;
    let (payee, _payee_api) = lnd(pair.payee.clone()).await;
    let (payer, _payer_api) = lnd(pair.payer.node.clone()).await;
    contract(&payee, &payer).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_core_lightning_client_keeps_the_contract_over_rest_and_over_the_socket() {
    let pair = pair().await;
    let (payee, _payee_api) = clnrest(pair.payee.clone()).await;
    let path = pair.payer.store.path().join("lightning-rpc");
    let _payer_api = node_apis::cln_socket(pair.payer.node.clone(), path.clone()).await.unwrap();
    contract(&payee, &Cln::over_socket(path)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_lnbits_client_keeps_the_contract() {
    let pair = pair().await;
    let (payee, _payee_api) = lnbits(pair.payee.clone()).await;
    let (payer, _payer_api) = lnbits(pair.payer.node.clone()).await;
    contract(&payee, &payer).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_lightning_address_keeps_the_contract_of_receiving() {
    let pair = pair().await;
    let api = node_apis::lnurl(pair.payee.clone()).await.unwrap();
    let payee = Lnurl::new(&api.url, pair.payer.store.path().join("open.jsonl")).unwrap();
    contract(&payee, &*pair.payer.node).await;
}

fn nwc_client(api: &NodeApi, file: std::path::PathBuf) -> Nwc {
    Door::of(api).nwc(file)
}

async fn wallet_over_nostr(node: Arc<dyn LightningNode>, terms: &Terms) -> Connection {
    node_apis::nwc::connect(node, terms).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn nostr_wallet_connect_keeps_the_contract_in_both_encryptions() {
    let pair = pair().await;
    let dir = pair.payer.store.path().to_owned();
    let payee_wallet = wallet_over_nostr(pair.payee.clone(), &Terms { relays: 2, ..Terms::default() }).await;
    let older = Terms { nip44: false, notifies: false, ..Terms::default() };
    let payer_wallet = wallet_over_nostr(pair.payer.node.clone(), &older).await;
    let payee = nwc_client(&payee_wallet.api, dir.join("payee.jsonl"));
    contract(&payee, &nwc_client(&payer_wallet.api, dir.join("payer.jsonl"))).await;
}
