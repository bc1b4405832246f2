//! What a server asks for a call, and whether its invoice may be paid.

use octroi_l402::{MacaroonView, Msat, Offer, PaymentHash, challenge};
use octroi_lightning::bolt11;
use serde_json::Value;

use crate::{Exchange, Plain};

/// `_meta` key of a tool result that carries a payment challenge in band.
const PAYMENT_REQUIRED_KEY: &str = "dev.octroi/payment-required";
/// The longest token that is bought: with a longer one in a header line most servers refuse the request.
const TOKEN_BYTES_MAX: usize = 8 * 1024 - 256;
/// Most characters of what a server says that are kept.
const SAID_MAX: usize = 500;

/// A price, as a server states it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Price {
    /// Of one call.
    pub amount: Msat,
}

impl Price {
    /// Reads `{"msat": …}`, as it stands in a 402 and in `tools/list`. Prices that are no prices are not read.
    pub(crate) fn read(json: &Value) -> Option<Self> {
        let msat = json.get("msat")?.as_i64().filter(|msat| *msat >= 0)?;
        Some(Self { amount: Msat::new(msat) })
    }
}

/// A token for the same account with a later end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Renewal {
    /// The macaroon; opened by the preimage of the old one.
    pub macaroon: String,
    /// What is left on the account.
    pub balance: Option<Msat>,
}

/// What the server says beside the offer; compared with the invoice before it is paid.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Stated {
    amount_msat: Option<i64>,
    payment_hash: Option<String>,
    invoice: Option<String>,
    description: Option<String>,
    calls: Option<u32>,
}

/// A call that was not made because it must be paid for.
#[derive(Clone, Debug, PartialEq)]
pub struct PaymentRequired {
    /// The server's reason code (`PAYMENT_REQUIRED`, `CREDENTIAL_SPENT`, …).
    pub reason: Option<String>,
    /// What the server says to people.
    pub message: String,
    /// The price of one call.
    pub price: Option<Price>,
    /// A token and the invoice that opens it.
    pub offer: Option<Offer>,
    /// A puzzle that may be solved instead.
    pub work: Option<octroi_pow::Challenge>,
    /// What the server calls the kind of its puzzle, where this build cannot solve it.
    pub unknown_work: Option<String>,
    /// In place of an expired credential.
    pub renewed: Option<Renewal>,
    stated: Stated,
}

/// Why an invoice is not paid. The server's fault.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BillError {
    /// Nothing can be bought: no offer that can be read came with the refusal.
    #[error("no invoice came with the refusal")]
    NoOffer,
    /// The invoice is not BOLT 11, or its signature is wrong.
    #[error(transparent)]
    Invoice(#[from] bolt11::DecodeError),
    /// The invoice leaves the amount to the payer.
    #[error("the invoice names no amount")]
    NoAmount,
    /// The invoice asks for another amount than the challenge.
    #[error("the invoice asks for {invoice} where the challenge says {stated}")]
    Amount {
        /// What the invoice asks.
        invoice: Msat,
        /// What the challenge says.
        stated: Msat,
    },
    /// The invoice asks for more than the calls cost at the price stated.
    #[error("the invoice asks for {invoice} where {calls} call(s) at the stated price cost {due}")]
    Overcharged {
        /// What the invoice asks.
        invoice: Msat,
        /// How many calls it is for.
        calls: u32,
        /// What they cost.
        due: Msat,
    },
    /// The token, or the challenge, is about another payment than the invoice: paying it would buy nothing.
    #[error("the token offered is not opened by this invoice")]
    OtherPayment,
    /// The invoice says that it is for something else than the challenge.
    #[error("the invoice is not for what the challenge says")]
    Description,
    /// The header and the body of one answer offer two different invoices.
    #[error("header and body offer different invoices")]
    TwoInvoices,
    /// The invoice can no longer be paid.
    #[error("the invoice has expired")]
    Expired,
    /// The invoice is for another network than the wallet's.
    #[error("the invoice is for {invoice}, the wallet is on {wallet}")]
    Network {
        /// The invoice's network.
        invoice: &'static str,
        /// The wallet's.
        wallet: String,
    },
}

