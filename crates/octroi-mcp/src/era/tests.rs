use super::*;
use crate::{json::Limits, message::scan};

fn settle(method: &str, params: &str, header: Option<&str>) -> Result<(Era, Revision), EraError> {
    let body = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"{method}","params":{params}}}"#);
    era(&scan(body.as_bytes(), &Limits::default()).unwrap(), header)
}

fn meta(version: &str) -> String {
    format!(
        r#"{{"_meta":{{"io.modelcontextprotocol/protocolVersion":"{version}","io.modelcontextprotocol/clientCapabilities":{{}}}}}}"#
    )
}

#[test]
fn the_body_decides() {
    assert_eq!(settle("tools/list", &meta("2026-07-28"), None), Ok((Era::Modern, Revision::V2026_07_28)));
    assert_eq!(
        settle("tools/list", &meta("2026-07-28"), Some("2025-06-18")),
        Ok((Era::Modern, Revision::V2026_07_28))
    );
    assert_eq!(settle("tools/list", &meta("2025-11-25"), None), Ok((Era::Legacy, Revision::V2025_11_25)));
}

#[test]
fn without_metadata_the_header_decides() {
    assert_eq!(settle("tools/list", "{}", None), Ok((Era::Legacy, Revision::V2025_03_26)));
    for revision in
        [Revision::V2024_11_05, Revision::V2025_03_26, Revision::V2025_06_18, Revision::V2025_11_25]
    {
        assert_eq!(settle("tools/list", "{}", Some(revision.as_str())), Ok((Era::Legacy, revision)));
    }
}

#[test]
fn initialize_that_asks_for_a_version_is_legacy() {
    let asked = |version: &str| {
        settle("initialize", &format!(r#"{{"protocolVersion":"{version}"}}"#), Some("2026-07-28"))
    };
    assert_eq!(asked("2025-06-18"), Ok((Era::Legacy, Revision::V2025_06_18)));
    assert_eq!(asked("2026-07-28"), Ok((Era::Legacy, Revision::V2025_11_25)));
    assert_eq!(asked("tomorrow"), Ok((Era::Legacy, Revision::V2025_11_25)));
    // In the stateless era it is a method like any other that does not exist.
    let stateless = settle("initialize", &meta("2026-07-28"), Some("2026-07-28"));
    assert_eq!(stateless, Ok((Era::Modern, Revision::V2026_07_28)));
}

#[test]
fn unknown_versions_are_refused_as_they_were_asked() {
    let error = settle("tools/list", &meta("1900-01-01"), Some("1900-01-01")).unwrap_err();
    assert_eq!((error.code(), error.status()), (-32022, StatusCode::BAD_REQUEST));
    assert_eq!(
        String::from_utf8(error.data().unwrap()).unwrap(),
        concat!(
            r#"{"supported":["2026-07-28","2025-11-25","2025-06-18","2025-03-26","2024-11-05"],"#,
            r#""requested":"1900-01-01"}"#
        )
    );
    let EraError::Unsupported { requested, .. } =
        settle("tools/list", &meta(&"é".repeat(500)), None).unwrap_err()
    else {
        panic!()
    };
    assert_eq!(requested.chars().count(), 64);
    assert_eq!(settle("tools/list", "{}", Some("2027-01-01")).unwrap_err().code(), -32022);
    assert_eq!(settle("tools/list", "{}", Some("1.0")).unwrap_err().code(), -32600);
}

#[test]
fn modern_requests_need_their_metadata() {
    let missing = |key| Err(EraError::MissingMeta { key });
    assert_eq!(settle("tools/list", "{}", Some("2026-07-28")), missing(Meta::PROTOCOL_VERSION));
    assert_eq!(settle("server/discover", "{}", None), missing(Meta::PROTOCOL_VERSION));
    let no_capabilities = r#"{"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28"}}"#;
    assert_eq!(settle("tools/list", no_capabilities, None), missing(Meta::CLIENT_CAPABILITIES));
    let error = settle("server/discover", "{}", None).unwrap_err();
    assert_eq!((error.code(), error.data()), (-32602, None));
}

#[test]
fn notifications_need_no_metadata() {
    let body = br#"{"jsonrpc":"2.0","method":"notifications/cancelled"}"#;
    let message = scan(body, &Limits::default()).unwrap();
    assert_eq!(era(&message, Some("2026-07-28")), Ok((Era::Modern, Revision::V2026_07_28)));
}
