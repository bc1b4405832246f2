//! `octroi receipt`: what a paid reply carried, judged by anybody who has it.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::{ArgGroup, Args, Subcommand};
use octroi_gate::receipts::{RECEIPT_KEY, result_digest};
use octroi_l402::receipt::{MAX_SET_BYTES, Payer, ReceiptError};
use octroi_l402::{Receipt, ReceiptKeys};
use octroi_mcp::{digest, json};
use serde_json::{Value, json};
use thiserror::Error;
use url::Url;

/// The exit code for a receipt that is not genuine, or not for what it is shown with.
const EXIT_FALSE: u8 = 4;
/// Longest reply that is read, in bytes.
const INPUT_MAX: u64 = 64 << 20;
/// How long a gate may take to give its keys.
const KEYS_WAIT: Duration = Duration::from_secs(10);

/// Receipts of paid calls.
#[derive(Clone, Debug, Args)]
pub struct ReceiptArgs {
    #[command(subcommand)]
    command: ReceiptCommand,
}

#[derive(Clone, Debug, Subcommand)]
enum ReceiptCommand {
    /// Judge a receipt: who charged what to whom, and whether it is genuine. Exits with 4 if it is not.
    Verify(VerifyArgs),
}

#[derive(Clone, Debug, Args)]
#[command(group(ArgGroup::new("by").required(true).args(["gate", "keys"])))]
struct VerifyArgs {
    /// A file with the receipt (the value of `Octroi-Receipt`, or of `_meta["dev.octroi/receipt"]`), or with the whole reply;
    /// `-` is standard input.
    #[arg(default_value = "-")]
    file: PathBuf,
    /// The address of the MCP endpoint that charged, whose keys are asked for.
    #[arg(long, value_name = "URL")]
    gate: Option<Url>,
    /// A file with the keys (a JWK set), as the gate published them.
    #[arg(long, value_name = "FILE")]
    keys: Option<PathBuf>,
    /// A file with the arguments (a JSON object) that the call was made with.
    #[arg(long, value_name = "FILE")]
    arguments: Option<PathBuf>,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Error)]
