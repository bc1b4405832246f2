-- Schema 1 of a ledger in PostgreSQL. Amounts are millisatoshi or calls (see unit), times Unix seconds unless named _ms.
-- Several gates write here. What a call does on its way touches rows of its payer and rows of its gate, and none that all share.
-- References between tables are not declared as foreign keys: they would be looked up, and locked, on every call.
-- `octroi ledger verify` checks them instead.

CREATE FUNCTION hex(bytes bytea) RETURNS text LANGUAGE sql IMMUTABLE AS $$ SELECT encode(bytes, 'hex') $$;

-- Gates, one row for each life of one. One whose alive_until has passed is dead: others void what it held, and end it.
-- slot: which rows of the ledger's own accounts it writes. No two living gates have the same.
CREATE TABLE gates (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    slot        integer NOT NULL,
    started_at  timestamptz NOT NULL DEFAULT now(),
    alive_until timestamptz NOT NULL,
    ended       boolean NOT NULL DEFAULT false
);
CREATE UNIQUE INDEX gates_by_slot ON gates (slot) WHERE NOT ended;

-- What is called, and therefore what is earned.
CREATE TABLE tools (
    id      bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    service text NOT NULL,
    tool    text NOT NULL,
    UNIQUE (service, tool)
);

-- kind: 0 credential, 1 lightning, 2 work, 3 vouchers (where credit comes from: these go below zero),
--       4 revenue in money and 5 revenue in work (one per tool), 6 suspense (money that belongs to nobody known).
--       The ledger's own accounts have a row for each slot, so that no row is written by all gates; the sum counts.
-- unit: 0 millisatoshi, 1 calls.
-- balance is the sum of the account's entries; held is the sum of its open holds and part of balance.
CREATE TABLE accounts (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kind       smallint NOT NULL CHECK (kind BETWEEN 0 AND 6),
    unit       smallint NOT NULL CHECK (unit IN (0, 1)),
    token      bytea CHECK (length(token) = 32),
    owner      bytea CHECK (length(owner) = 32),
    tool       bigint NOT NULL DEFAULT 0,
    slot       integer NOT NULL DEFAULT 0,
    balance    bigint NOT NULL DEFAULT 0,
    held       bigint NOT NULL DEFAULT 0,
    created_at bigint NOT NULL,
    expires_at bigint NOT NULL DEFAULT 0,
    -- The credential, or its owner, is revoked.
    revoked    boolean NOT NULL DEFAULT false,
    CHECK ((kind = 0) = (token IS NOT NULL)),
    -- No account below zero, holds counted.
    CHECK (kind <> 0 OR (held >= 0 AND balance >= held))
) WITH (fillfactor = 70);
CREATE UNIQUE INDEX accounts_by_token ON accounts (token) WHERE token IS NOT NULL;
CREATE INDEX accounts_by_owner ON accounts (owner, id) WHERE owner IS NOT NULL;
CREATE UNIQUE INDEX accounts_of_the_house ON accounts (kind, unit, tool, slot) WHERE kind <> 0;

-- Money that came in. A transaction has exactly two entries, so it is one row that cannot fail to sum to zero.
-- kind: 0 payment, 1 work, 2 voucher.
CREATE TABLE transactions (
    id     bytea PRIMARY KEY CHECK (length(id) = 16),
    kind   smallint NOT NULL CHECK (kind BETWEEN 0 AND 2),
    at_ms  bigint NOT NULL,
    source bigint NOT NULL,
    target bigint NOT NULL CHECK (target <> source),
    amount bigint NOT NULL CHECK (amount > 0)
);

-- Open holds, and the gate that is to end each. limits: what the hold has taken of limits (see limit.rs).
CREATE TABLE holds (
    id      bytea PRIMARY KEY CHECK (length(id) = 16),
    gate    bigint NOT NULL,
    account bigint NOT NULL,
    tool    bigint NOT NULL,
    amount  bigint NOT NULL CHECK (amount >= 0),
    limits  bytea
);

-- Calls that have ended. What was captured has moved from account to earned_by (0: nothing moved).
-- ended_as: 0 captured, 1 voided, 2 voided on recovery.
CREATE TABLE calls (
    id        bytea PRIMARY KEY CHECK (length(id) = 16),
    account   bigint NOT NULL,
    tool      bigint NOT NULL,
    held      bigint NOT NULL CHECK (held >= 0),
    captured  bigint NOT NULL CHECK (captured BETWEEN 0 AND held),
    ended_as  smallint NOT NULL CHECK (ended_as BETWEEN 0 AND 2),
    ended_ms  bigint NOT NULL,
    earned_by bigint NOT NULL,
    CHECK (ended_as = 0 OR captured = 0)
);

CREATE VIEW entries (id, account, amount) AS
    SELECT id, source, -amount FROM transactions UNION ALL SELECT id, target, amount FROM transactions
    UNION ALL
    SELECT id, account, -captured FROM calls WHERE captured > 0
    UNION ALL SELECT id, earned_by, captured FROM calls WHERE captured > 0;

