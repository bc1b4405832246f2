//! The Lightning node the configuration names.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use octroi_lightning::cln::Cln;
use octroi_lightning::lnbits::Lnbits;
use octroi_lightning::lnd::Lnd;
use octroi_lightning::lnurl::Lnurl;
use octroi_lightning::nwc::Nwc;
use octroi_lightning::phoenixd::Phoenixd;
use octroi_lightning::{LightningNode, NodeError, Password, Powers};
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::StartError;
use crate::config::{self, LightningBackend, LightningConfig, Macaroon, Secret};

/// A running node.
pub struct Node {
    handle: Arc<dyn LightningNode>,
    #[cfg(feature = "lightning-embedded")]
    embedded: Option<Arc<octroi_lightning::embedded::EmbeddedNode>>,
}

impl Node {
    /// Starts the embedded node, or gets ready to talk to another.
    ///
    /// # Errors
    /// [`StartError::Lightning`].
    pub async fn start(config: &LightningConfig) -> Result<Self, StartError> {
        match &config.backend {
            LightningBackend::Phoenixd(settings) => {
                Ok(Self::other(Phoenixd::new(&settings.url, password(&settings.password))?))
            }
            LightningBackend::Lnd(settings) => {
                let macaroon = match &settings.macaroon {
                    Macaroon::Hex(secret) => password(secret),
                    Macaroon::File(path) => macaroon(path)?,
                };
                let certificate = certificate(settings.tls_cert.as_deref())?;
                Ok(Self::other(Lnd::new(&settings.url, &macaroon, certificate.as_deref())?))
            }
            LightningBackend::Cln(config::Cln::Socket(path)) => Ok(Self::other(Cln::over_socket(path))),
            LightningBackend::Cln(config::Cln::Rest { url, rune, tls_cert }) => {
                let certificate = certificate(tls_cert.as_deref())?;
                Ok(Self::other(Cln::over_rest(url, &password(rune), certificate.as_deref())?))
            }
            LightningBackend::Lnbits(settings) => {
                Ok(Self::other(Lnbits::new(&settings.url, &password(&settings.key))?))
            }
            LightningBackend::Lnurl(settings) => {
                Ok(Self::other(Lnurl::new(&settings.address, &settings.file)?))
            }
            LightningBackend::Nwc(settings) => {
                Ok(Self::other(Nwc::new(&password(&settings.connection), &settings.file)?))
            }
            #[cfg(feature = "lightning-embedded")]
            LightningBackend::Embedded(node) => {
                let mut settings = embedded::settings(config, node);
                settings.passphrase = super::passphrase::of(node).await?;
                let node = Arc::new(octroi_lightning::embedded::EmbeddedNode::start(settings).await?);
                Ok(Self { handle: Arc::clone(&node) as _, embedded: Some(node) })
            }
            #[cfg(not(feature = "lightning-embedded"))]
            LightningBackend::Embedded(_) => Err(StartError::NoEmbeddedNode),
        }
    }

    /// A node that is not in this process.
    fn other(node: impl LightningNode + 'static) -> Self {
        Self {
            handle: Arc::new(node),
            #[cfg(feature = "lightning-embedded")]
            embedded: None,
        }
    }

    /// The node, for whoever sells or books.
    pub fn handle(&self) -> Arc<dyn LightningNode> {
        Arc::clone(&self.handle)
    }

    /// What a program wants to know of it: backend, node id, and where peers connect to an embedded node.
    pub async fn describe(&self) -> Value {
        let id = self.handle.info().await.ok().map(|info| info.id);
        let listen: Vec<String> = self.listening().iter().map(ToString::to_string).collect();
        json!({"backend": self.handle.backend(), "id": id, "listen": listen})
    }

    #[cfg(feature = "lightning-embedded")]
    fn listening(&self) -> Vec<SocketAddr> {
        self.embedded.as_ref().map(|node| node.listening()).unwrap_or_default()
    }

    #[cfg(not(feature = "lightning-embedded"))]
    fn listening(&self) -> Vec<SocketAddr> {
        Vec::new()
    }

    /// Stops an embedded node; another one is left alone.
    pub async fn stop(&self) {
        #[cfg(feature = "lightning-embedded")]
        if let Some(node) = &self.embedded {
            node.stop().await;
        }
    }
}

/// How long to wait before a node that did not say what its credential allows is asked again.
const ASK_AGAIN: Duration = Duration::from_secs(60);

/// Says in the log what the credential allows that it need not, or does not that it must, where only the node knows.
pub(super) async fn note_powers(node: Arc<dyn LightningNode>, backend: LightningBackend) {
    if backend.known_powers() != Powers::UNKNOWN {
        // Said with the other notes on the configuration.
        return;
    }
    loop {
        match node.powers().await {
            Ok(powers) => {
                for remark in backend.power_remarks(powers) {
                    tracing::warn!("{remark}");
                }
                return;
            }
            Err(NodeError::Stopped) => return,
            Err(error) => tracing::debug!(%error, "the node does not say what its credential allows"),
        }
        tokio::time::sleep(ASK_AGAIN).await;
    }
}

fn password(secret: &Secret) -> Password {
    Password::new(secret.reveal())
}

/// A macaroon as LND writes it: bytes.
fn macaroon(path: &Path) -> Result<Password, NodeError> {
    let bytes = std::fs::read(path).map_err(|error| unreadable(path, &error))?;
    Ok(Password::new(hex::encode(Zeroizing::new(bytes).as_slice())))
}

fn certificate(path: Option<&Path>) -> Result<Option<String>, NodeError> {
    path.map(|path| std::fs::read_to_string(path).map_err(|error| unreadable(path, &error))).transpose()
}

fn unreadable(path: &Path, error: &std::io::Error) -> NodeError {
    NodeError::Config(format!("cannot read {}: {error}", path.display()))
}

#[cfg(feature = "lightning-embedded")]
mod embedded {
    use octroi_lightning::Password;
    use octroi_lightning::embedded::{ChainSource, EmbeddedConfig, LiquidityProvider, Network};

    use crate::config;

    pub(super) fn settings(
        lightning: &config::LightningConfig,
        node: &config::EmbeddedNode,
    ) -> EmbeddedConfig {
        let network = match lightning.network {
            config::Network::Bitcoin => Network::Bitcoin,
            config::Network::Testnet => Network::Testnet,
            config::Network::Signet => Network::Signet,
            config::Network::Regtest => Network::Regtest,
        };
        let chain = match &node.chain {
            config::ChainSource::Bitcoind { host, port, user, password } => ChainSource::Bitcoind {
                host: host.clone(),
                port: *port,
                user: user.clone(),
                password: Password::new(password.reveal()),
            },
            config::ChainSource::Esplora(url) => ChainSource::Esplora { url: url.to_string() },
            config::ChainSource::Electrum(url) => ChainSource::Electrum { url: url.clone() },
        };
        let mut settings = EmbeddedConfig::new(network, &node.storage_dir, chain);
        settings.listen.clone_from(&node.listen);
        settings.alias.clone_from(&node.alias);
        settings.trusted_0conf.clone_from(&node.trusted_peers);
        settings.trusted_no_reserve.clone_from(&node.trusted_peers);
        settings.liquidity = node.lsp.as_ref().map(|lsp| LiquidityProvider {
            id: lsp.id.clone(),
            address: lsp.address,
            token: lsp.token.as_ref().map(|token| Password::new(token.reveal())),
            fee_percent_max: lsp.fee_percent_max,
        });
        settings
    }
}
