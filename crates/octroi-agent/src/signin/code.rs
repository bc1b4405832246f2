//! The person agrees in a browser, which comes back to a door on this machine (RFC 8252 §7.3, RFC 7636).

use std::net::Ipv4Addr;
use std::time::Duration;

use aws_lc_rs::{digest, rand};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use url::Url;
use zeroize::Zeroizing;

use super::Session;
use super::client::Client;
use super::issuer::Issuer;
use super::tokens::{self, Ask};
use crate::AgentError;
use crate::http::Http;

/// How long the person may take.
const PERSON_WAIT: Duration = Duration::from_secs(300);
/// How long a connection to the door may take to say what it wants.
const CALLER_WAIT: Duration = Duration::from_secs(5);
/// Most bytes of a request at the door.
const REQUEST_BYTES_MAX: usize = 16 * 1024;
/// The path that the browser comes back to.
const PATH: &str = "/callback";

/// A door on a loopback port.
pub(super) struct Door {
    listener: TcpListener,
    redirect: String,
}

/// The address of the door.
pub(super) fn redirect(port: Option<u16>) -> String {
    port.map_or_else(|| format!("http://127.0.0.1{PATH}"), |port| format!("http://127.0.0.1:{port}{PATH}"))
}

/// What the browser brought.
#[derive(Default)]
struct Brought {
    code: Option<String>,
    state: Option<String>,
    iss: Option<String>,
    error: Option<String>,
}

impl Door {
    pub(super) async fn open(port: Option<u16>) -> Result<Self, AgentError> {
        let cannot = |error| AgentError::SignIn(format!("no door for the browser to come back to: {error}"));
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port.unwrap_or(0))).await.map_err(cannot)?;
        let port = listener.local_addr().map_err(cannot)?.port();
        Ok(Self { listener, redirect: redirect(Some(port)) })
    }

    pub(super) fn redirect(&self) -> &str {
        &self.redirect
    }

    /// Waits for the browser with this `state`; others are sent away.
    async fn wait(&self, state: &str) -> Brought {
        loop {
            let Ok((stream, _)) = self.listener.accept().await else { continue };
            if let Ok(Some(brought)) = tokio::time::timeout(CALLER_WAIT, meet(stream, state)).await {
                return brought;
            }
        }
    }
}

/// Reads one request; answers it; what it brought, if it is the one that is waited for.
async fn meet(mut stream: TcpStream, state: &str) -> Option<Brought> {
    let mut request = Zeroizing::new(Vec::new());
    let mut piece = [0; 2048];
    while !request.windows(4).any(|end| end == b"\r\n\r\n") {
        let read = stream.read(&mut piece).await.ok().filter(|read| *read > 0)?;
        request.extend_from_slice(&piece[..read]);
        if request.len() > REQUEST_BYTES_MAX {
            return None;
        }
    }
    let brought = target(&request).filter(|brought| brought.state.as_deref() == Some(state));
    let (status, words) = match &brought {
        Some(brought) if brought.code.is_some() => ("200 OK", "Signed in. You can close this window."),
        Some(_) => ("200 OK", "Not signed in. You can close this window."),
        None => ("404 Not Found", "Nothing here."),
    };
    let answer = format!(
        "HTTP/1.1 {status}\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: {}\r\n\
         Cache-Control: no-store\r\nReferrer-Policy: no-referrer\r\nConnection: close\r\n\r\n{words}",
        words.len()
    );
    // The browser may be gone; what it brought counts.
    let _ = stream.write_all(answer.as_bytes()).await;
    let _ = stream.shutdown().await;
    brought
}

