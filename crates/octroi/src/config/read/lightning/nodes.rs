//! The nodes that are not in this process.

use std::path::{Path, PathBuf};

use octroi_lightning::NodeError;
use octroi_lightning::nwc::Nwc as Nostr;
use url::Url;

use super::super::super::reader::{Field, Section};
use super::super::super::{Cln, Lnbits, Lnd, Lnurl, Macaroon, Nwc, Phoenixd, Secret};

const PHOENIXD_DEFAULT: &str = "http://127.0.0.1:9740";
const LND_DEFAULT: &str = "https://127.0.0.1:8080";
const CLN_DEFAULT: &str = "https://127.0.0.1:3010";
const LNBITS_EXAMPLE: &str = "https://lnbits.example.com";
/// The open invoices of a Lightning Address, beside the ledger.
const LNURL_FILE: &str = "octroi-lnurl.jsonl";
/// Those of a wallet over Nostr Wallet Connect.
const NWC_FILE: &str = "octroi-nwc.jsonl";

/// A URL, or where such a program listens by itself.
fn url(field: &Field<'_>, default: &str) -> Option<Url> {
    if field.is_given() { field.web_url(default) } else { Url::parse(default).ok() }
}

/// A secret that cannot be done without.
fn needed(section: &Section<'_>, name: &'static str, problem: &str, fix: &str) -> Option<Secret> {
    let field = section.field(name);
    if !field.is_given() {
        section.spot.wrong(problem, fix);
    }
    field.secret()
}

fn path(field: &Field<'_>, example: &str) -> Option<PathBuf> {
    field.filled(example).map(PathBuf::from)
}

pub(super) fn phoenixd(section: &Section<'_>) -> Option<Phoenixd> {
    let url = url(&section.field("url"), PHOENIXD_DEFAULT);
    let password = needed(
        section,
        "password",
        "phoenixd needs `password`",
        "add password = \"env:PHOENIXD_PASSWORD\", the http-password of its phoenix.conf",
    );
    Some(Phoenixd { password: password?, url: url? })
}

pub(super) fn lnd(section: &Section<'_>) -> Option<Lnd> {
    let url = url(&section.field("url"), LND_DEFAULT);
    let tls_cert = path(&section.field("tls_cert"), "/home/lnd/.lnd/tls.cert");
    let (hex, file) = (section.field("macaroon"), section.field("macaroon_file"));
    if hex.is_given() == file.is_given() {
        section.spot.wrong(
            "LND needs one of `macaroon` and `macaroon_file`",
            "add macaroon_file = \"/etc/octroi/lnd.macaroon\", or macaroon = \"env:LND_MACAROON\" in hexadecimal",
        );
        return None;
    }
    let macaroon = if hex.is_given() {
        let macaroon = hex.secret().filter(|secret| {
            let fits = is_hex(secret.reveal());
            if !fits {
                hex.spot.wrong("not hexadecimal", "write it as `xxd -p -c 999 lnd.macaroon` prints it");
            }
            fits
        });
        macaroon.map(Macaroon::Hex)
    } else {
        path(&file, "/etc/octroi/lnd.macaroon").map(Macaroon::File)
    };
    Some(Lnd { url: url?, macaroon: macaroon?, tls_cert })
}

fn is_hex(text: &str) -> bool {
    !text.is_empty() && text.len().is_multiple_of(2) && text.bytes().all(|digit| digit.is_ascii_hexdigit())
}

pub(super) fn cln(section: &Section<'_>) -> Option<Cln> {
    let socket = section.field("socket");
    let (address, rune, tls_cert) = (section.field("url"), section.field("rune"), section.field("tls_cert"));
    if socket.is_given() {
        for field in [&address, &rune, &tls_cert] {
            if field.is_given() {
                field.spot.wrong("not used with `socket`", "remove it, or remove socket");
            }
        }
        return path(&socket, "/home/cln/.lightning/bitcoin/lightning-rpc").map(Cln::Socket);
    }
    let url = url(&address, CLN_DEFAULT);
    let rune = needed(
        section,
        "rune",
        "Core Lightning needs `socket`, or `rune`",
        "add socket = \"/home/cln/.lightning/bitcoin/lightning-rpc\", or rune = \"env:CLN_RUNE\" for its clnrest",
    );
    let tls_cert = path(&tls_cert, "/home/cln/.lightning/bitcoin/server.pem");
    Some(Cln::Rest { url: url?, rune: rune?, tls_cert })
}

pub(super) fn lnbits(section: &Section<'_>) -> Option<Lnbits> {
    let field = section.field("url");
    if !field.is_given() {
        section.spot.wrong("LNbits needs `url`", "add url = \"https://lnbits.example.com\"");
    }
    let key = needed(
        section,
        "key",
        "LNbits needs `key`",
        "add key = \"env:LNBITS_KEY\", the wallet's invoice key",
    );
    Some(Lnbits { url: field.web_url(LNBITS_EXAMPLE)?, key: key? })
}

pub(super) fn lnurl(section: &Section<'_>, beside_ledger: &Path) -> Option<Lnurl> {
    let field = section.field("address");
    if !field.is_given() {
        section.spot.wrong("no `address`", "add address = \"name@example.com\"");
        return None;
    }
    let address = field.filled("name@example.com")?;
    if !address.contains('@') && !address.contains("://") {
        field.spot.wrong("not a Lightning Address", "write \"name@example.com\"");
        return None;
    }
    Some(Lnurl { address: address.to_owned(), file: beside_ledger.join(LNURL_FILE) })
}

pub(super) fn nwc(section: &Section<'_>, beside_ledger: &Path) -> Option<Nwc> {
    let connection = needed(
        section,
        "connection",
        "Nostr Wallet Connect needs `connection`",
        "add connection = \"env:NWC_CONNECTION\", the nostr+walletconnect://… of a wallet's new app connection",
    )?;
    if let Err(error) = Nostr::check(&connection.reveal().into()) {
        let problem = match error {
            NodeError::Config(problem) => problem,
            other => other.to_string(),
        };
        // Not repeated here: it holds the secret.
        section.field("connection").spot.wrong(
            problem,
            "write nostr+walletconnect://PUBLIC_KEY?relay=wss://…&secret=… as the wallet shows it",
        );
        return None;
    }
    Some(Nwc { connection, file: beside_ledger.join(NWC_FILE) })
}
