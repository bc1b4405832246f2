//! Servers that are programs: behind the gate with sessions of their own, started again when they die; and the gate
//! itself as a program in front of a server.

use std::path::Path;

use octroi_testkit::upstream::sample::Sample;
use serde_json::{Value, json};

use crate::clients::{everything, stdio};
use crate::harness::{Caller, Events, Gate, LEGACY, Launch, free_policy, peers, soon};

/// The processes that a process has started, by their ids.
fn children(of: u32) -> Vec<u32> {
    let tasks = std::fs::read_dir(format!("/proc/{of}/task")).unwrap();
    let lists = tasks.filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("children")).ok());
    lists
        .flat_map(|list| list.split_whitespace().map(|id| id.parse().unwrap()).collect::<Vec<u32>>())
        .collect()
}

fn kill(id: u32) {
    let ended = std::process::Command::new("kill").args(["-9", &id.to_string()]).status().unwrap();
    assert!(ended.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn every_session_has_a_program_of_its_own() {
    let gate = Gate::serve(&free_policy(&everything())).await;
    let caller = Caller::of(&gate);
    let (one, two) = (caller.initialize().await, caller.initialize().await);
    let programs = children(gate.id());
    assert_eq!(programs.len(), 2, "{programs:?}");
    let echo = |session: &str| {
        caller.ask_in(session, "tools/call", json!({"name": "echo", "arguments": {"message": "hello"}}))
    };
    assert_eq!(echo(&one).send().await.worked(), "Echo: hello");

    let long = |duration: f64| {
        let arguments = json!({"duration": duration, "steps": 4});
        let params = json!({"name": "trigger-long-running-operation", "arguments": arguments, "_meta": {"progressToken": 7}});
        caller.ask_in(&one, "tools/call", params)
    };
    let reply = long(0.2).send().await;
    assert!(reply.worked().contains("completed"), "{}", reply.text);
    assert_eq!(reply.text.matches("notifications/progress").count(), 4, "{}", reply.text);

    let cancelled = long(240.0);
    let answer = tokio::spawn({
        let cancelled = cancelled.clone();
        async move { cancelled.send().await }
    });
    let cancel = caller.ask_in(&one, "notifications/cancelled", json!({"requestId": cancelled.body["id"]}));
    assert_eq!(cancel.notification().send().await.status, 202);
    assert_eq!(echo(&one).send().await.worked(), "Echo: hello");
    answer.abort();

    let end = |session: &str| {
        let request = caller.http.delete(&caller.url).header("mcp-session-id", session);
        async { request.send().await.unwrap().status() }
    };
    assert!(end(&one).await.is_success());
    assert_eq!(echo(&one).send().await.status, 404);
    assert_eq!(echo(&two).send().await.worked(), "Echo: hello");
    soon(async {
        while children(gate.id()).len() > 1 {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    })
    .await;
    // The other session's program dies: its state is lost, so the session is over, and a new one begins.
    kill(children(gate.id())[0]);
    soon(async {
        while echo(&two).send().await.status != 404 {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    })
    .await;
    // The next one waits until the program may be started again, and is told so until then.
    let hello = || {
        caller.plain("initialize", json!({"protocolVersion": LEGACY, "capabilities": {}, "clientInfo": {}}))
    };
    soon(async {
        while hello().send().await.status == 503 {
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    })
    .await;
    let three = caller.initialize().await;
    assert_eq!(echo(&three).send().await.worked(), "Echo: hello");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shared_program_that_dies_is_started_again() {
    let program = peers::sibling("octroi-sample-server");
    let gate = Gate::serve(&free_policy(&stdio(&[program.to_str().unwrap(), "--stdio"]))).await;
    let caller = Caller::of(&gate);
    let query = || caller.call("data_query", json!({"query": "carts"}));
    query().send().await.worked();
    let waiting =
        caller.call("slow_report", json!({"steps": 1, "delay_ms": 60_000})).meta("progressToken", json!(1));
    let mut waiting = Events::of(waiting.open().await);
    waiting.next().await.unwrap();
    let first = children(gate.id());
    kill(first[0]);
    let end = waiting.next().await;
    assert!(end.is_none() || end.as_ref().is_some_and(|end| end["error"].is_object()), "{end:?}");
    let again = soon(async {
        loop {
            let reply = query().send().await;
            if reply.status == 200 {
                return reply;
            }
            assert!(matches!(reply.status, 502 | 503), "{}", reply.text);
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    })
    .await;
    assert!(again.worked().contains("north 41 carts"));
    assert_ne!(children(gate.id()), first);
}

/// What a client sees that starts the gate as a program.
async fn through_a_pipe(script: &str, launch: &Launch) -> Value {
    let mut client = if script.ends_with(".py") { peers::python(script) } else { peers::node(script) };
    let gate = launch.command();
    let program = gate.get_program().to_str().unwrap().to_owned();
    let arguments = gate.get_args().map(|argument| argument.to_str().unwrap().to_owned());
    let command: Vec<String> = [program].into_iter().chain(arguments).chain(["--stdio".to_owned()]).collect();
    client.args(["--command", &json!(command).to_string()]).current_dir(launch.folder());
    client.args(["--tool", "slow_report", "--arguments", r#"{"steps": 2, "delay_ms": 1}"#]);
    peers::report(client).await
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_start_the_gate_as_a_program() {
    let sample = Sample::start().await.unwrap();
    let launch = Launch::new(&free_policy(&format!("{:?}", sample.url())), &[]);
    assert!(Path::new(launch.command().get_program()).is_absolute());
    for script in ["ts-v1.mjs", "python_client.py"] {
        let report = through_a_pipe(script, &launch).await;
        assert!(report["call"]["result"].to_string().contains("2 parts"), "{script}: {report}");
        assert_eq!(report["tools"].as_array().map(Vec::len), Some(6), "{script}: {report}");
    }
    assert_eq!(sample.calls_of("slow_report"), 2);
}
