//! A call counted off a credential, until it is known to be made.

use std::sync::Arc;

use crate::{Bought, Purse};

/// A credential out of the purse with one of its calls counted off. The call is there again when this is dropped, unless it
/// was made: whoever wanted it may go away at any moment, and no answer is no charge until the server says so.
pub(crate) struct Taken {
    purse: Arc<Purse>,
    bought: Bought,
    made: bool,
}

impl Taken {
    /// A credential that a call was counted off.
    pub(crate) fn new(purse: &Arc<Purse>, bought: Bought) -> Self {
        Self { purse: Arc::clone(purse), bought, made: false }
    }

    pub(crate) fn bought(&self) -> &Bought {
        &self.bought
    }

    /// The call was made, or the credential is no longer there.
    pub(crate) fn is_made(&mut self) {
        self.made = true;
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        if self.made {
            return;
        }
        if let Err(error) = self.purse.give_back(&self.bought.hash()) {
            tracing::warn!(%error, "a call that was not made could not be put back into the purse");
        }
    }
}
