//! Signing in: with a browser, as a program, and again when the token has ended.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use octroi_testkit::issuer::{Issuer, TokenSpec};
use octroi_testkit::upstream::sample::Sample;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::{Owner, Program, call};
use crate::harness::{Gate, Launch, peers};

/// The browser's half of an issuer: registration, a page that agrees at once, and tokens signed by the testkit's issuer.
struct Door {
    url: String,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    issuer_url: String,
    audience: String,
    /// Codes and what their tokens need: challenge and redirect.
    codes: HashMap<String, (String, String)>,
    refresh: Option<String>,
    log: Vec<String>,
    ttl: u64,
}

impl Door {
    async fn open(issuer: Arc<Issuer>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let state = Arc::new(Mutex::new(State { issuer_url: url.clone(), ttl: 3600, ..State::default() }));
        let shared = Arc::clone(&state);
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let (shared, issuer) = (Arc::clone(&shared), Arc::clone(&issuer));
                tokio::spawn(async move {
                    let Some((head, body)) = request(&mut stream).await else { return };
                    let answer = shared.lock().unwrap().answer(&issuer, &head, &body);
                    let _ = stream.write_all(answer.as_bytes()).await;
                });
            }
        });
        Self { url, state }
    }

    fn log(&self) -> Vec<String> {
        std::mem::take(&mut self.state.lock().unwrap().log)
    }
}

/// The head and the body of the one request of a connection.
async fn request(stream: &mut TcpStream) -> Option<(String, String)> {
    let mut request = Vec::new();
    let mut piece = [0; 8192];
    loop {
        let read = stream.read(&mut piece).await.ok().filter(|read| *read > 0)?;
        request.extend_from_slice(&piece[..read]);
        let text = String::from_utf8_lossy(&request).into_owned();
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let length =
            |line: &str| line.to_ascii_lowercase().strip_prefix("content-length:")?.trim().parse().ok();
        if body.len() >= head.lines().find_map(length).unwrap_or(0) {
            return Some((head.to_owned(), body.to_owned()));
        }
    }
}

fn reply(status: &str, headers: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\n{headers}Content-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len())
}

fn pairs(text: &str) -> HashMap<String, String> {
    url::form_urlencoded::parse(text.as_bytes()).into_owned().collect()
}

impl State {
    fn answer(&mut self, issuer: &Issuer, head: &str, body: &str) -> String {
        let target = head.split(' ').nth(1).unwrap_or_default();
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let json = |value: Value| reply("200 OK", "Content-Type: application/json\r\n", &value.to_string());
        let base = &self.issuer_url;
        match path {
            "/.well-known/oauth-authorization-server" => json(json!({
                "issuer": base,
                "authorization_endpoint": format!("{base}/authorize"),
                "token_endpoint": format!("{base}/token"),
                "registration_endpoint": format!("{base}/register"),
                "jwks_uri": format!("{}/jwks", issuer.url().trim_end_matches('/')),
                "code_challenge_methods_supported": ["S256"],
                "authorization_response_iss_parameter_supported": true,
            })),
            "/register" => {
                let asked: Value = serde_json::from_str(body).unwrap();
                assert_eq!(
                    (&asked["application_type"], &asked["token_endpoint_auth_method"]),
                    (&json!("native"), &json!("none"))
                );
                self.log.push("register".to_owned());
                json(json!({"client_id": "registered", "redirect_uris": asked["redirect_uris"]}))
            }
            "/authorize" => {
                let asked = pairs(query);
                assert_eq!(
                    (asked["code_challenge_method"].as_str(), asked["resource"].as_str()),
                    ("S256", self.audience.as_str())
                );
                let code = format!("code-{}", self.codes.len());
                self.log.push("authorize".to_owned());
                self.codes
                    .insert(code.clone(), (asked["code_challenge"].clone(), asked["redirect_uri"].clone()));
                let query: String = url::form_urlencoded::Serializer::new(String::new())
                    .extend_pairs([("code", code.as_str()), ("state", &asked["state"]), ("iss", base)])
                    .finish();
                reply("302 Found", &format!("Location: {}?{query}\r\n", asked["redirect_uri"]), "")
            }
            "/token" => self.token(issuer, &pairs(body)),
            _ => reply("404 Not Found", "", ""),
        }
    }

