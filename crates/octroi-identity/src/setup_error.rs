//! What is wrong with a configuration of identity.

use thiserror::Error;

/// A configuration that cannot be used: the operator's to mend.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum SetupError {
    /// A trusted issuer whose every token would be accepted.
    #[error(
        "any token of {provider} would be accepted: say which subjects, or which values of which claims, such as the \
         repository"
    )]
    AnyWorkload {
        /// The preset.
        provider: &'static str,
    },
    /// The text is no certificate.
    #[error("the CA certificates cannot be read: {reason}")]
    Certificates {
        /// What the TLS library says.
        reason: String,
    },
    /// Two sets of rules for one issuer.
    #[error("the issuer {issuer} is configured twice")]
    IssuerTwice {
        /// The issuer.
        issuer: String,
    },
    /// A key set given as text cannot be read or has no usable key.
    #[error("the key set of {issuer} has no usable public key")]
    KeySet {
        /// Whose keys.
        issuer: String,
    },
    /// An audience, client or scope is the empty string.
    #[error("audiences, clients and scopes must not be empty strings")]
    Blank,
    /// Clients are to be checked, but the provider has no claim that names one.
    #[error("tokens of provider {provider} do not name their client: remove the list of clients")]
    ClientsNotNamed {
        /// The preset.
        provider: &'static str,
    },
    /// The HTTP client cannot be built on this machine.
    #[error("no HTTP client for the issuer: {reason}")]
    HttpClient {
        /// What the TLS or resolver library says.
        reason: String,
    },
    /// Plain HTTP to another machine.
    #[error("{url} is not encrypted: use https, or set allow_insecure_http if the network is trusted")]
    InsecureUrl {
        /// The offending URL.
        url: String,
    },
    /// No accepted algorithm.
    #[error("no signature algorithm is accepted: name at least one, such as RS256")]
    NoAlgorithm,
    /// No accepted audience.
    #[error("no audience: name the `aud` that tokens for this resource carry, usually its public URL")]
    NoAudience,
    /// Tokens without an audience, and no list of clients.
    #[error(
        "tokens of provider {provider} may name no audience: list the clients (or origins) they must be issued to, \
         or any application's token would open this resource"
    )]
    NoClients {
        /// The preset.
        provider: &'static str,
    },
    /// No accepted issuer.
    #[error("no issuer")]
    NoIssuer,
    /// The gate's own credential at the issuer is empty.
    #[error("the client id or secret of the gate at the issuer is empty")]
    NoGateCredential,
    /// The machine gives no randomness.
    #[error("the machine gives no randomness")]
    NoRandomness,
    /// An exchange for nothing.
    #[error("the exchange does not say for what: name {needs}")]
    NoTarget {
        /// What is missing.
        needs: &'static str,
    },
    /// No accepted `typ`.
    #[error("no token type is accepted: name at least one")]
    NoTokenType,
    /// Not an absolute http or https URL, or one with a user name, or an issuer with a query or fragment.
    #[error("{url} is not a usable URL")]
    NotAUrl {
        /// The offending URL.
        url: String,
    },
    /// A number outside its bounds.
    #[error("{field} must be between {min} and {max}")]
    OutOfBounds {
        /// The field.
        field: &'static str,
        /// The smallest accepted value.
        min: u64,
        /// The largest accepted value.
        max: u64,
    },
}
