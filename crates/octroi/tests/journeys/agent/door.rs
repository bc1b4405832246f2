//! Where signing in is tried: the browser's half of an issuer, and a resource server that can turn tokens down.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use octroi_testkit::issuer::{Issuer, TokenSpec};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// The browser's half of an issuer: registration, a page that agrees at once, and tokens signed by the testkit's issuer.
pub(super) struct Door {
    pub(super) url: String,
    pub(super) state: Arc<Mutex<State>>,
}

#[derive(Default)]
pub(super) struct State {
    issuer_url: String,
    pub(super) audience: String,
    /// Codes and what their tokens need: challenge and redirect.
    codes: HashMap<String, (String, String)>,
    pub(super) refresh: Option<String>,
    log: Vec<String>,
    ttl: u64,
    /// The document of a client that describes itself, in place of registration.
    pub(super) document: Option<Value>,
}

impl Door {
    pub(super) async fn open(issuer: Arc<Issuer>) -> Self {
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

    pub(super) fn log(&self) -> Vec<String> {
        std::mem::take(&mut self.state.lock().unwrap().log)
    }
}

/// The head and the body of the one request of a connection.
pub(super) async fn request(stream: &mut TcpStream) -> Option<(String, String)> {
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

pub(super) fn reply(status: &str, headers: &str, body: &str) -> String {
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
                "registration_endpoint": self.document.is_none().then(|| format!("{base}/register")),
                "client_id_metadata_document_supported": self.document.is_some(),
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
                assert_eq!(asked["client_id"], self.client());
                if let Some(document) = &self.document {
                    // On this machine every port will do (RFC 8252 §7.3).
                    let mut back: url::Url = asked["redirect_uri"].parse().unwrap();
                    back.set_port(None).unwrap();
                    assert_eq!(document["redirect_uris"], json!([back.as_str()]));
                }
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

    /// Who asks.
    fn client(&self) -> String {
        let named = self.document.as_ref().and_then(|document| document["client_id"].as_str());
        named.unwrap_or("registered").to_owned()
    }

    fn token(&mut self, issuer: &Issuer, asked: &HashMap<String, String>) -> String {
        use base64::Engine as _;
        let good = match asked["grant_type"].as_str() {
            "authorization_code" => self.codes.remove(&asked["code"]).is_some_and(|(challenge, redirect)| {
                let hash = <sha2::Sha256 as sha2::Digest>::digest(&asked["code_verifier"]);
                let proof = base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(hash);
                proof == challenge && redirect == asked["redirect_uri"] && asked["client_id"] == self.client()
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

/// A resource server that takes every token but those revoked, in front of a sample server.
pub(super) struct Resource {
    pub(super) url: String,
    seen: Arc<Mutex<(Vec<String>, Vec<String>)>>,
}

impl Resource {
    pub(super) async fn start(issuer: &str, upstream: String) -> Self {
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
    pub(super) fn revoke(&self) {
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