/// An invoice that says what the server said, and opens the token offered for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bill {
    /// The token and the invoice.
    pub offer: Offer,
    /// What paying reveals the preimage of.
    pub payment_hash: PaymentHash,
    /// What it asks.
    pub amount: Msat,
    /// How many calls it buys: never more than were asked for.
    pub calls: u32,
    /// When it stops being payable, seconds since the Unix epoch.
    pub expires_at: u64,
    /// `bitcoin`, `testnet`, `signet` or `regtest`.
    pub network: &'static str,
    /// What the invoice says it is for.
    pub description: Option<String>,
    /// The server says how many calls it sells, so it counts them.
    pub counted: bool,
}

impl PaymentRequired {
    /// Reads a refusal that payment would lift: HTTP 402, a tool result that says so in band, a JSON-RPC error 402, or a
    /// server that can take no money now but takes work. `None` for every other answer.
    #[must_use]
    pub fn read(exchange: &Exchange) -> Option<Self> {
        Self::read_parts(exchange.status, &exchange.challenges(), exchange.reply.as_ref())
    }

    /// As [`PaymentRequired::read`], from the status, the `WWW-Authenticate` lines (one below the other) and the body, where it is
    /// JSON.
    #[must_use]
    pub fn read_parts(status: u16, challenges: &str, body: Option<&Value>) -> Option<Self> {
        let in_band = body
            .and_then(|body| body.get("result"))
            .filter(|result| result.get("isError") == Some(&Value::Bool(true)));
        let in_band_data = in_band.and_then(|result| result.get("_meta")?.get(PAYMENT_REQUIRED_KEY));
        let error = body.and_then(|body| body.get("error"));
        let data = in_band_data.or_else(|| error?.get("data")).unwrap_or(&Value::Null);
        let rpc_402 = error.and_then(|error| error.get("code")).and_then(Value::as_i64) == Some(402);
        let asks = match status {
            402 => true,
            200 => in_band_data.is_some() || rpc_402,
            503 => data.get("pow").is_some(),
            _ => false,
        };
        if !asks {
            return None;
        }
        // A challenge on anything but a 402 is not one that this agent pays.
        let header = (status == 402).then(|| challenge::parse(challenges).ok()).flatten();
        let message = match in_band {
            Some(result) => result.pointer("/content/0/text"),
            None => error.and_then(|error| error.get("message")),
        };
        let l402 = data.get("l402").unwrap_or(&Value::Null);
        let work: Option<octroi_pow::Challenge> =
            data.get("pow").and_then(|pow| serde_json::from_value(pow.clone()).ok());
        Some(Self {
            reason: said(data.get("reason")),
            message: said(message).unwrap_or_else(|| "payment required".to_owned()),
            price: data.get("price").and_then(Price::read),
            offer: header.or_else(|| body_offer(l402)),
            unknown_work: unknown_work(data.get("pow"), work.as_ref()),
            work,
            renewed: data.get("renewed").and_then(renewal),
            stated: Stated {
                amount_msat: l402.get("amount_msat").and_then(Value::as_i64),
                payment_hash: text(l402.get("payment_hash")),
                invoice: text(l402.get("invoice")),
                description: text(l402.get("description")),
                calls: l402.get("calls").and_then(Value::as_u64).and_then(|calls| u32::try_from(calls).ok()),
            },
        })
    }

