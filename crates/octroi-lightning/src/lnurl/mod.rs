//! A Lightning Address (LUD-16): receives only, without any key. Custodial: whoever runs it knows the preimages, so only
//! its word that an invoice is paid counts, asked for by LUD-21.
//!
//! There is no list to ask, only one address for each invoice. So the open invoices are kept in a file: what is paid while
//! the gate is down is found when it is up again.

mod wire;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use octroi_l402::{Msat, PaymentHash};
use parking_lot::Mutex;
use reqwest::Method;
use url::Url;

use self::wire::{PayRequest, PaymentRequest, Verified};
use crate::node::{checked_invoice, unix_now};
use crate::open::{OpenInvoices, OpenRecord, Pauses};
use crate::queue::{Arrival, Queue};
use crate::rest::{Content, Login, Rest, TIMEOUT};
use crate::{
    Balances, Capabilities, Channel, Invoice, InvoiceRequest, InvoiceState, LightningNode, NodeError,
    NodeInfo, Past, PayError, Payment, Settlement,
};

/// How long the address's terms are used before they are asked for again.
const TERMS_LIFE: Duration = Duration::from_secs(600);

/// Invoices asked about at the same time.
const AT_ONCE: usize = 8;

/// The longest wait before it is looked again which invoice is due.
const TICK: Duration = Duration::from_millis(500);

/// An invoice with less life than this, in seconds, is not handed on.
const LIFE_MIN: u64 = 30;

/// A client of one Lightning Address.
pub struct Lnurl {
    rest: Rest,
    /// Where its terms stand.
    terms_at: Url,
    terms: Mutex<Option<(Instant, PayRequest)>>,
    open: OpenInvoices,
    queue: Queue,
}

impl Lnurl {
    /// What a Lightning Address can do.
    pub const CAPABILITIES: Capabilities =
        Capabilities { past: Past::Forgotten, custodial: true, ..Capabilities::LEAST };

    /// A client of `address` (`name@domain`, or the address of its terms). Nothing is sent yet; open invoices are kept in
    /// `file`.
    ///
    /// # Errors
    /// [`NodeError::Config`] for what is no address, [`NodeError::Storage`] when the file cannot be used.
    pub fn new(address: &str, file: impl Into<PathBuf>) -> Result<Self, NodeError> {
        let terms_at = terms_url(address)?;
        let mut base = terms_at.clone();
        base.set_path("/");
        let rest = Rest::new("LNURL", &base, Login::Nobody, None)?;
        let open = OpenInvoices::load(file.into())?;
        Ok(Self { rest, terms_at, terms: Mutex::default(), open, queue: Queue::new() })
    }

    async fn get<T: serde::de::DeserializeOwned>(&self, url: &str) -> Result<T, NodeError> {
        let reply = self.rest.send(Method::GET, url, Content::Nothing, TIMEOUT).await?;
        // An error of the API comes under any status.
        if let Some(reason) = wire::refusal(&reply.body) {
            return Err(NodeError::Refused(crate::rest::words(reason.as_bytes())));
        }
        if reply.status.is_success() {
            reply.parse()
        } else {
            Err(self.rest.refusal(reply.status, &reply.body))
        }
    }

    async fn terms(&self) -> Result<PayRequest, NodeError> {
        if let Some((asked, terms)) = &*self.terms.lock()
            && asked.elapsed() < TERMS_LIFE
        {
            return Ok(terms.clone());
        }
        let terms: PayRequest = self.get(self.terms_at.as_str()).await?;
        if terms.tag != "payRequest" {
            return Err(NodeError::BadReply("the address takes no payments".to_owned()));
        }
        *self.terms.lock() = Some((Instant::now(), terms.clone()));
        Ok(terms)
    }

    /// Asks about the invoices that are due; whether any was paid.
    async fn ask_due(&self) -> bool {
        let due = self.open.due(Instant::now(), AT_ONCE, Pauses::ASKING);
        let mut asked = Vec::with_capacity(due.len());
        for (hash, record) in &due {
            asked.push(async move { (*hash, record, self.get::<Verified>(&record.verify).await) });
        }
        let mut news = false;
        for (hash, record, answer) in futures_util::future::join_all(asked).await {
            match answer {
                Ok(verified) if verified.settled => {
                    let amount = Msat::new(record.amount_msat);
                    self.open.settled(&hash);
                    self.queue.push(Arrival { payment_hash: hash, amount, settled_at: unix_now(), mark: 0 });
                    news = true;
                }
                Ok(_) => {}
                Err(error) => {
                    tracing::debug!(%error, "an invoice could not be asked about; it is asked again")
                }
            }
        }
        news
    }
}

