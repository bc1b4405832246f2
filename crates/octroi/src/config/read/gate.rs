//! The top of the file, and the small sections.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;

use ipnet::IpNet;
use tracing_subscriber::EnvFilter;
use url::Url;

use super::super::reader::{Field, Section, shortened};
use super::super::{
    AdminConfig, Config, LogConfig, LogFormat, MasterKeySource, Secret, SecretsConfig, SigningKeySource,
};
use super::{ledger, lightning, server};

const LISTEN_DEFAULT: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8402);
const KEY_FILE: &str = "octroi.key";
const SIGNING_KEYS_FILE: &str = "octroi-signing.json";
/// As many as `octroi-l402` holds besides the current one.
const PREVIOUS_KEYS_MAX: usize = octroi_l402::keys::MAX_MASTER_KEYS - 1;

/// Reads the whole configuration; `None` only when something was reported.
pub(in super::super) fn config(root: Section<'_>) -> Option<Config> {
    let listen = root.field("listen");
    let listen_on = if listen.is_given() { listen.socket() } else { Some(LISTEN_DEFAULT) };
    let (public_url, public_url_given) = public_url(&root, listen_on);
    let trusted_proxies = trusted_proxies(&root.field("trusted_proxies"));
    let ledger = ledger::read(root.section("ledger"));
    let beside_ledger =
        ledger.store.path().and_then(Path::parent).unwrap_or_else(|| Path::new("")).to_owned();
    let secrets = secrets(root.section("secrets"), &beside_ledger);
    let lightning = lightning::read(&root.field("lightning"), &beside_ledger);
    let servers = server::all(&root, public_url.as_ref());
    let admin = admin(root.section("admin"));
    let log = log(root.section("log"));
    root.finish();
    Some(Config {
        listen: listen_on?,
        public_url: public_url?,
        public_url_given,
        trusted_proxies,
        ledger,
        secrets,
        lightning,
        servers,
        admin,
        log,
    })
}

fn public_url(root: &Section<'_>, listen: Option<SocketAddr>) -> (Option<Url>, bool) {
    let field = root.field("public_url");
    if !field.is_given() {
        let Some(listen) = listen else { return (None, false) };
        if listen.ip().is_unspecified() {
            let problem = format!("missing, and {listen} is no address that callers could use");
            field.spot.wrong(problem, "add public_url = \"https://gate.example.com\"");
        }
        return (Url::parse(&format!("http://{listen}")).ok(), false);
    }
    let url = field.web_url("https://gate.example.com").and_then(|mut url| {
        if url.query().is_some() {
            field.spot.wrong("a ?query in the URL is not used", "remove it");
            return None;
        }
        let path = url.path().trim_end_matches('/').to_owned();
        url.set_path(&path);
        Some(url)
    });
    (url, true)
}

fn trusted_proxies(field: &Field<'_>) -> Vec<IpNet> {
    let mut networks = Vec::new();
    for (spot, written) in field.texts("10.0.0.0/8") {
        let network = written.parse().or_else(|_| written.parse::<IpAddr>().map(IpNet::from));
        match network {
            Ok(network) if network.prefix_len() > 0 => networks.push(network),
            Ok(_) => spot.wrong(
                "whoever sends a request would be believed to be a proxy",
                "name the proxies' own addresses",
            ),
            Err(_) => {
                spot.wrong("not an address or a network", "write \"127.0.0.1\" or \"10.0.0.0/8\"");
            }
        }
    }
    networks
}

const KEY_FIX: &str =
    "write 64 hexadecimal digits, as `openssl rand -hex 32` prints them, or env:NAME or file:PATH";

fn secrets(section: Section<'_>, beside_ledger: &Path) -> SecretsConfig {
    let key = section.field("master_key");
    let master_key = key.secret().filter(|secret| {
        let fits = secret.hex_key().is_some();
        if !fits {
            key.spot.wrong("not a 32-byte key in hex", KEY_FIX);
        }
        fits
    });
    let number = section.field("master_key_number").number(0..=i64::from(u32::MAX), "").unwrap_or(0);
    let previous = section.field("previous_keys").section();
    let entries = previous.entries();
    if entries.len() > PREVIOUS_KEYS_MAX {
        previous.spot.wrong(format!("more than {PREVIOUS_KEYS_MAX} keys"), "drop the oldest");
    }
    let mut previous_keys: Vec<(u32, Secret)> = Vec::new();
    for (name, field) in entries {
        let Some(secret) = field.secret() else { continue };
        match name.parse() {
            Ok(key) if key == number || previous_keys.iter().any(|(other, _)| *other == key) => {
                field.spot.wrong(
                    format!("key number {key} is taken"),
                    "give every key the number it was used with",
                );
            }
            Ok(_) if secret.hex_key().is_none() => field.spot.wrong("not a 32-byte key in hex", KEY_FIX),
            Ok(key) => previous_keys.push((key, secret)),
            Err(_) => field.spot.wrong("not a key number", "write { 0 = \"env:OLD_KEY\" }"),
        }
    }
    let signing = section.field("signing_key");
    let signing_key = signing.secret().filter(|pem| {
        let key = octroi_identity::SigningKey::from_pem(pem.reveal());
        if let Err(error) = &key {
            signing
                .spot
                .wrong(error.to_string(), "write file:PATH, made by openssl genpkey -algorithm ed25519");
        }
        key.is_ok()
    });
    let signing_key = signing_key.map_or_else(
        || SigningKeySource::File(beside_ledger.join(SIGNING_KEYS_FILE)),
        SigningKeySource::Given,
    );
    section.finish();
    let master_key = master_key
        .map_or_else(|| MasterKeySource::File(beside_ledger.join(KEY_FILE)), MasterKeySource::Given);
    SecretsConfig { master_key, master_key_number: number, previous_keys, signing_key }
}

fn admin(section: Section<'_>) -> AdminConfig {
    let listen = section.field("listen").socket();
    let metrics = section.field("metrics").boolean().unwrap_or(true);
    section.finish();
    AdminConfig { listen, metrics }
}

fn log(section: Section<'_>) -> LogConfig {
    let formats = [("text", LogFormat::Text), ("json", LogFormat::Json)];
    let format = section.field("format").choice(&formats).unwrap_or(LogFormat::Text);
    let level = section.field("level");
    let filter = level.filled("info").filter(|filter| {
        let fits = filter.parse::<EnvFilter>().is_ok();
        if !fits {
            level.spot.wrong(
                format!("\"{}\" is no filter", shortened(filter)),
                "write \"info\", or \"octroi=debug,info\"",
            );
        }
        fits
    });
    let level = filter.unwrap_or("info").to_owned();
    section.finish();
    LogConfig { format, level }
}
