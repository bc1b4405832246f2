//! A solution on its way back: a challenge and a nonce, in a header or in JSON.

use serde::{Deserialize, Serialize};

use crate::challenge::{Challenge, ChallengeError, ChallengeJson, MAX_TOKEN};

/// The most bytes of a nonce.
/// Sixteen parts of sixteen digits with their dots are 271.
pub const MAX_NONCE: usize = 320;
/// The most bytes of an `X-PoW-Solution` value: a token, a nonce, their names and some white space.
const MAX_HEADER: usize = MAX_TOKEN + MAX_NONCE + 64;

/// A challenge with the nonce that is said to solve it. In JSON: the challenge's fields and `nonce`, a string, as in the
/// body of `POST /mcp/pow/verify` or in `_meta`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "ChallengeJson", into = "ChallengeJson")]
pub struct Submission {
    /// What was to be solved.
    pub challenge: Challenge,
    /// What is said to solve it: 1 to [`MAX_NONCE`] printable ASCII characters.
    pub nonce: String,
}

/// Why a text or JSON object is no solution. The caller's fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SubmissionError {
    /// The header is not `challenge=<token>,nonce=<nonce>`.
    #[error("expected challenge=<token>,nonce=<nonce>")]
    Form,
    /// A part is given twice.
    #[error("the solution gives its {0} twice")]
    Twice(&'static str),
    /// There is no nonce, or it is not 1 to [`MAX_NONCE`] printable ASCII characters.
    #[error("the nonce is not 1 to {MAX_NONCE} printable ASCII characters")]
    Nonce,
    /// The challenge cannot be read.
    #[error(transparent)]
    Challenge(#[from] ChallengeError),
}

impl Submission {
    /// Reads the value of an `X-PoW-Solution` header: `challenge=<token>,nonce=<nonce>`, in either order, with white space
    /// anywhere between, names in any case, values bare or in double quotes. Other parts are ignored.
    ///
    /// # Errors
    /// [`SubmissionError`]. Nothing is verified where there is none.
    pub fn from_header(value: &str) -> Result<Self, SubmissionError> {
        if value.len() > MAX_HEADER {
            return Err(SubmissionError::Form);
        }
        let (mut token, mut nonce) = (None, None);
        for part in value.split(',') {
            let (name, value) = part.split_once('=').ok_or(SubmissionError::Form)?;
            let value = unquoted(value.trim_ascii());
            let (slot, name) = match name.trim_ascii() {
                name if name.eq_ignore_ascii_case("challenge") => (&mut token, "challenge"),
                name if name.eq_ignore_ascii_case("nonce") => (&mut nonce, "nonce"),
                _ => continue,
            };
            if slot.replace(value).is_some() {
                return Err(SubmissionError::Twice(name));
            }
        }
        let (Some(token), Some(nonce)) = (token, nonce) else { return Err(SubmissionError::Form) };
        Self::new(Challenge::from_token(token)?, nonce)
    }

    /// The header value that [`Submission::from_header`] reads.
    #[must_use]
    pub fn to_header(&self) -> String {
        format!("challenge={},nonce={}", self.challenge.to_token(), self.nonce)
    }

    /// Puts a nonce to its challenge.
    ///
    /// # Errors
    /// [`SubmissionError::Nonce`].
    pub fn new(challenge: Challenge, nonce: impl Into<String>) -> Result<Self, SubmissionError> {
        let nonce = nonce.into();
        if is_nonce(&nonce) { Ok(Self { challenge, nonce }) } else { Err(SubmissionError::Nonce) }
    }
}

pub(crate) fn is_nonce(text: &str) -> bool {
    (1..=MAX_NONCE).contains(&text.len()) && text.bytes().all(|byte| matches!(byte, b' '..=b'~'))
}

fn unquoted(value: &str) -> &str {
    value.strip_prefix('"').and_then(|value| value.strip_suffix('"')).unwrap_or(value)
}

impl TryFrom<ChallengeJson> for Submission {
    type Error = SubmissionError;

    fn try_from(mut json: ChallengeJson) -> Result<Self, Self::Error> {
        let nonce = json.nonce.take().ok_or(SubmissionError::Nonce)?;
        Self::new(json.try_into()?, nonce)
    }
}

impl From<Submission> for ChallengeJson {
    fn from(submission: Submission) -> Self {
        let mut json = Self::from(submission.challenge);
        json.nonce = Some(submission.nonce);
        json
    }
}

#[cfg(test)]
mod tests;
