//! `[lightning]`: where the passphrase comes from, and who is told of what.

use super::{Stage, toml};
use crate::config::{
    AlertsConfig, Config, ConfigArgs, EmbeddedNode, Format, LightningBackend, Mistakes, Passphrase, Secret,
};

const SERVER: &str = "[mcp_server]\nupstream = \"http://127.0.0.1:9/mcp\"\n";

fn with(lines: &str) -> Result<Config, Mistakes> {
    toml(&format!("[lightning]\nbackend = \"embedded\"\n{lines}\n{SERVER}"))
}

fn embedded(lines: &str) -> EmbeddedNode {
    match with(lines).unwrap().lightning.map(|lightning| lightning.backend) {
        Some(LightningBackend::Embedded(node)) => node,
        _ => panic!("an embedded node"),
    }
}

fn alerts(lines: &str) -> AlertsConfig {
    with(&format!("[lightning.alerts]\n{lines}")).unwrap().lightning.unwrap().alerts
}

fn complaint(lines: &str) -> String {
    with(lines).unwrap_err().to_string()
}

#[test]
fn a_passphrase_is_written_or_asked_of_a_program() {
    assert_eq!(embedded("").passphrase, None);
    let given = Some(Passphrase::Given(Secret::new("open sesame")));
    assert_eq!(embedded("passphrase = \"open sesame\"").passphrase, given);
    let text = format!("[lightning]\nbackend = \"embedded\"\npassphrase = \"env:WORDS\"\n{SERVER}");
    let stage = Stage { variables: [("WORDS", "open sesame")].into(), ..Stage::default() };
    let config = Config::from_text(&text, Format::Toml, &ConfigArgs::new("octroi.toml"), &stage).unwrap();
    let Some(LightningBackend::Embedded(node)) = config.lightning.map(|it| it.backend) else { panic!() };
    assert_eq!(node.passphrase, given);
    assert!(!format!("{node:?}").contains("sesame"));
    let words = ["pass", "show", "octroi"].map(str::to_owned).to_vec();
    let asked = embedded("passphrase_command = [\"pass\", \"show\", \"octroi\"]").passphrase;
    assert_eq!(asked, Some(Passphrase::Command(words)));
}

#[test]
fn one_passphrase_and_only_for_a_node_in_this_process() {
    assert_eq!(
        complaint("passphrase = \"hunter2\"\npassphrase_command = \"ask\""),
        "octroi.toml:4: lightning.passphrase_command: not used with `passphrase`\n  fix: remove one of the two"
    );
    assert!(complaint("passphrase = \"\"").starts_with("octroi.toml:3: lightning.passphrase: empty"));
    assert!(complaint("passphrase = \"env:NOT_SET\"").contains("NOT_SET is not set"));
    let text =
        format!("[lightning]\nbackend = \"phoenixd\"\npassword = \"x\"\npassphrase = \"hunter2\"\n{SERVER}");
    let shown = toml(&text).unwrap_err().to_string();
    assert!(shown.contains("lightning.passphrase") && !shown.contains("hunter2"), "{shown}");
}

#[test]
fn keys_that_lie_open_are_remarked_on() {
    let remarks = |lines: &str| with(lines).unwrap().notes().join("\n");
    assert!(remarks("").contains("keys lie open in octroi-lightning"), "{}", remarks(""));
    assert!(!remarks("passphrase = \"x\"").contains("lie open"));
    let regtest = "network = \"regtest\"\nchain = \"electrum://127.0.0.1:1\"";
    assert!(!remarks(regtest).contains("lie open"), "play money");
}

#[test]
fn alerts_are_posted_with_a_signature_where_there_is_a_secret() {
    let read = alerts("webhook = \"https://ops.example.com/octroi\"\nwebhook_secret = \"hunter2\"");
    assert_eq!(read.webhook_secret, Some(Secret::new("hunter2")));
    assert_eq!(alerts("webhook = \"https://ops.example.com/octroi\"").webhook_secret, None);
    assert_eq!(
        complaint("[lightning.alerts]\nwebhook_secret = \"hunter2\""),
        "octroi.toml:4: lightning.alerts.webhook_secret: nothing is signed without `webhook`\n  \
         fix: add webhook = \"https://ops.example.com/octroi\""
    );
}
