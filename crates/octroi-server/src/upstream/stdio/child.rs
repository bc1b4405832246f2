//! One child process: its lines in and out, and its end.

use std::{process::Stdio, sync::Arc, time::Duration};

use bytes::Bytes;
use parking_lot::Mutex;
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::{
    io::{AsyncWriteExt, BufReader},
    process::{Child as Process, ChildStderr, ChildStdin, ChildStdout, Command},
    sync::{OwnedSemaphorePermit, mpsc},
    time::{Instant, sleep_until, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    StdioSettings,
    backoff::{Backoff, jitter},
    lines::{Line, Lines},
};
use crate::upstream::UpstreamError;

/// Most lines that wait for a child to read them.
const INPUT_QUEUE: usize = 64;

/// Longest line of standard error that is logged whole, and most of a stray line of standard output, in bytes.
const LOGGED_MAX: usize = 2_048;

/// Lines handled before the other tasks get their turn; keeps a flood from filling the queues of readers that are fast.
const LINES_PER_TURN: u32 = 32;

/// How long a child may take for each step of its end: after its input is closed, and after SIGTERM.
const END_STEP: Duration = Duration::from_secs(2);

/// How long what a dead child had still written is read.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// The variables a child inherits; everything else is cleared, for the gate's own environment holds secrets.
const INHERITED: [&str; 8] = ["PATH", "HOME", "USER", "LANG", "LC_ALL", "TMPDIR", "SHELL", "TERM"];

/// Who listens to a child.
pub(super) trait Listener: Send + Sync + 'static {
    /// One line of standard output. Whether it was a message.
    fn line(&self, line: Bytes) -> bool;

    /// Asked from time to time: an unused listener gives up its child by marking itself ended and returning `None`; one in
    /// use says when to ask again.
    fn expire(&self, now: Instant) -> Option<Instant>;

    /// The child is gone, or as good as gone: nothing comes any more.
    fn ended(&self);
}

/// What all children of one upstream share.
#[derive(Debug)]
pub(super) struct Nursery {
    pub(super) name: Arc<str>,
    pub(super) settings: StdioSettings,
    pub(super) backoff: Mutex<Backoff>,
    /// Cancelled when the upstream goes.
    pub(super) closing: CancellationToken,
    pub(super) tasks: TaskTracker,
}

/// A running child. Dropping it does not end it; [`Child::end`] does.
#[derive(Clone, Debug)]
pub(super) struct Child {
    input: mpsc::Sender<Bytes>,
    ending: CancellationToken,
}

impl Child {
    /// A child to be, so that its listener can be made before it starts.
    pub(super) fn planned(nursery: &Nursery) -> (Self, mpsc::Receiver<Bytes>) {
        let (input, queue) = mpsc::channel(INPUT_QUEUE);
        (Self { input, ending: nursery.closing.child_token() }, queue)
    }

    /// Starts the process. `permit` is given back when it is gone.
    ///
    /// # Errors
    /// [`UpstreamError::Spawn`], which counts as a death for the back-off; [`UpstreamError::Exited`] after the shutdown.
    pub(super) fn start(
        &self,
        queue: mpsc::Receiver<Bytes>,
        nursery: &Arc<Nursery>,
        listener: Arc<dyn Listener>,
        permit: Option<OwnedSemaphorePermit>,
    ) -> Result<(), UpstreamError> {
        if self.ending.is_cancelled() {
            return Err(UpstreamError::Exited);
        }
        let started = Instant::now();
        let spawned = command(&nursery.settings).spawn().map_err(|error| {
            nursery.backoff.lock().died(started, Instant::now(), jitter());
            UpstreamError::Spawn(error)
        });
        let mut process = spawned?;
        let group = Group::of(&process);
        let (input, output, errors) = (process.stdin.take(), process.stdout.take(), process.stderr.take());
        let dead = CancellationToken::new();
        if let Some(input) = input {
            nursery.tasks.spawn(write(input, queue, self.ending.clone()));
        }
        if let Some(errors) = errors {
            nursery.tasks.spawn(log_errors(errors, Arc::clone(&nursery.name), dead.clone()));
        }
        let guard =
            Supervised { nursery: Arc::clone(nursery), listener, ending: self.ending.clone(), dead, started };
        nursery.tasks.spawn(async move {
            let _permit = permit;
            guard.run(process, output, group).await;
        });
        Ok(())
    }

    /// Queues one line, waiting for room.
    pub(super) async fn send(&self, line: Bytes) -> Result<(), UpstreamError> {
        self.input.send(line).await.map_err(|_| UpstreamError::Exited)
    }

    /// Queues one line if there is room.
    pub(super) fn try_send(&self, line: Bytes) -> bool {
        self.input.try_send(line).is_ok()
    }

    /// Asks for the end: its input is closed, then it is told, then killed, with all its descendants.
    pub(super) fn end(&self) {
        self.ending.cancel();
    }
}

/// One child under supervision.
struct Supervised {
    nursery: Arc<Nursery>,
    listener: Arc<dyn Listener>,
    ending: CancellationToken,
    dead: CancellationToken,
    started: Instant,
}

/// Why a child is to end, or has.
enum Ending {
    /// It was asked to.
    Asked,
    /// It closed its output or died.
    Itself,
    /// It broke the rules.
    Broken,
}

