//! The nodes a gate can be paid through: what each needs, and what is said of a credential that allows too much.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE;

use super::*;

const KEY: &str = "b889ff5b1513b641e2a139f661a661364979c5beee91842f8f0ef42ab558e9d4";

fn with(backend: &str, lines: &str) -> Result<Config, Mistakes> {
    toml(&format!(
        "[lightning]\nbackend = \"{backend}\"\n{lines}\n[mcp_server]\nupstream = \"http://127.0.0.1:9/mcp\"\n\
         [[mcp_server.tools]]\nname = \"a\"\nprice = {{ sats = 1 }}\n"
    ))
}

fn backend(name: &str, lines: &str) -> LightningBackend {
    with(name, lines).unwrap().lightning.unwrap().backend
}

fn notes(name: &str, lines: &str) -> String {
    with(name, lines).unwrap().notes().join("\n")
}

#[test]
fn every_backend_is_read_with_what_it_needs_alone() {
    let nwc = format!("connection = \"nostr+walletconnect://{KEY}?relay=wss://r.example.com&secret={KEY}\"");
    assert!(
        matches!(backend("phoenixd", "password = \"x\""), LightningBackend::Phoenixd(it) if it.url.port() == Some(9740))
    );
    assert!(
        matches!(backend("lnd", "macaroon = \"c0ffee\""), LightningBackend::Lnd(it) if it.tls_cert.is_none())
    );
    assert!(matches!(backend("cln", "socket = \"/x\""), LightningBackend::Cln(Cln::Socket(_))));
    assert!(matches!(backend("cln", "rune = \"x\""), LightningBackend::Cln(Cln::Rest { .. })));
    assert!(matches!(
        backend("lnbits", "url = \"https://l.example.com\"\nkey = \"x\""),
        LightningBackend::Lnbits(_)
    ));
    assert!(matches!(backend("lnurl", "address = \"a@b.c\""), LightningBackend::Lnurl(_)));
    let LightningBackend::Nwc(read) = backend("nwc", &nwc) else { panic!("another backend") };
    assert!(read.file.ends_with("octroi-nwc.jsonl") && !format!("{read:?}").contains(KEY), "{read:?}");
}

#[test]
fn what_a_backend_needs_is_said_when_it_is_missing() {
    for (name, lines, expected) in [
        ("phoenixd", "", "phoenixd needs `password`"),
        ("lnd", "", "LND needs one of `macaroon` and `macaroon_file`"),
        ("lnd", "macaroon = \"xyz\"", "octroi.toml:3: lightning.macaroon: not hexadecimal"),
        ("cln", "", "Core Lightning needs `socket`, or `rune`"),
        ("cln", "socket = \"/x\"\nrune = \"y\"", "octroi.toml:4: lightning.rune: not used with `socket`"),
        ("lnbits", "key = \"x\"", "LNbits needs `url`"),
        ("lnbits", "url = \"https://a.example.com\"", "LNbits needs `key`"),
        ("lnurl", "", "no `address`"),
        ("lnurl", "address = \"nobody\"", "octroi.toml:3: lightning.address: not a Lightning Address"),
        ("nwc", "", "Nostr Wallet Connect needs `connection`"),
        ("nwc", "address = \"a@b.c\"\nconnection = \"x\"", "octroi.toml:3: lightning.address: "),
    ] {
        let shown = with(name, lines).map(|_| ()).unwrap_err().to_string();
        assert!(shown.contains(expected), "{name} {lines}: {shown}");
    }
}

#[test]
fn a_connection_that_is_none_is_not_repeated() {
    let text = format!("connection = \"nostr+walletconnect://{KEY}?secret={KEY}\"");
    assert_eq!(
        with("nwc", &text).map(|_| ()).unwrap_err().to_string(),
        "octroi.toml:3: lightning.connection: Nostr Wallet Connect: no relay\n  \
         fix: write nostr+walletconnect://PUBLIC_KEY?relay=wss://…&secret=… as the wallet shows it"
    );
}

#[test]
fn a_credential_that_allows_too_much_or_too_little_is_noted() {
    let rune = |restrictions: &str| {
        let bytes = [&[7; 32][..], restrictions.as_bytes()].concat();
        notes("cln", &format!("rune = \"{}\"", URL_SAFE.encode(bytes)))
    };
    let least = "method=invoice|method=listinvoices|method=waitanyinvoice|method=delinvoice|method=getinfo|method=listpeerchannels|method=listfunds";
    assert!(!rune(least).contains("rune"), "{}", rune(least));
    assert!(
        rune("=1").contains("Core Lightning's rune can spend the node's money, which the gate never does")
    );
    assert!(rune("method=invoice").contains("Core Lightning's rune does not allow to sell"));
    assert!(notes("cln", "socket = \"/x\"").contains("Core Lightning's socket can spend"));
    assert!(!notes("lnd", "macaroon = \"c0ffee\"").contains("macaroon"), "what cannot be read is not judged");
    let nwc = format!("connection = \"nostr+walletconnect://{KEY}?relay=wss://r.example.com&secret={KEY}\"");
    assert!(notes("nwc", &nwc).contains("Somebody else keeps the money"));
}
