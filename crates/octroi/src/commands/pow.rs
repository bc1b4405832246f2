//! `octroi pow`: what a caller does with puzzles, and what an operator wants to know of them.

mod bar;
mod simulate;

use std::num::NonZeroUsize;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use clap::{Args, Subcommand};
use octroi_pow::{Challenge, Difficulty, Submission, solver};
use serde_json::{Value, json};
use url::Url;

pub(super) use bar::SolveBar;

/// The exit code for arguments that name no puzzle.
const EXIT_USAGE: u8 = 2;
/// The exit code when the server does not take the solution.
const EXIT_REFUSED: u8 = 5;
/// The exit code when the server cannot be reached.
const EXIT_NETWORK: u8 = 6;

/// Most bytes of a puzzle in a file, and of a server's answer.
const PUZZLE_BYTES_MAX: usize = 64 * 1024;
/// How long a server may take to answer.
const ANSWER_WAIT: Duration = Duration::from_secs(30);

/// Puzzles: the free door.
#[derive(Clone, Debug, Args)]
pub struct PowArgs {
    #[command(subcommand)]
    command: PowCommand,
}

#[derive(Clone, Debug, Subcommand)]
enum PowCommand {
    /// Solve a puzzle and print the nonce.
    Solve(SolveArgs),
    /// Play an attack on the free door and draw what it does: difficulty, solutions, calls admitted.
    Simulate(simulate::SimulateArgs),
}

/// Solve a puzzle and print the nonce.
#[derive(Clone, Debug, Args)]
pub struct SolveArgs {
    /// A challenge token, a file with the challenge's JSON, the JSON itself, or a bare salt.
    #[arg(long, required_unless_present = "url", conflicts_with = "url")]
    challenge: Option<String>,
    /// How many leading zero bits the hash must have; only for a bare salt.
    #[arg(long, value_name = "BITS", conflicts_with = "url")]
    difficulty: Option<f64>,
    /// Fetch the challenge from URL/pow/challenge and redeem its solution at URL/pow/verify.
    #[arg(long)]
    url: Option<Url>,
    /// With --url: the only tool the calls are to be good for.
    #[arg(long, requires = "url")]
    tool: Option<String>,
    /// How many threads search; all cores unless given.
    #[arg(long)]
    threads: Option<NonZeroUsize>,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

/// Runs a `pow` command. Exits with 0, 2 for arguments that name no puzzle, 5 when the server refuses, 6 for the network.
pub fn run(args: &PowArgs) -> ExitCode {
    let args = match &args.command {
        PowCommand::Solve(args) => args,
        PowCommand::Simulate(args) => return simulate::run(args),
    };
    match solve(args) {
        Ok(answer) if args.json => {
            println!("{}", answer.to_json());
            ExitCode::SUCCESS
        }
        Ok(answer) => {
            print!("{}", answer.to_text());
            ExitCode::SUCCESS
        }
        Err((code, words)) => {
            if args.json {
                println!("{}", json!({"error": {"exit": code, "message": words}}));
            } else {
                eprintln!("octroi: {words}");
            }
            ExitCode::from(code)
        }
    }
}

type Failure = (u8, String);

/// What is to be solved.
enum Puzzle {
    Challenge(Box<Challenge>),
    Salt { salt: String, difficulty: Difficulty },
}

impl Puzzle {
    fn difficulty(&self) -> Difficulty {
        match self {
            Self::Challenge(challenge) => challenge.difficulty,
            Self::Salt { difficulty, .. } => *difficulty,
        }
    }

