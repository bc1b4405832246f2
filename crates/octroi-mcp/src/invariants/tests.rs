//! The invariants under structured random input; the fuzz targets go further.

use proptest::prelude::*;

use crate::json::tests::json_text;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn envelope_holds_for_json(doc in json_text()) {
        super::envelope(doc.as_bytes());
    }

    #[test]
    fn envelope_holds_for_calls(arguments in json_text(), meta in json_text(), lead in "[ \r\n]{0,2}") {
        let call = format!(
            "{lead}{{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/call\",\"params\":{{\"name\":\"t\",\"arguments\":{arguments}, \
             \"_meta\":{meta}}}}}"
        );
        super::envelope(call.as_bytes());
    }

    #[test]
    fn envelope_holds_for_lists(tools in prop::collection::vec(json_text(), 0..5)) {
        let named: Vec<_> = tools.iter().map(|tool| format!("{{\"name\":\"t\",\"_meta\":{tool}}} , {tool}")).collect();
        super::envelope(format!("{{\"tools\": [{} ] }}", named.join(",")).as_bytes());
    }

    #[test]
    fn envelope_holds_for_any_bytes(body in prop::collection::vec(any::<u8>(), 0..64)) {
        super::envelope(&body);
    }

    #[test]
    fn sse_holds_for_streams(lines in prop::collection::vec("(data|event|id|:|retry)?(: ?[a\u{0}]{0,3})?(\n|\r|\r\n)", 0..30), size: u8) {
        super::sse(&[&[size][..], lines.concat().as_bytes()].concat());
    }

    #[test]
    fn sse_holds_for_any_bytes(input in prop::collection::vec(prop_oneof![any::<u8>(), Just(b'\n'), Just(b'\r'), Just(b':')], 0..200)) {
        super::sse(&input);
    }
}
