//! One issuer's tokens: who vouches for them.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use serde_json::{Map, Value};

use crate::asking::{Asker, Questions};
use crate::cache::TokenHash;
use crate::http::{Fetcher, HttpSettings};
use crate::keys::KeyStore;
use crate::terms::Terms;
use crate::token::{UnverifiedToken, claims};
use crate::{IdentityConfig, Method, SetupError, TokenError};

/// The rules of one provider, and its keys or the endpoint that knows its tokens.
pub(crate) struct Desk {
    terms: Terms,
    witness: Witness,
}

enum Witness {
    /// A signature.
    Keys(Arc<KeyStore>),
    /// The issuer itself.
    Issuer(Box<Asker>),
}

impl Witness {
    fn asking(questions: Questions, fetcher: Fetcher, epoch: Arc<AtomicU64>) -> Self {
        Self::Issuer(Box::new(Asker::new(questions, fetcher, epoch)))
    }
}

impl Desk {
    pub(crate) fn new(
        terms: Terms,
        config: &IdentityConfig,
        epoch: Arc<AtomicU64>,
    ) -> Result<Self, SetupError> {
        let provider = &terms.provider;
        let fetcher = Fetcher::new(provider.home(), HttpSettings::of(config))?;
        let issuer = provider.issuers.first().ok_or(SetupError::NoIssuer)?;
        let witness = match &provider.method {
            Method::Jwt(source) => {
                Witness::Keys(Arc::new(KeyStore::new(issuer, source, config, fetcher, epoch)?))
            }
            Method::Introspection(settings) => {
                Witness::asking(Questions::introspection(issuer, settings)?, fetcher, epoch)
            }
            Method::Google(endpoints) => {
                Witness::asking(Questions::google(issuer, endpoints)?, fetcher, epoch)
            }
            Method::GitHub(app) => Witness::asking(Questions::github(issuer, app)?, fetcher, epoch),
        };
        Ok(Self { terms, witness })
    }

    pub(crate) fn terms(&self) -> &Terms {
        &self.terms
    }

    /// Whether the issuer is asked about every token.
    pub(crate) fn asks(&self) -> bool {
        matches!(self.witness, Witness::Issuer(_))
    }

    /// Whether claims, which nobody has vouched for yet, name this issuer.
    pub(crate) fn is_named_by(&self, claims: &Map<String, Value>) -> bool {
        let provider = &self.terms.provider;
        claims::named_issuer(claims, provider.issuer_rule)
            .is_some_and(|named| provider.issuers.iter().any(|issuer| issuer == named))
    }

    /// The claims of a token that somebody vouches for, and the verifier's epoch in which that was so.
    pub(crate) async fn vouched(
        &self,
        token: &str,
        hash: &TokenHash,
        now: u64,
    ) -> Result<(Map<String, Value>, u64), TokenError> {
        match &self.witness {
            Witness::Keys(keys) => {
                let unverified = UnverifiedToken::parse(token, &self.terms.provider)?;
                let epoch = keys.check(&unverified, now).await?;
                Ok((unverified.claims()?, epoch))
            }
            Witness::Issuer(asker) => asker.ask(token, hash, now).await,
        }
    }

    pub(crate) async fn warm(&self, now: u64) -> Result<(), TokenError> {
        match &self.witness {
            Witness::Keys(keys) => keys.warm(now).await,
            Witness::Issuer(_) => Ok(()),
        }
    }

    /// Forgets what the issuer said of tokens.
    pub(crate) fn forget_all(&self) {
        if let Witness::Issuer(asker) = &self.witness {
            asker.forget_all();
        }
    }
}
