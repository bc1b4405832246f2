//! The figures as a table for people and as JSON for programs.

use std::fmt::Write;

use serde_json::{Value, json};

use crate::{bridge, ledger, single, wire, work};

/// Everything one run has measured.
pub(crate) struct Report {
    pub(crate) machine: String,
    pub(crate) wire: wire::Wire,
    pub(crate) bridge: bridge::Bridge,
    pub(crate) single: Vec<single::Row>,
    pub(crate) ledger: ledger::Rows,
    pub(crate) work: work::Work,
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
        agents(&mut out, &self.bridge);
        single(&mut out, &self.single);
        ledger(&mut out, &self.ledger);
        proof_of_work(&mut out, &self.work);
        out
    }

    pub(crate) fn to_json(&self) -> Value {
        let single = self.single.iter().map(|row| {
            let beside = row.beside.map(|(name, ns)| json!({"name": name, "ns": ns}));
            json!({"name": row.name, "ns": row.ns, "beside": beside})
        });
        let ledger = self.ledger.rates.iter().map(rate);
        let growth = self.ledger.growth.iter().map(|growth| {
            json!({"credentials": growth.accounts, "memory_mib": growth.memory_mib, "file_mib": growth.file_mib, "holds": rate(&growth.row)})
        });
        json!({
            "machine": self.machine,
            "calls": self.wire.quick_tool.iter().map(call).collect::<Vec<_>>(),
            "calls_to_a_slow_tool": self.wire.slow_tool.iter().map(call).collect::<Vec<_>>(),
            "agents": bridge_json(&self.bridge),
            "operations": single.collect::<Vec<_>>(),
            "ledger": ledger.collect::<Vec<_>>(),
            "ledger_growth": growth.collect::<Vec<_>>(),
            "proof_of_work": work_json(&self.work),
        })
    }
}

fn rate(row: &ledger::Row) -> Value {
    json!({
        "name": row.name,
        "per_second": row.per_second,
        "p50_us": row.p50_us,
        "p99_us": row.p99_us,
        "share_of_ceiling": row.share,
    })
}

/// Single operations.
pub(crate) fn single(out: &mut String, rows: &[single::Row]) {
    out.push_str(
        "\n## Single operations\n\n| operation | ns | beside | ns | ratio |\n|---|---:|---|---:|---:|\n",
    );
    for row in rows {
        // Writing to a String cannot fail.
        let _ = match row.beside {
            Some((name, ns)) => {
                writeln!(out, "| {} | {:.0} | {name} | {ns:.0} | {:.2} |", row.name, row.ns, row.ns / ns)
            }
            None => writeln!(out, "| {} | {:.0} | | | |", row.name, row.ns),
        };
    }
}

