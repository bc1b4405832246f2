//! A websocket (RFC 6455) to a node or a relay: dialled by the same client as its HTTP API, bounded, and never silent for
//! long without being asked whether it is still there.

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use reqwest::header::{CONNECTION, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION, UPGRADE};
use reqwest::{Client, StatusCode, Upgraded};
use tokio::time::Instant;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::error::ProtocolError;
use tokio_tungstenite::tungstenite::handshake::client::generate_key;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error, Message};
use url::Url;

use crate::{NodeError, Password};

/// How long it may take until the other end has agreed to a websocket.
const DIAL: Duration = Duration::from_secs(5);

/// Most bytes of a message.
pub(crate) const MESSAGE_MAX: usize = 256 * 1024;

/// After so long without a word the other end is asked whether it is there; after twice as long it is not.
const QUIET: Duration = Duration::from_secs(30);

/// How long it may take to hand a message to the network.
const SEND: Duration = Duration::from_secs(10);

/// Opens websockets.
pub(crate) struct Dialer(Client);

/// An open websocket.
pub(crate) struct WebSocket {
    stream: WebSocketStream<Upgraded>,
    /// When the other end was last heard of.
    heard: Instant,
    /// It was asked whether it is there, and has not answered.
    asked: bool,
}

impl Dialer {
    /// Nothing is sent yet. The public authorities are trusted, as for every other request.
    ///
    /// # Errors
    /// [`NodeError::Config`].
    pub(crate) fn new() -> Result<Self, NodeError> {
        let client = Client::builder()
            .connect_timeout(DIAL)
            // A connection of HTTP/2 cannot become a websocket (RFC 8441 is another protocol).
            .http1_only()
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .build();
        client.map(Self).map_err(|error| NodeError::Config(format!("websockets: {error}")))
    }

    /// Opens one at `url` (`http`, `https`, `ws` or `wss`), as the empty user with `password` where there is one.
    ///
    /// # Errors
    /// [`NodeError::Unreachable`], [`NodeError::Timeout`], [`NodeError::Refused`] for a wrong password.
    pub(crate) async fn dial(&self, url: &Url, password: Option<&Password>) -> Result<WebSocket, NodeError> {
        tokio::time::timeout(DIAL, self.handshake(url, password)).await.map_err(|_| NodeError::Timeout)?
    }

    async fn handshake(&self, url: &Url, password: Option<&Password>) -> Result<WebSocket, NodeError> {
        let key = generate_key();
        let mut request = self
            .0
            .get(over_http(url))
            .header(CONNECTION, "Upgrade")
            .header(UPGRADE, "websocket")
            .header(SEC_WEBSOCKET_VERSION, "13")
            .header(SEC_WEBSOCKET_KEY, &key);
        if let Some(password) = password {
            request = request.basic_auth("", Some(password.reveal()));
        }
        let response = request.send().await.map_err(|error| crate::rest::failure(&error))?;
        match response.status() {
            StatusCode::SWITCHING_PROTOCOLS => {}
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                return Err(NodeError::Refused(
                    "the credential is wrong, or does not allow a websocket".to_owned(),
                ));
            }
            status => return Err(NodeError::Unreachable(format!("no websocket: HTTP {}", status.as_u16()))),
        }
        let accepted = response.headers().get(SEC_WEBSOCKET_ACCEPT).map(|value| value.as_bytes().to_vec());
        if accepted.as_deref() != Some(derive_accept_key(key.as_bytes()).as_bytes()) {
            return Err(NodeError::BadReply("no websocket: a wrong Sec-WebSocket-Accept".to_owned()));
        }
        let upgraded = response.upgrade().await.map_err(|error| crate::rest::failure(&error))?;
        let config = WebSocketConfig::default()
            .read_buffer_size(16 * 1024)
            .max_write_buffer_size(4 * MESSAGE_MAX)
            .max_message_size(Some(MESSAGE_MAX))
            .max_frame_size(Some(MESSAGE_MAX));
        let stream = WebSocketStream::from_raw_socket(upgraded, Role::Client, Some(config)).await;
        Ok(WebSocket { stream, heard: Instant::now(), asked: false })
    }
}

impl WebSocket {
    /// The next text. Safe to cancel.
    ///
    /// # Errors
    /// When the connection is over, whatever the reason; it is then to be dropped.
    pub(crate) async fn next(&mut self) -> Result<String, NodeError> {
        loop {
            let patience = if self.asked { 2 * QUIET } else { QUIET };
            let message = match tokio::time::timeout_at(self.heard + patience, self.stream.next()).await {
                Err(_) if self.asked => return Err(NodeError::Timeout),
                Err(_) => {
                    self.asked = true;
                    self.put(Message::Ping(Vec::new().into())).await?;
                    continue;
                }
                Ok(message) => message,
            };
            self.heard = Instant::now();
            self.asked = false;
            match message {
                Some(Ok(Message::Text(text))) => return Ok(text.as_str().to_owned()),
                Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => {}
                Some(Ok(Message::Binary(_))) => {
                    return Err(NodeError::BadReply("bytes where text was expected".to_owned()));
                }
                Some(Err(error)) => return Err(broken(&error)),
                Some(Ok(Message::Close(_))) | None => {
                    return Err(NodeError::Unreachable("the connection was closed".to_owned()));
                }
            }
        }
    }

    /// Sends a text.
    ///
    /// # Errors
    /// As [`next`](Self::next). What was sent may have arrived all the same.
    pub(crate) async fn send(&mut self, text: String) -> Result<(), NodeError> {
        self.put(Message::Text(text.into())).await
    }

    async fn put(&mut self, message: Message) -> Result<(), NodeError> {
        let sent = tokio::time::timeout(SEND, self.stream.send(message)).await;
        sent.map_err(|_| NodeError::Timeout)?.map_err(|error| broken(&error))
    }
}

fn broken(error: &Error) -> NodeError {
    match error {
        Error::Capacity(_) => NodeError::BadReply(format!("a message of more than {MESSAGE_MAX} bytes")),
        Error::Protocol(ProtocolError::ResetWithoutClosingHandshake) => {
            NodeError::Unreachable("the connection broke".to_owned())
        }
        Error::Protocol(_) | Error::Utf8(_) => NodeError::BadReply("not a websocket's frame".to_owned()),
        _ => NodeError::Unreachable("the connection broke".to_owned()),
    }
}

/// The same address under HTTP's name of the scheme.
fn over_http(url: &Url) -> Url {
    let scheme = match url.scheme() {
        "ws" => "http",
        "wss" => "https",
        other => other,
    };
    // Between special schemes a URL cannot refuse; the text is changed because `set_scheme` may.
    let renamed = url.as_str().split_once("://").map(|(_, rest)| format!("{scheme}://{rest}"));
    renamed.and_then(|text| text.parse().ok()).unwrap_or_else(|| url.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_schemes_of_websockets_are_https_for_the_client() {
        for (url, expected) in [
            ("ws://127.0.0.1:7/x?y=1", "http://127.0.0.1:7/x?y=1"),
            ("wss://relay.example.com", "https://relay.example.com/"),
            ("http://127.0.0.1:9740/websocket", "http://127.0.0.1:9740/websocket"),
        ] {
            assert_eq!(over_http(&url.parse().unwrap()).as_str(), expected);
        }
    }
}
