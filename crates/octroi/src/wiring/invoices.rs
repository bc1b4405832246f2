//! The invoice desk as configured, and what happens to its alerts.

use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, Instant};

use octroi_gate::Rate;
use octroi_gate::invoices::{
    Alert, AlertNews, EntryRule, EntrySettings, InvoiceDesk, InvoiceSettings, MintLimits,
};
use octroi_l402::Msat;
use octroi_lightning::LightningNode;
use octroi_pow::Difficulty;
use serde_json::json;
use tokio::process::Command;
use tokio::sync::mpsc;
use url::Url;

use super::StartError;
use crate::config::{AlertsConfig, InvoiceWork, LightningConfig, RateLimit};

/// How long a webhook may take.
const WEBHOOK_WAIT: Duration = Duration::from_secs(10);
/// How long the operator's program may take; then it is ended.
const COMMAND_WAIT: Duration = Duration::from_secs(600);
/// The program is not started again before this has passed: opening channels takes time.
const COMMAND_PAUSE: Duration = Duration::from_secs(600);

/// The desk for this node.
pub(super) fn desk(
    node: Arc<dyn LightningNode>,
    config: &LightningConfig,
) -> Result<InvoiceDesk, StartError> {
    let invoices = &config.invoices;
    let rule = match invoices.work {
        InvoiceWork::Never => None,
        InvoiceWork::OverLimit => Some(EntryRule::OverLimit),
        InvoiceWork::Always => Some(EntryRule::Always),
    };
    let difficulty = Difficulty::from_bits(f64::from(invoices.work_bits))
        .map_err(|error| StartError::Value(error.to_string()))?;
    let settings = InvoiceSettings {
        ttl_seconds: config.invoice_expiry.as_secs(),
        limits: MintLimits {
            per_network: rate(invoices.per_network),
            per_caller: rate(invoices.per_caller),
            per_class: rate(invoices.per_class),
            open_per_class: invoices.open_max,
        },
        entry: rule.map(|rule| EntrySettings { rule, difficulty }),
        ready: invoices.ready,
        slow: config.alerts.slow,
        low_inbound: config.alerts.low_inbound_sat.and_then(|sat| Msat::from_sat(i64::try_from(sat).ok()?)),
        look_every: config.alerts.look_every,
    };
    InvoiceDesk::new(node, settings).map_err(|error| StartError::Value(error.to_string()))
}

fn rate(limit: RateLimit) -> Rate {
    // At most a day.
    Rate { count: limit.calls.get(), period_seconds: u32::try_from(limit.per.as_secs()).unwrap_or(u32::MAX) }
}

/// Carries alerts to where the operator wants them.
pub(super) struct Watch {
    client: reqwest::Client,
    webhook: Option<Url>,
    on_low_inbound: Vec<String>,
    started: Option<Instant>,
}

impl Watch {
    pub(super) fn new(config: &AlertsConfig) -> Result<Self, StartError> {
        let client = reqwest::Client::builder()
            .timeout(WEBHOOK_WAIT)
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .map_err(|error| StartError::Value(format!("[lightning.alerts] webhook: {error}")))?;
        Ok(Self {
            client,
            webhook: config.webhook.clone(),
            on_low_inbound: config.on_low_inbound.clone(),
            started: None,
        })
    }

    /// Until there are no more.
    pub(super) async fn carry(mut self, mut alerts: mpsc::Receiver<AlertNews>) {
        // The last word about the room to receive, while there is too little.
        let mut low: Option<String> = None;
        loop {
            match tokio::time::timeout(COMMAND_PAUSE, alerts.recv()).await {
                Ok(None) => return,
                Ok(Some(news)) => {
                    self.post(&news).await;
                    if news.alert == Alert::LowInbound {
                        low = news.raised.then_some(news.text);
                    }
                }
                Err(_) => {}
            }
            if let Some(text) = &low {
                self.start_program(text);
            }
        }
    }

    async fn post(&self, news: &AlertNews) {
        let Some(webhook) = &self.webhook else { return };
        let body = json!({"alert": news.alert.as_str(), "raised": news.raised, "text": news.text});
        let posted = self.client.post(webhook.clone()).json(&body).send().await;
        // Without the address: it may hold a secret.
        if let Err(error) = posted.and_then(reqwest::Response::error_for_status) {
            tracing::warn!(error = %error.without_url(), "an alert could not be posted");
        }
    }

    /// Without a shell, and without the gate's environment beyond the paths a program needs.
    fn start_program(&mut self, text: &str) {
        let Some((program, arguments)) = self.on_low_inbound.split_first() else { return };
        if self.started.is_some_and(|at| at.elapsed() < COMMAND_PAUSE) {
            return;
        }
        self.started = Some(Instant::now());
        let mut command = Command::new(program);
        command.args(arguments).env_clear().stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        for name in ["PATH", "HOME", "USER", "LANG"] {
            if let Some(value) = std::env::var_os(name) {
                command.env(name, value);
            }
        }
        command
            .env("OCTROI_ALERT", Alert::LowInbound.as_str())
            .env("OCTROI_ALERT_TEXT", text)
            .kill_on_drop(true);
        match command.spawn() {
            Ok(mut child) => {
                tokio::spawn(async move {
                    match tokio::time::timeout(COMMAND_WAIT, child.wait()).await {
                        Ok(Ok(status)) => {
                            tracing::info!(%status, "the program for more room to receive has ended")
                        }
                        Ok(Err(error)) => {
                            tracing::warn!(%error, "the program for more room to receive was lost")
                        }
                        Err(_) => {
                            tracing::warn!("the program for more room to receive took too long; it was ended")
                        }
                    }
                });
            }
            Err(error) => tracing::warn!(%error, "the program for more room to receive could not be started"),
        }
    }
}
