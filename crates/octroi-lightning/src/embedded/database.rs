//! The database under the node's store: one table in SQLite, written by one thread.
//!
//! Table and version are those of ldk-node's own store, so that either can open what the other left. Three things differ, and
//! each is about money:
//!
//! - Whatever waits is written in one transaction, with one flush. LDK writes a channel's state, tells the peer, and then writes its
//!   list of channels; a process that ends in between finds the channel ahead of the list, and closes it. The list must not queue up
//!   behind other records.
//! - The log of changes is flushed by each transaction (`WAL`, `synchronous = FULL`). A rollback journal is only unlinked, and that
//!   may be undone by a power cut: then the channel would be *behind* what the peer was told.
//! - When the disk takes no writes, records that LDK cannot do without wait until it does. Told of a failure, LDK would panic.

use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

use ldk_node::io::sqlite_store::KV_TABLE_NAME;
use parking_lot::Mutex;
use rusqlite::{Connection, OptionalExtension, params};
use tokio::sync::{oneshot, watch};

use super::disk::{Disk, RecordKind};
use super::sealed::SealedPlace;

/// The version of the table's form (`user_version`), as in ldk-node 0.7.
const FORM: u32 = 2;

/// Most records in one transaction.
const BATCH_MAX: usize = 256;

/// Most records waiting to be written; then whoever writes waits for room.
const WAITING_MAX: usize = 1024;

/// How often a disk that takes no writes is tried again.
const RETRY: Duration = Duration::from_millis(500);

/// A database, open until it is [closed](Self::close) or dropped.
pub(super) struct Database {
    connection: Arc<Mutex<Option<Connection>>>,
    writer: Mutex<Option<(mpsc::SyncSender<Change>, JoinHandle<()>)>>,
    state: Arc<State>,
}

struct State {
    /// Why the disk takes no writes, while it takes none.
    stalled: watch::Sender<Option<String>>,
    closing: AtomicBool,
}

/// A record that changes, in the form in which it stands in the database.
struct Change {
    kind: RecordKind,
    place: SealedPlace,
    /// `None`: it goes.
    value: Option<Vec<u8>>,
    done: Done,
}

/// Who is told that it is on disk. They may have gone.
enum Done {
    Thread(mpsc::SyncSender<io::Result<()>>),
    Task(oneshot::Sender<io::Result<()>>),
}

impl Done {
    fn tell(self, result: io::Result<()>) {
        match self {
            Self::Thread(to) => drop(to.send(result)),
            Self::Task(to) => drop(to.send(result)),
        }
    }
}

impl Database {
    /// Opens the database, or makes it.
    ///
    /// # Errors
    /// When the file cannot be written, is no database, or is of another version.
    pub(super) fn open(path: &Path, disk: Option<Disk>) -> io::Result<Self> {
        let connection = Arc::new(Mutex::new(Some(connect(path).map_err(failed)??)));
        let (changes, waiting) = mpsc::sync_channel(WAITING_MAX);
        let state = Arc::new(State { stalled: watch::Sender::new(None), closing: AtomicBool::new(false) });
        let writer = Writer { connection: Arc::clone(&connection), state: Arc::clone(&state), disk };
        let writer = std::thread::Builder::new()
            .name("lightning-store".to_owned())
            .spawn(move || writer.run(&waiting))?;
        Ok(Self { connection, writer: Mutex::new(Some((changes, writer))), state })
    }