    /// A file, JSON, or a token; what is none of them is a salt.
    fn read(text: &str, bits: Option<f64>) -> Result<Self, Failure> {
        let usage = |words: String| (EXIT_USAGE, words);
        let in_file = std::fs::metadata(Path::new(text)).ok().filter(std::fs::Metadata::is_file);
        let content = match in_file {
            Some(file) if file.len() > PUZZLE_BYTES_MAX as u64 => {
                return Err(usage(format!("{text} is longer than {PUZZLE_BYTES_MAX} bytes")));
            }
            Some(_) => std::fs::read_to_string(text).map_err(|error| usage(format!("{text}: {error}")))?,
            None => text.to_owned(),
        };
        let content = content.trim();
        if content.starts_with('{') {
            let challenge = serde_json::from_str(content);
            return challenge
                .map(Self::Challenge)
                .map_err(|error| usage(format!("not a challenge: {error}")));
        }
        if let Ok(challenge) = Challenge::from_token(content) {
            return Ok(Self::Challenge(Box::new(challenge)));
        }
        let bits = bits.ok_or_else(|| {
            usage(
                "this is neither a challenge token, nor JSON, nor a file; for a bare salt give --difficulty"
                    .to_owned(),
            )
        })?;
        let difficulty = Difficulty::from_bits(bits).map_err(|error| usage(error.to_string()))?;
        Ok(Self::Salt { salt: content.to_owned(), difficulty })
    }
}

/// A solved puzzle.
struct Answer {
    nonce: String,
    bits: f64,
    seconds: f64,
    hashes: u64,
    /// The `X-PoW-Solution` value, where the puzzle is a whole challenge.
    header: Option<String>,
    /// What the server gave for it.
    grant: Option<Value>,
}

impl Answer {
    fn to_json(&self) -> Value {
        json!({
            "nonce": self.nonce,
            "bits": self.bits,
            "seconds": self.seconds,
            "hashes": self.hashes,
            "header": self.header,
            "grant": self.grant,
        })
    }

