//! The sample MCP server as a process: `octroi-sample-server [--stdio | --listen ADDR]`.

use std::process::ExitCode;

use octroi_testkit::upstream::sample::{Sample, serve_stdio};

const USAGE: &str = "usage: octroi-sample-server [--stdio | --listen ADDR]";

#[tokio::main]
async fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let ended = match arguments.as_slice() {
        ["--stdio"] => serve_stdio(tokio::io::stdin(), tokio::io::stdout()).await,
        [] => listen("127.0.0.1:0").await,
        ["--listen", address] => listen(address).await,
        _ => {
            eprintln!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    match ended {
        // Not a return: the runtime would wait for the thread that reads standard input.
        Ok(()) => std::process::exit(0),
        Err(error) => {
            eprintln!("octroi-sample-server: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Prints the endpoint's URL as the first line, then serves until the process is ended.
async fn listen(address: &str) -> std::io::Result<()> {
    let address = address.parse().map_err(|_| {
        std::io::Error::new(std::io::ErrorKind::InvalidInput, format!("no address: {address}"))
    })?;
    let sample = Sample::listen(address).await?;
    println!("{}", sample.url());
    std::future::pending().await
}
