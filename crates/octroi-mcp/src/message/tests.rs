use super::*;
use crate::json::{JsonError, Limits};

fn read(body: &str) -> Result<Message<'_>, ScanError> {
    scan(body.as_bytes(), &Limits::default())
}

fn call(params: &str) -> String {
    format!(r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{params}}}"#)
}

#[test]
fn reads_a_modern_call() {
    let body = concat!(
        "\r\n{\"jsonrpc\":\"2.0\",\r\n \"id\": \"a\\\"1\", \"method\":\"tools\\/call\",\"params\":{\"name\":\"caf\\u00e9\",",
        "\"arguments\":{\"name\":\"other\",\"Name\":1},\"requestState\":\"s\",\"inputResponses\":{\"x\":1},\"_meta\":{",
        "\"io.modelcontextprotocol/protocolVersion\":\"2026-07-28\",\"progressToken\":7,",
        "\"io.modelcontextprotocol/clientInfo\":{\"name\":\"c\"},",
        "\"io.modelcontextprotocol/clientCapabilities\":{\"elicitation\":{\"url\":{}},\"roots\":null}}}}\r\n"
    );
    let message = read(body).unwrap();
    assert_eq!((message.kind, &*message.method), (Kind::Request, "tools/call"));
    assert_eq!(message.id.unwrap().as_raw(), br#""a\"1""#);
    assert_eq!(message.raw, body.as_bytes());
    let params = &message.params;
    assert_eq!(params.name.as_deref(), Some("café"));
    assert_eq!(params.arguments, Some(&br#"{"name":"other","Name":1}"#[..]));
    assert_eq!(
        (params.request_state.as_deref(), params.input_responses),
        (Some("s"), Some(&br#"{"x":1}"#[..]))
    );
    let meta = params.meta.as_ref().unwrap();
    assert_eq!(meta.protocol_version().as_deref(), Some("2026-07-28"));
    assert_eq!(meta.progress_token().unwrap().as_raw(), b"7");
    assert_eq!(meta.client_info(), Some(&br#"{"name":"c"}"#[..]));
    assert!(message.has_capability(&["elicitation"]) && message.has_capability(&["elicitation", "url"]));
    assert!(!message.has_capability(&["elicitation", "form"]) && !message.has_capability(&["roots"]));
    assert_eq!(&message.raw[meta.span()], meta.raw());
}

#[test]
fn an_ordinary_request_is_borrowed() {
    let body = call(r#"{"name":"t","arguments":{"a":"\u0041"},"_meta":{"k":1}}"#);
    let message = read(&body).unwrap();
    assert!(matches!(message.method, Cow::Borrowed(_)));
    assert!(matches!(message.params.name, Some(Cow::Borrowed(_))));
    assert!(!message.params.meta.unwrap().members.spilled());
}

#[test]
fn ids_are_kept_as_text() {
    for id in ["0", "-7", "-0", "123456789012345678901234567890", r#""""#, r#""x""#, r#""\u0000""#] {
        let body = format!(r#"{{"id":{id},"jsonrpc":"2.0","method":"ping"}}"#);
        assert_eq!(read(&body).unwrap().id.unwrap().as_raw(), id.as_bytes());
    }
    for id in ["null", "1.0", "1e2", "true", "[1]", "{}"] {
        let body = format!(r#"{{"id":{id},"jsonrpc":"2.0","method":"ping"}}"#);
        let error = read(&body).unwrap_err();
        assert_eq!((error, error.id(body.as_bytes())), (ScanError::BadId, None));
    }
}

#[test]
fn ids_are_compared_decoded() {
    let id = |raw| Id::from_raw(raw).unwrap();
    assert!(id(br#""a\/b""#).same(&id(br#""a/b""#)) && id(b"7").same(&id(b"7")));
    assert!(!id(b"7").same(&id(br#""7""#)) && !id(b"7").same(&id(b"8")));
}

#[test]
fn tells_the_kinds_apart() {
    let kind = |body: &str| read(body).map(|message| message.kind);
    assert_eq!(
        kind(r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":3}}"#),
        Ok(Kind::Notification)
    );
    assert_eq!(kind(r#"{"jsonrpc":"2.0","id":1,"result":{}}"#), Ok(Kind::Response));
    assert_eq!(kind(r#"{"jsonrpc":"2.0","id":1,"error":{"code":1,"message":""}}"#), Ok(Kind::Response));
    assert_eq!(kind(r#"{"jsonrpc":"2.0","id":1,"result":{},"error":{}}"#), Err(ScanError::BadResponse));
    assert_eq!(kind(r#"{"jsonrpc":"2.0","id":1,"result":{},"params":{}}"#), Err(ScanError::BadResponse));
    assert_eq!(kind(r#"{"jsonrpc":"2.0","result":{}}"#), Err(ScanError::BadId));
    assert_eq!(kind(r#"{"jsonrpc":"2.0","id":1,"method":"ping","result":{}}"#), Err(ScanError::BadMethod));
    assert_eq!(kind(r#"{"jsonrpc":"2.0","id":1}"#), Err(ScanError::BadMethod));
    assert_eq!(kind(r#"{"jsonrpc":"2.0","id":1,"method":""}"#), Err(ScanError::BadMethod));
    assert_eq!(kind(r#"{"jsonrpc":"2.0","id":1,"method":7}"#), Err(ScanError::BadMethod));
}

#[test]
fn a_call_cannot_hide_as_a_notification() {
    let body = r#"{"jsonrpc":"2.0","method":"tools/call","params":{"name":"t"}}"#;
    assert_eq!(read(body).unwrap_err(), ScanError::BadId);
}

#[test]
fn refuses_with_the_right_code_and_id() {
    let cases = [
        ("", ScanError::Empty, -32700, None),
        (" \r\n", ScanError::Empty, -32700, None),
        ("[", ScanError::Json(JsonError::Syntax { at: 1 }), -32700, None),
        ("[]", ScanError::Batch, -32600, None),
        (r#"[{"jsonrpc":"2.0","id":1,"method":"ping"}]"#, ScanError::Batch, -32600, None),
        ("7", ScanError::NotAnObject, -32600, None),
        (r#"{"id":9,"method":"ping"}"#, ScanError::WrongVersion, -32600, Some("9")),
        (r#"{"jsonrpc":2.0,"id":9,"method":"ping"}"#, ScanError::WrongVersion, -32600, Some("9")),
        (r#"{"jsonrpc":"2.0","id":9,"method":"x","params":[1]}"#, ScanError::BadParams, -32602, Some("9")),
        (r#"{"jsonrpc":"2.0","id":9,"method":"x","params":null}"#, ScanError::BadParams, -32602, Some("9")),
        (
            r#"{"jsonrpc":"2.0","id":9,"method":"x","params":{"_meta":1}}"#,
            ScanError::BadMeta,
            -32602,
            Some("9"),
        ),
        // Bad JSON behind a bad field: what it seems to say is not trusted.
        (
            r#"{"jsonrpc":"2.0","id":9,"method":"x","params":[}"#,
            ScanError::Json(JsonError::Syntax { at: 47 }),
            -32700,
            None,
        ),
    ];
    for (body, expected, code, id) in cases {
        let error = read(body).unwrap_err();
        assert_eq!((error, error.code()), (expected, code), "{body}");
        assert_eq!(error.id(body.as_bytes()).map(|id| id.as_raw()), id.map(str::as_bytes), "{body}");
    }
}

#[test]
fn what_a_method_needs_must_be_there() {
    let request = |method: &str, params: &str| {
        let body = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"{method}","params":{params}}}"#);
        read(&body).map(|message| message.params.arguments.is_some())
    };
    assert_eq!(request("tools/call", "{}"), Err(ScanError::BadField("name")));
    assert_eq!(request("prompts/get", r#"{"name":null}"#), Err(ScanError::BadField("name")));
    assert_eq!(
        request("tools/call", r#"{"name":"t","arguments":[]}"#),
        Err(ScanError::BadField("arguments"))
    );
    assert_eq!(request("tools/call", r#"{"name":"t","arguments":null}"#), Ok(false));
    assert_eq!(request("tools/call", r#"{"name":"t","arguments":{}}"#), Ok(true));
    assert_eq!(request("resources/read", r#"{"uri":7}"#), Err(ScanError::BadField("uri")));
    assert_eq!(request("initialize", "{}"), Err(ScanError::BadField("protocolVersion")));
    assert_eq!(request("x/y", r#"{"name":{},"uri":[],"arguments":1}"#), Ok(false));
}

#[test]
fn duplicates_are_refused_wherever_they_stand() {
    for params in [
        r#"{"name":"a","na\u006de":"b"}"#,
        r#"{"name":"a","arguments":{"x":{"y":1,"y":2}}}"#,
        r#"{"name":"a","_meta":{"k":1,"\u006b":2}}"#,
        r#"{"name":"a"},"params":{"name":"b"}"#,
    ] {
        assert!(
            matches!(read(&call(params)), Err(ScanError::Json(JsonError::DuplicateKey { .. }))),
            "{params}"
        );
    }
}

#[test]
fn lookalikes_of_judged_keys_are_refused() {
    assert_eq!(read(&call(r#"{"name":"a","Name":"b"}"#)).unwrap_err(), ScanError::Lookalike("name"));
    assert_eq!(read(&call(r#"{"name":"a","_META":{}}"#)).unwrap_err(), ScanError::Lookalike("_meta"));
    assert_eq!(
        read(&call("{\"name\":\"a\",\"argument\u{17f}\":{}}")).unwrap_err(),
        ScanError::Lookalike("arguments")
    );
    assert_eq!(
        read(&call("{\"name\":\"a\",\"tas\u{212a}ID\":{}}")).unwrap_err(),
        ScanError::Lookalike("taskId")
    );
    assert_eq!(read(&call(r#"{"name":"a"},"Method":"ping""#)).unwrap_err(), ScanError::Lookalike("method"));
    assert!(read(&call(r#"{"name":"a","names":1,"näme":2}"#)).is_ok());
}

#[test]
fn strips_meta_members_and_nothing_else() {
    let body =
        call(r#"{ "name":"t", "_meta" : { "a":1 , "b" : {"c":[]}, "authorization":{"token":"x"} } , "z":0}"#);
    let message = read(&body).unwrap();
    let strip = |keys: &[&str]| without_meta(&message, keys).map(|body| String::from_utf8(body).unwrap());
    assert_eq!(strip(&["nothing"]), None);
    assert_eq!(strip(&[]), None);
    assert_eq!(
        strip(&["authorization", "nothing"]).unwrap(),
        call(r#"{ "name":"t", "_meta" : { "a":1 , "b" : {"c":[]} } , "z":0}"#)
    );
    assert_eq!(
        strip(&["b", "a", "authorization"]).unwrap(),
        call(r#"{ "name":"t", "_meta" : {    } , "z":0}"#)
    );
    assert_eq!(without_meta(&read(&call(r#"{"name":"t"}"#)).unwrap(), &["a"]), None);
}

#[test]
fn reads_responses_and_legacy_capabilities() {
    let message = read(r#"{"jsonrpc":"2.0","id":"s-1","result":{"action":"accept"}}"#).unwrap();
    assert_eq!((message.result, message.error), (Some(&br#"{"action":"accept"}"#[..]), None));
    let body = concat!(
        r#"{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-11-25","#,
        r#""capabilities":{"elicitation":{},"sampling":true},"clientInfo":{"name":"x","version":"1"}}}"#
    );
    let message = read(body).unwrap();
    assert_eq!(message.params.protocol_version.as_deref(), Some("2025-11-25"));
    assert!(message.has_capability(&["elicitation"]) && message.has_capability(&["sampling"]));
    assert!(!message.has_capability(&["elicitation", "url"]));
    let cancelled =
        read(r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":"q"}}"#).unwrap();
    assert_eq!(cancelled.params.request_id.unwrap().as_raw(), br#""q""#);
}

#[test]
fn debug_shows_no_credential() {
    let body = call(
        r#"{"name":"t","arguments":{"k":"SECRET"},"requestState":"SECRET","_meta":{"authorization":{"token":"SECRET"}}}"#,
    );
    let message = read(&body).unwrap();
    let member = &message.params.meta.as_ref().unwrap().members()[0];
    let shown = format!("{message:?} {member:?}");
    assert!(!shown.contains("SECRET") && !shown.contains("83, 69, 67"), "{shown}");
    assert!(shown.contains("tools/call") && shown.contains("authorization"), "{shown}");
}

#[test]
fn members_of_meta_are_set_once_whatever_stood_there() {
    let put = |body: &str| {
        let message = read(body).unwrap();
        String::from_utf8(with_meta(&message, &["gone"], &[("who", b"{\"a\":1}"), ("x", b"2")])).unwrap()
    };
    let request = |params: &str| format!(r#"{{"jsonrpc":"2.0","id":1,"method":"ping"{params}}}"#);
    let set = r#""who":{"a":1},"x":2"#;
    for (before, after) in [
        ("", format!(r#","params":{{"_meta":{{{set}}}}}"#)),
        (r#","params":{"a":1}"#, format!(r#","params":{{"a":1,"_meta":{{{set}}}}}"#)),
        (r#","params":{"_meta":{}}"#, format!(r#","params":{{"_meta":{{{set}}}}}"#)),
        (r#","params":{"_meta":{"who":0,"gone":1}}"#, format!(r#","params":{{"_meta":{{{set}}}}}"#)),
        (
            r#","params":{"_meta":{"\u0077ho":0, "k":1 ,"x":[1]},"z":1}"#,
            format!(r#","params":{{"_meta":{{ "k":1 ,{set}}},"z":1}}"#),
        ),
    ] {
        assert_eq!(put(&request(before)), request(&after), "{before}");
    }
}
