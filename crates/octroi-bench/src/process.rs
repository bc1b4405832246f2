//! Child processes, the processors they run on, and the CPU time they use.

use std::fs;
use std::io::Read;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::failure::{Failure, Measured};

/// How long a child may take until it answers.
pub(crate) const START_WAIT: Duration = Duration::from_secs(20);

/// A running program, killed when this is dropped.
pub(crate) struct Running(Child);

impl Running {
    pub(crate) fn start(mut command: Command) -> Measured<Self> {
        let name = command.get_program().to_string_lossy().into_owned();
        let child = command.stdin(Stdio::null()).spawn().map_err(Failure::of(&name))?;
        Ok(Self(child))
    }

    /// What it prints; can be taken once.
    pub(crate) fn stdout(&mut self) -> Measured<impl Read + use<>> {
        self.0.stdout.take().ok_or_else(|| Failure::new("a program's output is not at hand"))
    }

    /// CPU time it has used so far, user and system, as Linux tells it in ticks of 10 ms.
    pub(crate) fn cpu_time(&self) -> Duration {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.0.id())).unwrap_or_default();
        // The name in parentheses may hold anything; the fields behind it are counted.
        let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
        let ticks = fields.skip(11).take(2).filter_map(|field| field.parse::<u64>().ok());
        Duration::from_millis(ticks.sum::<u64>() * 10)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Waits until somebody accepts connections at `address`.
pub(crate) fn wait_for(address: SocketAddr) -> Measured {
    let start = Instant::now();
    while TcpStream::connect(address).is_err() {
        if start.elapsed() > START_WAIT {
            return Err(Failure::new(format!("nobody answers at {address}")));
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

/// A loopback address that was free a moment ago.
pub(crate) fn free_address() -> Measured<SocketAddr> {
    let socket = TcpListener::bind(("127.0.0.1", 0)).map_err(Failure::of("a free port"))?;
    socket.local_addr().map_err(Failure::of("a free port"))
}

/// Which processors run what. Load and upstream share the first, the measured proxy has the last to itself: otherwise the
/// scheduler's choice of the moment is most of what is seen.
pub(crate) struct Processors {
    count: usize,
    /// Whether there are two, and `taskset` to choose with.
    pub(crate) pinned: bool,
}

impl Processors {
    /// Keeps this process, and every thread it will start, on the first.
    pub(crate) fn share() -> Self {
        let count = std::thread::available_parallelism().map_or(1, usize::from);
        Self { count, pinned: count > 1 && allow("0") }
    }

    /// Gives this process all of them again.
    pub(crate) fn free(&self) {
        if self.pinned {
            allow(&format!("0-{}", self.count - 1));
        }
    }

    /// `program` on the last one.
    pub(crate) fn alone(&self, program: &std::ffi::OsStr) -> Command {
        if !self.pinned {
            return Command::new(program);
        }
        let mut command = Command::new("taskset");
        command.arg("-c").arg((self.count - 1).to_string()).arg(program);
        command
    }
}

/// Lets every thread of this process run on `processors` only. False where `taskset` cannot.
fn allow(processors: &str) -> bool {
    let mut taskset = Command::new("taskset");
    taskset.args(["-acp", processors, &std::process::id().to_string()]);
    taskset.stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|status| status.success())
}
