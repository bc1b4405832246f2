//! `[lightning.alerts]`

use std::time::Duration;

use super::super::super::AlertsConfig;
use super::super::super::reader::Section;

const SLOW_DEFAULT: Duration = Duration::from_secs(3);
const WEBHOOK: &str = "https://ops.example.com/octroi";
const LOOK_DEFAULT: Duration = Duration::from_secs(15);

pub(super) fn read(section: Section<'_>) -> AlertsConfig {
    let slow = section.field("slow_ms").number(10..=600_000, "milliseconds").map(Duration::from_millis);
    let command = section.field("on_low_inbound");
    let words: Vec<String> =
        command.texts("/usr/local/bin/buy-inbound").into_iter().map(|(_, word)| word).collect();
    let low = section.field("low_inbound_sats").number(1..=2_100_000_000_000_000, "satoshis");
    if !words.is_empty() && low.is_none() {
        command.spot.wrong("never started without `low_inbound_sats`", "add low_inbound_sats = 100000");
    }
    let (webhook, secret) = (section.field("webhook"), section.field("webhook_secret"));
    if secret.is_given() && !webhook.is_given() {
        secret.spot.wrong("nothing is signed without `webhook`", format!("add webhook = \"{WEBHOOK}\""));
    }
    let alerts = AlertsConfig {
        slow: slow.unwrap_or(SLOW_DEFAULT),
        low_inbound_sat: low,
        look_every: section.field("look_every_seconds").seconds(1..=3600).unwrap_or(LOOK_DEFAULT),
        webhook: webhook.web_url(WEBHOOK),
        webhook_secret: secret.secret(),
        on_low_inbound: words,
    };
    section.finish();
    alerts
}
