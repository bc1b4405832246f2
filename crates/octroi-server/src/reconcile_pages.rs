//! The operator's pages about the books, and their metrics.

use std::fmt::Write;

use bytes::Bytes;
use http::{Response, StatusCode};
use octroi_gate::reconcile::{Acted, Bookkeeper, FindingKind, Reconciliation};
use serde::{Deserialize, Serialize};

use crate::admin::{json_page, text};

/// What `/ledger/reconcile` is asked.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReconcileRequest {
    /// Payments since this Unix second; `None`: as far back as the gate looks by itself.
    pub since: Option<u64>,
    /// Whether what can be settled is settled.
    pub apply: bool,
}

/// What it answers.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ReconcileReply {
    /// What differs; after acting, what is left.
    pub books: Reconciliation,
    /// What was done.
    pub acted: Acted,
}

fn nothing() -> Response<Bytes> {
    text(StatusCode::NOT_FOUND, "this gate compares no books\n".to_owned())
}

/// `GET /ledger/reconciliation`
pub(crate) fn last(bookkeeper: Option<&Bookkeeper>) -> Response<Bytes> {
    let Some(bookkeeper) = bookkeeper else { return nothing() };
    match bookkeeper.last() {
        Some(found) => json_page(&*found),
        None => text(StatusCode::NOT_FOUND, "the books have not been looked at yet\n".to_owned()),
    }
}

/// `POST /ledger/reconcile`
pub(crate) async fn look(bookkeeper: Option<&Bookkeeper>, body: &[u8]) -> Response<Bytes> {
    let Some(bookkeeper) = bookkeeper else { return nothing() };
    let Ok(asked) = serde_json::from_slice::<ReconcileRequest>(body) else {
        return text(StatusCode::BAD_REQUEST, "the body is not what this page is asked\n".to_owned());
    };
    let since = asked.since.unwrap_or_else(|| bookkeeper.farthest());
    match bookkeeper.look(since, asked.apply).await {
        Ok((books, acted)) => json_page(&ReconcileReply { books: (*books).clone(), acted }),
        Err(error) => {
            tracing::warn!(%error, "the books could not be compared");
            text(StatusCode::SERVICE_UNAVAILABLE, format!("{error}\n"))
        }
    }
}

/// Writing to a String cannot fail.
pub(crate) fn metrics(page: &mut String, bookkeeper: &Bookkeeper) {
    let (looks, failed, credited) = bookkeeper.counts();
    let counters = [
        ("octroi_reconcile_looks_total", "How often the books were compared with the node.", looks),
        ("octroi_reconcile_failures_total", "How often that could not be done.", failed),
        ("octroi_reconcile_credited_total", "Missing payments that were booked by it.", credited),
    ];
    for (name, help, count) in counters {
        let _ = writeln!(page, "# HELP {name} {help}\n# TYPE {name} counter\n{name} {count}");
    }
    let Some(last) = bookkeeper.last() else { return };
    let name = "octroi_reconcile_findings";
    let _ = writeln!(page, "# HELP {name} What differed at the last look.\n# TYPE {name} gauge");
    for kind in FindingKind::ALL {
        let _ = writeln!(page, "{name}{{kind=\"{kind}\"}} {}", last.count(kind));
    }
    let name = "octroi_reconcile_last_timestamp_seconds";
    let _ = writeln!(page, "# HELP {name} When the last look was.\n# TYPE {name} gauge\n{name} {}", last.at);
}
