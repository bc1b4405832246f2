//! One relay: a websocket that is kept open, with two subscriptions (NIP-01).

use std::sync::Arc;
use std::time::Duration;

use nostr::{Event, EventId};
use serde_json::{Value, json};
use tokio::sync::{mpsc, watch};
use url::Url;

use super::envelope::{INFO, NOTIFICATION, NOTIFICATION_NIP04, RESPONSE};
use super::link::Shared;
use crate::NodeError;
use crate::node::unix_now;
use crate::rest::words;
use crate::websocket::{Dialer, WebSocket};

/// Requests that wait to be sent over one relay.
const OUTBOX: usize = 64;

/// How long a relay may take to say that it has sent what it kept (`EOSE`); one that never says so is used all the same.
const STORED: Duration = Duration::from_secs(3);

/// The wait before a relay is dialled again: doubles from the first to the last.
const AGAIN_MIN: Duration = Duration::from_millis(200);
const AGAIN_MAX: Duration = Duration::from_secs(30);

/// A connection that lasted so long was a good one.
const LASTED: Duration = Duration::from_secs(10);

/// What relays still keep of the past is asked for, as far back as clocks may differ, in seconds.
const LOOK_BACK: u64 = 600;

/// Whether a relay can be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum State {
    /// Not yet, and worth waiting for: nothing has failed so far.
    Dialing,
    Up,
    /// Why not.
    Down(NodeError),
}

/// One relay, as a request sees it.
pub(super) struct Relay {
    pub(super) outbox: mpsc::Sender<Event>,
    pub(super) state: watch::Receiver<State>,
}

/// What a relay's connection needs.
pub(super) struct Line {
    pub(super) number: usize,
    pub(super) url: Url,
    pub(super) dialer: Arc<Dialer>,
    pub(super) shared: Arc<Shared>,
}

impl Line {
    /// Keeps the connection for as long as the task lives.
    pub(super) fn keep(self) -> (Relay, tokio::task::AbortHandle) {
        let (outbox, posts) = mpsc::channel(OUTBOX);
        let (state, seen) = watch::channel(State::Dialing);
        let task = tokio::spawn(self.run(posts, state)).abort_handle();
        (Relay { outbox, state: seen }, task)
    }

    async fn run(self, mut posts: mpsc::Receiver<Event>, state: watch::Sender<State>) {
        let mut wait = AGAIN_MIN;
        loop {
            let began = tokio::time::Instant::now();
            let (error, talked) = match self.dialer.dial(&self.url, None).await {
                Ok(socket) => (self.talk(socket, &mut posts, &state).await, true),
                Err(error) => (error, false),
            };
            tracing::debug!(relay = self.url.host_str(), %error, "a Nostr relay is lost");
            if began.elapsed() >= LASTED {
                wait = AGAIN_MIN;
            }
            // One that was there a moment ago is waited for.
            let soon = talked && wait == AGAIN_MIN;
            state.send_replace(if soon { State::Dialing } else { State::Down(error) });
            // What waited to be sent is not sent late: whoever asked has been told.
            while posts.try_recv().is_ok() {}
            self.shared.lost(self.number);
            tokio::time::sleep(wait).await;
            wait = (wait * 2).min(AGAIN_MAX);
        }
    }

    /// Until the connection is over; why it is.
    async fn talk(
        &self,
        mut socket: WebSocket,
        posts: &mut mpsc::Receiver<Event>,
        state: &watch::Sender<State>,
    ) -> NodeError {
        if let Err(error) = self.subscribe(&mut socket).await {
            return error;
        }
        let mut stored = Box::pin(tokio::time::sleep(STORED));
        let mut up = false;
        loop {
            let done = tokio::select! {
                text = socket.next() => match text {
                    Ok(text) => self.heard(&text, &mut socket).await,
                    Err(error) => Err(error),
                },
                Some(event) = posts.recv() => socket.send(json!(["EVENT", event]).to_string()).await.map(|()| false),
                () = &mut stored, if !up => Ok(true),
            };
            match done {
                Ok(true) if !up => {
                    up = true;
                    state.send_replace(State::Up);
                    self.shared.found();
                }
                Ok(_) => {}
                Err(error) => return error,
            }
        }
    }

    async fn subscribe(&self, socket: &mut WebSocket) -> Result<(), NodeError> {
        let (wallet, own) = (self.shared.envelope.wallet, self.shared.envelope.keys.public_key());
        let info = json!({"kinds": [INFO], "authors": [wallet], "limit": 1});
        let letters = json!({
            "kinds": [RESPONSE, NOTIFICATION_NIP04, NOTIFICATION],
            "authors": [wallet],
            "#p": [own],
            "since": unix_now().saturating_sub(LOOK_BACK),
        });
        socket.send(json!(["REQ", "octroi", info, letters]).to_string()).await
    }

    /// One message of the relay; whether it has now sent what it kept.
    async fn heard(&self, text: &str, socket: &mut WebSocket) -> Result<bool, NodeError> {
        match Said::read(text) {
            Said::Event(event) => self.shared.event(&event),
            Said::Stored => return Ok(true),
            Said::NotTaken(id, words) => {
                tracing::debug!(relay = self.url.host_str(), words, "a Nostr relay did not take an event");
                self.shared.refused(self.number, &id, &words);
            }
            Said::WhoIsThere(challenge) => {
                if let Some(login) = self.shared.envelope.login(self.url.as_str(), &challenge) {
                    socket.send(json!(["AUTH", login]).to_string()).await?;
                    // What was refused for want of it is asked for again.
                    self.subscribe(socket).await?;
                }
            }
            Said::Ended => return Err(NodeError::Refused("the relay ended the subscription".to_owned())),
            Said::Nothing => {}
        }
        Ok(false)
    }
}

/// What a relay says (NIP-01, NIP-42).
pub(super) enum Said {
    /// An event, whoever made it.
    Event(Box<Event>),
    /// It has sent what it kept.
    Stored,
    /// It did not take this event, and why.
    NotTaken(EventId, String),
    /// It wants to know who is there.
    WhoIsThere(String),
    /// It sends no more.
    Ended,
    /// Whatever else: a relay may say more than this client knows.
    Nothing,
}

impl Said {
    pub(super) fn read(text: &str) -> Self {
        let Ok(Value::Array(mut parts)) = serde_json::from_str::<Value>(text) else { return Self::Nothing };
        let word = |place: usize| parts.get(place).and_then(Value::as_str);
        match word(0) {
            Some("EVENT") => {
                let event = parts.get_mut(2).map(Value::take);
                let event = event.and_then(|event| serde_json::from_value(event).ok());
                event.map_or(Self::Nothing, Self::Event)
            }
            Some("EOSE") => Self::Stored,
            Some("OK") if parts.get(2) == Some(&Value::Bool(false)) => {
                let why = words(word(3).unwrap_or("no reason").as_bytes());
                let id = word(1).and_then(|id| EventId::from_hex(id).ok());
                id.map_or(Self::Nothing, |id| Self::NotTaken(id, why))
            }
            Some("AUTH") => Self::WhoIsThere(word(1).unwrap_or_default().to_owned()),
            Some("CLOSED") if !word(2).unwrap_or_default().starts_with("auth-required") => Self::Ended,
            _ => Self::Nothing,
        }
    }
}