/// What stands in the request line `GET /callback?… HTTP/1.1`.
fn target(request: &[u8]) -> Option<Brought> {
    let line = std::str::from_utf8(request).ok()?.lines().next()?;
    let mut words = line.split(' ');
    let (method, target) = (words.next()?, words.next()?);
    let (path, query) = target.split_once('?')?;
    if method != "GET" || path != PATH {
        return None;
    }
    let mut brought = Brought::default();
    for (name, value) in url::form_urlencoded::parse(query.as_bytes()) {
        let place = match &*name {
            "code" => &mut brought.code,
            "state" => &mut brought.state,
            "iss" => &mut brought.iss,
            "error" => &mut brought.error,
            _ => continue,
        };
        // RFC 6749 §3.1: parameters must not be repeated.
        if place.replace(value.into_owned()).is_some() {
            return None;
        }
    }
    Some(brought)
}

/// The whole walk: shows the person the issuer's page, waits, and redeems the code.
pub(super) async fn walk(
    http: &Http,
    issuer: &Issuer,
    client: Client,
    door: Door,
    resource: &str,
    scope: Option<String>,
    show: &(dyn Fn(&Url) + Send + Sync),
) -> Result<Session, AgentError> {
    let Some(page) = &issuer.authorization_endpoint else {
        return Err(AgentError::SignIn("the issuer has no page to sign in at".to_owned()));
    };
    if !issuer.takes_pkce() {
        return Err(AgentError::SignIn("the issuer does not take PKCE with S256".to_owned()));
    }
    let (verifier, state) = (random()?, random()?);
    let hash = digest::digest(&digest::SHA256, verifier.as_bytes());
    let mut page = page.clone();
    {
        let mut query = page.query_pairs_mut();
        query.append_pair("response_type", "code");
        query.append_pair("client_id", &client.id);
        query.append_pair("redirect_uri", door.redirect());
        query.append_pair("state", &state);
        query.append_pair("code_challenge", &URL_SAFE_NO_PAD.encode(hash));
        query.append_pair("code_challenge_method", "S256");
        query.append_pair("resource", resource);
        if let Some(scope) = &scope {
            query.append_pair("scope", scope);
        }
    }
    show(&page);
    let brought = tokio::time::timeout(PERSON_WAIT, door.wait(&state)).await;
    let brought = brought.map_err(|_| AgentError::SignIn("nobody came back from the browser".to_owned()))?;
    let code = check(issuer, brought)?;
    let ask = Ask { issuer, client, resource: resource.to_owned(), scope };
    tokens::redeem(http, ask, &code, &verifier, door.redirect()).await
}

/// RFC 9207 §2.4: the answer has to come from the issuer that was asked.
fn check(issuer: &Issuer, brought: Brought) -> Result<String, AgentError> {
    let right = match &brought.iss {
        Some(iss) => *iss == issuer.name,
        None => !issuer.authorization_response_iss_parameter_supported,
    };
    if !right {
        return Err(AgentError::SignIn("the answer comes from another issuer".to_owned()));
    }
    if let Some(error) = brought.error {
        return Err(AgentError::SignIn(format!("the issuer says {error:?}")));
    }
    brought.code.ok_or_else(|| AgentError::SignIn("the answer brings no code".to_owned()))
}

/// 256 random bits as text.
fn random() -> Result<Zeroizing<String>, AgentError> {
    let mut bytes = Zeroizing::new([0; 32]);
    rand::fill(&mut *bytes)
        .map_err(|_| AgentError::SignIn("the operating system gives no randomness".to_owned()))?;
    Ok(Zeroizing::new(URL_SAFE_NO_PAD.encode(*bytes)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_door_takes_one_kind_of_request() {
        let brought = target(b"GET /callback?code=a%20b&state=s&iss=https%3A%2F%2Fi HTTP/1.1\r\n").unwrap();
        assert_eq!((brought.code.as_deref(), brought.state.as_deref()), (Some("a b"), Some("s")));
        assert_eq!(brought.iss.as_deref(), Some("https://i"));
        for other in [
            "POST /callback?code=a",
            "GET /favicon.ico?code=a",
            "GET /callback",
            "GET /callback?code=a&code=b",
            "",
            "\u{fffd}",
        ] {
            assert!(target(format!("{other} HTTP/1.1\r\n").as_bytes()).is_none(), "{other}");
        }
    }
}
