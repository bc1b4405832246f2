//! Prometheus text (exposition format 0.0.4). Labels are services and reason codes: never a caller, never a credential.

use std::fmt::Write;
use std::sync::Arc;

use octroi_gate::{Gate, Till};

use crate::endpoint::Endpoint;

/// One counter per endpoint.
type Counter = (&'static str, &'static str, fn(&Gate) -> Option<u64>);

const COUNTERS: [Counter; 4] = [
    ("octroi_calls_free_total", "Calls of tools, resources and prompts admitted free of charge.", |gate| {
        Some(gate.counters().admitted_free())
    }),
    ("octroi_calls_charged_total", "Calls admitted with a charge, captured or not.", |gate| {
        Some(gate.counters().admitted_charged())
    }),
    ("octroi_pow_issued_total", "Proof-of-work puzzles handed out.", |gate| {
        gate.till().and_then(Till::work).map(octroi_gate::WorkDesk::issued)
    }),
    ("octroi_pow_solved_total", "Proof-of-work puzzles redeemed.", |gate| {
        gate.till().and_then(Till::work).map(octroi_gate::WorkDesk::solved)
    }),
];

/// The metrics page.
pub(crate) fn render(endpoints: &[Arc<Endpoint>]) -> String {
    let mut page = String::new();
    for (name, help, read) in COUNTERS {
        header(&mut page, name, help);
        for endpoint in endpoints {
            if let Some(count) = read(&endpoint.gate) {
                line(&mut page, name, &[("service", endpoint.gate.service())], count);
            }
        }
    }
    let name = "octroi_refusals_total";
    header(&mut page, name, "Refusals by reason.");
    for endpoint in endpoints {
        for (reason, count) in endpoint.gate.counters().refusals() {
            line(&mut page, name, &[("service", endpoint.gate.service()), ("reason", reason.code())], count);
        }
    }
    page
}

fn header(page: &mut String, name: &str, help: &str) {
    // Writing to a String cannot fail.
    let _ = writeln!(page, "# HELP {name} {help}\n# TYPE {name} counter");
}

fn line(page: &mut String, name: &str, labels: &[(&str, &str)], count: u64) {
    let labels: Vec<String> =
        labels.iter().map(|(label, value)| format!("{label}=\"{}\"", escape(value))).collect();
    let _ = writeln!(page, "{name}{{{}}} {count}", labels.join(","));
}

/// Label values escape `\`, `"` and line feeds.
fn escape(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn label_values_cannot_break_out() {
        assert_eq!(escape("a\"b\\c\nd"), "a\\\"b\\\\c\\nd");
    }
}
