//! A custodian knows every preimage before anything is paid, and real LNbits shows it to whoever has the invoice key.

use octroi_lightning::bolt11;
use octroi_testkit::nodes::StoreDir;
use octroi_testkit::real_lnbits::RealLnbits;
use octroi_testkit::upstream::sample::Sample;
use serde_json::{Value, json};

use crate::harness::{Caller, Gate, peers};

#[tokio::test(flavor = "multi_thread")]
async fn a_preimage_that_the_custodian_gave_away_buys_nothing() {
    let folder = StoreDir::temporary().unwrap();
    // It makes its own invoices here, on no network: nobody could ever pay one.
    let fake = [("LNBITS_BACKEND_WALLET_CLASS", "FakeWallet"), ("FAKE_WALLET_SECRET", "of a test")];
    let lnbits = RealLnbits::start(&peers::place("OCTROI_TEST_LNBITS"), folder.path(), &fake).await.unwrap();
    let sample = Sample::start().await.unwrap();
    let (url, key) = (&lnbits.url, &lnbits.wallet.inkey);
    let gate = Gate::serve(&format!(
        "listen = \"127.0.0.1:0\"\n[lightning]\nbackend = \"lnbits\"\nurl = \"{url}\"\nkey = \"{key}\"\n\
         [mcp_server]\nupstream = \"{}\"\n[[mcp_server.tools]]\nname = \"data_query\"\nprice = {{ sats = 2 }}\n",
        sample.url()
    ))
    .await;
    let caller = Caller::of(&gate);
    let query = || caller.call("data_query", json!({"query": "carts"}));
    let challenge = query().send().await.challenge();

    let hash = bolt11::decode(&challenge.invoice).unwrap().payment_hash;
    let asked = reqwest::Client::new().get(format!("{url}/api/v1/payments/{hash}")).header("x-api-key", key);
    let record: Value = asked.send().await.unwrap().json().await.unwrap();
    let preimage = record["details"]["preimage"].as_str().unwrap();
    assert_eq!(record["paid"], false, "{record}");
    let preimage: octroi_l402::Preimage = preimage.parse().unwrap();
    assert_eq!(preimage.payment_hash(), hash, "it is the real one");

    let credential = format!("{}:{}", challenge.macaroon, preimage.to_hex());
    query().paid(&credential).send().await.refused(402, "PAYMENT_UNVERIFIED");
    assert_eq!(sample.calls_of("data_query"), 0);
    assert_eq!(gate.ledger().await["received_msat"], 0);
}
