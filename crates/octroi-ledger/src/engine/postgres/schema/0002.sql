-- Schema 2: what the operator has looked at.

-- Payments the operator lets be although something about them is odd: reconciliation names them no more. at: Unix seconds.
CREATE TABLE accepted (
    payment_hash bytea PRIMARY KEY CHECK (length(payment_hash) = 32),
    at           bigint NOT NULL
);
