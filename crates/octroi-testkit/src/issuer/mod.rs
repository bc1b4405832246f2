//! An OAuth 2.1 issuer on this machine: real tokens over real HTTP, good ones and hostile ones.
//!
//! It publishes metadata (RFC 8414 and OpenID Connect Discovery) and its keys, and issues RFC 9068 access
//! tokens: at its token endpoint to registered clients (`client_credentials`, RFC 6749 §4.4; token exchange, RFC 8693;
//! Entra's on-behalf-of), and to the program that started it through [`Issuer::token`]. It answers questions about opaque
//! tokens as RFC 7662, Google and GitHub do. Faults can be put on each endpoint.
//!
//! Nobody signs in here: it has no authorization endpoint, no users and no consent. It must never be
//! reachable from another machine, and cannot be: it listens on 127.0.0.1.

mod dpop;
mod endpoints;
mod exchange;
mod faults;
mod hostile;
mod keys;
mod opaque;
mod server;
mod token;

use std::collections::HashMap;
use std::io;
use std::sync::Arc;

use parking_lot::Mutex;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::task::AbortHandle;

pub use dpop::{DpopKey, ProofSpec};
pub use faults::{Endpoint, Fault};
pub use keys::SigningAlgorithm;
pub use token::TokenSpec;

use faults::Faults;
use keys::KeyRing;

/// A running issuer; it stops when dropped.
#[derive(Debug)]
pub struct Issuer {
    state: Arc<State>,
    server: AbortHandle,
}

/// What the endpoints and the handle share.
#[derive(Debug)]
struct State {
    /// The issuer identifier, as tokens carry it.
    url: String,
    /// The part of it after the port; empty, `/`, or a path.
    path: String,
    keys: Mutex<KeyRing>,
    clients: Mutex<HashMap<String, Client>>,
    /// What the endpoints that are asked about tokens answer.
    answers: Mutex<HashMap<(Endpoint, String), Value>>,
    faults: Faults,
}

/// A client that may ask for tokens.
struct Client {
    secret: String,
    /// For `private_key_jwt`.
    key: Option<Value>,
    scopes: Vec<String>,
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client").field("scopes", &self.scopes).finish_non_exhaustive()
    }
}

impl Issuer {
    /// Starts an issuer on a free loopback port, with one new ES256 key.
    ///
    /// # Errors
    /// When no port can be had.
    pub async fn start() -> io::Result<Self> {
        Self::start_at("").await
    }

    /// Starts an issuer whose identifier ends in `path`: `/` for a mere trailing slash, or `/realms/one`.
    ///
    /// # Errors
    /// When no port can be had.
    pub async fn start_at(path: &str) -> io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        let state = Arc::new(State {
            url: format!("http://{address}{path}"),
            path: path.to_owned(),
            keys: Mutex::new(KeyRing::new(SigningAlgorithm::Es256)?),
            clients: Mutex::new(HashMap::new()),
            answers: Mutex::new(HashMap::new()),
            faults: Faults::default(),
        });
        let server = tokio::spawn(server::serve(listener, Arc::clone(&state))).abort_handle();
        Ok(Self { state, server })
    }

    /// The issuer identifier: what tokens carry as `iss`, and where discovery starts.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.state.url
    }

    /// Where the key set is.
    #[must_use]
    pub fn jwks_uri(&self) -> String {
        self.state.endpoint("jwks")
    }

    /// Where registered clients get their tokens.
    #[must_use]
    pub fn token_endpoint(&self) -> String {
        self.state.endpoint("token")
    }

    /// Lets a client ask for tokens with at most these scopes.
    pub fn register_client(&self, id: &str, secret: &str, scopes: &[&str]) {
        let scopes = scopes.iter().map(|scope| (*scope).to_owned()).collect();
        self.state
            .clients
            .lock()
            .insert(id.to_owned(), Client { secret: secret.to_owned(), key: None, scopes });
    }

    /// Lets a client that signs its requests (`private_key_jwt`, RFC 7523 §2.2) with this public key ask for tokens.
    pub fn register_client_key(&self, id: &str, public_jwk: Value, scopes: &[&str]) {
        let scopes = scopes.iter().map(|scope| (*scope).to_owned()).collect();
        let client = Client { secret: String::new(), key: Some(public_jwk), scopes };
        self.state.clients.lock().insert(id.to_owned(), client);
    }

    /// An access token as described, signed with the newest key.
    #[must_use]
    pub fn token(&self, spec: TokenSpec) -> String {
        self.state.token(spec)
    }

    /// Adds a key under a new name and signs with it from now on. Gives the name.
    ///
    /// # Errors
    /// When the machine gives no randomness.
    pub fn add_key(&self, algorithm: SigningAlgorithm) -> io::Result<String> {
        self.state.keys.lock().add(algorithm)
    }

    /// Takes a key out of the published set. The newest key still signs, published or not.
    pub fn withdraw_key(&self, key_id: &str) {
        self.state.keys.lock().withdraw(key_id);
    }

    /// Replaces all keys by one new key of the same algorithm, as after a theft. Gives its name.
    ///
    /// # Errors
    /// When the machine gives no randomness.
    pub fn rotate_keys(&self) -> io::Result<String> {
        self.state.keys.lock().rotate()
    }

    /// The name of the key that signs.
    #[must_use]
    pub fn signing_key_id(&self) -> String {
        self.state.keys.lock().newest().id().to_owned()
    }

    /// The published key set.
    #[must_use]
    pub fn key_set(&self) -> Value {
        self.state.keys.lock().published()
    }

    /// Publishes a key set other than the issuer's own, until [`Self::rotate_keys`].
    pub fn publish_key_set(&self, key_set: Value) {
        self.state.keys.lock().publish_instead(key_set);
    }

    /// Makes an endpoint misbehave, or behave again.
    pub fn set_fault(&self, endpoint: Endpoint, fault: Fault) {
        self.state.faults.set(endpoint, fault);
    }

    /// Makes every endpoint misbehave, or behave again.
    pub fn set_fault_everywhere(&self, fault: &Fault) {
        for endpoint in Endpoint::ALL {
            self.state.faults.set(endpoint, fault.clone());
        }
    }

    /// How often an endpoint was asked, faulty answers included.
    #[must_use]
    pub fn requests(&self, endpoint: Endpoint) -> u64 {
        self.state.faults.requests(endpoint)
    }
}

impl Drop for Issuer {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl State {
    /// The URL of an endpoint below the issuer's path.
    fn endpoint(&self, name: &str) -> String {
        format!("{}/{name}", self.url.trim_end_matches('/'))
    }
}
