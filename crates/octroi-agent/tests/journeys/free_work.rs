//! Work in place of money: for one call, for several where the tool is in use, and what becomes of puzzles that nobody knows.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use octroi_agent::{
    Agent, AgentError, Budget, CallOptions, HttpClient, PayLayer, Payer, PaymentRequired, Step, WorkPolicy,
};
use octroi_l402::Preimage;
use octroi_pow::{Algorithm, Binding, Difficulty, Request, Signer, Submission};
use serde_json::{Value, json};
use tower::{Layer, Service, ServiceExt};

use crate::lightning::{Network, Terms, Wallet, now, preimage};
use crate::server::{Reply, Seen, Server};

/// How many calls a solution buys when it is handed in.
const CALLS: i64 = 3;

/// A door that takes work: on the call itself, or handed in.
struct Door {
    network: Arc<Network>,
    signer: Signer,
    state: Mutex<State>,
}

struct State {
    kind: Algorithm,
    /// What the kind is called in place of its name.
    called: Option<&'static str>,
    /// The status that a solution handed in is answered with.
    verify: u16,
    issued: u8,
    spent: HashSet<[u8; 16]>,
    /// Calls left, by preimage.
    accounts: HashMap<String, i64>,
}

impl Door {
    async fn open() -> (Arc<Self>, Server, Arc<Wallet>) {
        let network = Arc::new(Network::default());
        let state = State {
            kind: Algorithm::Sha256,
            called: None,
            verify: 200,
            issued: 0,
            spent: HashSet::new(),
            accounts: HashMap::new(),
        };
        let signer = Signer::generate().unwrap();
        let door = Arc::new(Self { network: Arc::clone(&network), signer, state: Mutex::new(state) });
        let answering = Arc::clone(&door);
        let server = Server::start(move |seen| answering.answer(seen)).await;
        (door, server, Wallet::new(network))
    }

    fn set(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state.lock().unwrap());
    }

    fn answer(&self, seen: &Seen) -> Reply {
        let mut state = self.state.lock().unwrap();
        let served = |text: &str| {
            Reply::result(
                seen,
                json!({"content": [{"type": "text", "text": text}], "resultType": "complete"}),
            )
        };
        if seen.path == "/mcp/pow/verify" {
            assert_eq!(seen.header("authorization"), None, "nobody in particular");
            if state.verify != 200 {
                return Reply::json(state.verify, &json!({"reason": "RATE_LIMITED"}));
            }
            let solution = serde_json::from_value::<Submission>(seen.body.clone()).unwrap();
            assert!(self.take(&mut state, &solution));
            let preimage = Preimage::from_bytes(solution.challenge.id.repeat(2).try_into().unwrap()).to_hex();
            state.accounts.insert(preimage.clone(), CALLS);
            let token = format!("AgEW:{preimage}");
            return Reply::json(200, &json!({"token": token, "ttl": 300, "calls": CALLS, "tool": null}));
        }
        if let Some(solution) = seen.header("x-pow-solution") {
            let solution = Submission::from_header(solution).unwrap();
            return match self.take(&mut state, &solution) {
                true => served("worked").with("octroi-price", "1").with("octroi-balance", "0"),
                false => self.refuse(&mut state, seen, "INVALID_SOLUTION"),
            };
        }
        let shown = seen.credential().and_then(|shown| shown.split_once(':')).map(|(_, preimage)| preimage);
        let Some(preimage) = shown else { return self.refuse(&mut state, seen, "PAYMENT_REQUIRED") };
        match state.accounts.get_mut(preimage) {
            Some(left @ 1..) => {
                *left -= 1;
                served("credit").with("octroi-price", "1").with("octroi-balance", left.to_string())
            }
            Some(_) => self.refuse(&mut state, seen, "CREDENTIAL_SPENT"),
            None => served("money").with("octroi-price", "3000").with("octroi-balance", "0"),
        }
    }

    fn take(&self, state: &mut State, solution: &Submission) -> bool {
        let request = Request { service: "s", tool: None, principal: None, arguments_digest: None };
        let good = self.signer.verify(&solution.challenge, &solution.nonce, now(), &request).is_ok();
        good && state.spent.insert(solution.challenge.id)
    }

    fn refuse(&self, state: &mut State, seen: &Seen, reason: &str) -> Reply {
        state.issued += 1;
        let calls = u32::try_from(CALLS).unwrap();
        let service = "s".to_owned();
        let binding = Binding { tool: None, principal: None, arguments_digest: None, calls, service };
        let kind = (state.kind, Difficulty::from_bits(6).unwrap());
        let challenge = self.signer.issue_kind(kind, binding, now(), 60, [state.issued; 16]);
        let mut pow = json!(challenge);
        if let Some(called) = state.called {
            pow["algorithm"] = json!(called);
        }
        let invoice = self.network.make(&preimage(u64::from(state.issued)), &Terms::asking(3_000));
        let data = json!({
            "reason": reason, "price": {"msat": 3_000}, "pow": pow,
            "l402": {"macaroon": "AAAA", "invoice": invoice, "amount_msat": 3_000, "calls": 1},
        });
        Reply::error(seen, 402, data)
    }
}

/// An agent that computes up to so many bits, and pays from the wallet where there is one.
fn agent(server: &Server, bits: f64, wallet: Option<&Arc<Wallet>>) -> Agent {
    let builder = Agent::builder(server.url.clone()).work(WorkPolicy::UpTo(bits));
    match wallet {
        Some(wallet) => builder.wallet(Arc::clone(wallet) as _).budget(BUDGET).build().unwrap(),
        None => builder.build().unwrap(),
    }
}

