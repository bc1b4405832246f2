//! `octroi identity`: what an operator tells a running gate about who calls, over its own pages.

use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Subcommand};
use http::StatusCode;
use octroi_agent::Secret;
use octroi_identity::Verifier;
use reqwest::redirect::Policy;
use serde_json::{Value, json};
use thiserror::Error;
use url::Url;

use super::agent::secret;

/// The exit code when no gate answered.
const EXIT_NETWORK: u8 = 6;
/// How long the gate may take. Nothing it is asked needs anybody else.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Most bytes of an answer that are shown.
const ANSWER_BYTES_MAX: usize = 4096;

/// Tell a running gate whom to let in no longer.
#[derive(Clone, Debug, Args)]
pub struct IdentityArgs {
    #[command(subcommand)]
    command: IdentityCommand,
}

#[derive(Clone, Debug, Subcommand)]
enum IdentityCommand {
    /// Refuse one access token, or everything that a subject holds by now.
    Revoke(RevokeArgs),
    /// Judge every token anew, and exchange it anew.
    Forget(PlaceArgs),
    /// Sign statements about callers with a new key.
    Rotate(PlaceArgs),
}

#[derive(Clone, Debug, Args)]
struct PlaceArgs {
    /// The root of the operator's pages, as `octroi serve` prints it. They answer this machine only, unless [admin] listen says otherwise.
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:8402")]
    admin: Url,
}

#[derive(Clone, Debug, Args)]
struct RevokeArgs {
    #[command(flatten)]
    what: Revoked,
    #[command(flatten)]
    place: PlaceArgs,
}

#[derive(Clone, Debug, Args)]
#[group(required = true, multiple = true)]
struct Revoked {
    /// Who issued the subject's tokens: `iss`, exactly.
    #[arg(long, value_name = "ISS", requires = "subject", conflicts_with_all = ["token", "token_sha256"])]
    issuer: Option<String>,
    /// The subject as the gate knows it.
    #[arg(long, value_name = "SUB", requires = "issuer")]
    subject: Option<String>,
    /// The access token, or env:NAME or file:PATH where it stands. Only its SHA-256 is sent.
    #[arg(long, value_parser = secret, conflicts_with = "token_sha256")]
    token: Option<Secret>,
    /// The access token's SHA-256, in hexadecimal.
    #[arg(long, value_name = "HEX")]
    token_sha256: Option<String>,
}

#[derive(Debug, Error)]
enum AskError {
    #[error("no gate answered at {0}: {1}")]
    Network(Url, reqwest::Error),
    #[error("the gate said {0}: {1}")]
    Refused(StatusCode, String),
    #[error("{0} has no pages below it: write http://ADDRESS")]
    Place(Url),
    #[error("cannot start: {0}")]
    Start(#[from] std::io::Error),
}

/// Runs `octroi identity …`.
pub fn run(args: &IdentityArgs) -> ExitCode {
    let (place, page, body) = match &args.command {
        IdentityCommand::Revoke(args) => (&args.place, "/identity/revoke", args.what.body()),
        IdentityCommand::Forget(place) => (place, "/identity/forget", Value::Null),
        IdentityCommand::Rotate(place) => (place, "/identity/rotate", Value::Null),
    };
    match ask(&place.admin, page, &body) {
        Ok(said) => {
            print!("{said}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("octroi: {}", error.to_string().trim_end());
            if matches!(error, AskError::Network(..)) {
                ExitCode::from(EXIT_NETWORK)
            } else {
                ExitCode::FAILURE
            }
        }
    }
}

impl Revoked {
    fn body(&self) -> Value {
        match (&self.token, &self.token_sha256) {
            (Some(token), _) => json!({"token_sha256": hex::encode(Verifier::token_hash(token.reveal()))}),
            (None, Some(hash)) => json!({"token_sha256": hash}),
            (None, None) => json!({"issuer": self.issuer, "subject": self.subject}),
        }
    }
}

/// Posts to a page of the operator's: what the gate said, if it did it.
fn ask(admin: &Url, page: &str, body: &Value) -> Result<String, AskError> {
    let mut place = admin.clone();
    if place.cannot_be_a_base() {
        return Err(AskError::Place(place));
    }
    place.set_path(page);
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
        let network = |error: reqwest::Error| AskError::Network(admin.clone(), error.without_url());
        // Not through a proxy: the pages answer whoever sits beside the gate.
        let client = reqwest::Client::builder().timeout(TIMEOUT).redirect(Policy::none()).no_proxy();
        let asked = client.build().map_err(network)?.post(place).body(body.to_string());
        let mut reply = asked.send().await.map_err(network)?;
        let (status, mut answer) = (reply.status(), Vec::new());
        while let Some(piece) = reply.chunk().await.map_err(network)? {
            let room = ANSWER_BYTES_MAX.saturating_sub(answer.len());
            answer.extend_from_slice(piece.get(..room).unwrap_or(&piece));
            if answer.len() >= ANSWER_BYTES_MAX {
                break;
            }
        }
        let said = String::from_utf8_lossy(&answer).into_owned();
        if status.is_success() { Ok(said) } else { Err(AskError::Refused(status, said)) }
    })
}
