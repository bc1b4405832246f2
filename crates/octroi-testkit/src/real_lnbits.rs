//! LNbits itself, as a program, with one wallet.

use std::fs::{self, File};
use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use serde::Deserialize;
use serde_json::json;
use tokio::process::{Child, Command};

/// It reads hundreds of files before it answers.
const START: Duration = Duration::from_secs(180);

/// How often it is asked whether it is ready.
const ASK: Duration = Duration::from_millis(200);

/// A running LNbits; it ends when dropped.
pub struct RealLnbits {
    /// `http://127.0.0.1:port`.
    pub url: String,
    /// Its one wallet.
    pub wallet: Wallet,
    _child: Child,
}

/// The keys of a wallet.
#[derive(Deserialize)]
pub struct Wallet {
    /// What is enough to receive.
    pub inkey: String,
    /// What spends.
    pub adminkey: String,
}

impl RealLnbits {
    /// Starts it with a Python that has the packages of `tests/peers/lnbits.txt`, its data in `folder`, and variables that
    /// name its funding source.
    ///
    /// # Errors
    /// When it cannot be started, or does not answer in three minutes; then with its log.
    pub async fn start(python: &Path, folder: &Path, funding: &[(&str, &str)]) -> io::Result<Self> {
        for part in ["data/logs", "extensions", "data/wasm_extensions"] {
            fs::create_dir_all(folder.join(part))?;
        }
        let log = folder.join("lnbits.log");
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port().to_string();
        let child = Command::new(python)
            .args(["-m", "uvicorn", "lnbits.__main__:app", "--host", "127.0.0.1", "--port", &port])
            .current_dir(packages(python).await?)
            .env("LNBITS_ADMIN_UI", "false")
            .env("LNBITS_DATA_FOLDER", folder.join("data"))
            .env("LNBITS_EXTENSIONS_PATH", folder)
            .envs(funding.iter().copied())
            .stdin(Stdio::null())
            .stdout(File::create(&log)?)
            .stderr(File::options().append(true).open(&log)?)
            .kill_on_drop(true)
            .spawn()?;
        let url = format!("http://127.0.0.1:{port}");
        match tokio::time::timeout(START, first_wallet(&url)).await {
            Ok(wallet) => Ok(Self { url, wallet, _child: child }),
            Err(_) => Err(io::Error::other(format!(
                "LNbits did not start:\n{}",
                fs::read_to_string(&log).unwrap_or_default()
            ))),
        }
    }
}

/// Where its own files are; it looks for some of them from the folder it runs in.
async fn packages(python: &Path) -> io::Result<PathBuf> {
    let script = "import sysconfig; print(sysconfig.get_path('purelib'))";
    let found = Command::new(python).args(["-c", script]).output().await?;
    Ok(String::from_utf8_lossy(&found.stdout).trim().into())
}

async fn first_wallet(url: &str) -> Wallet {
    let http = reqwest::Client::new();
    loop {
        let asked = http.post(format!("{url}/api/v1/account")).json(&json!({"name": "gate"}));
        if let Ok(reply) = asked.send().await
            && let Ok(wallet) = reply.json().await
        {
            return wallet;
        }
        tokio::time::sleep(ASK).await;
    }
}
