//! A Nostr relay (NIP-01, NIP-42): it keeps replaceable events, passes the others on, and does mischief when told to.

use std::collections::HashMap;
use std::io;
use std::net::Ipv4Addr;
use std::sync::Arc;

use futures_util::{SinkExt, StreamExt};
use nostr::filter::MatchEventOptions;
use nostr::{Event, EventBuilder, Filter, Keys, Kind};
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{broadcast, watch};
use tokio::task::{AbortHandle, JoinSet};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::{Error, Message};

use super::super::faults::Faults;
use super::wallet::RESPONSE;

/// Events that wait for a slow subscriber.
const BACKLOG: usize = 1024;

/// What a relay does with the answers it is to pass on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mischief {
    /// Passes them on.
    None,
    /// Says a lot that is no message before each.
    Garbage,
    /// Brings answers of its own making before each: of another author, and under the wallet's name.
    Forge,
    /// Changes each, and passes on that alone.
    Change,
    /// Repeats every earlier answer before each.
    Replay,
    /// Keeps them.
    Silence,
    /// Takes no events from anybody.
    Refuse,
    /// Sends one message that is far too large.
    Flood,
}

/// A relay; it ends when dropped.
pub struct Relay {
    /// `ws://127.0.0.1:port`.
    pub url: String,
    hub: Arc<Hub>,
    task: Task,
}

/// Ends what it runs when dropped.
struct Task(Option<AbortHandle>);

impl Drop for Task {
    fn drop(&mut self) {
        if let Some(task) = &self.0 {
            task.abort();
        }
    }
}

/// What all connections of a relay share.
pub(super) struct Hub {
    events: broadcast::Sender<Event>,
    /// Replaceable events, by kind and author.
    kept: Mutex<HashMap<(u16, String), Event>>,
    mischief: Mutex<Mischief>,
    /// Answers that were passed on.
    past: Mutex<Vec<Event>>,
    /// Nothing is served to who does not say who he is.
    wants_login: Mutex<bool>,
    faults: Arc<Faults>,
    down: watch::Sender<bool>,
}

impl Relay {
    pub(super) async fn start(faults: Arc<Faults>) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let url = format!("ws://{}", listener.local_addr()?);
        let hub = Arc::new(Hub {
            events: broadcast::Sender::new(BACKLOG),
            kept: Mutex::default(),
            mischief: Mutex::new(Mischief::None),
            past: Mutex::default(),
            wants_login: Mutex::new(false),
            faults,
            down: watch::Sender::new(false),
        });
        let task = tokio::spawn(accept(listener, Arc::clone(&hub))).abort_handle();
        Ok(Self { url, hub, task: Task(Some(task)) })
    }

    pub(super) fn hub(&self) -> Arc<Hub> {
        Arc::clone(&self.hub)
    }

    /// For who ends it later.
    pub(super) fn into_task(mut self) -> Option<AbortHandle> {
        self.task.0.take()
    }

    /// From now on.
    pub fn does(&self, mischief: Mischief) {
        *self.hub.mischief.lock() = mischief;
    }

    /// Connections made from now on have to log in (NIP-42).
    pub fn wants_login(&self) {
        *self.hub.wants_login.lock() = true;
    }

    /// Ends every connection and makes no new one, until it is taken back.
    pub fn is_down(&self, down: bool) {
        self.hub.down.send_replace(down);
    }
}

impl Hub {
    pub(super) fn subscribe(&self) -> broadcast::Receiver<Event> {
        self.events.subscribe()
    }

    pub(super) fn publish(&self, event: Event) {
        let kind = event.kind.as_u16();
        if (10_000..20_000).contains(&kind) {
            self.kept.lock().insert((kind, event.pubkey.to_hex()), event.clone());
        }
        // Nobody may be there to hear it.
        let _ = self.events.send(event);
    }

    /// What is sent in the place of an event.
    fn twisted(&self, event: Event) -> Vec<String> {
        let say = |event: &Event| json!(["EVENT", "octroi", event]).to_string();
        if event.kind.as_u16() != RESPONSE {
            return vec![say(&event)];
        }
        let mut said = Vec::new();
        match *self.mischief.lock() {
            Mischief::None | Mischief::Refuse => {}
            Mischief::Garbage => said.extend(garbage()),
            Mischief::Forge => said.extend(forgeries(&event).iter().map(say)),
            Mischief::Change => {
                let mut changed = event;
                changed.content.replace_range(..4, "AAAA");
                return vec![say(&changed)];
            }
            Mischief::Replay => said.extend(self.past.lock().iter().map(say)),
            Mischief::Silence => return said,
            Mischief::Flood => return vec!["x".repeat(1024 * 1024)],
        }
        said.push(say(&event));
        self.past.lock().push(event);
        said
    }
}

fn garbage() -> Vec<String> {
    let deep = "[".repeat(10_000);
    [
        "",
        "x",
        "[]",
        "{}",
        "[1]",
        "[\"EVENT\"]",
        "[\"EVENT\",\"octroi\",{}]",
        "[\"EVENT\",1,null]",
        "[\"OK\"]",
        "[\"EOSE\"]",
        "[\"NOTICE\",7]",
        "[\"CLOSED\"",
        &deep,
    ]
    .map(str::to_owned)
    .to_vec()
}

