//! What a request offers in payment, judged once however often it is asked about.

use std::sync::OnceLock;

use octroi_l402::{Credential, MasterKeys, Verified, VerifyError};

use crate::credentials::Proof;

/// The proof that came with one request.
pub(crate) struct Tender<'a> {
    proof: Option<&'a Proof>,
    /// The judgement on a credential, from when it is first asked for.
    judged: OnceLock<Result<Verified, VerifyError>>,
}

impl<'a> Tender<'a> {
    /// Nothing is judged yet.
    pub(crate) const fn new(proof: Option<&'a Proof>) -> Self {
        Self { proof, judged: OnceLock::new() }
    }

    pub(super) const fn proof(&self) -> Option<&'a Proof> {
        self.proof
    }

    /// The credential, unjudged; `None` where none is offered.
    pub(super) const fn credential(&self) -> Option<&'a Credential> {
        match self.proof {
            Some(Proof::Credential(credential)) => Some(credential),
            _ => None,
        }
    }

    /// Whether its `credential` was made here, opened by its preimage and for `service`, whatever its age. The gate that asks
    /// has one set of keys and one service: the first answer is every answer.
    pub(super) fn judge(
        &self,
        credential: &Credential,
        keys: &MasterKeys,
        service: &str,
    ) -> &Result<Verified, VerifyError> {
        self.judged.get_or_init(|| octroi_l402::authenticate(credential, keys, service))
    }

    /// The credential where one is offered and genuine, whatever its age.
    pub(super) fn genuine(&self, keys: &MasterKeys, service: &str) -> Option<&Verified> {
        self.judge(self.credential()?, keys, service).as_ref().ok()
    }
}

#[cfg(test)]
mod tests {
    use octroi_l402::{Identifier, Macaroon, Preimage, Terms};

    use super::*;

    fn credential(keys: &MasterKeys) -> Proof {
        let preimage = Preimage::from_bytes([8; 32]);
        let token_id = keys.new_token_id([9; 28]);
        let identifier = Identifier { payment_hash: preimage.payment_hash(), token_id };
        let caveats = Terms::new("mcp").to_caveats().unwrap();
        let macaroon = Macaroon::mint(&keys.root_key(&token_id).unwrap(), &identifier, "", &caveats).unwrap();
        Proof::Credential(Credential::new(macaroon.encode_v2(), preimage))
    }

    #[test]
    fn a_credential_is_judged_once() {
        let (ours, others) = (MasterKeys::new((1, [7; 32])), MasterKeys::new((2, [7; 32])));
        let proof = credential(&ours);
        let good = Tender::new(Some(&proof));
        assert!(good.genuine(&ours, "mcp").is_some());
        assert!(good.genuine(&others, "mcp").is_some(), "it was judged already");
        let bad = Tender::new(Some(&proof));
        assert_eq!(bad.judge(bad.credential().unwrap(), &others, "mcp"), &Err(VerifyError::UnknownKey));
        assert!(bad.genuine(&ours, "mcp").is_none(), "it was judged already");
    }

    #[test]
    fn what_is_no_credential_is_not_judged() {
        let keys = MasterKeys::new((1, [7; 32]));
        assert_eq!(Tender::new(None).genuine(&keys, "mcp"), None);
        let unreadable = Proof::Unreadable("why".into());
        assert_eq!(Tender::new(Some(&unreadable)).genuine(&keys, "mcp"), None);
    }
}
