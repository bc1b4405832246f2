//! The wallet's side of NIP-47.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use nostr::nips::{nip04, nip44};
use nostr::{Event, EventBuilder, EventId, Keys, Kind, PublicKey, Tag, Timestamp};
use octroi_l402::{Msat, PaymentHash};
use octroi_lightning::{NodeError, Outgoing, PayError, bolt11};
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::task::AbortHandle;

use super::super::faults::{Fault, Faults, Telling};
use super::super::stand::{Made, Settled, Stand, now};
use super::Terms;
use super::relay::Hub;

const INFO: u16 = 13_194;
const REQUEST: u16 = 23_194;
pub(super) const RESPONSE: u16 = 23_195;
const NOTIFICATION_NIP04: u16 = 23_196;
const NOTIFICATION: u16 = 23_197;

/// How long one payment may take.
const PAYING: Duration = Duration::from_secs(60);
/// The most paid for routing.
const FEE: Msat = Msat::new(10_000);

/// A refusal: code and words.
type Refused = (&'static str, String);

pub(super) struct Wallet {
    pub(super) stand: Arc<Stand>,
    pub(super) faults: Arc<Faults>,
    pub(super) keys: Keys,
    pub(super) client: PublicKey,
    pub(super) terms: Terms,
}

impl Wallet {
    /// Listens on all relays; answers go to all of them.
    pub(super) fn serve(self, hubs: Vec<Arc<Hub>>) -> Vec<AbortHandle> {
        let wallet = Arc::new(self);
        wallet.introduce(&hubs);
        let (requests, asked) = mpsc::channel(64);
        let mut tasks = Vec::new();
        for hub in &hubs {
            let (mut events, requests) = (hub.subscribe(), requests.clone());
            let listen = async move {
                while let Ok(event) = events.recv().await {
                    if event.kind.as_u16() == REQUEST && requests.send(event).await.is_err() {
                        return;
                    }
                }
            };
            tasks.push(tokio::spawn(listen).abort_handle());
        }
        tasks.push(tokio::spawn(Arc::clone(&wallet).answer_all(asked, hubs.clone())).abort_handle());
        if wallet.terms.notifies {
            tasks.push(tokio::spawn(wallet.tell(hubs)).abort_handle());
        }
        tasks
    }

    fn introduce(&self, hubs: &[Arc<Hub>]) {
        let mut methods = self.terms.methods.join(" ");
        let mut tags = Vec::new();
        if self.terms.nip44 {
            tags.extend(Tag::parse(["encryption", "nip44_v2 nip04"]));
        }
        if self.terms.notifies {
            methods.push_str(" notifications");
            tags.extend(Tag::parse(["notifications", "payment_received payment_sent"]));
        }
        self.publish(hubs, INFO, &methods, tags);
    }

    fn publish(&self, hubs: &[Arc<Hub>], kind: u16, content: &str, tags: Vec<Tag>) {
        if let Ok(event) = EventBuilder::new(Kind::from(kind), content).tags(tags).sign_with_keys(&self.keys)
        {
            hubs.iter().for_each(|hub| hub.publish(event.clone()));
        }
    }

    async fn answer_all(self: Arc<Self>, mut asked: mpsc::Receiver<Event>, hubs: Vec<Arc<Hub>>) {
        let mut seen = HashSet::<EventId>::new();
        while let Some(event) = asked.recv().await {
            let late = event.tags.expiration().is_some_and(|at| *at < Timestamp::now());
            let ours = event.pubkey == self.client
                && event.tags.public_keys().any(|key| *key == self.keys.public_key());
            if ours && !late && seen.insert(event.id) {
                tokio::spawn(Arc::clone(&self).answer(event, hubs.clone()));
            }
        }
    }

    async fn answer(self: Arc<Self>, event: Event, hubs: Vec<Arc<Hub>>) {
        let fault = self.faults.take();
        self.faults.lag().await;
        let is_nip44 = event.tags.iter().any(|tag| tag.as_slice() == ["encryption", "nip44_v2"]);
        let secret = self.keys.secret_key();
        let text = if is_nip44 && self.terms.nip44 {
            nip44::decrypt(secret, &self.client, &event.content).ok()
        } else {
            nip04::decrypt(secret, &self.client, &event.content).ok()
        };
        let Some(request) = text.and_then(|text| serde_json::from_str::<Value>(&text).ok()) else { return };
        let method = request["method"].as_str().unwrap_or_default();
        let said = match &fault {
            Some(Fault::Answer(_, text)) => text.clone(),
            _ => match self.call(method, &request["params"]).await {
                Ok(result) => json!({"result_type": method, "error": null, "result": result}),
                Err((code, message)) => {
                    json!({"result_type": method, "error": {"code": code, "message": message}, "result": null})
                }
            }
            .to_string(),
        };
        match fault {
            Some(Fault::CutOff) => return self.faults.cut_streams(),
            // A message is whole or not there.
            Some(Fault::Dribble) => return,
            Some(Fault::Slow(by)) => tokio::time::sleep(by).await,
            Some(Fault::Answer(..)) | None => {}
        }
        let content = if is_nip44 { self.nip44(&said) } else { self.nip04(&said) };
        let tags = vec![Tag::public_key(self.client), Tag::event(event.id)];
        self.publish(&hubs, RESPONSE, &content, tags);
    }

    fn nip44(&self, text: &str) -> String {
        // An empty text cannot be encrypted so.
        let text = if text.is_empty() { " " } else { text };
        nip44::encrypt(self.keys.secret_key(), &self.client, text, nip44::Version::V2).unwrap_or_default()
    }

    fn nip04(&self, text: &str) -> String {
        nip04::encrypt(self.keys.secret_key(), &self.client, text).unwrap_or_default()
    }

    /// Of every payment, in both encryptions where it knows both.
    async fn tell(self: Arc<Self>, hubs: Vec<Arc<Hub>>) {
        let mut number = *self.stand.count.borrow();
        loop {
            let settled = self.stand.wait_after(number).await;
            number = settled.number;
            if self.faults.tells(Telling::Skipped) {
                continue;
            }
            let times = if self.faults.tells(Telling::Twice) { 2 } else { 1 };
            let notification = self.paid(&settled, self.stand.made(&settled.payment_hash).as_ref());
            let text =
                json!({"notification_type": "payment_received", "notification": notification}).to_string();
            let tags = || vec![Tag::public_key(self.client)];
            for _ in 0..times {
                self.publish(&hubs, NOTIFICATION_NIP04, &self.nip04(&text), tags());
                if self.terms.nip44 {
                    self.publish(&hubs, NOTIFICATION, &self.nip44(&text), tags());
                }
            }
        }
    }

    async fn call(&self, method: &str, params: &Value) -> Result<Value, Refused> {
        if !super::EVERYTHING.contains(&method) {
            return Err(("NOT_IMPLEMENTED", format!("unknown method: {method}")));
        }
        if !self.terms.methods.contains(&method) {
            return Err(("RESTRICTED", format!("this app has no permission for {method}")));
        }
        match method {
            "make_invoice" => self.make(params).await,
            "lookup_invoice" => self.look_up(params).await,
            "list_transactions" => Ok(self.list(params)),
            "pay_invoice" => self.pay(params).await,
            "get_balance" => {
                let balances = self.stand.node.balances().await.map_err(internal)?;
                Ok(json!({"balance": balances.outbound.as_i64()}))
            }
            _ => {
                let info = self.stand.node.info().await.map_err(internal)?;
                Ok(json!({
                    "alias": info.alias,
                    "color": "#000000",
                    "pubkey": info.id,
                    "network": info.network,
                    "block_height": info.block_height,
                    "methods": self.terms.methods,
                    "notifications": if self.terms.notifies { json!(["payment_received"]) } else { json!([]) },
                }))
            }
        }
    }

    async fn make(&self, params: &Value) -> Result<Value, Refused> {
        let amount = Msat::new(params["amount"].as_i64().unwrap_or(0));
        let description = params["description"].as_str().unwrap_or_default();
        let expiry = params["expiry"].as_u64().unwrap_or(86_400);
        let made = self.stand.make(amount, description, expiry, "").await;
        made.map(|made| unpaid(&made)).map_err(|error| ("OTHER", error.to_string()))
    }

    async fn look_up(&self, params: &Value) -> Result<Value, Refused> {
        let text = params["payment_hash"].as_str().unwrap_or_default();
        let hash: PaymentHash = text.parse().map_err(|_| ("OTHER", "no payment hash".to_owned()))?;
        if let Some(settled) = self.stand.settled(&hash).await {
            return Ok(self.paid(&settled, self.stand.made(&hash).as_ref()));
        }
        if let Some(made) = self.stand.made(&hash) {
            return Ok(unpaid(&made));
        }
        let outgoing =
            |state: &str| json!({"type": "outgoing", "state": state, "payment_hash": hash.to_string()});
        match self.stand.outgoing(&hash).await {
            Outgoing::Unknown => Err(("NOT_FOUND", "invoice not found".to_owned())),
            Outgoing::Pending => Ok(outgoing("pending")),
            Outgoing::Failed => Ok(outgoing("failed")),
            Outgoing::Paid(payment) => {
                let mut found = outgoing("settled");
                found["preimage"] = payment.preimage.to_hex().into();
                found["amount"] = payment.amount.as_i64().into();
                found["fees_paid"] = payment.fee.as_i64().into();
                found["settled_at"] = now().into();
                Ok(found)
            }
        }
    }

    /// Paid invoices, the one made last first.
    fn list(&self, params: &Value) -> Value {
        let number = |name: &str| params[name].as_u64().unwrap_or(0);
        let place = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
        let settled = self.stand.all_settled();
        let mut found: Vec<(u64, Value)> = settled
            .iter()
            .filter_map(|settled| {
                let made = self.stand.made(&settled.payment_hash)?;
                Some((made.created_at, self.paid(settled, Some(&made))))
            })
            .filter(|(created_at, _)| *created_at >= number("from"))
            .collect();
        found.sort_by_key(|(created_at, _)| std::cmp::Reverse(*created_at));
        let page = found.into_iter().skip(place(number("offset"))).take(place(number("limit")));
        json!({"transactions": page.map(|(_, record)| record).collect::<Vec<_>>()})
    }

    async fn pay(&self, params: &Value) -> Result<Value, Refused> {
        let text = params["invoice"].as_str().unwrap_or_default();
        let failed = |error: &dyn std::fmt::Display| ("PAYMENT_FAILED", error.to_string());
        bolt11::decode(text).map_err(|error| failed(&error))?;
        match self.stand.node.pay(text, FEE, PAYING).await {
            Ok(payment) => {
                Ok(json!({"preimage": payment.preimage.to_hex(), "fees_paid": payment.fee.as_i64()}))
            }
            Err(PayError::NoRoute) => Err(failed(&"no route")),
            Err(error) => Err(failed(&error)),
        }
    }

    fn paid(&self, settled: &Settled, made: Option<&Made>) -> Value {
        json!({
            "type": "incoming",
            "state": "settled",
            "invoice": made.map(|made| made.invoice.bolt11.clone()),
            "payment_hash": settled.payment_hash.to_string(),
            "amount": settled.amount.as_i64(),
            "fees_paid": 0,
            "created_at": made.map(|made| made.created_at),
            "settled_at": settled.at,
        })
    }
}

fn unpaid(made: &Made) -> Value {
    let expired = made.invoice.expires_at <= now();
    json!({
        "type": "incoming",
        "state": if expired { "expired" } else { "pending" },
        "invoice": made.invoice.bolt11,
        "description": made.description,
        "payment_hash": made.invoice.payment_hash.to_string(),
        "amount": made.invoice.amount.as_i64(),
        "fees_paid": 0,
        "created_at": made.created_at,
        "expires_at": made.invoice.expires_at,
    })
}

#[allow(clippy::needless_pass_by_value, reason = "what map_err hands over")]
fn internal(error: NodeError) -> Refused {
    ("INTERNAL", error.to_string())
}
