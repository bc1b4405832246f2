//! What the operator asks, in words both engines understand. Numbers come as `bigint`, except codes.

/// One row: credentials, their money, their calls, Lightning, vouchers, suspense, captured, voided, open, unpaid quotes,
/// outbox waiting, outbox refused.
pub(super) const TOTALS: &str = "SELECT
    (SELECT count(*) FROM accounts WHERE kind = 0),
    (SELECT CAST(coalesce(sum(balance), 0) AS bigint) FROM accounts WHERE kind = 0 AND unit = 0),
    (SELECT CAST(coalesce(sum(balance), 0) AS bigint) FROM accounts WHERE kind = 0 AND unit = 1),
    (SELECT CAST(coalesce(sum(balance), 0) AS bigint) FROM accounts WHERE kind = 1 AND unit = 0),
    (SELECT CAST(coalesce(sum(balance), 0) AS bigint) FROM accounts WHERE kind = 3 AND unit = 0),
    (SELECT CAST(coalesce(sum(balance), 0) AS bigint) FROM accounts WHERE kind = 6 AND unit = 0),
    (SELECT count(*) FROM calls WHERE ended_as = 0),
    (SELECT count(*) FROM calls WHERE ended_as <> 0),
    (SELECT count(*) FROM holds),
    (SELECT count(*) FROM quotes WHERE paid = 0),
    (SELECT count(*) FROM outbox WHERE state = 0),
    (SELECT count(*) FROM outbox WHERE state = 2)";

/// A row for each tool: service, tool, money earned, calls earned by work, captured, voided.
pub(super) const REVENUE: &str = "WITH ended (tool, captured, voided) AS
        (SELECT tool, count(*) FILTER (WHERE ended_as = 0), count(*) FILTER (WHERE ended_as <> 0) FROM calls GROUP BY tool)
    SELECT t.service, t.tool,
           (SELECT CAST(coalesce(sum(balance), 0) AS bigint) FROM accounts WHERE kind = 4 AND unit = 0 AND tool = t.id),
           (SELECT CAST(coalesce(sum(balance), 0) AS bigint) FROM accounts WHERE kind = 5 AND unit = 1 AND tool = t.id),
           coalesce(e.captured, 0), coalesce(e.voided, 0)
    FROM tools t LEFT JOIN ended e ON e.tool = t.id ORDER BY t.service, t.tool";

/// One row: transactions, calls with open ones, accounts.
pub(super) const CHECKED: &str = "SELECT (SELECT count(*) FROM transactions),
    (SELECT count(*) FROM calls) + (SELECT count(*) FROM holds), (SELECT count(*) FROM accounts)";

/// The last `$1` calls: id, token, service, tool, unit, held, captured, end, when.
pub(super) const CALLS: &str = "SELECT c.id, a.token, t.service, t.tool, CAST(coalesce(a.unit, 0) AS smallint), c.held, c.captured, c.ended_as, c.ended_ms
    FROM (SELECT * FROM calls ORDER BY id DESC LIMIT $1) c
    LEFT JOIN accounts a ON a.id = c.account JOIN tools t ON t.id = c.tool ORDER BY c.id DESC";

/// The last `$1` accounts: token, owner, unit, balance, held, created, end.
pub(super) const ACCOUNTS: &str =
    "SELECT token, owner, unit, balance, held, created_at, expires_at FROM accounts
    WHERE kind = 0 ORDER BY id DESC LIMIT $1";

/// The account of token `$1`.
pub(super) const ACCOUNT: &str =
    "SELECT token, owner, unit, balance, held, created_at, expires_at FROM accounts WHERE token = $1";

/// The last `$1` revocations: kind, subject, when, why.
pub(super) const REVOCATIONS: &str =
    "SELECT kind, subject, at, reason FROM revocations ORDER BY at DESC, kind, subject LIMIT $1";

/// What moved after id `$1`, at most `$2`: id, kind, when, from, to, unit, amount.
pub(super) const JOURNAL: &str = "WITH moved (id, kind, at_ms, source, target, amount) AS (
        SELECT id, CASE kind WHEN 0 THEN 'payment' WHEN 1 THEN 'work' ELSE 'voucher' END, at_ms, source, target, amount
        FROM (SELECT * FROM transactions WHERE id > $1 ORDER BY id LIMIT $2) t
        UNION ALL
        SELECT id, 'call', ended_ms, account, earned_by, captured
        FROM (SELECT * FROM calls WHERE id > $1 AND captured > 0 ORDER BY id LIMIT $2) c),
    named (id, unit, name) AS (
        SELECT a.id, a.unit, CASE a.kind WHEN 0 THEN 'credential ' || lower(hex(a.token)) WHEN 1 THEN 'lightning' WHEN 2 THEN 'work'
            WHEN 3 THEN 'vouchers' WHEN 6 THEN 'suspense' ELSE 'revenue ' || t.service || ' ' || t.tool END
        FROM accounts a LEFT JOIN tools t ON t.id = a.tool AND a.kind IN (4, 5))
    SELECT m.id, m.kind, m.at_ms, s.name, g.name, s.unit, m.amount
    FROM moved m JOIN named s ON s.id = m.source JOIN named g ON g.id = m.target ORDER BY m.id LIMIT $2";
