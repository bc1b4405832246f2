//! What goes over the relays: events that are signed by one of the two, and encrypted for the other (NIP-01, NIP-04, NIP-44,
//! NIP-47). A relay is nobody's friend: it may forge, repeat, hold back and invent.

use nostr::nips::{nip04, nip44};
use nostr::{Event, EventBuilder, EventId, Keys, Kind, PublicKey, Tag, Timestamp};
use serde_json::{Value, json};
use zeroize::Zeroizing;

use crate::NodeError;

/// Kinds of events of NIP-47.
pub(super) const INFO: u16 = 13_194;
pub(super) const REQUEST: u16 = 23_194;
pub(super) const RESPONSE: u16 = 23_195;
pub(super) const NOTIFICATION_NIP04: u16 = 23_196;
pub(super) const NOTIFICATION: u16 = 23_197;

/// How a request is encrypted; the answer comes in the same way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cipher {
    Nip04,
    Nip44,
}

/// The gate's key, and whom it speaks with.
pub(super) struct Envelope {
    pub(super) keys: Keys,
    pub(super) wallet: PublicKey,
}

/// An event that the wallet did sign.
pub(super) enum Letter {
    Info(Info),
    /// The answer to a request.
    Response(EventId, Zeroizing<String>),
    Notification(Zeroizing<String>),
}

/// What the wallet says of itself to everybody.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Info {
    pub(super) methods: Vec<String>,
    pub(super) notifies: bool,
    pub(super) nip44: bool,
    /// Of two the later counts.
    pub(super) at: u64,
}

impl Envelope {
    /// A request that the wallet ignores when it comes later than `expires` (Unix seconds).
    ///
    /// # Errors
    /// [`NodeError::Config`] where the keys are of no use.
    pub(super) fn request(
        &self,
        method: &str,
        params: &Value,
        cipher: Cipher,
        expires: u64,
    ) -> Result<Event, NodeError> {
        let text = Zeroizing::new(json!({"method": method, "params": params}).to_string());
        let mut tags = vec![Tag::public_key(self.wallet), Tag::expiration(Timestamp::from_secs(expires))];
        let secret = self.keys.secret_key();
        let content = match cipher {
            Cipher::Nip04 => nip04::encrypt(secret, &self.wallet, text.as_bytes()).ok(),
            Cipher::Nip44 => {
                tags.extend(Tag::parse(["encryption", "nip44_v2"]));
                nip44::encrypt(secret, &self.wallet, text.as_bytes(), nip44::Version::V2).ok()
            }
        };
        let signed = content.and_then(|content| self.sign(Kind::from(REQUEST), &content, tags));
        signed.ok_or_else(|| NodeError::Config("Nostr Wallet Connect: the keys do not work".to_owned()))
    }

    /// What a relay asks for to know who is there (NIP-42).
    pub(super) fn login(&self, relay: &str, challenge: &str) -> Option<Event> {
        let tags = [Tag::parse(["relay", relay]).ok()?, Tag::parse(["challenge", challenge]).ok()?];
        self.sign(Kind::Authentication, "", tags)
    }

    fn sign(&self, kind: Kind, content: &str, tags: impl IntoIterator<Item = Tag>) -> Option<Event> {
        EventBuilder::new(kind, content).tags(tags).sign_with_keys(&self.keys).ok()
    }

    /// Reads an event; `None` for whatever is not the wallet's own word to this gate. `expects` says whether an answer to
    /// a request is waited for, which is cheaper to know than whether a signature is good.
    pub(super) fn open(&self, event: &Event, expects: impl Fn(&EventId) -> bool) -> Option<Letter> {
        if event.pubkey != self.wallet {
            return None;
        }
        let kind = event.kind.as_u16();
        if kind == INFO {
            event.verify().ok()?;
            return Some(Letter::Info(Info::of(event)));
        }
        let own = self.keys.public_key();
        if !event.tags.public_keys().any(|addressee| *addressee == own) {
            return None;
        }
        match kind {
            RESPONSE => {
                let to = event.tags.event_ids().find(|id| expects(id)).copied()?;
                event.verify().ok()?;
                Some(Letter::Response(to, self.decrypt(&event.content)?))
            }
            NOTIFICATION | NOTIFICATION_NIP04 => {
                event.verify().ok()?;
                Some(Letter::Notification(self.decrypt(&event.content)?))
            }
            _ => None,
        }
    }

    /// Either encryption: what is read was signed by the wallet.
    fn decrypt(&self, content: &str) -> Option<Zeroizing<String>> {
        let secret = self.keys.secret_key();
        let text = if content.contains("?iv=") {
            nip04::decrypt(secret, &self.wallet, content).ok()
        } else {
            nip44::decrypt(secret, &self.wallet, content).ok()
        };
        text.map(Zeroizing::new)
    }
}

