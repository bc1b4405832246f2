//! The bar that a person sees while a puzzle is solved.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

/// How often the progress is drawn.
const TICK: Duration = Duration::from_millis(100);
/// Steps of the bar.
const LENGTH: u64 = 1000;

/// Shows a person who waits for a puzzle how it goes; nothing where standard error is no terminal.
///
/// The bar shows how likely the search is to have ended by now: what is left to expect does not shrink by waiting.
pub(in crate::commands) struct SolveBar {
    bar: ProgressBar,
    done: Arc<AtomicBool>,
    drawing: Option<JoinHandle<()>>,
}

impl SolveBar {
    pub(in crate::commands) fn start(bits: f64, tried: Arc<AtomicU64>) -> Self {
        let (bar, done) = (ProgressBar::new(LENGTH), Arc::new(AtomicBool::new(false)));
        if let Ok(style) = ProgressStyle::with_template("[{bar:32}] {msg}") {
            bar.set_style(style.progress_chars("=> "));
        }
        let drawing = (!bar.is_hidden()).then(|| {
            let (bar, done, started) = (bar.clone(), Arc::clone(&done), Instant::now());
            std::thread::spawn(move || {
                while !done.load(Ordering::Relaxed) {
                    let tried = tried.load(Ordering::Relaxed);
                    bar.set_message(describe(bits, tried, started.elapsed()));
                    bar.set_position((LENGTH as f64 * chance(bits, tried)) as u64);
                    std::thread::park_timeout(TICK);
                }
            })
        });
        Self { bar, done, drawing }
    }
}

impl Drop for SolveBar {
    fn drop(&mut self) {
        self.done.store(true, Ordering::Relaxed);
        if let Some(drawing) = self.drawing.take() {
            drawing.thread().unpark();
            // A thread that only draws leaves nothing behind.
            let _ = drawing.join();
        }
        self.bar.finish_and_clear();
    }
}

/// How likely a search of so many hashes has ended, 0 to 1.
fn chance(bits: f64, tried: u64) -> f64 {
    1.0 - (-(tried as f64) / bits.exp2()).exp()
}

fn describe(bits: f64, tried: u64, elapsed: Duration) -> String {
    let rate = tried as f64 / elapsed.as_secs_f64().max(f64::EPSILON);
    let mut text = format!("solving {bits} bits, {:.1} s", elapsed.as_secs_f64());
    if tried > 0 {
        let expected = bits.exp2() / rate;
        text.push_str(&format!(", {:.1} million hashes/s, {expected:.1} s expected", rate / 1e6));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_says_how_long_it_should_take() {
        let text = describe(20.0, 1_048_576, Duration::from_secs(2));
        assert_eq!(text, "solving 20 bits, 2.0 s, 0.5 million hashes/s, 2.0 s expected");
        assert_eq!(describe(20.0, 0, Duration::ZERO), "solving 20 bits, 0.0 s");
        assert_eq!(chance(20.0, 0), 0.0);
        assert!((chance(20.0, 1_048_576) - 0.632).abs() < 0.001);
    }
}
