//! What the owner allows, set once: limits, questions, preferences. Read from a TOML file.

use serde::{Deserialize, Deserializer};
use url::Url;

use octroi_l402::Msat;

use crate::purse::Limits;

/// What to try first when a call must be paid for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Way {
    /// Compute, where the server takes work and it is done soon enough.
    Work,
    /// Show a credential out of the purse.
    Credits,
    /// Pay an invoice.
    Lightning,
}

/// The owner's rules. All amounts hold across every process that uses the same purse.
///
/// [`Policy::default`] limits nothing (then only a [`crate::Budget`] does); [`Policy::cautious`] is for people who said nothing.
#[derive(Clone, Debug, PartialEq)]
pub struct Policy {
    /// The most one call may cost, without routing fees. Of calls bought at once each may cost as much.
    pub per_call: Option<Msat>,
    /// The most that may go in an hour, routing fees included.
    pub per_hour: Option<Msat>,
    /// The most that may go in 24 hours, routing fees included.
    pub per_day: Option<Msat>,
    /// The most that may go to one server in 24 hours, routing fees included.
    pub per_server_day: Option<Msat>,
    /// Payments above this are asked about; where nobody can be asked they are refused.
    pub ask_above: Option<Msat>,
    /// Only servers that are listed and allowed are paid and computed for.
    pub only_listed: bool,
    /// Rules for single servers.
    pub servers: Vec<ServerRule>,
    /// Puzzles expected to take up to so many seconds on this machine are solved rather than paid for.
    pub work_seconds: f64,
    /// What is tried first. What is not named is not done.
    pub order: Vec<Way>,
    /// The most calls bought at once.
    pub bundle_max: u32,
    /// Buy the next calls in the background before the last one is used.
    pub prefetch: bool,
}

/// What holds for one server in place of the general rule.
#[derive(Clone, Debug, PartialEq)]
pub struct ServerRule {
    /// Its address: everything of the same origin below this path.
    pub url: Url,
    /// It may be paid.
    pub allow: bool,
    /// In place of [`Policy::per_call`].
    pub per_call: Option<Msat>,
    /// In place of [`Policy::per_server_day`].
    pub per_day: Option<Msat>,
    /// In place of [`Policy::ask_above`].
    pub ask_above: Option<Msat>,
}

/// Why a policy file cannot be used: its writer's fault.
#[derive(Debug, thiserror::Error)]
#[error("policy: {0}")]
pub struct PolicyError(String);

/// What holds for one server.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Terms {
    pub(crate) allowed: bool,
    pub(crate) per_call: Option<Msat>,
    pub(crate) ask_above: Option<Msat>,
    pub(crate) limits: Limits,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            per_call: None,
            per_hour: None,
            per_day: None,
            per_server_day: None,
            ask_above: None,
            only_listed: false,
            servers: Vec::new(),
            work_seconds: 0.0,
            order: vec![Way::Work, Way::Credits, Way::Lightning],
            bundle_max: 1,
            prefetch: false,
        }
    }
}

impl Policy {
    /// For owners who wrote no policy: 100 sats a call, 1,000 an hour, 5,000 a day, a question above 100 at once, five seconds of
    /// computing, up to 20 calls at once, bought ahead.
    #[must_use]
    pub fn cautious() -> Self {
        let sats = |sats: i64| Some(Msat::new(sats * 1000));
        Self {
            per_call: sats(100),
            per_hour: sats(1_000),
            per_day: sats(5_000),
            per_server_day: None,
            ask_above: sats(100),
            work_seconds: 5.0,
            bundle_max: 20,
            prefetch: true,
            ..Self::default()
        }
    }

    /// Reads a policy file; what it does not say is as in [`Policy::cautious`].
    ///
    /// # Errors
    /// [`PolicyError`], with the line.
    pub fn read(text: &str) -> Result<Self, PolicyError> {
        let file: PolicyFile = toml::from_str(text).map_err(|error| PolicyError(error.to_string()))?;
        file.policy()
    }

    /// What holds for the server at `url`: the rule with the longest address that it lies under, then the general one.
    pub(crate) fn terms(&self, url: &Url) -> Terms {
        let fits = self.servers.iter().filter(|rule| rule.holds_for(url));
        let rule = fits.max_by_key(|rule| rule.url.path().len());
        let most = |limit: Option<Msat>| limit.map_or(i64::MAX, Msat::as_i64);
        let pick =
            |own: fn(&ServerRule) -> Option<Msat>, general: Option<Msat>| rule.and_then(own).or(general);
        Terms {
            allowed: rule.map_or(!self.only_listed, |rule| rule.allow),
            per_call: pick(|rule| rule.per_call, self.per_call),
            ask_above: pick(|rule| rule.ask_above, self.ask_above),
            limits: Limits {
                hour: most(self.per_hour),
                day: most(self.per_day),
                server_day: most(pick(|rule| rule.per_day, self.per_server_day)),
            },
        }
    }

    /// What holds for a payment to nobody in particular.
    pub(crate) fn general(&self) -> Terms {
        let most = |limit: Option<Msat>| limit.map_or(i64::MAX, Msat::as_i64);
        let limits = Limits { hour: most(self.per_hour), day: most(self.per_day), server_day: i64::MAX };
        Terms { allowed: true, per_call: self.per_call, ask_above: self.ask_above, limits }
    }

