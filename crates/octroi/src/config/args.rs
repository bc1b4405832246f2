//! The part of the command line that names a configuration and overrides it.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;
use url::Url;

/// The configuration file and the flags laid over it; shared by every command that runs a gate.
///
/// Later wins: the file, then `OCTROI_SECTION__FIELD` variables, then `--set`, then the flags of their own.
#[derive(Clone, Debug, Args)]
pub struct ConfigArgs {
    /// The configuration: TOML, YAML or JSON.
    pub config: PathBuf,
    /// Address of the MCP server behind the gate, instead of the file's.
    #[arg(long, value_name = "URL")]
    pub upstream: Option<Url>,
    /// Issuer of the access tokens (`iss`, exactly), instead of the file's tenant or issuer.
    #[arg(long, value_name = "URL")]
    pub issuer: Option<String>,
    /// Any other field: `section.field=value`; may be repeated.
    #[arg(long = "set", value_name = "FIELD=VALUE")]
    pub set: Vec<String>,
    /// Address to listen on; port 0 takes a free one.
    #[arg(long, value_name = "ADDRESS")]
    pub listen: Option<SocketAddr>,
    /// Address callers know the gate by.
    #[arg(long, value_name = "URL")]
    pub public_url: Option<Url>,
}