    /// A record's value; [`io::ErrorKind::NotFound`] where there is none, and only then.
    pub(super) fn read(&self, place: &SealedPlace) -> io::Result<Vec<u8>> {
        let connection = self.connection.lock();
        let connection = connection.as_ref().ok_or_else(closed)?;
        let mut statement = connection
            .prepare_cached(&format!(
                "SELECT value FROM {KV_TABLE_NAME} WHERE primary_namespace = ?1 AND secondary_namespace = ?2 AND key = ?3"
            ))
            .map_err(failed)?;
        let found = statement.query_row(params![place.primary, place.secondary, place.key], |row| row.get(0));
        found.optional().map_err(failed)?.ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    /// The keys under a pair of namespaces.
    pub(super) fn list(&self, primary: &str, secondary: &str) -> io::Result<Vec<String>> {
        let connection = self.connection.lock();
        let connection = connection.as_ref().ok_or_else(closed)?;
        let mut statement = connection
            .prepare_cached(&format!(
                "SELECT key FROM {KV_TABLE_NAME} WHERE primary_namespace = ?1 AND secondary_namespace = ?2"
            ))
            .map_err(failed)?;
        let keys = statement.query_map([primary, secondary], |row| row.get(0)).map_err(failed)?;
        keys.collect::<Result<_, _>>().map_err(failed)
    }

    /// Changes a record, and waits until it is on disk.
    pub(super) fn change(
        &self,
        kind: RecordKind,
        place: SealedPlace,
        value: Option<Vec<u8>>,
    ) -> io::Result<()> {
        let (done, told) = mpsc::sync_channel(1);
        self.send(Change { kind, place, value, done: Done::Thread(done) })?;
        told.recv().unwrap_or_else(|_| Err(closed()))
    }

    /// Takes a change in, in the order of the calls; what is given back waits until it is on disk.
    pub(super) fn change_later(
        &self,
        kind: RecordKind,
        place: SealedPlace,
        value: Option<Vec<u8>>,
    ) -> impl Future<Output = io::Result<()>> + Send + 'static {
        let (done, told) = oneshot::channel();
        let sent = self.send(Change { kind, place, value, done: Done::Task(done) });
        async move {
            sent?;
            told.await.unwrap_or_else(|_| Err(closed()))
        }
    }

    /// Why the disk takes no writes, while it takes none.
    pub(super) fn stalled(&self) -> watch::Receiver<Option<String>> {
        self.state.stalled.subscribe()
    }

    /// Writes what waits, unless the disk takes no writes, and closes the file. From then on nothing is read or written: ldk-node
    /// lets its store go late, if at all, and whoever opens the folder next must be alone.
    pub(super) fn close(&self) {
        self.state.closing.store(true, Ordering::Release);
        if let Some((changes, writer)) = self.writer.lock().take() {
            drop(changes);
            let _ = writer.join();
        }
        drop(self.connection.lock().take());
    }

    fn send(&self, change: Change) -> io::Result<()> {
        let changes = self.writer.lock().as_ref().map(|(changes, _)| changes.clone());
        changes.ok_or_else(closed)?.send(change).map_err(|_| closed())
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        self.close();
    }
}

/// The inner error is for a file of another version.
fn connect(path: &Path) -> rusqlite::Result<io::Result<Connection>> {
    let connection = Connection::open(path)?;
    // Before the log is first used: no memory shared with others is needed then, which not every file system has.
    connection.pragma_update(None, "locking_mode", "EXCLUSIVE")?;
    connection.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(()))?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    let form: u32 =
        connection.query_row("SELECT user_version FROM pragma_user_version", [], |row| row.get(0))?;
    if form != 0 && form != FORM {
        let why = format!("{}: a database of another version ({form})", path.display());
        return Ok(Err(io::Error::new(io::ErrorKind::InvalidData, why)));
    }
    connection.execute_batch(&format!("BEGIN; PRAGMA user_version = {FORM}; {}; COMMIT", table()))?;
    Ok(Ok(connection))
}

/// The table, in ldk-node's words.
pub(super) fn table() -> String {
    format!(
        "CREATE TABLE IF NOT EXISTS {KV_TABLE_NAME} (primary_namespace TEXT NOT NULL, secondary_namespace TEXT DEFAULT \"\" NOT NULL, \
         key TEXT NOT NULL CHECK (key <> ''), value BLOB, PRIMARY KEY (primary_namespace, secondary_namespace, key))"
    )
}

struct Writer {
    connection: Arc<Mutex<Option<Connection>>>,
    state: Arc<State>,
    disk: Option<Disk>,
}

impl Writer {
    /// Until the database is closed.
    fn run(&self, waiting: &mpsc::Receiver<Change>) {
        while let Ok(first) = waiting.recv() {
            let mut batch = vec![first];
            while !batch.is_empty() {
                let room = BATCH_MAX.saturating_sub(batch.len());
                batch.extend(waiting.try_iter().take(room));
                batch = self.write(batch);
            }
        }
    }

