//! Legacy sessions belong to whoever opened them.
//!
//! A session id is not a credential (MCP security best practices: sessions MUST NOT be used for authentication, and SHOULD be
//! bound to the user): whoever finds one must not be able to go on in somebody else's name. The gate remembers which principal
//! uses which session and answers everybody else as if there were no such session.
//!
//! What is remembered is bounded and lives as long as the process. A session that the gate does not know, because it was opened
//! without a token or before the gate was started anew, belongs to the first principal that uses it.

use std::hash::{BuildHasher, RandomState};

use http::{HeaderMap, StatusCode};
use octroi_identity::Caller;
use octroi_mcp::era::Era;
use octroi_mcp::headers::SESSION_ID;
use parking_lot::Mutex;

use crate::gate::Gate;
use crate::generations::Generations;
use crate::refusal::Refusal;

/// How many sessions are remembered per generation; when one is full the older one is forgotten.
const SESSIONS_MAX: usize = 65_536;

/// Who a session belongs to.
pub(crate) struct Sessions {
    hasher: RandomState,
    /// By a hash of the session's id.
    owners: Mutex<Generations<u64, [u8; 32]>>,
}

impl Default for Sessions {
    fn default() -> Self {
        Self { hasher: RandomState::new(), owners: Mutex::new(Generations::new(SESSIONS_MAX)) }
    }
}

/// The session of one request, and whose it is.
pub(crate) struct Session {
    id: Option<Box<[u8]>>,
    principal: Option<[u8; 32]>,
}

impl Gate {
    /// The session that a request goes on in, if it may.
    ///
    /// # Errors
    /// 404, as for a session that has ended (MCP 2025-11-25 basic/transports): the client opens one of its own.
    pub(crate) fn session(
        &self,
        named: Option<&[u8]>,
        era: Era,
        caller: Option<&Caller>,
    ) -> Result<Session, Box<Refusal>> {
        // Where nobody is identified, nobody's session can be told from another's; and later revisions have none.
        let id = named.filter(|_| era == Era::Legacy && self.identity().is_some());
        let principal = caller.map(|caller| caller.principal);
        if let Some(id) = id
            && !self.sessions.admits(id, principal.as_ref())
        {
            let text = "there is no such session; send initialize";
            return Err(Box::new(Refusal::malformed(StatusCode::NOT_FOUND, -32001, text)));
        }
        Ok(Session { id: id.map(Into::into), principal })
    }
}

impl Session {
    /// The server answered: a session that it opened belongs to who asked for it.
    pub(crate) fn opened(&self, gate: &Gate, reply: &HeaderMap) {
        if let (Some(id), Some(principal)) = (reply.get(SESSION_ID), &self.principal) {
            gate.sessions.admits(id.as_bytes(), Some(principal));
        }
    }

    /// The server ended the session.
    pub(crate) fn ended(&self, gate: &Gate) {
        if let Some(id) = &self.id {
            gate.sessions.forget(id);
        }
    }
}

impl Sessions {
    /// Whether `principal` may go on in the session `id`; binds a session that nobody owns to it.
    pub(crate) fn admits(&self, id: &[u8], principal: Option<&[u8; 32]>) -> bool {
        let key = self.hasher.hash_one(id);
        let mut owners = self.owners.lock();
        match (owners.used(&key).copied(), principal) {
            (Some(owner), Some(principal)) => owner == *principal,
            (Some(_), None) => false,
            (None, Some(principal)) => {
                owners.put(key, *principal);
                true
            }
            (None, None) => true,
        }
    }

    /// Forgets a session that has ended.
    pub(crate) fn forget(&self, id: &[u8]) {
        let key = self.hasher.hash_one(id);
        self.owners.lock().remove(&key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALICE: [u8; 32] = [1; 32];
    const MALLORY: [u8; 32] = [2; 32];

    #[test]
    fn a_session_belongs_to_its_first_principal() {
        let sessions = Sessions::default();
        assert!(sessions.admits(b"s", None), "nobody owns it yet");
        assert!(sessions.admits(b"s", Some(&ALICE)));
        assert!(sessions.admits(b"s", Some(&ALICE)));
        assert!(!sessions.admits(b"s", Some(&MALLORY)));
        assert!(!sessions.admits(b"s", None));
        assert!(sessions.admits(b"t", Some(&MALLORY)));
        sessions.forget(b"s");
        assert!(sessions.admits(b"s", Some(&MALLORY)));
    }

    #[test]
    fn the_table_stays_bounded_and_keeps_what_is_used() {
        let sessions = Sessions::default();
        assert!(sessions.admits(b"busy", Some(&ALICE)));
        for number in 0..3 * SESSIONS_MAX {
            assert!(sessions.admits(&number.to_be_bytes(), Some(&MALLORY)));
            if number % 1000 == 0 {
                assert!(!sessions.admits(b"busy", Some(&MALLORY)), "{number}");
            }
        }
        assert!(sessions.owners.lock().values().count() <= 2 * SESSIONS_MAX);
    }
}
