//! The teller: tells Stripe of charges, from the ledger's outbox.
//!
//! Never on the way of a call. Each charge is a meter event whose identifier is the call's id, so that telling it twice
//! counts once: a try whose answer was lost is made again. Stripe knows identifiers for a day. A charge that may have
//! arrived and could not be made sure of within that time is given to the operator instead.

mod reply;

use std::fmt::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use crate::clock::unix_seconds;
use futures_util::{StreamExt, stream};
use octroi_ledger::{Ledger, LedgerError, OutboxRow, Told};
use reply::{Later, Verdict, judge, retry_after};
use reqwest::header::RETRY_AFTER;
use thiserror::Error;
use url::Url;
use zeroize::Zeroizing;

/// Charges borrowed at once.
const BATCH: u32 = 64;
/// Requests under way at once.
const AT_ONCE: usize = 8;
/// How long one request may take.
const PATIENCE: Duration = Duration::from_secs(15);
/// How long nobody else is given a borrowed charge, unless told otherwise: longer than a whole batch can take.
pub const LEASE: Duration = Duration::from_secs(180);
/// The pause after the first failure; doubles up to [`PAUSE_MAX`].
const PAUSE_MIN: Duration = Duration::from_secs(1);
/// The longest pause that is not asked for.
const PAUSE_MAX: Duration = Duration::from_secs(300);
/// The longest pause Stripe may ask for.
const ASKED_MAX: Duration = Duration::from_secs(3_600);
/// Stripe takes no event older than 35 days; an hour is left for the way there.
const OLDEST_SECONDS: u64 = 35 * 86_400 - 3_600;
/// Stripe knows an identifier for at least 24 hours; an hour is left.
const DOUBT_SECONDS: u64 = 23 * 3_600;
/// Longest answer that is read, in bytes.
const ANSWER_MAX: usize = 64 * 1024;

/// How a teller is set.
pub struct StripeSettings {
    /// Stripe's address: `https://api.stripe.com`.
    pub endpoint: Url,
    /// The secret key.
    pub key: Zeroizing<String>,
    /// The meter's event name.
    pub event: String,
    /// How often the outbox is looked into.
    pub every: Duration,
    /// How long nobody else is given a borrowed charge. A charge that is given to two counts once all the same.
    pub lease: Duration,
}

impl fmt::Debug for StripeSettings {
    /// Without the key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StripeSettings")
            .field("event", &self.event)
            .field("every", &self.every)
            .finish_non_exhaustive()
    }
}

/// Why there is no teller.
#[derive(Debug, Error)]
#[error("Stripe cannot be talked to: {0}")]
pub struct TellerError(String);

/// Tells Stripe of charges.
#[derive(Debug)]
pub struct StripeTeller {
    settings: StripeSettings,
    url: Url,
    client: reqwest::Client,
    delivered: AtomicU64,
    refused: AtomicU64,
    failed: AtomicU64,
}

impl StripeTeller {
    /// A teller that has told nothing yet.
    ///
    /// # Errors
    /// The address or TLS cannot be used.
    pub fn new(settings: StripeSettings) -> Result<Self, TellerError> {
        let failed = |error: String| TellerError(error);
        let url =
            settings.endpoint.join("/v1/billing/meter_events").map_err(|error| failed(error.to_string()))?;
        let client = reqwest::Client::builder()
            .timeout(PATIENCE)
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .map_err(|error| failed(error.to_string()))?;
        let zero = || AtomicU64::new(0);
        Ok(Self { settings, url, client, delivered: zero(), refused: zero(), failed: zero() })
    }

    /// Charges taken, given up, and tries that failed, since the start.
    #[must_use]
    pub fn counts(&self) -> (u64, u64, u64) {
        (self.delivered.load(Relaxed), self.refused.load(Relaxed), self.failed.load(Relaxed))
    }

    /// Its metrics in Prometheus text.
    pub(crate) fn metrics(&self, page: &mut String) {
        let (delivered, refused, failed) = self.counts();
        let counters = [
            ("octroi_stripe_delivered_total", "Charges Stripe was told of.", delivered),
            ("octroi_stripe_refused_total", "Charges Stripe refused for good.", refused),
            ("octroi_stripe_failures_total", "Tries to tell Stripe that failed.", failed),
        ];
        for (name, help, count) in counters {
            // Writing to a String cannot fail.
            let _ = writeln!(page, "# HELP {name} {help}\n# TYPE {name} counter\n{name} {count}");
        }
    }

