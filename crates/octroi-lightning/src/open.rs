//! The open invoices at a wallet that is asked about each of them: in memory, and in a file of one JSON object a line.

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
#[derive(Clone, Copy)]
pub(crate) struct Pauses {
    pub(crate) min: Duration,
    pub(crate) max: Duration,
}

impl Pauses {
    /// Where nothing but an answer tells of a payment.
    pub(crate) const ASKING: Self = Self { min: Duration::from_secs(1), max: Duration::from_secs(60) };
}

/// What the file says of an invoice.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct OpenRecord {
    /// Where to ask about it (LUD-21); empty where its hash is enough.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(crate) verify: String,
    pub(crate) amount_msat: i64,
    /// Unix seconds.
    #[serde(default)]
    pub(crate) created_at: u64,
    /// Unix seconds.
    pub(crate) expires_at: u64,
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
    /// `None` before the first question.
    pause: Option<Duration>,
}

pub(crate) struct OpenInvoices {
    path: PathBuf,
    state: Mutex<State>,
}

struct State {
    /// `None` where nothing is to outlive the process.
    file: Option<File>,
    entries: HashMap<PaymentHash, Entry>,
    /// Lines in the file, so that it is written anew when most of them are over.
    lines: usize,
}

impl OpenInvoices {
    pub(crate) fn load(path: PathBuf) -> Result<Self, NodeError> {
        let mut entries = HashMap::new();
        if let Ok(file) = File::open(&path) {
            for line in BufReader::new(file).lines() {
                // The last line may have been cut off as the gate died; its invoice never left.
                let Ok(line) = serde_json::from_str::<Line>(&line.map_err(storage)?) else { continue };
                let Ok(hash) = line.payment_hash.parse() else { continue };
                match line.record {
                    Some(record) => entries.insert(hash, Entry::new(record, Instant::now())),
                    None => entries.remove(&hash),
                };
            }
        }
        let now = unix_now();
        entries.retain(|_, entry| !entry.is_over(now));
        let file = write_anew(&path, &entries)?;
        let lines = entries.len();
        Ok(Self { path, state: Mutex::new(State { file: Some(file), entries, lines }) })
    }

    /// For whoever does not sell.
    pub(crate) fn in_memory() -> Self {
        let state = State { file: None, entries: HashMap::new(), lines: 0 };
        Self { path: PathBuf::new(), state: Mutex::new(state) }
    }

    pub(crate) fn has_room(&self) -> bool {
        let mut state = self.state.lock();
        if state.entries.len() >= OPEN_MAX {
            let now = unix_now();
            state.entries.retain(|_, entry| !entry.is_over(now));
        }
        state.entries.len() < OPEN_MAX
    }

    /// A new one, which is first asked about after `wait`.
    pub(crate) fn insert(
        &self,
        hash: PaymentHash,
        record: OpenRecord,
        wait: Duration,
    ) -> Result<(), NodeError> {
        let mut state = self.state.lock();
        state.note(&hash, Some(&record))?;
        state.entries.insert(hash, Entry::new(record, Instant::now() + wait));
        Ok(())
    }

    pub(crate) fn get(&self, hash: &PaymentHash) -> Option<OpenRecord> {
        self.state.lock().entries.get(hash).map(|entry| entry.record.clone())
    }

    /// When the oldest of them was made, in Unix seconds; `None` when there is none.
    pub(crate) fn oldest(&self) -> Option<u64> {
        let state = self.state.lock();
        let open = state.entries.values().filter(|entry| entry.ask.is_some());
        open.map(|entry| entry.record.created_at).min()
    }

    /// The other end may have missed to tell of any of them: each is asked about again.
    pub(crate) fn ask_all_now(&self, now: Instant) {
        for entry in self.state.lock().entries.values_mut().filter(|entry| entry.ask.is_some()) {
            (entry.ask, entry.pause) = (Some(now), None);
        }
    }

    /// Up to `most` invoices whose turn it is to be asked about.
    pub(crate) fn due(&self, now: Instant, most: usize, pauses: Pauses) -> Vec<(PaymentHash, OpenRecord)> {
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
                let pause = entry.pause.map_or(pauses.min, |pause| (pause * 2).min(pauses.max));
                (entry.ask, entry.pause) = (Some(now + pause), Some(pause));
                found.push((hash, entry.record.clone()));
            }
        }
        found
    }

    /// It is paid: nobody asks about it again in this run. In the next one it is found again, unless it is removed.
    pub(crate) fn settled(&self, hash: &PaymentHash) {
        if let Some(entry) = self.state.lock().entries.get_mut(hash) {
            entry.ask = None;
        }
    }

    /// The ledger has it.
    pub(crate) fn remove(&self, hash: &PaymentHash) -> Result<(), NodeError> {
        let mut state = self.state.lock();
        if state.entries.remove(hash).is_none() {
            return Ok(());
        }
        if state.file.is_some() && state.lines > 2 * state.entries.len() + 1000 {
            state.file = Some(write_anew(&self.path, &state.entries)?);
            state.lines = state.entries.len();
            return Ok(());
        }
        state.note(hash, None)
    }
}

impl State {
    fn note(&mut self, hash: &PaymentHash, record: Option<&OpenRecord>) -> Result<(), NodeError> {
        let Some(file) = &mut self.file else { return Ok(()) };
        let mut line = line(hash, record)?;
        line.push('\n');
        file.write_all(line.as_bytes()).and_then(|()| file.sync_data()).map_err(storage)?;
        self.lines += 1;
        Ok(())
    }
}

impl Entry {
    const fn new(record: OpenRecord, ask: Instant) -> Self {
        Self { record, ask: Some(ask), pause: None }
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
        OpenRecord { verify: "https://a/v".to_owned(), amount_msat: 1000, created_at: 5, expires_at }
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
            open.insert(hash(byte), record(if byte == 4 { 1 } else { u64::MAX }), Duration::ZERO).unwrap();
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
        let due = |at, most| open.due(at, most, Pauses::ASKING).len();
        let next = now + Pauses::ASKING.min;
        assert_eq!((due(now, 1), due(now, 10), due(now, 10)), (1, 1, 0), "each in its turn");
        assert_eq!((due(next, 10), due(next, 10)), (2, 0));
        open.ask_all_now(next);
        assert_eq!((due(next, 10), open.oldest()), (2, Some(5)));
    }
}
