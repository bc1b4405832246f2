//! `octroi fetch`: one request of a plain HTTP API that asks for payment.

use std::io::Write;
use std::process::ExitCode;
use std::sync::Arc;

use bytes::Bytes;
use clap::Args;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HOST};
use http::{HeaderName, HeaderValue, Method, Request, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use octroi_agent::{AgentError, Charged, HttpClient, Identity, PayLayer, PlainLines, Unpaid};
use tower::{Layer, ServiceExt};
use url::Url;

use super::agent::{
    EXIT_IDENTITY, EXIT_PAYMENT, EXIT_REFUSED, IdentityArgs, PayerArgs, WhenToAsk, finish, progress, sats,
};

/// The most given away for one request where nobody says otherwise, in satoshis.
const SATS_MAX: u32 = 100;
/// Most bytes of an answer.
const ANSWER_BYTES_MAX: usize = 256 * 1024 * 1024;

/// Fetch a URL, paying for it within limits. Works with L402 servers of every make.
///
/// Prints the answer's body. Exits with 0 for a success; 3 when an access token is needed; 4 when payment is needed beyond what
/// is allowed; 5 for every other refusal; 6 when the server did not answer; 7 when a payment was made, or may have been, and the
/// answer is still a refusal.
#[derive(Clone, Debug, Args)]
pub struct FetchArgs {
    /// The address.
    url: Url,
    /// The method; GET, or POST where there are data.
    #[arg(long, short = 'X', value_name = "METHOD")]
    request: Option<Method>,
    /// A header; may be repeated.
    #[arg(long = "header", short = 'H', value_name = "NAME: VALUE", value_parser = header)]
    headers: Vec<(HeaderName, HeaderValue)>,
    /// What is sent.
    #[arg(long, short = 'd', value_name = "TEXT")]
    data: Option<String>,
    /// Print status and headers, too.
    #[arg(long, short = 'i')]
    include: bool,
    #[command(flatten)]
    identity: IdentityArgs,
    #[command(flatten)]
    payer: PayerArgs,
}

/// Makes the request and prints the answer.
pub fn run(args: &FetchArgs) -> ExitCode {
    finish(false, fetch(args))
}

async fn fetch(args: &FetchArgs) -> Result<ExitCode, AgentError> {
    let funds = args.payer.with_most(SATS_MAX).open(Some(progress()), None).await?;
    // A token is shown; signing in is for MCP servers, which say where.
    let identity = args.identity.identity(&args.url, funds.payer.purse(), WhenToAsk::AtTerminal)?;
    let request = request(args, &identity)?;
    let client = PayLayer::new(Arc::clone(&funds.payer)).layer(HttpClient::new()?);
    let answered = client.oneshot(request).await;
    funds.close().await;
    let answer = answered.map_err(|error| match error.downcast::<AgentError>() {
        Ok(error) => *error,
        Err(error) => AgentError::Network(error.to_string()),
    })?;
    let (head, body) = answer.into_parts();
    let body = Limited::new(body, ANSWER_BYTES_MAX).collect().await;
    let body = body.map_err(|_| AgentError::TooLong { max: ANSWER_BYTES_MAX })?.to_bytes();
    let printed = print(args.include, &head, &body);
    printed.map_err(|error| AgentError::Config(format!("standard output: {error}")))?;
    if let Some(Unpaid(why)) = head.extensions.get() {
        eprintln!("octroi: {}", PlainLines(&why.to_string()));
        return Ok(ExitCode::from(match &**why {
            AgentError::StillUnpaid { .. } | AgentError::PaymentPending { .. } => 7,
            _ => EXIT_PAYMENT,
        }));
    }
    if let Some(paid) = head.extensions.get::<Charged>().and_then(|charged| charged.paid) {
        eprintln!("paid {} (and {} for the route)", sats(paid.amount.as_i64()), sats(paid.fee.as_i64()));
    }
    Ok(match head.status {
        status if status.is_success() => ExitCode::SUCCESS,
        StatusCode::UNAUTHORIZED => ExitCode::from(EXIT_IDENTITY),
        _ => ExitCode::from(EXIT_REFUSED),
    })
}

fn request(args: &FetchArgs, identity: &Identity) -> Result<Request<Full<Bytes>>, AgentError> {
    let method = match (&args.request, &args.data) {
        (Some(method), _) => method.clone(),
        (None, Some(_)) => Method::POST,
        (None, None) => Method::GET,
    };
    let body = Full::new(Bytes::from(args.data.clone().unwrap_or_default()));
    let mut request = Request::new(body);
    *request.method_mut() = method;
    let address = args.url.as_str().parse();
    *request.uri_mut() =
        address.map_err(|_| AgentError::Config(format!("{} cannot be fetched", args.url)))?;
    let headers = request.headers_mut();
    if args.data.is_some() {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded"));
    }
    if let Identity::Token(token) = identity {
        let value = HeaderValue::from_str(&format!("Bearer {}", token.reveal()));
        let mut value = value.map_err(|_| AgentError::Config("the token fits into no header".to_owned()))?;
        value.set_sensitive(true);
        headers.insert(AUTHORIZATION, value);
    }
    for (name, value) in &args.headers {
        headers.insert(name.clone(), value.clone());
    }
    Ok(request)
}

fn print(include: bool, head: &http::response::Parts, body: &[u8]) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    if include {
        writeln!(out, "{}", head.status)?;
        for (name, value) in &head.headers {
            writeln!(out, "{name}: {}", String::from_utf8_lossy(value.as_bytes()))?;
        }
        writeln!(out)?;
    }
    out.write_all(body)?;
    out.flush()
}

fn header(text: &str) -> Result<(HeaderName, HeaderValue), String> {
    let (name, value) = text.split_once(':').ok_or("expected NAME: VALUE")?;
    let name: HeaderName = name.trim().parse().map_err(|_| "not a header's name")?;
    if name == HOST {
        return Err("the host stands in the address".to_owned());
    }
    Ok((name, value.trim().parse().map_err(|_| "not a header's value")?))
}
