//! The free door: calls bought with computation, over HTTP, through the gate's own tools, and on the call itself.

use octroi_testkit::upstream::sample::Sample;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::harness::{Caller, Gate};

/// Calls that one solution buys.
const CALLS: usize = 2;

struct Door {
    sample: Sample,
    gate: Gate,
    caller: Caller,
}

impl Door {
    /// A gate without a Lightning node: only work opens what has a price.
    async fn open() -> Self {
        let sample = Sample::start().await.unwrap();
        let config = format!(
            r#"
listen = "127.0.0.1:0"
[mcp_server]
upstream = "{}"
[mcp_server.auth.payment]
pow_enabled = true
pow_difficulty = 8
pow_calls = {CALLS}
pricing = {{ data_query = {{ sats = 1 }}, image_describe = {{ sats = 3 }} }}
[[mcp_server.tools]]
name = "image_describe"
pow = false
"#,
            sample.url()
        );
        let gate = Gate::serve(&config).await;
        let caller = Caller::of(&gate);
        Self { sample, gate, caller }
    }

    /// Posts to `/pow/…` under the endpoint.
    async fn post(&self, step: &str, body: &Value) -> (u16, Value) {
        let url = format!("{}/pow/{step}", self.gate.url);
        let reply = self.caller.http.post(url).json(body).send().await.unwrap();
        let status = reply.status().as_u16();
        let answer: Value = reply.json().await.unwrap();
        self.gate.secrets.add(&answer["token"].to_string());
        (status, answer)
    }

    async fn puzzle(&self) -> Value {
        let (status, puzzle) = self.post("challenge", &json!({})).await;
        assert_eq!(status, 200, "{puzzle}");
        puzzle
    }

    async fn refuses(&self, what: &str, solution: &Value) {
        let (status, answer) = self.post("verify", solution).await;
        assert_eq!((status, &answer["reason"]), (402, &json!("INVALID_SOLUTION")), "{what}: {answer}");
    }

    /// Spends a credential that work bought, to its end.
    async fn spends(&self, token: &str) {
        let query = || self.caller.call("data_query", json!({"query": "carts"})).paid(token);
        let describe = self.caller.call("image_describe", json!({"url": "http://x/y.png"}));
        describe.paid(token).send().await.refused(503, "NO_LIQUIDITY");
        for _ in 0..CALLS {
            query().send().await.worked();
        }
        query().send().await.refused(503, "NO_LIQUIDITY");
    }
}

/// Solves a puzzle by what the documentation says of it, and nothing else.
fn solve(puzzle: &Value) -> String {
    let (salt, target) = (puzzle["salt"].as_str().unwrap(), puzzle["target"].as_str().unwrap());
    let bits = puzzle["difficulty"].as_u64().unwrap();
    let target: [u8; 32] = hex::decode(target).unwrap().try_into().unwrap();
    let nonce = (0_u64..).map(|nonce| nonce.to_string()).find(|nonce| {
        let hash: [u8; 32] = Sha256::digest(format!("{salt}{nonce}")).into();
        assert_eq!(hash < target, zero_bits(&hash) >= bits, "target and difficulty disagree");
        hash < target
    });
    nonce.unwrap()
}

fn zero_bits(hash: &[u8]) -> u64 {
    let zero_bytes = hash.iter().take_while(|byte| **byte == 0).count();
    let rest = hash.get(zero_bytes).map_or(0, |byte| byte.leading_zeros());
    zero_bytes as u64 * 8 + u64::from(rest)
}

/// The six fields that must come back, with the nonce.
fn solved(puzzle: &Value, nonce: &str) -> Value {
    let mut solution = json!({"nonce": nonce});
    for field in ["id", "salt", "difficulty", "target", "signature", "expires_at"] {
        solution[field] = puzzle[field].clone();
    }
    solution
}

