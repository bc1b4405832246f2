//! What must hold for any text at all. The fuzz target and the property tests call this; nothing else does.

use crate::{Algorithm, Challenge, PARTS, PowError, Request, Signer, Submission};

/// The readers of a header value, a token and a JSON object never panic; what one of them takes is written and read again
/// as the same; nothing is taken for a challenge issued here.
///
/// # Panics
/// When one of these does not hold.
pub fn submission(text: &str) {
    let json = serde_json::from_str::<Submission>(text).ok();
    for read in Submission::from_header(text).ok().into_iter().chain(json) {
        let text = serde_json::to_string(&read).unwrap_or_default();
        assert!(serde_json::from_str::<Submission>(&text).is_ok_and(|again| again == read));
        challenge(&read.challenge, &read.nonce);
    }
    if let Ok(read) = Challenge::from_token(text) {
        challenge(&read, "0");
    }
}

fn challenge(read: &Challenge, nonce: &str) {
    let token = read.to_token();
    assert!(
        Challenge::from_token(&token).is_ok_and(|again| again == *read) || token.len() > crate::MAX_TOKEN
    );
    let request = Request { service: "toll", tool: None, principal: None, arguments_digest: None };
    let verdict = Signer::new((0, [0x42; 32])).verify(read, nonce, 0, &request);
    assert!(
        matches!(verdict, Err(PowError::Forged | PowError::Expired | PowError::Malformed)),
        "{verdict:?}"
    );
}

/// A nonce of any form is judged without a panic for every kind, and none solves a puzzle that nothing can solve.
///
/// # Panics
/// When one of these does not hold.
pub fn nonce(text: &str) {
    for kind in Algorithm::ALL.into_iter().filter(|kind| kind.is_available()) {
        assert_eq!(kind.is_solved("octroi", &[0; 32], text), Ok(false), "{kind:?}");
        let open = kind.is_solved("octroi", &[0xff; 32], text);
        // Where every hash is below the target, the form alone decides.
        match kind {
            Algorithm::Sha256 => assert_eq!(open, Ok(true)),
            Algorithm::Sha256x16 => {
                let parts: Vec<&str> = text.split('.').collect();
                let form = parts.len() == PARTS && parts.iter().all(|part| !part.is_empty());
                assert_eq!(open, Ok(form));
            }
            Algorithm::Equix => assert!(open.is_ok()),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn any_nonce(text in "[0-9a-f.]{0,60}|([0-9a-f]{1,4}\\.){15}[0-9a-f]{1,4}|\\PC{0,40}") {
            super::nonce(&text);
        }
    }
}
