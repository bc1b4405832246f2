-- Schema 6: what a call charges is on disk with the call itself, and comes to the balances later, for many calls at once.
-- A balance written at every call was a page for every call: with many credentials, nearly all that was written.

-- Whose accounts there are. kind, unit: as before.
CREATE TABLE holders (
    id         INTEGER PRIMARY KEY,
    kind       INTEGER NOT NULL CHECK (kind BETWEEN 0 AND 6),
    unit       INTEGER NOT NULL CHECK (unit IN (0, 1)),
    token      BLOB CHECK (length(token) = 32),
    owner      BLOB CHECK (length(owner) = 32),
    tool       INTEGER NOT NULL DEFAULT 0,
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL DEFAULT 0,
    CHECK ((kind = 0) = (token IS NOT NULL))
) STRICT;
INSERT INTO holders SELECT id, kind, unit, token, owner, tool, created_at, expires_at FROM accounts;

-- What they have, but for what is unsettled. house: 1 for the ledger's own accounts, some of which go below zero. Small rows: a
-- page has some two hundred of them.
CREATE TABLE balances (
    id      INTEGER PRIMARY KEY,
    house   INTEGER NOT NULL CHECK (house IN (0, 1)),
    balance INTEGER NOT NULL,
    CHECK (house = 1 OR balance >= 0)
) STRICT;
INSERT INTO balances SELECT id, kind <> 0, balance FROM accounts;

DROP TABLE accounts;
CREATE UNIQUE INDEX holders_by_token ON holders (token) WHERE token IS NOT NULL;
CREATE INDEX holders_by_owner ON holders (owner, id) WHERE owner IS NOT NULL;
CREATE UNIQUE INDEX holders_of_the_house ON holders (kind, unit, tool) WHERE kind <> 0;
CREATE TRIGGER holders_last BEFORE DELETE ON holders BEGIN SELECT RAISE(ABORT, 'accounts stay'); END;
CREATE TRIGGER balances_last BEFORE DELETE ON balances BEGIN SELECT RAISE(ABORT, 'accounts stay'); END;

-- Calls that have begun. One has ended when it is in calls; it goes from here some time after its charge has come to the balances.
ALTER TABLE holds RENAME TO begun;
CREATE TRIGGER begun_stay BEFORE UPDATE ON begun BEGIN SELECT RAISE(ABORT, 'append-only'); END;
CREATE VIEW holds (id, account, tool, amount, limits) AS
    SELECT id, account, tool, amount, limits FROM begun b WHERE NOT EXISTS (SELECT 1 FROM calls c WHERE c.id = b.id);

-- How far that has come: of calls up to this id, accounts below this number have all that has ended.
CREATE TABLE settling (
    id    INTEGER PRIMARY KEY CHECK (id = 0),
    upto  BLOB NOT NULL CHECK (length(upto) = 16),
    below INTEGER NOT NULL
) STRICT;
INSERT INTO settling VALUES (0, zeroblob(16), 0);

-- What ended calls have moved that no balance has yet.
CREATE VIEW unsettled (account, amount, id) AS
    SELECT c.account, -c.captured, b.id FROM begun b CROSS JOIN calls c ON c.id = b.id CROSS JOIN settling s
        WHERE c.captured > 0 AND (b.id > s.upto OR c.account >= s.below)
    UNION ALL
    SELECT c.earned_by, c.captured, b.id FROM begun b CROSS JOIN calls c ON c.id = b.id CROSS JOIN settling s
        WHERE c.captured > 0 AND (b.id > s.upto OR c.earned_by >= s.below);

-- The accounts as they stand.
CREATE VIEW accounts (id, kind, unit, token, owner, tool, balance, held, created_at, expires_at) AS
    SELECT p.id, p.kind, p.unit, p.token, p.owner, p.tool, b.balance + coalesce(u.amount, 0), coalesce(h.amount, 0),
           p.created_at, p.expires_at
    FROM holders p JOIN balances b ON b.id = p.id
    LEFT JOIN (SELECT account, sum(amount) AS amount FROM unsettled GROUP BY account) u ON u.account = p.id
    LEFT JOIN (SELECT account, sum(amount) AS amount FROM holds GROUP BY account) h ON h.account = p.id;
