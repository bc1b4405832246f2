//! How many puzzles were handed out, solved, and let go by, without remembering any of them.

use std::collections::VecDeque;

/// Into so many pieces the life of a puzzle is cut: the counts are kept for each.
const PIECES: u64 = 32;

/// Puzzles since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tallied {
    /// Handed out.
    pub issued: u64,
    /// Redeemed.
    pub solved: u64,
    /// Ended without being redeemed: their callers paid, or went away.
    pub skipped: u64,
}

/// Counts by the time that puzzles end.
#[derive(Debug)]
pub(super) struct Tally {
    piece_seconds: u64,
    /// The number of the piece at the front.
    first: u64,
    /// Puzzles that end in each piece and are not redeemed.
    open: VecDeque<u64>,
    totals: Tallied,
}

impl Tally {
    pub(super) fn new(life_seconds: u64) -> Self {
        let piece_seconds = life_seconds.div_ceil(PIECES).max(1);
        Self { piece_seconds, first: 0, open: VecDeque::new(), totals: Tallied::default() }
    }

    pub(super) fn issued(&mut self, now: u64, ends: u64) {
        self.totals.issued += 1;
        if let Some(open) = self.piece(now, ends) {
            *open += 1;
        }
    }

    pub(super) fn solved(&mut self, now: u64, ends: u64) {
        self.totals.solved += 1;
        // Another gate with the same keys may have handed it out: then nothing is open here.
        if let Some(open) = self.piece(now, ends) {
            *open = open.saturating_sub(1);
        }
    }

    pub(super) fn read(&mut self, now: u64) -> Tallied {
        self.close(now);
        self.totals
    }

    /// The pieces that are over: what is still open in them was let go by.
    fn close(&mut self, now: u64) {
        let piece = now / self.piece_seconds;
        while self.first < piece {
            match self.open.pop_front() {
                Some(open) => {
                    self.totals.skipped += open;
                    self.first += 1;
                }
                None => self.first = piece,
            }
        }
    }

    fn piece(&mut self, now: u64, ends: u64) -> Option<&mut u64> {
        self.close(now);
        let at = usize::try_from((ends / self.piece_seconds).checked_sub(self.first)?).ok()?;
        // Nobody hands out puzzles that live longer; a clock that jumps must not cost memory.
        if at > 2 * PIECES as usize {
            return None;
        }
        if self.open.len() <= at {
            self.open.resize(at + 1, 0);
        }
        self.open.get_mut(at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_ends_unsolved_was_skipped() {
        let mut tally = Tally::new(300);
        for now in 0..100 {
            tally.issued(1_000 + now, 1_300 + now);
        }
        for now in 0..30 {
            tally.solved(1_100 + now, 1_300 + now);
        }
        assert_eq!(tally.read(1_200), Tallied { issued: 100, solved: 30, skipped: 0 });
        let halfway = tally.read(1_350).skipped;
        assert!((10..=30).contains(&halfway), "{halfway}");
        assert_eq!(tally.read(2_000), Tallied { issued: 100, solved: 30, skipped: 70 });
        tally.issued(2_000, 2_300);
        assert_eq!(tally.read(9_000).skipped, 71);
    }

    #[test]
    fn a_clock_that_jumps_costs_no_memory() {
        let mut tally = Tally::new(300);
        for now in [0, u64::MAX / 2, 5, u64::MAX - 400] {
            tally.issued(now, now + 300);
            tally.solved(now, u64::MAX);
            assert!(tally.open.len() <= 2 * PIECES as usize + 1);
        }
    }
}