    fn to_text(&self) -> String {
        let mut text = format!("nonce: {}\n", self.nonce);
        if let Some(grant) = &self.grant {
            let token = grant.get("token").and_then(Value::as_str).unwrap_or_default();
            text.push_str(&format!("Authorization: L402 {token}\n"));
            if let Some(access_token) = grant.get("access_token").and_then(Value::as_str) {
                text.push_str(&format!("for other services: {access_token}\n"));
            }
            for (key, unit) in [("calls", "calls"), ("ttl", "seconds")] {
                if let Some(value) = grant.get(key) {
                    text.push_str(&format!("good for: {value} {unit}\n"));
                }
            }
        } else if let Some(header) = &self.header {
            text.push_str(&format!("X-PoW-Solution: {header}\n"));
        }
        text.push_str(&format!("{} bits, {} hashes, {:.2} s\n", self.bits, self.hashes, self.seconds));
        text
    }
}

fn solve(args: &SolveArgs) -> Result<Answer, Failure> {
    let puzzle = match (&args.url, &args.challenge) {
        (Some(url), _) => fetch(url, args.tool.as_deref())?,
        (None, Some(text)) => Puzzle::read(text, args.difficulty)?,
        (None, None) => return Err((EXIT_USAGE, "give --challenge or --url".to_owned())),
    };
    let difficulty = puzzle.difficulty();
    let tried = Arc::new(AtomicU64::new(0));
    let bar = SolveBar::start(difficulty.bits(), Arc::clone(&tried));
    let started = Instant::now();
    let threads = args.threads.unwrap_or_else(solver::all_cores);
    let cancel = AtomicBool::new(false);
    let nonce = match &puzzle {
        Puzzle::Challenge(challenge) => solver::solve_challenge(challenge, threads, &cancel, &tried)
            .map_err(|error| (EXIT_USAGE, error.to_string()))?,
        Puzzle::Salt { salt, difficulty } => {
            solver::solve(salt, difficulty.target(), threads, &cancel, &tried)
        }
    };
    let seconds = started.elapsed().as_secs_f64();
    drop(bar);
    let nonce = nonce.ok_or_else(|| (EXIT_REFUSED, "no nonce was found".to_owned()))?;
    let (bits, hashes) = (difficulty.bits(), tried.load(Ordering::Relaxed));
    let (mut header, mut grant) = (None, None);
    if let Puzzle::Challenge(challenge) = puzzle {
        let submission =
            Submission::new(*challenge, nonce.as_str()).map_err(|error| (EXIT_REFUSED, error.to_string()))?;
        if let Some(url) = &args.url {
            grant = Some(post(url, "verify", &json!(submission))?);
        }
        header = Some(submission.to_header());
    }
    Ok(Answer { nonce, bits, seconds, hashes, header, grant })
}

fn fetch(url: &Url, tool: Option<&str>) -> Result<Puzzle, Failure> {
    let wish = tool.map_or_else(|| json!({}), |tool| json!({"tool": tool}));
    let challenge = serde_json::from_value(post(url, "challenge", &wish)?);
    challenge.map(Puzzle::Challenge).map_err(|error| (EXIT_REFUSED, format!("not a challenge: {error}")))
}

/// `POST <url>/pow/<step>`.
fn post(url: &Url, step: &str, body: &Value) -> Result<Value, Failure> {
    let mut place = url.clone();
    place.set_path(&format!("{}/pow/{step}", url.path().trim_end_matches('/')));
    let network = |error: &dyn std::fmt::Display| (EXIT_NETWORK, format!("network: {error}"));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let (status, answer) = runtime.map_err(|error| network(&error))?.block_on(exchange(place, body))?;
    let answer: Value = serde_json::from_slice(&answer).unwrap_or_default();
    if status.is_success() {
        return Ok(answer);
    }
    let words = answer.get("message").and_then(Value::as_str).unwrap_or("the server did not say why");
    Err((EXIT_REFUSED, format!("refused ({status}): {words}")))
}

async fn exchange(place: Url, body: &Value) -> Result<(reqwest::StatusCode, Vec<u8>), Failure> {
    let network = |error: reqwest::Error| (EXIT_NETWORK, format!("network: {}", error.without_url()));
    let client = reqwest::Client::builder()
        .timeout(ANSWER_WAIT)
        .redirect(reqwest::redirect::Policy::none())
        .build()
        .map_err(network)?;
    let mut response = client.post(place).json(body).send().await.map_err(network)?;
    let mut bytes = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(network)? {
        if bytes.len() + chunk.len() > PUZZLE_BYTES_MAX {
            return Err((EXIT_REFUSED, format!("the answer is longer than {PUZZLE_BYTES_MAX} bytes")));
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok((response.status(), bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_salt_needs_a_difficulty_and_is_solved() {
        assert!(matches!(Puzzle::read("octroi", None), Err((EXIT_USAGE, _))));
        assert!(matches!(Puzzle::read("octroi", Some(65.0)), Err((EXIT_USAGE, _))));
        assert!(matches!(Puzzle::read("{}", Some(1.0)), Err((EXIT_USAGE, _))));
        let args = SolveArgs {
            challenge: Some("octroi".to_owned()),
            difficulty: Some(8.0),
            url: None,
            tool: None,
            threads: Some(NonZeroUsize::MIN),
            json: false,
        };
        let answer = solve(&args).unwrap();
        let sum = <sha2::Sha256 as sha2::Digest>::digest(format!("octroi{}", answer.nonce));
        assert_eq!(sum[0], 0);
        assert!(answer.header.is_none() && answer.hashes > 0);
    }

    #[test]
    fn a_challenge_is_read_as_json_token_or_file_and_its_header_is_printed() {
        let binding = octroi_pow::Binding {
            tool: None,
            principal: None,
            arguments_digest: None,
            calls: 1,
            service: "s".to_owned(),
        };
        let signer = octroi_pow::Signer::generate().unwrap();
        let challenge = signer.issue(Difficulty::from_bits(4.0).unwrap(), binding, 0, 60, [1; 16]);
        let json = serde_json::to_string(&challenge).unwrap();
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), &json).unwrap();
        for text in [json.clone(), challenge.to_token(), file.path().display().to_string()] {
            let args = SolveArgs {
                challenge: Some(text),
                difficulty: None,
                url: None,
                tool: None,
                threads: None,
                json: true,
            };
            let answer = solve(&args).unwrap();
            let submission = Submission::from_header(answer.header.as_deref().unwrap()).unwrap();
            assert_eq!(submission.nonce, answer.nonce);
            assert!(answer.to_text().contains("X-PoW-Solution: challenge="));
        }
    }
}
