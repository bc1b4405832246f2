//! What the operator asks, in words both engines understand. Numbers come as `bigint`, except codes.

/// One row: credentials, their money, their calls, Lightning, vouchers, suspense, captured, voided, open, unpaid quotes,
/// outbox waiting, outbox refused.
pub(crate) const TOTALS: &str = "SELECT
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
pub(crate) const REVENUE: &str = "WITH ended (tool, captured, voided) AS
        (SELECT tool, count(*) FILTER (WHERE ended_as = 0), count(*) FILTER (WHERE ended_as <> 0) FROM calls GROUP BY tool)
    SELECT t.service, t.tool,
           (SELECT CAST(coalesce(sum(balance), 0) AS bigint) FROM accounts WHERE kind = 4 AND unit = 0 AND tool = t.id),
           (SELECT CAST(coalesce(sum(balance), 0) AS bigint) FROM accounts WHERE kind = 5 AND unit = 1 AND tool = t.id),
           coalesce(e.captured, 0), coalesce(e.voided, 0)
    FROM tools t LEFT JOIN ended e ON e.tool = t.id ORDER BY t.service, t.tool";

/// One row: transactions, calls with open ones, accounts.
pub(crate) const CHECKED: &str = "SELECT (SELECT count(*) FROM transactions),
    (SELECT count(*) FROM calls) + (SELECT count(*) FROM holds), (SELECT count(*) FROM accounts)";

/// The last `$1` calls: id, token, service, tool, unit, held, captured, end, when.
pub(crate) const CALLS: &str = "SELECT c.id, a.token, t.service, t.tool, CAST(coalesce(a.unit, 0) AS smallint), c.held, c.captured, c.ended_as, c.ended_ms
    FROM (SELECT * FROM calls ORDER BY id DESC LIMIT $1) c
    LEFT JOIN accounts a ON a.id = c.account JOIN tools t ON t.id = c.tool ORDER BY c.id DESC";

/// The last `$1` accounts: token, owner, unit, balance, held, created, end.
pub(crate) const ACCOUNTS: &str =
    "SELECT token, owner, unit, balance, held, created_at, expires_at FROM accounts
    WHERE kind = 0 ORDER BY id DESC LIMIT $1";

/// The account of token `$1`.
pub(crate) const ACCOUNT: &str =
    "SELECT token, owner, unit, balance, held, created_at, expires_at FROM accounts WHERE token = $1";

/// The last `$1` revocations: kind, subject, when, why.
pub(crate) const REVOCATIONS: &str =
    "SELECT kind, subject, at, reason FROM revocations ORDER BY at DESC, kind, subject LIMIT $1";

/// Every node with a place in the stream of settlements: name.
pub(crate) const NODES: &str = "SELECT node FROM cursors ORDER BY node LIMIT $1";

/// One row: answers kept, and the bytes of their bodies.
pub(crate) const ANSWERS_KEPT: &str =
    "SELECT count(*), CAST(coalesce(sum(length(body)), 0) AS bigint) FROM answers";

/// Drops the bodies of the oldest answers, at most `$2` of them, so that those left have at most `$1` bytes together.
pub(crate) const DROP_BODIES: &str = "UPDATE answers SET body = NULL WHERE key IN (SELECT key FROM
        (SELECT key, expires_at, call, sum(length(body)) OVER (ORDER BY expires_at DESC, call DESC) AS newer FROM answers
         WHERE body IS NOT NULL) s
    WHERE newer > $1 ORDER BY expires_at, call LIMIT $2)";

/// Drops the `$1` oldest answers.
pub(crate) const DROP_ANSWERS: &str = "DELETE FROM answers WHERE key IN
    (SELECT key FROM answers WHERE call IS NOT NULL ORDER BY expires_at, call LIMIT $1)";

/// One row: up to which account the next `$2` counters that never start over reach, after account `$1`; none, where there are none.
pub(crate) const LASTING_UP_TO: &str = "SELECT max(account) FROM
    (SELECT account FROM counters WHERE account <> 0 AND account > $1 ORDER BY account LIMIT $2) s";

/// Forgets counters that never start over of the accounts after `$1` up to `$2`, at most `$5`: of money that is spent, where the
/// credential ended before `$3`; of work that ended before `$4`.
pub(crate) const FORGET_LASTING: &str = "DELETE FROM counters WHERE (key, counts, seconds, start) IN
    (SELECT c.key, c.counts, c.seconds, c.start FROM counters c JOIN accounts a ON a.id = c.account
     WHERE c.account <> 0 AND c.account > $1 AND c.account <= $2
       AND ((a.unit = 0 AND a.balance = 0 AND a.expires_at < $3) OR (a.unit = 1 AND a.held = 0 AND a.expires_at < $4)) LIMIT $5)";

/// What moved after id `$1`, at most `$2`: id, kind, when, from, to, unit, amount.
pub(crate) const JOURNAL: &str = "WITH moved (id, kind, at_ms, source, target, amount) AS (
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

/// Payments booked after id `$1`, at most `$2`: id, payment hash, node, what arrived, when, what was asked, until when (none:
/// nobody asked), whether it went to the suspense account, whether the operator has accepted it.
pub(crate) const PAYMENTS: &str = "SELECT t.id, c.payment_hash, c.node, t.amount, c.credited_at, q.price, q.expires_at,
        CAST(CASE WHEN a.kind = 6 THEN 1 ELSE 0 END AS bigint), CAST(CASE WHEN x.at IS NULL THEN 0 ELSE 1 END AS bigint)
    FROM (SELECT id, amount FROM transactions WHERE kind = 0 AND id > $1 ORDER BY id LIMIT $2) t
    JOIN credits c ON c.transaction_id = t.id JOIN accounts a ON a.id = c.account
    LEFT JOIN quotes q ON q.payment_hash = c.payment_hash LEFT JOIN accepted x ON x.payment_hash = c.payment_hash
    ORDER BY t.id";

/// Quotes nobody has paid, after payment hash `$1`, at most `$2`: payment hash, what was asked, until when.
pub(crate) const UNPAID: &str = "SELECT payment_hash, price, expires_at FROM quotes
    WHERE paid = 0 AND payment_hash > $1 ORDER BY payment_hash LIMIT $2";

/// Whether `$1` is credited: a row.
pub(crate) const CREDITED: &str = "SELECT payment_hash FROM credits WHERE payment_hash = $1";

/// Holds older than id `$1`, at most `$2`, oldest first: id, token, service, tool, unit, amount.
pub(crate) const OPEN_HOLDS: &str =
    "SELECT h.id, a.token, t.service, t.tool, CAST(coalesce(a.unit, 0) AS smallint), h.amount
    FROM holds h LEFT JOIN accounts a ON a.id = h.account JOIN tools t ON t.id = h.tool
    WHERE h.id < $1 ORDER BY h.id LIMIT $2";

/// Charges another ledger has refused for good, at most `$1`, oldest first: id, customer, service, tool, amount, when, why.
pub(crate) const REFUSED_BILLS: &str = "SELECT o.id, o.customer, t.service, t.tool, o.amount, o.at_ms, o.why,
           CASE WHEN o.doubtful_since = 0 THEN 0 ELSE 1 END
    FROM outbox o JOIN tools t ON t.id = o.tool WHERE o.state = 2 ORDER BY o.id LIMIT $1";

/// The cursors of all nodes of a kind.
pub(crate) const CURSORS_OF_A_KIND: &str =
    "SELECT cursor FROM cursors WHERE node = $1 OR substr(node, 1, length($1) + 1) = $1 || ':'";
