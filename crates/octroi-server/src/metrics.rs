//! Prometheus text (exposition format 0.0.4). Labels are services and reason codes: never a caller, never a credential.

use std::fmt::Write;
use std::sync::Arc;

use octroi_gate::reconcile::Bookkeeper;
use octroi_gate::{Failure, Gate, Till, WorkDesk};
use octroi_pow::door::View;

use crate::clock::unix_seconds;
use crate::endpoint::Endpoint;
use crate::{lightning_metrics, lightning_pages, reconcile_pages};

/// One counter per endpoint.
type Counter = (&'static str, &'static str, fn(&Gate) -> Option<u64>);

const COUNTERS: [Counter; 7] = [
    ("octroi_calls_free_total", "Calls of tools, resources and prompts admitted free of charge.", |gate| {
        Some(gate.counters().admitted_free())
    }),
    ("octroi_calls_charged_total", "Calls admitted with a charge, captured or not.", |gate| {
        Some(gate.counters().admitted_charged())
    }),
    ("octroi_pow_issued_total", "Proof-of-work puzzles handed out.", |gate| {
        work(gate).map(|desk| desk.tallied(unix_seconds()).issued)
    }),
    ("octroi_pow_solved_total", "Proof-of-work puzzles redeemed.", |gate| {
        work(gate).map(|desk| desk.tallied(unix_seconds()).solved)
    }),
    ("octroi_pow_skipped_total", "Proof-of-work puzzles that ended without being redeemed.", |gate| {
        work(gate).map(|desk| desk.tallied(unix_seconds()).skipped)
    }),
    ("octroi_pow_calls_total", "Calls bought with proof of work.", |gate| {
        work(gate).map(|desk| desk.view().admitted)
    }),
    ("octroi_pow_turned_away_total", "Solutions turned away because the free door was full.", |gate| {
        work(gate).map(|desk| desk.view().shed)
    }),
];

/// One measure per free door.
type Gauge = (&'static str, &'static str, fn(&View) -> f64);

const GAUGES: [Gauge; 4] = [
    ("octroi_pow_difficulty_bits", "How hard a puzzle is now.", |view| view.bits),
    ("octroi_pow_capacity_calls_per_second", "Free calls that can be borne now.", |view| view.capacity),
    ("octroi_pow_solvers_hashes_per_second", "What solvers have spent lately.", |view| view.power),
    ("octroi_pow_calls_under_way", "Calls bought with proof of work that the upstream works on.", |view| {
        view.under_way as f64
    }),
];

fn work(gate: &Gate) -> Option<&WorkDesk> {
    gate.till().and_then(Till::work)
}

/// The metrics page.
pub(crate) fn render(endpoints: &[Arc<Endpoint>], bookkeeper: Option<&Bookkeeper>) -> String {
    let mut page = String::new();
    for (name, help, read) in COUNTERS {
        header(&mut page, name, (help, "counter"));
        for endpoint in endpoints {
            if let Some(count) = read(&endpoint.gate) {
                line(&mut page, name, &[("service", endpoint.gate.service())], count);
            }
        }
    }
    for (name, help, read) in GAUGES {
        header(&mut page, name, (help, "gauge"));
        for endpoint in endpoints {
            if let Some(desk) = work(&endpoint.gate) {
                line(&mut page, name, &[("service", endpoint.gate.service())], read(&desk.view()));
            }
        }
    }
    let name = "octroi_refusals_total";
    header(&mut page, name, ("Refusals by reason.", "counter"));
    for endpoint in endpoints {
        for (reason, count) in endpoint.gate.counters().refusals() {
            line(&mut page, name, &[("service", endpoint.gate.service()), ("reason", reason.code())], count);
        }
    }
    failures(&mut page, endpoints);
    if let Some(desk) = lightning_pages::desk(endpoints) {
        lightning_metrics::render(&mut page, desk);
    }
    if let Some(bookkeeper) = bookkeeper {
        reconcile_pages::metrics(&mut page, bookkeeper);
    }
    page
}

/// Payments that failed: those dealt with, and those answered with a wait.
fn failures(page: &mut String, endpoints: &[Arc<Endpoint>]) {
    let dealt = ("octroi_failed_payments_total", "Payments that failed, and invoices made.");
    let waits = ("octroi_failed_payments_refused_total", "The same, answered with a wait alone.");
    for (place, (name, help)) in [dealt, waits].into_iter().enumerate() {
        header(page, name, (help, "counter"));
        for endpoint in endpoints {
            let Some(till) = endpoint.gate.till() else { continue };
            for kind in Failure::ALL {
                let (dealt, refused) = till.failures(kind);
                let labels = [("service", endpoint.gate.service()), ("kind", kind.as_str())];
                line(page, name, &labels, if place == 0 { dealt } else { refused });
            }
        }
    }
}

fn header(page: &mut String, name: &str, (help, kind): (&str, &str)) {
    // Writing to a String cannot fail.
    let _ = writeln!(page, "# HELP {name} {help}\n# TYPE {name} {kind}");
}

fn line(page: &mut String, name: &str, labels: &[(&str, &str)], count: impl std::fmt::Display) {
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
