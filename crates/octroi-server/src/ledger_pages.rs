//! What an operator can change in the ledger of a running gate: book a voucher, revoke, restore.

use bytes::Bytes;
use http::{Response, StatusCode};
use octroi_l402::{Msat, PaymentHash, TokenId};
use octroi_ledger::{Credited, Ledger, LedgerError, Revocation, Voucher};
use serde::{Deserialize, Serialize};

use crate::admin::text;
use crate::clock::unix_seconds;

/// What `/ledger/voucher` is asked: the credential is made by who asks, and only booked here.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VoucherRequest {
    /// The token id, in hexadecimal.
    pub token: String,
    /// The payment hash, in hexadecimal.
    pub payment_hash: String,
    /// What it is worth, in millisatoshi.
    pub msat: i64,
    /// How many calls it is meant for.
    pub calls: u32,
    /// The operator's own words.
    pub note: String,
    /// When the credential ends, in Unix seconds.
    pub expires_at: u64,
}

/// What `/ledger/revoke` and `/ledger/restore` are asked.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub struct RevocationRequest {
    /// What.
    pub what: Revoked,
    /// The operator's own words; not for a restoration.
    #[serde(default)]
    pub reason: String,
}

/// What is revoked or restored.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Revoked {
    /// A credential, by its token id in hexadecimal.
    Token(String),
    /// A principal, in hexadecimal.
    Owner(String),
    /// A master key, by its number.
    MasterKey(u32),
}

impl Revoked {
    /// As the ledger takes it; `None` where the text is not 32 bytes in hexadecimal.
    #[must_use]
    pub fn revocation(&self) -> Option<Revocation> {
        let bytes = |text: &str| {
            let mut bytes = [0; 32];
            hex::decode_to_slice(text, &mut bytes).ok().map(|()| bytes)
        };
        Some(match self {
            Self::Token(text) => Revocation::Token(TokenId::from_bytes(bytes(text)?)),
            Self::Owner(text) => Revocation::Owner(bytes(text)?),
            Self::MasterKey(number) => Revocation::MasterKey(*number),
        })
    }
}

impl VoucherRequest {
    /// As the ledger takes it; `None` where the texts are not 32 bytes in hexadecimal.
    #[must_use]
    pub fn voucher(&self, now: u64) -> Option<Voucher> {
        let (mut token, mut hash) = ([0; 32], [0; 32]);
        hex::decode_to_slice(&self.token, &mut token).ok()?;
        hex::decode_to_slice(&self.payment_hash, &mut hash).ok()?;
        Some(Voucher {
            token_id: TokenId::from_bytes(token),
            payment_hash: PaymentHash::from_bytes(hash),
            owner: None,
            amount: Msat::new(self.msat),
            calls: self.calls,
            note: self.note.clone(),
            created_at: now,
            expires_at: self.expires_at,
        })
    }
}

fn unreadable() -> Response<Bytes> {
    text(StatusCode::BAD_REQUEST, "the body is not what this page is asked\n".to_owned())
}

fn answered(done: Result<(), LedgerError>) -> Response<Bytes> {
    match done {
        Ok(()) => text(StatusCode::OK, "done\n".to_owned()),
        Err(error @ (LedgerError::Busy | LedgerError::Unavailable(_))) => {
            text(StatusCode::SERVICE_UNAVAILABLE, format!("{error}\n"))
        }
        Err(error) => text(StatusCode::BAD_REQUEST, format!("{error}\n")),
    }
}

/// Books a voucher, once per payment hash.
pub(crate) async fn voucher(ledger: &Ledger, body: &[u8]) -> Response<Bytes> {
    let asked = serde_json::from_slice::<VoucherRequest>(body).ok();
    let Some(voucher) = asked.and_then(|asked| asked.voucher(unix_seconds())) else { return unreadable() };
    match ledger.mint_voucher(voucher).await {
        Ok(Credited::New { .. }) => answered(Ok(())),
        Ok(_) => text(StatusCode::CONFLICT, "it has been booked before\n".to_owned()),
        Err(error) => answered(Err(error)),
    }
}

/// Revokes or restores; stands from when it is answered.
pub(crate) async fn revoke(ledger: &Ledger, body: &[u8], revoked: bool) -> Response<Bytes> {
    let Ok(asked) = serde_json::from_slice::<RevocationRequest>(body) else { return unreadable() };
    let Some(what) = asked.what.revocation() else { return unreadable() };
    tracing::info!(?what, revoked, "the operator has changed what may be spent");
    answered(if revoked { ledger.revoke(what, &asked.reason).await } else { ledger.restore(what).await })
}
