//! What an adapter makes of a node's API that fails: cut connections, garbage, slowness, strangers.

use octroi_testkit::node_apis::{Fault, Faults};

use super::*;

/// A node's API, whichever.
pub(super) enum Api {
    Node(NodeApi),
    Wallet(WalletApi),
}

impl Api {
    pub(super) fn faults(&self) -> &Faults {
        match self {
            Self::Node(api) => &api.faults,
            Self::Wallet(api) => &api.faults,
        }
    }

    pub(super) fn arrives(&self, hash: PaymentHash, amount: Msat) {
        match self {
            Self::Node(api) => api.arrives(hash, amount),
            Self::Wallet(api) => api.arrives(hash, amount),
        }
    }

    /// The node, if its settlements have numbers, or are found in a list of them.
    pub(super) fn that_numbers(&self) -> Option<&NodeApi> {
        match self {
            Self::Node(api) if !api.credential.starts_with("nostr") && !api.url.contains("lnurlp") => {
                Some(api)
            }
            _ => None,
        }
    }

    fn credential(&self) -> &str {
        match self {
            Self::Node(api) => &api.credential,
            Self::Wallet(_) => PASSWORD,
        }
    }
}

const PASSWORD: &str = "contract";

/// Every adapter that is asked over a connection, in front of the payee; a new client is a gate that was started again.
type Client = Box<dyn Fn() -> Box<dyn LightningNode> + Send + Sync>;

pub(super) struct Adapter {
    pub(super) name: &'static str,
    pub(super) api: Api,
    pub(super) client: Client,
}

pub(super) const ADAPTERS: usize = 7;

fn adapter_of(
    name: &'static str,
    api: NodeApi,
    client: impl Fn(&Door) -> Box<dyn LightningNode> + Send + Sync + 'static,
) -> Adapter {
    let door = Door::of(&api);
    Adapter { name, api: Api::Node(api), client: Box::new(move || client(&door)) }
}

/// One at a time: each is the one consumer of the node's settlements.
pub(super) async fn adapter(number: usize, pair: &Pair) -> Adapter {
    let node: Arc<dyn LightningNode> = pair.payee.clone();
    let dir = pair.payer.store.path().to_owned();
    match number {
        0 => adapter_of("lnd", node_apis::lnd(node).await.unwrap(), |door| Box::new(door.lnd())),
        1 => adapter_of("clnrest", node_apis::clnrest(node).await.unwrap(), |door| Box::new(door.clnrest())),
        2 => {
            let api = node_apis::cln_socket(node, dir.join("faulty-rpc")).await.unwrap();
            adapter_of("cln socket", api, |door| Box::new(Cln::over_socket(&door.url)))
        }
        3 => adapter_of("lnbits", node_apis::lnbits(node).await.unwrap(), |door| Box::new(door.lnbits())),
        4 => {
            let api = wallet_over_nostr(node, &Terms::default()).await.into_api();
            adapter_of("nwc", api, move |door| Box::new(door.nwc(dir.join("nostr.jsonl"))))
        }
        5 => {
            let api = wallet_api::serve(node, &Password::new(PASSWORD)).await.unwrap();
            let url: url::Url = api.url.parse().unwrap();
            let client = move || Box::new(Phoenixd::new(&url, Password::new(PASSWORD)).unwrap()) as _;
            Adapter { name: "phoenixd", api: Api::Wallet(api), client: Box::new(client) }
        }
        _ => {
            let api = node_apis::lnurl(node).await.unwrap();
            adapter_of("lnurl", api, move |door| {
                Box::new(Lnurl::new(&door.url, dir.join("faulty.jsonl")).unwrap())
            })
        }
    }
}

