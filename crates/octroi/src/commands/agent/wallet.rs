//! The wallet an agent pays from.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use octroi_agent::AgentError;
use octroi_lightning::nwc::Nwc;
use octroi_lightning::phoenixd::Phoenixd;
use octroi_lightning::{LightningNode, Password};
use url::Url;

use super::text::held;
use crate::config::{LightningBackend, LightningConfig};
use crate::wiring::lightning::Node;

/// How long the peers of a node that was just started may take to be there.
const PEERS_WAIT: Duration = Duration::from_secs(10);
/// Between two looks at them.
const LOOK_PAUSE: Duration = Duration::from_millis(50);

/// Where a wallet is, and what opens it.
#[derive(Clone, Debug)]
pub(in super::super) enum WalletAddress {
    /// A phoenixd.
    Phoenixd { url: Url, password: Password },
    /// `nostr+walletconnect://…`, which is a secret as a whole.
    Nwc(Password),
    /// A file with a `[lightning]` section, as a gate's configuration has one: any backend there is.
    File(PathBuf),
}

/// A wallet that can be paid from; closed with [`Wallet::close`].
pub(in super::super) struct Wallet {
    pub(in super::super) node: Arc<dyn LightningNode>,
    own: Option<Node>,
}

impl WalletAddress {
    /// Reads an address, or what stands at `env:NAME` or `file:PATH`.
    pub(super) fn read(text: &str) -> Result<Self, String> {
        const FORMS: &str =
            "expected phoenixd+http://:PASSWORD@HOST:PORT, nostr+walletconnect://…, or config:FILE";
        let text = held(text)?;
        if let Some(path) = text.strip_prefix("config:") {
            return Ok(Self::File(path.into()));
        }
        if text.starts_with("nostr+walletconnect:") {
            let connection = Password::new(text);
            Nwc::check(&connection).map_err(|error| error.to_string())?;
            return Ok(Self::Nwc(connection));
        }
        let address = text.strip_prefix("phoenixd+").ok_or(FORMS)?;
        let mut url = Url::parse(address).map_err(|error| error.to_string())?;
        let encoded =
            url.password().filter(|password| !password.is_empty()).ok_or("the address holds no password")?;
        // The only text of a form, so that it is decoded as one; `+` is no blank in a password.
        let form = format!("p={}", encoded.replace('+', "%2B").replace('&', "%26"));
        let decoded = url::form_urlencoded::parse(form.as_bytes()).next();
        let password = Password::new(decoded.map(|(_, value)| value.into_owned()).unwrap_or_default());
        if url.set_password(None).is_err() || url.set_username("").is_err() {
            return Err(FORMS.to_owned());
        }
        Ok(Self::Phoenixd { url, password })
    }

    /// Starts the embedded node, or gets ready to talk to another.
    pub(super) async fn open(&self) -> Result<Wallet, AgentError> {
        let config = |error: &dyn std::fmt::Display| AgentError::Config(error.to_string());
        match self {
            Self::Phoenixd { url, password } => {
                let node = Phoenixd::new(url, password.clone()).map_err(|error| config(&error))?;
                Ok(Wallet { node: Arc::new(node), own: None })
            }
            Self::Nwc(connection) => {
                let node = Nwc::that_only_pays(connection).map_err(|error| config(&error))?;
                Ok(Wallet { node: Arc::new(node), own: None })
            }
            Self::File(path) => {
                let settings = LightningConfig::load_wallet(path).map_err(|mistakes| config(&mistakes))?;
                let node = Node::start(&settings).await.map_err(|error| config(&error))?;
                let wallet = Wallet { node: node.handle(), own: Some(node) };
                if matches!(settings.backend, LightningBackend::Embedded(_)) {
                    wallet.meet_peers().await;
                }
                Ok(wallet)
            }
        }
    }
}

impl Wallet {
    /// A node that was just started pays nothing before one of its channels is back.
    async fn meet_peers(&self) {
        let waiting = async {
            while let Ok(info) = self.node.info().await
                && info.channels > 0
                && info.usable_channels == 0
            {
                tokio::time::sleep(LOOK_PAUSE).await;
            }
        };
        // Whoever comes too late is said when something is to be paid.
        let _ = tokio::time::timeout(PEERS_WAIT, waiting).await;
    }

    /// Stops a node that runs in this process.
    pub(super) async fn close(self) {
        if let Some(node) = self.own {
            node.stop().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wallet_is_an_address_and_a_password_that_is_not_shown() {
        let read = WalletAddress::read("phoenixd+http://:pa%2Fss+&@127.0.0.1:9740").unwrap();
        assert!(!format!("{read:?}").contains("pa/ss"));
        let WalletAddress::Phoenixd { url, password } = read else { panic!("another wallet") };
        assert_eq!((url.as_str(), password.reveal()), ("http://127.0.0.1:9740/", "pa/ss+&"));
        assert!(matches!(WalletAddress::read("config:wallet.toml"), Ok(WalletAddress::File(_))));
        let key = "b889ff5b1513b641e2a139f661a661364979c5beee91842f8f0ef42ab558e9d4";
        let nwc =
            format!("nostr+walletconnect://{key}?relay=wss://relay.example.com&secret={}", "7".repeat(64));
        let read = WalletAddress::read(&nwc).unwrap();
        assert!(matches!(read, WalletAddress::Nwc(_)) && !format!("{read:?}").contains("7777"));
        assert!(WalletAddress::read(&nwc.replace("secret=7", "secret=x")).is_err());
        for bad in ["http://:p@h/", "phoenixd+http://h/", "phoenixd+nothing", "env:OCTROI_TEST_NO_SUCH_NAME"]
        {
            assert!(WalletAddress::read(bad).is_err(), "{bad}");
        }
    }
}
