//! From a folder that lies open to a sealed one.
//!
//! The order is such that the process may die at any moment: the plain database goes only when the sealed one is whole, on
//! disk, and has its name; until then the conversion begins anew.

use std::fs::{self, File};
use std::io::ErrorKind;
use std::path::Path;

use ldk_node::io::sqlite_store::{KV_TABLE_NAME, SQLITE_DB_FILE_NAME};
use rusqlite::{Connection, OpenFlags, params};
use zeroize::Zeroizing;

use super::super::database::table;
use super::super::storage;
use super::{Keys, Place, Sealer, create, open};
use crate::{NodeError, Password};

/// The sealed database.
pub(in super::super) const SEALED_DB: &str = "octroi-sealed.sqlite";
/// It is written under this name first.
const SEALED_DB_NEXT: &str = "octroi-sealed.sqlite.new";
/// The seed of a node without a passphrase: ldk-node's own file.
pub(in super::super) const PLAIN_SEED: &str = "keys_seed";
/// What SQLite leaves beside a database.
const BESIDE: [&str; 4] = ["", "-journal", "-wal", "-shm"];

/// Seals what lies open in the folder, if anything does, and gives its keys; a folder without a node gets new ones.
///
/// # Errors
/// [`NodeError::Config`] when the passphrase is wrong; [`NodeError::Storage`]. Nothing is lost then.
pub(in super::super) fn convert(dir: &Path, passphrase: &Password) -> Result<Keys, NodeError> {
    let keys = match open(dir, passphrase)? {
        Some(keys) => keys,
        None if dir.join(SEALED_DB).exists() => {
            return Err(NodeError::Storage(format!(
                "{} has a sealed database, but not the keys to it ({})",
                dir.display(),
                super::KEY_FILE
            )));
        }
        None => {
            let keys = Keys::around(&*plain_seed(dir)?)?;
            create(dir, passphrase, &keys)?;
            keys
        }
    };
    let plain = dir.join(SQLITE_DB_FILE_NAME);
    if plain.exists() && !dir.join(SEALED_DB).exists() {
        remove(dir, SEALED_DB_NEXT)?;
        let rows = copy(&plain, &dir.join(SEALED_DB_NEXT), &keys.sealer()?).map_err(storage)?;
        fs::rename(dir.join(SEALED_DB_NEXT), dir.join(SEALED_DB)).map_err(storage)?;
        File::open(dir).and_then(|dir| dir.sync_all()).map_err(storage)?;
        tracing::info!(rows, "the Lightning node's store is encrypted now");
    }
    remove(dir, SQLITE_DB_FILE_NAME)?;
    remove(dir, PLAIN_SEED)?;
    Ok(keys)
}

/// The seed that lies open, or a new one.
fn plain_seed(dir: &Path) -> Result<Zeroizing<[u8; 64]>, NodeError> {
    match fs::read(dir.join(PLAIN_SEED)).map(Zeroizing::new) {
        Ok(bytes) => bytes
            .as_slice()
            .try_into()
            .map(Zeroizing::new)
            .map_err(|_| NodeError::Storage(format!("{PLAIN_SEED} is damaged"))),
        Err(error) if error.kind() == ErrorKind::NotFound && !dir.join(SQLITE_DB_FILE_NAME).exists() => {
            Ok(Zeroizing::new(ldk_node::generate_entropy_mnemonic(None).to_seed_normalized("")))
        }
        Err(error) => Err(NodeError::Storage(format!("{PLAIN_SEED}: {error}"))),
    }
}

/// Copies every record, sealed, and gives their number.
fn copy(from: &Path, to: &Path, sealer: &Sealer) -> Result<usize, Box<dyn std::error::Error>> {
    // To be written too: a journal that a crash left behind is played back first.
    let from = Connection::open_with_flags(from, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    let version: u32 =
        from.query_row("SELECT user_version FROM pragma_user_version", [], |row| row.get(0))?;
    let mut to = Connection::open(to)?;
    to.pragma_update(None, "user_version", version)?;
    let copying = to.transaction()?;
    copying.execute_batch(&table())?;
    let mut rows = 0;
    {
        let mut insert = copying.prepare(&format!("INSERT INTO {KV_TABLE_NAME} VALUES (?1, ?2, ?3, ?4)"))?;
        let mut select = from.prepare(&format!(
            "SELECT primary_namespace, secondary_namespace, key, value FROM {KV_TABLE_NAME}"
        ))?;
        let mut found = select.query([])?;
        while let Some(row) = found.next()? {
            let (primary, secondary, key): (String, String, String) = (row.get(0)?, row.get(1)?, row.get(2)?);
            let place = Place { primary: &primary, secondary: &secondary, key: &key };
            let (sealed, value) = (sealer.place(place)?, sealer.seal(place, row.get(3)?)?);
            insert.execute(params![sealed.primary, sealed.secondary, sealed.key, value])?;
            rows += 1;
        }
    }
    copying.commit()?;
    to.close().map_err(|(_, error)| error)?;
    Ok(rows)
}

fn remove(dir: &Path, name: &str) -> Result<(), NodeError> {
    for beside in BESIDE {
        match fs::remove_file(dir.join(format!("{name}{beside}"))) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(storage(error)),
            _ => {}
        }
    }
    Ok(())
}