async fn sell(payee: &dyn LightningNode, pair: &Pair) -> PaymentHash {
    // As callers do it: what went wrong before may still cut this one's connection.
    let made = async {
        loop {
            if let Ok(invoice) = payee.create_invoice(asking(2_000)).await {
                return invoice;
            }
            tokio::task::yield_now().await;
        }
    };
    let invoice = tokio::time::timeout(PATIENCE, made).await.expect("an invoice should have been made");
    pair.payer.node.pay(&invoice.bolt11, Msat::ZERO, PATIENCE).await.unwrap();
    invoice.payment_hash
}

/// As the gate does it: what failed is asked again.
pub(super) async fn persistent_next(node: &dyn LightningNode, after: Option<&str>) -> Settlement {
    let asked = async {
        loop {
            if let Ok(settlement) = node.next_settlement(after).await {
                return settlement;
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, asked).await.expect("money should have arrived")
}

#[tokio::test(flavor = "multi_thread")]
async fn settlements_survive_cut_streams_garbage_and_restarts_each_once() {
    let pair = pair().await;
    for number in 0..ADAPTERS {
        let Adapter { name, api, client } = adapter(number, &pair).await;
        let mut seen = Vec::new();
        let mut cursor: Option<String> = None;
        let node = client();
        for round in 0..3 {
            let hash = sell(&*node, &pair).await;
            match round {
                0 => {}
                // The connection is cut while it is waited for news, then garbage comes.
                1 => {
                    api.faults().cut_streams();
                    api.faults().plan(Fault::Answer(502, "<html>Bad Gateway</html>".to_owned()));
                    api.faults().plan(Fault::Answer(200, "{\"result\":".to_owned()));
                    api.faults().plan(Fault::CutOff);
                }
                _ => api.faults().plan(Fault::Answer(200, "[]".to_owned())),
            }
            let settlement = persistent_next(&*node, cursor.as_deref()).await;
            assert_eq!(settlement.payment_hash, hash, "{name} {round}");
            node.acknowledge(&settlement).await.unwrap();
            cursor = Some(settlement.cursor);
            seen.push(hash);
            api.faults().clear();
        }
        drop(node);

        // Paid while the gate was down; and the one before was in the ledger, but perhaps never acknowledged.
        let before = client().create_invoice(asking(5_000)).await.unwrap();
        pair.payer.node.pay(&before.bolt11, Msat::ZERO, PATIENCE).await.unwrap();
        let node = client();
        let mut found = None;
        while found.is_none() {
            let settlement = persistent_next(&*node, cursor.as_deref()).await;
            node.acknowledge(&settlement).await.unwrap();
            if settlement.payment_hash == before.payment_hash {
                assert_eq!(settlement.amount, Msat::new(5_000), "{name}");
                found = Some(settlement);
            } else {
                // At least once: what the ledger knows may come again, and nothing else.
                assert!(seen.contains(&settlement.payment_hash), "{name}");
                cursor = Some(settlement.cursor);
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn errors_say_whose_fault_it_is_and_never_the_credential() {
    let pair = pair().await;
    for number in 0..ADAPTERS {
        let Adapter { name, api, client } = adapter(number, &pair).await;
        let node = client();
        let over_http = !["cln socket", "nwc"].contains(&name);
        if over_http {
            api.faults().plan(Fault::Answer(503, String::new()));
            let down = node.create_invoice(asking(1_000)).await;
            assert!(matches!(down, Err(NodeError::Unreachable(_))), "{name}: {down:?}");
            api.faults().plan(Fault::Answer(302, String::new()));
            let redirected = node.create_invoice(asking(1_000)).await;
            assert!(matches!(redirected, Err(NodeError::Unreachable(_))), "{name}: {redirected:?}");
        }
        for garbage in ["", "<html>", "{}", "[]", "null", "\"x\"", "{\"result\":1}"] {
            api.faults().plan(Fault::Answer(200, garbage.to_owned()));
            let made = node.create_invoice(asking(1_000)).await;
            assert!(matches!(made, Err(NodeError::BadReply(_))), "{name} {garbage:?}: {made:?}");
        }
        api.faults().plan(Fault::CutOff);
        let cut = node.create_invoice(asking(1_000)).await;
        assert!(matches!(cut, Err(NodeError::Timeout)), "{name}: {cut:?}");
        api.faults().plan(Fault::Slow(Duration::from_millis(50)));
        node.create_invoice(asking(1_000)).await.unwrap();
        assert!(!format!("{cut:?}").contains(api.credential()) || api.credential().is_empty());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_credential_is_refused_and_a_wrong_certificate_is_not_spoken_to() {
    let pair = pair().await;
    let wrong = Password::new("ab".repeat(16));
    let lnd = node_apis::lnd(pair.payee.clone()).await.unwrap();
    let cln = node_apis::clnrest(pair.payer.node.clone()).await.unwrap();
    let url = |api: &NodeApi| api.url.parse().unwrap();
    let custodian = node_apis::lnbits(pair.payee.clone()).await.unwrap();
    let strangers: [Box<dyn LightningNode>; 3] = [
        Box::new(Lnbits::new(&url(&custodian), &wrong).unwrap()),
        Box::new(Lnd::new(&url(&lnd), &wrong, Some(&lnd.certificate)).unwrap()),
        Box::new(Cln::over_rest(&url(&cln), &wrong, Some(&cln.certificate)).unwrap()),
    ];
    for node in strangers {
        let refused = node.create_invoice(asking(1_000)).await;
        assert!(
            matches!(&refused, Err(NodeError::Refused(words)) if words.contains("does not allow")),
            "{refused:?}"
        );
    }
    let good = Password::new(lnd.credential.clone());
    let imposters: [Box<dyn LightningNode>; 3] = [
        Box::new(Lnd::new(&url(&lnd), &good, Some(&cln.certificate)).unwrap()),
        Box::new(Lnd::new(&url(&lnd), &good, None).unwrap()),
        Box::new(Cln::over_rest(&url(&cln), &good, Some(&lnd.certificate)).unwrap()),
    ];
    for node in imposters {
        let stranger = node.create_invoice(asking(1_000)).await;
        assert!(
            matches!(&stranger, Err(NodeError::Unreachable(words)) if words.contains("TLS certificate")),
            "{stranger:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_comes_too_late_or_is_too_much_is_a_settlement_all_the_same() {
    let pair = pair().await;
    for number in 0..ADAPTERS {
        let Adapter { name, api, client } = adapter(number, &pair).await;
        let node = client();
        let request = InvoiceRequest { expiry: Duration::from_secs(3), ..asking(2_000) };
        let invoice = node.create_invoice(request).await.unwrap();
        // An address chooses how long its invoices live, and does not say what came for them.
        let chooses = name == "lnurl";
        let expired = async {
            while !chooses && node.lookup(&invoice.payment_hash).await != Ok(InvoiceState::Expired) {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        };
        tokio::time::timeout(PATIENCE, expired).await.expect(name);
        // As the gate does it with what has expired.
        node.forget(&invoice.payment_hash).await.unwrap();
        api.arrives(invoice.payment_hash, Msat::new(5_000));
        let settlement = persistent_next(&*node, None).await;
        let amount = if chooses { invoice.amount } else { Msat::new(5_000) };
        assert_eq!((settlement.payment_hash, settlement.amount), (invoice.payment_hash, amount), "{name}");
        node.acknowledge(&settlement).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_is_gone_is_said_to_be_gone() {
    let pair = pair().await;
    for number in 0..ADAPTERS {
        let Adapter { name, api, client } = adapter(number, &pair).await;
        let (known, fresh) = (client(), client());
        known.create_invoice(asking(1_000)).await.unwrap();
        drop(api);
        for node in [known, fresh] {
            let gone = async {
                // A connection that was open may break in the middle of the first question.
                while !matches!(node.create_invoice(asking(1_000)).await, Err(NodeError::Unreachable(_))) {
                    tokio::task::yield_now().await;
                }
            };
            tokio::time::timeout(PATIENCE, gone).await.expect(name);
        }
    }
}
