//! The caller's side: a purse of credentials, budgets, wallets, proof of work.
