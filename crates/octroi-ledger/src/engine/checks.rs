//! The promises, as questions to the database.

/// A promise, and a question whose every answer is a breach of it, said in one column.
pub(crate) struct Check {
    pub(crate) promise: &'static str,
    pub(crate) breaches: &'static str,
}

const ZERO_SUM: &str = "every transaction sums to zero in one unit";
const NOT_BELOW_ZERO: &str = "no account is below zero, holds counted";
const BALANCES: &str = "every balance is the sum of its entries";
const HOLDS: &str = "what is held is the sum of the open holds";
const ENDS: &str = "a hold ends exactly once, captured at most in full";
const CREDITS: &str = "a credit exists once per payment hash, or per puzzle";
const REFS: &str = "a call that is tried again is charged once";
const BILLS: &str = "other ledgers are told of what was charged, no more and no less";

/// Every promise that can be checked by asking the database, in words both engines understand.
pub(crate) const CHECKS: [Check; 14] = [
    Check {
        promise: ZERO_SUM,
        breaches: "SELECT 'transaction ' || hex(e.id) || ' sums to ' || sum(e.amount) || ' in unit ' || a.unit
            FROM entries e JOIN accounts a ON a.id = e.account GROUP BY e.id, a.unit HAVING sum(e.amount) <> 0",
    },
    Check {
        promise: ZERO_SUM,
        breaches: "SELECT 'transaction ' || hex(t.id) || ' names an account that does not exist' FROM transactions t
            WHERE NOT EXISTS (SELECT 1 FROM accounts WHERE id = t.source)
               OR NOT EXISTS (SELECT 1 FROM accounts WHERE id = t.target)",
    },
    Check {
        promise: ZERO_SUM,
        breaches: "SELECT 'all accounts of unit ' || unit || ' sum to ' || sum(balance) FROM accounts
            GROUP BY unit HAVING sum(balance) <> 0",
    },
    Check {
        promise: NOT_BELOW_ZERO,
        breaches: "SELECT 'account ' || id || ' has ' || balance || ' and holds ' || held FROM accounts
            WHERE kind = 0 AND (held < 0 OR balance < held)",
    },
    Check {
        promise: BALANCES,
        breaches: "SELECT 'account ' || a.id || ' says ' || a.balance || ', its entries ' || coalesce(e.total, 0)
            FROM accounts a LEFT JOIN (SELECT account, sum(amount) AS total FROM entries GROUP BY account) e ON e.account = a.id
            WHERE a.balance <> coalesce(e.total, 0)",
    },
    Check {
        promise: HOLDS,
        breaches: "SELECT 'account ' || a.id || ' says ' || a.held || ', its open holds ' || coalesce(h.total, 0)
            FROM accounts a LEFT JOIN (SELECT account, sum(amount) AS total FROM holds GROUP BY account) h ON h.account = a.id
            WHERE a.held <> coalesce(h.total, 0)",
    },
    Check {
        promise: ENDS,
        breaches: "SELECT 'hold ' || hex(h.id) || ' is open and has ended' FROM holds h JOIN calls c ON c.id = h.id",
    },
    Check {
        promise: ENDS,
        breaches: "SELECT 'call ' || hex(c.id) || ' captured ' || c.captured || ' of ' || c.held || ', earned by account ' || c.earned_by
            FROM calls c LEFT JOIN accounts a ON a.id = c.account
                         LEFT JOIN accounts e ON e.id = c.earned_by AND e.kind IN (4, 5) AND e.tool = c.tool
            WHERE c.captured > c.held OR (c.ended_as <> 0 AND c.captured <> 0)
               OR (c.captured > 0 AND (e.id IS NULL OR a.id IS NULL OR a.unit <> e.unit))
               OR (c.captured = 0 AND c.earned_by <> 0)
               OR (c.held > 0 AND a.id IS NULL)",
    },
    Check {
        promise: ENDS,
        breaches: "SELECT 'call ' || hex(c.id) || ' has the id of a transaction' FROM calls c JOIN transactions t ON t.id = c.id",
    },
    Check {
        promise: CREDITS,
        breaches: "SELECT 'payment ' || hex(c.payment_hash) || ' has no transaction of its own' FROM credits c
            WHERE NOT EXISTS (SELECT 1 FROM transactions t WHERE t.id = c.transaction_id AND t.kind IN (0, 2)
                              AND t.target = c.account)",
    },
    Check {
        promise: CREDITS,
        breaches: "SELECT 'transaction ' || hex(t.id) || ' credits without a payment hash' FROM transactions t
            WHERE t.kind IN (0, 2) AND NOT EXISTS (SELECT 1 FROM credits WHERE transaction_id = t.id)",
    },
    Check {
        promise: CREDITS,
        breaches: "SELECT 'puzzle ' || hex(w.challenge_id) || ' has no transaction of its own' FROM works w
            LEFT JOIN transactions t ON t.id = w.transaction_id AND t.kind = 1 WHERE t.id IS NULL
            UNION ALL
            SELECT 'transaction ' || hex(transaction_id) || ' rewards ' || count(*) || ' puzzles' FROM works
            GROUP BY transaction_id HAVING count(*) > 1",
    },
    Check {
        promise: REFS,
        breaches: "SELECT 'the answer of call ' || hex(r.call) || ' belongs to no charged call' FROM answers r
            WHERE r.call IS NOT NULL AND NOT EXISTS (SELECT 1 FROM calls WHERE id = r.call AND ended_as = 0)",
    },
    Check {
        promise: BILLS,
        breaches: "SELECT 'the outbox has ' || o.amount || ' for call ' || hex(o.id) || ', which charged '
                || coalesce(c.captured, 0)
            FROM outbox o LEFT JOIN calls c ON c.id = o.id WHERE o.amount <> coalesce(c.captured, 0)",
    },
];

/// For ledgers in a file: what only they keep.
pub(crate) const OF_FILES: [Check; 2] = [
    Check {
        promise: ENDS,
        breaches: "SELECT 'call ' || hex(c.id) || ' began on account ' || b.account || ' with ' || b.amount || ' held and ended on '
                || c.account || ' with ' || c.held
            FROM begun b CROSS JOIN calls c ON c.id = b.id
            WHERE b.account <> c.account OR b.tool <> c.tool OR b.amount <> c.held",
    },
    Check {
        promise: "the file is whole",
        breaches: "SELECT quick_check FROM pragma_quick_check(100) WHERE quick_check <> 'ok'",
    },
];
