//! `auth.identity.dpop`: tokens that are bound to a key (RFC 9449).

use super::super::super::DpopConfig;
use super::super::super::reader::Field;

/// Reads the section; an empty one takes proofs and demands none.
pub(super) fn read(field: &Field<'_>) -> Option<DpopConfig> {
    if !field.is_given() || field.is_false() {
        return None;
    }
    let section = field.section();
    let mut proofs = octroi_identity::DpopConfig::default();
    let most = i64::try_from(octroi_identity::DpopConfig::MAX_PROOF_SECONDS).unwrap_or(i64::MAX);
    if let Some(seconds) = section.field("proof_seconds").number(1..=most, "seconds") {
        proofs.proof_seconds = seconds;
    }
    proofs.nonce = section.field("nonce").boolean().unwrap_or(false);
    let required = section.field("required").boolean().unwrap_or(false);
    section.finish();
    Some(DpopConfig { proofs, required })
}
