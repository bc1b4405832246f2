//! Finding a nonce, with every core.

use std::num::NonZeroUsize;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use sha2::block_api::compress256;

use crate::algorithm::part_prefix;
use crate::{Algorithm, Challenge, PARTS, Unavailable};

/// Hashes between two looks at the cancel flag, under a millisecond of work.
const STRIDE: u64 = 1 << 14;
/// The counting part of a nonce, in hexadecimal digits.
const DIGITS: usize = 16;
/// SHA-256 works on blocks of so many bytes (FIPS 180-4 §5.2.1).
const BLOCK: usize = 64;
/// What must follow the message in its last block: the bit `1` and the 64-bit length (FIPS 180-4 §5.1.1).
const TRAILER: usize = 9;

/// SHA-256's initial state (FIPS 180-4 §5.3.3).
const INITIAL: [u32; 8] =
    [0x6a09_e667, 0xbb67_ae85, 0x3c6e_f372, 0xa54f_f53a, 0x510e_527f, 0x9b05_688c, 0x1f83_d9ab, 0x5be0_cd19];

/// As many threads as the machine runs at once.
#[must_use]
pub fn all_cores() -> NonZeroUsize {
    std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN)
}

/// Searches with `threads` threads for a nonce with `SHA-256(salt ‖ nonce) < target`, until one is found or `cancel` is set.
///
/// `progress` counts the hashes tried; read it beside a clock for hashes per second. It is not reset at the start.
/// The nonce is of hexadecimal digits, 16 to 40 of them. Blocks the calling thread; `None` only after `cancel`.
#[must_use]
pub fn solve(
    salt: &str,
    target: &[u8; 32],
    threads: NonZeroUsize,
    cancel: &AtomicBool,
    progress: &AtomicU64,
) -> Option<String> {
    race(threads, |thread, done| {
        let share = u64::MAX / threads.get() as u64;
        let mut search = Search::new(salt, thread * share);
        while !done.load(Ordering::Relaxed) && !cancel.load(Ordering::Relaxed) {
            let tried = search.run(target, STRIDE);
            progress.fetch_add(tried.hashes, Ordering::Relaxed);
            if tried.solved {
                return Some(search.nonce());
            }
        }
        None
    })
}

/// As [`solve`], for a whole challenge of any kind: the nonce to hand in. `progress` counts in hashes for every kind, so
/// that [`Difficulty::expected_hashes`](crate::Difficulty::expected_hashes) is what it reaches on average.
///
/// # Errors
/// The kind is not in this build.
pub fn solve_challenge(
    challenge: &Challenge,
    threads: NonZeroUsize,
    cancel: &AtomicBool,
    progress: &AtomicU64,
) -> Result<Option<String>, Unavailable> {
    let (salt, target) = (challenge.salt.as_str(), challenge.difficulty.target());
    match challenge.algorithm {
        Algorithm::Sha256 => Ok(solve(salt, target, threads, cancel, progress)),
        Algorithm::Sha256x16 => {
            // One place after the other, each with all threads: on average no hash is wasted by the order.
            let part = |place| solve(&part_prefix(salt, place), target, threads, cancel, progress);
            let parts: Option<Vec<String>> = (0..PARTS).map(part).collect();
            Ok(parts.map(|parts| parts.join(".")))
        }
        #[cfg(feature = "equix")]
        Algorithm::Equix => Ok(race(threads, |thread, done| {
            let stop = || cancel.load(Ordering::Relaxed);
            crate::equi::search(salt, target, (thread, threads.get() as u64), &stop, progress, done)
        })),
        #[cfg(not(feature = "equix"))]
        Algorithm::Equix => Err(Unavailable(Algorithm::Equix)),
    }
}

/// Runs `search` on every thread with its number and a flag that rises when one of them has found something.
fn race(threads: NonZeroUsize, search: impl Fn(u64, &AtomicBool) -> Option<String> + Sync) -> Option<String> {
    let found = Mutex::new(None);
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for thread in 0..threads.get() as u64 {
            let (found, done, search) = (&found, &done, &search);
            scope.spawn(move || {
                if let Some(nonce) = search(thread, done) {
                    done.store(true, Ordering::Relaxed);
                    *found.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Some(nonce);
                }
            });
        }
    });
    found.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// What one [`Search::run`] did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tried {
    /// Hashes tried.
    pub hashes: u64,
    /// Whether the last of them is below the target.
    pub solved: bool,
}

/// One thread's search, a stretch at a time: for callers that have threads, or workers, of their own. The salt is compressed once; then every attempt is one compression of one block that already
/// holds the padding, of which only the counter's digits change.
pub struct Search {
    midstate: [u32; 8],
    block: [u8; BLOCK],
    /// Where in the block the counter's digits stand.
    digits: usize,
    /// Digits `0` that fill up the salt's block where salt, counter and trailer do not fit in it together.
    filler: usize,
}

impl Search {
    /// A search that begins counting at `start`. For a place of [`Algorithm::Sha256x16`] the salt is
    /// `<salt><place, one hexadecimal digit>:`.
    #[must_use]
    pub fn new(salt: &str, start: u64) -> Self {
        let over = salt.len() % BLOCK;
        let filler = if over + DIGITS + TRAILER > BLOCK { BLOCK - over } else { 0 };
        let mut message = salt.as_bytes().to_vec();
        message.resize(salt.len() + filler, b'0');
        let bits = (message.len() + DIGITS) as u64 * 8;
        let (whole, rest) = message.as_chunks::<BLOCK>();
        let mut midstate = INITIAL;
        compress256(&mut midstate, whole);
        let mut block = [0; BLOCK];
        block[..rest.len()].copy_from_slice(rest);
        let digits = rest.len();
        block[digits..digits + DIGITS].copy_from_slice(format!("{start:0DIGITS$x}").as_bytes());
        block[digits + DIGITS] = 0x80;
        block[BLOCK - 8..].copy_from_slice(&bits.to_be_bytes());
        Self { midstate, block, digits, filler }
    }

    /// Tries up to `most` nonces; where one solves it, the digits stay on it.
    pub fn run(&mut self, target: &[u8; 32], most: u64) -> Tried {
        // Most hashes differ from the target in the first word already.
        let first_word = u32::from_be_bytes([target[0], target[1], target[2], target[3]]);
        for hashes in 1..=most {
            let mut state = self.midstate;
            compress256(&mut state, &[self.block]);
            if state[0] <= first_word && is_below(&state, target) {
                return Tried { hashes, solved: true };
            }
            self.advance();
        }
        Tried { hashes: most, solved: false }
    }

    /// Counts one up in place, in hexadecimal: mostly one byte changes.
    fn advance(&mut self) {
        for digit in self.block[self.digits..self.digits + DIGITS].iter_mut().rev() {
            *digit = match *digit {
                b'9' => b'a',
                b'f' => b'0',
                other => other + 1,
            };
            if *digit != b'0' {
                return;
            }
        }
    }

    /// The nonce it stands on: after [`Tried::solved`] the solution.
    #[must_use]
    pub fn nonce(&self) -> String {
        let digits = self.block[self.digits..self.digits + DIGITS].iter().copied().map(char::from);
        std::iter::repeat_n('0', self.filler).chain(digits).collect()
    }
}

fn is_below(state: &[u32; 8], target: &[u8; 32]) -> bool {
    let (words, _) = target.as_chunks::<4>();
    state.iter().copied().lt(words.iter().map(|word| u32::from_be_bytes(*word)))
}

#[cfg(test)]
mod tests;
