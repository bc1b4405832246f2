//! Behind a reverse proxy every caller has an allowance of its own, and none by claiming to be another.

use octroi_testkit::upstream::sample::Sample;
use serde_json::json;

use crate::harness::{Caller, Gate};

const HEADERS: [(&str, &str); 2] =
    [("content-type", "application/json"), ("accept", "application/json, text/event-stream")];

/// A gate that lets each caller make one call a day, and believes these proxies.
async fn gate(sample: &Sample, proxies: &str) -> (Gate, Caller) {
    let config = format!(
        "listen = \"127.0.0.1:0\"\n{proxies}\n[mcp_server]\nupstream = \"{}\"\n\
         tools = [{{ name = \"data_query\", rate_limit = \"1/1d\" }}]\n",
        sample.url()
    );
    let gate = Gate::serve(&config).await;
    let caller = Caller::of(&gate);
    (gate, caller)
}

/// The status of one call that came through these addresses.
async fn call(caller: &Caller, hops: &str) -> u16 {
    let params = json!({"name": "data_query", "arguments": {"query": "carts"}});
    let body = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params});
    let headers = [HEADERS[0], HEADERS[1], ("x-forwarded-for", hops)];
    caller.raw(&headers, body.to_string().into_bytes()).await.status
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trusted_proxy_tells_callers_apart() {
    let sample = Sample::start().await.unwrap();
    let (_gate, caller) = gate(&sample, "trusted_proxies = [\"127.0.0.1\"]").await;
    assert_eq!(call(&caller, "203.0.113.1").await, 200);
    assert_eq!(call(&caller, "203.0.113.1").await, 429);
    assert_eq!(call(&caller, "203.0.113.2").await, 200);
    // What a caller writes stands before what the proxy adds.
    assert_eq!(call(&caller, "198.51.100.7, 203.0.113.2").await, 429);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_one_the_header_is_anybody_s_claim() {
    let sample = Sample::start().await.unwrap();
    let (_gate, caller) = gate(&sample, "").await;
    assert_eq!(call(&caller, "203.0.113.1").await, 200);
    assert_eq!(call(&caller, "203.0.113.2").await, 429);
}
