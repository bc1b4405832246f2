//! The answer of a call that was made before, given again.

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderName, HeaderValue};
use http::{Response, StatusCode};
use octroi_ledger::Answer;
use octroi_mcp::json;
use octroi_mcp::message::Id;
use octroi_mcp::reply;

use crate::exchange::RECEIPT;
use crate::reason::Reason;
use crate::receipts::RECEIPT_KEY;
use crate::refusal::Refusal;

/// Says that the call was not made again, and that nothing was charged for asking again.
const REPLAYED: HeaderName = HeaderName::from_static("octroi-replayed");

/// The reply to a request that asks again: the first result under this request's id.
///
/// # Errors
/// The answer was too long to keep.
pub(crate) fn again(answer: Answer, id: Option<Id<'_>>) -> Result<Response<Bytes>, Box<Refusal>> {
    let (Some(result), Some(id)) = (answer.body, id) else {
        let text =
            "this call was made and charged, but its answer was too long to keep; make it under another key";
        return Err(Box::new(Refusal::new(Reason::AnswerNotKept, text)));
    };
    let mut response = Response::new(Bytes::from(reply::result(id, &result)));
    *response.status_mut() = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::OK);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(REPLAYED, HeaderValue::from_static("true"));
    if let Some(receipt) = receipt(&result) {
        headers.insert(RECEIPT, receipt);
    }
    Ok(response)
}

/// The receipt that the first answer carried.
fn receipt(result: &[u8]) -> Option<HeaderValue> {
    let receipt = json::get(json::get(result, "_meta")?, RECEIPT_KEY)?;
    HeaderValue::from_str(&json::string(json::get(receipt, "jws")?)?).ok()
}
