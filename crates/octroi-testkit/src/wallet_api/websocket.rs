//! phoenixd's websocket: a message for each payment received, while somebody listens.

use std::sync::Arc;

use futures_util::{SinkExt, StreamExt};
use http::{HeaderMap, Request, Response, StatusCode, header};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use octroi_lightning::Settlement;
use serde_json::{Value, json};
use tokio::sync::broadcast;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::Role;

use super::Wallet;
use super::replies::{Refusal, sat};
use crate::node_apis::Faults;

impl Wallet {
    /// Whoever listens is told.
    pub(super) fn tell(&self, settlement: &Settlement) {
        let external_id =
            self.book.lock().invoice(&settlement.payment_hash).and_then(|made| made.external_id.clone());
        // Nobody may be listening.
        let _ = self.told.send(json!({
            "type": "payment_received",
            "timestamp": settlement.settled_at.saturating_mul(1000),
            "amountSat": sat(settlement.amount),
            "paymentHash": settlement.payment_hash.to_string(),
            "externalId": external_id,
            "payerNote": null,
            "payerKey": null,
        }));
    }
}

/// RFC 6455 §4.2.
pub(super) fn accept(wallet: &Wallet, request: Request<Incoming>) -> Result<Response<String>, Refusal> {
    let Some(key) = asked(request.headers()) else {
        return Err(Refusal::bad_request("not a websocket handshake".to_owned()));
    };
    let accepted = derive_accept_key(&key);
    let (messages, faults) = (wallet.told.subscribe(), Arc::clone(&wallet.faults));
    tokio::spawn(async move {
        if let Ok(upgraded) = hyper::upgrade::on(request).await {
            let socket = WebSocketStream::from_raw_socket(TokioIo::new(upgraded), Role::Server, None).await;
            talk(socket, messages, &faults).await;
        }
    });
    let response = Response::builder()
        .status(StatusCode::SWITCHING_PROTOCOLS)
        .header(header::CONNECTION, "Upgrade")
        .header(header::UPGRADE, "websocket")
        .header(header::SEC_WEBSOCKET_ACCEPT, accepted);
    response.body(String::new()).map_err(|error| Refusal::bad_request(error.to_string()))
}

fn asked(headers: &HeaderMap) -> Option<Vec<u8>> {
    let says = |name: header::HeaderName, word: &str| {
        let value = headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
        value.to_ascii_lowercase().contains(word)
    };
    let key = headers.get(header::SEC_WEBSOCKET_KEY)?.as_bytes().to_vec();
    (says(header::UPGRADE, "websocket") && says(header::CONNECTION, "upgrade")).then_some(key)
}

async fn talk(
    mut socket: WebSocketStream<TokioIo<hyper::upgrade::Upgraded>>,
    mut messages: broadcast::Receiver<Value>,
    faults: &Faults,
) {
    let mut cuts = faults.cuts();
    loop {
        let sent = tokio::select! {
            Ok(message) = messages.recv() => socket.send(Message::Text(message.to_string().into())).await,
            heard = socket.next() => match heard {
                Some(Ok(_)) => Ok(()),
                _ => return,
            },
            // Without a word, as a cable is cut.
            _ = cuts.changed() => return,
        };
        if sent.is_err() {
            return;
        }
    }
}
