//! The sample server's tools.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::mpsc::Sender;

use super::changes::Change;
use super::state::State;
use super::wire::{Call, Refusal};

/// Most steps `slow_report` writes.
pub(super) const STEPS_MAX: u64 = 1000;
/// Longest pause between two of its steps, in milliseconds.
pub(super) const DELAY_MS_MAX: u64 = 60_000;

/// `tools/call`
pub(super) async fn call(state: &State, call: &Call, notices: &Sender<Value>) -> Result<Value, Refusal> {
    match call.text("name") {
        "image_describe" => image_describe(call),
        "data_query" => data_query(call),
        "unreliable" => Ok(unreliable(call)),
        "slow_report" => Ok(slow_report(call, notices).await),
        "echo_request" => Ok(echo_request(call)),
        "announce" => announce(state, call),
        unknown => Err(Refusal::new(-32602, format!("Unknown tool: {unknown}"))),
    }
}

fn text_result(text: impl Into<String>, is_error: bool) -> Value {
    json!({"content": [{"type": "text", "text": text.into()}], "isError": is_error})
}

fn required<'a>(call: &'a Call, name: &str) -> Result<&'a str, Refusal> {
    let given = call.argument(name).and_then(Value::as_str);
    given.ok_or_else(|| Refusal::new(-32602, format!("the argument {name} must be a string")))
}

fn image_describe(call: &Call) -> Result<Value, Refusal> {
    let url = required(call, "url")?;
    Ok(text_result(
        format!("{url} shows a city gate at dusk: two towers, one officer, a cart that waits."),
        false,
    ))
}

fn data_query(call: &Call) -> Result<Value, Refusal> {
    let query = required(call, "query")?;
    let rows = json!([{"gate": "north", "carts": 41}, {"gate": "south", "carts": 27}]);
    let mut result = text_result(format!("{query}: north 41 carts, south 27 carts"), false);
    result["structuredContent"] = json!({"query": query, "rows": rows});
    Ok(result)
}

fn unreliable(call: &Call) -> Value {
    let fail = call.argument("fail").and_then(Value::as_bool).unwrap_or(false);
    if fail {
        text_result("The tool failed, as asked.", true)
    } else {
        text_result("The tool worked.", false)
    }
}

/// Tells its progress before each pause, so that a stopped report has been seen to run.
async fn slow_report(call: &Call, notices: &Sender<Value>) -> Value {
    let number = |name, default: u64| call.argument(name).and_then(Value::as_u64).unwrap_or(default);
    let steps = number("steps", 3).clamp(1, STEPS_MAX);
    let pause = Duration::from_millis(number("delay_ms", 100).min(DELAY_MS_MAX));
    for step in 1..=steps {
        if let Some(token) = call.progress_token() {
            let progress = json!({
                "jsonrpc": "2.0",
                "method": "notifications/progress",
                "params": {"progressToken": token, "progress": step, "total": steps, "message": format!("part {step}")},
            });
            // In the legacy era a caller that went away does not stop the work.
            let _ = notices.send(progress).await;
        }
        tokio::time::sleep(pause).await;
    }
    text_result(format!("The report is written: {steps} parts."), false)
}

fn echo_request(call: &Call) -> Value {
    let echoed = json!({
        "headers": call.received.headers,
        "body": String::from_utf8_lossy(&call.received.body),
    });
    let mut result = text_result(echoed.to_string(), false);
    result["structuredContent"] = echoed;
    result
}

fn announce(state: &State, call: &Call) -> Result<Value, Refusal> {
    let Some(change) = Change::named(required(call, "list")?) else {
        return Err(Refusal::new(-32602, "list must be tools, prompts or resources"));
    };
    state.changes.announce(change);
    Ok(text_result("announced", false))
}
