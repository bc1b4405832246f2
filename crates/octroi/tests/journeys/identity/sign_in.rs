//! Other people's OAuth clients, left alone with the address of a gate: from a bare 401 to the metadata, the issuer's own, a
//! registration, a sign-in with PKCE and the resource's name, a token, and the answer. The issuer is the npm `oidc-provider`.

use std::collections::BTreeMap;

use octroi_testkit::upstream::sample::Sample;
use reqwest::Url;
use reqwest::header::{COOKIE, LOCATION, SET_COOKIE};
use reqwest::redirect::Policy;
use rmcp::ServiceExt;
use rmcp::model::CallToolRequestParams;
use rmcp::transport::StreamableHttpClientTransport;
use rmcp::transport::auth::{AuthClient, AuthorizationRequest, OAuthState};
use rmcp::transport::streamable_http_client::StreamableHttpClientTransportConfig;
use serde_json::{Value, json};

use crate::harness::money::free_port;
use crate::harness::peers::{self, Server};
use crate::harness::{Caller, Gate, soon};

/// What the sample server says of the carts.
const CARTS: &str = "carts: north 41 carts";

/// An issuer of somebody else's, a server, and the gate between them.
pub(crate) struct Stand {
    pub(crate) gate: Gate,
    _issuer: Server,
    _sample: Sample,
}

impl Stand {
    /// A gate that wants a token for tools, or where `for_everything` for every request.
    pub(crate) async fn open(for_everything: bool) -> Self {
        let sample = Sample::start().await.unwrap();
        let (port, mut issuer) = (free_port(), peers::node("oidc-provider.mjs"));
        let url = format!("http://127.0.0.1:{port}/mcp");
        issuer.env("RESOURCE", &url);
        let issuer = Server::printing_its_url(issuer).await;
        let gate = Gate::serve(&format!(
            "listen = \"127.0.0.1:{port}\"\n[mcp_server]\nupstream = \"{}\"\ndefault = \"identified\"\n\
             [mcp_server.auth.identity]\nissuer = \"{}\"\nrequired_scopes = [\"tools:call\"]\n\
             required = {for_everything}\n\
             [[mcp_server.tools]]\nname = \"announce\"\nscopes = [\"tools:admin\"]\n",
            sample.url(),
            issuer.url,
        ))
        .await;
        assert_eq!(gate.url, url);
        let bare = Caller::of(&gate).call("data_query", json!({"query": "carts"})).send().await;
        bare.refused(401, "MISSING_TOKEN");
        Self { gate, _issuer: issuer, _sample: sample }
    }

    /// Lets a client of Node.js find its way to a tool, signing in so many times.
    async fn found_by(&self, script: &str, (tool, arguments, says): (&str, Value, &str), sign_ins: u64) {
        let mut client = peers::node(script);
        client.arg(&self.gate.url).args(["--tool", tool, "--arguments", &arguments.to_string()]);
        let report = peers::report(client).await;
        assert_eq!(report["signIns"], sign_ins, "{script}: {report}");
        let said = report["call"]["content"][0]["text"].as_str();
        assert!(said.is_some_and(|said| said.starts_with(says)), "{script}: {report}");
    }
}

/// What every signed-in caller may ask.
fn query() -> (&'static str, Value, &'static str) {
    ("data_query", json!({"query": "carts"}), CARTS)
}

/// What needs a scope that nobody is asked for before: refused with 403, granted at a second sign-in.
fn announce() -> (&'static str, Value, &'static str) {
    ("announce", json!({"list": "tools"}), "announced")
}

#[tokio::test(flavor = "multi_thread")]
async fn the_typescript_sdk() {
    Stand::open(false).await.found_by("ts-oauth.mjs", query(), 1).await;
    let stand = Stand::open(true).await;
    stand.found_by("ts-oauth.mjs", query(), 1).await;
    stand.found_by("ts-oauth.mjs", announce(), 2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn mcp_remote() {
    let stand = Stand::open(true).await;
    stand.found_by("mcp-remote.mjs", query(), 1).await;
    stand.found_by("mcp-remote.mjs", announce(), 2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_rust_sdk() {
    const BACK: &str = "http://127.0.0.1:9/callback";
    let stand = Stand::open(true).await;
    let url = stand.gate.url.as_str();
    let bare = ().serve(StreamableHttpClientTransport::from_uri(url)).await;
    assert!(bare.is_err(), "nobody gets in without a token");

    let mut login = OAuthState::new(url, None).await.unwrap();
    let request = AuthorizationRequest::new(BACK).with_client_name("rmcp").with_application_type("native");
    login.start_authorization(request).await.unwrap();
    let back = soon(browse(&login.get_authorization_url().await.unwrap(), BACK)).await;
    login.handle_callback_url(&back).await.unwrap();
    let manager = login.into_authorization_manager().unwrap();

    let http = AuthClient::new(reqwest::Client::new(), manager);
    let config = StreamableHttpClientTransportConfig::with_uri(url);
    let client = soon(().serve(StreamableHttpClientTransport::with_client(http, config))).await.unwrap();
    let arguments = json!({"query": "carts"}).as_object().cloned().unwrap();
    let call = CallToolRequestParams::new("data_query").with_arguments(arguments);
    let result: Value = serde_json::to_value(soon(client.call_tool(call)).await.unwrap()).unwrap();
    let said = result["content"][0]["text"].as_str();
    assert!(said.is_some_and(|said| said.starts_with(CARTS)), "{result}");
}

/// A person's browser: follows every redirect and keeps cookies, until it is sent to an address that begins with `back`.
async fn browse(from: &str, back: &str) -> String {
    let http = reqwest::Client::builder().redirect(Policy::none()).build().unwrap();
    let (mut at, mut cookies) = (Url::parse(from).unwrap(), BTreeMap::new());
    while !at.as_str().starts_with(back) {
        let kept: Vec<String> = cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let page = http.get(at.clone()).header(COOKIE, kept.join("; ")).send().await.unwrap();
        for line in page.headers().get_all(SET_COOKIE) {
            let pair = line.to_str().unwrap().split(';').next().unwrap_or_default();
            cookies.extend(pair.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned())));
        }
        let next = page.headers().get(LOCATION).and_then(|next| next.to_str().ok());
        at = at.join(next.unwrap_or_else(|| panic!("{at} leads nowhere: {}", page.status()))).unwrap();
    }
    at.into()
}