-- Calls that may be tried again: claimed by a gate (call IS NULL), or answered, written with the charge.
CREATE TABLE answers (
    key        bytea PRIMARY KEY CHECK (length(key) = 32),
    request    bytea NOT NULL CHECK (length(request) = 32),
    gate       bigint NOT NULL,
    call       bytea UNIQUE CHECK (length(call) = 16),
    status     integer NOT NULL DEFAULT 0,
    media      text NOT NULL DEFAULT '',
    body       bytea,
    expires_at bigint NOT NULL
);
CREATE INDEX answers_by_end ON answers (expires_at);
CREATE INDEX answers_claimed ON answers (gate) WHERE call IS NULL;

-- Invoices offered.
CREATE TABLE quotes (
    payment_hash     bytea PRIMARY KEY CHECK (length(payment_hash) = 32),
    token            bytea NOT NULL CHECK (length(token) = 32),
    owner            bytea CHECK (length(owner) = 32),
    service          text NOT NULL,
    tool             text NOT NULL,
    calls            bigint NOT NULL,
    price            bigint NOT NULL CHECK (price > 0),
    call_price       bigint NOT NULL,
    created_at       bigint NOT NULL,
    expires_at       bigint NOT NULL,
    token_expires_at bigint NOT NULL,
    paid             smallint NOT NULL DEFAULT 0 CHECK (paid IN (0, 1))
);
CREATE INDEX quotes_unpaid ON quotes (expires_at) WHERE paid = 0;

-- Payments and vouchers credited: a payment hash is credited once.
CREATE TABLE credits (
    payment_hash   bytea PRIMARY KEY CHECK (length(payment_hash) = 32),
    transaction_id bytea NOT NULL UNIQUE CHECK (length(transaction_id) = 16),
    account        bigint NOT NULL,
    credited_at    bigint NOT NULL,
    node           text NOT NULL,
    calls          bigint NOT NULL,
    note           text NOT NULL
);

-- Puzzles rewarded: each once, remembered until it has ended.
CREATE TABLE works (
    challenge_id   bytea PRIMARY KEY CHECK (length(challenge_id) = 16),
    transaction_id bytea NOT NULL,
    service        text NOT NULL,
    expires_at     bigint NOT NULL
);
CREATE INDEX works_by_end ON works (expires_at);

-- Where each Lightning node's stream of settlements is to be resumed.
CREATE TABLE cursors (
    node   text PRIMARY KEY,
    cursor text NOT NULL
);

-- Limits: what is used of one in one window, of so many seconds from start. counts: 0 calls, 1 what they were charged.
CREATE TABLE counters (
    key     bytea NOT NULL CHECK (length(key) = 32),
    counts  smallint NOT NULL CHECK (counts IN (0, 1)),
    seconds integer NOT NULL CHECK (seconds > 0),
    start   bigint NOT NULL,
    used    bigint NOT NULL CHECK (used >= 0),
    PRIMARY KEY (key, counts, seconds, start)
) WITH (fillfactor = 70);
CREATE INDEX counters_by_end ON counters ((start + seconds));

-- What the operator has taken back. kind: 0 credential, 1 owner, 2 master key (its number, four bytes).
CREATE TABLE revocations (
    kind    smallint NOT NULL CHECK (kind BETWEEN 0 AND 2),
    subject bytea NOT NULL,
    at      bigint NOT NULL,
    reason  text NOT NULL,
    PRIMARY KEY (kind, subject)
);

-- Charges another ledger is to be told of; id is the call's. next_at: not before.
-- state: 0 to be told, 1 told, 2 refused for good.
CREATE TABLE outbox (
    id       bytea PRIMARY KEY CHECK (length(id) = 16),
    customer text NOT NULL,
    tool     bigint NOT NULL,
    amount   bigint NOT NULL CHECK (amount > 0),
    at_ms    bigint NOT NULL,
    state    smallint NOT NULL DEFAULT 0 CHECK (state BETWEEN 0 AND 2),
    tries    integer NOT NULL DEFAULT 0,
    next_at  bigint NOT NULL DEFAULT 0,
    told_at  bigint NOT NULL DEFAULT 0,
    why      text NOT NULL DEFAULT ''
);
CREATE INDEX outbox_due ON outbox (next_at) WHERE state = 0;
CREATE INDEX outbox_told ON outbox (told_at) WHERE state = 1;

-- Append-only.
CREATE FUNCTION append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN RAISE EXCEPTION 'append-only' USING ERRCODE = 'integrity_constraint_violation'; END $$;
CREATE TRIGGER transactions_stay BEFORE UPDATE OR DELETE OR TRUNCATE ON transactions FOR EACH STATEMENT EXECUTE FUNCTION append_only();
CREATE TRIGGER calls_stay BEFORE UPDATE OR DELETE OR TRUNCATE ON calls FOR EACH STATEMENT EXECUTE FUNCTION append_only();
CREATE TRIGGER credits_stay BEFORE UPDATE OR DELETE OR TRUNCATE ON credits FOR EACH STATEMENT EXECUTE FUNCTION append_only();
CREATE TRIGGER accounts_stay BEFORE DELETE OR TRUNCATE ON accounts FOR EACH STATEMENT EXECUTE FUNCTION append_only();
