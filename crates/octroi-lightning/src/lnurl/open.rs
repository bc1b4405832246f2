//! The open invoices of an address: in memory, and in a file of one JSON object a line.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use octroi_l402::PaymentHash;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use crate::NodeError;
use crate::node::unix_now;

/// Most open invoices.
const OPEN_MAX: usize = 100_000;

/// How long an invoice is asked about after it expired, in seconds: a payee may take money late.
const AFTERWARDS_SECS: u64 = 2 * 3600;

/// The pause between two questions about one invoice: doubles from the first to the last.
const PAUSE_MIN: Duration = Duration::from_secs(1);
const PAUSE_MAX: Duration = Duration::from_secs(60);

/// What the file says of an invoice.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct OpenRecord {
    /// Where to ask about it (LUD-21).
    pub(super) verify: String,
    pub(super) amount_msat: i64,
    /// Unix seconds.
    pub(super) expires_at: u64,
}

/// A line of the file: the latest about a hash counts, and one without a record ends it.
#[derive(Serialize, Deserialize)]
struct Line {
    payment_hash: String,
    record: Option<OpenRecord>,
}

struct Entry {
    record: OpenRecord,
    /// When to ask next; `None` once it is settled and only waits for the ledger.
    ask: Option<Instant>,
    pause: Duration,
}

pub(super) struct OpenInvoices {
    path: PathBuf,
    state: Mutex<State>,
}

struct State {
    file: File,
    entries: HashMap<PaymentHash, Entry>,
    /// Lines in the file, so that it is written anew when most of them are over.
    lines: usize,
}

impl OpenInvoices {
    pub(super) fn load(path: PathBuf) -> Result<Self, NodeError> {
        let mut entries = HashMap::new();
        if let Ok(file) = File::open(&path) {
            for line in BufReader::new(file).lines() {
                // The last line may have been cut off as the gate died; its invoice never left.
                let Ok(line) = serde_json::from_str::<Line>(&line.map_err(storage)?) else { continue };
                let Ok(hash) = line.payment_hash.parse() else { continue };
                match line.record {
                    Some(record) => entries.insert(hash, Entry::new(record)),
                    None => entries.remove(&hash),
                };
            }
        }
        let now = unix_now();
        entries.retain(|_, entry| !entry.is_over(now));
        let file = write_anew(&path, &entries)?;
        let lines = entries.len();
        Ok(Self { path, state: Mutex::new(State { file, entries, lines }) })
    }

    pub(super) fn has_room(&self) -> bool {
        let mut state = self.state.lock();
        if state.entries.len() >= OPEN_MAX {
            let now = unix_now();
            state.entries.retain(|_, entry| !entry.is_over(now));
        }
        state.entries.len() < OPEN_MAX
    }

    pub(super) fn insert(&self, hash: PaymentHash, record: OpenRecord) -> Result<(), NodeError> {
        let mut state = self.state.lock();
        state.note(&hash, Some(&record))?;
        state.entries.insert(hash, Entry::new(record));
        Ok(())
    }

    pub(super) fn get(&self, hash: &PaymentHash) -> Option<OpenRecord> {
        self.state.lock().entries.get(hash).map(|entry| entry.record.clone())
    }

    /// Up to `most` invoices whose turn it is to be asked about.
    pub(super) fn due(&self, now: Instant, most: usize) -> Vec<(PaymentHash, OpenRecord)> {
        let mut state = self.state.lock();
        let unix = unix_now();
        state.entries.retain(|_, entry| !entry.is_over(unix));
        let mut due: Vec<(Instant, PaymentHash)> = state
            .entries
            .iter()
            .filter_map(|(hash, entry)| entry.ask.filter(|ask| *ask <= now).map(|ask| (ask, *hash)))
            .collect();
        due.sort_unstable();
        due.truncate(most);
        let mut found = Vec::with_capacity(due.len());
        for (_, hash) in due {
            if let Some(entry) = state.entries.get_mut(&hash) {
                entry.ask = Some(now + entry.pause);
                entry.pause = (entry.pause * 2).min(PAUSE_MAX);
                found.push((hash, entry.record.clone()));
            }
        }
        found
    }

