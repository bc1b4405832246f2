//! What a person sees while the agent pays or computes.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use indicatif::ProgressBar;
use octroi_agent::{Observer, Step};

use super::super::pow::SolveBar;
use super::text::sats;

/// How often the progress is drawn.
const TICK: Duration = Duration::from_millis(100);

/// Shows a person what is being waited for; nothing where standard error is no terminal.
pub(in super::super) fn progress() -> Observer {
    let shown = Mutex::new(None);
    Arc::new(move |step| {
        let mut shown = shown.lock().unwrap_or_else(PoisonError::into_inner);
        // What was shown ends with the next step, whichever it is.
        shown.take();
        *shown = waiting_for(step);
    })
}

/// What is drawn while a step takes its time; it vanishes when dropped.
enum Waiting {
    Paying(ProgressBar),
    Solving { _bar: SolveBar },
}

impl Drop for Waiting {
    fn drop(&mut self) {
        if let Self::Paying(bar) = self {
            bar.finish_and_clear();
        }
    }
}

fn waiting_for(step: &Step) -> Option<Waiting> {
    match step {
        Step::Paying { amount, calls, .. } => {
            let words = format!("paying {} for {calls} call(s)", sats(amount.as_i64()));
            let bar = ProgressBar::new_spinner().with_message(words);
            bar.enable_steady_tick(TICK);
            Some(Waiting::Paying(bar))
        }
        Step::Solving { bits, tried } => {
            Some(Waiting::Solving { _bar: SolveBar::start(*bits, Arc::clone(tried)) })
        }
        _ => None,
    }
}
