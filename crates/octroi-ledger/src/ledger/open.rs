//! Opening a ledger, in either engine.

use std::path::Path;
use std::sync::Arc;

use super::{Inner, Ledger};
use crate::board::Board;
use crate::config::{LedgerConfig, Place, Store};
use crate::engine::postgres::{PostgresBoard, PostgresPlace};
use crate::engine::{Authority, Engine, postgres, sqlite};
use crate::entry::Recovery;
use crate::error::OpenError;
use crate::id::IdSource;
use crate::revocation::Revoked;
use crate::state::Shared;
use crate::writer;

impl Ledger {
    /// Opens the ledger, creates it where there is none, brings an older one forward, and voids every hold an earlier life
    /// left open. Blocks on the disk.
    ///
    /// # Errors
    /// See [`OpenError`]; a newer schema and a second writer are refused.
    pub fn open(config: LedgerConfig) -> Result<Self, OpenError> {
        check(&config)?;
        match &config.store.0 {
            Place::Sqlite(path) => Self::open_sqlite(path, &config),
            Place::Postgres(place) => Self::open_postgres(place, &config),
        }
    }

    fn open_postgres(place: &PostgresPlace, config: &LedgerConfig) -> Result<Self, OpenError> {
        let place = place.clone();
        // A thread of its own: whoever opens a ledger may be in an async task, where nothing else may block on one.
        let opened = std::thread::spawn(move || postgres::open(place)).join();
        let opened = opened.map_err(|_| OpenError::Postgres("opening it failed".to_owned()))??;
        tell(&opened.recovery);
        let mut salt = [0; 4];
        getrandom::fill(&mut salt).map_err(|_| OpenError::Random)?;
        let start = Start {
            authority: Authority::Database,
            ids: IdSource::salted(u32::from_be_bytes(salt)),
            revoked: Revoked::default(),
            recovery: opened.recovery,
        };
        Self::start(opened.engine, config, start)
    }

    fn open_sqlite(path: &Path, config: &LedgerConfig) -> Result<Self, OpenError> {
        let opened = sqlite::open(path, config.sizes())?;
        tell(&opened.recovery);
        let start = Start {
            authority: Authority::Memory,
            ids: IdSource::after(opened.last_id),
            revoked: opened.revoked,
            recovery: opened.recovery,
        };
        Self::start(opened.engine, config, start)
    }

    /// Starts the writer on an engine that stores to `config.path`.
    pub(crate) fn start(engine: impl Engine, config: &LedgerConfig, start: Start) -> Result<Self, OpenError> {
        let shared = Arc::new(Shared::new(config, start.authority, start.ids, start.revoked));
        writer::start(engine, &shared, config.batch, config.retry_after)?;
        let board = match &config.store.0 {
            Place::Sqlite(_) => None,
            Place::Postgres(place) => Some(Board(Arc::new(PostgresBoard::new((**place).clone())))),
        };
        let inner = Inner { shared, store: config.store.clone(), recovery: start.recovery, board };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Brings the schema of a ledger forward, or makes it; says which it was (0: none) and is. Blocks.
    ///
    /// # Errors
    /// See [`OpenError`]; a newer schema is refused, and a SQLite file somebody writes to.
    pub fn migrate(store: &Store) -> Result<(i64, i64), OpenError> {
        match &store.0 {
            Place::Sqlite(path) => sqlite::migrate(path),
            Place::Postgres(place) => postgres::migrate(place),
        }
    }
}

/// What an engine brings from an earlier life.
pub(crate) struct Start {
    pub(crate) authority: Authority,
    pub(crate) ids: IdSource,
    pub(crate) revoked: Revoked,
    pub(crate) recovery: Recovery,
}

fn tell(recovery: &Recovery) {
    if recovery.voided > 0 {
        tracing::warn!(?recovery, "holds of an earlier life were open and are voided");
    }
}

fn check(config: &LedgerConfig) -> Result<(), OpenError> {
    let settings = [
        ("queue", config.queue),
        ("batch", config.batch),
        ("cached_accounts", config.cached_accounts),
        ("settle_after", config.settle_after),
    ];
    match settings.into_iter().find(|(_, value)| *value == 0) {
        Some((setting, _)) => Err(OpenError::Setting { setting }),
        None => Ok(()),
    }
}
