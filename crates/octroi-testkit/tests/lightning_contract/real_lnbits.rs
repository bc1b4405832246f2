//! LNbits itself, as a program: one in front of the payee's node by phoenixd's API, one in front of the payer's by Nostr
//! Wallet Connect. So it is also a foreign client of both of the testkit's servers.

use octroi_lightning::{Power, Powers};
use octroi_testkit::real_lnbits::RealLnbits;

use super::*;

fn client(lnbits: &RealLnbits, key: &str) -> Lnbits {
    Lnbits::new(&lnbits.url.parse().unwrap(), &Password::new(key)).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn lnbits_itself_keeps_the_contract() {
    let pair = pair().await;
    let folder = |name: &str| pair.payer.store.path().join(name);
    let phoenixd = wallet_api::serve(pair.payee.clone(), &Password::new("contract")).await.unwrap();
    let nostr = wallet_over_nostr(pair.payer.node.clone(), &Terms::default()).await;
    let (sells, pays) = (folder("sells"), folder("pays"));
    let over_phoenixd = [
        ("LNBITS_BACKEND_WALLET_CLASS", "PhoenixdWallet"),
        ("PHOENIXD_API_ENDPOINT", &phoenixd.url),
        ("PHOENIXD_API_PASSWORD", "contract"),
    ];
    let over_nostr =
        [("LNBITS_BACKEND_WALLET_CLASS", "NWCWallet"), ("NWC_PAIRING_URL", nostr.api.credential.as_str())];
    let python = std::env::var_os("OCTROI_TEST_LNBITS");
    let python = python.expect("OCTROI_TEST_LNBITS is not set: run `cargo xtask test`");
    let python = std::path::Path::new(&python);
    let (sells, pays) = tokio::join!(
        RealLnbits::start(python, &sells, &over_phoenixd),
        RealLnbits::start(python, &pays, &over_nostr)
    );
    let (sells, pays) = (sells.unwrap(), pays.unwrap());

    // The payer's wallet is empty at first: the payee's node fills it.
    let (payee, payer) = (client(&sells, &sells.wallet.inkey), client(&pays, &pays.wallet.adminkey));
    let filled = payer.create_invoice(asking(50_000_000)).await.unwrap();
    pair.payee.pay(&filled.bolt11, Msat::new(10_000), PATIENCE).await.unwrap();
    assert_eq!(next(&payer, None).await.payment_hash, filled.payment_hash);

    contract(&payee, &payer).await;

    let least = Powers { receive: Power::Allowed, look: Power::Unknown, spend: Power::Refused };
    assert_eq!(payee.powers().await, Ok(least));
    assert_eq!(payer.powers().await, Ok(Powers { spend: Power::Allowed, ..least }));
    let stranger = client(&sells, &"ab".repeat(16));
    assert!(matches!(stranger.create_invoice(asking(1_000)).await, Err(NodeError::Refused(_))));
    assert!(matches!(
        payee.pay(&filled.bolt11, Msat::ZERO, PATIENCE).await,
        Err(PayError::Node(NodeError::Refused(_)))
    ));
}