/// LUD-16: `name@domain` is `https://domain/.well-known/lnurlp/name`; plain HTTP for this machine and onion services only.
fn terms_url(address: &str) -> Result<Url, NodeError> {
    let wrong = || NodeError::Config("not a Lightning Address (name@domain)".to_owned());
    if address.contains("://") {
        let url: Url = address.parse().map_err(|_| wrong())?;
        return if is_safe(&url) { Ok(url) } else { Err(wrong()) };
    }
    let (name, domain) = address.split_once('@').ok_or_else(wrong)?;
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '+');
    if name.is_empty() || !name.chars().all(plain) || domain.contains(['/', '?', '#', '@']) {
        return Err(wrong());
    }
    let scheme = if domain.ends_with(".onion") { "http" } else { "https" };
    format!("{scheme}://{domain}/.well-known/lnurlp/{name}").parse().map_err(|_| wrong())
}

/// Whether nothing that is sent there can be read on the way.
fn is_safe(url: &Url) -> bool {
    let onion = matches!(url.host(), Some(url::Host::Domain(name)) if name.ends_with(".onion"));
    url.scheme() == "https" || (url.scheme() == "http" && (onion || is_here(url)))
}

/// Whether it is this machine.
fn is_here(url: &Url) -> bool {
    match url.host() {
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        Some(url::Host::Domain(name)) => name == "localhost",
        None => false,
    }
}

/// Whether the gate may be sent from `terms_at` to `text`. Somebody else's address sends it to names in the network, and not to
/// this machine or to numbers, behind which there may be what only the gate can reach.
fn may_lead(terms_at: &Url, text: &str) -> Option<Url> {
    let url: Url = text.parse().ok()?;
    let inside = is_here(&url) || !matches!(url.host(), Some(url::Host::Domain(_)));
    (is_safe(&url) && (!inside || url.host() == terms_at.host())).then_some(url)
}

#[async_trait]
impl LightningNode for Lnurl {
    fn backend(&self) -> &'static str {
        "lnurl"
    }

    fn ledger_name(&self) -> String {
        format!("lnurl:{}", self.terms_at)
    }

    fn capabilities(&self) -> Capabilities {
        Self::CAPABILITIES
    }

    async fn create_invoice(&self, request: InvoiceRequest) -> Result<Invoice, NodeError> {
        request.only_chosen_by_the_node()?;
        let amount = Msat::from_sat(request.sats_above_zero()?).unwrap_or(Msat::ZERO);
        if !self.open.has_room() {
            return Err(NodeError::Refused("too many invoices are open".to_owned()));
        }
        let terms = self.terms().await?;
        if !(terms.min_sendable..=terms.max_sendable).contains(&amount.as_i64()) {
            return Err(NodeError::Refused("the address does not take so little, or so much".to_owned()));
        }
        let callback = may_lead(&self.terms_at, &terms.callback);
        let mut callback = callback.ok_or_else(|| bad("the callback is no safe address"))?;
        callback.query_pairs_mut().append_pair("amount", &amount.as_i64().to_string());
        let made: PaymentRequest = self.get(callback.as_str()).await?;
        let verify = made.verify.filter(|text| may_lead(&self.terms_at, text).is_some());
        // Without it nobody would ever learn that the invoice was paid.
        let verify = verify.ok_or_else(|| bad("the address does not say what was paid (LUD-21)"))?;
        let invoice = checked_invoice(made.pr, amount)?;
        if invoice.expires_at < unix_now() + LIFE_MIN {
            return Err(bad("the invoice has expired, or soon will"));
        }
        let record = OpenRecord {
            verify,
            amount_msat: amount.as_i64(),
            created_at: unix_now(),
            expires_at: invoice.expires_at,
        };
        self.open.insert(invoice.payment_hash, record, Duration::ZERO)?;
        Ok(invoice)
    }

    async fn lookup(&self, payment_hash: &PaymentHash) -> Result<InvoiceState, NodeError> {
        let Some(record) = self.open.get(payment_hash) else { return Ok(InvoiceState::Unknown) };
        let verified: Verified = self.get(&record.verify).await?;
        Ok(if verified.settled {
            InvoiceState::Settled { amount: Msat::new(record.amount_msat), settled_at: unix_now() }
        } else if record.expires_at <= unix_now() {
            InvoiceState::Expired
        } else {
            InvoiceState::Open
        })
    }

    async fn next_settlement(&self, after: Option<&str>) -> Result<Settlement, NodeError> {
        loop {
            if let Some(settlement) = self.queue.first_after(after) {
                return Ok(settlement);
            }
            if !self.ask_due().await {
                tokio::time::sleep(TICK).await;
            }
        }
    }

    async fn acknowledge(&self, settlement: &Settlement) -> Result<(), NodeError> {
        self.open.remove(&settlement.payment_hash)?;
        self.queue.remove(&settlement.payment_hash);
        Ok(())
    }

    /// An expired invoice is asked about for two hours more, and goes by itself.
    async fn forget(&self, _payment_hash: &PaymentHash) -> Result<(), NodeError> {
        Ok(())
    }

    async fn pay(&self, _bolt11: &str, _max_fee: Msat, _timeout: Duration) -> Result<Payment, PayError> {
        Err(NodeError::Unsupported("paying").into())
    }

    async fn balances(&self) -> Result<Balances, NodeError> {
        Err(NodeError::Unsupported("balances"))
    }

    /// What is known of a node that is somebody else's: that it answers.
    async fn info(&self) -> Result<NodeInfo, NodeError> {
        self.terms().await?;
        Ok(NodeInfo {
            id: String::new(),
            alias: self.terms_at.host_str().map(str::to_owned),
            network: String::new(),
            block_height: 0,
            synced: true,
            channels: 0,
            usable_channels: 0,
        })
    }

    async fn channels(&self) -> Result<Vec<Channel>, NodeError> {
        Ok(Vec::new())
    }
}

