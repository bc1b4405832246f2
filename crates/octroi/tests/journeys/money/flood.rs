//! A flood of forged credentials on a live gate, behind a proxy that says where each comes from.

use octroi_testkit::upstream::sample::Sample;
use serde_json::json;

use super::vouchers::{config, done, no_good};
use crate::harness::money::free_port;
use crate::harness::{Ask, Caller, Launch, soon};

/// Forged credentials at once, and how many in all.
const AT_ONCE: usize = 16;
const FORGED: usize = 600;

#[tokio::test(flavor = "multi_thread")]
async fn forgers_are_slowed_and_nobody_else() {
    let sample = Sample::start().await.unwrap();
    let text = config(&sample, free_port(), "trusted_proxies = [\"127.0.0.1\"]");
    let bounds = "failed_payments = { free = 30, recover_seconds = 20 }\n";
    let launch = Launch::new(&format!("{text}{bounds}"), &[]);
    let credential = done(&launch, &["mint", "--sats", "200", "--ttl", "1h"]);
    let gate = launch.start().await;
    gate.secrets.add(&credential);
    let query = |from: &str| -> Ask {
        let ask = Caller::of(&gate).call("data_query", json!({"query": "carts"}));
        ask.header("x-forwarded-for", from)
    };
    let (macaroon, preimage) = credential.split_once(':').unwrap();
    let other_preimage = "ab".repeat(32);
    // What was not made here, and what was, with a preimage that somebody made up.
    let forged = |number: usize| match number % 2 {
        0 => format!("AgEEbHNhdAJC{number:04}:{preimage}"),
        _ => format!("{macaroon}:{other_preimage}"),
    };
    let (mut dealt, mut refused) = (0, 0);
    for start in (0..FORGED).step_by(AT_ONCE) {
        let asks: Vec<Ask> = (start..(start + AT_ONCE).min(FORGED))
            .map(|number| query(&format!("192.0.2.{}", number % 250)).paid(&forged(number)))
            .collect();
        let calls: Vec<_> =
            asks.into_iter().map(|ask| tokio::spawn(async move { ask.send().await })).collect();
        for call in calls {
            let reply = soon(call).await.unwrap();
            if reply.reason() == "RATE_LIMITED" {
                assert_eq!(reply.status, 429, "{}", reply.text);
                let wait: u64 = reply.headers["retry-after"].to_str().unwrap().parse().unwrap();
                assert!((1..=64).contains(&wait), "{wait}");
                refused += 1;
            } else {
                assert_eq!(reply.reason(), "NO_LIQUIDITY", "{}", reply.text);
                dealt += 1;
            }
        }
        // Whose macaroon is shown there is served all the while, on that network and elsewhere.
        if start % 160 == 0 {
            query("192.0.2.7").paid(&credential).send().await.worked();
            query("2001:db8::7").paid(&credential).send().await.worked();
        }
    }
    assert!(refused > FORGED / 2 && dealt < FORGED / 4, "{dealt} dealt with, {refused} refused");
    no_good(&query("198.51.100.1").paid(&forged(1)).send().await, "preimage does not belong");
    let page = reqwest::get(format!("{}/metrics", gate.admin)).await.unwrap().text().await.unwrap();
    let count = |name: &str| -> usize {
        let line = format!("{name}{{service=\"mcp\",kind=\"forged\"}} ");
        page.lines()
            .find_map(|found| found.strip_prefix(&line))
            .unwrap_or_else(|| panic!("{page}"))
            .parse()
            .unwrap()
    };
    assert_eq!(count("octroi_failed_payments_total"), dealt + 1);
    assert_eq!(count("octroi_failed_payments_refused_total"), refused);
}
