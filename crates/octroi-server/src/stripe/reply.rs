//! What Stripe's answer to a meter event means.

use std::time::Duration;

use serde::Deserialize;

/// What becomes of the event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Stripe has it, since now or since an earlier try.
    Delivered,
    /// Stripe will never take it.
    Refused(String),
    /// Worth another try.
    Later(Later),
}

/// Why, and when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Later {
    pub(super) why: String,
    /// Not sooner than after this.
    pub(super) after: Option<Duration>,
    /// Stripe may have taken it all the same.
    pub(super) doubtful: bool,
    /// The others would fare no better now.
    pub(super) halt: bool,
}

impl Later {
    pub(super) fn halting(why: impl Into<String>, doubtful: bool) -> Self {
        Self { why: why.into(), after: None, doubtful, halt: true }
    }
}

#[derive(Deserialize)]
struct Event {
    object: String,
    identifier: String,
}

#[derive(Deserialize)]
struct Failure {
    error: Words,
}

#[derive(Default, Deserialize)]
struct Words {
    #[serde(default)]
    message: String,
    #[serde(default)]
    param: String,
    #[serde(default)]
    code: String,
    #[serde(default, rename = "type")]
    kind: String,
}

/// Longest remark kept of Stripe's words, in characters.
const WORDS_MAX: usize = 200;

impl Words {
    /// For the operator.
    fn shown(&self, status: u16) -> String {
        let words: String = self.message.chars().filter(|c| !c.is_control()).take(WORDS_MAX).collect();
        let code = if self.code.is_empty() { &self.kind } else { &self.code };
        format!("HTTP {status} {code}: {words}")
    }
}

/// Judges an answer to the event with this identifier. `after` is its `Retry-After`.
pub(super) fn judge(identifier: &str, status: u16, after: Option<Duration>, body: &[u8]) -> Verdict {
    let later = |why: String, doubtful, halt| Verdict::Later(Later { why, after, doubtful, halt });
    if (200..300).contains(&status) {
        return match serde_json::from_slice::<Event>(body) {
            Ok(event) if event.object == "billing.meter_event" && event.identifier == identifier => {
                Verdict::Delivered
            }
            _ => later(format!("HTTP {status} with something else than the event"), true, true),
        };
    }
    let words = serde_json::from_slice::<Failure>(body).map(|failure| failure.error).unwrap_or_default();
    let shown = words.shown(status);
    match status {
        // An event whose identifier Stripe has seen lately: an earlier try arrived, and its answer did not.
        400 if words.message.contains("already exists with identifier")
            && words.message.contains(identifier) =>
        {
            Verdict::Delivered
        }
        // The key, or the meter, is the operator's to mend: no event is given up for it.
        401 | 403 => later("Stripe does not accept the key".to_owned(), false, true),
        400 | 404 if words.param == "event_name" => later(shown, false, true),
        // The same event is under way on another connection.
        409 => later(shown, true, false),
        429 => later(shown, false, true),
        400..=499 => Verdict::Refused(shown),
        _ => later(shown, true, true),
    }
}

/// `Retry-After` in seconds (RFC 9110 §10.2.3); dates are not used by Stripe.
pub(super) fn retry_after(text: &str) -> Option<Duration> {
    text.trim().parse().ok().map(Duration::from_secs)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "0199";

    fn error(status: u16, message: &str, param: &str) -> Verdict {
        let body = serde_json::json!({"error": {"message": message, "param": param, "type": "invalid_request_error"}});
        judge(ID, status, None, body.to_string().as_bytes())
    }

    fn later(verdict: Verdict) -> (bool, bool) {
        match verdict {
            Verdict::Later(later) => (later.doubtful, later.halt),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn only_the_very_event_counts_as_taken() {
        let taken = |body: &str| judge(ID, 200, None, body.as_bytes());
        assert_eq!(taken(r#"{"object":"billing.meter_event","identifier":"0199"}"#), Verdict::Delivered);
        for other in [
            r#"{"object":"billing.meter_event","identifier":"0198"}"#,
            r#"{"object":"charge"}"#,
            "<html>",
            "",
        ] {
            assert_eq!(later(taken(other)), (true, true), "{other}");
        }
    }

    #[test]
    fn an_identifier_that_is_known_was_delivered_before() {
        let known = "An event already exists with identifier 0199.";
        assert_eq!(error(400, known, "identifier"), Verdict::Delivered);
        let other = "An event already exists with identifier 0200.";
        assert!(matches!(error(400, other, "identifier"), Verdict::Refused(_)));
    }

    #[test]
    fn what_the_operator_can_mend_gives_up_no_event() {
        assert_eq!(later(error(401, "Invalid API Key provided", "")), (false, true));
        assert_eq!(later(error(400, "No meter listens", "event_name")), (false, true));
        assert_eq!(later(error(429, "Too many", "")), (false, true));
        assert_eq!(later(error(409, "In use", "")), (true, false));
        assert_eq!(later(error(500, "", "")), (true, true));
        let gone = error(400, "No such customer: 'cus_9'", "payload[stripe_customer_id]");
        assert!(matches!(gone, Verdict::Refused(why) if why.contains("No such customer")));
    }

    #[test]
    fn hostile_words_are_cut() {
        let Verdict::Refused(why) = error(400, &format!("a\n{}", "x".repeat(9_999)), "") else { panic!() };
        assert!(why.len() < 300 && !why.contains('\n'), "{why}");
    }

    #[test]
    fn retry_after_is_a_number_of_seconds() {
        assert_eq!(retry_after(" 7 "), Some(Duration::from_secs(7)));
        assert_eq!(retry_after("-7"), None);
        assert_eq!(retry_after("Wed, 21 Oct 2015 07:28:00 GMT"), None);
    }
}