/// The ledger's part of the table.
pub(crate) fn ledger(out: &mut String, rows: &ledger::Rows) {
    out.push_str(
        "\n## Ledger\n\nEach engine alone, charging in one transaction as many as there are callers, and the ledger on it.\n\n\
         | | per second | p50 µs | p99 µs | share |\n|---|---:|---:|---:|---:|\n",
    );
    for row in &rows.rates {
        let share = row.share.map(|share| format!("{share:.2}")).unwrap_or_default();
        let (name, rate) = (&row.name, row.per_second);
        // Writing to a String cannot fail.
        let _ = writeln!(out, "| {name} | {rate:.0} | {:.0} | {:.0} | {share} |", row.p50_us, row.p99_us);
    }
    out.push_str(
        "\nCredentials outstanding, spent from by 64 callers at once; in memory are at most 100 000.\n\n\
         | credentials | memory MiB | file MiB | holds a second | p50 µs | p99 µs |\n|---:|---:|---:|---:|---:|---:|\n",
    );
    for growth in &rows.growth {
        let (row, accounts) = (&growth.row, growth.accounts);
        let (memory, file) = (growth.memory_mib, growth.file_mib);
        let _ = writeln!(
            out,
            "| {accounts} | {memory:.0} | {file:.0} | {:.0} | {:.0} | {:.0} |",
            row.per_second, row.p50_us, row.p99_us
        );
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

/// The bridge's part of the table.
pub(crate) fn agents(out: &mut String, bridge: &bridge::Bridge) {
    out.push_str("\n## An agent's calls, by the Rust SDK\n\n| way | at once | calls/s | p50 µs | rate to direct |\n|---|---:|---:|---:|---:|\n");
    for row in &bridge.rows {
        let direct = bridge.rows.iter().find(|other| other.at_once == row.at_once);
        let ratio = row.calls_per_second / direct.map_or(row.calls_per_second, |row| row.calls_per_second);
        let bridge::Row { name, at_once, calls_per_second, p50_us } = row;
        // Writing to a String cannot fail.
        let _ = writeln!(out, "| {name} | {at_once} | {calls_per_second:.0} | {p50_us:.0} | {ratio:.2} |");
    }
    if bridge.waits.is_empty() {
        return;
    }
    out.push_str("\nSingle calls over the bridge, over a channel on this machine:\n\n| | p50 ms | worst ms |\n|---|---:|---:|\n");
    for bridge::Wait { name, p50_ms, worst_ms } in &bridge.waits {
        let _ = writeln!(out, "| {name} | {p50_ms:.1} | {worst_ms:.1} |");
    }
}

fn bridge_json(bridge: &bridge::Bridge) -> Value {
    let rows = bridge.rows.iter().map(|row| {
        json!({"name": row.name, "at_once": row.at_once, "calls_per_second": row.calls_per_second, "p50_us": row.p50_us})
    });
    let waits = bridge
        .waits
        .iter()
        .map(|wait| json!({"name": wait.name, "p50_ms": wait.p50_ms, "worst_ms": wait.worst_ms}));
    json!({"calls": rows.collect::<Vec<_>>(), "paid_calls": waits.collect::<Vec<_>>()})
}

fn proof_of_work(out: &mut String, work: &work::Work) {
    out.push_str("\n## Proof of work\n\n| | per second and core |\n|---|---:|\n");
    // Writing to a String cannot fail.
    let _ = writeln!(out, "| SHA-256 attempts, `octroi pow solve` | {:.1} million |", work.hashes / 1e6);
    if let Some(openssl) = work.openssl {
        let _ = writeln!(out, "| `openssl speed sha256`, one block each | {:.1} million |", openssl / 1e6);
        let _ = writeln!(out, "| ratio | {:.2} |", work.hashes / openssl);
    }
    for (name, rate) in &work.judged {
        let _ = writeln!(out, "| judged: {name} | {rate:.0} |");
    }
    let bytes = work.bytes_outstanding;
    let _ = writeln!(out, "\nMemory for each challenge handed out and not yet solved: {bytes:.2} bytes.");
    let bound = work::FLOOD_BOUND.as_secs_f64();
    let _ = writeln!(
        out,
        "\nHonest callers, from asking to holding a credential; the bound for 99 of 100 is {bound:.0} s:\n\n\
         | beside | nonsense/s | credentials | p50 ms | p99 ms | within the bound |\n|---|---:|---:|---:|---:|---|"
    );
    for waits in &work.waits {
        let within = if waits.grants > 0 && waits.p99_ms <= bound * 1e3 { "yes" } else { "NO" };
        let work::Waits { name, grants, flood_per_second, p50_ms, p99_ms } = waits;
        let _ = writeln!(
            out,
            "| {name} | {flood_per_second:.0} | {grants} | {p50_ms:.1} | {p99_ms:.1} | {within} |"
        );
    }
}

fn work_json(work: &work::Work) -> Value {
    let waits = work.waits.iter().map(|waits| {
        json!({
            "beside": waits.name,
            "nonsense_per_second": waits.flood_per_second,
            "credentials": waits.grants,
            "p50_ms": waits.p50_ms,
            "p99_ms": waits.p99_ms,
        })
    });
    let judged = work.judged.iter().map(|(name, rate)| json!({"name": name, "per_second": rate}));
    json!({
        "hashes_per_second": work.hashes,
        "openssl_hashes_per_second": work.openssl,
        "judged": judged.collect::<Vec<_>>(),
        "bytes_per_outstanding_challenge": work.bytes_outstanding,
        "bound_ms": work::FLOOD_BOUND.as_millis() as u64,
        "honest": waits.collect::<Vec<_>>(),
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
