-- Schema 1 of the embedded ledger. Amounts are millisatoshi or calls (see unit), times Unix seconds unless named _ms.
-- Ids of 16 bytes grow with time, so that new rows land on the last page of their table.
-- References between tables are not declared as foreign keys: they would be looked up on every call. `octroi ledger verify`
-- checks them instead.

-- What is called, and therefore what is earned.
CREATE TABLE tools (
    id      INTEGER PRIMARY KEY,
    service TEXT NOT NULL,
    tool    TEXT NOT NULL,
    UNIQUE (service, tool)
) STRICT;

-- kind: 0 credential, 1 lightning, 2 work, 3 vouchers (where credit comes from: these go below zero),
--       4 revenue in money and 5 revenue in work (one per tool), 6 suspense (money that belongs to nobody known).
-- unit: 0 millisatoshi, 1 calls.
-- balance is the sum of the account's entries; held is the sum of its open holds and part of balance.
CREATE TABLE accounts (
    id         INTEGER PRIMARY KEY,
    kind       INTEGER NOT NULL CHECK (kind BETWEEN 0 AND 6),
    unit       INTEGER NOT NULL CHECK (unit IN (0, 1)),
    token      BLOB CHECK (length(token) = 32),
    owner      BLOB CHECK (length(owner) = 32),
    tool       INTEGER NOT NULL DEFAULT 0,
    balance    INTEGER NOT NULL DEFAULT 0,
    held       INTEGER NOT NULL DEFAULT 0,
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL DEFAULT 0,
    CHECK ((kind = 0) = (token IS NOT NULL)),
    -- No account below zero, holds counted.
    CHECK (kind <> 0 OR (held >= 0 AND balance >= held))
) STRICT;
CREATE UNIQUE INDEX accounts_by_token ON accounts (token) WHERE token IS NOT NULL;
CREATE INDEX accounts_by_owner ON accounts (owner, id) WHERE owner IS NOT NULL;
CREATE UNIQUE INDEX accounts_of_the_house ON accounts (kind, unit, tool) WHERE kind <> 0;

-- A transaction. It has exactly two entries, so it is one row that cannot fail to sum to zero.
-- kind: 0 payment, 1 work, 2 voucher, 3 call.
CREATE TABLE transactions (
    id     BLOB PRIMARY KEY CHECK (length(id) = 16),
    kind   INTEGER NOT NULL CHECK (kind BETWEEN 0 AND 3),
    at_ms  INTEGER NOT NULL,
    source INTEGER NOT NULL,
    target INTEGER NOT NULL CHECK (target <> source),
    amount INTEGER NOT NULL CHECK (amount > 0)
) STRICT, WITHOUT ROWID;
CREATE VIEW entries (transaction_id, account, amount) AS
    SELECT id, source, -amount FROM transactions UNION ALL SELECT id, target, amount FROM transactions;

-- Open holds. When one ends its row moves to calls.
CREATE TABLE holds (
    id       BLOB PRIMARY KEY CHECK (length(id) = 16),
    account  INTEGER NOT NULL,
    tool     INTEGER NOT NULL,
    amount   INTEGER NOT NULL CHECK (amount >= 0),
    call_ref BLOB CHECK (length(call_ref) = 32)
) STRICT, WITHOUT ROWID;

-- Calls that have ended. What was captured is the amount of the transaction with the same id; nothing captured, none.
-- ended_as: 0 captured, 1 voided, 2 voided on recovery.
CREATE TABLE calls (
    id       BLOB PRIMARY KEY CHECK (length(id) = 16),
    account  INTEGER NOT NULL,
    tool     INTEGER NOT NULL,
    held     INTEGER NOT NULL CHECK (held >= 0),
    captured INTEGER NOT NULL CHECK (captured BETWEEN 0 AND held),
    ended_as INTEGER NOT NULL CHECK (ended_as BETWEEN 0 AND 2),
    ended_ms INTEGER NOT NULL,
    CHECK (ended_as = 0 OR captured = 0)
) STRICT, WITHOUT ROWID;

-- References of calls that are open or charged: the same call is charged once.
CREATE TABLE call_refs (
    call_ref BLOB PRIMARY KEY CHECK (length(call_ref) = 32),
    call     BLOB NOT NULL CHECK (length(call) = 16)
) STRICT, WITHOUT ROWID;
CREATE INDEX call_refs_by_call ON call_refs (call);

-- Invoices offered.
CREATE TABLE quotes (
    payment_hash       BLOB PRIMARY KEY CHECK (length(payment_hash) = 32),
    token              BLOB NOT NULL CHECK (length(token) = 32),
    owner              BLOB CHECK (length(owner) = 32),
    service            TEXT NOT NULL,
    tool               TEXT NOT NULL,
    calls              INTEGER NOT NULL,
    price              INTEGER NOT NULL CHECK (price > 0),
    call_price         INTEGER NOT NULL,
    created_at         INTEGER NOT NULL,
    expires_at         INTEGER NOT NULL,
    token_expires_at   INTEGER NOT NULL,
    paid               INTEGER NOT NULL DEFAULT 0 CHECK (paid IN (0, 1))
) STRICT, WITHOUT ROWID;
CREATE INDEX quotes_unpaid ON quotes (expires_at) WHERE paid = 0;

-- Payments and vouchers credited: a payment hash is credited once.
CREATE TABLE credits (
    payment_hash   BLOB PRIMARY KEY CHECK (length(payment_hash) = 32),
    transaction_id BLOB NOT NULL UNIQUE CHECK (length(transaction_id) = 16),
    account        INTEGER NOT NULL,
    credited_at    INTEGER NOT NULL,
    node           TEXT NOT NULL,
    calls          INTEGER NOT NULL,
    note           TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- Puzzles rewarded: each once, remembered until it has ended.
CREATE TABLE works (
    challenge_id   BLOB PRIMARY KEY CHECK (length(challenge_id) = 16),
    transaction_id BLOB NOT NULL,
    service        TEXT NOT NULL,
    expires_at     INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX works_by_end ON works (expires_at);

-- Where each Lightning node's stream of settlements is to be resumed.
CREATE TABLE cursors (
    node   TEXT PRIMARY KEY,
    cursor TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- One row that is written to learn whether the disk takes writes again.
CREATE TABLE pulse (
    id    INTEGER PRIMARY KEY CHECK (id = 0),
    beats INTEGER NOT NULL
) STRICT;
INSERT INTO pulse VALUES (0, 0);

-- Append-only.
CREATE TRIGGER transactions_stay BEFORE UPDATE ON transactions BEGIN SELECT RAISE(ABORT, 'append-only'); END;
CREATE TRIGGER transactions_last BEFORE DELETE ON transactions BEGIN SELECT RAISE(ABORT, 'append-only'); END;
CREATE TRIGGER calls_stay BEFORE UPDATE ON calls BEGIN SELECT RAISE(ABORT, 'append-only'); END;
CREATE TRIGGER calls_last BEFORE DELETE ON calls BEGIN SELECT RAISE(ABORT, 'append-only'); END;
CREATE TRIGGER credits_stay BEFORE UPDATE ON credits BEGIN SELECT RAISE(ABORT, 'append-only'); END;
CREATE TRIGGER credits_last BEFORE DELETE ON credits BEGIN SELECT RAISE(ABORT, 'append-only'); END;
CREATE TRIGGER accounts_last BEFORE DELETE ON accounts BEGIN SELECT RAISE(ABORT, 'accounts stay'); END;
