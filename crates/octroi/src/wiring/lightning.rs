//! The Lightning node the configuration names.

use std::net::SocketAddr;
use std::sync::Arc;

use octroi_lightning::LightningNode;
use octroi_lightning::phoenixd::Phoenixd;
use serde_json::{Value, json};

use super::StartError;
use crate::config::{LightningBackend, LightningConfig};

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
                let password = octroi_lightning::Password::new(settings.password.reveal());
                Ok(Self {
                    handle: Arc::new(Phoenixd::new(&settings.url, password)?),
                    #[cfg(feature = "lightning-embedded")]
                    embedded: None,
                })
            }
            #[cfg(feature = "lightning-embedded")]
            LightningBackend::Embedded(node) => {
                let settings = embedded::settings(config, node);
                let node = Arc::new(octroi_lightning::embedded::EmbeddedNode::start(settings).await?);
                Ok(Self { handle: Arc::clone(&node) as _, embedded: Some(node) })
            }
            #[cfg(not(feature = "lightning-embedded"))]
            LightningBackend::Embedded(_) => Err(StartError::NoEmbeddedNode),
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

#[cfg(feature = "lightning-embedded")]
mod embedded {
    use octroi_lightning::Password;
    use octroi_lightning::embedded::{ChainSource, EmbeddedConfig, Network};

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
        settings
    }
}