/// The same answer by a stranger, and the stranger's under the name of the one who was asked.
fn forgeries(event: &Event) -> [Event; 2] {
    let stranger = Keys::generate();
    let tags = event.tags.clone().to_vec();
    let built = EventBuilder::new(event.kind, event.content.clone()).tags(tags).sign_with_keys(&stranger);
    let by_stranger = built.unwrap_or_else(|_| event.clone());
    let mut posing = by_stranger.clone();
    posing.pubkey = event.pubkey;
    [by_stranger, posing]
}

async fn accept(listener: TcpListener, hub: Arc<Hub>) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        if !*hub.down.borrow() {
            connections.spawn(connection(stream, Arc::clone(&hub)));
        }
        while connections.try_join_next().is_some() {}
    }
}

/// One client: what it subscribed to, and whether it has said who it is.
struct Client {
    hub: Arc<Hub>,
    filters: HashMap<String, Vec<Filter>>,
    challenge: Option<String>,
}

async fn connection(stream: TcpStream, hub: Arc<Hub>) -> Result<(), Error> {
    let mut socket = tokio_tungstenite::accept_async(stream).await?;
    let mut events = hub.subscribe();
    let (mut cuts, mut down) = (hub.faults.cuts(), hub.down.subscribe());
    let challenge = hub.wants_login.lock().then(|| "who are you?".to_owned());
    let mut client = Client { hub, filters: HashMap::new(), challenge };
    if let Some(challenge) = &client.challenge {
        say(&mut socket, json!(["AUTH", challenge]).to_string()).await?;
    }
    loop {
        tokio::select! {
            message = socket.next() => match message {
                Some(Ok(Message::Text(text))) => {
                    for answer in client.heard(&text) {
                        say(&mut socket, answer).await?;
                    }
                }
                Some(Ok(_)) => {}
                _ => return Ok(()),
            },
            Ok(event) = events.recv() => {
                if client.filters.values().flatten().any(|filter| matches(filter, &event)) {
                    for text in client.hub.twisted(event) {
                        say(&mut socket, text).await?;
                    }
                }
            }
            // Without a word, as a cable is cut.
            _ = cuts.changed() => return Ok(()),
            _ = down.changed() => return Ok(()),
        }
    }
}

async fn say(socket: &mut WebSocketStream<TcpStream>, text: String) -> Result<(), Error> {
    socket.send(Message::Text(text.into())).await
}

fn matches(filter: &Filter, event: &Event) -> bool {
    filter.match_event(event, MatchEventOptions::new())
}

impl Client {
    /// What is answered to a message of the client.
    fn heard(&mut self, text: &str) -> Vec<String> {
        let Ok(Value::Array(parts)) = serde_json::from_str::<Value>(text) else {
            return vec![json!(["NOTICE", "error: not a message"]).to_string()];
        };
        let name = parts.get(1).and_then(Value::as_str).unwrap_or_default().to_owned();
        let event = || parts.get(1).and_then(|event| serde_json::from_value::<Event>(event.clone()).ok());
        match parts.first().and_then(Value::as_str) {
            Some("REQ") if self.challenge.is_some() => {
                vec![json!(["CLOSED", name, "auth-required: who are you?"]).to_string()]
            }
            Some("REQ") => {
                let filters =
                    parts.iter().skip(2).filter_map(|filter| serde_json::from_value(filter.clone()).ok());
                let filters: Vec<Filter> = filters.collect();
                let kept = self.hub.kept.lock();
                let found = kept.values().filter(|event| filters.iter().any(|filter| matches(filter, event)));
                let mut said: Vec<String> =
                    found.map(|event| json!(["EVENT", name, event]).to_string()).collect();
                drop(kept);
                said.push(json!(["EOSE", name]).to_string());
                self.filters.insert(name, filters);
                said
            }
            Some("CLOSE") => {
                self.filters.remove(&name);
                Vec::new()
            }
            Some("AUTH") => {
                let login =
                    event().filter(|event| event.kind == Kind::Authentication && event.verify().is_ok());
                let good =
                    login.as_ref().and_then(|event| event.tags.challenge()) == self.challenge.as_deref();
                if good {
                    self.challenge = None;
                }
                let id = login.map(|event| event.id.to_hex()).unwrap_or_default();
                vec![json!(["OK", id, good, ""]).to_string()]
            }
            Some("EVENT") => match event() {
                Some(event) => vec![self.take(event)],
                None => vec![json!(["NOTICE", "invalid: not an event"]).to_string()],
            },
            _ => vec![json!(["NOTICE", "error: unknown message"]).to_string()],
        }
    }

    fn take(&self, event: Event) -> String {
        let id = event.id.to_hex();
        let refused = if *self.hub.mischief.lock() == Mischief::Refuse {
            "blocked: not here"
        } else if self.challenge.is_some() {
            "auth-required: who are you?"
        } else if event.verify().is_err() {
            "invalid: the signature is wrong"
        } else {
            self.hub.publish(event);
            return json!(["OK", id, true, ""]).to_string();
        };
        json!(["OK", id, false, refused]).to_string()
    }
}
