//! Requests and their answers, over all relays of a connection at once.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use nostr::{Event, EventId};
use parking_lot::Mutex;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::sync::{OnceCell, oneshot, watch};
use tokio::task::AbortHandle;
use url::Url;
use zeroize::Zeroizing;

use super::connection::Connection;
use super::envelope::{Cipher, Envelope, Info, Letter};
use super::relay::{Line, Relay, State};
use super::wire::{Failure, Notice, Transaction};
use crate::NodeError;
use crate::node::unix_now;
use crate::rest::words;
use crate::websocket::Dialer;

/// How long a request waits for the first relay.
const DIAL: Duration = Duration::from_secs(5);

/// Most requests that wait for their answers.
const PENDING_MAX: usize = 256;

/// Most notifications that nobody has looked at yet; beyond it the oldest goes, and is found by asking.
const NOTICES_MAX: usize = 10_000;

/// A connection to a wallet.
pub(super) struct Link {
    pub(super) shared: Arc<Shared>,
    relays: OnceCell<Relays>,
    urls: Vec<Url>,
    dialer: Arc<Dialer>,
}

struct Relays {
    relays: Vec<Relay>,
    tasks: Vec<AbortHandle>,
}

/// What the relays' tasks and the requests share.
pub(super) struct Shared {
    pub(super) envelope: Envelope,
    pending: Mutex<HashMap<EventId, Pending>>,
    info: Mutex<Option<Info>>,
    notices: Mutex<std::collections::VecDeque<Transaction>>,
    /// How many times a relay came up: what was told in between may be lost.
    found: watch::Sender<u64>,
    /// Woken when a notification came or a relay was found.
    pub(super) news: tokio::sync::Notify,
}

/// A request that has no answer yet.
struct Pending {
    answer: oneshot::Sender<Result<Zeroizing<String>, NodeError>>,
    /// One bit for each relay that may still bring it.
    carriers: u8,
    /// Why the first that will not does not.
    why: Option<NodeError>,
}

/// Takes a request back that nobody waits for any more.
struct Waiting<'a>(&'a Shared, EventId);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.pending.lock().remove(&self.1);
    }
}

/// No answer, or one that says no.
#[derive(Debug)]
pub(super) enum AskError {
    Node(NodeError),
    Wallet(Failure),
}

impl From<NodeError> for AskError {
    fn from(error: NodeError) -> Self {
        Self::Node(error)
    }
}

impl From<AskError> for NodeError {
    fn from(error: AskError) -> Self {
        match error {
            AskError::Node(error) => error,
            AskError::Wallet(failure) => failure.into(),
        }
    }
}

impl Link {
    pub(super) fn new(connection: Connection) -> Result<Self, NodeError> {
        let Connection { wallet, keys, relays } = connection;
        let shared = Shared {
            envelope: Envelope { keys, wallet },
            pending: Mutex::default(),
            info: Mutex::default(),
            notices: Mutex::default(),
            found: watch::Sender::new(0),
            news: tokio::sync::Notify::new(),
        };
        let dialer = Arc::new(Dialer::new()?);
        Ok(Self { shared: Arc::new(shared), relays: OnceCell::new(), urls: relays, dialer })
    }

    /// One request; the wallet's answer to it.
    pub(super) async fn ask<T: DeserializeOwned>(
        &self,
        method: &str,
        params: &Value,
        timeout: Duration,
    ) -> Result<T, AskError> {
        let relays = self.connected().await?;
        let cipher = if self.info().is_some_and(|info| info.nip44) { Cipher::Nip44 } else { Cipher::Nip04 };
        let expires = unix_now().saturating_add(timeout.as_secs().max(1));
        let event = self.shared.envelope.request(method, params, cipher, expires)?;
        let (id, answered) = (event.id, self.post(relays, event)?);
        let _waiting = Waiting(&self.shared, id);
        let answer = tokio::time::timeout(timeout, answered).await.map_err(|_| NodeError::Timeout)?;
        let text = answer.map_err(|_| NodeError::Timeout)??;
        read(method, &text)
    }

    /// Hands an event to every relay that can be used.
    fn post(
        &self,
        relays: &[Relay],
        event: Event,
    ) -> Result<oneshot::Receiver<Result<Zeroizing<String>, NodeError>>, NodeError> {
        let (answer, answered) = oneshot::channel();
        let id = event.id;
        {
            let mut pending = self.shared.pending.lock();
            if pending.len() >= PENDING_MAX {
                return Err(NodeError::Refused("too many requests wait for the wallet".to_owned()));
            }
            pending.insert(id, Pending { answer, carriers: u8::MAX, why: None });
        }
        let mut carriers = 0_u8;
        for (number, relay) in relays.iter().enumerate() {
            let is_up = *relay.state.borrow() == State::Up;
            if is_up && relay.outbox.try_send(event.clone()).is_ok() {
                carriers |= bit(number);
            }
        }
        self.shared.carried_by(&id, carriers);
        Ok(answered)
    }

