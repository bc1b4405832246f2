//! The figures as a table for people and as JSON for programs.

use std::fmt::Write;

use serde_json::{Value, json};

use crate::{holds, single, wire};

/// Everything one run has measured.
pub(crate) struct Report {
    pub(crate) machine: String,
    pub(crate) wire: wire::Wire,
    pub(crate) single: Vec<single::Row>,
    pub(crate) holds: Vec<holds::Row>,
}

impl Report {
    pub(crate) fn to_markdown(&self) -> String {
        let mut out = format!("# Octroi, measured\n\n{}\n", self.machine);
        out.push_str(
            "\nMedians of three rounds in which the rows took turns. CPU is that of the proxy's process.\n",
        );
        out.push_str("\n## Calls, each answered at once\n\n");
        calls(&mut out, &self.wire.quick_tool);
        out.push_str("\n## Calls to a tool that takes 5 ms: what durability adds\n\n");
        calls(&mut out, &self.wire.slow_tool);
        out.push_str(
            "\n## Single operations\n\n| operation | ns | beside | ns | ratio |\n|---|---:|---|---:|---:|\n",
        );
        for row in &self.single {
            // Writing to a String cannot fail.
            let _ = match row.beside {
                Some((name, ns)) => {
                    writeln!(out, "| {} | {:.0} | {name} | {ns:.0} | {:.2} |", row.name, row.ns, row.ns / ns)
                }
                None => writeln!(out, "| {} | {:.0} | | | |", row.name, row.ns),
            };
        }
        out.push_str("\n## Ledger\n\n| | per second | p50 µs | p99 µs |\n|---|---:|---:|---:|\n");
        for row in &self.holds {
            let (name, rate) = (&row.name, row.per_second);
            let _ = writeln!(out, "| {name} | {rate:.0} | {:.0} | {:.0} |", row.p50_us, row.p99_us);
        }
        out
    }

    pub(crate) fn to_json(&self) -> Value {
        let single = self.single.iter().map(|row| {
            let beside = row.beside.map(|(name, ns)| json!({"name": name, "ns": ns}));
            json!({"name": row.name, "ns": row.ns, "beside": beside})
        });
        let ledger = self.holds.iter().map(|row| {
            json!({"name": row.name, "per_second": row.per_second, "p50_us": row.p50_us, "p99_us": row.p99_us})
        });
        json!({
            "machine": self.machine,
            "calls": self.wire.quick_tool.iter().map(call).collect::<Vec<_>>(),
            "calls_to_a_slow_tool": self.wire.slow_tool.iter().map(call).collect::<Vec<_>>(),
            "operations": single.collect::<Vec<_>>(),
            "ledger": ledger.collect::<Vec<_>>(),
        })
    }
}

fn call(row: &wire::Row) -> Value {
    json!({
        "name": row.name,
        "connections": row.connections,
        "calls": row.run.calls,
        "calls_per_second": row.run.calls_per_second,
        "p50_us": row.run.p50_us,
        "p99_us": row.run.p99_us,
        "cpu_us": row.cpu_us,
    })
}

fn calls(out: &mut String, rows: &[wire::Row]) {
    out.push_str("| way | connections | calls/s | p50 µs | p99 µs | CPU µs/call | rate to direct | rate to nginx | p50 over nginx µs |\n");
    out.push_str("|---|---:|---:|---:|---:|---:|---:|---:|---:|\n");
    for row in rows {
        let other =
            |name| rows.iter().find(|o: &&wire::Row| o.name == name && o.connections == row.connections);
        let ratio = |name| {
            other(name).map_or_else(String::new, |other| {
                format!("{:.2}", row.run.calls_per_second / other.run.calls_per_second)
            })
        };
        let added =
            other("nginx").map_or_else(String::new, |o| format!("{:+.0}", row.run.p50_us - o.run.p50_us));
        let cpu = row.cpu_us.map_or_else(String::new, |us| format!("{us:.1}"));
        let _ = writeln!(
            out,
            "| {} | {} | {:.0} | {:.0} | {:.0} | {cpu} | {} | {} | {added} |",
            row.name,
            row.connections,
            row.run.calls_per_second,
            row.run.p50_us,
            row.run.p99_us,
            ratio("direct"),
            ratio("nginx"),
        );
    }
}
