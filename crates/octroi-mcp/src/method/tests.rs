use super::*;
use crate::{json::Limits, message::scan};

#[test]
fn only_calls_and_the_unknown_may_cost() {
    for free in [
        "initialize",
        "ping",
        "server/discover",
        "logging/setLevel",
        "notifications/initialized",
        "notifications/x/y",
        "tools/list",
        "prompts/list",
        "resources/list",
        "resources/templates/list",
        "completion/complete",
        "subscriptions/listen",
        "tasks/get",
        "tasks/cancel",
        "tasks/list",
    ] {
        assert!(class(free).never_charged(), "{free}");
    }
    for dear in [
        "tools/call",
        "resources/read",
        "prompts/get",
        "tools/call/",
        "Tools/call",
        "x/list",
        "",
        "notifications",
    ] {
        assert!(!class(dear).never_charged(), "{dear}");
    }
}

#[test]
fn names_what_a_price_is_put_on() {
    let cases = [
        ("tools/call", r#"{"name":"a","uri":"b"}"#, Some(Subject::Tool("a"))),
        ("prompts/get", r#"{"name":"a"}"#, Some(Subject::Prompt("a"))),
        ("resources/read", r#"{"name":"a","uri":"b"}"#, Some(Subject::Resource("b"))),
        ("tools/list", r#"{"name":"a"}"#, None),
    ];
    for (method, params, expected) in cases {
        let body = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"{method}","params":{params}}}"#);
        assert_eq!(subject(&scan(body.as_bytes(), &Limits::default()).unwrap()), expected);
    }
}

#[test]
fn eras_differ_in_what_they_know() {
    for removed in ["initialize", "ping", "resources/subscribe", "tasks/list", "notifications/initialized"] {
        assert!(removed_in_modern(removed) && known(Era::Legacy, removed) && !known(Era::Modern, removed));
    }
    for added in ["server/discover", "subscriptions/listen", "tasks/update"] {
        assert!(known(Era::Modern, added) && !known(Era::Legacy, added));
    }
    assert!(known(Era::Modern, "tools/call") && known(Era::Legacy, "tools/call"));
    assert!(!known(Era::Modern, "tools/destroy") && !known(Era::Legacy, "tools/destroy"));
}
