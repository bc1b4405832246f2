//! `octroi check --ask`: what the node says, before the first caller hears it.

use std::process::Stdio;

use octroi_lightning::Password;
use octroi_testkit::node_apis::{self, NodeApi};
use octroi_testkit::nodes::{Pair, StoreDir};
use octroi_testkit::wallet_api;

use crate::harness::Launch;
use crate::harness::money::free_port;
use crate::money::backends::{PASSWORD, lend};

/// What the check ends with when nothing could be sold.
const OF_NO_USE: i32 = 1;

fn config(network: &str, section: &str) -> String {
    format!(
        "listen = \"127.0.0.1:0\"\n[lightning]\nnetwork = \"{network}\"\n{section}\n[mcp_server]\n\
         upstream = \"http://127.0.0.1:9/mcp\"\n[[mcp_server.tools]]\nname = \"data_query\"\nprice = {{ sats = 2 }}\n"
    )
}

/// How it ended, and all that it printed, as a table and as JSON.
async fn asked(config: &str) -> (i32, String) {
    let launch = Launch::new(config, &[]);
    let mut codes = Vec::new();
    let mut said = String::new();
    for form in [&["check", "--ask"][..], &["check", "--ask", "--json"]] {
        let mut program = launch.octroi(&form[..2]);
        program.args(&form[2..]).stdin(Stdio::null());
        let output = tokio::task::spawn_blocking(move || program.output()).await.unwrap().unwrap();
        codes.push(output.status.code().unwrap());
        said.push_str(&String::from_utf8_lossy(&output.stdout));
        said.push_str(&String::from_utf8_lossy(&output.stderr));
    }
    assert_eq!(codes[0], codes[1], "{said}");
    (codes[0], said)
}

/// Asks, and compares: the code, words that must stand there twice, and secrets that must not.
async fn says(config: &str, code: i32, words: &str, secrets: &[&str]) -> String {
    let (ended, said) = asked(config).await;
    assert_eq!(ended, code, "{words}: {said}");
    assert!(said.matches(words).count() >= 2, "{words}: {said}");
    for secret in secrets.iter().filter(|secret| !secret.is_empty()) {
        assert!(!said.contains(*secret), "a secret is printed: {said}");
    }
    said
}

#[tokio::test(flavor = "multi_thread")]
async fn every_node_that_can_sell_is_said_to_be_fit_with_how_it_settles() {
    let pair = Pair::start(StoreDir::temporary().unwrap()).await.unwrap();
    for (kind, settles) in [
        ("lnd", "settlements as a stream, taken up again after a cut"),
        ("cln", "settlements as a stream, taken up again after a cut"),
        ("cln socket", "can spend the node's money"),
        ("phoenixd", "settlements told at once, and from a list after a cut"),
        ("lnbits", "settlements from a list that is asked again and again"),
        ("lnurl", "settlements by asking about each open invoice"),
        ("nwc", "settlements told at once, and by asking about each open invoice after a cut"),
    ] {
        let dir = StoreDir::temporary().unwrap();
        let lent = lend(kind, pair.payee.clone(), dir.path()).await;
        let section = format!("backend = \"{}\"\n{}", kind.split(' ').next().unwrap(), lent.section);
        let said = says(&config("regtest", &section), 0, "answers", &[&lent.secret]).await;
        assert!(said.contains(settles), "{kind}: {said}");
        drop(lent);
        says(&config("regtest", &section), OF_NO_USE, "the Lightning node does not answer", &[]).await;
    }
}

fn over_tls(kind: &str, credential: &str, api: &NodeApi, certificate: &str, dir: &StoreDir) -> String {
    let file = dir.path().join(format!("{kind}.pem"));
    std::fs::write(&file, certificate).unwrap();
    let name = if kind == "lnd" { "macaroon" } else { "rune" };
    format!(
        "backend = \"{kind}\"\nurl = \"{}\"\n{name} = \"{credential}\"\ntls_cert = \"{}\"\n",
        api.url,
        file.display()
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_sell_is_said_to_be_unfit_and_why() {
    let pair = Pair::start(StoreDir::temporary().unwrap()).await.unwrap();
    let dir = StoreDir::temporary().unwrap();
    let lnd = node_apis::lnd(pair.payee.clone()).await.unwrap();
    let cln = node_apis::clnrest(pair.payer.node.clone()).await.unwrap();
    for (kind, api, other) in [("lnd", &lnd, &cln), ("cln", &cln, &lnd)] {
        let section =
            |credential: &str, pem: &str| config("regtest", &over_tls(kind, credential, api, pem, &dir));
        let (good, weak) = (api.credential.as_str(), api.weak.as_str());
        let stranger = if kind == "lnd" { "ab".repeat(24) } else { "QUJD".repeat(24) };
        says(&section(weak, &api.certificate), OF_NO_USE, "does not allow to sell", &[weak]).await;
        // As the node sees it, too, and not only as it says of itself.
        says(&section(weak, &api.certificate), OF_NO_USE, "does not allow this", &[weak]).await;
        says(&section(&stranger, &api.certificate), OF_NO_USE, "does not allow this", &[&stranger]).await;
        let swapped = "its TLS certificate is not the one that is trusted";
        says(&section(good, &other.certificate), OF_NO_USE, swapped, &[good]).await;
        let signet = config("signet", &over_tls(kind, good, api, &api.certificate, &dir));
        says(&signet, OF_NO_USE, "is on regtest, but [lightning] network is signet", &[good]).await;
    }
    let nobody = format!("backend = \"lnd\"\nurl = \"https://127.0.0.1:{}\"\n", free_port());
    let nobody = format!("{nobody}macaroon = \"{}\"\n", lnd.weak);
    says(&config("regtest", &nobody), OF_NO_USE, "does not answer: no connection", &[&lnd.weak]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_limited_password_of_phoenixd_is_enough_and_the_full_one_is_too_much() {
    let pair = Pair::start(StoreDir::temporary().unwrap()).await.unwrap();
    let password = Password::new(PASSWORD);
    let api = wallet_api::serve(pair.payee.clone(), &password).await.unwrap();
    let limited = wallet_api::limited_password(&password);
    let section = |password: &str| {
        let section = format!("backend = \"phoenixd\"\nurl = \"{}\"\npassword = \"{password}\"\n", api.url);
        config("regtest", &section)
    };
    let said = says(&section(limited.reveal()), 0, "answers", &[limited.reveal(), PASSWORD]).await;
    assert!(!said.contains("can spend"), "{said}");
    says(&section(PASSWORD), 0, "phoenixd's password can spend the node's money", &[PASSWORD]).await;
    let wrong = "a-password-that-is-wrong";
    says(&section(wrong), OF_NO_USE, "the credential is wrong", &[wrong]).await;
}
