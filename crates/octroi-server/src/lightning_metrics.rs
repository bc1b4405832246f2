//! The Lightning node in Prometheus text.

use std::fmt::Write;

use octroi_gate::invoices::{Alert, Class, InvoiceDesk, Latencies};
use octroi_l402::Msat;

/// Milliseconds as Prometheus' seconds.
fn seconds(ms: u64) -> f64 {
    ms as f64 / 1000.0
}

/// Writing to a String cannot fail.
pub(crate) fn render(page: &mut String, desk: &InvoiceDesk) {
    let balances = desk.balances();
    let gauges = [
        (
            "octroi_lightning_up",
            "Whether the node answered when it was last asked.",
            Some(i64::from(desk.is_up())),
        ),
        (
            "octroi_lightning_inbound_msat",
            "What the node can receive.",
            balances.and_then(|balances| balances.inbound).map(Msat::as_i64),
        ),
        (
            "octroi_lightning_outbound_msat",
            "What the node can send.",
            balances.map(|balances| balances.outbound.as_i64()),
        ),
        (
            "octroi_invoices_in_stock",
            "Invoices made ahead and not handed out.",
            i64::try_from(desk.in_stock()).ok(),
        ),
    ];
    for (name, help, value) in gauges {
        if let Some(value) = value {
            let _ = writeln!(page, "# HELP {name} {help}\n# TYPE {name} gauge\n{name} {value}");
        }
    }
    let _ = writeln!(page, "# HELP octroi_alert Whether an alert is on.\n# TYPE octroi_alert gauge");
    for alert in Alert::ALL {
        let _ =
            writeln!(page, "octroi_alert{{alert=\"{}\"}} {}", alert.as_str(), u8::from(desk.alert(alert).0));
    }
    let name = "octroi_alerts_total";
    let _ = writeln!(page, "# HELP {name} How often an alert was raised.\n# TYPE {name} counter");
    for alert in Alert::ALL {
        let _ = writeln!(page, "{name}{{alert=\"{}\"}} {}", alert.as_str(), desk.alert(alert).1);
    }
    invoices(page, desk);
    histogram(page, "octroi_invoice_seconds", "How long invoices took to be made.", desk.making());
    histogram(
        page,
        "octroi_settlement_seconds",
        "How long settlements took from the node to the ledger.",
        desk.settling(),
    );
}

/// A name, its kind, its words, and what is read of a class.
type Column = (&'static str, &'static str, &'static str, fn((u64, u64, usize)) -> u64);

fn invoices(page: &mut String, desk: &InvoiceDesk) {
    let columns: [Column; 3] = [
        ("octroi_invoices_total", "counter", "Invoices handed out.", |(made, ..)| made),
        (
            "octroi_invoices_refused_total",
            "counter",
            "Wishes refused for the allowance's sake.",
            |(_, no, _)| no,
        ),
        ("octroi_invoices_open", "gauge", "Unexpired invoices.", |(.., open)| open as u64),
    ];
    for (name, kind, help, read) in columns {
        let _ = writeln!(page, "# HELP {name} {help}\n# TYPE {name} {kind}");
        for class in Class::ALL {
            let _ = writeln!(page, "{name}{{class=\"{}\"}} {}", class.as_str(), read(desk.counts(class)));
        }
    }
}

fn histogram(page: &mut String, name: &str, help: &str, latencies: &Latencies) {
    let (buckets, count) = latencies.cumulative();
    let _ = writeln!(page, "# HELP {name} {help}\n# TYPE {name} histogram");
    for (end_ms, up_to) in buckets {
        let _ = writeln!(page, "{name}_bucket{{le=\"{}\"}} {up_to}", seconds(end_ms));
    }
    let _ = writeln!(page, "{name}_bucket{{le=\"+Inf\"}} {count}");
    let _ = writeln!(page, "{name}_sum {}\n{name}_count {count}", seconds(latencies.sum_ms()));
}
