//! A gate with nothing behind it: puzzles and tokens for other people's services, over HTTP, MCP and standard input.

use std::process::Stdio;
use std::time::{Duration, Instant};

use aws_lc_rs::signature::{ED25519, UnparsedPublicKey};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use octroi_testkit::postgres::{Cluster, ClusterOptions};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};

use crate::harness::{Caller, Gate, LEGACY, Launch, soon};

/// How often the law of the difficulty is applied.
const PERIOD: Duration = Duration::from_millis(octroi_pow::door::PERIOD_MS);

fn alone(kind: &str, more: &str) -> String {
    format!(
        r#"
listen = "127.0.0.1:0"
[mcp_server]
upstream = "none"
[mcp_server.auth.payment]
pow_enabled = true
pow_difficulty = 8
pow_kind = "{kind}"
{more}
"#
    )
}

/// Posts JSON to an address of the gate; its status, `Retry-After` and answer.
async fn post(gate: &Gate, place: &str, body: &Value) -> (u16, Option<u64>, Value) {
    let reply = reqwest::Client::new().post(place).json(body).send().await.unwrap();
    let wait = reply.headers().get("retry-after").map(|value| value.to_str().unwrap().parse().unwrap());
    let (status, answer) = (reply.status().as_u16(), reply.json::<Value>().await.unwrap());
    for secret in ["token", "access_token"] {
        gate.secrets.add(&answer[secret].to_string());
    }
    (status, wait, answer)
}

async fn get(place: &str) -> Value {
    let reply = reqwest::get(place).await.unwrap();
    assert_eq!(reply.status(), 200, "{place}");
    reply.json().await.unwrap()
}

fn root(gate: &Gate) -> &str {
    gate.url.strip_suffix("/mcp").unwrap()
}

/// Solves by what the documentation says of both kinds, and nothing else.
fn solve(puzzle: &Value) -> Value {
    let salt = puzzle["salt"].as_str().unwrap();
    let target: [u8; 32] = hex::decode(puzzle["target"].as_str().unwrap()).unwrap().try_into().unwrap();
    let search = |prefix: String| {
        let below = |nonce: &String| <[u8; 32]>::from(Sha256::digest(format!("{prefix}{nonce}"))) < target;
        (0_u64..).map(|nonce| nonce.to_string()).find(below).unwrap()
    };
    let nonce = match puzzle["algorithm"].as_str().unwrap() {
        "sha256" => search(salt.to_owned()),
        "sha256x16" => (0..16).map(|place| search(format!("{salt}{place:x}:"))).collect::<Vec<_>>().join("."),
        other => panic!("{other}"),
    };
    let mut solution = json!({"nonce": nonce});
    for field in ["id", "salt", "difficulty", "target", "signature", "expires_at"] {
        solution[field] = puzzle[field].clone();
    }
    solution
}

