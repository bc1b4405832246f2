//! What a browser's worker calls. Only numbers cross the border, so that no memory is shared and nothing here is unsafe but
//! the names.
//!
//! ```text
//! clear(); salt(byte)…; target(place, byte)…; start(high, low);
//! while (run(65536) === 0) { … }      // 1: solved
//! for (i = 0; i < nonce_len(); i++) nonce(i)
//! ```

use std::cell::RefCell;

use octroi_pow::solver::Search;

/// Longest salt, in bytes.
const SALT_MAX: usize = 4096;

#[derive(Default)]
struct Worker {
    salt: String,
    target: [u8; 32],
    search: Option<Search>,
    nonce: String,
}

thread_local! {
    static WORKER: RefCell<Worker> = RefCell::default();
}

fn with<T>(work: impl FnOnce(&mut Worker) -> T) -> T {
    WORKER.with_borrow_mut(work)
}

/// Forgets everything.
#[unsafe(no_mangle)]
pub extern "C" fn clear() {
    with(|worker| *worker = Worker::default());
}

/// Adds one ASCII character to the salt; others, and those beyond the longest, are left out.
#[unsafe(no_mangle)]
pub extern "C" fn salt(byte: u32) {
    with(|worker| {
        if let Some(byte) = char::from_u32(byte).filter(char::is_ascii)
            && worker.salt.len() < SALT_MAX
        {
            worker.salt.push(byte);
        }
    });
}

/// Sets one byte of the target, the most significant at place 0.
#[unsafe(no_mangle)]
pub extern "C" fn target(place: u32, byte: u32) {
    with(|worker| {
        if let Some(at) = worker.target.get_mut(place as usize) {
            *at = byte as u8;
        }
    });
}

/// Begins to count at `high · 2³² + low`.
#[unsafe(no_mangle)]
pub extern "C" fn start(high: u32, low: u32) {
    with(|worker| worker.search = Some(Search::new(&worker.salt, u64::from(high) << 32 | u64::from(low))));
}

/// Tries up to so many hashes; 1 when one of them solves it, 0 otherwise.
#[unsafe(no_mangle)]
pub extern "C" fn run(most: u32) -> u32 {
    with(|worker| {
        let target = worker.target;
        let Some(search) = &mut worker.search else { return 0 };
        let solved = search.run(&target, most.into()).solved;
        if solved {
            worker.nonce = search.nonce();
        }
        solved.into()
    })
}

/// Bytes of the nonce that was found.
#[unsafe(no_mangle)]
pub extern "C" fn nonce_len() -> u32 {
    with(|worker| worker.nonce.len() as u32)
}

/// One byte of it.
#[unsafe(no_mangle)]
pub extern "C" fn nonce(place: u32) -> u32 {
    with(|worker| worker.nonce.as_bytes().get(place as usize).copied().unwrap_or_default().into())
}
