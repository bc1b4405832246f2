//! The gate, as its binary, with one free, one identified and one paid tool, and a prepaid credential.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::failure::{Failure, Measured};
use crate::issuer::{AUDIENCE, Issuer};
use crate::process::{Processors, Running};
use crate::request::{FREE, KNOWN, PAID};

/// A running gate.
pub(crate) struct Gate {
    pub(crate) address: SocketAddr,
    pub(crate) process: Running,
    /// A credential with more money on it than any run can spend, as `Authorization` wants it.
    pub(crate) credential: String,
}

impl Gate {
    /// Starts `binary` in front of `upstream`, with its ledger in `dir`.
    pub(crate) fn start(
        binary: &Path,
        dir: &Path,
        upstream: SocketAddr,
        issuer: &Issuer,
        processors: &Processors,
    ) -> Measured<Self> {
        let file = dir.join("gate.toml");
        fs::write(&file, config(dir, upstream, issuer)).map_err(Failure::of("gate.toml"))?;
        let credential = mint(binary, &file)?;
        let mut command = processors.alone(binary.as_os_str());
        command.arg("serve").arg(&file).arg("--json").stdout(Stdio::piped());
        let mut process = Running::start(command)?;
        let mut line = String::new();
        BufReader::new(process.stdout()?).read_line(&mut line).map_err(Failure::of("the gate"))?;
        let ready: Value = serde_json::from_str(&line).map_err(Failure::of("the gate's first line"))?;
        let gate = ready["gate"].as_str().unwrap_or_default();
        let address = gate.strip_prefix("http://").and_then(|url| url.strip_suffix("/mcp")?.parse().ok());
        let address = address.ok_or_else(|| Failure::new(format!("the gate says it is at {gate:?}")))?;
        Ok(Self { address, process, credential })
    }
}

fn config(dir: &Path, upstream: SocketAddr, issuer: &Issuer) -> String {
    let (ledger, issuer) = (dir.join("octroi.db"), &issuer.url);
    format!(
        r#"listen = "127.0.0.1:0"

[ledger]
url = "sqlite://{ledger}"

[log]
level = "error"

[mcp_server]
upstream = "http://{upstream}/mcp"
challenge = "http"

[mcp_server.auth.identity]
provider = "oidc"
issuer = "{issuer}"
audience = "{AUDIENCE}"
algorithms = ["ES256"]

[mcp_server.auth.payment]
pricing = {{ {PAID} = {{ sats = 1 }} }}

[[mcp_server.tools]]
name = "{FREE}"
requires_identity = false

[[mcp_server.tools]]
name = "{KNOWN}"
requires_identity = true

[[mcp_server.tools]]
name = "{PAID}"
requires_identity = true
"#,
        ledger = ledger.display(),
    )
}

/// The operator's voucher; the gate must not be running.
fn mint(binary: &Path, config: &Path) -> Measured<String> {
    let mut command = Command::new(binary);
    command.args(["token", "mint"]).arg(config).args(["--sats", "4000000000", "--ttl", "1d", "--tool", PAID]);
    let minted = command.stderr(Stdio::inherit()).output().map_err(Failure::of("octroi token mint"))?;
    let text = String::from_utf8_lossy(&minted.stdout).trim().to_owned();
    if minted.status.success() && text.contains(':') {
        Ok(text)
    } else {
        Err(Failure::new("octroi token mint gave no credential"))
    }
}
