use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::{Binding, Difficulty, Signer};

fn submission() -> Submission {
    let binding =
        Binding { tool: None, principal: None, arguments_digest: None, calls: 1, service: "toll".to_owned() };
    let difficulty = Difficulty::from_bits(8).unwrap();
    let challenge = Signer::new((1, [7; 32])).issue(difficulty, binding, 1000, 60, [9; 16]);
    Submission::new(challenge, "00ff").unwrap()
}

#[test]
fn headers_in_any_order_and_spacing() {
    let token = submission().challenge.to_token();
    for header in [
        submission().to_header(),
        format!("challenge={token}, nonce=00ff"),
        format!("  nonce = 00ff ,\tChallenge = {token} "),
        format!("NONCE=\"00ff\",challenge=\"{token}\""),
        format!("challenge={token}==,nonce=00ff,algorithm=sha256"),
    ] {
        assert_eq!(Submission::from_header(&header).unwrap(), submission(), "{header}");
    }
}

#[test]
fn headers_that_are_no_solution() {
    let token = submission().challenge.to_token();
    let cases = [
        (String::new(), SubmissionError::Form),
        (token.clone(), SubmissionError::Form),
        (format!("challenge={token}"), SubmissionError::Form),
        ("nonce=1".to_owned(), SubmissionError::Form),
        (format!("challenge={token},nonce=1,nonce=1"), SubmissionError::Twice("nonce")),
        (format!("challenge={token},Challenge={token},nonce=1"), SubmissionError::Twice("challenge")),
        (format!("challenge={token},nonce="), SubmissionError::Nonce),
        (format!("challenge={token},nonce=\u{e9}"), SubmissionError::Nonce),
        (format!("challenge={token},nonce={}", "1".repeat(MAX_NONCE + 1)), SubmissionError::Nonce),
        ("challenge=e30,nonce=1".to_owned(), SubmissionError::Challenge(ChallengeError::Token)),
        ("x".repeat(MAX_HEADER + 1), SubmissionError::Form),
    ];
    for (header, error) in cases {
        assert_eq!(Submission::from_header(&header), Err(error), "{header}");
    }
}

#[test]
fn json_is_the_challenge_and_a_nonce() {
    let mut json = serde_json::to_value(&submission().challenge).unwrap();
    assert!(serde_json::from_value::<Submission>(json.clone()).is_err(), "without a nonce");
    json["nonce"] = "00ff".into();
    assert_eq!(serde_json::from_value::<Submission>(json.clone()).unwrap(), submission());
    assert_eq!(serde_json::to_value(submission()).unwrap(), json);
    for bad in [json!(""), json!(255), json!("\n"), json!("1".repeat(MAX_NONCE + 1))] {
        json["nonce"] = bad.clone();
        assert!(serde_json::from_value::<Submission>(json.clone()).is_err(), "{bad}");
    }
}

proptest! {
    #[test]
    fn any_header_is_read_or_refused(text in "\\PC{0,200}", near in "(challenge|nonce|=|,|\"|[ a-zA-Z0-9_-]){0,40}") {
        crate::invariants::submission(&text);
        crate::invariants::submission(&near);
    }
}
