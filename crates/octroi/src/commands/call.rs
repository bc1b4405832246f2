//! `octroi call`: one call of a tool behind a gate, as an agent would make it.

use std::io::IsTerminal;
use std::process::ExitCode;
use std::sync::Arc;

use clap::Args;
use octroi_agent::{
    Agent, AgentError, CallOptions, CallOutcome, Identity, Paid, Payer, PlainLines, Protocol, Secret,
};
use serde_json::{Map, Value, json};
use url::Url;

use super::agent::{EXIT_TOOL, IdentityArgs, PayerArgs, WhenToAsk, finish, paid_json, progress, sats};

/// The most given away for one call where nobody says otherwise, in satoshis.
const SATS_MAX: u32 = 100;

/// Call a tool, paying or computing for it within limits.
///
/// Exits with 0; 1 when the tool says it failed; 2 for wrong arguments; 3 when an access token is needed; 4 when payment is
/// needed beyond what is allowed; 5 when refused otherwise; 6 when the server did not answer; 7 when a payment was made, or may
/// have been, and the call was not.
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
    #[command(flatten)]
    identity: IdentityArgs,
    #[command(flatten)]
    payer: PayerArgs,
    /// How many calls to buy at once, should one have to be bought; what the policy's rule says unless given.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    calls: Option<u32>,
    /// Speak MCP 2025-11-25, with a session.
    #[arg(long)]
    legacy: bool,
    /// Print one JSON object.
    #[arg(long)]
    json_output: bool,
}

/// Makes the call and prints what it gave and what it cost.
pub fn run(args: &CallArgs) -> ExitCode {
    finish(args.json_output, async {
        let outcome = call(args).await?;
        if args.json_output {
            println!("{}", outcome_json(&outcome));
        } else {
            let content = content(&outcome.result);
            match std::io::stdout().is_terminal() {
                // It is the server's.
                true => println!("{}", PlainLines(&content)),
                false => println!("{content}"),
            }
            eprintln!("{}", cost(&outcome));
        }
        Ok(if outcome.is_error { ExitCode::from(EXIT_TOOL) } else { ExitCode::SUCCESS })
    })
}

async fn call(args: &CallArgs) -> Result<CallOutcome, AgentError> {
    let funds = args.payer.with_most(SATS_MAX).open(Some(progress()), None).await?;
    let identity = args.identity.identity(&args.url, funds.payer.purse(), WhenToAsk::AtTerminal)?;
    let arguments = match &args.json {
        Some(object) => object.clone(),
        None => Value::Object(args.args.iter().cloned().collect::<Map<_, _>>()),
    };
    let made = as_somebody(&identity, |token| {
        let agent = agent(&args.url, &funds.payer, token, args.legacy);
        let arguments = arguments.clone();
        async move { agent?.call(&args.tool, arguments, CallOptions { calls: args.calls }).await }
    })
    .await;
    funds.close().await;
    made
}

/// An agent for the server at `url`.
pub(super) fn agent(
    url: &Url,
    payer: &Arc<Payer>,
    token: Option<Secret>,
    legacy: bool,
) -> Result<Agent, AgentError> {
    let protocol = if legacy { Protocol::Legacy } else { Protocol::Modern };
    let builder = Agent::builder(url.clone()).payer(Arc::clone(payer)).protocol(protocol);
    match token {
        Some(token) => builder.token(token).build(),
        None => builder.build(),
    }
}

/// Does `work` with the token there is; where the server wants another one that can be had, does it once more.
pub(super) async fn as_somebody<T, F>(
    identity: &Identity,
    work: impl Fn(Option<Secret>) -> F,
) -> Result<T, AgentError>
where
    F: Future<Output = Result<T, AgentError>>,
{
    let token = match identity {
        Identity::None => None,
        Identity::Token(token) => Some(token.clone()),
        Identity::SignIn(signin) => signin.token().await?,
    };
    match (work(token.clone()).await, identity) {
        (Err(AgentError::IdentityNeeded(needed)), Identity::SignIn(signin)) => {
            let better = signin.obtain(token.as_ref(), &needed).await?;
            work(Some(better)).await
        }
        (made, _) => made,
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

fn outcome_json(outcome: &CallOutcome) -> Value {
    json!({
        "result": outcome.result,
        "is_error": outcome.is_error,
        "paid": outcome.paid.as_ref().map(paid_json),
        "work": outcome.work.map(|work| json!({"bits": work.bits, "seconds": work.seconds})),
        "price": outcome.price,
        "balance": outcome.balance,
    })
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
    fn secrets_are_not_shown() {
        let args = read(&["--wallet", "phoenixd+http://:pass-word@127.0.0.1:9740", "--token", "to.ken"]);
        let shown = format!("{args:?}");
        assert!(!shown.contains("pass-word") && !shown.contains("to.ken"), "{shown}");
    }

    #[tokio::test]
    async fn a_server_that_is_not_there_is_the_network() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/mcp", listener.local_addr().unwrap());
        drop(listener);
        let args = Line::try_parse_from(["call", &url, "tool", "--purse", "none"]).unwrap().call;
        assert!(matches!(call(&args).await, Err(AgentError::Network(_))));
    }

    #[test]
    fn texts_are_shown_as_texts() {
        let result = json!({"content": [{"type": "text", "text": "a\nb"}, {"type": "image"}]});
        assert_eq!(content(&result), "a\nb\n{\"type\":\"image\"}");
        assert_eq!(content(&json!({"x": 1})), "{\"x\":1}");
    }
}
