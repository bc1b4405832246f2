//! Proofs that a call is paid for, as they come off the wire.

use octroi_l402::Credential;
use octroi_mcp::json;
use octroi_pow::Submission;

/// A proof of payment or of work, read but not yet judged.
pub enum Proof {
    /// A macaroon and its preimage.
    Credential(Credential),
    /// A puzzle and its nonce.
    Solution(Box<Submission>),
    /// Something that was meant as a payment credential but cannot be read; refused once identity is settled.
    Unreadable(String),
    /// Something that was meant as a solution but cannot be read; refused once identity is settled.
    UnreadableSolution(String),
}

impl Proof {
    /// `<base64 macaroon>:<hex preimage>`.
    pub(super) fn from_credential(text: &str) -> Self {
        Credential::parse(text).map_or_else(|error| Self::Unreadable(error.to_string()), Self::Credential)
    }

    /// A hexadecimal macaroon that carries its preimage as a caveat.
    pub(super) fn from_macaroon_hex(text: &str) -> Self {
        Credential::from_macaroon_hex(text)
            .map_or_else(|error| Self::Unreadable(error.to_string()), Self::Credential)
    }

    /// `challenge=…,nonce=…`.
    pub(super) fn from_solution(text: &str) -> Self {
        Submission::from_header(text).map_or_else(
            |error| Self::UnreadableSolution(error.to_string()),
            |solution| Self::Solution(Box::new(solution)),
        )
    }

    /// The raw value of `_meta["dev.octroi/payment"]`: the text of a credential (with or without `L402 `), an object
    /// `{"macaroon":…,"preimage":…}`, or a solution object.
    pub(super) fn from_meta(raw: &[u8]) -> Self {
        if let Some(text) = json::string(raw) {
            let credential = text.split_once([' ', '\t']).map_or(&*text, |(_, credential)| credential.trim());
            return Self::from_credential(credential);
        }
        if raw.first() != Some(&b'{') {
            return Self::Unreadable("a payment in `_meta` is a text or an object".to_owned());
        }
        let field = |key| json::get(raw, key).and_then(json::string);
        match (field("macaroon"), field("preimage")) {
            (Some(macaroon), Some(preimage)) => Self::from_credential(&format!("{macaroon}:{preimage}")),
            _ => serde_json::from_slice(raw).map_or_else(
                |error| Self::UnreadableSolution(error.to_string()),
                |solution| Self::Solution(Box::new(solution)),
            ),
        }
    }

    /// Whether both are the same credential, however they were written: one token in two spellings, or once with its
    /// preimage as a caveat, is one credential. With another preimage it is another one.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Credential(a), Self::Credential(b)) => {
                let one_token =
                    || matches!((a.claimed_identifier(), b.claimed_identifier()), (Ok(a), Ok(b)) if a == b);
                a == b || (a.preimage() == b.preimage() && one_token())
            }
            (Self::Solution(a), Self::Solution(b)) => a == b,
            _ => false,
        }
    }
}
