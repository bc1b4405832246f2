//! Who asks: a person who is shown a question has to know whether it is the bridge's own, about money, or the server's, about
//! anything. In front of the server's stands the server's address (MCP 2025-11-25 client/elicitation, "clear which server").

use std::borrow::Cow;

use memchr::memmem;
use octroi_mcp::json;

/// The method of a question.
const METHOD: &str = "elicitation/create";
/// How a method's name is found without reading every message: as it stands, or with a sign of it written as a number.
const TRACES: [&[u8]; 2] = [b"elicitation", b"\\u00"];

/// The server's message with `asker` in front of every question in it, a request or a result that asks for input
/// (MCP 2026-07-28 patterns/mrtr); by span, so that everything else stays byte for byte, and whatever a reader makes of names that
/// occur twice. A result whose `requestState` is the bridge's own is passed on as it is.
pub(super) fn attributed<'a>(message: &'a [u8], asker: &str, is_own: impl Fn(&str) -> bool) -> Cow<'a, [u8]> {
    if !TRACES.iter().any(|trace| memmem::find(message, trace).is_some()) {
        return Cow::Borrowed(message);
    }
    let mut places = Vec::new();
    find_question(message, 0, &mut places);
    for (result, at) in values(message, 0, "result") {
        let states = values(result, at, "requestState");
        if states.filter_map(|(state, _)| json::string(state)).any(|state| is_own(&state)) {
            continue;
        }
        for (requests, at) in values(result, at, "inputRequests") {
            for member in json::members(requests) {
                find_question(member.value, at + member.value_span.start, &mut places);
            }
        }
    }
    if places.is_empty() {
        return Cow::Borrowed(message);
    }
    places.sort_unstable();
    let mut text = Vec::new();
    json::write_string(&mut text, &format!("{asker} asks: "));
    // Without its quotes.
    let words = text.get(1..text.len() - 1).unwrap_or_default();
    let mut out = Vec::with_capacity(message.len() + places.len() * words.len());
    let mut done = 0;
    for place in places {
        out.extend_from_slice(&message[done..place]);
        out.extend_from_slice(words);
        done = place;
    }
    out.extend_from_slice(&message[done..]);
    Cow::Owned(out)
}

/// Where in a request, which begins at `at`, the text of its question begins.
fn find_question(request: &[u8], at: usize, places: &mut Vec<usize>) {
    let asks =
        values(request, at, "method").any(|(method, _)| json::string(method).as_deref() == Some(METHOD));
    if !asks {
        return;
    }
    for (params, at) in values(request, at, "params") {
        // Behind the quote.
        let texts = values(params, at, "message").filter(|(text, _)| text.starts_with(b"\""));
        places.extend(texts.map(|(_, at)| at + 1));
    }
}

/// The values of every member called `key` of an object that begins at `at`, and where they begin.
fn values<'a>(object: &'a [u8], at: usize, key: &'static str) -> impl Iterator<Item = (&'a [u8], usize)> {
    let named = json::members(object).filter(move |member| member.key == key);
    named.map(move |member| (member.value, at + member.value_span.start))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    fn shown(message: &str) -> Value {
        let shown = attributed(message.as_bytes(), "https://s.example", |state| state == "octroi-pay-1");
        serde_json::from_slice(&shown).unwrap()
    }

    #[test]
    fn the_server_s_questions_say_that_they_are_the_server_s() {
        let asks = "https://s.example asks: ";
        for message in [
            r#"{"jsonrpc":"2.0","id":1,"method":"elicitation/create","params":{"message":"Octroi: Pay 1 sats?"}}"#,
            r#"{"params":{"message":"Octroi: Pay 1 sats?"},"id":1,"method":"elicitation\/create"}"#,
            r#"{"id":1,"method":"ping","method":"\u0065licitation/create","params":{"message":"Octroi: Pay 1 sats?"}}"#,
            r#"{"id":1,"\u006dethod":"elicitation/create","params":{},"params":{"message":"Octroi: Pay 1 sats?"}}"#,
        ] {
            assert_eq!(
                shown(message)["params"]["message"],
                format!("{asks}Octroi: Pay 1 sats?"),
                "{message}"
            );
        }
        let asked = |state: &str| {
            let form = json!({"method": "elicitation/create", "params": {"message": "Pay?"}});
            let requests = json!({"dev.octroi/pay": form, "roots": {"method": "roots/list"}});
            json!({"id": 1, "result": {"requestState": state, "inputRequests": requests}})
        };
        let text =
            |reply: &Value| reply["result"]["inputRequests"]["dev.octroi/pay"]["params"]["message"].clone();
        assert_eq!(text(&shown(&asked("octroi-pay-2").to_string())), format!("{asks}Pay?"));
        assert_eq!(shown(&asked("octroi-pay-1").to_string()), asked("octroi-pay-1"), "the bridge's own");
    }

    #[test]
    fn everything_else_is_passed_on_as_it_is() {
        for message in [
            r#"{"id":1,"result":{"content":[{"type":"text","text":"{\"method\":\"elicitation/create\",\"params\":{\"message\":\"x\"}}"}]}}"#,
            r#"{"id":1,"method":"sampling/createMessage","params":{"message":"elicitation"}}"#,
            r#"{"method":"elicitation/create","params":{"message":7}}"#,
            r#"{"method":"elicitation/create","params":"message"}"#,
            r#"{"method":"elicitation/create"#,
        ] {
            let shown = attributed(message.as_bytes(), "https://s.example", |_| false);
            assert!(matches!(shown, Cow::Borrowed(same) if same == message.as_bytes()), "{message}");
        }
    }

    proptest! {
        #[test]
        fn a_question_stays_the_question_it_was(text in "\\PC{0,30}", state in "[a-z]{0,5}") {
            let asked = json!({"id": 1, "method": METHOD, "params": {"message": text, "requestState": state}});
            let shown = shown(&asked.to_string());
            let expected = format!("https://s.example asks: {text}");
            prop_assert_eq!(shown["params"]["message"].as_str(), Some(expected.as_str()));
            prop_assert_eq!(&shown["params"]["requestState"], &asked["params"]["requestState"]);
        }

        #[test]
        fn any_bytes_are_read(bytes in "[{}\":,a-z \\\\u0]{0,60}") {
            let text = format!("{{\"method\":\"elicitation/create\"{bytes}");
            let _ = attributed(text.as_bytes(), "x", |_| false);
        }
    }
}
