//! Why an upstream gave no answer, or no whole one.

use std::{io, time::Duration};

use http::StatusCode;

/// Why a call got no answer, or lost it on the way. Never the caller's fault unless said so; no text holds a secret.
#[derive(Debug, thiserror::Error)]
pub enum UpstreamError {
    /// The server could not be reached: refused, unresolvable, TLS failed, or not within the connect timeout.
    #[error("the upstream cannot be reached")]
    Connect(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// Nothing came in time.
    #[error("the upstream did not begin to answer within {after:?}")]
    FirstByteTimeout {
        /// How long it was waited for.
        after: Duration,
    },
    /// An answer began and then stood still.
    #[error("the upstream stopped in the middle of an answer for {after:?}")]
    IdleTimeout {
        /// How long it stood still.
        after: Duration,
    },
    /// A JSON answer longer than allowed.
    #[error("the upstream's answer is longer than {max} bytes")]
    TooLarge {
        /// The bound in bytes.
        max: usize,
    },
    /// The connection broke, or what came is not HTTP.
    #[error("the upstream broke off the exchange")]
    Broken(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The server redirects. Redirects are never followed, nor handed on: the caller would take its credentials there.
    #[error("the upstream answered with a redirect ({status}); configure its final address")]
    Redirect {
        /// What it answered.
        status: StatusCode,
    },
    /// The program could not be started: the operator's configuration, or the machine is out of something.
    #[error("the upstream's program cannot be started")]
    Spawn(#[source] io::Error),
    /// The program ended before it answered.
    #[error("the upstream's program ended before it answered")]
    Exited,
    /// The reader of a stream was too slow for what the server sent.
    #[error("the stream was given up because its reader fell behind")]
    Lagged,
}

/// Settings that no upstream can be made of: the operator's configuration is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SettingsError {
    /// Not an absolute `http` or `https` URL with a host.
    #[error("the upstream must be an absolute http or https URL")]
    Url,
    /// The URL holds a user name or password, which would end up in logs.
    #[error("the upstream's URL must not hold a user name or password")]
    Credentials,
    /// No program to start.
    #[error("the upstream's command is empty")]
    Command,
}
