//! Single operations, in this process, each beside the bare cryptography it cannot do without.

use std::hint::black_box;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::time::{Duration, Instant};

use octroi_mcp::{json, message};
use octroi_pow::{Binding, Difficulty, Request, Signer, solver};
use sha2::{Digest, Sha256};

use crate::failure::{Failure, Measured};
use crate::request::{PAID, body};
use crate::stats::median;
use crate::{money, tokens};

/// How long each operation is repeated.
const LASTS: Duration = Duration::from_millis(600);
/// How long one sample takes: many times what reading the clock does.
const SAMPLE: Duration = Duration::from_micros(200);
/// Difficulty of the puzzle, in bits: solved in a moment, and as much work to verify as any.
const PUZZLE_BITS: u32 = 12;
const SERVICE: &str = "bench";

/// One operation.
pub(crate) struct Row {
    pub(crate) name: &'static str,
    pub(crate) ns: f64,
    /// What it is compared with, and how long that takes.
    pub(crate) beside: Option<(&'static str, f64)>,
}

/// Measures all of them.
pub(crate) fn measure() -> Measured<Vec<Row>> {
    let mut rows = vec![envelope()?];
    rows.extend(money::measure()?);
    rows.extend(tokens::measure()?);
    rows.push(puzzle()?);
    Ok(rows)
}

/// The median time of one `operation`, in nanoseconds.
pub(crate) fn time<T>(mut operation: impl FnMut() -> T) -> f64 {
    let mut repeats = 1_u32;
    loop {
        let start = Instant::now();
        (0..repeats).for_each(|_| drop(black_box(operation())));
        if start.elapsed() >= SAMPLE {
            break;
        }
        repeats *= 2;
    }
    let until = Instant::now() + LASTS;
    let mut samples = Vec::new();
    while Instant::now() < until {
        let start = Instant::now();
        (0..repeats).for_each(|_| drop(black_box(operation())));
        samples.push(start.elapsed().as_nanos() as f64 / f64::from(repeats));
    }
    median(samples)
}

fn envelope() -> Measured<Row> {
    let (body, limits) = (body(PAID), json::Limits::default());
    message::scan(body.as_bytes(), &limits).map_err(Failure::of("the scan"))?;
    let ns = time(|| message::scan(black_box(body.as_bytes()), &limits));
    let bare = time(|| serde_json::from_slice::<serde_json::Value>(black_box(body.as_bytes())));
    Ok(Row { name: "envelope scan of a tools/call", ns, beside: Some(("serde_json to a tree", bare)) })
}

fn puzzle() -> Measured<Row> {
    let signer = Signer::new((0, [3; 32]));
    let difficulty = Difficulty::from_bits(PUZZLE_BITS).map_err(Failure::of("a difficulty"))?;
    let binding = Binding {
        tool: None,
        principal: None,
        arguments_digest: None,
        calls: 1,
        service: SERVICE.to_owned(),
    };
    let challenge = signer.issue(difficulty, binding, 0, 300, [4; 16]);
    let (cancel, progress) = (AtomicBool::new(false), AtomicU64::new(0));
    let nonce = solver::solve(&challenge.salt, difficulty.target(), solver::all_cores(), &cancel, &progress)
        .ok_or_else(|| Failure::new("the puzzle was not solved"))?;
    let request = Request { service: SERVICE, tool: None, principal: None, arguments_digest: None };
    let judge = || signer.verify(black_box(&challenge), black_box(&nonce), 1, &request);
    judge().map_err(Failure::of("a good solution"))?;
    let preimage = format!("{}{nonce}", challenge.salt);
    let bare = time(|| Sha256::digest(black_box(preimage.as_bytes())));
    Ok(Row { name: "proof of work", ns: time(judge), beside: Some(("its SHA-256 alone", bare)) })
}
