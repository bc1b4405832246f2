//! `cargo xtask bench`: what the gate costs, measured in one run so that every figure has its yardstick beside it.
//!
//! Reads the gate's binary beside its own, writes `bench/bench.md` and `bench/bench.json` into the target folder, and
//! prints the table. Nothing is asserted about time; a call that is not answered as it should be ends the run.
#![forbid(unsafe_code)]

mod bridge;
mod failure;
mod gate;
mod issuer;
mod ledger;
#[cfg(feature = "lightning")]
mod lightning;
mod load;
mod money;
mod nginx;
mod process;
mod report;
mod request;
mod serve;
mod single;
mod stats;
mod tokens;
mod upstream;
mod wire;
mod work;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use tempfile::TempDir;

use failure::{Failure, Measured};
use issuer::Issuer;
use process::Processors;
use report::Report;

/// How long each row is measured in each round, in seconds, unless told otherwise.
const SECONDS: f64 = 2.0;

fn main() -> ExitCode {
    #[cfg(feature = "lightning")]
    if std::env::args().nth(1).as_deref() == Some("lightning") {
        return ended(lightning::run());
    }
    let mut words: Vec<String> = std::env::args().skip(1).collect();
    if words == ["single"] {
        return ended(run_single());
    }
    let only = words.first().filter(|word| matches!(word.as_str(), "ledger" | "bridge")).cloned();
    if only.is_some() {
        words.remove(0);
    }
    let seconds = words.first().map_or(Some(SECONDS), |text| text.parse().ok());
    let Some(seconds) = seconds.filter(|seconds| (0.01..=60.0).contains(seconds)) else {
        eprintln!(
            "usage: octroi-bench [ledger | bridge] [SECONDS] | single\n\nSECONDS each row is measured in each round, 0.01 to 60 ({SECONDS}); \
             ledger, bridge: only that part; single: only operations on their own, beside their bare cryptography"
        );
        return ExitCode::from(2);
    };
    let lasts = Duration::from_secs_f64(seconds);
    ended(match only.as_deref() {
        Some("ledger") => run_ledger(lasts),
        Some(_) => run_bridge(lasts),
        None => run(lasts),
    })
}

fn ended(run: Measured) -> ExitCode {
    match run {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("octroi-bench: {failure}");
            ExitCode::FAILURE
        }
    }
}

fn run(lasts: Duration) -> Measured {
    let here = std::env::current_exe().map_err(Failure::of("this program's own path"))?;
    let profile = here.parent().ok_or_else(|| Failure::new("this program stands in no folder"))?;
    let folder = profile.parent().unwrap_or(profile).join("bench");
    fs::create_dir_all(&folder).map_err(Failure::of("the folder of the report"))?;
    let scratch = tempfile::tempdir_in(&folder).map_err(Failure::of("a folder for the ledger"))?;

    let processors = Processors::share();
    let issuer = Issuer::start()?;
    let wire = wire::measure(&profile.join("octroi"), scratch.path(), &issuer, &processors, lasts)?;
    processors.free();
    let bridge = bridge::measure(&profile.join("octroi"), scratch.path(), &issuer, &processors, lasts)?;
    let ledger = ledger::measure(scratch.path(), lasts)?;
    let single = single::measure()?;
    let work = work::measure(&profile.join("octroi"), scratch.path(), &processors, lasts)?;
    let report = Report { machine: machine(&processors), wire, bridge, single, ledger, work };

    let text = report.to_markdown();
    write(&folder.join("bench.md"), &text)?;
    write(&folder.join("bench.json"), &format!("{:#}\n", report.to_json()))?;
    println!("{text}");
    Ok(())
}

/// Only single operations, printed and not kept.
fn run_single() -> Measured {
    let mut text = String::new();
    report::single(&mut text, &single::measure()?);
    println!("{text}");
    Ok(())
}

/// The folder this program stands in, and one within it for what a part of the table writes.
fn here() -> Measured<(PathBuf, TempDir)> {
    let here = std::env::current_exe().map_err(Failure::of("this program's own path"))?;
    let folder = here.parent().ok_or_else(|| Failure::new("this program stands in no folder"))?;
    let scratch = tempfile::tempdir_in(folder).map_err(Failure::of("a folder for what is written"))?;
    Ok((folder.to_owned(), scratch))
}

/// Only the bridge's part of the table, printed and not kept.
fn run_bridge(lasts: Duration) -> Measured {
    let (folder, scratch) = here()?;
    let processors = Processors::share();
    processors.free();
    let issuer = Issuer::start()?;
    let bridge = bridge::measure(&folder.join("octroi"), scratch.path(), &issuer, &processors, lasts)?;
    let mut text = String::new();
    report::agents(&mut text, &bridge);
    println!("{text}");
    Ok(())
}

/// Only the ledger's part of the table, printed and not kept.
fn run_ledger(lasts: Duration) -> Measured {
    let (_, scratch) = here()?;
    let rows = ledger::measure(scratch.path(), lasts)?;
    let mut text = String::new();
    report::ledger(&mut text, &rows);
    println!("{text}");
    Ok(())
}

fn write(path: &Path, text: &str) -> Measured {
    fs::write(path, text).map_err(Failure::of(&path.display().to_string()))
}

/// What the figures were measured on, in words.
fn machine(processors: &Processors) -> String {
    let read = |path| fs::read_to_string(path).unwrap_or_default();
    let cpus = read("/proc/cpuinfo");
    let model = cpus.lines().find_map(|line| line.strip_prefix("model name")?.split_once(':'));
    let model = model.map_or("unknown processor", |(_, name)| name.trim());
    let count = std::thread::available_parallelism().map_or(1, usize::from);
    let load = read("/proc/loadavg");
    let load = load.split_whitespace().next().unwrap_or("unknown");
    let layout = if processors.pinned {
        "the proxy has one processor to itself, load and upstream share another"
    } else {
        "processes were not kept on processors of their own"
    };
    format!("{count} × {model}; {layout}; load average at the end {load} (about 2 of it is this program).")
}
