//! `[lightning]`

mod alerts;
mod invoices;
mod nodes;

use std::path::{Path, PathBuf};
use std::time::Duration;

use url::Url;

use super::super::reader::{Field, Section};
use super::super::{
    ChainSource, EmbeddedNode, LightningBackend, LightningConfig, Lsp, Network, Passphrase, Secret,
};

const INVOICE_EXPIRY_DEFAULT: Duration = Duration::from_secs(600);
/// In percent: a first small payment pays for a whole channel.
const LSP_FEE_DEFAULT: u8 = 10;
const STORAGE_DEFAULT: &str = "octroi-lightning";
/// BOLT 7: an alias is 32 bytes.
const ALIAS_BYTES_MAX: usize = 32;
const CHAIN_FIX: &str =
    "write \"bitcoind://user:password@host:port\", \"esplora+https://…\" or \"electrum://host:port\"";

#[derive(Clone, Copy, PartialEq, Eq)]
enum Backend {
    Embedded,
    Phoenixd,
    Lnd,
    Cln,
    Lnbits,
    Lnurl,
    Nwc,
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
    let chosen = backend(&section.field("backend"), &section);
    foreign_fields(&section, chosen);
    let backend = chosen.and_then(|backend| match backend {
        Backend::Embedded => embedded(&section, network, beside_ledger).map(LightningBackend::Embedded),
        Backend::Phoenixd => nodes::phoenixd(&section).map(LightningBackend::Phoenixd),
        Backend::Lnd => nodes::lnd(&section).map(LightningBackend::Lnd),
        Backend::Cln => nodes::cln(&section).map(LightningBackend::Cln),
        Backend::Lnbits => nodes::lnbits(&section).map(LightningBackend::Lnbits),
        Backend::Lnurl => nodes::lnurl(&section, beside_ledger).map(LightningBackend::Lnurl),
        Backend::Nwc => nodes::nwc(&section, beside_ledger).map(LightningBackend::Nwc),
    });
    let remote = !matches!(backend, Some(LightningBackend::Embedded(_)));
    let invoices = invoices::read(section.section("invoices"), remote);
    let alerts = alerts::read(section.section("alerts"));
    section.finish();
    Some(LightningConfig { network, invoice_expiry, backend: backend?, invoices, alerts })
}

/// The fields of each backend, so that one of another is told from a misspelt one.
const FIELDS: [(&str, Backend, &[&str]); 7] = [
    (
        "embedded",
        Backend::Embedded,
        &[
            "chain",
            "storage_dir",
            "passphrase",
            "passphrase_command",
            "listen",
            "alias",
            "trusted_peers",
            "lsp",
            "lsp_token",
            "lsp_fee_percent_max",
        ],
    ),
    ("phoenixd", Backend::Phoenixd, &["url", "password"]),
    ("lnd", Backend::Lnd, &["url", "macaroon", "macaroon_file", "tls_cert"]),
    ("cln", Backend::Cln, &["url", "rune", "tls_cert", "socket"]),
    ("lnbits", Backend::Lnbits, &["url", "key"]),
    ("lnurl", Backend::Lnurl, &["address"]),
    ("nwc", Backend::Nwc, &["connection"]),
];

fn foreign_fields(section: &Section<'_>, chosen: Option<Backend>) {
    let own = FIELDS.iter().find(|(_, backend, _)| Some(*backend) == chosen).map_or(&[][..], |(.., own)| own);
    for (_, _, fields) in FIELDS {
        for name in fields.iter().filter(|name| !own.contains(name)) {
            if chosen.is_none() {
                // Whatever was meant, this is no unknown name.
                section.field(name);
                continue;
            }
            let users: Vec<&str> =
                FIELDS.iter().filter(|(.., fields)| fields.contains(name)).map(|(name, ..)| *name).collect();
            section.only_with_once(name, &format!("backend = \"{}\"", users.join("\", \"")));
        }
    }
}

fn backend(field: &Field<'_>, section: &Section<'_>) -> Option<Backend> {
    if !field.is_given() {
        section.spot.wrong(
            "no `backend`",
            "add backend = \"embedded\", or \"phoenixd\", \"lnd\", \"cln\", \"lnbits\", \"lnurl\", \"nwc\"",
        );
        return None;
    }
    field.choice(&FIELDS.map(|(name, backend, _)| (name, backend)))
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
        passphrase: passphrase(section),
        listen,
        alias: alias_text.map(str::to_owned),
        trusted_peers,
        lsp: lsp(section),
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

fn passphrase(section: &Section<'_>) -> Option<Passphrase> {
    let (given, command) = (section.field("passphrase"), section.field("passphrase_command"));
    let words: Vec<String> =
        command.texts("/usr/local/bin/passphrase").into_iter().map(|(_, word)| word).collect();
    if given.is_given() && command.is_given() {
        command.spot.wrong("not used with `passphrase`", "remove one of the two");
        return None;
    }
    if given.is_given() {
        return given.secret().map(Passphrase::Given);
    }
    (!words.is_empty()).then_some(Passphrase::Command(words))
}

fn lsp(section: &Section<'_>) -> Option<Lsp> {
    let (field, token) = (section.field("lsp"), section.field("lsp_token").secret());
    let percent = section.field("lsp_fee_percent_max").number(1..=100, "percent").unwrap_or(LSP_FEE_DEFAULT);
    let written = field.text("02…@203.0.113.7:9735")?;
    let parsed =
        written.split_once('@').and_then(|(id, address)| Some((node_id(id)?, address.parse().ok()?)));
    if parsed.is_none() {
        field.spot.wrong("not a node", "write its id, @, its address and port: \"02…@203.0.113.7:9735\"");
    }
    let (id, address) = parsed?;
    Some(Lsp { id, address, token, fee_percent_max: percent })
}

/// 66 hexadecimal digits of a compressed point, in lower case.
fn node_id(written: &str) -> Option<String> {
    let id = written.to_ascii_lowercase();
    let point = id.len() == 66 && (id.starts_with("02") || id.starts_with("03"));
    (point && id.bytes().all(|digit| digit.is_ascii_hexdigit())).then_some(id)
}

fn trusted_peers(field: &Field<'_>) -> Vec<String> {
    let mut peers = Vec::new();
    for (spot, written) in field.texts("02…, 66 hexadecimal digits") {
        match node_id(&written) {
            Some(id) => peers.push(id),
            None => spot.wrong("not a node id", "write its 66 hexadecimal digits, beginning with 02 or 03"),
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