    /// It is paid: nobody asks about it again in this run. In the next one it is found again, unless it is removed.
    pub(super) fn settled(&self, hash: &PaymentHash) {
        if let Some(entry) = self.state.lock().entries.get_mut(hash) {
            entry.ask = None;
        }
    }

    /// The ledger has it.
    pub(super) fn remove(&self, hash: &PaymentHash) -> Result<(), NodeError> {
        let mut state = self.state.lock();
        if state.entries.remove(hash).is_none() {
            return Ok(());
        }
        if state.lines > 2 * state.entries.len() + 1000 {
            state.file = write_anew(&self.path, &state.entries)?;
            state.lines = state.entries.len();
            return Ok(());
        }
        state.note(hash, None)
    }
}

impl State {
    fn note(&mut self, hash: &PaymentHash, record: Option<&OpenRecord>) -> Result<(), NodeError> {
        let mut line = line(hash, record)?;
        line.push('\n');
        self.file.write_all(line.as_bytes()).and_then(|()| self.file.sync_data()).map_err(storage)?;
        self.lines += 1;
        Ok(())
    }
}

impl Entry {
    fn new(record: OpenRecord) -> Self {
        Self { record, ask: Some(Instant::now()), pause: PAUSE_MIN }
    }

    /// Never while it waits for the ledger.
    const fn is_over(&self, now: u64) -> bool {
        self.ask.is_some() && self.record.expires_at.saturating_add(AFTERWARDS_SECS) < now
    }
}

fn line(hash: &PaymentHash, record: Option<&OpenRecord>) -> Result<String, NodeError> {
    let line = Line { payment_hash: hash.to_string(), record: record.cloned() };
    serde_json::to_string(&line).map_err(storage)
}

/// Beside the file first, then in its place: it is whole at every moment.
fn write_anew(path: &PathBuf, entries: &HashMap<PaymentHash, Entry>) -> Result<File, NodeError> {
    let beside = path.with_extension("new");
    let mut file = File::create(&beside).map_err(storage)?;
    for (hash, entry) in entries {
        writeln!(file, "{}", line(hash, Some(&entry.record))?).map_err(storage)?;
    }
    file.sync_all().map_err(storage)?;
    std::fs::rename(&beside, path).map_err(storage)?;
    OpenOptions::new().append(true).open(path).map_err(storage)
}

fn storage(error: impl std::fmt::Display) -> NodeError {
    NodeError::Storage(format!("the file of open invoices: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(expires_at: u64) -> OpenRecord {
        OpenRecord { verify: "https://a/v".to_owned(), amount_msat: 1000, expires_at }
    }

    fn hash(byte: u8) -> PaymentHash {
        PaymentHash::from_bytes([byte; 32])
    }

    #[test]
    fn what_is_open_survives_a_restart_and_what_is_booked_does_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("open.jsonl");
        let open = OpenInvoices::load(path.clone()).unwrap();
        for byte in 1..=4 {
            open.insert(hash(byte), record(if byte == 4 { 1 } else { u64::MAX })).unwrap();
        }
        open.settled(&hash(1));
        open.remove(&hash(2)).unwrap();
        open.remove(&hash(2)).unwrap();
        drop(open);
        // The gate died while it wrote.
        OpenOptions::new().append(true).open(&path).unwrap().write_all(b"{\"payment_ha").unwrap();

        let open = OpenInvoices::load(path).unwrap();
        assert_eq!(open.get(&hash(1)), Some(record(u64::MAX)), "settled, but the ledger never said so");
        assert_eq!(open.get(&hash(2)), None);
        assert_eq!(open.get(&hash(4)), None, "expired long ago");
        let now = Instant::now();
        assert_eq!(open.due(now, 1).len(), 1);
        assert_eq!(open.due(now, 10).len(), 1, "each in its turn");
        assert_eq!(open.due(now, 10).len(), 0);
        assert_eq!(open.due(now + PAUSE_MIN, 10).len(), 2);
        assert_eq!(open.due(now + PAUSE_MIN, 10).len(), 0);
    }
}
