//! Who calls: the flags, and what comes of them.

use std::io::IsTerminal;
use std::sync::Arc;

use clap::Args;
use octroi_agent::{AgentError, Grant, Identity, Purse, Secret, SignIn, SignInSettings};
use serde_json::Value;
use url::Url;

use super::person::show_page;
use super::text::secret;

/// Who calls.
#[derive(Clone, Debug, Args)]
pub(crate) struct IdentityArgs {
    /// The access token, or env:NAME or file:PATH where it stands. Without one the agent signs in where a server asks.
    #[arg(long, env = "OCTROI_TOKEN", hide_env_values = true, value_parser = secret)]
    token: Option<Secret>,
    /// The id of a client that the issuer knows.
    #[arg(long, value_name = "ID", env = "OCTROI_CLIENT_ID")]
    client_id: Option<String>,
    /// Its secret, or env:NAME or file:PATH where it stands.
    #[arg(long, value_name = "SECRET", env = "OCTROI_CLIENT_SECRET", hide_env_values = true, value_parser = secret)]
    client_secret: Option<Secret>,
    /// Where a metadata document describes this client (CIMD).
    #[arg(long, value_name = "URL")]
    client_metadata_url: Option<Url>,
    /// Sign in as a program, with the client's id and secret, and not as a person.
    #[arg(long, requires = "client_id", requires = "client_secret")]
    client_credentials: bool,
    /// A scope to ask for beside those the server names; may be repeated.
    #[arg(long = "scope", value_name = "SCOPE")]
    scopes: Vec<String>,
    /// The local port that the browser comes back to; any free one unless given.
    #[arg(long, value_name = "PORT")]
    redirect_port: Option<u16>,
    /// Do not sign in, whoever asks.
    #[arg(long, conflicts_with_all = ["client_credentials", "sign_in"])]
    no_sign_in: bool,
    /// Sign in also where nobody sits at a terminal.
    #[arg(long)]
    sign_in: bool,
}

/// When a person may be sent to a browser.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum WhenToAsk {
    /// Whenever a server asks: whoever started this program sits at the same machine.
    Always,
    /// Where there is a terminal, or the flag says so.
    AtTerminal,
}

impl IdentityArgs {
    /// The document that describes this client, and where it is to be served.
    pub(in super::super) fn metadata(&self) -> Option<(&Url, Value)> {
        let url = self.client_metadata_url.as_ref()?;
        Some((url, octroi_agent::client_metadata(url, self.redirect_port)))
    }

    /// What these flags say for the server at `endpoint`.
    pub(in super::super) fn identity(
        &self,
        endpoint: &Url,
        purse: &Arc<Purse>,
        when: WhenToAsk,
    ) -> Result<Identity, AgentError> {
        if let Some(token) = &self.token {
            return Ok(Identity::Token(token.clone()));
        }
        let somebody = when == WhenToAsk::Always || self.sign_in || std::io::stderr().is_terminal();
        if self.no_sign_in || !(somebody || self.client_credentials) {
            return Ok(Identity::None);
        }
        let settings = SignInSettings {
            grant: if self.client_credentials { Grant::ClientCredentials } else { Grant::Code },
            client_id: self.client_id.clone(),
            client_secret: self.client_secret.clone(),
            client_metadata_url: self.client_metadata_url.clone(),
            scopes: self.scopes.clone(),
            redirect_port: self.redirect_port,
            show: Arc::new(show_page),
        };
        SignIn::new(endpoint.clone(), Arc::clone(purse), settings)
            .map(|signin| Identity::SignIn(Arc::new(signin)))
    }
}
