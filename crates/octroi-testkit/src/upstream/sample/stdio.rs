//! The sample server over standard input and output: one message a line (MCP 2025-11-25 and 2026-07-28
//! basic/transports, stdio).

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::sync::mpsc::{self, Receiver, Sender};

use super::answer;
use super::fault::Fault;
use super::modern;
use super::state::{Received, State};
use super::wire::{Call, Era, Message, Refusal};

/// Lines waiting to be written.
const QUEUE: usize = 64;

/// What goes to standard output.
enum Line {
    Message(Value),
    /// Half a message, and then the end of the process's output.
    Cut(Value),
    /// Bytes that are no message.
    Garbage,
}

/// Serves until the input ends, or until a call asks for [`Fault::CutStream`] or [`Fault::CutBody`], which end the
/// output in the middle of a line as a dying process does.
///
/// # Errors
/// When reading or writing fails.
pub async fn serve_stdio(
    input: impl AsyncRead + Unpin,
    output: impl AsyncWrite + Unpin + Send + 'static,
) -> io::Result<()> {
    let state = Arc::new(State::default());
    let (lines, queued) = mpsc::channel(QUEUE);
    let mut writer = tokio::spawn(write(queued, output));
    let mut input = BufReader::new(input).lines();
    loop {
        let line = tokio::select! {
            line = input.next_line() => line?,
            written = &mut writer => return written.unwrap_or_else(|lost| Err(io::Error::other(lost))),
        };
        let Some(line) = line else { break };
        if !line.trim().is_empty() {
            receive(&state, Bytes::from(line), &lines).await;
        }
    }
    // Requests under way are given up with the input: nobody is left to read their answers.
    writer.abort();
    Ok(())
}

async fn receive(state: &Arc<State>, body: Bytes, lines: &Sender<Line>) {
    let received = Received { http_method: "stdio".to_owned(), headers: Vec::new(), body };
    state.record(received.clone());
    let message = match Message::read(&received.body) {
        Ok(message) => message,
        Err(refusal) => {
            let _ = lines.send(Line::Message(refusal.response(&Value::Null))).await;
            return;
        }
    };
    match message {
        Message::Response => {}
        Message::Notification { method, params } => match method.as_str() {
            "notifications/cancelled" => {
                state.cancel(&(None, params.get("requestId").map(Value::to_string).unwrap_or_default()));
            }
            "notifications/initialized" => {
                tokio::spawn(tell_changes(Arc::clone(state), lines.clone()));
            }
            _ => {}
        },
        Message::Request { id, method, params } => match modern::over_stdio(&params) {
            Ok(era) => request(state, Call { era, id, method, params, session: None, received }, lines).await,
            Err(refusal) => {
                let _ = lines.send(Line::Message(refusal.response(&id))).await;
            }
        },
    }
}

async fn request(state: &Arc<State>, call: Call, lines: &Sender<Line>) {
    if call.method == "tools/call" {
        state.count(|tally| *tally.calls.entry(call.text("name").to_owned()).or_default() += 1);
        if let Some(fault) = call.argument("fault").and_then(Value::as_str).and_then(Fault::named) {
            return misbehave(&call, fault, lines).await;
        }
    }
    let modern = call.era == Era::Modern;
    let mut exchange = answer::start(state, call);
    let lines = lines.clone();
    tokio::spawn(async move {
        while let Some(next) = exchange.messages.recv().await {
            if lines.send(Line::Message(next.message)).await.is_err() && modern {
                return;
            }
        }
    });
}

async fn misbehave(call: &Call, fault: Fault, lines: &Sender<Line>) {
    let line = match fault {
        Fault::Hang => return,
        Fault::CutStream | Fault::CutBody => {
            Line::Cut(Refusal::new(-32603, "this line will break").response(&call.id))
        }
        Fault::Garbage | Fault::Empty => Line::Garbage,
        other => Line::Message(super::faulty::in_band(call, other).unwrap_or_else(|| {
            Refusal::new(-32603, "this fault has no meaning over stdio").response(&call.id)
        })),
    };
    let _ = lines.send(line).await;
}

/// Legacy clients get every list change once they are initialized.
async fn tell_changes(state: Arc<State>, lines: Sender<Line>) {
    let mut reader = state.changes.reader();
    while let Some(change) = reader.next().await {
        if lines.send(Line::Message(change.notification())).await.is_err() {
            return;
        }
    }
}

async fn write(mut queued: Receiver<Line>, mut output: impl AsyncWrite + Unpin) -> io::Result<()> {
    while let Some(line) = queued.recv().await {
        let (text, whole) = match line {
            Line::Message(message) => (format!("{message}\n"), true),
            Line::Garbage => ("this is not JSON\n".to_owned(), true),
            Line::Cut(message) => (message.to_string(), false),
        };
        let end = if whole { text.len() } else { text.len() / 2 };
        output.write_all(text.as_bytes().get(..end).unwrap_or_default()).await?;
        output.flush().await?;
        if !whole {
            return Ok(());
        }
    }
    Ok(())
}