impl Supervised {
    async fn run(self, mut process: Process, output: Option<ChildStdout>, group: Group) {
        let ending = match output {
            Some(output) => self.listen(output, &mut process).await,
            None => Ending::Broken,
        };
        self.listener.ended();
        self.ending.cancel();
        let asked = matches!(ending, Ending::Asked);
        if !asked {
            self.nursery.backoff.lock().died(self.started, Instant::now(), jitter());
        }
        let status = part(&mut process, &group).await;
        // Whatever it started and left behind goes with it.
        drop(group);
        self.dead.cancel();
        let name = &*self.nursery.name;
        match status {
            Some(status) if !asked => {
                tracing::warn!(server = name, %status, "the server's process ended by itself")
            }
            Some(status) => tracing::debug!(server = name, %status, "the server's process ended"),
            None => tracing::warn!(server = name, "the server's process had to be killed"),
        }
    }

    /// Hands on its lines until there is a reason to end it.
    async fn listen(&self, output: ChildStdout, process: &mut Process) -> Ending {
        let mut lines =
            Lines::new(BufReader::with_capacity(64 * 1024, output), self.nursery.settings.max_message_bytes);
        let mut ask = Instant::now() + self.nursery.settings.session_idle;
        let mut turn = 0_u32;
        loop {
            tokio::select! {
                biased;
                () = self.ending.cancelled() => return Ending::Asked,
                () = sleep_until(ask) => match self.listener.expire(Instant::now()) {
                    Some(again) => ask = again,
                    None => return Ending::Asked,
                },
                line = lines.next() => {
                    if let Some(ending) = self.heard(line) {
                        return ending;
                    }
                    turn += 1;
                    if turn.is_multiple_of(LINES_PER_TURN) {
                        tokio::task::yield_now().await;
                    }
                }
                // A descendant can keep the output open after the child itself has died.
                _ = process.wait() => {
                    let rest = async { while let Ok(Some(Line::Whole(line))) = lines.next().await { self.hand_on(line) } };
                    drop(timeout(LAST_WORDS, rest).await);
                    return Ending::Itself;
                }
            }
        }
    }

    fn heard(&self, line: std::io::Result<Option<Line>>) -> Option<Ending> {
        let name = &*self.nursery.name;
        match line {
            Ok(Some(Line::Whole(line))) => {
                self.hand_on(line);
                None
            }
            Ok(None) => Some(Ending::Itself),
            Ok(Some(Line::TooLong(_))) => {
                let max = self.nursery.settings.max_message_bytes;
                tracing::error!(
                    server = name,
                    max,
                    "the server's process wrote too long a line and is ended"
                );
                Some(Ending::Broken)
            }
            Err(error) => {
                tracing::warn!(server = name, %error, "the server's output cannot be read");
                Some(Ending::Broken)
            }
        }
    }

    fn hand_on(&self, line: Vec<u8>) {
        let line = Bytes::from(line);
        if !self.listener.line(line.clone()) {
            let text = shorten(&line);
            tracing::warn!(server = &*self.nursery.name, line = %text, "the server wrote something that is no message");
        }
    }
}

/// The process group of a child, killed when this is dropped: also when the runtime goes down.
struct Group(Option<Pid>);

impl Group {
    fn of(process: &Process) -> Self {
        Self(process.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?)))
    }

    fn signal(&self, signal: Signal) {
        if let Some(group) = self.0 {
            // It fails only when nobody is left.
            let _ = kill_process_group(group, signal);
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.signal(Signal::KILL);
    }
}

/// Waits for a child whose input is closed; then tells it, then kills it. `None` when it had to be killed.
async fn part(process: &mut Process, group: &Group) -> Option<std::process::ExitStatus> {
    for last in [false, true] {
        if let Ok(status) = timeout(END_STEP, process.wait()).await {
            return status.ok();
        }
        group.signal(if last { Signal::KILL } else { Signal::TERM });
    }
    drop(timeout(END_STEP, process.wait()).await);
    None
}

fn command(settings: &StdioSettings) -> Command {
    let mut words = settings.command.iter();
    let mut command = Command::new(words.next().map_or("", String::as_str));
    command.args(words).env_clear();
    let inherited = INHERITED.iter().filter_map(|name| Some((name, std::env::var_os(name)?)));
    command.envs(inherited).envs(settings.env.iter().map(|(name, value)| (name, value)));
    if let Some(cwd) = &settings.cwd {
        command.current_dir(cwd);
    }
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    // Its own group, so that what it starts (`npx` starts `node`) can be ended with it.
    command.process_group(0).kill_on_drop(true);
    command
}

/// Writes queued lines until the end is asked for; then the input closes.
async fn write(mut input: ChildStdin, mut queue: mpsc::Receiver<Bytes>, ending: CancellationToken) {
    let written = async {
        while let Some(line) = queue.recv().await {
            input.write_all(&line).await?;
        }
        std::io::Result::Ok(())
    };
    tokio::select! {
        () = ending.cancelled() => {}
        _ = written => {}
    }
}

async fn log_errors(errors: ChildStderr, name: Arc<str>, dead: CancellationToken) {
    let mut lines = Lines::new(BufReader::new(errors), LOGGED_MAX);
    loop {
        let line = tokio::select! {
            biased;
            line = lines.next() => line,
            () = dead.cancelled() => return,
        };
        let Ok(Some(Line::Whole(line) | Line::TooLong(line))) = line else { return };
        tracing::info!(server = &*name, line = %shorten(&line), "the server says");
    }
}

/// The beginning of a line, fit for a log.
fn shorten(line: &[u8]) -> String {
    let start = line.get(..LOGGED_MAX).unwrap_or(line);
    String::from_utf8_lossy(start).chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}
