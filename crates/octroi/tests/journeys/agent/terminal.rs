//! What a person at a terminal sees and is asked.

use std::fs::File;
use std::io::{Read, Write};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::Instant;

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

use super::{Owner, PLAIN};
use crate::harness::{Market, PATIENCE};

/// A command whose standard input and standard error are a terminal.
struct Terminal {
    keyboard: File,
    screen: mpsc::Receiver<u8>,
    seen: String,
    child: std::process::Child,
}

impl Terminal {
    fn run(words: &[String]) -> Self {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        let name = ptsname(&master, Vec::new()).unwrap();
        let place = name.to_str().unwrap();
        let end = || File::options().read(true).write(true).open(place).unwrap();
        let child = Command::new(&words[0])
            .args(&words[1..])
            .stdin(end())
            .stdout(Stdio::piped())
            .stderr(end())
            .spawn()
            .unwrap();
        let master = File::from(master);
        let mut output = master.try_clone().unwrap();
        let (shown, screen) = mpsc::channel();
        std::thread::spawn(move || {
            let mut piece = [0; 1024];
            // Ends with an error when the last program has closed the other end.
            while let Ok(read @ 1..) = output.read(&mut piece) {
                // Nobody looks at the screen any more once the test has seen enough.
                let _ = piece[..read].iter().try_for_each(|byte| shown.send(*byte));
            }
        });
        Self { keyboard: master, screen, seen: String::new(), child }
    }

    /// Waits until the screen has shown this.
    fn shows(&mut self, text: &str) {
        let started = Instant::now();
        while !self.seen.contains(text) {
            let left = PATIENCE.saturating_sub(started.elapsed());
            let byte = self.screen.recv_timeout(left);
            self.seen.push(char::from(
                byte.unwrap_or_else(|_| panic!("no {text:?} on the screen: {}", self.seen)),
            ));
        }
    }

    fn types(&mut self, line: &str) {
        self.keyboard.write_all(line.as_bytes()).unwrap();
    }

    /// The exit code, and what stood on standard output.
    fn ends(mut self) -> (i32, String) {
        let mut out = String::new();
        self.child.stdout.take().unwrap().read_to_string(&mut out).unwrap();
        (self.child.wait().unwrap().code().unwrap_or(-1), out)
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs what blocks beside the market, whose nodes and server go on meanwhile.
async fn beside<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(work).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_is_asked_at_the_terminal_above_the_limit() {
    let market = Market::open(&[]).await;
    let owner = Owner::of(&market, &format!("{PLAIN}ask_above_sats = 1\n")).await;
    let words =
        owner.words(&["call", &market.gate.url, "data_query", "--arg", "query=carts", "--no-sign-in"]);
    for (answer, exit, received) in [("n\n", 4, 0), ("\n", 4, 0), ("yes\n", 0, 1700)] {
        let words = words.clone();
        let (code, out, seen) = beside(move || {
            let mut terminal = Terminal::run(&words);
            terminal.shows("for 1 call(s) of data_query");
            terminal.shows("? [y/N] ");
            terminal.types(answer);
            let seen = terminal.seen.clone();
            let (code, out) = terminal.ends();
            (code, out, seen)
        })
        .await;
        assert!(seen.contains("Pay 1.7 sats to http://127.0.0.1"), "{seen}");
        assert_eq!((code, out.contains("north 41 carts")), (exit, exit == 0), "{answer:?}: {seen}{out}");
        assert_eq!(market.gate.ledger().await["received_msat"], received);
    }
    // With nobody at the keyboard the answer is no.
    let (code, _, err) = owner.run(&["call", &market.gate.url, "data_query", "--arg", "query=carts"]).await;
    assert!(code == 4 && err.contains("not allowed: Pay 1.7 sats"), "{err}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_sees_how_long_a_puzzle_takes_and_may_give_up() {
    let market = Market::open(&["--set", "mcp_server.auth.payment.pow_difficulty=36"]).await;
    let owner = Owner::poor();
    let words = owner.words(&[
        "call",
        &market.gate.url,
        "data_query",
        "--arg",
        "query=carts",
        "--no-sign-in",
        "--work",
        "40",
    ]);
    let code = beside(move || {
        let mut terminal = Terminal::run(&words);
        terminal.shows("solving 36 bits");
        terminal.shows("s expected");
        // Ctrl-C, as the terminal's line discipline would say it.
        let id = rustix::process::Pid::from_child(&terminal.child);
        rustix::process::kill_process(id, rustix::process::Signal::INT).unwrap();
        terminal.ends().0
    })
    .await;
    assert_ne!(code, 0);
    assert_eq!(owner.purse().await["receipts"].as_array().map(Vec::len), Some(0));
}