impl Info {
    fn of(event: &Event) -> Self {
        let methods: Vec<String> = event.content.split_whitespace().map(str::to_owned).collect();
        let tag = |name: &str| {
            let tags =
                event.tags.iter().map(Tag::as_slice).filter(|tag| tag.first().is_some_and(|t| t == name));
            tags.filter_map(|tag| tag.get(1)).flat_map(|text| text.split_whitespace()).collect::<Vec<_>>()
        };
        Self {
            notifies: tag("notifications").contains(&"payment_received"),
            nip44: tag("encryption").contains(&"nip44_v2"),
            methods,
            at: event.created_at.as_secs(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Two {
        gate: Envelope,
        wallet: Envelope,
    }

    /// The wallet's side is the same with the keys exchanged.
    fn two() -> Two {
        let (gate, wallet) = (Keys::generate(), Keys::generate());
        let (gates, wallets) = (gate.public_key(), wallet.public_key());
        Two {
            gate: Envelope { keys: gate, wallet: wallets },
            wallet: Envelope { keys: wallet, wallet: gates },
        }
    }

    fn response(by: &Envelope, to: EventId, cipher: Cipher) -> Event {
        let secret = by.keys.secret_key();
        let content = match cipher {
            Cipher::Nip04 => nip04::encrypt(secret, &by.wallet, "{}").unwrap(),
            Cipher::Nip44 => nip44::encrypt(secret, &by.wallet, "{}", nip44::Version::V2).unwrap(),
        };
        by.sign(Kind::from(RESPONSE), &content, [Tag::public_key(by.wallet), Tag::event(to)]).unwrap()
    }

    #[test]
    fn the_other_side_reads_what_was_written_in_either_encryption() {
        let Two { gate, wallet } = two();
        for cipher in [Cipher::Nip04, Cipher::Nip44] {
            let request = gate.request("get_info", &json!({}), cipher, 7).unwrap();
            request.verify().unwrap();
            assert_eq!(request.tags.expiration().map(Timestamp::as_secs), Some(7));
            let read: Value = serde_json::from_str(&wallet.decrypt(&request.content).unwrap()).unwrap();
            assert_eq!(read["method"], "get_info");
            let letter = gate.open(&response(&wallet, request.id, cipher), |id| *id == request.id);
            assert!(matches!(letter, Some(Letter::Response(id, text)) if id == request.id && *text == "{}"));
        }
    }

    #[test]
    fn nobody_else_is_believed() {
        let Two { gate, wallet } = two();
        let id = gate.request("get_info", &json!({}), Cipher::Nip44, 7).unwrap().id;
        let good = response(&wallet, id, Cipher::Nip44);
        let expected = |asked: &EventId| *asked == id;
        assert!(gate.open(&good, expected).is_some());
        assert!(gate.open(&good, |_| false).is_none(), "nothing was asked, or it was answered before");

        let stranger = two().wallet;
        let by_stranger = Envelope { keys: stranger.keys, wallet: gate.keys.public_key() };
        let forged = response(&by_stranger, id, Cipher::Nip44);
        assert!(gate.open(&forged, expected).is_none(), "another author");
        let mut posing = forged;
        posing.pubkey = wallet.keys.public_key();
        assert!(gate.open(&posing, expected).is_none(), "another's signature under the wallet's name");
        let mut changed = good.clone();
        changed.content = response(&wallet, id, Cipher::Nip44).content;
        assert!(gate.open(&changed, expected).is_none(), "the content is not what was signed");
        let elsewhere = Envelope { keys: wallet.keys.clone(), wallet: Keys::generate().public_key() };
        assert!(gate.open(&response(&elsewhere, id, Cipher::Nip44), expected).is_none(), "to somebody else");
    }

    #[test]
    fn the_info_event_says_what_the_wallet_can() {
        let Two { gate, wallet } = two();
        let tags = [
            Tag::parse(["encryption", "nip44_v2 nip04"]).unwrap(),
            Tag::parse(["notifications", "payment_received payment_sent"]).unwrap(),
        ];
        let event = wallet.sign(Kind::from(INFO), "make_invoice lookup_invoice", tags).unwrap();
        let Some(Letter::Info(info)) = gate.open(&event, |_| false) else { panic!("no info") };
        assert!(info.nip44 && info.notifies && info.methods == ["make_invoice", "lookup_invoice"]);
        let bare = wallet.sign(Kind::from(INFO), "", []).unwrap();
        let Some(Letter::Info(info)) = gate.open(&bare, |_| false) else { panic!("no info") };
        assert!(!info.nip44 && !info.notifies && info.methods.is_empty());
    }
}