    /// The invoice, if it is what the server says it is and opens the token, at `now` (unix seconds), for at most
    /// `calls_asked` calls.
    ///
    /// # Errors
    /// [`BillError`].
    pub fn bill(&self, calls_asked: u32, now: u64) -> Result<Bill, BillError> {
        // A token that no header can show before its preimage would be paid for in vain.
        let offer = self.offer.clone().filter(|offer| is_token(&offer.token)).ok_or(BillError::NoOffer)?;
        let invoice = bolt11::decode(&offer.invoice)?;
        if self.stated.invoice.as_ref().is_some_and(|stated| !stated.eq_ignore_ascii_case(&offer.invoice)) {
            return Err(BillError::TwoInvoices);
        }
        let amount = invoice.amount.filter(|asked| *asked > Msat::ZERO).ok_or(BillError::NoAmount)?;
        if let Some(stated) = self.stated.amount_msat.map(Msat::new).filter(|stated| *stated != amount) {
            return Err(BillError::Amount { invoice: amount, stated });
        }
        let calls = self.stated.calls.unwrap_or(1).clamp(1, calls_asked.max(1));
        self.check_price(amount, calls)?;
        let hash = invoice.payment_hash;
        let said = self.stated.payment_hash.as_ref();
        if said.is_some_and(|said| said.parse() != Ok(hash))
            || locked_to(&offer).is_some_and(|lock| lock != hash)
        {
            return Err(BillError::OtherPayment);
        }
        if invoice.is_expired(now) {
            return Err(BillError::Expired);
        }
        if self.stated.description.is_some() && self.stated.description != invoice.description {
            return Err(BillError::Description);
        }
        Ok(Bill {
            offer,
            payment_hash: hash,
            amount,
            calls,
            expires_at: invoice.expires_at,
            network: invoice.network,
            description: invoice.description,
            counted: self.stated.calls.is_some(),
        })
    }

    /// Nodes that count in whole satoshis round an invoice up, by less than one.
    fn check_price(&self, invoice: Msat, calls: u32) -> Result<(), BillError> {
        let Some(price) = self.price else { return Ok(()) };
        let due = price.amount.checked_mul(i64::from(calls));
        let rounded = due.and_then(|due| Msat::from_sat(due.ceil_to_sat()));
        match (due, rounded) {
            (Some(due), Some(most)) if invoice > most => Err(BillError::Overcharged { invoice, calls, due }),
            _ => Ok(()),
        }
    }

    /// In a few words, for people.
    #[must_use]
    pub fn summary(&self) -> String {
        let mut words = Vec::new();
        words.extend(self.price.map(|price| format!("{} per call", price.amount)));
        words.extend(self.reason.clone());
        words.extend(match (&self.unknown_work, &self.work) {
            (Some(kind), _) => {
                Some(format!("or a puzzle of the kind \"{}\", which this build cannot solve", Plain(kind)))
            }
            (None, work) => work.as_ref().map(|work| format!("or a puzzle of {}", work.difficulty)),
        });
        if words.is_empty() { self.message.clone() } else { words.join(", ") }
    }

    /// The reason, or `-`.
    pub(crate) fn reason_code(&self) -> String {
        self.reason.clone().unwrap_or_else(|| "-".to_owned())
    }
}

/// The payment the token is locked to, where it is a macaroon with the usual identifier. L402 lets it be anything.
fn locked_to(offer: &Offer) -> Option<PaymentHash> {
    let bytes = offer.macaroon().ok()?;
    let identifier = MacaroonView::decode(&bytes).ok()?.l402_identifier().ok()?;
    Some(identifier.payment_hash)
}

fn body_offer(l402: &Value) -> Option<Offer> {
    let (token, invoice) = (text(l402.get("macaroon"))?, text(l402.get("invoice"))?);
    is_token(&token).then_some(Offer { scheme: challenge::Scheme::L402, token, invoice })
}

/// The kind of a puzzle that this build cannot solve.
fn unknown_work(pow: Option<&Value>, read: Option<&octroi_pow::Challenge>) -> Option<String> {
    match read {
        Some(work) if work.algorithm.is_available() => None,
        Some(work) => Some(work.algorithm.name().to_owned()),
        None => said(pow?.get("algorithm")),
    }
}

fn renewal(json: &Value) -> Option<Renewal> {
    let macaroon = text(json.get("macaroon")).filter(|macaroon| is_token(macaroon))?;
    Some(Renewal { macaroon, balance: json.get("balance_msat").and_then(Value::as_i64).map(Msat::new) })
}

/// What can stand in an `Authorization` header before the colon, and is read there by most servers.
pub(crate) fn is_token(text: &str) -> bool {
    (1..=TOKEN_BYTES_MAX).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b':' | b','))
}

fn text(json: Option<&Value>) -> Option<String> {
    json?.as_str().map(str::to_owned)
}

/// As much as anybody wants to read.
fn said(json: Option<&Value>) -> Option<String> {
    Some(json?.as_str()?.chars().take(SAID_MAX).collect())
}
