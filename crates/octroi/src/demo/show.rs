//! What the demo prints: for a person, or one JSON object per event.

use std::cell::RefCell;
use std::io::Write as _;
use std::time::Duration;

use octroi_agent::Exchange;
use serde_json::{Value, json};

use super::world::World;

/// Longest header value or body that is shown whole, in characters.
const SHOWN_MAX: usize = 96;

/// Prints the demo.
///
/// Where it keeps running, nobody is told the way in before its own journey is over: each step is checked to the satoshi, and
/// another caller with the same token would be in its way.
pub(super) struct Show {
    json: bool,
    keep: bool,
    /// Events that follow the first, until that is told.
    held: RefCell<Vec<Value>>,
}

/// One step of the journey, as it is shown.
pub(super) struct StepReport<'a> {
    /// What happens, in a few words.
    pub(super) title: &'a str,
    /// The request and its answer; `None` for steps that are no HTTP exchange.
    pub(super) exchange: Option<&'a Exchange>,
    /// What came of it.
    pub(super) outcome: String,
    /// What it cost, in msat.
    pub(super) cost_msat: i64,
    /// How long it took.
    pub(super) took: Duration,
    /// What a person could type.
    pub(super) by_hand: String,
}

impl Show {
    pub(super) fn new(json: bool, keep: bool) -> Self {
        Self { json, keep, held: RefCell::default() }
    }

    pub(super) fn beginning(&self) {
        if !self.json {
            println!(
                "Starting a regtest chain, two Lightning nodes, an issuer, a sample MCP server and the gate …"
            );
        }
    }

    /// The first event: where everything is.
    pub(super) fn ready(&self, world: &World) {
        if self.json {
            if !self.keep {
                say(&ready(world));
            }
            return;
        }
        println!("\n  gate      {}", world.gate);
        println!("  admin     {}", world.admin);
        println!("  issuer    {}", world.issuer.url());
        println!("  wallet    {}  (phoenixd's API, the agent's node)", world.wallet.url);
        println!("\nThe gate runs on this configuration:\n");
        for line in world.config_text.lines() {
            println!("  | {line}");
        }
    }

    fn event(&self, event: Value) {
        if self.keep {
            self.held.borrow_mut().push(event);
        } else {
            say(&event);
        }
    }

    pub(super) fn step(&self, number: usize, step: &StepReport<'_>) {
        if self.json {
            self.event(step_json(number, step));
            return;
        }
        println!("\n{number}. {}", step.title);
        if let Some(exchange) = step.exchange {
            print_exchange(exchange);
        }
        println!("   = {}", step.outcome);
        println!("   cost {}, {}", sats(step.cost_msat), millis(step.took));
        println!("   by hand: {}", step.by_hand);
    }

    pub(super) fn ledger(&self, report: &Value, sound: bool) {
        if self.json {
            self.event(json!({"event": "ledger", "report": report, "sound": sound}));
            return;
        }
        println!("\nThe ledger:");
        for row in report["revenue"].as_array().into_iter().flatten() {
            println!(
                "   {:<16} {:>12}   {} paid calls, {} of them with work, {} given back",
                row["tool"].as_str().unwrap_or_default(),
                sats(row["msat"].as_i64().unwrap_or_default()),
                row["captured"],
                row["work_calls"],
                row["voided"],
            );
        }
        println!("   arrived over Lightning: {}", sats(report["received_msat"].as_i64().unwrap_or_default()));
        println!("   still owed to payers:   {}", sats(report["credit_msat"].as_i64().unwrap_or_default()));
        println!("   every promise checked:  {}", if sound { "holds" } else { "BROKEN" });
    }

    /// Everything went as announced.
    pub(super) fn end(&self, world: &World) {
        if self.json {
            let done = json!({"event": "done", "keep": self.keep});
            if self.keep {
                say(&ready(world));
            }
            self.held.take().iter().chain([&done]).for_each(say);
        } else if self.keep {
            println!(
                "\nEverything went as announced and keeps running. Try the commands above with these; stop with Ctrl-C.\n"
            );
            println!("  GATE={}\n  TOKEN={}", world.gate, world.token);
            println!("  WALLET={}  PASSWORD={}", world.wallet.url, world.wallet_password);
        } else {
            println!("\nEverything went as announced. `octroi demo --keep` leaves it running.");
        }
    }
}

/// One line. Whoever reads the first and no more may do so.
fn say(event: &Value) {
    let _ = writeln!(std::io::stdout(), "{event}");
}

fn ready(world: &World) -> Value {
    json!({
        "event": "ready",
        "gate": world.gate,
        "admin": world.admin,
        "issuer": world.issuer.url(),
        "access_token": world.token,
        "wallet": {"url": world.wallet.url, "password": world.wallet_password},
    })
}

fn step_json(number: usize, step: &StepReport<'_>) -> Value {
    json!({
        "event": "step",
        "number": number,
        "title": step.title,
        "status": step.exchange.map(|exchange| exchange.status),
        "outcome": step.outcome,
        "cost_msat": step.cost_msat,
        "milliseconds": step.took.as_secs_f64() * 1000.0,
        "by_hand": step.by_hand,
    })
}

fn print_exchange(exchange: &Exchange) {
    let body = &exchange.request_body;
    let name = body["params"]["name"].as_str();
    println!("   > POST {} {}", body["method"].as_str().unwrap_or_default(), name.unwrap_or_default());
    for (name, value) in &exchange.request_headers {
        let shown = ["authorization", "payment-authorization", "x-pow-solution", "octroi-calls"];
        if shown.contains(&name.to_ascii_lowercase().as_str()) {
            println!("   > {name}: {}", shorten(value));
        }
    }
    println!("   < {}", exchange.status);
    for name in ["www-authenticate", "octroi-price", "octroi-balance"] {
        if let Some(value) = exchange.header(name) {
            println!("   < {name}: {}", shorten(value));
        }
    }
    for notification in &exchange.notifications {
        println!("   < {}", shorten(&notification.to_string()));
    }
    if let Some(reply) = &exchange.reply {
        let shown = reply.get("result").or_else(|| reply.get("error")).unwrap_or(reply);
        println!("   < {}", shorten(&shown.to_string()));
    }
}

/// The beginning and the end of a long text.
fn shorten(text: &str) -> String {
    let length = text.chars().count();
    if length <= SHOWN_MAX {
        return text.to_owned();
    }
    let head: String = text.chars().take(SHOWN_MAX - 24).collect();
    let tail: String = text.chars().skip(length - 20).collect();
    format!("{head} … {tail}")
}

/// Satoshis for people.
pub(super) fn sats(msat: i64) -> String {
    if msat % 1000 == 0 { format!("{} sat", msat / 1000) } else { format!("{} sat", msat as f64 / 1000.0) }
}

fn millis(took: Duration) -> String {
    format!("{:.1} ms", took.as_secs_f64() * 1000.0)
}