    /// Writes these, and gives back those that have to be tried again, some time later.
    fn write(&self, batch: Vec<Change>) -> Vec<Change> {
        let Err(error) = self.commit(&batch) else {
            if self.state.stalled.send_replace(None).is_some() {
                tracing::warn!("the Lightning node's disk takes writes again");
            }
            batch.into_iter().for_each(|change| change.done.tell(Ok(())));
            return Vec::new();
        };
        let give_up = self.state.closing.load(Ordering::Acquire);
        let (vital, others): (Vec<_>, Vec<_>) =
            batch.into_iter().partition(|change| change.kind.is_vital() && !give_up);
        for change in others {
            change.done.tell(Err(io::Error::new(error.kind(), error.to_string())));
        }
        if !vital.is_empty() {
            if self.state.stalled.send_replace(Some(error.to_string())).is_none() {
                tracing::error!(%error, "the Lightning node's disk takes no writes; the node stands still until it does");
            }
            std::thread::sleep(RETRY);
        }
        vital
    }

    fn commit(&self, batch: &[Change]) -> io::Result<()> {
        let kinds: Vec<RecordKind> = batch.iter().map(|change| change.kind).collect();
        if let Some(Disk(disk)) = &self.disk {
            disk.writing(&kinds)?;
        }
        transaction(self.connection.lock().as_mut().ok_or_else(closed)?, batch).map_err(failed)?;
        if let Some(Disk(disk)) = &self.disk {
            disk.written(&kinds);
        }
        Ok(())
    }
}

fn transaction(connection: &mut Connection, batch: &[Change]) -> rusqlite::Result<()> {
    let changing = connection.transaction()?;
    for Change { place: SealedPlace { primary, secondary, key }, value, .. } in batch {
        match value {
            Some(value) => changing
                .prepare_cached(&format!("INSERT OR REPLACE INTO {KV_TABLE_NAME} VALUES (?1, ?2, ?3, ?4)"))?
                .execute(params![primary, secondary, key, value])?,
            None => changing
                .prepare_cached(&format!(
                    "DELETE FROM {KV_TABLE_NAME} WHERE primary_namespace = ?1 AND secondary_namespace = ?2 AND key = ?3"
                ))?
                .execute(params![primary, secondary, key])?,
        };
    }
    changing.commit()
}

/// SQLite's words name tables and files, never what is in them.
fn failed(error: rusqlite::Error) -> io::Error {
    let kind = match error.sqlite_error_code() {
        Some(rusqlite::ErrorCode::DiskFull) => io::ErrorKind::StorageFull,
        Some(rusqlite::ErrorCode::ReadOnly) => io::ErrorKind::ReadOnlyFilesystem,
        Some(rusqlite::ErrorCode::NotADatabase | rusqlite::ErrorCode::DatabaseCorrupt) => {
            io::ErrorKind::InvalidData
        }
        _ => io::ErrorKind::Other,
    };
    io::Error::new(kind, error.to_string())
}

