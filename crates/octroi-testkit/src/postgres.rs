//! A PostgreSQL server of one's own: a private cluster in a temporary folder, which ends with the test process.

use std::fs::{File, Permissions};
use std::io::{self, BufRead, BufReader};
use std::net::TcpListener;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use tempfile::TempDir;

/// Where Debian and others put the server's programs, newest first.
const FOLDERS: [&str; 6] = [
    "/usr/lib/postgresql/17/bin",
    "/usr/lib/postgresql/16/bin",
    "/usr/lib/postgresql/15/bin",
    "/usr/local/bin",
    "/usr/bin",
    "/opt/homebrew/bin",
];
/// Whom the server runs as where the tests run as root, which it refuses: `nobody` on Linux.
const NOBODY: u32 = 65_534;

/// Starts the server, says so, and ends it when its standard input does: also when the test process is killed.
const KEEPER: &str = r#"
"$0/postgres" -D "$1" >>"$1/log" 2>&1 &
server=$!
until "$0/pg_isready" -q -h 127.0.0.1 -p "$2"; do
    kill -0 $server 2>/dev/null || { tail -n 20 "$1/log" >&2; exit 1; }
    sleep 0.05
done
echo ready
cat >/dev/null
kill -INT $server 2>/dev/null
wait $server
"#;

/// How a cluster is set up.
#[derive(Clone, Copy, Debug, Default)]
pub struct ClusterOptions {
    /// Whether commits are flushed. Without, a test run is quicker, and still survives a server that is killed.
    pub durable: bool,
    /// Whether the server takes only TLS connections, with the certificate of [`CERTIFICATE_AUTHORITY`].
    pub tls: bool,
}

/// The authority that signed the certificate of a server with TLS, for `localhost`; PEM.
pub const CERTIFICATE_AUTHORITY: &str = include_str!("postgres/ca.pem");
const CERTIFICATE: &str = include_str!("postgres/localhost.pem");
const KEY: &str = include_str!("postgres/localhost.key");

/// A private PostgreSQL server. Dropped, it ends.
#[derive(Debug)]
pub struct Cluster {
    programs: PathBuf,
    data: PathBuf,
    port: u16,
    keeper: Option<Child>,
    schemas: AtomicU32,
    folder: TempDir,
}

