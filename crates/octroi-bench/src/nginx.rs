//! nginx as a plain reverse proxy: what any proxy on the way costs.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::failure::{Failure, Measured};
use crate::process::{Processors, Running, free_address, wait_for};

/// A running nginx, one process.
pub(crate) struct Nginx {
    pub(crate) address: SocketAddr,
    pub(crate) process: Running,
}

/// Whether there is one on this machine.
pub(crate) fn is_installed() -> bool {
    Command::new("nginx").arg("-v").stderr(Stdio::null()).status().is_ok_and(|status| status.success())
}

impl Nginx {
    /// Starts it in front of `upstream`, with its files in `dir`.
    pub(crate) fn start(dir: &Path, upstream: SocketAddr, processors: &Processors) -> Measured<Self> {
        let address = free_address()?;
        let file = dir.join("nginx.conf");
        fs::write(&file, config(dir, address, upstream)).map_err(Failure::of("nginx.conf"))?;
        let mut command = processors.alone("nginx".as_ref());
        command.arg("-p").arg(dir).arg("-c").arg(&file).args(["-e", "stderr"]);
        let process = Running::start(command)?;
        wait_for(address)?;
        Ok(Self { address, process })
    }
}

/// Connections are kept on both sides for ever, as the gate keeps them.
fn config(dir: &Path, address: SocketAddr, upstream: SocketAddr) -> String {
    let dir = dir.display();
    format!(
        "daemon off;
master_process off;
pid {dir}/nginx.pid;
error_log stderr warn;
events {{ worker_connections 1024; }}
http {{
  access_log off;
  client_body_temp_path {dir}/body;
  proxy_temp_path {dir}/proxy;
  fastcgi_temp_path {dir}/fastcgi;
  uwsgi_temp_path {dir}/uwsgi;
  scgi_temp_path {dir}/scgi;
  upstream server {{
    server {upstream};
    keepalive 64;
    keepalive_requests 1000000000;
    keepalive_time 1d;
  }}
  server {{
    listen {address};
    keepalive_requests 1000000000;
    keepalive_time 1d;
    location / {{
      proxy_pass http://server;
      proxy_http_version 1.1;
      proxy_set_header Connection \"\";
    }}
  }}
}}
"
    )
}
