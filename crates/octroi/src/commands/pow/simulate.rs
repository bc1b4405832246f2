//! `octroi pow simulate`: scripted attacks on the free door, drawn.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use octroi_pow::door::bits_of_laptop_seconds;
use octroi_pow::simulate::{Run, SCENARIOS, Scenario, run as play, scenario};
use serde_json::{Value, json};

use super::EXIT_USAGE;

/// The exit code when a picture cannot be written.
const EXIT_FILE: u8 = 3;
/// Columns of a terminal that does not say how wide it is.
const COLUMNS: usize = 100;

/// Play an attack on the free door and draw what it does.
#[derive(Clone, Debug, Args)]
pub(super) struct SimulateArgs {
    /// What is played: one or more of the scenarios; all of them unless given.
    #[arg(value_parser = SCENARIOS, value_name = "SCENARIO")]
    scenarios: Vec<String>,
    /// Free calls per second that can be borne.
    #[arg(long, value_name = "CALLS")]
    free_calls: Option<f64>,
    /// What an ordinary laptop computes for a solution when nobody comes, in seconds.
    #[arg(long, value_name = "SECONDS")]
    work: Option<f64>,
    /// What it computes at most, in seconds.
    #[arg(long, value_name = "SECONDS")]
    work_max: Option<f64>,
    /// Sixteen puzzles in one, whose time varies less.
    #[arg(long)]
    even: bool,
    /// Where chance starts: another number, another run.
    #[arg(long)]
    seed: Option<u64>,
    /// Write SCENARIO.svg into this folder for each.
    #[arg(long, value_name = "FOLDER")]
    out: Option<PathBuf>,
    /// Print one JSON object for each scenario, second by second.
    #[arg(long)]
    json: bool,
}

/// Exits with 0, 2 for wishes that cannot be, 3 when a picture cannot be written.
pub(super) fn run(args: &SimulateArgs) -> ExitCode {
    let wanted = if args.scenarios.is_empty() {
        SCENARIOS.map(str::to_owned).to_vec()
    } else {
        args.scenarios.clone()
    };
    for scenario in wanted.iter().filter_map(|name| scenario(name)) {
        let scenario = match args.wished(scenario) {
            Ok(scenario) => scenario,
            Err(words) => {
                eprintln!("octroi: {words}");
                return ExitCode::from(EXIT_USAGE);
            }
        };
        let run = play(scenario);
        if let Some(folder) = &args.out
            && let Err(error) = write(folder, &run)
        {
            eprintln!("octroi: {}: {error}", folder.display());
            return ExitCode::from(EXIT_FILE);
        }
        if args.json {
            println!("{}", to_json(&run));
        } else {
            println!("{}", run.to_text(COLUMNS));
        }
    }
    ExitCode::SUCCESS
}

impl SimulateArgs {
    fn wished(&self, mut scenario: Scenario) -> Result<Scenario, &'static str> {
        let positive = |value: f64| value.is_finite() && value > 0.0;
        if [self.free_calls, self.work, self.work_max].into_iter().flatten().any(|value| !positive(value)) {
            return Err("calls and seconds are numbers above 0");
        }
        let bounds = &mut scenario.bounds;
        bounds.calls_per_second = self.free_calls.unwrap_or(bounds.calls_per_second);
        bounds.rest_bits = self.work.map_or(bounds.rest_bits, bits_of_laptop_seconds);
        bounds.most_bits = self.work_max.map_or(bounds.most_bits, bits_of_laptop_seconds);
        if bounds.most_bits < bounds.rest_bits {
            return Err("--work-max is less than --work");
        }
        if self.even {
            scenario.parts = 16;
        }
        scenario.seed = self.seed.unwrap_or(scenario.seed);
        Ok(scenario)
    }
}

fn write(folder: &Path, run: &Run) -> std::io::Result<()> {
    std::fs::create_dir_all(folder)?;
    std::fs::write(folder.join(format!("{}.svg", run.scenario.name)), run.to_svg())
}

fn to_json(run: &Run) -> Value {
    let column =
        |value: fn(&octroi_pow::simulate::Sample) -> f64| run.samples.iter().map(value).collect::<Vec<_>>();
    let all = 0..run.scenario.seconds;
    json!({
        "scenario": run.scenario.name,
        "about": run.scenario.about,
        "free_calls_per_second": run.scenario.bounds.calls_per_second,
        "difficulty_at_rest": run.scenario.bounds.rest_bits,
        "difficulty_max": run.scenario.bounds.most_bits,
        "honest_calls": run.waits.len(),
        "honest_wait_p50": run.wait(0.5, all.clone()),
        "honest_wait_p95": run.wait(0.95, all.clone()),
        "honest_wait_p99": run.wait(0.99, all),
        "difficulty": column(|sample| sample.bits),
        "handed_in": column(|sample| f64::from(sample.solved)),
        "admitted": column(|sample| f64::from(sample.admitted)),
        "admitted_honest": column(|sample| f64::from(sample.honest)),
        "turned_away": column(|sample| f64::from(sample.shed)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args() -> SimulateArgs {
        SimulateArgs {
            scenarios: vec!["calm".to_owned()],
            free_calls: None,
            work: None,
            work_max: None,
            even: false,
            seed: None,
            out: None,
            json: false,
        }
    }

    #[test]
    fn wishes_become_bounds() {
        let wishes = SimulateArgs { free_calls: Some(5.0), work: Some(0.01), work_max: Some(1.0), ..args() };
        let scenario = wishes.wished(scenario("burst").unwrap()).unwrap();
        assert_eq!(scenario.bounds.calls_per_second, 5.0);
        assert_eq!(scenario.bounds.rest_bits, bits_of_laptop_seconds(0.01));
        for wrong in [f64::NAN, 0.0, -1.0, f64::INFINITY] {
            let wishes = SimulateArgs { work: Some(wrong), ..args() };
            assert!(wishes.wished(super::scenario("burst").unwrap()).is_err(), "{wrong}");
        }
        let upside_down = SimulateArgs { work: Some(2.0), work_max: Some(1.0), ..args() };
        assert!(upside_down.wished(super::scenario("burst").unwrap()).is_err());
    }

    #[test]
    fn pictures_are_written_where_asked() {
        let folder = tempfile::tempdir().unwrap();
        let written = folder.path().join("plots");
        assert_eq!(run(&SimulateArgs { out: Some(written.clone()), ..args() }), ExitCode::SUCCESS);
        assert!(std::fs::read_to_string(written.join("calm.svg")).unwrap().contains("<polyline"));
    }
}
