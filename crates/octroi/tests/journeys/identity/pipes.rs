//! Who calls, where there is no HTTP: a server that is a program, and the gate as a program.

use std::path::Path;

use octroi_testkit::issuer::{Issuer, TokenSpec};
use octroi_testkit::upstream::sample::Sample;
use serde_json::{Value, json};

use crate::agent::{Program, modern};
use crate::clients::stdio;
use crate::harness::{Caller, Gate, Launch, peers};

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_a_program_is_told_who_calls() {
    let issuer = Issuer::start().await.unwrap();
    let program = peers::sibling("octroi-sample-server");
    let gate = Gate::serve(&format!(
        "listen = \"127.0.0.1:0\"\n[mcp_server]\nupstream = {}\ndefault = \"free\"\n\
         [mcp_server.auth.identity]\nissuer = \"{}\"\n[mcp_server.auth.identity.forward]\nmeta = true\nauth_user = true\n",
        stdio(&[program.to_str().unwrap(), "--stdio"]),
        issuer.url(),
    ))
    .await;
    let token = issuer.token(TokenSpec::new("alice", &gate.url).scopes(&["read"]));
    let claimed =
        Caller::of(&gate).call("echo_request", json!({})).meta("dev.octroi/caller", json!({"sub": "root"}));
    let told = async |token: Option<&str>| -> Value {
        let ask = token.into_iter().fold(claimed.clone(), crate::harness::Ask::bearer);
        let reply = ask.send().await;
        reply.worked();
        let body = reply.message["result"]["structuredContent"]["body"].as_str().unwrap().to_owned();
        assert!(token.is_none_or(|token| !body.contains(token)), "{body}");
        serde_json::from_str::<Value>(&body).unwrap()["params"]["_meta"].clone()
    };
    let meta = told(Some(&token)).await;
    assert_eq!(
        (&meta["dev.octroi/caller"]["sub"], &meta["authUser"]["sub"]),
        (&json!("alice"), &json!("alice")),
        "{meta}"
    );
    let meta = told(None).await;
    assert_eq!((&meta["dev.octroi/caller"], &meta["authUser"]), (&Value::Null, &Value::Null), "{meta}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_gate_as_a_program_asks_for_a_token_in_band() {
    let (issuer, sample) = (Issuer::start().await.unwrap(), Sample::start().await.unwrap());
    let launch = Launch::new(
        &format!(
            "listen = \"127.0.0.1:0\"\npublic_url = \"https://gate.example.com\"\n[mcp_server]\nupstream = \"{}\"\n\
             default = \"identified\"\n[mcp_server.auth.identity]\nissuer = \"{}\"\nrequired_scopes = [\"read\"]\n",
            sample.url(),
            issuer.url(),
        ),
        &["--stdio"],
    );
    let mut gate = pipe(&launch);
    let query = |id: u64, token: Option<&str>| {
        let mut message = modern(
            id,
            "tools/call",
            json!({"name": "data_query", "arguments": {"query": "carts"}}),
            json!({}),
        );
        if let Some(token) = token {
            message["params"]["_meta"]["authorization"] = json!({"type": "bearer", "token": token});
        }
        message
    };
    let token = |scopes: &[&str]| {
        issuer.token(TokenSpec::new("alice", "https://gate.example.com/mcp").scopes(scopes))
    };
    for (id, token, reason) in [
        (1, None, "MISSING_TOKEN"),
        (2, Some("no-token-at-all".to_owned()), "INVALID_TOKEN"),
        (3, Some(token(&[])), "INSUFFICIENT_SCOPE"),
    ] {
        let result = gate.ask(&query(id, token.as_deref())).await["result"].clone();
        assert_eq!(result["isError"], true, "{result}");
        assert_eq!(result["_meta"]["dev.octroi/identity-required"]["reason"], reason, "{result}");
        let line = result["_meta"]["mcp/www_authenticate"][0].as_str().unwrap_or_default();
        let metadata = "https://gate.example.com/.well-known/oauth-protected-resource/mcp";
        assert!(line.contains(metadata) && line.contains("scope=\"read\""), "{result}");
    }
    let result = gate.ask(&query(4, Some(&token(&["read"])))).await["result"].clone();
    let said = result["content"][0]["text"].as_str();
    assert!(said.is_some_and(|said| said.starts_with("carts: north 41 carts")), "{result}");
    assert_eq!(sample.calls_of("data_query"), 1);
}

/// The gate as a program in its folder.
fn pipe(launch: &Launch) -> Program {
    let folder = launch.folder().to_str().unwrap().to_owned();
    let command = launch.command();
    assert!(Path::new(command.get_program()).is_absolute());
    let words = [command.get_program()].into_iter().chain(command.get_args());
    let words: Vec<String> = words.map(|word| word.to_str().unwrap().to_owned()).collect();
    Program::start(&[vec!["env".to_owned(), "-C".to_owned(), folder], words].concat(), &[])
}
