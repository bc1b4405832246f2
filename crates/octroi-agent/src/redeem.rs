//! A solution for several calls: handed in at `…/pow/verify`, where it buys a credential.

use octroi_pow::Submission;
use serde::Deserialize;
use serde_json::Value;
use url::Url;
use zeroize::Zeroizing;

use crate::Bought;
use crate::purse::Opens;
use crate::visit::Subject;

/// Most bytes of the answer.
pub(crate) const ANSWER_BYTES_MAX: usize = 64 * 1024;
/// The longest life of such a credential that is believed, in seconds.
pub(crate) const TTL_MAX: u64 = 24 * 3600;

/// What is posted.
pub(crate) struct Redemption {
    pub(crate) url: Url,
    pub(crate) body: Value,
}

impl Redemption {
    /// `None` where the solution buys one call in any case: of the tool it is shown for, or with the arguments it is bound to.
    pub(crate) fn of(subject: &Subject, solution: &Submission) -> Option<Self> {
        let bound = &solution.challenge.binding;
        if bound.calls <= 1 || bound.arguments_digest.is_some() {
            return None;
        }
        let mut url = subject.endpoint.clone();
        url.set_query(None);
        url.set_path(&format!("{}/pow/verify", subject.endpoint.path().trim_end_matches('/')));
        Some(Self { url, body: serde_json::to_value(solution).ok()? })
    }
}

/// What the server gives.
#[derive(Deserialize)]
struct Given {
    /// `<macaroon>:<preimage>`.
    token: Zeroizing<String>,
    /// Seconds.
    ttl: u64,
    calls: u32,
}

/// The credential in an answer, for calls of the tool that was worked for.
pub(crate) fn read(subject: &Subject, answer: &[u8], now: u64) -> Option<Bought> {
    let given: Given = serde_json::from_slice(answer).ok()?;
    let (hash, opens) = Opens::read(&given.token)?;
    Some(Bought {
        endpoint: subject.place.clone(),
        tool: subject.tool.clone(),
        payment_hash: hash.to_string(),
        calls_left: Some(given.calls).filter(|calls| *calls > 0)?.into(),
        expires_at: Some(now + given.ttl.min(TTL_MAX)),
        worked: true,
        opens,
    })
}

#[cfg(test)]
mod tests {
    use octroi_pow::{Binding, Difficulty, Signer};
    use serde_json::json;

    use super::*;

    fn subject() -> Subject {
        let endpoint = Url::parse("https://gate.example/one/mcp?x=1").unwrap();
        Subject { place: endpoint.to_string(), endpoint, tool: "t".to_owned() }
    }

    fn solution(calls: u32, arguments_digest: Option<[u8; 32]>) -> Submission {
        let binding =
            Binding { tool: None, principal: None, arguments_digest, calls, service: "s".to_owned() };
        let difficulty = Difficulty::from_bits(1).unwrap();
        let challenge = Signer::generate().unwrap().issue(difficulty, binding, 100, 60, [1; 16]);
        Submission::new(challenge, "1").unwrap()
    }

    #[test]
    fn what_buys_several_calls_is_handed_in_beside_the_endpoint() {
        let several = Redemption::of(&subject(), &solution(5, None)).unwrap();
        assert_eq!(several.url.as_str(), "https://gate.example/one/mcp/pow/verify");
        assert_eq!(several.body["nonce"], "1");
        assert!(Redemption::of(&subject(), &solution(1, None)).is_none());
        assert!(Redemption::of(&subject(), &solution(5, Some([1; 32]))).is_none());
    }

    #[test]
    fn an_answer_is_a_credential_or_nothing() {
        let preimage = "01".repeat(32);
        let good = json!({"token": format!("AgEW:{preimage}"), "ttl": 300, "calls": 5, "tool": null});
        let given = read(&subject(), good.to_string().as_bytes(), 1_000).unwrap();
        assert_eq!((given.calls_left, given.expires_at, given.worked), (Some(5), Some(1_300), true));
        assert_eq!(given.authorization().reveal(), format!("L402 AgEW:{preimage}"));
        for (name, value) in [
            ("token", json!("AgEW")),
            ("token", json!(format!("a b:{preimage}"))),
            ("token", json!("AgEW:01")),
            ("calls", json!(0)),
            ("calls", json!(-1)),
            ("ttl", json!("x")),
        ] {
            let mut bad = good.clone();
            bad[name] = value;
            assert!(read(&subject(), bad.to_string().as_bytes(), 1_000).is_none(), "{bad}");
        }
        assert!(read(&subject(), b"", 0).is_none());
    }
}
