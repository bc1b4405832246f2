//! What each path does.

use std::time::Duration;

use http::{Method, Response, StatusCode};
use octroi_l402::{Msat, PaymentHash};
use octroi_lightning::{InvoiceRequest, InvoiceState, Outgoing, PayError, bolt11};
use serde_json::{Value, json};

use super::Wallet;
use super::book::now_millis;
use super::form::Form;
use super::replies::{self, Refusal, json_response, sat};
use crate::node_apis::Telling;

/// How long an invoice is good for when the caller does not say.
const EXPIRY_SECS: u64 = 3600;

/// How long one payment may take before the caller is told that it is not decided yet.
const PAYING: Duration = Duration::from_secs(60);

/// The most paid for routing: ten satoshis and one percent.
const FEE_BASE_MSAT: i64 = 10_000;
const FEE_PARTS: i64 = 100;

/// How many arrivals are listed when the caller does not say, and at most.
const LISTED: u64 = 20;
const LISTED_AT_MOST: u64 = 1_000;

/// phoenixd's bound on a description, in characters.
const MAX_DESCRIPTION: usize = 128;

impl Wallet {
    pub(super) async fn answer(
        &self,
        method: &Method,
        path: &str,
        form: &Form,
    ) -> Result<Response<String>, Refusal> {
        let segments: Vec<&str> = path.trim_matches('/').split('/').collect();
        let reply = match (method, segments.as_slice()) {
            (&Method::POST, ["createinvoice"]) => self.create_invoice(form).await?,
            (&Method::POST, ["payinvoice"]) => self.pay_invoice(form).await?,
            (&Method::POST, ["decodeinvoice"]) => replies::decoded(&invoice(form)?),
            (&Method::GET, ["getbalance"]) => {
                let balances = self.node.balances().await?;
                json!({ "balanceSat": sat(balances.outbound), "feeCreditSat": 0 })
            }
            (&Method::GET, ["getinfo"]) => {
                replies::info(&self.node.info().await?, &self.node.channels().await?)
            }
            (&Method::GET, ["payments", "incoming"]) => self.arrivals(form)?,
            (&Method::GET, ["payments", "incoming", hash]) => self.incoming(&payment_hash(hash)?).await?,
            (&Method::GET, ["payments", "outgoingbyhash", hash]) => {
                self.outgoing(&payment_hash(hash)?).await?
            }
            _ => return Err(Refusal::not_found()),
        };
        Ok(json_response(&reply))
    }

    async fn create_invoice(&self, form: &Form) -> Result<Value, Refusal> {
        let description = form.text("description").unwrap_or_default();
        if description.chars().count() > MAX_DESCRIPTION {
            let sentence =
                format!("Request parameter description is too long (max {MAX_DESCRIPTION} characters)");
            return Err(Refusal::bad_request(sentence));
        }
        let Some(asked) = form.number("amountSat")? else {
            return Err(Refusal::bad_request("Request parameter amountSat is missing".to_owned()));
        };
        let amount = i64::try_from(asked).ok().and_then(Msat::from_sat);
        let amount =
            amount.ok_or_else(|| Refusal::bad_request("amountSat is beyond all bitcoin".to_owned()))?;
        let expiry = Duration::from_secs(form.number("expirySeconds")?.unwrap_or(EXPIRY_SECS));
        let request = InvoiceRequest { amount, description: description.to_owned(), expiry, preimage: None };
        let invoice = self.node.create_invoice(request).await?;
        let external_id = form.text("externalId").map(str::to_owned);
        self.book.lock().made(&invoice, description.to_owned(), external_id);
        Ok(json!({
            "amountSat": sat(invoice.amount),
            "paymentHash": invoice.payment_hash.to_string(),
            "serialized": invoice.bolt11,
        }))
    }

    async fn pay_invoice(&self, form: &Form) -> Result<Value, Refusal> {
        let text = form.required("invoice")?;
        let decoded = invoice(form)?;
        let Some(amount) = decoded.amount else {
            return Err(Refusal::bad_request("invoices without an amount are not paid here".to_owned()));
        };
        // An invoice of 1.7 sat cannot be named in satoshis: both of its neighbours stand for it.
        let named = form.number("amountSat")?.map(|sat| i64::try_from(sat).unwrap_or(i64::MAX));
        if named.is_some_and(|named| named != sat(amount) && named != amount.ceil_to_sat()) {
            return Err(Refusal::bad_request("amountSat differs from the invoice's amount".to_owned()));
        }
        let max_fee = Msat::new((amount.as_i64() / FEE_PARTS).saturating_add(FEE_BASE_MSAT));
        match self.node.pay(text, max_fee, PAYING).await {
            Ok(payment) => Ok(replies::payment_sent(&payment)),
            Err(PayError::Node(error)) => Err(error.into()),
            Err(PayError::Pending) => {
                Err(Refusal::new(StatusCode::GATEWAY_TIMEOUT, PayError::Pending.to_string()))
            }
            Err(error) => Ok(replies::payment_failed(&decoded.payment_hash, &error)),
        }
    }

    fn arrivals(&self, form: &Form) -> Result<Value, Refusal> {
        let from = form.number("from")?.unwrap_or(0);
        let to = form.number("to")?.unwrap_or_else(now_millis);
        let limit = form.number("limit")?.unwrap_or(LISTED).min(LISTED_AT_MOST);
        let offset = form.number("offset")?.unwrap_or(0);
        let place = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
        let book = self.book.lock();
        let is_there = book.arrivals(from, to).next().is_some();
        let (from, limit) = match () {
            () if is_there && self.faults.tells(Telling::FromTheStart) => (0, u64::MAX),
            () => (from, limit),
        };
        let skipped = usize::from(is_there && self.faults.tells(Telling::Skipped));
        let again = usize::from(is_there && self.faults.tells(Telling::Twice));
        let latest = book.arrivals(from, to).take(again);
        let page = latest.chain(book.arrivals(from, to).skip(skipped)).skip(place(offset)).take(place(limit));
        Ok(page
            .map(|arrival| {
                let hash = arrival.payment_hash;
                // The arrival says all that the state would.
                replies::incoming(&hash, book.invoice(&hash), Some(arrival), InvoiceState::Unknown)
            })
            .collect())
    }

    async fn incoming(&self, hash: &PaymentHash) -> Result<Value, Refusal> {
        let state = self.node.lookup(hash).await?;
        let book = self.book.lock();
        let (made, arrival) = (book.invoice(hash), book.arrival(hash));
        if state == InvoiceState::Unknown && made.is_none() && arrival.is_none() {
            return Err(Refusal::not_found());
        }
        Ok(replies::incoming(hash, made, arrival, state))
    }

    async fn outgoing(&self, hash: &PaymentHash) -> Result<Value, Refusal> {
        match self.node.outgoing(hash).await? {
            Outgoing::Unknown => Err(Refusal::not_found()),
            Outgoing::Pending | Outgoing::Failed => Ok(replies::outgoing(hash, None)),
            Outgoing::Paid(payment) => Ok(replies::outgoing(hash, Some(&payment))),
        }
    }
}

fn invoice(form: &Form) -> Result<bolt11::Decoded, Refusal> {
    let text = form.required("invoice")?;
    bolt11::decode(text).map_err(|error| Refusal::bad_request(format!("Request parameter invoice: {error}")))
}

fn payment_hash(hex: &str) -> Result<PaymentHash, Refusal> {
    hex.parse().map_err(|_| Refusal::bad_request("the payment hash is not 64 hex digits".to_owned()))
}
