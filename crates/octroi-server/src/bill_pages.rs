//! Charges that another ledger has refused for good: told once more, or let be, as the operator says.

use bytes::Bytes;
use http::{Response, StatusCode};
use octroi_ledger::{BillRow, CallId, Ledger, LedgerError, MAX_ROWS, NotCallId, ReadError, Told};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::admin::{json_page, text};

/// What is to become of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BillFate {
    /// They are told once more.
    Retry,
    /// They are named no more: the other ledger has them, or shall not have them.
    Accept,
}

/// What `/ledger/bills` is asked.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BillRequest {
    /// What is to become of them.
    pub fate: BillFate,
    /// The calls they are for, in hexadecimal; `None`: every one that the other ledger surely does not have.
    pub calls: Option<Vec<String>>,
}

/// What it answers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BillReply {
    /// The calls it was done for.
    pub done: Vec<String>,
    /// Calls that were left, because the other ledger may have them although it did not say so. They are to be named one by one.
    pub doubtful: Vec<String>,
    /// Calls that are not among the refused.
    pub unknown: Vec<String>,
}

/// Why it was not done, or only for some.
#[derive(Debug, Error)]
pub enum BillError {
    /// The ledger cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The ledger cannot be written; what was done before stays done.
    #[error(transparent)]
    Write(#[from] LedgerError),
    /// A call's id is none.
    #[error(transparent)]
    Id(#[from] NotCallId),
    /// A task ended without an answer.
    #[error("it was broken off")]
    BrokenOff,
}

/// Does what is asked. Of refused charges the oldest 10 000 are looked at; asking again does the next.
///
/// # Errors
/// [`BillError`].
pub async fn settle_bills(ledger: &Ledger, asked: &BillRequest) -> Result<BillReply, BillError> {
    let reading = ledger.clone();
    let refused = tokio::task::spawn_blocking(move || reading.reader()?.refused_bills(MAX_ROWS));
    let refused = refused.await.map_err(|_| BillError::BrokenOff)??;
    let (chosen, mut reply) = choose(&refused, asked.calls.as_deref())?;
    let told = match asked.fate {
        BillFate::Retry => Told::Again,
        BillFate::Accept => Told::LetBe,
    };
    for id in chosen {
        ledger.outbox_told(id, told.clone()).await?;
        reply.done.push(id.to_string());
    }
    tracing::info!(fate = ?asked.fate, charges = reply.done.len(), "the operator has dealt with refused charges");
    Ok(reply)
}

/// Which are meant, and what is said of the others.
fn choose(refused: &[BillRow], calls: Option<&[String]>) -> Result<(Vec<CallId>, BillReply), NotCallId> {
    let (mut chosen, mut reply) = (Vec::new(), BillReply::default());
    match calls {
        None => {
            for bill in refused {
                match bill.doubtful {
                    true => reply.doubtful.push(bill.id.clone()),
                    false => chosen.push(bill.id.parse()?),
                }
            }
        }
        Some(calls) => {
            for call in calls {
                let id: CallId = call.parse()?;
                match refused.iter().any(|bill| bill.id == id.to_string()) {
                    true => chosen.push(id),
                    false => reply.unknown.push(call.clone()),
                }
            }
        }
    }
    Ok((chosen, reply))
}

/// `POST /ledger/bills`
pub(crate) async fn answer(ledger: &Ledger, body: &[u8]) -> Response<Bytes> {
    let Ok(asked) = serde_json::from_slice::<BillRequest>(body) else {
        return text(StatusCode::BAD_REQUEST, "the body is not what this page is asked\n".to_owned());
    };
    match settle_bills(ledger, &asked).await {
        Ok(reply) => json_page(&reply),
        Err(error @ BillError::Id(_)) => text(StatusCode::BAD_REQUEST, format!("{error}\n")),
        Err(error) => text(StatusCode::SERVICE_UNAVAILABLE, format!("{error}\n")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bill(number: u8, doubtful: bool) -> BillRow {
        BillRow {
            id: hex::encode([number; 16]),
            customer: "cus_gone".to_owned(),
            service: "mcp".to_owned(),
            tool: "paid".to_owned(),
            msat: 1,
            at_ms: 0,
            why: String::new(),
            doubtful,
        }
    }

    #[test]
    fn what_may_have_been_taken_is_named_one_by_one() {
        let refused = [bill(1, false), bill(2, true)];
        let all = choose(&refused, None).unwrap();
        assert_eq!((all.0.len(), all.1.doubtful.as_slice()), (1, &[refused[1].id.clone()][..]));
        let named = choose(&refused, Some(&[refused[1].id.to_uppercase(), hex::encode([3; 16])])).unwrap();
        assert_eq!((named.0[0].to_string(), named.1.unknown.len()), (refused[1].id.clone(), 1));
        for wrong in ["", "zz", &"0".repeat(31), &"0".repeat(34)] {
            assert_eq!(choose(&refused, Some(&[wrong.to_owned()])), Err(NotCallId), "{wrong}");
        }
    }
}