    /// The relays, when one of them can be used.
    async fn connected(&self) -> Result<&[Relay], NodeError> {
        let relays = &self.start().await.relays;
        let mut states: Vec<_> = relays.iter().map(|relay| relay.state.clone()).collect();
        let any = async {
            loop {
                let mut why = None;
                let mut dialing = false;
                for state in &mut states {
                    match &*state.borrow_and_update() {
                        State::Up => return Ok(()),
                        State::Dialing => dialing = true,
                        State::Down(error) => why = Some(error.clone()),
                    }
                }
                if let Some(error) = why.filter(|_| !dialing) {
                    return Err(NodeError::Unreachable(format!("no relay: {error}")));
                }
                let changes = states.iter_mut().map(|state| Box::pin(state.changed()));
                let _ = futures_util::future::select_all(changes).await;
            }
        };
        tokio::time::timeout(DIAL, any).await.map_err(|_| NodeError::Timeout)??;
        Ok(relays)
    }

    /// The relays are dialled when they are first needed, and kept from then on.
    async fn start(&self) -> &Relays {
        self.relays
            .get_or_init(|| async {
                let lines = self.urls.iter().enumerate().map(|(number, url)| Line {
                    number,
                    url: url.clone(),
                    dialer: Arc::clone(&self.dialer),
                    shared: Arc::clone(&self.shared),
                });
                let (relays, tasks) = lines.map(Line::keep).unzip();
                Relays { relays, tasks }
            })
            .await
    }

    /// Waits until a relay can be used.
    pub(super) async fn ready(&self) -> Result<(), NodeError> {
        self.connected().await.map(|_| ())
    }

    /// What the wallet says of itself, when a relay kept it.
    pub(super) fn info(&self) -> Option<Info> {
        self.shared.info.lock().clone()
    }

    /// What was told since the last look, the oldest first.
    pub(super) fn notices(&self) -> Vec<Transaction> {
        self.shared.notices.lock().drain(..).collect()
    }

    /// How many times a relay came up.
    pub(super) fn times_found(&self) -> u64 {
        *self.shared.found.borrow()
    }
}

impl Drop for Relays {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

impl Shared {
    /// An event from any of the relays.
    pub(super) fn event(&self, event: &Event) {
        match self.envelope.open(event, |id| self.pending.lock().contains_key(id)) {
            Some(Letter::Response(to, text)) => {
                // Other relays bring the same answer; the first counts.
                if let Some(pending) = self.pending.lock().remove(&to) {
                    let _ = pending.answer.send(Ok(text));
                }
            }
            Some(Letter::Info(info)) => {
                let mut known = self.info.lock();
                if known.as_ref().is_none_or(|known| known.at <= info.at) {
                    *known = Some(info);
                }
            }
            Some(Letter::Notification(text)) => self.notified(&text),
            None => tracing::debug!(
                "a Nostr relay brought an event that is not the wallet's, or was not waited for"
            ),
        }
    }

    fn notified(&self, text: &str) {
        let Some(transaction) = Notice::received(text) else { return };
        let mut notices = self.notices.lock();
        if notices.len() >= NOTICES_MAX {
            notices.pop_front();
        }
        notices.push_back(transaction);
        drop(notices);
        self.news.notify_one();
    }

    pub(super) fn found(&self) {
        self.found.send_modify(|times| *times += 1);
        self.news.notify_one();
    }

    /// A relay's connection is over, and with it whatever it might have brought: events of these kinds are not kept.
    pub(super) fn lost(&self, number: usize) {
        let ids: Vec<EventId> = self.pending.lock().keys().copied().collect();
        for id in ids {
            self.without(&id, bit(number), Some(NodeError::Timeout));
        }
    }

    /// A relay would not take a request.
    pub(super) fn refused(&self, number: usize, id: &EventId, reason: &str) {
        let refused = NodeError::Refused(format!("the relay: {}", words(reason.as_bytes())));
        self.without(id, bit(number), Some(refused));
    }

    fn carried_by(&self, id: &EventId, carriers: u8) {
        // One of them may have lost or refused it already.
        self.without(id, !carriers, None);
    }

    /// When nobody is left who could bring the answer, it is not waited for.
    fn without(&self, id: &EventId, gone: u8, why: Option<NodeError>) {
        let mut pending = self.pending.lock();
        let Some(waiting) = pending.get_mut(id) else { return };
        waiting.carriers &= !gone;
        waiting.why = waiting.why.take().or(why);
        if waiting.carriers == 0
            && let Some(waiting) = pending.remove(id)
        {
            let why = waiting.why.unwrap_or_else(|| NodeError::Unreachable("no relay".to_owned()));
            let _ = waiting.answer.send(Err(why));
        }
    }
}

/// There are at most eight.
const fn bit(number: usize) -> u8 {
    1 << (number % 8)
}

/// The wallet's answer to `method`.
pub(super) fn read<T: DeserializeOwned>(method: &str, text: &str) -> Result<T, AskError> {
    #[derive(Deserialize)]
    struct Answer {
        result_type: String,
        error: Option<Failure>,
        result: Option<Value>,
    }
    let bad = |words: String| AskError::Node(NodeError::BadReply(words));
    let answer: Answer = serde_json::from_str(text).map_err(|error| bad(error.to_string()))?;
    match answer {
        Answer { error: Some(failure), .. } => Err(AskError::Wallet(failure)),
        Answer { result_type, .. } if result_type != method => {
            Err(bad("an answer to another question".to_owned()))
        }
        Answer { result: Some(result), .. } => {
            serde_json::from_value(result).map_err(|error| bad(format!("{method}: {error}")))
        }
        _ => Err(bad("neither a result nor an error".to_owned())),
    }
}
