//! `nostr+walletconnect://…`: who the wallet is, where it listens, and the secret that it knows the gate by.

use nostr::{Keys, PublicKey};
use url::Url;

use crate::{NodeError, Password};

/// Most relays of one connection: each is a websocket kept open.
pub(super) const RELAYS_MAX: usize = 8;

/// Longest text read.
const TEXT_MAX: usize = 4096;

pub(super) struct Connection {
    pub(super) wallet: PublicKey,
    /// The gate's own, made from the secret. Wiped when dropped, and not printed.
    pub(super) keys: Keys,
    pub(super) relays: Vec<Url>,
}

impl Connection {
    /// # Errors
    /// [`NodeError::Config`], which never repeats the text: it is a secret.
    pub(super) fn parse(text: &Password) -> Result<Self, NodeError> {
        let wrong = |words: &str| NodeError::Config(format!("Nostr Wallet Connect: {words}"));
        let text = text.reveal().trim();
        if text.len() > TEXT_MAX {
            return Err(wrong("the connection is too long"));
        }
        // Some wallets leave the slashes out.
        let rest = text
            .strip_prefix("nostr+walletconnect://")
            .or_else(|| text.strip_prefix("nostr+walletconnect:"))
            .ok_or_else(|| wrong("the connection must begin with nostr+walletconnect://"))?;
        let (wallet, query) = rest.split_once('?').ok_or_else(|| wrong("no relay and no secret"))?;
        let wallet = wallet.trim_end_matches('/');
        let wallet = PublicKey::from_hex(wallet).map_err(|_| wrong("the wallet's public key is not one"))?;
        let (mut relays, mut keys) = (Vec::new(), None);
        for (name, value) in url::form_urlencoded::parse(query.as_bytes()) {
            match name.as_ref() {
                "relay" => relays.push(relay(&value).ok_or_else(|| wrong("a relay is not wss:// or ws://"))?),
                "secret" if keys.is_some() => return Err(wrong("two secrets")),
                "secret" => {
                    // Other forms (bech32) are not what the NIP writes.
                    let is_hex = value.len() == 64 && value.bytes().all(|digit| digit.is_ascii_hexdigit());
                    let parsed = Keys::parse(&value).ok().filter(|_| is_hex);
                    keys = Some(parsed.ok_or_else(|| wrong("the secret is not 64 hexadecimal digits"))?);
                }
                // `lud16`, and what later revisions add.
                _ => {}
            }
        }
        relays.dedup();
        match relays.len() {
            0 => return Err(wrong("no relay")),
            1..=RELAYS_MAX => {}
            _ => return Err(wrong("more than 8 relays")),
        }
        let keys = keys.ok_or_else(|| wrong("no secret"))?;
        Ok(Self { wallet, keys, relays })
    }
}

/// Requests are signed and encrypted from end to end, so a relay in the clear is allowed.
fn relay(text: &str) -> Option<Url> {
    let url: Url = text.parse().ok()?;
    let plain = url.username().is_empty() && url.password().is_none() && url.has_host();
    (plain && matches!(url.scheme(), "ws" | "wss")).then_some(url)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const WALLET: &str = "b889ff5b1513b641e2a139f661a661364979c5beee91842f8f0ef42ab558e9d4";
    const SECRET: &str = "71a8c14c1407c113601079c4302dab36460f0ccd0ad506f1f2dc73b5100e4f3c";

    fn parse(text: &str) -> Result<Connection, NodeError> {
        Connection::parse(&Password::new(text))
    }

    #[test]
    fn the_example_of_the_nip_and_its_variants() {
        for text in [
            format!("nostr+walletconnect://{WALLET}?relay=wss%3A%2F%2Frelay.damus.io&secret={SECRET}"),
            format!(
                " nostr+walletconnect:{WALLET}?secret={SECRET}&lud16=a%40b.c&relay=wss://relay.damus.io\n"
            ),
        ] {
            let read = parse(&text).unwrap();
            assert_eq!(read.wallet.to_hex(), WALLET);
            assert_eq!(read.keys.secret_key().to_secret_hex(), SECRET);
            assert_eq!(read.relays[0].as_str(), "wss://relay.damus.io/");
        }
        let several =
            format!("nostr+walletconnect://{WALLET}?relay=wss://a&relay=ws://b:1/x&secret={SECRET}");
        assert_eq!(parse(&several).unwrap().relays.len(), 2);
    }

    #[test]
    fn what_is_no_connection_is_refused_without_being_repeated() {
        let relay = "relay=wss://a";
        let many = [relay; 9].iter().enumerate().map(|(n, r)| format!("{r}{n}")).collect::<Vec<_>>();
        for text in [
            String::new(),
            format!("https://{WALLET}?{relay}&secret={SECRET}"),
            format!("nostr+walletconnect://{WALLET}"),
            format!("nostr+walletconnect://{WALLET}?{relay}"),
            format!("nostr+walletconnect://{WALLET}?secret={SECRET}"),
            format!("nostr+walletconnect://{WALLET}?{relay}&secret={SECRET}&secret={SECRET}"),
            format!("nostr+walletconnect://{WALLET}?{relay}&secret={}", &SECRET[1..]),
            format!("nostr+walletconnect://{WALLET}?relay=https://a&secret={SECRET}"),
            format!("nostr+walletconnect://{WALLET}?relay=wss://u:p@a&secret={SECRET}"),
            format!("nostr+walletconnect://{}?{relay}&secret={SECRET}", "f".repeat(63)),
            format!("nostr+walletconnect://{WALLET}?{}&secret={SECRET}", many.join("&")),
        ] {
            let error = parse(&text).map(|_| ()).unwrap_err();
            assert!(matches!(&error, NodeError::Config(words) if !words.contains(&SECRET[1..])), "{error}");
        }
    }

    proptest! {
        #[test]
        fn no_text_is_too_strange(text in "\\PC{0,200}", query in "[a-z0-9=&%:/.]{0,120}") {
            let _ = parse(&text);
            let _ = parse(&format!("nostr+walletconnect://{WALLET}?{query}"));
        }
    }
}
