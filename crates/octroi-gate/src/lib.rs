//! The decision: policy, identity, payment and ledger make a verdict.