async fn call(agent: &Agent) -> octroi_agent::CallOutcome {
    agent.call("paid", json!({}), CallOptions::default()).await.unwrap()
}

fn text(outcome: &octroi_agent::CallOutcome) -> &str {
    outcome.result["content"][0]["text"].as_str().unwrap()
}

const BUDGET: Budget = Budget { per_call_msat: 5_000, total_msat: 1_000_000 };

#[tokio::test]
async fn a_tool_in_use_is_worked_for_several_calls_at_once() {
    let (_door, server, wallet) = Door::open().await;
    let agent = agent(&server, 6.0, Some(&wallet));
    let mut said = Vec::new();
    for _ in 0..9 {
        let outcome = call(&agent).await;
        let redeemed = outcome.steps.iter().any(|step| matches!(step, Step::Redeemed { calls: 3 }));
        said.push((text(&outcome).to_owned(), redeemed, outcome.work.is_some()));
    }
    let worked = ("worked".to_owned(), false, true);
    let (first, next) = (("credit".to_owned(), true, true), ("credit".to_owned(), false, false));
    // Once alone; then it is in use.
    let three = [first, next.clone(), next];
    let expected: Vec<_> = [worked].into_iter().chain(three.iter().cycle().cloned()).take(9).collect();
    assert_eq!(said, expected);
    assert_eq!((wallet.payments(), agent.purse().credentials().unwrap().len()), (0, 1));
}

#[tokio::test]
async fn a_solution_that_cannot_be_handed_in_is_shown() {
    let (door, server, wallet) = Door::open().await;
    let agent = agent(&server, 6.0, None);
    for status in [429, 404, 500, 302] {
        door.set(|state| state.verify = status);
        assert_eq!((text(&call(&agent).await), text(&call(&agent).await)), ("worked", "worked"), "{status}");
    }
    assert_eq!(wallet.payments(), 0);
}

#[tokio::test]
async fn the_layer_hands_solutions_in_too() {
    let (_door, server, _) = Door::open().await;
    let payer = Payer::builder().work(WorkPolicy::UpTo(6.0)).build();
    let mut http = PayLayer::new(payer).layer(HttpClient::new().unwrap());
    let body = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "paid"}});
    let mut said = Vec::new();
    for _ in 0..5 {
        let mut request =
            http::Request::post(server.url.as_str()).body(Full::from(body.to_string())).unwrap();
        let json = http::HeaderValue::from_static("application/json");
        request.headers_mut().insert(http::header::CONTENT_TYPE, json);
        let answer = http.ready().await.unwrap().call(request).await.unwrap();
        let body: Bytes = answer.into_body().collect().await.unwrap().to_bytes();
        let reply: Value = serde_json::from_slice(&body).unwrap();
        said.push(reply["result"]["content"][0]["text"].as_str().unwrap().to_owned());
    }
    assert_eq!(said, ["worked", "credit", "credit", "credit", "credit"]);
}

#[tokio::test]
async fn every_kind_of_puzzle_and_equix_is_solved_or_passed_over() {
    let (door, server, wallet) = Door::open().await;
    let rich = agent(&server, 20.0, Some(&wallet));
    door.set(|state| (state.kind, state.verify) = (Algorithm::Sha256x16, 404));
    assert_eq!(text(&call(&rich).await), "worked");
    door.set(|state| state.called = Some("argon2-of-tomorrow"));
    let outcome = call(&rich).await;
    assert_eq!((text(&outcome), outcome.work.is_none(), wallet.payments()), ("money", true, 1));
    // One that only some builds know.
    door.set(|state| (state.kind, state.called) = (Algorithm::Equix, None));
    let known = Algorithm::Equix.is_available();
    let (said, payments) = if known { ("worked", 1) } else { ("money", 2) };
    assert_eq!((text(&call(&rich).await), wallet.payments()), (said, payments));
    // Nobody pays for it either: the refusal is what the caller sees.
    let poor = agent(&server, 20.0, None);
    door.set(|state| state.called = Some("argon2-of-tomorrow"));
    let refused = poor.call("paid", json!({}), CallOptions::default()).await;
    let Err(AgentError::PaymentRequired(asked)) = refused else { panic!("{refused:?}") };
    let says = "or a puzzle of the kind \"argon2-of-tomorrow\", which this build cannot solve";
    assert!(asked.summary().ends_with(says), "{}", asked.summary());
}

#[tokio::test]
async fn credit_that_cost_money_is_kept_while_work_comes_first() {
    let (_door, server, wallet) = Door::open().await;
    let agent = agent(&server, 6.0, Some(&wallet));
    assert_eq!(text(&call(&agent).await), "worked");
    let asked = agent.send_raw(&octroi_agent::Request::call("paid", &json!({}))).await.unwrap();
    let bill = PaymentRequired::read(&asked).unwrap().bill(1, now()).unwrap();
    agent.pay("paid", &bill).await.unwrap();
    for _ in 0..4 {
        assert_eq!(text(&call(&agent).await), "credit");
    }
    let kept = agent.purse().credentials().unwrap();
    let bought: Vec<_> = kept.iter().filter(|kept| !kept.worked).map(|kept| kept.calls_left).collect();
    assert_eq!((wallet.payments(), bought), (1, vec![Some(1)]));
}
