//! `octroi call`: one call of a tool behind a gate, as an agent would make it.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use clap::Args;
use indicatif::ProgressBar;
use octroi_agent::{
    Agent, AgentError, Budget, CallOptions, CallOutcome, Observer, Paid, Protocol, Purse, Secret, Step,
    WorkPolicy,
};
use octroi_lightning::phoenixd::Phoenixd;
use octroi_lightning::{LightningNode, Password};
use serde_json::{Map, Value, json};
use url::Url;

use super::pow::SolveBar;

/// The tool says that it failed.
const EXIT_TOOL: u8 = 1;
/// The arguments, the purse or the wallet's address cannot be used.
const EXIT_USAGE: u8 = 2;
/// The server wants to know who calls.
const EXIT_IDENTITY: u8 = 3;
/// The server wants more than may be paid, or the wallet did not pay.
const EXIT_PAYMENT: u8 = 4;
/// The server does not do this.
const EXIT_REFUSED: u8 = 5;
/// The server did not answer, or not with MCP.
const EXIT_NETWORK: u8 = 6;

/// How often the progress is drawn.
const TICK: Duration = Duration::from_millis(100);

/// Call a tool, paying or computing for it within limits.
///
/// Exits with 0; 1 when the tool says it failed; 2 for wrong arguments; 3 when an access token is needed; 4 when payment is
/// needed beyond what is allowed; 5 when refused otherwise; 6 when the server did not answer.
#[derive(Clone, Debug, Args)]
pub struct CallArgs {
    /// The MCP endpoint, such as http://127.0.0.1:8402/mcp.
    url: Url,
    /// The tool's name.
    tool: String,
    /// An argument. VALUE is read as JSON where it is JSON, and as text otherwise.
    #[arg(long = "arg", value_name = "NAME=VALUE", value_parser = argument)]
    args: Vec<(String, Value)>,
    /// All arguments as a JSON object.
    #[arg(long, value_name = "OBJECT", conflicts_with = "args", value_parser = object)]
    json: Option<Value>,
    /// The access token, or env:NAME or file:PATH where it stands.
    #[arg(long, env = "OCTROI_TOKEN", hide_env_values = true, value_parser = secret)]
    token: Option<Secret>,
    /// What pays: phoenixd+http://:PASSWORD@HOST:PORT, or env:NAME or file:PATH where this stands.
    #[arg(long, env = "OCTROI_WALLET", hide_env_values = true, value_parser = wallet)]
    wallet: Option<WalletAddress>,
    /// The most satoshis to give away, routing fees included.
    #[arg(long, value_name = "N", default_value_t = 100)]
    max_sats: u32,
    /// How many calls to buy at once, should one have to be bought.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    calls: u32,
    /// Solve puzzles of up to so many bits instead of paying.
    #[arg(long, value_name = "BITS")]
    work: Option<f64>,
    /// Keep credentials in this file, and use those in it before paying.
    #[arg(long, value_name = "FILE")]
    purse: Option<PathBuf>,
    /// Speak MCP 2025-11-25, with a session.
    #[arg(long)]
    legacy: bool,
    /// Print one JSON object.
    #[arg(long)]
    json_output: bool,
}

/// Where a wallet is, and what opens it.
#[derive(Clone, Debug)]
struct WalletAddress {
    url: Url,
    password: Password,
}

/// Makes the call and prints what it gave and what it cost.
pub fn run(args: &CallArgs) -> ExitCode {
    let made = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| AgentError::Config(error.to_string()))
        .and_then(|runtime| runtime.block_on(call(args)));
    match made {
        Ok(outcome) => {
            if args.json_output {
                println!("{}", outcome_json(&outcome));
            } else {
                println!("{}", content(&outcome.result));
                eprintln!("{}", cost(&outcome));
            }
            if outcome.is_error { ExitCode::from(EXIT_TOOL) } else { ExitCode::SUCCESS }
        }
        Err(error) => {
            let code = exit_code(&error);
            if args.json_output {
                println!("{}", error_json(&error, code));
            } else {
                eprintln!("octroi: {error}");
            }
            ExitCode::from(code)
        }
    }
}

async fn call(args: &CallArgs) -> Result<CallOutcome, AgentError> {
    let most = i64::from(args.max_sats) * 1000;
    let mut builder = Agent::builder(args.url.clone())
        .budget(Budget { per_call_msat: most, total_msat: most })
        .work(args.work.map_or(WorkPolicy::Never, WorkPolicy::UpTo))
        .protocol(if args.legacy { Protocol::Legacy } else { Protocol::Modern })
        .observer(progress());
    if let Some(token) = &args.token {
        builder = builder.token(token.clone());
    }
    if let Some(WalletAddress { url, password }) = &args.wallet {
        let node =
            Phoenixd::new(url, password.clone()).map_err(|error| AgentError::Config(error.to_string()))?;
        let node: Arc<dyn LightningNode> = Arc::new(node);
        builder = builder.wallet(node);
    }
    if let Some(path) = &args.purse {
        builder = builder.purse(Arc::new(Purse::open(path)?));
    }
    let arguments = match &args.json {
        Some(object) => object.clone(),
        None => Value::Object(args.args.iter().cloned().collect::<Map<_, _>>()),
    };
    builder.build()?.call(&args.tool, arguments, CallOptions::buying(args.calls)).await
}

