-- Schema 2: a charge is part of its call's row; answers, limits, revocations, an outbox.

-- What a call charged moves in the row of the call itself: from its account to the account that earns it (0: nothing moved).
-- A transaction of its own for each call was a second row and a second index to write on the way of every call.
DROP TRIGGER calls_stay;
DROP TRIGGER transactions_last;
DROP VIEW entries;
ALTER TABLE calls ADD COLUMN earned_by INTEGER NOT NULL DEFAULT 0;
UPDATE calls SET earned_by = t.target FROM transactions t WHERE t.id = calls.id AND t.kind = 3;
DELETE FROM transactions WHERE kind = 3;
CREATE VIEW entries (id, account, amount) AS
    SELECT id, source, -amount FROM transactions UNION ALL SELECT id, target, amount FROM transactions
    UNION ALL
    SELECT id, account, -captured FROM calls WHERE captured > 0
    UNION ALL SELECT id, earned_by, captured FROM calls WHERE captured > 0;
CREATE TRIGGER calls_stay BEFORE UPDATE ON calls BEGIN SELECT RAISE(ABORT, 'append-only'); END;
CREATE TRIGGER transactions_last BEFORE DELETE ON transactions BEGIN SELECT RAISE(ABORT, 'append-only'); END;

-- limits: what the hold has taken of limits, to be given back when nobody else can (see limit.rs).
ALTER TABLE holds RENAME TO holds_before;
CREATE TABLE holds (
    id      BLOB PRIMARY KEY CHECK (length(id) = 16),
    account INTEGER NOT NULL,
    tool    INTEGER NOT NULL,
    amount  INTEGER NOT NULL CHECK (amount >= 0),
    limits  BLOB
) STRICT, WITHOUT ROWID;
INSERT INTO holds SELECT id, account, tool, amount, NULL FROM holds_before;
DROP TABLE holds_before;

-- Answers of calls that may be tried again, written with the charge. request: a digest of what was asked.
DROP TABLE call_refs;
CREATE TABLE answers (
    key        BLOB PRIMARY KEY CHECK (length(key) = 32),
    request    BLOB NOT NULL CHECK (length(request) = 32),
    call       BLOB NOT NULL UNIQUE CHECK (length(call) = 16),
    status     INTEGER NOT NULL,
    media      TEXT NOT NULL,
    body       BLOB,
    expires_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX answers_by_end ON answers (expires_at);

-- Limits: what is used of one in one window, of so many seconds from start. counts: 0 calls, 1 what they were charged.
CREATE TABLE counters (
    key     BLOB NOT NULL CHECK (length(key) = 32),
    counts  INTEGER NOT NULL CHECK (counts IN (0, 1)),
    seconds INTEGER NOT NULL CHECK (seconds > 0),
    start   INTEGER NOT NULL,
    used    INTEGER NOT NULL CHECK (used >= 0),
    PRIMARY KEY (key, counts, seconds, start)
) STRICT, WITHOUT ROWID;
CREATE INDEX counters_by_end ON counters (start + seconds);

-- What the operator has taken back. kind: 0 credential, 1 owner, 2 master key (its number, four bytes).
CREATE TABLE revocations (
    kind    INTEGER NOT NULL CHECK (kind BETWEEN 0 AND 2),
    subject BLOB NOT NULL,
    at      INTEGER NOT NULL,
    reason  TEXT NOT NULL,
    PRIMARY KEY (kind, subject)
) STRICT, WITHOUT ROWID;

-- Charges another ledger is to be told of; id is the call's. next_at: not before; NULL: told, or never to be told.
-- state: 0 to be told, 1 told, 2 refused for good.
CREATE TABLE outbox (
    id       BLOB PRIMARY KEY CHECK (length(id) = 16),
    customer TEXT NOT NULL,
    tool     INTEGER NOT NULL,
    amount   INTEGER NOT NULL CHECK (amount > 0),
    at_ms    INTEGER NOT NULL,
    state    INTEGER NOT NULL DEFAULT 0 CHECK (state BETWEEN 0 AND 2),
    tries    INTEGER NOT NULL DEFAULT 0,
    next_at  INTEGER NOT NULL DEFAULT 0,
    told_at  INTEGER NOT NULL DEFAULT 0,
    why      TEXT NOT NULL DEFAULT ''
) STRICT, WITHOUT ROWID;
CREATE INDEX outbox_due ON outbox (next_at) WHERE state = 0;
CREATE INDEX outbox_told ON outbox (told_at) WHERE state = 1;