/// Checks a token as a third party would that has only the published keys.
fn check_offline(jwks: &Value, token: &str) -> Value {
    let (signed, signature) = token.rsplit_once('.').unwrap();
    let (header, claims) = signed.split_once('.').unwrap();
    let read =
        |part: &str| -> Value { serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap() };
    let keys = jwks["keys"].as_array().unwrap();
    let key = keys.iter().find(|key| key["kid"] == read(header)["kid"]).unwrap();
    assert_eq!((&key["kty"], &key["crv"]), (&json!("OKP"), &json!("Ed25519")));
    let public = URL_SAFE_NO_PAD.decode(key["x"].as_str().unwrap()).unwrap();
    let signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
    UnparsedPublicKey::new(&ED25519, public).verify(signed.as_bytes(), &signature).unwrap();
    read(claims)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gate_alone_gives_tokens_that_others_can_check() {
    for kind in ["sha256", "sha256x16"] {
        let gate = Gate::serve(&alone(kind, "")).await;
        let at = |step: &str| format!("{}/pow/{step}", gate.url);
        let (status, _, puzzle) = post(&gate, &at("challenge"), &json!({"tool": "their_tool"})).await;
        assert_eq!((status, &puzzle["algorithm"]), (200, &json!(kind)), "{puzzle}");
        assert_eq!(puzzle["tool"], "their_tool");
        let solution = solve(&puzzle);
        let (status, _, grant) = post(&gate, &at("verify"), &solution).await;
        assert_eq!((status, &grant["ttl"], &grant["calls"]), (200, &json!(300), &json!(5)), "{grant}");
        let token = grant["access_token"].as_str().unwrap();

        let check = format!("{}/api/token/verify", root(&gate));
        let (status, _, said) = post(&gate, &check, &json!({"token": token})).await;
        assert_eq!(
            (status, &said["active"], &said["octroi"]["tool"]),
            (200, &json!(true), &json!("their_tool")),
            "{said}"
        );
        assert_eq!(said["jti"], puzzle["id"]);
        for jwks in ["/api/token/jwks.json", "/.well-known/jwks.json"] {
            let claims = check_offline(&get(&format!("{}{jwks}", root(&gate))).await, token);
            assert_eq!((&claims["jti"], &claims["aud"]), (&said["jti"], &said["aud"]));
            assert_eq!(claims["exp"].as_u64().unwrap() - claims["iat"].as_u64().unwrap(), 300);
        }
        let audience = json!({"token": token, "audience": "https://another.example.com"});
        let (signed, signature) = token.rsplit_once('.').unwrap();
        let forged = format!("{signed}.{}", signature.chars().rev().collect::<String>());
        for wrong in [audience, json!({"token": forged}), json!({"token": grant["token"]})] {
            let (status, _, said) = post(&gate, &check, &wrong).await;
            assert_eq!(
                (status, &said["active"], &said["reason"]),
                (401, &json!(false), &json!("INVALID_TOKEN")),
                "{said}"
            );
        }
        assert_eq!(post(&gate, &check, &json!({})).await.0, 400);

        let (status, _, again) = post(&gate, &at("verify"), &solution).await;
        assert_eq!((status, &again["reason"]), (402, &json!("INVALID_SOLUTION")), "{again}");
        let told = &get(&at("status")).await["pow"];
        assert_eq!(
            (&told["issued"], &told["solved"], &told["skipped"]),
            (&json!(1), &json!(1), &json!(0)),
            "{told}"
        );
        assert_eq!((&told["difficulty"], &told["kind"]), (&json!(8.0), &json!(kind)), "{told}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gate_alone_is_an_mcp_server_of_both_eras() {
    let gate = Gate::serve(&alone("sha256", "")).await;
    let caller = Caller::of(&gate);
    let discovered = caller.ask("server/discover", json!({})).send().await;
    assert_eq!(discovered.message["result"]["supportedVersions"][0], "2026-07-28", "{}", discovered.text);
    let greeted = caller
        .plain("initialize", json!({"protocolVersion": LEGACY, "capabilities": {}, "clientInfo": {"name": "x", "version": "1"}}))
        .send()
        .await;
    assert_eq!(greeted.message["result"]["protocolVersion"], LEGACY, "{}", greeted.text);
    let listed = caller.ask("tools/list", json!({})).send().await;
    let names: Vec<&str> = listed.message["result"]["tools"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|tool| tool["name"].as_str())
        .collect();
    assert_eq!(names, ["challenge", "verify", "status"], "{}", listed.text);
    let puzzle: Value =
        serde_json::from_str(&caller.call("challenge", json!({})).send().await.worked()).unwrap();
    let grant: Value =
        serde_json::from_str(&caller.call("verify", solve(&puzzle)).send().await.worked()).unwrap();
    assert!(grant["access_token"].is_string(), "{grant}");
    caller.call("no_such_tool", json!({})).send().await.refused(403, "TOOL_FORBIDDEN");
    assert_eq!(caller.ask("resources/list", json!({})).send().await.status, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gate_alone_answers_on_standard_input() {
    let launch = Launch::new(&alone("sha256", ""), &["--stdio"]);
    let mut command = tokio::process::Command::from(launch.command());
    let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).kill_on_drop(true);
    let mut child = child.spawn().unwrap();
    let (mut input, output) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
    let mut lines = BufReader::new(output).lines();
    let mut ask = async |id: u64, method: &str, params: Value| -> Value {
        let message = json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params});
        input.write_all(format!("{message}\n").as_bytes()).await.unwrap();
        let mut line = None;
        soon(async { line = lines.next_line().await.unwrap() }).await;
        let answer: Value = serde_json::from_str(&line.unwrap()).unwrap();
        assert_eq!(answer["id"], id, "{answer}");
        answer["result"].clone()
    };
    let greeting =
        json!({"protocolVersion": LEGACY, "capabilities": {}, "clientInfo": {"name": "x", "version": "1"}});
    assert_eq!(ask(1, "initialize", greeting).await["serverInfo"]["name"], "octroi");
    let puzzle = ask(2, "tools/call", json!({"name": "challenge", "arguments": {}})).await;
    let solution = solve(&puzzle["structuredContent"]);
    let grant = ask(3, "tools/call", json!({"name": "verify", "arguments": solution})).await;
    assert_eq!(grant["isError"], false, "{grant}");
    let again = ask(4, "tools/call", json!({"name": "verify", "arguments": solution})).await;
    assert_eq!(again["structuredContent"]["reason"], "INVALID_SOLUTION", "{again}");
    let status = ask(5, "tools/call", json!({"name": "status", "arguments": {}})).await;
    assert_eq!(status["structuredContent"]["pow"]["solved"], 1, "{status}");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_solution_sent_by_many_at_once_is_spent_once() {
    let gate = Gate::serve(&alone("sha256", "")).await;
    let (_, _, puzzle) = post(&gate, &format!("{}/pow/challenge", gate.url), &json!({})).await;
    let solution = solve(&puzzle);
    let place = format!("{}/pow/verify", gate.url);
    let tries = (0..100).map(|_| post(&gate, &place, &solution));
    let answers = futures_util::future::join_all(tries).await;
    let taken = answers.iter().filter(|(status, ..)| *status == 200).count();
    let refused =
        answers.iter().filter(|(status, _, answer)| *status == 402 && answer["reason"] == "INVALID_SOLUTION");
    assert_eq!((taken, refused.count()), (1, 99));
    assert_eq!(gate.ledger().await["credit_calls"], 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_door_says_when_to_come_again_and_spends_nothing() {
    // One call an hour, and one solution buys one.
    let gate = Gate::serve(&alone("sha256", "pow_free_calls = \"1/60m\"\npow_calls = 1\n")).await;
    let at = |step: &str| format!("{}/pow/{step}", gate.url);
    let (_, _, first) = post(&gate, &at("challenge"), &json!({})).await;
    let (_, _, second) = post(&gate, &at("challenge"), &json!({})).await;
    assert_eq!(post(&gate, &at("verify"), &solve(&first)).await.0, 200);
    for _ in 0..3 {
        let (status, wait, answer) = post(&gate, &at("verify"), &solve(&second)).await;
        assert_eq!((status, &answer["reason"]), (429, &json!("RATE_LIMITED")), "{answer}");
        assert!(wait.is_some_and(|wait| (1..=60).contains(&wait)), "{wait:?}");
    }
    assert_eq!(get(&at("status")).await["pow"]["turned_away"], 3);
    assert_eq!(gate.ledger().await["credit_calls"], 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_puzzle_is_bound_to_is_kept() {
    let gate = Gate::serve(&alone("sha256", "pow_bind = [\"tool\", \"arguments\"]\n")).await;
    let at = |step: &str| format!("{}/pow/{step}", gate.url);
    for wish in [json!({}), json!({"tool": "t"}), json!({"tool": 7}), json!({"arguments": {}}), json!([1])] {
        let (status, _, answer) = post(&gate, &at("challenge"), &wish).await;
        assert_eq!((status, &answer["reason"]), (400, &json!("MALFORMED_REQUEST")), "{wish}: {answer}");
    }
    let nobody = json!({"tool": "t", "arguments": {}, "principal": true});
    assert_eq!(post(&gate, &at("challenge"), &nobody).await.0, 400, "nobody is known here");
    let wish = json!({"tool": "t", "arguments": {"b": 1, "a": 2}});
    let (status, _, puzzle) = post(&gate, &at("challenge"), &wish).await;
    assert_eq!(status, 200, "{puzzle}");
    assert_eq!(puzzle["arguments_sha256"], hex::encode(Sha256::digest("{\"a\":2,\"b\":1}")));
    let mut elsewhere = solve(&puzzle);
    elsewhere["tool"] = json!("u");
    let (status, _, answer) = post(&gate, &at("verify"), &elsewhere).await;
    assert_eq!((status, &answer["reason"]), (402, &json!("INVALID_SOLUTION")), "{answer}");
    let (status, _, grant) = post(&gate, &at("verify"), &solve(&puzzle)).await;
    assert_eq!((status, &grant["tool"]), (200, &json!("t")), "{grant}");
}

#[test]
fn check_knows_a_gate_that_stands_alone() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("octroi.toml");
    let check = |text: &str| {
        std::fs::write(&file, text).unwrap();
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_octroi"));
        let run = command.arg("check").arg(&file).arg("--json").output().unwrap();
        (run.status.code(), serde_json::from_slice::<Value>(&run.stdout).unwrap())
    };
    let (code, said) = check(&alone("sha256x16", "pow_free_calls = \"7/s\"\n"));
    assert_eq!(code, Some(0), "{said}");
    assert_eq!(said["servers"][0]["pow"]["free_calls_per_second"], 7.0, "{said}");
    assert!(said["servers"][0]["upstream"].as_str().unwrap().starts_with("nothing"), "{said}");
    let (code, said) = check("listen = \"127.0.0.1:0\"\n[mcp_server]\nupstream = \"none\"\n");
    assert_eq!(code, Some(2), "{said}");
    assert!(said["mistakes"][0]["fix"].as_str().unwrap().contains("pow_enabled"), "{said}");
    let (code, said) = check(&alone("equix", ""));
    assert_eq!(code, Some(if cfg!(feature = "equix") { 0 } else { 2 }), "{said}");
}

/// The difficulty the gate tells.
async fn difficulty(gate: &Gate) -> f64 {
    get(&format!("{}/pow/status", gate.url)).await["pow"]["difficulty"].as_f64().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_asked_rises_with_the_work_that_comes_and_sinks_again() {
    // A solver with more power than a cheap call a second needs.
    let gate = Gate::serve(&alone("sha256", "pow_free_calls = \"1/s\"\npow_calls = 1\n")).await;
    let at = |step: &str| format!("{}/pow/{step}", gate.url);
    assert_eq!(difficulty(&gate).await.to_bits(), 8.0_f64.to_bits());

    // Asking, and handing in again what is spent, moves nothing however often it is done.
    let (_, _, puzzle) = post(&gate, &at("challenge"), &json!({})).await;
    let spent = solve(&puzzle);
    assert_eq!(post(&gate, &at("verify"), &spent).await.0, 200);
    let began = Instant::now();
    while began.elapsed() < PERIOD + PERIOD / 4 {
        post(&gate, &at("challenge"), &json!({})).await;
        assert_eq!(post(&gate, &at("verify"), &spent).await.0, 402);
    }
    assert_eq!(difficulty(&gate).await.to_bits(), 8.0_f64.to_bits());

    let mut highest = soon(async {
        loop {
            let (_, _, puzzle) = post(&gate, &at("challenge"), &json!({})).await;
            let (status, _, answer) = post(&gate, &at("verify"), &solve(&puzzle)).await;
            assert!(status == 200 || (status == 429 && answer["reason"] == "RATE_LIMITED"), "{answer}");
            let bits = puzzle["difficulty"].as_f64().unwrap();
            if bits >= 8.8 {
                return bits;
            }
        }
    })
    .await;

    // Nobody comes any more: when the mean has forgotten them, the law lets go.
    soon(async {
        loop {
            let bits = difficulty(&gate).await;
            if bits < highest - 0.05 {
                return;
            }
            highest = highest.max(bits);
            tokio::time::sleep(PERIOD / 4).await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn gates_that_share_a_ledger_take_a_solution_once() {
    let cluster = tokio::task::spawn_blocking(|| Cluster::start(ClusterOptions::default()));
    let cluster = cluster.await.unwrap().unwrap();
    let shared = format!(
        "[ledger]\nurl = \"{}\"\n[secrets]\nmaster_key = \"{}\"\n",
        cluster.fresh_url(),
        "5c".repeat(32)
    );
    let gates = [Gate::serve(&alone("sha256", &shared)).await, Gate::serve(&alone("sha256", &shared)).await];
    let step = |gate: &Gate, step: &str| format!("{}/pow/{step}", gate.url);
    for round in 1..=5 {
        let (_, _, puzzle) = post(&gates[0], &step(&gates[0], "challenge"), &json!({})).await;
        let solution = solve(&puzzle);
        let tries = (0..40).map(|number| {
            let gate = &gates[number % 2];
            let place = step(gate, "verify");
            let solution = &solution;
            async move { post(gate, &place, solution).await }
        });
        let answers = futures_util::future::join_all(tries).await;
        let taken = answers.iter().filter(|(status, ..)| *status == 200).count();
        let refused = answers
            .iter()
            .filter(|(status, _, answer)| *status == 402 && answer["reason"] == "INVALID_SOLUTION");
        assert_eq!((taken, refused.count()), (1, 39), "round {round}");
    }
    for gate in &gates {
        assert_eq!(gate.ledger().await["credit_calls"], 25);
    }
}
