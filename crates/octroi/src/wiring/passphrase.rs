//! The passphrase of the embedded node, from wherever the configuration says.

use std::process::Stdio;
use std::time::Duration;

use octroi_lightning::{NodeError, Password};
use tokio::io::{AsyncReadExt, BufReader};
use tokio::process::Command;
use zeroize::Zeroizing;

use crate::config::{EmbeddedNode, Passphrase};

/// How long the program may take: it may ask a person, or another machine.
const COMMAND_WAIT: Duration = Duration::from_secs(60);
/// Most bytes of its answer that are read.
const ANSWER_MAX: u64 = 4096;

/// The passphrase; `None` where the node has none.
///
/// # Errors
/// [`NodeError::Config`] when the program that should say it does not.
pub(crate) async fn of(node: &EmbeddedNode) -> Result<Option<Password>, NodeError> {
    match &node.passphrase {
        None => Ok(None),
        Some(Passphrase::Given(secret)) => Ok(Some(Password::new(secret.reveal()))),
        Some(Passphrase::Command(words)) => {
            let asked = tokio::time::timeout(COMMAND_WAIT, ask(words)).await;
            let said = asked.unwrap_or_else(|_| Err("it took too long".to_owned()));
            said.map(Some).map_err(|why| NodeError::Config(format!("passphrase_command: {why}")))
        }
    }
}

/// The first line that the program prints. What it says on standard error goes to the operator.
async fn ask(words: &[String]) -> Result<Password, String> {
    let Some((program, arguments)) = words.split_first() else { return Err("no program".to_owned()) };
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::inherit())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| format!("{program}: {error}"))?;
    let mut text = Zeroizing::new(String::new());
    if let Some(output) = child.stdout.take() {
        let mut output = BufReader::new(output).take(ANSWER_MAX);
        output.read_to_string(&mut text).await.map_err(|_| format!("{program} did not print text"))?;
    }
    let status = child.wait().await.map_err(|error| error.to_string())?;
    let line = text.lines().next().unwrap_or_default();
    if !status.success() {
        return Err(format!("{program} ended with {status}"));
    }
    if line.is_empty() {
        return Err(format!("{program} printed nothing"));
    }
    Ok(Password::new(line))
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn said(script: &str) -> Result<String, String> {
        let words = ["sh", "-c", script].map(str::to_owned);
        ask(&words).await.map(|password| password.reveal().to_owned())
    }

    #[tokio::test]
    async fn a_program_says_the_passphrase_on_its_first_line() {
        assert_eq!(said("echo 'open sesame'; echo more").await, Ok("open sesame".to_owned()));
        for silent in ["true", "echo", "echo hunter2; exit 3"] {
            let error = said(silent).await.unwrap_err();
            assert!(!error.contains("hunter2"), "{error}");
        }
        assert!(ask(&["/nowhere/at-all".to_owned()]).await.is_err());
    }
}
