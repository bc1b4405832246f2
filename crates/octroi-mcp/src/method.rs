//! What a method is, as far as a gate must know.
use crate::{era::Era, message::Message};

/// What a method does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Class {
    /// `initialize`, `server/discover`, `ping`, `logging/setLevel`: about the connection.
    Connection,
    /// Any `notifications/…`.
    Notification,
    /// `tools/list`, `prompts/list`, `resources/list`, `resources/templates/list`, `tasks/list`.
    List,
    /// `tools/call`, `resources/read`, `prompts/get`: may have a price.
    Call,
    /// `completion/complete`.
    Completion,
    /// `subscriptions/listen`, `resources/subscribe`, `resources/unsubscribe`.
    Subscription,
    /// `tasks/get`, `tasks/result`, `tasks/update`, `tasks/cancel`.
    Task,
    /// Not a method of any revision served.
    Unknown,
}

impl Class {
    /// Whether it is never charged and never refused for lack of money.
    #[must_use]
    pub fn never_charged(self) -> bool {
        !matches!(self, Self::Call | Self::Unknown)
    }
}

/// What a [`Class::Call`] is about: the thing a price is put on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Subject<'m> {
    /// `tools/call`, by `params.name`.
    Tool(&'m str),
    /// `resources/read`, by `params.uri`.
    Resource(&'m str),
    /// `prompts/get`, by `params.name`.
    Prompt(&'m str),
}

/// The class of a method.
#[must_use]
pub fn class(_method: &str) -> Class {
    todo!()
}

/// The subject of a request that may have a price.
#[must_use]
pub fn subject<'m>(_msg: &'m Message<'_>) -> Option<Subject<'m>> {
    todo!()
}

/// Whether the method existed and was removed by 2026-07-28.
#[must_use]
pub fn removed_in_modern(_method: &str) -> bool {
    todo!()
}

/// Whether clients of this era may send the method.
#[must_use]
pub fn known(_era: Era, _method: &str) -> bool {
    todo!()
}
