//! Proof of work: puzzles, verification, solver. No I/O.
