-- The purse. Credentials, invoices, tokens and sessions are sealed; addresses, names, amounts and times are not.
CREATE TABLE meta (key TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;

-- What was bought. `calls_left` is NULL where the server does not count calls; `worked` where work was paid, and no money.
CREATE TABLE credentials (
    id INTEGER PRIMARY KEY,
    payment_hash TEXT NOT NULL UNIQUE,
    endpoint TEXT NOT NULL,
    tool TEXT NOT NULL,
    sealed BLOB NOT NULL,
    calls_left INTEGER CHECK (calls_left >= 0),
    expires_at INTEGER,
    bought_at INTEGER NOT NULL,
    worked INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX credentials_by_subject ON credentials (endpoint, tool);

-- Every payment, written before it is made. `at` moves to the time it ended.
CREATE TABLE spends (
    id INTEGER PRIMARY KEY,
    payment_hash TEXT NOT NULL UNIQUE,
    server TEXT NOT NULL,
    endpoint TEXT NOT NULL,
    tool TEXT NOT NULL,
    description TEXT NOT NULL,
    sealed BLOB NOT NULL,
    amount_msat INTEGER NOT NULL CHECK (amount_msat > 0),
    max_fee_msat INTEGER NOT NULL CHECK (max_fee_msat >= 0),
    cost_msat INTEGER,
    calls INTEGER NOT NULL,
    counted INTEGER NOT NULL,
    invoice_expires_at INTEGER NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('open', 'paid', 'failed')),
    at INTEGER NOT NULL
);
CREATE INDEX spends_by_state ON spends (state, at);
CREATE INDEX spends_by_subject ON spends (endpoint, tool, state, at);

-- What a server asked for last: the price of a call, and the bits of the puzzle it takes instead.
CREATE TABLE terms (
    endpoint TEXT NOT NULL,
    tool TEXT NOT NULL,
    price_msat INTEGER,
    work_bits REAL,
    seen_at INTEGER NOT NULL,
    PRIMARY KEY (endpoint, tool)
) WITHOUT ROWID;

-- Signed-in sessions: access and refresh tokens, and the client that was registered for them.
CREATE TABLE sessions (endpoint TEXT PRIMARY KEY, sealed BLOB NOT NULL, seen_at INTEGER NOT NULL) WITHOUT ROWID;
