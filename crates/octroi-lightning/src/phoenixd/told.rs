//! phoenixd's websocket: it tells that a payment was received, while somebody listens.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use serde::Deserialize;
use tokio::task::AbortHandle;
use url::Url;

use crate::polled::Polled;
use crate::websocket::Dialer;
use crate::{NodeError, Password};

/// The wait before the websocket is tried again: doubles from the first to the last.
const AGAIN_MIN: Duration = Duration::from_millis(200);
const AGAIN_MAX: Duration = Duration::from_secs(60);

/// Listens from the first question on.
pub(super) struct Told {
    ear: Arc<Ear>,
    task: OnceLock<AbortHandle>,
}

struct Ear {
    dialer: Dialer,
    url: Url,
    password: Password,
    settled: Arc<Polled>,
}

/// A message; `timestamp`, `amountSat`, `paymentHash` and others stand in it, too.
#[derive(Deserialize)]
struct Message {
    #[serde(rename = "type")]
    kind: String,
}

impl Told {
    pub(super) fn new(url: Url, password: Password, settled: Arc<Polled>) -> Result<Self, NodeError> {
        let ear = Ear { dialer: Dialer::new()?, url, password, settled };
        Ok(Self { ear: Arc::new(ear), task: OnceLock::new() })
    }

    /// Whether there is a websocket to be had now.
    pub(super) async fn can(&self) -> bool {
        self.ear.dialer.dial(&self.ear.url, Some(&self.ear.password)).await.is_ok()
    }

    pub(super) fn listen(&self) {
        self.task.get_or_init(|| tokio::spawn(Arc::clone(&self.ear).listen()).abort_handle());
    }
}

impl Drop for Told {
    fn drop(&mut self) {
        if let Some(task) = self.task.get() {
            task.abort();
        }
    }
}

impl Ear {
    async fn listen(self: Arc<Self>) {
        let mut wait = AGAIN_MIN;
        loop {
            match self.dialer.dial(&self.url, Some(&self.password)).await {
                Ok(mut socket) => {
                    wait = AGAIN_MIN;
                    self.settled.is_told(true);
                    // Its word is not taken for money: the list is asked.
                    while let Ok(text) = socket.next().await {
                        if is_news(&text) {
                            self.settled.ask_now();
                        }
                    }
                    self.settled.is_told(false);
                }
                Err(error) => {
                    tracing::debug!(%error, "phoenixd's websocket cannot be had; its list is asked instead")
                }
            }
            tokio::time::sleep(wait).await;
            wait = (wait * 2).min(AGAIN_MAX);
        }
    }
}

/// Whether a message tells that something arrived.
pub(super) fn is_news(text: &str) -> bool {
    serde_json::from_str(text).is_ok_and(|message: Message| message.kind == "payment_received")
}
