//! What the server tells without being asked: list changes, kept in order so that a stream can resume.

use serde_json::{Value, json};
use tokio::sync::watch;

/// A list of the server that changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// `notifications/tools/list_changed`
    Tools,
    /// `notifications/prompts/list_changed`
    Prompts,
    /// `notifications/resources/list_changed`
    Resources,
}

impl Change {
    /// The change the `announce` tool means by this word.
    pub(super) fn named(name: &str) -> Option<Self> {
        match name {
            "tools" => Some(Self::Tools),
            "prompts" => Some(Self::Prompts),
            "resources" => Some(Self::Resources),
            _ => None,
        }
    }

    /// The key of the `subscriptions/listen` filter that asks for this change.
    pub(super) fn filter_key(self) -> &'static str {
        match self {
            Self::Tools => "toolsListChanged",
            Self::Prompts => "promptsListChanged",
            Self::Resources => "resourcesListChanged",
        }
    }

    fn method(self) -> &'static str {
        match self {
            Self::Tools => "notifications/tools/list_changed",
            Self::Prompts => "notifications/prompts/list_changed",
            Self::Resources => "notifications/resources/list_changed",
        }
    }

    /// The notification as legacy streams carry it.
    pub(super) fn notification(self) -> Value {
        json!({"jsonrpc": "2.0", "method": self.method()})
    }

    /// The notification as a subscription carries it.
    pub(super) fn for_subscription(self, id: &Value) -> Value {
        json!({
            "jsonrpc": "2.0",
            "method": self.method(),
            "params": {"_meta": {"io.modelcontextprotocol/subscriptionId": id}},
        })
    }
}

/// Changes ever announced; more than this are not recorded.
const CHANGES_MAX: usize = 4096;

#[derive(Clone, Debug, Default)]
struct Log {
    announced: Vec<Change>,
    /// How often subscriptions were told to end.
    ended: u64,
}

/// All changes announced so far. A position in it is the SSE event id of a legacy GET stream.
#[derive(Debug)]
pub(super) struct Changes(watch::Sender<Log>);

impl Default for Changes {
    fn default() -> Self {
        Self(watch::Sender::new(Log::default()))
    }
}

impl Changes {
    pub(super) fn announce(&self, change: Change) {
        self.0.send_modify(|log| {
            if log.announced.len() < CHANGES_MAX {
                log.announced.push(change);
            }
        });
    }

    pub(super) fn end(&self) {
        self.0.send_modify(|log| log.ended += 1);
    }

    /// A reader of what is announced from now on.
    pub(super) fn reader(&self) -> Reader {
        let log = self.0.subscribe();
        let (position, ended) = {
            let seen = log.borrow();
            (seen.announced.len(), seen.ended)
        };
        Reader { log, position, ended }
    }

    /// A reader of what was announced after the event with this id.
    pub(super) fn reader_after(&self, event_id: usize) -> Reader {
        let mut reader = self.reader();
        reader.position = reader.position.min(event_id);
        reader
    }
}

/// A place in the log of changes.
pub(super) struct Reader {
    log: watch::Receiver<Log>,
    position: usize,
    ended: u64,
}

impl Reader {
    /// The id of the last event read.
    pub(super) fn position(&self) -> usize {
        self.position
    }

    /// The next change, or `None` when subscriptions are told to end or the server is gone.
    pub(super) async fn next(&mut self) -> Option<Change> {
        let (position, ended) = (self.position, self.ended);
        let log = self.log.wait_for(|log| log.announced.len() > position || log.ended > ended).await.ok()?;
        let change = log.announced.get(position).copied()?;
        self.position += 1;
        Some(change)
    }
}
