//! `[lightning]`

mod alerts;
mod invoices;

use std::path::{Path, PathBuf};
use std::time::Duration;

use url::Url;

use super::super::reader::{Field, Section};
use super::super::{ChainSource, EmbeddedNode, LightningBackend, LightningConfig, Network, Phoenixd, Secret};

const INVOICE_EXPIRY_DEFAULT: Duration = Duration::from_secs(600);
const STORAGE_DEFAULT: &str = "octroi-lightning";
const PHOENIXD_DEFAULT: &str = "http://127.0.0.1:9740";
/// BOLT 7: an alias is 32 bytes.
const ALIAS_BYTES_MAX: usize = 32;
const CHAIN_FIX: &str =
    "write \"bitcoind://user:password@host:port\", \"esplora+https://…\" or \"electrum://host:port\"";

#[derive(Clone, Copy)]
enum Backend {
    Embedded,
    Phoenixd,
}

pub(in super::super) fn read(field: &Field<'_>, beside_ledger: &Path) -> Option<LightningConfig> {
    if !field.is_given() {
        return None;
    }
    let section = field.section();
    let networks = [
        ("bitcoin", Network::Bitcoin),
        ("testnet", Network::Testnet),
        ("signet", Network::Signet),
        ("regtest", Network::Regtest),
    ];
    let network = section.field("network").choice(&networks).unwrap_or(Network::Bitcoin);
    let invoice_expiry =
        section.field("invoice_expiry_seconds").seconds(60..=604_800).unwrap_or(INVOICE_EXPIRY_DEFAULT);
    let backend = match backend(&section.field("backend"), &section) {
        Some(Backend::Embedded) => {
            section.only_with(&["url", "password"], "backend = \"phoenixd\"");
            embedded(&section, network, beside_ledger).map(LightningBackend::Embedded)
        }
        Some(Backend::Phoenixd) => {
            section.only_with(&EMBEDDED_FIELDS, "backend = \"embedded\"");
            phoenixd(&section).map(LightningBackend::Phoenixd)
        }
        None => {
            // Whatever was meant, these are no unknown names.
            for name in EMBEDDED_FIELDS.into_iter().chain(["url", "password"]) {
                section.field(name);
            }
            None
        }
    };
    let remote = !matches!(backend, Some(LightningBackend::Embedded(_)));
    let invoices = invoices::read(section.section("invoices"), remote);
    let alerts = alerts::read(section.section("alerts"));
    section.finish();
    Some(LightningConfig { network, invoice_expiry, backend: backend?, invoices, alerts })
}

const EMBEDDED_FIELDS: [&str; 5] = ["chain", "storage_dir", "listen", "alias", "trusted_peers"];

fn backend(field: &Field<'_>, section: &Section<'_>) -> Option<Backend> {
    if !field.is_given() {
        section.spot.wrong("no `backend`", "add backend = \"embedded\", or \"phoenixd\"");
        return None;
    }
    let written = field.text("embedded")?;
    if matches!(written, "lnd" | "cln" | "lnbits" | "nwc" | "lnurl") {
        field.spot.wrong(format!("{written} comes in a later release"), "write \"embedded\" or \"phoenixd\"");
        return None;
    }
    field.choice(&[("embedded", Backend::Embedded), ("phoenixd", Backend::Phoenixd)])
}

fn embedded(section: &Section<'_>, network: Network, beside_ledger: &Path) -> Option<EmbeddedNode> {
    let chain = chain(&section.field("chain"), network);
    let storage = section.field("storage_dir").filled(STORAGE_DEFAULT).map(PathBuf::from);
    let listen = listen(&section.field("listen"));
    let alias = section.field("alias");
    let alias_text = alias.filled("my gate").filter(|text| {
        let fits = text.len() <= ALIAS_BYTES_MAX;
        if !fits {
            alias.spot.wrong(format!("longer than {ALIAS_BYTES_MAX} bytes"), "shorten it");
        }
        fits
    });
    let trusted_peers = trusted_peers(&section.field("trusted_peers"));
    Some(EmbeddedNode {
        chain: chain?,
        storage_dir: storage.unwrap_or_else(|| beside_ledger.join(STORAGE_DEFAULT)),
        listen,
        alias: alias_text.map(str::to_owned),
        trusted_peers,
    })
}