#[tokio::test(flavor = "multi_thread")]
async fn work_over_http_buys_a_credential() {
    let door = Door::open().await;
    let puzzle = door.puzzle().await;
    assert_eq!(puzzle["difficulty"], 8, "{puzzle}");
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let expires_at = puzzle["expires_at"].as_u64().unwrap();
    assert!(expires_at > now && expires_at <= now + 301, "{puzzle}");
    let solution = solved(&puzzle, &solve(&puzzle));
    for (field, value) in [
        ("difficulty", json!(1)),
        ("target", json!("ff".repeat(32))),
        ("salt", json!("another-salt")),
        ("id", json!("00".repeat(16))),
        ("expires_at", json!(expires_at + 1000)),
        ("signature", json!(puzzle["signature"].as_str().unwrap().to_uppercase())),
        ("nonce", json!("unsolved")),
        ("nonce", json!(7)),
        ("nonce", Value::Null),
    ] {
        let mut forged = solution.clone();
        forged[field] = value;
        door.refuses(field, &forged).await;
    }
    door.refuses("nothing", &json!({})).await;
    let (status, grant) = door.post("verify", &solution).await;
    assert_eq!((status, &grant["ttl"]), (200, &json!(300)), "{grant}");
    let token = grant["token"].as_str().unwrap();
    assert!(token.starts_with(grant["macaroon"].as_str().unwrap()), "{grant}");
    door.refuses("the same again", &solution).await;
    door.spends(token).await;
    assert_eq!(door.sample.calls_of("image_describe"), 0);
    let ledger = door.gate.ledger().await;
    assert_eq!(
        (&ledger["revenue"][0]["work_calls"], &ledger["credit_calls"]),
        (&json!(CALLS), &json!(0)),
        "{ledger}"
    );
    assert_eq!(ledger["revenue"][0]["msat"], 0, "{ledger}");
}

#[tokio::test(flavor = "multi_thread")]
async fn work_through_tools_buys_a_credential() {
    let door = Door::open().await;
    let call = |tool: &str, arguments: Value| door.caller.call(tool, arguments);
    let reply = call("challenge", json!({})).send().await;
    let puzzle: Value = serde_json::from_str(&reply.worked()).unwrap();
    assert_eq!(reply.message["result"]["structuredContent"], puzzle, "{}", reply.text);
    let solution = solved(&puzzle, &solve(&puzzle));
    let reply = call("verify", solution.clone()).send().await;
    let grant: Value = serde_json::from_str(&reply.worked()).unwrap();
    assert_eq!(reply.message["result"]["structuredContent"], grant, "{}", reply.text);
    let again = call("verify", solution).send().await;
    assert_eq!(again.message["result"]["isError"], true, "{}", again.text);
    assert_eq!(again.message["result"]["structuredContent"]["reason"], "INVALID_SOLUTION", "{}", again.text);
    door.spends(grant["token"].as_str().unwrap()).await;
    let status = call("status", json!({})).send().await;
    let status = &status.message["result"]["structuredContent"];
    assert_eq!(status["pow"]["solved"], 1, "{status}");
    assert_eq!(status["tools"]["data_query"]["methods"], json!(["l402", "pow"]), "{status}");
}

#[tokio::test(flavor = "multi_thread")]
async fn work_on_the_call_itself_buys_that_call() {
    let door = Door::open().await;
    let query = || door.caller.call("data_query", json!({"query": "carts"}));
    let refused = query().send().await;
    let puzzle = &refused.refused(503, "NO_LIQUIDITY").data()["pow"];
    let shown =
        |puzzle: &Value| format!("challenge={},nonce={}", puzzle["token"].as_str().unwrap(), solve(puzzle));
    let solution = shown(puzzle);
    query().header("x-pow-solution", &solution).send().await.worked();
    query().header("x-pow-solution", &solution).send().await.refused(503, "NO_LIQUIDITY");
    let describe = door.caller.call("image_describe", json!({"url": "http://x/y.png"}));
    describe.header("x-pow-solution", &shown(&door.puzzle().await)).send().await.refused(503, "NO_LIQUIDITY");
    let puzzle = door.puzzle().await;
    let in_meta = solved(&puzzle, &solve(&puzzle));
    query().meta("dev.octroi/payment", in_meta).send().await.worked();
    for garbage in ["", "challenge=", "nonce=1", "challenge=e30,nonce=1", "challenge=x,nonce=1,nonce=2"] {
        let reply = query().header("x-pow-solution", garbage).send().await;
        assert_eq!(reply.status, 503, "{garbage}: {}", reply.text);
    }
    assert_eq!(door.sample.calls_of("data_query"), 2);
    assert_eq!(door.sample.calls_of("image_describe"), 0);
}