    fn token(&mut self, issuer: &Issuer, asked: &HashMap<String, String>) -> String {
        use base64::Engine as _;
        let good = match asked["grant_type"].as_str() {
            "authorization_code" => self.codes.remove(&asked["code"]).is_some_and(|(challenge, redirect)| {
                let hash = <sha2::Sha256 as sha2::Digest>::digest(&asked["code_verifier"]);
                let proof = base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(hash);
                proof == challenge && redirect == asked["redirect_uri"] && asked["client_id"] == "registered"
            }),
            "refresh_token" => self.refresh.take().is_some_and(|known| known == asked["refresh_token"]),
            _ => false,
        };
        self.log.push(asked["grant_type"].clone());
        if !good {
            return reply(
                "400 Bad Request",
                "Content-Type: application/json\r\n",
                r#"{"error":"invalid_grant"}"#,
            );
        }
        let refresh = format!("refresh-{}", self.log.len());
        self.refresh = Some(refresh.clone());
        let spec = TokenSpec::new("alice", &self.audience).ttl_seconds(self.ttl);
        let answer = json!({"access_token": issuer.token(spec), "token_type": "Bearer", "expires_in": self.ttl, "refresh_token": refresh});
        reply("200 OK", "Content-Type: application/json\r\n", &answer.to_string())
    }
}

