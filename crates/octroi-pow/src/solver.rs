//! Finding a nonce, with every core.

use std::num::NonZeroUsize;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use sha2::block_api::compress256;

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
    let found = Mutex::new(None);
    let done = AtomicBool::new(false);
    let share = u64::MAX / threads.get() as u64;
    std::thread::scope(|scope| {
        for thread in 0..threads.get() as u64 {
            let (found, done) = (&found, &done);
            scope.spawn(move || {
                let mut search = Search::new(salt, thread * share);
                while !done.load(Ordering::Relaxed) && !cancel.load(Ordering::Relaxed) {
                    let tried = search.run(target, STRIDE);
                    progress.fetch_add(tried.hashes, Ordering::Relaxed);
                    if tried.solved {
                        done.store(true, Ordering::Relaxed);
                        let mut found = found.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                        *found = Some(search.nonce());
                    }
                }
            });
        }
    });
    found.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner)
}

struct Tried {
    hashes: u64,
    solved: bool,
}

/// One thread's search. The salt is compressed once; then every attempt is one compression of one block that already
/// holds the padding, of which only the counter's digits change.
struct Search {
    midstate: [u32; 8],
    block: [u8; BLOCK],
    /// Where in the block the counter's digits stand.
    digits: usize,
    /// Digits `0` that fill up the salt's block where salt, counter and trailer do not fit in it together.
    filler: usize,
}

impl Search {
    fn new(salt: &str, start: u64) -> Self {
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
    fn run(&mut self, target: &[u8; 32], most: u64) -> Tried {
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

    fn nonce(&self) -> String {
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