impl Cluster {
    /// Makes and starts a cluster. Blocks for a second or two.
    ///
    /// # Errors
    /// No PostgreSQL 15 or later is installed, or it does not start.
    pub fn start(options: ClusterOptions) -> io::Result<Self> {
        let programs = FOLDERS
            .iter()
            .map(PathBuf::from)
            .find(|folder| folder.join("initdb").exists() && folder.join("pg_isready").exists())
            .ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "PostgreSQL is not installed"))?;
        let folder = tempfile::tempdir()?;
        let data = folder.path().join("data");
        std::fs::create_dir(&data)?;
        if is_root(folder.path())? {
            chown(folder.path(), Some(NOBODY), Some(NOBODY))?;
            chown(&data, Some(NOBODY), Some(NOBODY))?;
        }
        // Free now; should somebody take it before the server does, the server says so and does not start.
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let mut cluster = Self { programs, data, port, keeper: None, schemas: AtomicU32::new(0), folder };
        let mut make = cluster.command("initdb")?;
        make.args(["-U", "octroi", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync", "-D"])
            .arg(&cluster.data);
        let made = make.stdin(Stdio::null()).output()?;
        if !made.status.success() {
            return Err(io::Error::other(String::from_utf8_lossy(&made.stderr).into_owned()));
        }
        cluster.configure(options)?;
        cluster.resume()?;
        Ok(cluster)
    }

    fn configure(&self, options: ClusterOptions) -> io::Result<()> {
        let mut settings = format!(
            "listen_addresses = '127.0.0.1'\nport = {}\nunix_socket_directories = ''\nmax_connections = 200\n\
             shared_buffers = '64MB'\n",
            self.port
        );
        if !options.durable {
            settings.push_str("fsync = off\nfull_page_writes = off\n");
        }
        if options.tls {
            settings.push_str("ssl = on\nssl_cert_file = 'server.crt'\nssl_key_file = 'server.key'\n");
            std::fs::write(self.data.join("server.crt"), CERTIFICATE)?;
            std::fs::write(self.data.join("server.key"), KEY)?;
            std::fs::set_permissions(self.data.join("server.key"), Permissions::from_mode(0o600))?;
            std::fs::write(self.data.join("pg_hba.conf"), "hostssl all all 127.0.0.1/32 trust\n")?;
            for name in ["server.crt", "server.key", "pg_hba.conf"] {
                self.give_away(&self.data.join(name))?;
            }
        }
        std::fs::write(self.data.join("postgresql.auto.conf"), settings)?;
        self.give_away(&self.data.join("postgresql.auto.conf"))
    }

    fn give_away(&self, path: &Path) -> io::Result<()> {
        let owner = std::fs::metadata(&self.data)?;
        chown(path, Some(owner.uid()), Some(owner.gid()))
    }

    /// One of the server's programs, as the user the server runs as.
    fn command(&self, name: &str) -> io::Result<Command> {
        let mut command = Command::new(self.programs.join(name));
        let owner = std::fs::metadata(&self.data)?.uid();
        if owner == NOBODY {
            command.uid(NOBODY).gid(NOBODY);
        }
        command.current_dir(self.folder.path());
        Ok(command)
    }

    /// Starts the server again after [`Cluster::crash`] or [`Cluster::pause`], on the same port.
    ///
    /// # Errors
    /// It does not start.
    pub fn resume(&mut self) -> io::Result<()> {
        let mut keep = Command::new("sh");
        if std::fs::metadata(&self.data)?.uid() == NOBODY {
            keep.uid(NOBODY).gid(NOBODY);
        }
        let mut keeper = keep
            .args(["-c", KEEPER])
            .args([&self.programs, &self.data])
            .arg(self.port.to_string())
            .current_dir(self.folder.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let mut said = String::new();
        if let Some(told) = keeper.stdout.take() {
            BufReader::new(told).read_line(&mut said)?;
        }
        if said.trim() != "ready" {
            keeper.wait()?;
            return Err(io::Error::other("the PostgreSQL server does not start"));
        }
        self.keeper = Some(keeper);
        Ok(())
    }

    /// Ends the server in the middle of whatever it does; the next start recovers from its log.
    ///
    /// # Errors
    /// It cannot be told.
    pub fn crash(&mut self) -> io::Result<()> {
        self.stop("immediate")
    }

    /// Ends the server as an operator does who restarts it: transactions under way are rolled back.
    ///
    /// # Errors
    /// It cannot be told.
    pub fn pause(&mut self) -> io::Result<()> {
        self.stop("fast")
    }

    fn stop(&mut self, mode: &str) -> io::Result<()> {
        let log = File::create(self.folder.path().join("stop.log"))?;
        let mut stop = self.command("pg_ctl")?;
        stop.args(["stop", "-w", "-m", mode, "-D"]).arg(&self.data).stdout(log).status()?;
        self.end_keeper()
    }

    fn end_keeper(&mut self) -> io::Result<()> {
        if let Some(mut keeper) = self.keeper.take() {
            drop(keeper.stdin.take());
            keeper.wait()?;
        }
        Ok(())
    }

    /// The port on 127.0.0.1.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The URL of a ledger nobody has used.
    #[must_use]
    pub fn fresh_url(&self) -> String {
        let number = self.schemas.fetch_add(1, Ordering::Relaxed);
        self.url(&format!("ledger_{number}"))
    }

    /// The URL of the ledger in `schema`.
    #[must_use]
    pub fn url(&self, schema: &str) -> String {
        format!("postgres://octroi@127.0.0.1:{}/postgres?schema={schema}", self.port)
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        // Nothing can be done about a server that does not end; the folder goes all the same.
        let _ = self.end_keeper();
    }
}

fn is_root(mine: &Path) -> io::Result<bool> {
    Ok(std::fs::metadata(mine)?.uid() == 0)
}
