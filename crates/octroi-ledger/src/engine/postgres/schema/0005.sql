-- Schema 5: what gates tell each other beside the money. None of it is money, all of it ends by itself, and a server that dies may
-- forget it: so none of it is logged, replicated or flushed.

-- Sealed by the gates: what only they can read. until: Unix seconds.
CREATE UNLOGGED TABLE notes (
    key    bytea PRIMARY KEY CHECK (length(key) = 32),
    sealed bytea NOT NULL CHECK (length(sealed) <= 32768),
    until  bigint NOT NULL
);
CREATE INDEX notes_by_end ON notes (until);

-- Whose payments failed of late. calm_at: when the last of its points will be gone; waits_until: until when it waits; changed: when
-- this was written, by the database's clock. All in Unix milliseconds.
CREATE UNLOGGED TABLE failing (
    who         bytea PRIMARY KEY CHECK (length(who) = 16),
    calm_at     bigint NOT NULL,
    waits_until bigint NOT NULL,
    changed     bigint NOT NULL
);
CREATE INDEX failing_by_change ON failing (changed);