/// Shows a person what is being waited for; nothing where standard error is no terminal.
fn progress() -> Observer {
    let shown = Mutex::new(None);
    Arc::new(move |step| {
        let mut shown = shown.lock().unwrap_or_else(PoisonError::into_inner);
        // What was shown ends with the next step, whichever it is.
        shown.take();
        *shown = waiting_for(step);
    })
}

/// What is drawn while a step takes its time; it vanishes when dropped.
enum Waiting {
    Paying(ProgressBar),
    Solving { _bar: SolveBar },
}

impl Drop for Waiting {
    fn drop(&mut self) {
        if let Self::Paying(bar) = self {
            bar.finish_and_clear();
        }
    }
}

fn waiting_for(step: &Step) -> Option<Waiting> {
    match step {
        Step::Paying { amount, calls, .. } => {
            let words = format!("paying {} for {calls} call(s)", sats(amount.as_i64()));
            let bar = ProgressBar::new_spinner().with_message(words);
            bar.enable_steady_tick(TICK);
            Some(Waiting::Paying(bar))
        }
        Step::Solving { bits, tried } => {
            Some(Waiting::Solving { _bar: SolveBar::start(*bits, Arc::clone(tried)) })
        }
        _ => None,
    }
}

fn exit_code(error: &AgentError) -> u8 {
    match error {
        AgentError::Config(_) | AgentError::Purse(_) => EXIT_USAGE,
        AgentError::IdentityNeeded(_) => EXIT_IDENTITY,
        AgentError::PaymentRequired(_)
        | AgentError::OverBudget { .. }
        | AgentError::Pay(_)
        | AgentError::PaymentPending { .. } => EXIT_PAYMENT,
        AgentError::Network(_)
        | AgentError::Timeout
        | AgentError::TooLong { .. }
        | AgentError::BadReply(_) => EXIT_NETWORK,
        _ => EXIT_REFUSED,
    }
}

/// The result for a person: its texts, and everything else as JSON.
fn content(result: &Value) -> String {
    let Some(parts) = result.get("content").and_then(Value::as_array) else { return result.to_string() };
    let line = |part: &Value| match part.get("text").and_then(Value::as_str) {
        Some(text) => text.to_owned(),
        None => part.to_string(),
    };
    parts.iter().map(line).collect::<Vec<_>>().join("\n")
}

/// What it cost, in one line.
fn cost(outcome: &CallOutcome) -> String {
    let mut words = Vec::new();
    if let Some(Paid { amount, fee, calls, .. }) = outcome.paid {
        words.push(format!(
            "paid {} (and {} for the route) for {calls} call(s)",
            sats(amount.as_i64()),
            sats(fee.as_i64())
        ));
    }
    if let Some(work) = outcome.work {
        words.push(format!("computed {} bits in {:.2} s", work.bits, work.seconds));
    } else if let (Some(price), Some(balance)) = (outcome.price, outcome.balance) {
        words.push(format!("the call cost {}, {} left", sats(price), sats(balance)));
    }
    if words.is_empty() { "free".to_owned() } else { words.join("; ") }
}

fn sats(msat: i64) -> String {
    format!("{} sats", msat as f64 / 1000.0)
}

fn outcome_json(outcome: &CallOutcome) -> Value {
    json!({
        "result": outcome.result,
        "is_error": outcome.is_error,
        "paid": outcome.paid.map(|paid| json!({
            "amount_msat": paid.amount.as_i64(),
            "fee_msat": paid.fee.as_i64(),
            "payment_hash": paid.payment_hash.to_string(),
            "calls": paid.calls,
        })),
        "work": outcome.work.map(|work| json!({"bits": work.bits, "seconds": work.seconds})),
        "price": outcome.price,
        "balance": outcome.balance,
    })
}

fn error_json(error: &AgentError, code: u8) -> Value {
    let mut json = json!({"exit": code, "message": error.to_string()});
    match error {
        AgentError::IdentityNeeded(needed) => {
            json["resource_metadata"] = json!(needed.metadata_url.as_ref().map(Url::as_str));
            json["authorization_servers"] =
                json!(needed.metadata.as_ref().map(|found| &found.authorization_servers));
            json["scope"] = json!(needed.scope);
        }
        AgentError::PaymentRequired(required) => {
            json["reason"] = json!(required.reason);
            json["price_msat"] = json!(required.price.map(|price| price.amount.as_i64()));
            json["invoice"] = json!(required.offer.as_ref().map(|offer| &offer.invoice));
            json["work_bits"] = json!(required.work.as_ref().map(|work| work.difficulty.bits()));
        }
        AgentError::Refused { status, reason, .. } => {
            json["status"] = json!(status);
            json["reason"] = json!(reason);
        }
        _ => {}
    }
    json!({ "error": json })
}