enum VerifyError {
    #[error("{}: {source}", .path.display())]
    File { path: PathBuf, source: std::io::Error },
    #[error("the keys cannot be had from {url}: {why}")]
    Fetch { url: Url, why: String },
    #[error("there is no receipt in it")]
    None,
    #[error(transparent)]
    Receipt(#[from] ReceiptError),
    #[error("the receipt is of {said}, not of {asked}")]
    OtherGate { said: String, asked: Url },
    #[error("{0} beside the signed receipt says something else than what is signed")]
    Beside(&'static str),
    #[error("the receipt is for another result than this one")]
    OtherResult,
    #[error("the receipt is for other arguments than these")]
    OtherArguments,
}

impl VerifyError {
    /// Whether the receipt is at fault, and not what it is judged by.
    const fn is_false(&self) -> bool {
        !matches!(self, Self::File { .. } | Self::Fetch { .. } | Self::Receipt(ReceiptError::Keys))
    }
}

/// Runs `octroi receipt …`.
pub fn run(args: &ReceiptArgs) -> ExitCode {
    let ReceiptCommand::Verify(args) = &args.command;
    match verify(args) {
        Ok(judged) => {
            if args.json {
                println!("{}", judged.to_json());
            } else {
                judged.print();
            }
            ExitCode::SUCCESS
        }
        Err(error) => {
            if args.json {
                println!("{}", json!({"genuine": false, "problem": error.to_string()}));
            } else {
                eprintln!("octroi: {error}");
            }
            if error.is_false() { ExitCode::from(EXIT_FALSE) } else { ExitCode::FAILURE }
        }
    }
}

/// A genuine receipt, and what it was compared with.
struct Judged {
    receipt: Receipt,
    result: bool,
    arguments: bool,
}

fn verify(args: &VerifyArgs) -> Result<Judged, VerifyError> {
    let shown = Shown::read(&read(&args.file)?)?;
    let keys = match (&args.keys, &args.gate) {
        (Some(file), _) => read(file)?,
        (None, Some(gate)) => fetch(gate)?,
        (None, None) => Vec::new(),
    };
    let receipt = ReceiptKeys::from_jwks(&keys)?.verify(&shown.jws)?;
    if let Some(gate) = &args.gate
        && receipt.iss.trim_end_matches('/') != gate.as_str().trim_end_matches('/')
    {
        return Err(VerifyError::OtherGate { said: receipt.iss, asked: gate.clone() });
    }
    shown.agrees(&receipt)?;
    let result = match (&receipt.result_sha256, &shown.result) {
        (Some(signed), Some(result)) if result_digest(result).as_ref() != Some(signed) => {
            return Err(VerifyError::OtherResult);
        }
        (signed, result) => signed.is_some() && result.is_some(),
    };
    let arguments = match (&receipt.arguments_sha256, &args.arguments) {
        (Some(signed), Some(file)) => {
            let arguments = read(file)?;
            if hex::encode(digest::arguments_digest(Some(arguments.trim_ascii()))) != *signed {
                return Err(VerifyError::OtherArguments);
            }
            true
        }
        _ => false,
    };
    Ok(Judged { receipt, result, arguments })
}

/// What was shown for a receipt.
struct Shown {
    jws: String,
    /// What stands beside the signed text, for people and models.
    beside: Option<Value>,
    /// The raw result that it came with.
    result: Option<Vec<u8>>,
}

impl Shown {
    /// Finds the receipt in its own text, in what `_meta` holds, in a result, or in a whole reply (also an event of a stream).
    fn read(input: &[u8]) -> Result<Self, VerifyError> {
        let input = input.trim_ascii();
        if !input.starts_with(b"{") && !input.starts_with(b"data:") {
            let jws = str::from_utf8(input).map_err(|_| VerifyError::None)?.to_owned();
            return Ok(Self { jws, beside: None, result: None });
        }
        let input =
            input.rsplit(|byte| *byte == b'\n').find_map(|line| line.strip_prefix(b"data:")).unwrap_or(input);
        json::validate(input.trim_ascii(), &json::Limits::default()).map_err(|_| VerifyError::None)?;
        let reply = json::get(input, "result");
        let result = reply.or_else(|| json::get(input, "_meta").map(|_| input));
        let beside = match result {
            Some(result) => json::get(result, "_meta").and_then(|meta| json::get(meta, RECEIPT_KEY)),
            None => Some(input),
        };
        let beside = beside.ok_or(VerifyError::None)?;
        let jws = json::get(beside, "jws").and_then(json::string).ok_or(VerifyError::None)?.into_owned();
        let beside = serde_json::from_slice(beside).ok();
        Ok(Self { jws, beside, result: result.map(<[u8]>::to_vec) })
    }

    /// Whether what people read is what is signed.
    fn agrees(&self, receipt: &Receipt) -> Result<(), VerifyError> {
        let Some(beside) = &self.beside else { return Ok(()) };
        for (member, signed) in [
            ("call", json!(receipt.jti)),
            ("tool", json!(receipt.tool)),
            ("msat", json!(receipt.msat)),
            ("balance_msat", json!(receipt.balance_msat)),
            ("at", json!(receipt.iat)),
        ] {
            if beside.get(member).is_some_and(|said| *said != signed) {
                return Err(VerifyError::Beside(member));
            }
        }
        Ok(())
    }
}

impl Judged {
    fn to_json(&self) -> Value {
        json!({"genuine": true, "receipt": self.receipt, "result": self.result, "arguments": self.arguments})
    }

    fn print(&self) {
        let Receipt { iss, iat, jti, service, tool, msat, balance_msat, payer, .. } = &self.receipt;
        let payer = match payer {
            Payer::Token(token) => format!("credential {token}"),
            Payer::Principal(principal) => format!("caller {principal}"),
        };
        let compared = |done: bool| if done { "these" } else { "not compared" };
        println!("genuine");
        println!("  charged    {msat} msat, {balance_msat} msat left");
        println!("  for        {tool} ({service})");
        println!("  to         {payer}");
        println!("  by         {iss}");
        println!("  call       {jti}");
        println!("  at         {iat} (Unix seconds)");
        println!("  arguments  {}", compared(self.arguments));
        println!("  result     {}", compared(self.result));
    }
}

fn read(path: &Path) -> Result<Vec<u8>, VerifyError> {
    let failed = |source| VerifyError::File { path: path.to_owned(), source };
    let mut bytes = Vec::new();
    if path == Path::new("-") {
        std::io::stdin().lock().take(INPUT_MAX).read_to_end(&mut bytes).map_err(failed)?;
    } else {
        std::fs::File::open(path).map_err(failed)?.take(INPUT_MAX).read_to_end(&mut bytes).map_err(failed)?;
    }
    Ok(bytes)
}

/// The keys that a gate publishes beneath the address of its endpoint.
fn fetch(gate: &Url) -> Result<Vec<u8>, VerifyError> {
    let mut url = gate.clone();
    url.set_path(&format!("{}/receipt-keys", gate.path().trim_end_matches('/')));
    let failed = |why: String| VerifyError::Fetch { url: url.clone(), why };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| failed(error.to_string()))?;
    let get = async {
        let client = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build()?;
        let mut answer = client.get(url.clone()).send().await?.error_for_status()?;
        let mut bytes = Vec::new();
        while let Some(chunk) = answer.chunk().await? {
            bytes.extend_from_slice(&chunk);
            if bytes.len() > MAX_SET_BYTES {
                break;
            }
        }
        Ok::<_, reqwest::Error>(bytes)
    };
    let got = runtime.block_on(async { tokio::time::timeout(KEYS_WAIT, get).await });
    match got {
        Ok(Ok(bytes)) => Ok(bytes),
        Ok(Err(error)) => Err(failed(error.without_url().to_string())),
        Err(_) => Err(failed(format!("no answer within {} s", KEYS_WAIT.as_secs()))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BESIDE: &str = r#"{"call":"c","msat":3,"jws":"a.b.c"}"#;

    #[test]
    fn a_receipt_is_found_wherever_it_stands() {
        let result = format!(r#"{{"content":[],"_meta":{{"dev.octroi/receipt":{BESIDE}}}}}"#);
        let reply = format!(r#"{{"jsonrpc":"2.0","id":1,"result":{result}}}"#);
        for (input, with_result) in [
            ("a.b.c\n".to_owned(), false),
            (BESIDE.to_owned(), false),
            (result.clone(), true),
            (reply.clone(), true),
            (format!("data: {{\"jsonrpc\":\"2.0\",\"method\":\"m\"}}\n\ndata: {reply}\n\n"), true),
        ] {
            let shown = Shown::read(input.as_bytes()).unwrap();
            assert_eq!((shown.jws.as_str(), shown.result.is_some()), ("a.b.c", with_result), "{input}");
        }
        for input in ["{}", "{", r#"{"result":{}}"#, r#"{"jws":7}"#, r#"{"_meta":{}}"#] {
            assert!(matches!(Shown::read(input.as_bytes()), Err(VerifyError::None)), "{input}");
        }
    }
}
