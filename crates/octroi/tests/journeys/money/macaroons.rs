//! Macaroons between this gate and other people's libraries: pymacaroons and js-macaroon, both ways.

use std::process::Command;

use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use octroi_l402::{Identifier, Macaroon, MacaroonView, PaymentHash, RootKey, Terms, TokenId};
use octroi_testkit::upstream::sample::Sample;
use serde_json::{Value, json};

use super::vouchers::no_good;
use crate::harness::{Caller, Launch, peers};

/// A library, as the script that speaks for it.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Library {
    Python,
    JavaScript,
}

const LIBRARIES: [Library; 2] = [Library::Python, Library::JavaScript];

impl Library {
    async fn does(self, ask: Value) -> Value {
        let command = match self {
            Self::Python => peers::python("macaroons.py"),
            Self::JavaScript => peers::node("macaroons.mjs"),
        };
        let answer = peers::asked(command, &ask).await;
        assert_ne!(answer, Value::Null);
        answer
    }

    /// What it makes of a macaroon signed with `root`.
    async fn reads(self, macaroon: &[u8], root: &[u8; 32]) -> Value {
        let (macaroon, key) = (STANDARD.encode(macaroon), hex::encode(root));
        self.does(json!({"op": "read", "macaroon": macaroon, "key": key})).await
    }

    /// A macaroon with what its holder appends, by this library.
    async fn adds(self, macaroon: &str, caveats: &[&str], third_party: bool) -> String {
        let ask = json!({"op": "add", "macaroon": macaroon, "caveats": caveats, "third_party": third_party});
        let answer = self.does(ask).await;
        answer["macaroon"].as_str().unwrap_or_else(|| panic!("{self:?}: {answer}")).to_owned()
    }
}

const ROOT: [u8; 32] = [0x42; 32];
const CAVEATS: [&str; 3] = ["services=mcp:0", "mcp_capabilities=search,größe", "mcp_valid_until=1800000000"];

/// What the gate makes: bytes that are no text. And what a library that takes only text can carry in the older form.
fn identifiers() -> [Identifier; 2] {
    let of = |hash, id| Identifier {
        payment_hash: PaymentHash::from_bytes([hash; 32]),
        token_id: TokenId::from_bytes([id; 32]),
    };
    [of(0xe7, 0x80), of(b'h', b't')]
}

#[tokio::test(flavor = "multi_thread")]
async fn macaroons_are_the_same_everywhere() {
    let root = RootKey::from_bytes(ROOT);
    let [bytes, text] = identifiers();
    for library in LIBRARIES {
        // The older form: js-macaroon knows none, and pymacaroons takes its parts for text, which the gate's identifiers are not.
        let older = (library == Library::Python).then_some((&text, 1));
        for (identifier, version) in [(&bytes, 2), (&text, 2)].into_iter().chain(older) {
            let ours = Macaroon::mint(&root, identifier, "gate", CAVEATS).unwrap();
            let encoded = if version == 2 { ours.encode_v2() } else { ours.encode_v1() };
            let read = library.reads(&encoded, &ROOT).await;
            let mint = json!({
                "op": "mint", "key": hex::encode(ROOT), "identifier": hex::encode(identifier.encode()),
                "location": "gate", "caveats": CAVEATS, "version": version,
            });
            let theirs = library.does(mint).await;
            let what = format!("{library:?}, version {version}: {read} {theirs}");
            assert_eq!(read["verified"], true, "{what}");
            assert_eq!(read["identifier"], hex::encode(identifier.encode()), "{what}");
            assert_eq!(read["caveats"], json!(CAVEATS), "{what}");
            assert_eq!(read["again"], STANDARD.encode(&encoded), "byte for byte; {what}");
            assert_eq!(library.reads(&encoded, &[0x43; 32]).await["verified"], false, "another key; {what}");

            let theirs =
                STANDARD.decode(theirs["macaroon"].as_str().unwrap_or_else(|| panic!("{what}"))).unwrap();
            assert_eq!(theirs, encoded, "byte for byte; {what}");
            let theirs = MacaroonView::decode(&theirs).unwrap();
            assert!(
                theirs.is_signed_by(&root) && !theirs.is_signed_by(&RootKey::from_bytes([0x43; 32])),
                "{what}"
            );
            let terms = Terms::read("mcp", theirs.caveats()).unwrap();
            assert_eq!(terms.tools.unwrap(), ["search", "größe"]);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_holder_appends_elsewhere_is_enforced_here() {
    let sample = Sample::start().await.unwrap();
    let config = format!(
        "listen = \"127.0.0.1:0\"\n[mcp_server]\nupstream = \"{}\"\n[mcp_server.auth.payment]\n\
         pricing = {{ data_query = {{ sats = 1 }}, echo_request = {{ sats = 1 }} }}\n",
        sample.url()
    );
    let launch = Launch::new(&config, &[]);
    let mut mint = Command::new(env!("CARGO_BIN_EXE_octroi"));
    mint.args(["token", "mint", "octroi.toml", "--sats", "100", "--ttl", "1h"]).current_dir(launch.folder());
    let minted = mint.output().unwrap();
    let credential = String::from_utf8(minted.stdout).unwrap().trim().to_owned();
    let (macaroon, preimage) = credential.split_once(':').unwrap();
    // The libraries verify what the gate signed with the key that follows from its master key.
    let master =
        hex::decode(std::fs::read_to_string(launch.folder().join("octroi.key")).unwrap().trim()).unwrap();
    let bytes = STANDARD.decode(macaroon).unwrap();
    let id = MacaroonView::decode(&bytes).unwrap().l402_identifier().unwrap().token_id;
    let labelled = [b"octroi root key v1", &id.as_bytes()[..]].concat();
    let root = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &master), &labelled);
    let root: [u8; 32] = root.as_ref().try_into().unwrap();

    let gate = launch.start().await;
    gate.secrets.add(&credential);
    let caller = Caller::of(&gate);
    let (query, echo) =
        (|| caller.call("data_query", json!({"query": "carts"})), || caller.call("echo_request", json!({})));
    for library in LIBRARIES {
        let read = library.reads(&bytes, &root).await;
        assert_eq!(read["verified"], true, "{library:?}: {read}");
        let lent = |macaroon: String| format!("{macaroon}:{preimage}");
        let label = format!("mcp_budget_calls=2:{library:?}");
        let narrow = lent(library.adds(macaroon, &["mcp_capabilities=data_query", &label], false).await);
        no_good(&echo().paid(&narrow).send().await, "for another tool");
        query().paid(&narrow).send().await.worked();
        query().paid(&narrow).send().await.worked();
        no_good(&query().paid(&narrow).send().await, "has 0 left");
        let cheap = lent(library.adds(macaroon, &["mcp_max_msat=999"], false).await);
        no_good(&query().paid(&cheap).send().await, "costs more than the credential may spend");
        let over = lent(library.adds(macaroon, &["mcp_valid_until=1"], false).await);
        no_good(&query().paid(&over).send().await, "lent until 1");
        let noted = lent(library.adds(macaroon, &["note=whatever it is", "mcp_shoe_size=44"], false).await);
        query().paid(&noted).send().await.worked();
    }
    // Somebody else's word is never asked for: such a credential is no good.
    let third = Library::Python.adds(macaroon, &[], true).await;
    no_good(&query().paid(&format!("{third}:{preimage}")).send().await, "third-party");
    assert_eq!(sample.calls_of("data_query"), 6);
    assert_eq!(sample.calls_of("echo_request"), 0);
    assert_eq!(gate.ledger().await["credit_msat"], 94_000);
}