fn bad(words: &str) -> NodeError {
    NodeError::BadReply(words.to_owned())
}

/// Reads bytes as whatever a Lightning Address may answer, whose terms stand at `terms_at`: where it sends the gate.
pub(crate) fn read_anything(terms_at: &Url, bytes: &[u8]) -> Vec<Url> {
    let _ = (wire::refusal(bytes), serde_json::from_slice::<Verified>(bytes).is_ok());
    let _ = std::str::from_utf8(bytes).map(terms_url);
    let callback = serde_json::from_slice::<PayRequest>(bytes).ok().map(|terms| terms.callback);
    let verify = serde_json::from_slice::<PaymentRequest>(bytes).ok().and_then(|made| made.verify);
    callback.iter().chain(&verify).filter_map(|text| may_lead(terms_at, text)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_become_urls_and_nothing_leaves_in_the_clear() {
        let url = |address: &str| terms_url(address).map(|url| url.to_string()).ok();
        assert_eq!(url("me@example.com").as_deref(), Some("https://example.com/.well-known/lnurlp/me"));
        assert_eq!(url("me@x.onion").as_deref(), Some("http://x.onion/.well-known/lnurlp/me"));
        assert_eq!(url("http://127.0.0.1:9/lnurlp/me").as_deref(), Some("http://127.0.0.1:9/lnurlp/me"));
        for wrong in ["", "me", "@a", "me@a/b", "me@@a", "m e@a", "http://example.com/x", "ftp://localhost/x"]
        {
            assert_eq!(url(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn an_address_does_not_send_the_gate_where_only_the_gate_can_go() {
        let leads = |from: &str, to: &str| may_lead(&from.parse().unwrap(), to).is_some();
        let far = "https://example.com/.well-known/lnurlp/me";
        assert!(leads(far, "https://example.com/callback") && leads(far, "https://pay.example.net/callback"));
        for wrong in [
            "http://example.com/callback",
            "https://127.0.0.1/admin",
            "http://127.0.0.1:8402/lightning/invoice",
            "https://localhost/",
            "https://10.0.0.1/",
            "https://[fd00::1]/",
            "https://169.254.169.254/latest",
            "https://2130706433/",
            "file:///etc/passwd",
            "not a url",
        ] {
            assert!(!leads(far, wrong), "{wrong}");
        }
        assert!(leads("http://127.0.0.1:9/x", "http://127.0.0.1:10/callback"));
        assert!(!leads("http://127.0.0.1:9/x", "http://127.0.0.2:10/callback"));
    }
}
