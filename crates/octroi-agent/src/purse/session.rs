//! Signed-in sessions, sealed: one per endpoint.

use rusqlite::{OptionalExtension, params};
use serde::Serialize;
use serde::de::DeserializeOwned;
use zeroize::Zeroizing;

use super::{Purse, PurseError, TERMS_MAX, seconds};

impl Purse {
    /// The session kept for `endpoint`. One that cannot be read any more is none.
    pub(crate) fn session<T: DeserializeOwned>(&self, endpoint: &str) -> Result<Option<T>, PurseError> {
        let sql = "SELECT sealed FROM sessions WHERE endpoint = ?1";
        let sealed: Option<Vec<u8>> =
            self.quick().prepare_cached(sql)?.query_row([endpoint], |row| row.get(0)).optional()?;
        let Some(sealed) = sealed else { return Ok(None) };
        let plain = self.vault.open_sealed(&place(endpoint), &sealed)?;
        Ok(serde_json::from_slice(&plain).ok())
    }

    /// Keeps a session for `endpoint` in place of the one before.
    pub(crate) fn keep_session(
        &self,
        endpoint: &str,
        session: &impl Serialize,
        now: u64,
    ) -> Result<(), PurseError> {
        let plain = serde_json::to_vec(session).map(Zeroizing::new);
        let plain = plain.map_err(|error| PurseError::Format(error.to_string()))?;
        let sealed = self.vault.seal(&place(endpoint), &plain)?;
        let careful = self.careful();
        let sql = "INSERT OR REPLACE INTO sessions VALUES (?1, ?2, ?3)";
        careful.prepare_cached(sql)?.execute(params![endpoint, sealed, seconds(now)])?;
        let old = "DELETE FROM sessions WHERE seen_at < (SELECT seen_at FROM sessions ORDER BY seen_at DESC LIMIT 1 OFFSET ?1)";
        careful.prepare_cached(old)?.execute([TERMS_MAX])?;
        Ok(())
    }

    /// Forgets the session of `endpoint`: signed out. Whether there was one.
    ///
    /// # Errors
    /// [`PurseError`].
    pub fn forget_session(&self, endpoint: &str) -> Result<bool, PurseError> {
        Ok(self.careful().execute("DELETE FROM sessions WHERE endpoint = ?1", [endpoint])? > 0)
    }

    /// The endpoints with a session.
    ///
    /// # Errors
    /// [`PurseError`].
    pub fn signed_in(&self) -> Result<Vec<String>, PurseError> {
        let quick = self.quick();
        let mut select = quick.prepare_cached("SELECT endpoint FROM sessions ORDER BY endpoint")?;
        Ok(select.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?)
    }
}

fn place(endpoint: &str) -> String {
    format!("session {endpoint}")
}
