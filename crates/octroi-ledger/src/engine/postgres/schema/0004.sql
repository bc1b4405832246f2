-- Schema 4: whose account a counter that never starts over belongs to; 0: of one that does. It goes when nothing can be held on it.
ALTER TABLE counters ADD COLUMN account bigint NOT NULL DEFAULT 0;
CREATE INDEX counters_by_account ON counters (account) WHERE account <> 0;
