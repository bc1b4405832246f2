//! The one door to every chore. `cargo xtask` alone lists them.

mod bench;
mod cache;
mod conformance;
mod deny;
mod fuzz;
mod glewlwyd;
mod lint;
mod peers;
mod plots;
mod process;
mod readme;
mod test;
mod wasm;

use std::process::ExitCode;

use process::Chore;

const USAGE: &str = "\
usage: cargo xtask CHORE

  test [ARGS…]           install what the tests need, then run them all; ARGS (a name, --test NAME) go to `cargo test`
  lint                   formatting, clippy with warnings as errors, cargo deny
  deny                   licences, advisories, duplicates and sources of the dependencies, a part of lint
  conformance [--url U]  the MCP conformance suite: direct and through the gate, or against any server
  fuzz [--seconds N] [NAME…]
                         the fuzz targets named, or all, N seconds each (60)
  bench [SECONDS]        what a call costs, beside nginx; each row takes SECONDS (2); written to target/bench
  bench ledger [SECONDS] the ledger alone, beside its engines' own group commit; printed
  bench single           operations on their own, credentials among them, beside their bare cryptography; printed
  bench lightning        how long challenges and payments take over real Lightning nodes
  plots                  the free door under scripted attacks, drawn into target/plots
  wasm [--check]         the solver for browsers, which the gate serves; --check builds and compares
  readme                 the commands of README.md that are marked to be run
  ci                     lint, wasm --check, test, plots and readme, as .ci/run does";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match chore(&arguments) {
        Some(Ok(())) => ExitCode::SUCCESS,
        Some(Err(failure)) => {
            eprintln!("xtask: {failure}");
            ExitCode::FAILURE
        }
        None => {
            eprintln!("{USAGE}");
            ExitCode::from(2)
        }
    }
}

/// Does what the arguments ask for; `None` when they ask for nothing that is known.
fn chore(arguments: &[&str]) -> Option<Chore> {
    Some(match arguments {
        ["test", more @ ..] => test::run(more),
        ["lint"] => lint::run(),
        ["deny"] => deny::run(),
        ["conformance"] => conformance::compare(),
        ["conformance", "--url", url] => conformance::against(url),
        ["fuzz", "--seconds", seconds, only @ ..] => fuzz::run(seconds.parse().ok()?, only),
        ["fuzz", only @ ..] if !only.iter().any(|name| name.starts_with('-')) => {
            fuzz::run(fuzz::SECONDS, only)
        }
        ["bench", more @ ..] => bench::run(more),
        ["plots"] => plots::run(),
        ["wasm"] => wasm::build(),
        ["wasm", "--check"] => wasm::check(),
        ["readme"] => readme::run(&[]),
        ["ci"] => ci(),
        _ => return None,
    })
}

/// What tells within seconds comes first.
fn ci() -> Chore {
    lint::run()?;
    wasm::check()?;
    test::run(&[])?;
    // Kept beside the build's output, for whoever looks at the run.
    plots::draw()?;
    readme::run(&["cargo xtask test"])
}