fn closed() -> io::Error {
    io::Error::other("the Lightning node's store is closed")
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use super::*;

    fn place(key: &str) -> SealedPlace {
        SealedPlace { primary: "p".to_owned(), secondary: "s".to_owned(), key: key.to_owned() }
    }

    /// Full until it was tried so often; counts transactions.
    #[derive(Default)]
    struct Full {
        refuses: AtomicUsize,
        transactions: AtomicUsize,
    }

    impl super::super::disk::FaultyDisk for Full {
        fn writing(&self, _: &[RecordKind]) -> io::Result<()> {
            let left = self.refuses.load(Ordering::Acquire);
            if left == 0 {
                return Ok(());
            }
            self.refuses.store(left - 1, Ordering::Release);
            Err(io::ErrorKind::StorageFull.into())
        }

        fn written(&self, _: &[RecordKind]) {
            self.transactions.fetch_add(1, Ordering::AcqRel);
        }
    }

    #[test]
    fn what_the_channels_need_waits_for_a_full_disk_and_the_rest_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let full = Arc::new(Full::default());
        let path = dir.path().join("db");
        let database = Database::open(&path, Some(Disk::new(Arc::<Full>::clone(&full)))).unwrap();
        full.refuses.store(1, Ordering::Release);
        let told = database.change(RecordKind::Other, place("a"), Some(b"1".to_vec())).unwrap_err();
        assert_eq!((told.kind(), database.stalled().borrow().clone()), (io::ErrorKind::StorageFull, None));

        full.refuses.store(2, Ordering::Release);
        std::thread::scope(|scope| {
            let vital = scope.spawn(|| database.change(RecordKind::Channel, place("b"), Some(b"2".to_vec())));
            while database.stalled().borrow().is_none() {
                std::thread::yield_now();
            }
            vital.join().unwrap().unwrap();
        });
        assert_eq!(*database.stalled().borrow(), None);
        assert_eq!(database.read(&place("b")).unwrap(), b"2");
        assert_eq!(database.read(&place("a")).unwrap_err().kind(), io::ErrorKind::NotFound);

        // A database that is closed while the disk is full gives up.
        full.refuses.store(usize::MAX, Ordering::Release);
        let never = database.change_later(RecordKind::Channels, place("c"), Some(b"3".to_vec()));
        drop(database);
        full.refuses.store(0, Ordering::Release);
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        assert!(runtime.block_on(never).is_err());
        assert!(Database::open(&path, None).unwrap().read(&place("c")).is_err());
    }

    #[test]
    fn changes_are_made_in_order_and_in_few_transactions() {
        let dir = tempfile::tempdir().unwrap();
        let counting = Arc::new(Full::default());
        let disk = Disk::new(Arc::<Full>::clone(&counting));
        let database = Database::open(&dir.path().join("db"), Some(disk)).unwrap();
        let holding = database.connection.lock();
        let mut waiting = vec![database.change_later(RecordKind::Other, place("first"), Some(Vec::new()))];
        for number in 0..100_u32 {
            let value = (number % 10 != 9).then(|| number.to_string().into_bytes());
            waiting.push(database.change_later(RecordKind::Channels, place("same"), value));
        }
        waiting.push(database.change_later(RecordKind::Other, place("same"), Some(b"last".to_vec())));
        drop(holding);
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            for told in waiting {
                told.await.unwrap();
            }
        });
        assert_eq!(database.read(&place("same")).unwrap(), b"last");
        assert!(counting.transactions.load(Ordering::Acquire) <= 2, "those that wait share one");
        let mut keys = database.list("p", "s").unwrap();
        keys.sort_unstable();
        assert_eq!(keys, ["first", "same"]);
    }

    #[test]
    fn files_that_are_none_of_ours_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("db");
        std::fs::write(&path, [7; 8192]).unwrap();
        assert_eq!(Database::open(&path, None).err().unwrap().kind(), io::ErrorKind::InvalidData);
        std::fs::remove_file(&path).unwrap();
        Connection::open(&path).unwrap().pragma_update(None, "user_version", 9).unwrap();
        assert_eq!(Database::open(&path, None).err().unwrap().kind(), io::ErrorKind::InvalidData);
        assert!(Database::open(&dir.path().join("none/db"), None).is_err());
    }

    #[test]
    fn ldk_nodes_own_store_and_this_one_open_each_others_files() {
        use ldk_node::io::sqlite_store::SqliteStore;
        use ldk_node::lightning::util::persist::KVStoreSync;
        let dir = tempfile::tempdir().unwrap();
        let theirs = || {
            SqliteStore::new(dir.path().to_owned(), Some("db".to_owned()), Some(KV_TABLE_NAME.to_owned()))
                .unwrap()
        };
        KVStoreSync::write(&theirs(), "p", "s", "k", b"old".to_vec()).unwrap();
        let ours = Database::open(&dir.path().join("db"), None).unwrap();
        assert_eq!(ours.read(&place("k")).unwrap(), b"old");
        ours.change(RecordKind::Channel, place("k"), Some(b"new".to_vec())).unwrap();
        drop(ours);
        assert_eq!(KVStoreSync::read(&theirs(), "p", "s", "k").unwrap(), b"new");
    }
}
