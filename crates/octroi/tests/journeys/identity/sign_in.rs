//! Other people's OAuth clients, left alone with the address of a gate.

use octroi_testkit::upstream::sample::Sample;

use crate::harness::money::free_port;
use crate::harness::peers::{self, Server};
use crate::harness::{Caller, Gate};

/// From a bare 401 to the metadata, the issuer's own, a registration, a sign-in with PKCE and the resource's name, a token, and
/// the answer: by the TypeScript SDK, at the npm `oidc-provider`.
#[tokio::test(flavor = "multi_thread")]
async fn a_client_finds_its_way_from_a_bare_401_to_a_token() {
    let sample = Sample::start().await.unwrap();
    let (port, mut issuer) = (free_port(), peers::node("oidc-provider.mjs"));
    let url = format!("http://127.0.0.1:{port}/mcp");
    issuer.env("RESOURCE", &url);
    let issuer = Server::printing_its_url(issuer).await;
    let gate = Gate::serve(&format!(
        "listen = \"127.0.0.1:{port}\"\n[mcp_server]\nupstream = \"{}\"\ndefault = \"identified\"\n\
         [mcp_server.auth.identity]\nissuer = \"{}\"\nrequired_scopes = [\"tools:call\"]\n",
        sample.url(),
        issuer.url,
    ))
    .await;
    assert_eq!(gate.url, url);
    let bare = Caller::of(&gate).call("data_query", serde_json::json!({"query": "carts"})).send().await;
    bare.refused(401, "MISSING_TOKEN");

    let mut client = peers::node("ts-oauth.mjs");
    client.arg(&url).args(["--tool", "data_query", "--arguments", r#"{"query": "carts"}"#]);
    let report = peers::report(client).await;
    assert_eq!(report["signIns"], 1, "{report}");
    let said = report["call"]["content"][0]["text"].as_str();
    assert!(said.is_some_and(|said| said.starts_with("carts: north 41 carts")), "{report}");
}