fn argument(text: &str) -> Result<(String, Value), String> {
    let (name, value) = text.split_once('=').ok_or("expected NAME=VALUE")?;
    let value = serde_json::from_str(value).unwrap_or_else(|_| Value::from(value));
    Ok((name.to_owned(), value))
}

fn object(text: &str) -> Result<Value, String> {
    let value: Value = serde_json::from_str(text).map_err(|error| error.to_string())?;
    if value.is_object() { Ok(value) } else { Err("expected a JSON object".to_owned()) }
}

/// The text itself, or what stands at `env:NAME` or `file:PATH`.
fn held(text: &str) -> Result<String, String> {
    let found = if let Some(name) = text.strip_prefix("env:") {
        std::env::var(name).map_err(|_| format!("the variable {name} is not set"))?
    } else if let Some(path) = text.strip_prefix("file:") {
        std::fs::read_to_string(path).map_err(|error| format!("{path}: {error}"))?
    } else {
        text.to_owned()
    };
    Ok(found.trim().to_owned())
}

fn secret(text: &str) -> Result<Secret, String> {
    held(text).map(Secret::new)
}

fn wallet(text: &str) -> Result<WalletAddress, String> {
    let text = held(text)?;
    let address = text.strip_prefix("phoenixd+").ok_or("expected phoenixd+http://:PASSWORD@HOST:PORT")?;
    let mut url = Url::parse(address).map_err(|error| error.to_string())?;
    let encoded =
        url.password().filter(|password| !password.is_empty()).ok_or("the address holds no password")?;
    // The only text of a form, so that it is decoded as one; `+` is no blank in a password.
    let form = format!("p={}", encoded.replace('+', "%2B").replace('&', "%26"));
    let decoded = url::form_urlencoded::parse(form.as_bytes()).next().map(|(_, value)| value.into_owned());
    let password = Password::new(decoded.unwrap_or_default());
    if url.set_password(None).is_err() || url.set_username("").is_err() {
        return Err("expected phoenixd+http://:PASSWORD@HOST:PORT".to_owned());
    }
    Ok(WalletAddress { url, password })
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        call: CallArgs,
    }

    fn read(args: &[&str]) -> CallArgs {
        Line::try_parse_from([&["call", "http://127.0.0.1:1/mcp", "tool"], args].concat()).unwrap().call
    }

    #[test]
    fn arguments_are_json_where_they_can_be() {
        let args = read(&["--arg", "n=3", "--arg", "text=a=b", "--arg", "list=[1]", "--arg", "yes=true"]);
        let read: Map<_, _> = args.args.into_iter().collect();
        assert_eq!(Value::Object(read), json!({"n": 3, "text": "a=b", "list": [1], "yes": true}));
        assert!(Line::try_parse_from(["call", "http://h/", "t", "--json", "[1]"]).is_err());
        assert!(Line::try_parse_from(["call", "http://h/", "t", "--calls", "0"]).is_err());
    }

    #[test]
    fn a_wallet_is_an_address_and_a_password_that_is_not_shown() {
        let args = read(&["--wallet", "phoenixd+http://:pa%2Fss+&@127.0.0.1:9740", "--token", "to.ken"]);
        let shown = format!("{args:?}");
        assert!(!shown.contains("pa/ss") && !shown.contains("to.ken"), "{shown}");
        let wallet = args.wallet.unwrap();
        assert_eq!(wallet.url.as_str(), "http://127.0.0.1:9740/");
        assert_eq!(wallet.password.reveal(), "pa/ss+&");
        for bad in ["http://:p@h/", "phoenixd+http://h/", "phoenixd+nothing", "env:OCTROI_TEST_NO_SUCH_NAME"]
        {
            assert!(super::wallet(bad).is_err(), "{bad}");
        }
    }

    #[tokio::test]
    async fn a_server_that_is_not_there_is_the_network() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/mcp", listener.local_addr().unwrap());
        drop(listener);
        let args = Line::try_parse_from(["call", &url, "tool"]).unwrap().call;
        let error = call(&args).await.unwrap_err();
        assert_eq!(exit_code(&error), EXIT_NETWORK, "{error}");
    }

    #[test]
    fn texts_are_shown_as_texts() {
        let result =
            json!({"content": [{"type": "text", "text": "a\nb"}, {"type": "image", "data": "AA=="}]});
        assert_eq!(content(&result), "a\nb\n{\"data\":\"AA==\",\"type\":\"image\"}");
        assert_eq!(content(&json!({"x": 1})), "{\"x\":1}");
    }
}
