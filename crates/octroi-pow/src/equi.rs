//! Equi-X (crate `equix`, LGPL-3.0-only): only with the cargo feature `equix`.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use equix::{EquiX, EquiXBuilder, RuntimeOption, Solution};

use crate::algorithm::is_below;

/// Bytes of an Equi-X solution: eight 16-bit numbers, least significant byte first.
const SOLUTION: usize = 16;
/// What one solution counts in a solver's progress.
const HASHES: u64 = 1 << 16;

/// The cheap check comes first, so that a nonce made up costs one hash and not an Equi-X program.
pub(crate) fn is_solved(salt: &str, target: &[u8; 32], nonce: &str) -> bool {
    let Some((counter, solution)) = nonce.split_once('.') else { return false };
    // One spelling for each solution: otherwise upper case would be another try at the target for free.
    if solution.bytes().any(|byte| byte.is_ascii_uppercase()) || !is_below(&[salt, nonce], target) {
        return false;
    }
    let mut bytes = [0; SOLUTION];
    if hex::decode_to_slice(solution, &mut bytes).is_err() {
        return false;
    }
    let Ok(solution) = Solution::try_from_bytes(&bytes) else { return false };
    // Interpreted: compiling a program takes as long as judging one solution.
    let mut builder = EquiXBuilder::new();
    builder.runtime(RuntimeOption::InterpretOnly);
    let challenge = format!("{salt}{counter}");
    builder.build(challenge.as_bytes()).is_ok_and(|program| program.verify(&solution).is_ok())
}

/// Searches counters from `first` on in steps of `step` until a solution is below the target, or `stop` is set.
pub(crate) fn search(
    salt: &str,
    target: &[u8; 32],
    (first, step): (u64, u64),
    stop: &dyn Fn() -> bool,
    progress: &AtomicU64,
    done: &AtomicBool,
) -> Option<String> {
    let mut counter = first;
    while !stop() && !done.load(Ordering::Relaxed) {
        // One challenge in a few hundred has no program at all.
        if let Ok(program) = EquiX::new(format!("{salt}{counter:x}").as_bytes()) {
            for solution in program.solve() {
                progress.fetch_add(HASHES, Ordering::Relaxed);
                let nonce = format!("{counter:x}.{}", hex::encode(solution.to_bytes()));
                if is_below(&[salt, &nonce], target) {
                    return Some(nonce);
                }
            }
        }
        counter = counter.checked_add(step)?;
    }
    None
}