fn listen(field: &Field<'_>) -> Vec<std::net::SocketAddr> {
    let mut addresses = Vec::new();
    for (spot, written) in field.texts("0.0.0.0:9735") {
        match written.parse() {
            Ok(address) => addresses.push(address),
            Err(_) => spot.wrong("not an address and port", "write \"0.0.0.0:9735\""),
        }
    }
    addresses
}

fn trusted_peers(field: &Field<'_>) -> Vec<String> {
    let mut peers = Vec::new();
    for (spot, written) in field.texts("02…, 66 hexadecimal digits") {
        let id = written.to_ascii_lowercase();
        let point = id.len() == 66 && (id.starts_with("02") || id.starts_with("03"));
        if point && id.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            peers.push(id);
        } else {
            spot.wrong("not a node id", "write its 66 hexadecimal digits, beginning with 02 or 03");
        }
    }
    peers
}

fn chain(field: &Field<'_>, network: Network) -> Option<ChainSource> {
    if !field.is_given() {
        let default = ChainSource::public_default(network);
        if default.is_none() {
            field.spot.wrong("no `chain`: this network has no public source of blocks", CHAIN_FIX);
        }
        return default;
    }
    let written = field.filled("bitcoind://user:password@127.0.0.1:8332")?;
    let parsed = if let Some(url) = written.strip_prefix("esplora+") {
        Url::parse(url).ok().filter(|url| matches!(url.scheme(), "http" | "https")).map(ChainSource::Esplora)
    } else if let Some(address) = written.strip_prefix("electrum://") {
        host_and_port(address).then(|| ChainSource::Electrum(format!("tcp://{address}")))
    } else if let Some(address) = written.strip_prefix("electrum+ssl://") {
        host_and_port(address).then(|| ChainSource::Electrum(format!("ssl://{address}")))
    } else {
        bitcoind(written)
    };
    if parsed.is_none() {
        // Not repeated here: it may hold the password.
        field.spot.wrong("not a source of blocks", CHAIN_FIX);
    }
    parsed
}

fn host_and_port(address: &str) -> bool {
    let Some((host, port)) = address.rsplit_once(':') else { return false };
    !host.is_empty() && !host.contains(['/', '@']) && port.parse::<u16>().is_ok_and(|port| port != 0)
}

fn bitcoind(written: &str) -> Option<ChainSource> {
    let url = Url::parse(written).ok().filter(|url| url.scheme() == "bitcoind")?;
    let (host, port) = (url.host_str()?.to_owned(), url.port()?);
    let part = |text: &str| percent_decoded(text);
    let (user, password) = (part(url.username())?, part(url.password()?)?);
    let nothing_more = matches!(url.path(), "" | "/") && url.query().is_none();
    nothing_more.then(|| ChainSource::Bitcoind { host, port, user, password: Secret::new(password) })
}

/// Undoes the escapes that let a password hold `@` or `:` (RFC 3986 §2.1).
fn percent_decoded(text: &str) -> Option<String> {
    let mut bytes = text.bytes();
    let mut decoded = Vec::with_capacity(text.len());
    while let Some(byte) = bytes.next() {
        if byte == b'%' {
            let digits = [bytes.next()?, bytes.next()?];
            let mut escaped = [0];
            hex::decode_to_slice(digits, &mut escaped).ok()?;
            decoded.extend(escaped);
        } else {
            decoded.push(byte);
        }
    }
    String::from_utf8(decoded).ok()
}

fn phoenixd(section: &Section<'_>) -> Option<Phoenixd> {
    let url = section.field("url");
    let address =
        if url.is_given() { url.web_url(PHOENIXD_DEFAULT) } else { Url::parse(PHOENIXD_DEFAULT).ok() };
    let password = section.field("password");
    if !password.is_given() {
        section.spot.wrong(
            "phoenixd needs `password`",
            "add password = \"env:PHOENIXD_PASSWORD\", the http-password of its phoenix.conf",
        );
    }
    Some(Phoenixd { password: password.secret()?, url: address? })
}
