-- Schema 4: since when another ledger may have a charge although it was not said to; 0: it has not. Unix seconds.
ALTER TABLE outbox ADD COLUMN doubtful_since INTEGER NOT NULL DEFAULT 0;