    /// Whether `first` is to be tried, and before `second`.
    pub(crate) fn prefers(&self, first: Way, second: Way) -> bool {
        let place = |way| self.order.iter().position(|listed| *listed == way);
        place(first).is_some_and(|first| place(second).is_none_or(|second| first < second))
    }

    pub(crate) fn allows(&self, way: Way) -> bool {
        self.order.contains(&way)
    }
}

impl ServerRule {
    fn holds_for(&self, url: &Url) -> bool {
        let (own, theirs) = (self.url.path().trim_end_matches('/'), url.path());
        let below = theirs.strip_prefix(own).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
        self.url.origin() == url.origin() && below
    }
}

/// The file as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PolicyFile {
    per_call_sats: Option<Sats>,
    per_hour_sats: Option<Sats>,
    per_day_sats: Option<Sats>,
    per_server_day_sats: Option<Sats>,
    ask_above_sats: Option<Sats>,
    #[serde(default)]
    only_listed: bool,
    work_seconds: Option<f64>,
    order: Option<Vec<Way>>,
    bundle_max: Option<u32>,
    prefetch: Option<bool>,
    #[serde(default)]
    servers: std::collections::BTreeMap<String, ServerFile>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ServerFile {
    #[serde(default = "yes")]
    allow: bool,
    per_call_sats: Option<Sats>,
    per_day_sats: Option<Sats>,
    ask_above_sats: Option<Sats>,
}

const fn yes() -> bool {
    true
}

/// Satoshis, whole or with up to three decimals.
#[derive(Clone, Copy)]
struct Sats(Msat);

impl<'de> Deserialize<'de> for Sats {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let sats = f64::deserialize(deserializer)?;
        let msat = (sats * 1000.0).floor();
        // 21 million bitcoin.
        if !(0.0..=2.1e18).contains(&msat) {
            return Err(serde::de::Error::custom("an amount is between 0 and 2100000000000000 sats"));
        }
        Ok(Self(Msat::new(msat as i64)))
    }
}

impl PolicyFile {
    fn policy(self) -> Result<Policy, PolicyError> {
        let cautious = Policy::cautious();
        let amount = |sats: Option<Sats>| sats.map(|Sats(msat)| msat);
        let servers = self.servers.into_iter().map(|(url, rule)| {
            let parsed = Url::parse(&url).ok().filter(|url| matches!(url.scheme(), "http" | "https"));
            Ok(ServerRule {
                url: parsed
                    .ok_or_else(|| PolicyError(format!("servers: {url:?} is no http or https URL")))?,
                allow: rule.allow,
                per_call: amount(rule.per_call_sats),
                per_day: amount(rule.per_day_sats),
                ask_above: amount(rule.ask_above_sats),
            })
        });
        let work_seconds = self.work_seconds.unwrap_or(cautious.work_seconds);
        if !(0.0..=3600.0).contains(&work_seconds) {
            return Err(PolicyError("work_seconds is between 0 and 3600".to_owned()));
        }
        Ok(Policy {
            per_call: amount(self.per_call_sats).or(cautious.per_call),
            per_hour: amount(self.per_hour_sats).or(cautious.per_hour),
            per_day: amount(self.per_day_sats).or(cautious.per_day),
            per_server_day: amount(self.per_server_day_sats),
            ask_above: amount(self.ask_above_sats).or(cautious.ask_above),
            only_listed: self.only_listed,
            servers: servers.collect::<Result<_, _>>()?,
            work_seconds,
            order: self.order.unwrap_or(cautious.order),
            bundle_max: self.bundle_max.unwrap_or(cautious.bundle_max).max(1),
            prefetch: self.prefetch.unwrap_or(cautious.prefetch),
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn url(text: &str) -> Url {
        Url::parse(text).unwrap()
    }

    #[test]
    fn a_file_says_what_differs() {
        let policy = Policy::read(
            "per_call_sats = 1.5\nwork_seconds = 0\nonly_listed = true\norder = [\"credits\", \"lightning\"]\n\
             [servers.\"https://a.example\"]\nper_day_sats = 7\n\
             [servers.\"https://a.example/x/mcp\"]\nallow = false\n",
        )
        .unwrap();
        assert_eq!((policy.per_call, policy.per_hour), (Some(Msat::new(1_500)), Some(Msat::new(1_000_000))));
        let at = |text: &str| policy.terms(&url(text));
        assert!(at("https://a.example/mcp").allowed && at("https://a.example/x/mcpp").allowed);
        assert!(!at("https://a.example/x/mcp").allowed && !at("https://a.example/x/mcp/y").allowed);
        assert!(!at("http://a.example/mcp").allowed && !at("https://a.example.evil/").allowed);
        assert_eq!(at("https://a.example/").limits.server_day, 7_000);
        assert!(policy.prefers(Way::Credits, Way::Lightning) && !policy.prefers(Way::Work, Way::Credits));
    }

    #[test]
    fn mistakes_are_named() {
        for text in [
            "per_cal_sats = 1",
            "per_call_sats = -1",
            "per_day_sats = 1e20",
            "work_seconds = 1e9",
            "order = [\"gold\"]",
            "[servers.\"ftp://x/\"]",
            "[servers.\"https://x/\"]\nask = 1",
            "bundle_max = -1",
        ] {
            assert!(Policy::read(text).is_err(), "{text}");
        }
        assert_eq!(Policy::read("").unwrap(), Policy::cautious());
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "\\PC{0,120}") {
            let _ = Policy::read(&text);
        }
    }
}
