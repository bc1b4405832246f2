//! The person at the terminal, or at a browser.

use std::io::{IsTerminal, Write};
use std::process::{Command, Stdio};
use std::sync::Arc;

use async_trait::async_trait;
use octroi_agent::{Approver, Question};
use url::Url;

/// A program that is given the page to sign in at, in place of the system's browser.
const BROWSER_VARIABLE: &str = "OCTROI_BROWSER";

/// Asks on standard error and reads the answer from standard input.
pub(super) struct Terminal;

impl Terminal {
    /// The terminal, where there is one on both ends.
    pub(super) fn here() -> Option<Arc<dyn Approver>> {
        let both = std::io::stdin().is_terminal() && std::io::stderr().is_terminal();
        both.then(|| Arc::new(Self) as Arc<dyn Approver>)
    }
}

#[async_trait]
impl Approver for Terminal {
    async fn approve(&self, question: &Question) -> bool {
        let words = format!("{question}? [y/N] ");
        let answer = tokio::task::spawn_blocking(move || {
            let mut line = String::new();
            let mut out = std::io::stderr();
            write!(out, "{words}").and_then(|()| out.flush()).ok()?;
            std::io::stdin().read_line(&mut line).ok()?;
            Some(line)
        });
        let answer = answer.await.ok().flatten().unwrap_or_default();
        matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes")
    }
}

/// Shows the page to sign in at: in a browser, and as a line on standard error where none opens.
pub(in super::super) fn show_page(page: &Url) {
    eprintln!("octroi: sign in at {page}");
    let named = std::env::var(BROWSER_VARIABLE).ok().filter(|named| !named.trim().is_empty());
    let system = if cfg!(target_os = "macos") { "open" } else { "xdg-open" };
    let named = named.unwrap_or_else(|| system.to_owned());
    let mut words = named.split_whitespace();
    let Some(program) = words.next() else { return };
    let started = Command::new(program)
        .args(words)
        .arg(page.as_str())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    if let Ok(mut browser) = started {
        // Somebody has to wait for it to end.
        std::thread::spawn(move || browser.wait());
    }
}
