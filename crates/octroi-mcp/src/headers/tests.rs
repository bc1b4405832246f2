use super::*;
use crate::{json::Limits, message::scan};

const CALL: &str = concat!(
    r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"caf\u00e9","_meta":{"#,
    r#""io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}}}"#
);
const GOOD: [(&str, &str); 3] = [
    ("mcp-protocol-version", "2026-07-28"),
    ("mcp-method", "tools/call"),
    ("mcp-name", "=?base64?Y2Fmw6k=?="),
];

fn judge(era: Era, body: &str, lines: &[(&str, &str)]) -> Result<(), HeaderMismatch> {
    let mut headers = HeaderMap::new();
    for (name, value) in lines {
        let value = HeaderValue::from_bytes(value.as_bytes()).unwrap();
        headers.append(HeaderName::from_bytes(name.as_bytes()).unwrap(), value);
    }
    check(era, &scan(body.as_bytes(), &Limits::default()).unwrap(), &headers)
}

fn modern(lines: &[(&str, &str)]) -> Result<(), HeaderMismatch> {
    judge(Era::Modern, CALL, lines)
}

#[test]
fn a_modern_request_needs_all_three() {
    assert_eq!(modern(&GOOD), Ok(()));
    for left_out in 0..3 {
        let mut lines = GOOD.to_vec();
        let (name, _) = lines.remove(left_out);
        assert!(matches!(modern(&lines), Err(HeaderMismatch::Missing(missing)) if missing == name));
    }
    let list = CALL.replace("tools/call", "tools/list");
    assert_eq!(judge(Era::Modern, &list, &[GOOD[0], ("mcp-method", "tools/list")]), Ok(()));
}

#[test]
fn each_must_match_and_be_single() {
    let with = |index: usize, value| {
        let mut lines = GOOD.to_vec();
        lines[index].1 = value;
        modern(&lines)
    };
    assert_eq!(with(0, "2025-11-25"), Err(HeaderMismatch::Mismatch(PROTOCOL_VERSION)));
    assert_eq!(with(1, "Tools/call"), Err(HeaderMismatch::Mismatch(METHOD)));
    assert_eq!(with(1, "=?base64?dG9vbHMvY2FsbA==?="), Err(HeaderMismatch::Mismatch(METHOD)));
    assert_eq!(with(2, "cafe"), Err(HeaderMismatch::Mismatch(NAME)));
    assert_eq!(with(2, "=?BASE64?Y2Fmw6k=?="), Err(HeaderMismatch::Mismatch(NAME)));
    assert_eq!(with(2, "café"), Err(HeaderMismatch::Invalid(NAME.to_owned())));
    for bad in ["=?base64?Y2Fmw6k?=", "=?base64?Y2F w6k=?=", "=?base64?////?=", "=?base64?*?="] {
        assert_eq!(with(2, bad), Err(HeaderMismatch::Invalid(NAME.to_owned())), "{bad}");
    }
    for index in 0..3 {
        let lines = [&GOOD[..], &GOOD[index..=index]].concat();
        assert_eq!(modern(&lines), Err(HeaderMismatch::Duplicated(GOOD[index].0.to_owned())));
    }
}

#[test]
fn the_name_comes_from_the_field_of_the_method() {
    for (method, field) in [("resources/read", "uri"), ("prompts/get", "name"), ("tasks/get", "taskId")] {
        let body = CALL.replace("tools/call", method).replace(r#""name""#, &format!(r#""{field}""#));
        let lines = [GOOD[0], ("mcp-method", method), GOOD[2]];
        assert_eq!(judge(Era::Modern, &body, &lines), Ok(()));
        assert_eq!(judge(Era::Modern, &body, &lines[..2]), Err(HeaderMismatch::Missing(NAME)));
    }
}

#[test]
fn mirrored_arguments_must_be_single_and_decodable() {
    let with = |more: &[(&str, &str)]| modern(&[&GOOD[..], more].concat());
    assert_eq!(with(&[("mcp-param-region", "us"), ("mcp-param-text", "=?base64?IHBhZGRlZCA=?=")]), Ok(()));
    let twice = [("mcp-param-region", "us"), ("mcp-param-region", "us")];
    assert_eq!(with(&twice), Err(HeaderMismatch::Duplicated("mcp-param-region".to_owned())));
    assert_eq!(
        with(&[("mcp-param-a", "=?base64?=?=")]),
        Err(HeaderMismatch::Invalid("mcp-param-a".to_owned()))
    );
}

#[test]
fn legacy_headers_may_be_absent_but_not_wrong() {
    let body = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"t"}}"#;
    let legacy = |lines: &[(&str, &str)]| judge(Era::Legacy, body, lines);
    assert_eq!(legacy(&[]), Ok(()));
    assert_eq!(legacy(&[("mcp-protocol-version", "2025-11-25"), ("mcp-method", "tools/call")]), Ok(()));
    assert_eq!(legacy(&[("mcp-name", "t")]), Ok(()));
    assert_eq!(legacy(&[("mcp-name", "u")]), Err(HeaderMismatch::Mismatch(NAME)));
    assert_eq!(legacy(&[("mcp-method", "tools/list")]), Err(HeaderMismatch::Mismatch(METHOD)));
}

#[test]
fn two_versions_are_a_mismatch_even_when_one_is_unknown() {
    let unknown = CALL.replace("2026-07-28", "v999");
    let message = scan(unknown.as_bytes(), &Limits::default()).unwrap();
    let mut headers = HeaderMap::new();
    assert_eq!(check_version(&message, &headers), Ok(()));
    headers.insert(PROTOCOL_VERSION, HeaderValue::from_static("2026-07-28"));
    assert_eq!(check_version(&message, &headers), Err(HeaderMismatch::Mismatch(PROTOCOL_VERSION)));
    headers.insert(PROTOCOL_VERSION, HeaderValue::from_static("v999"));
    assert_eq!(check_version(&message, &headers), Ok(()));
}
