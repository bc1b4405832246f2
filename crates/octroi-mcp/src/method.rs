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

/// The class of a method, in whichever revision has it. Every `notifications/…` is a notification.
#[must_use]
pub fn class(method: &str) -> Class {
    match method {
        "tools/call" | "resources/read" | "prompts/get" => Class::Call,
        "initialize" | "server/discover" | "ping" | "logging/setLevel" => Class::Connection,
        "tools/list" | "prompts/list" | "resources/list" | "resources/templates/list" | "tasks/list" => {
            Class::List
        }
        "completion/complete" => Class::Completion,
        "subscriptions/listen" | "resources/subscribe" | "resources/unsubscribe" => Class::Subscription,
        "tasks/get" | "tasks/result" | "tasks/update" | "tasks/cancel" => Class::Task,
        other if other.starts_with("notifications/") => Class::Notification,
        _ => Class::Unknown,
    }
}

/// The subject of a request that may have a price; always there for a request of [`Class::Call`].
#[must_use]
pub fn subject<'m>(msg: &'m Message<'_>) -> Option<Subject<'m>> {
    match &*msg.method {
        "tools/call" => msg.params.name.as_deref().map(Subject::Tool),
        "resources/read" => msg.params.uri.as_deref().map(Subject::Resource),
        "prompts/get" => msg.params.name.as_deref().map(Subject::Prompt),
        _ => None,
    }
}

/// Whether legacy clients may send the method and 2026-07-28 clients may not (changelog of 2026-07-28).
#[must_use]
pub fn removed_in_modern(method: &str) -> bool {
    matches!(
        method,
        "initialize"
            | "ping"
            | "logging/setLevel"
            | "resources/subscribe"
            | "resources/unsubscribe"
            | "tasks/list"
            | "tasks/result"
            | "notifications/initialized"
            | "notifications/roots/list_changed"
            | "notifications/elicitation/complete"
    )
}

/// Whether clients of this era may send the method, extensions included. Any notification passes that was not removed.
#[must_use]
pub fn known(era: Era, method: &str) -> bool {
    match (era, class(method)) {
        (_, Class::Unknown) => false,
        (Era::Modern, _) => !removed_in_modern(method),
        (Era::Legacy, _) => !matches!(method, "server/discover" | "subscriptions/listen" | "tasks/update"),
    }
}

#[cfg(test)]
mod tests;