/// A gate that wants to know who calls, and free for those it knows.
async fn gate(issuer: &Issuer, sample: &Sample) -> Gate {
    let config = format!(
        r#"
listen = "127.0.0.1:{}"
[mcp_server]
upstream = "{}"
[[mcp_server.tools]]
name = "data_query"
requires_identity = true
requires_payment = false
[mcp_server.auth.identity]
issuer = "{}"
allow_insecure_http = true
allow_private_addresses = true
"#,
        crate::harness::money::free_port(),
        sample.url(),
        issuer.url()
    );
    Launch::new(&config, &[]).start().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_signs_in_with_its_secret() {
    let issuer = Issuer::start().await.unwrap();
    let sample = Sample::start().await.unwrap();
    let gate = gate(&issuer, &sample).await;
    issuer.register_client("robot", "robot's secret", &[]);
    let owner = Owner::poor();
    let credentials = ["--client-credentials", "--client-id", "robot", "--client-secret", "robot's secret"];
    let words = ["call", gate.url.as_str(), "data_query", "--arg", "query=carts"];
    let (code, out, err) = owner.run(&[&words[..], &credentials[..]].concat()).await;
    assert!(code == 0 && out.contains("north 41 carts"), "{out}{err}");
    // The token is kept: the next call asks nobody.
    let (code, out, err) = owner.run(&[&words[..], &["--sign-in"]].concat()).await;
    assert!(code == 0 && out.contains("north 41 carts"), "{out}{err}");
    let mut bridge = owner.connect(&gate.url, &credentials);
    bridge.initialize(json!({})).await;
    let reply = bridge.ask(&call(1, "data_query", json!({"query": "carts"}))).await;
    assert!(reply.to_string().contains("north 41 carts"), "{reply}");
    assert_eq!(owner.purse().await["signed_in"], json!([gate.url]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_signs_in_with_a_browser_once() {
    let issuer = Arc::new(Issuer::start().await.unwrap());
    let door = Door::open(Arc::clone(&issuer)).await;
    let sample = Sample::start().await.unwrap();
    // What the gate's metadata names is the door; it signs with the issuer's keys.
    let front = Resource::start(&door.url, sample.url()).await;
    door.state.lock().unwrap().audience = front.url.clone();
    let owner = Owner::poor();
    let browser = peers::node("browser.mjs");
    let browser = format!(
        "{} {}",
        browser.as_std().get_program().to_str().unwrap(),
        browser.as_std().get_args().next().unwrap().to_str().unwrap()
    );
    let start =
        || Program::start(&owner.words(&["connect", &front.url]), &[("OCTROI_BROWSER", browser.clone())]);
    let query = |id| call(id, "data_query", json!({"query": "carts"}));
    let mut bridge = start();
    bridge.initialize(json!({})).await;
    assert!(bridge.ask(&query(1)).await.to_string().contains("north 41 carts"));
    assert_eq!(door.log(), ["register", "authorize", "authorization_code"]);
    // Another process of the same owner has the token already.
    let mut other = start();
    other.initialize(json!({})).await;
    assert!(other.ask(&query(1)).await.to_string().contains("north 41 carts"));
    assert!(door.log().is_empty());
    // The token is refused: it is renewed, and nobody is asked. Both processes end with the same.
    front.revoke();
    assert!(bridge.ask(&query(2)).await.to_string().contains("north 41 carts"));
    assert!(other.ask(&query(2)).await.to_string().contains("north 41 carts"));
    assert_eq!(door.log(), ["refresh_token"]);
    // The renewal is refused, too: the person is asked again, as the client that is known.
    front.revoke();
    door.state.lock().unwrap().refresh = None;
    assert!(bridge.ask(&query(3)).await.to_string().contains("north 41 carts"));
    assert_eq!(door.log(), ["refresh_token", "authorize", "authorization_code"]);
}

/// A resource server that takes every token but those revoked, in front of a sample server.
struct Resource {
    url: String,
    seen: Arc<Mutex<(Vec<String>, Vec<String>)>>,
}

impl Resource {
    async fn start(issuer: &str, upstream: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let url = format!("{base}/mcp");
        let seen: Arc<Mutex<(Vec<String>, Vec<String>)>> = Arc::default();
        let (shared, issuer, resource) = (Arc::clone(&seen), issuer.to_owned(), url.clone());
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (shared, issuer, resource, upstream) =
                    (Arc::clone(&shared), issuer.clone(), resource.clone(), upstream.clone());
                tokio::spawn(serve(stream, shared, issuer, resource, upstream));
            }
        });
        Self { url, seen }
    }

    /// No token seen so far is taken any more.
    fn revoke(&self) {
        let (seen, revoked) = &mut *self.seen.lock().unwrap();
        revoked.append(seen);
    }
}

async fn serve(
    mut stream: TcpStream,
    shared: Arc<Mutex<(Vec<String>, Vec<String>)>>,
    issuer: String,
    resource: String,
    upstream: String,
) {
    let Some((head, body)) = request(&mut stream).await else { return };
    let metadata = "/.well-known/oauth-protected-resource/mcp";
    let answer = if head.contains(metadata) {
        let told = json!({"resource": resource, "authorization_servers": [issuer]}).to_string();
        reply("200 OK", "Content-Type: application/json\r\n", &told)
    } else {
        let token =
            head.lines().find_map(|line| line.strip_prefix("authorization: Bearer ")).map(str::to_owned);
        let known = token.filter(|token| {
            let (seen, revoked) = &mut *shared.lock().unwrap();
            let good = !revoked.contains(token);
            if good {
                seen.push(token.clone());
            }
            good
        });
        if known.is_none() {
            let place = resource.replace("/mcp", metadata);
            reply(
                "401 Unauthorized",
                &format!("WWW-Authenticate: Bearer resource_metadata=\"{place}\"\r\n"),
                "",
            )
        } else {
            pass(&head, body, &upstream).await
        }
    };
    let _ = stream.write_all(answer.as_bytes()).await;
}

async fn pass(head: &str, body: String, upstream: &str) -> String {
    let http = reqwest::Client::new();
    let mut request = http.request(head.split(' ').next().unwrap().parse().unwrap(), upstream).body(body);
    for line in head.lines().skip(1) {
        let (name, value) = line.split_once(": ").unwrap();
        if ["accept", "content-type", "mcp-session-id", "mcp-protocol-version", "mcp-method", "mcp-name"]
            .contains(&name)
        {
            request = request.header(name, value);
        }
    }
    if head.starts_with("GET") {
        return reply("405 Method Not Allowed", "", "");
    }
    let answer = request.send().await.unwrap();
    let status = answer.status();
    let mut headers = String::new();
    for name in ["content-type", "mcp-session-id"] {
        if let Some(value) = answer.headers().get(name) {
            headers.push_str(&format!("{name}: {}\r\n", value.to_str().unwrap()));
        }
    }
    reply(&status.to_string(), &headers, &answer.text().await.unwrap())
}
