//! Another passphrase for the node's keys: never while it runs, and whatever kills it, the old one or the new one opens them.

use std::io::Write;
use std::process::{Child, Stdio};
use std::time::Duration;

use octroi_lightning::Password;
use octroi_lightning::embedded::change_passphrase;
use octroi_testkit::nodes::{Payer, StoreDir};
use octroi_testkit::upstream::sample::Sample;

use super::{SELLING, done, embedded, text};
use crate::harness::Launch;

/// How long each attempt lives, in milliseconds: reading, guessing costs twice, writing, and after the end.
const LIVES_MS: [u64; 8] = [0, 30, 60, 100, 150, 250, 400, 1500];

fn changing(launch: &Launch, to: &str) -> Child {
    let mut command = launch.octroi(&["lightning", "passphrase"]);
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    writeln!(child.stdin.take().unwrap(), "{to}").unwrap();
    child
}

#[tokio::test(flavor = "multi_thread")]
async fn a_passphrase_is_changed_and_no_moment_of_it_locks_the_owner_out() {
    let payer = Payer::start(StoreDir::temporary().unwrap()).await.unwrap();
    let sample = Sample::start().await.unwrap();
    let secrets = StoreDir::temporary().unwrap();
    let file = secrets.path().join("passphrase");
    std::fs::write(&file, "the first").unwrap();
    let lines = format!("passphrase_command = [\"cat\", {:?}]", file.display().to_string());
    let launch = Launch::new(&embedded(&payer, &sample.url(), &lines, SELLING), &[]);
    assert_eq!(launch.lightning("passphrase", &[]).await.0, 1, "no node");
    let gate = launch.start().await;
    let id = text(&done(&gate, "status", &[]).await["node"]["id"]);
    let refused = changing(&gate.launch(), "the second").wait_with_output().unwrap();
    assert!(!refused.status.success() && !String::from_utf8_lossy(&refused.stderr).contains("the second"));
    let launch = gate.stop();

    let folder = launch.folder().join("octroi-lightning");
    let opens = |passphrase: &str| {
        // Changing it to itself is how a folder is asked without a node.
        change_passphrase(&folder, &Password::new(passphrase), &Password::new(passphrase)).is_ok()
    };
    let mut now = "the first".to_owned();
    for (turn, life) in LIVES_MS.iter().enumerate() {
        let next = format!("number {turn}");
        let mut child = changing(&launch, &next);
        std::thread::sleep(Duration::from_millis(*life));
        let _ = child.kill();
        child.wait().unwrap();
        match (opens(&now), opens(&next)) {
            (true, false) => {}
            (false, true) => now = next,
            both => panic!("old and new open it: {both:?}"),
        }
        std::fs::write(&file, &now).unwrap();
    }
    assert_eq!(changing(&launch, "the last").wait().unwrap().code(), Some(0));
    let mut serve = launch.command();
    let old = tokio::task::spawn_blocking(move || serve.output()).await.unwrap().unwrap();
    assert!(!old.status.success(), "the configuration still names the one from before");
    std::fs::write(&file, "the last").unwrap();
    let gate = launch.start().await;
    assert_eq!(text(&done(&gate, "status", &[]).await["node"]["id"]), id, "the same node");
}
