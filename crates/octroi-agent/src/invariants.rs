//! What must hold whatever a server says. The fuzz target and a property test call this; nothing else does.

use octroi_l402::Msat;
use url::Url;

use crate::challenge::is_token;
use crate::identity::{ResourceMetadata, is_about_identity};
use crate::visit::Subject;
use crate::{PaymentRequired, redeem, signin};

/// The time at which it is read, in Unix seconds.
const NOW: u64 = 1_496_314_700;
/// How many calls were asked for.
const ASKED: u32 = 7;

/// A refusal, its challenges (one a line) and its body are read without a panic; what comes out of it may be paid, or handed
/// on, by the rules that hold for every server.
///
/// # Panics
/// When one of these does not hold.
pub fn answer(status: u16, challenges: &str, body: &[u8]) {
    let json = serde_json::from_slice(body).ok();
    if let Some(required) = PaymentRequired::read_parts(status, challenges, json.as_ref()) {
        assert!(matches!(status, 200 | 402 | 503), "{status} asks for no payment");
        let _ = (required.summary(), required.reason_code());
        payable(&required);
    }
    if is_about_identity(status, challenges) {
        assert!(matches!(status, 401 | 403), "{status} is not about who calls");
    }
    documents(body);
}

/// A bill is for what was asked, names an amount, can still be paid, and is within the stated price.
fn payable(required: &PaymentRequired) {
    let Ok(bill) = required.bill(ASKED, NOW) else { return };
    assert!(bill.amount > Msat::ZERO && (1..=ASKED).contains(&bill.calls) && bill.expires_at > NOW);
    if let Some(price) = required.price {
        let due = price.amount.as_i64().saturating_mul(i64::from(bill.calls));
        assert!(bill.amount.as_i64() < due.saturating_add(1000), "{} for {due} msat", bill.amount);
    }
    assert!(is_token(&bill.offer.token), "what cannot be shown is not bought");
}

/// Documents of servers and issuers, and what is given for work.
fn documents(body: &[u8]) {
    let endpoint: Url = match "https://gate.example/mcp".parse() {
        Ok(endpoint) => endpoint,
        Err(_) => return,
    };
    let _ = serde_json::from_slice::<ResourceMetadata>(body);
    for place in signin::places_of_issuer(body, &endpoint) {
        assert_eq!(place.scheme(), "https", "a token is not fetched at {place}");
    }
    let subject = Subject { place: endpoint.to_string(), endpoint, tool: "t".to_owned() };
    if let Some(given) = redeem::read(&subject, body, NOW) {
        assert!(given.worked && given.calls_left.is_some_and(|calls| calls > 0));
        assert!(given.expires_at.is_some_and(|at| at <= NOW + redeem::TTL_MAX));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn hold_for_the_fuzzer_s_seeds_and_those_mean_something() {
        let seed = |name: &str| {
            let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/seeds/agent");
            let text = std::fs::read_to_string(folder.join(name)).unwrap();
            let (challenges, body) = text[1..].split_once("\n\n").unwrap();
            (challenges.to_owned(), body.to_owned())
        };
        for (name, status) in [("header", 402), ("aperture", 402), ("in_band", 200), ("work", 503)] {
            let (challenges, body) = seed(name);
            answer(status, &challenges, body.as_bytes());
            let required =
                PaymentRequired::read_parts(status, &challenges, serde_json::from_str(&body).ok().as_ref());
            let required = required.unwrap_or_else(|| panic!("{name} asks for no payment"));
            assert!(required.work.is_some() || required.bill(ASKED, NOW).is_ok(), "{name}: {required:?}");
        }
        for (name, status) in [("identity", 401), ("scope", 403), ("redeemed", 200)] {
            let (challenges, body) = seed(name);
            answer(status, &challenges, body.as_bytes());
            assert!(status == 200 || is_about_identity(status, &challenges), "{name}");
        }
    }

    proptest! {
        #[test]
        fn hold_for_any_answer(
            status in prop::sample::select(vec![200_u16, 401, 402, 403, 500, 503]),
            challenges in "((L402|LSAT|Bearer|Payment) ?[a-z]{1,8}=\"?[ -~]{0,40}\"?[,\n]?){0,3}",
            body in "\\PC{0,120}",
        ) {
            answer(status, &challenges, body.as_bytes());
        }
    }
}
