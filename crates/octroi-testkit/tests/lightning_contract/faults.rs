//! What an adapter makes of a node's API that fails: cut connections, garbage, slowness, strangers.

use octroi_testkit::node_apis::Fault;

use super::*;

/// Every adapter that is asked over a connection, in front of the payee; a new client is a gate that was started again.
type Client = Box<dyn Fn(&NodeApi) -> Box<dyn LightningNode>>;

struct Adapter {
    name: &'static str,
    api: NodeApi,
    client: Client,
}

/// One at a time: each is the one consumer of the node's settlements.
async fn adapter(number: usize, pair: &Pair) -> Adapter {
    let node: Arc<dyn LightningNode> = pair.payee.clone();
    let dir = pair.payer.store.path().to_owned();
    match number {
        0 => Adapter {
            name: "lnd",
            api: node_apis::lnd(node).await.unwrap(),
            client: Box::new(|api| Box::new(lnd_client(api))),
        },
        1 => Adapter {
            name: "clnrest",
            api: node_apis::clnrest(node).await.unwrap(),
            client: Box::new(|api| Box::new(clnrest_client(api))),
        },
        2 => Adapter {
            name: "cln socket",
            api: node_apis::cln_socket(node, dir.join("faulty-rpc")).await.unwrap(),
            client: Box::new(|api| Box::new(Cln::over_socket(&api.url))),
        },
        3 => Adapter {
            name: "lnbits",
            api: node_apis::lnbits(node).await.unwrap(),
            client: Box::new(|api| Box::new(lnbits_client(api))),
        },
        _ => Adapter {
            name: "lnurl",
            api: node_apis::lnurl(node).await.unwrap(),
            client: Box::new(move |api| Box::new(Lnurl::new(&api.url, dir.join("faulty.jsonl")).unwrap())),
        },
    }
}

async fn sell(payee: &dyn LightningNode, pair: &Pair) -> PaymentHash {
    let invoice = payee.create_invoice(asking(2_000)).await.unwrap();
    pair.payer.node.pay(&invoice.bolt11, Msat::ZERO, PATIENCE).await.unwrap();
    invoice.payment_hash
}

/// As the gate does it: what failed is asked again.
async fn persistent_next(node: &dyn LightningNode, after: Option<&str>) -> Settlement {
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
    for number in 0..5 {
        let Adapter { name, api, client } = adapter(number, &pair).await;
        let mut seen = Vec::new();
        let mut cursor: Option<String> = None;
        let node = client(&api);
        for round in 0..3 {
            let hash = sell(&*node, &pair).await;
            match round {
                0 => {}
                // The connection is cut while it is waited for news, then garbage comes.
                1 => {
                    api.faults.cut_streams();
                    api.faults.plan(Fault::Answer(502, "<html>Bad Gateway</html>".to_owned()));
                    api.faults.plan(Fault::Answer(200, "{\"result\":".to_owned()));
                    api.faults.plan(Fault::CutOff);
                }
                _ => api.faults.plan(Fault::Answer(200, "[]".to_owned())),
            }
            let settlement = persistent_next(&*node, cursor.as_deref()).await;
            assert_eq!(settlement.payment_hash, hash, "{name} {round}");
            node.acknowledge(&settlement).await.unwrap();
            cursor = Some(settlement.cursor);
            seen.push(hash);
            api.faults.clear();
        }
        drop(node);

        // Paid while the gate was down; and the one before was in the ledger, but perhaps never acknowledged.
        let before = client(&api).create_invoice(asking(5_000)).await.unwrap();
        pair.payer.node.pay(&before.bolt11, Msat::ZERO, PATIENCE).await.unwrap();
        let node = client(&api);
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
    for number in 0..5 {
        let Adapter { name, api, client } = adapter(number, &pair).await;
        let node = client(&api);
        let socket = name == "cln socket";
        if !socket {
            api.faults.plan(Fault::Answer(503, String::new()));
            let down = node.create_invoice(asking(1_000)).await;
            assert!(matches!(down, Err(NodeError::Unreachable(_))), "{name}: {down:?}");
            api.faults.plan(Fault::Answer(302, String::new()));
            let redirected = node.create_invoice(asking(1_000)).await;
            assert!(matches!(redirected, Err(NodeError::Unreachable(_))), "{name}: {redirected:?}");
        }
        for garbage in ["", "<html>", "{}", "[]", "null", "\"x\"", "{\"result\":1}"] {
            api.faults.plan(Fault::Answer(200, garbage.to_owned()));
            let made = node.create_invoice(asking(1_000)).await;
            assert!(matches!(made, Err(NodeError::BadReply(_))), "{name} {garbage:?}: {made:?}");
        }
        api.faults.plan(Fault::CutOff);
        let cut = node.create_invoice(asking(1_000)).await;
        assert!(matches!(cut, Err(NodeError::Timeout)), "{name}: {cut:?}");
        api.faults.plan(Fault::Slow(Duration::from_millis(50)));
        node.create_invoice(asking(1_000)).await.unwrap();
        assert!(!format!("{cut:?}").contains(&api.credential) || api.credential.is_empty());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_credential_is_refused_and_a_wrong_certificate_is_not_spoken_to() {
    let pair = pair().await;
    let wrong = Password::new("ab".repeat(16));
    let lnd = node_apis::lnd(pair.payee.clone()).await.unwrap();
    let cln = node_apis::clnrest(pair.payer.node.clone()).await.unwrap();
    let url = |api: &NodeApi| api.url.parse().unwrap();
    let strangers: [Box<dyn LightningNode>; 2] = [
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
        assert!(matches!(node.create_invoice(asking(1_000)).await, Err(NodeError::Unreachable(_))));
    }
}
