use super::*;

fn id(raw: &[u8]) -> Id<'_> {
    Id::from_raw(raw).unwrap()
}

fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap()
}

#[test]
fn writes_errors_and_results() {
    assert_eq!(
        text(error(Some(id(br#""\u0061""#)), 402, "pay \"3\"\n", Some(br#"{"reason":"PAYMENT_REQUIRED"}"#))),
        r#"{"jsonrpc":"2.0","id":"\u0061","error":{"code":402,"message":"pay \"3\"\n","data":{"reason":"PAYMENT_REQUIRED"}}}"#
    );
    assert_eq!(
        text(error(None, -32700, "x", None)),
        r#"{"jsonrpc":"2.0","id":null,"error":{"code":-32700,"message":"x"}}"#
    );
    assert_eq!(
        text(result(id(b"123456789012345678901"), b"{}")),
        r#"{"jsonrpc":"2.0","id":123456789012345678901,"result":{}}"#
    );
}

#[test]
fn writes_tool_errors_for_both_eras() {
    let content =
        r#"{"jsonrpc":"2.0","id":1,"result":{"content":[{"type":"text","text":"3 sats"}],"isError":true"#;
    assert_eq!(text(tool_error(id(b"1"), "3 sats", None, Era::Legacy)), format!("{content}}}}}"));
    let modern = tool_error(id(b"1"), "3 sats", Some(b"{\"k\":1}"), Era::Modern);
    assert_eq!(outcome(&modern), Outcome::Result { is_error: true, result_type: ResultType::Complete });
    assert_eq!(text(modern), format!(r#"{content},"resultType":"complete","_meta":{{"k":1}}}}}}"#));
}

#[test]
fn status_follows_era_and_code() {
    for code in [-32020, -32021, -32022, -32600, -32700] {
        assert_eq!(http_status(Era::Modern, code), StatusCode::BAD_REQUEST);
    }
    assert_eq!(http_status(Era::Modern, -32601), StatusCode::NOT_FOUND);
    for code in [402, -32602, -32603, -32019, -32023] {
        assert_eq!(http_status(Era::Modern, code), StatusCode::OK);
    }
    assert_eq!(http_status(Era::Legacy, -32601), StatusCode::OK);
    assert_eq!(http_status(Era::Legacy, -32700), StatusCode::BAD_REQUEST);
}

#[test]
fn judges_upstream_messages() {
    let done = |is_error, result_type| Outcome::Result { is_error, result_type };
    let cases = [
        (r#"{"jsonrpc":"2.0","id":1,"result":{}}"#, done(false, ResultType::Complete)),
        (r#" {"result":{"content":[{"isError":true}],"isError":false}} "#, done(false, ResultType::Complete)),
        (r#"{"result":{"isError":true,"resultType":"complete"}}"#, done(true, ResultType::Complete)),
        (r#"{"result":{"isErro\u0072":true}}"#, done(true, ResultType::Complete)),
        (r#"{"result":{"resultType":"input_required"}}"#, done(false, ResultType::InputRequired)),
        (r#"{"result":{"resultType":"task"}}"#, done(false, ResultType::Task)),
        (r#"{"result":{"resultType":"payment_required"}}"#, done(false, ResultType::Other)),
        (r#"{"id":1,"error":{"code":-32603,"message":""}}"#, Outcome::Error { code: -32603 }),
        (r#"{"id":1,"error":{"code":1e3}}"#, Outcome::Error { code: 0 }),
        (r#"{"method":"notifications/progress","params":{}}"#, Outcome::Other),
        (r#"{"id":1,"method":"sampling/createMessage"}"#, Outcome::Other),
    ];
    for (body, expected) in cases {
        assert_eq!(outcome(body.as_bytes()), expected, "{body}");
    }
}

#[test]
fn what_a_client_might_read_otherwise_is_malformed() {
    for body in [
        "",
        "null",
        "[]",
        "{",
        r#"{"result":{}"#,
        r#"{"result":{}}x"#,
        r#"{"result":7}"#,
        r#"{"error":7}"#,
        r#"{"id":1}"#,
        r#"{"result":{},"error":{}}"#,
        r#"{"result":{},"result":{"isError":true}}"#,
        r#"{"id":1,"id":2,"result":{}}"#,
        r#"{"result":{"isError":false,"isError":true}}"#,
        r#"{"result":{},}"#,
        r#"{"result":{"a":}}"#,
        r#"{"method":"x","result":{}}"#,
    ] {
        assert_eq!(outcome(body.as_bytes()), Outcome::Malformed, "{body}");
    }
}

#[test]
fn finds_the_reply_among_the_messages() {
    assert!(answers(br#"{"id":"a\/b","result":{}}"#, id(br#""a/b""#)));
    assert!(answers(br#"{"id":7,"error":{}}"#, id(b"7")));
    for other in [
        &br#"{"id":"7","result":{}}"#[..],
        br#"{"id":7,"method":"ping"}"#,
        br#"{"result":{}}"#,
        br#"{"id":7}"#,
    ] {
        assert!(!answers(other, id(b"7")));
    }
}