    /// Tells what is in the outbox, for as long as it is polled.
    pub async fn run(self: Arc<Self>, ledger: Ledger) {
        let mut pause = PAUSE_MIN;
        loop {
            match self.round(&ledger).await {
                Ok(Round::Empty) => tokio::time::sleep(self.settings.every).await,
                Ok(Round::Told) => pause = PAUSE_MIN,
                Ok(Round::Halted(later)) => {
                    let wait = later.after.map_or(pause, |asked| asked.clamp(pause, ASKED_MAX));
                    tracing::warn!(why = %later.why, ?wait, "Stripe is not told of charges; they wait in the outbox");
                    tokio::time::sleep(wait).await;
                    pause = (pause * 2).min(PAUSE_MAX);
                }
                Err(error) => {
                    tracing::warn!(%error, wait = ?pause, "the outbox cannot be read");
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(PAUSE_MAX);
                }
            }
        }
    }

    /// One batch.
    async fn round(&self, ledger: &Ledger) -> Result<Round, LedgerError> {
        let rows = ledger.outbox_take(BATCH, self.settings.lease).await?;
        if rows.is_empty() {
            return Ok(Round::Empty);
        }
        let mut answers = stream::iter(rows).map(|row| self.tell(row)).buffer_unordered(AT_ONCE);
        let mut halted: Option<Later> = None;
        while let Some((row, verdict)) = answers.next().await {
            if let Verdict::Later(later) = &verdict
                && later.halt
            {
                halted.get_or_insert_with(|| later.clone());
            }
            ledger.outbox_told(row.id, self.told(&row, verdict)).await?;
        }
        Ok(halted.map_or(Round::Told, Round::Halted))
    }

    /// What the ledger is to note.
    fn told(&self, row: &OutboxRow, verdict: Verdict) -> Told {
        match verdict {
            Verdict::Delivered => {
                self.delivered.fetch_add(1, Relaxed);
                Told::Delivered
            }
            Verdict::Refused(why) => {
                self.refused.fetch_add(1, Relaxed);
                tracing::error!(call = %row.id, %why, "Stripe refuses a charge for good; see octroi ledger bill");
                Told::Refused { why, doubtful: row.doubtful_since.is_some() }
            }
            Verdict::Later(later) => {
                self.failed.fetch_add(1, Relaxed);
                let wait = PAUSE_MIN.saturating_mul(1 << row.tries.min(9)).min(PAUSE_MAX);
                let wait = later.after.map_or(wait, |asked| asked.min(ASKED_MAX).max(wait));
                let doubtful = later.doubtful || row.doubtful_since.is_some();
                Told::Later { at: unix_seconds().saturating_add(wait.as_secs()), why: later.why, doubtful }
            }
        }
    }

    async fn tell(&self, row: OutboxRow) -> (OutboxRow, Verdict) {
        let verdict = match too_late(&row, unix_seconds()) {
            Some(why) => Verdict::Refused(why.to_owned()),
            None => self.send(&row).await,
        };
        (row, verdict)
    }

    async fn send(&self, row: &OutboxRow) -> Verdict {
        let identifier = row.id.to_string();
        let (value, timestamp) = (row.msat.to_string(), (row.at_ms / 1_000).to_string());
        let form = [
            ("event_name", self.settings.event.as_str()),
            ("identifier", &identifier),
            ("timestamp", &timestamp),
            ("payload[stripe_customer_id]", &row.customer),
            ("payload[value]", &value),
        ];
        let request = self
            .client
            .post(self.url.clone())
            .bearer_auth(self.settings.key.as_str())
            // Another key for each try: Stripe repeats the first answer to a key, its own failures too. What makes a second
            // try harmless is the identifier.
            .header("Idempotency-Key", format!("octroi-{identifier}-{}", row.tries))
            .form(&form);
        let mut response = match request.send().await {
            Ok(response) => response,
            Err(error) => {
                let doubtful = !error.is_connect();
                return Verdict::Later(Later::halting(error.without_url().to_string(), doubtful));
            }
        };
        let status = response.status().as_u16();
        let after = response.headers().get(RETRY_AFTER).and_then(|value| retry_after(value.to_str().ok()?));
        let mut body = Vec::new();
        loop {
            match response.chunk().await {
                Ok(Some(chunk)) if body.len() + chunk.len() <= ANSWER_MAX => body.extend_from_slice(&chunk),
                Ok(None) => return judge(&identifier, status, after, &body),
                Ok(Some(_)) => return Verdict::Later(Later::halting("an answer that is too long", true)),
                Err(error) => return Verdict::Later(Later::halting(error.without_url().to_string(), true)),
            }
        }
    }
}

enum Round {
    Empty,
    Told,
    Halted(Later),
}

/// Why a charge must not be told any more.
fn too_late(row: &OutboxRow, now: u64) -> Option<&'static str> {
    if (row.at_ms / 1_000).saturating_add(OLDEST_SECONDS) < now {
        return Some("it is older than the 35 days that Stripe takes");
    }
    let doubtful = row.doubtful_since.is_some_and(|since| since.saturating_add(DOUBT_SECONDS) < now);
    doubtful
        .then_some("an earlier try may have arrived, and Stripe no longer tells: look at the meter's events")
}
