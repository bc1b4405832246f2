//! A run as text: one line of bars for each curve.

use std::fmt::Write;

use super::{Run, Sample};

const BARS: [char; 9] = [' ', '▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
/// Columns in front of the bars.
const NAME: usize = 16;
/// Columns behind them: the largest value.
const VALUE: usize = 10;

pub(super) fn draw(run: &Run, columns: usize) -> String {
    let wide = columns.saturating_sub(NAME + VALUE).clamp(20, 400);
    let bounds = &run.scenario.bounds;
    let mut out = format!(
        "{}: {}\n{} s; {} calls/s can be borne, {:.1} to {:.1} bits\n\n",
        run.scenario.name,
        run.scenario.about,
        run.scenario.seconds,
        bounds.calls_per_second,
        bounds.rest_bits,
        bounds.most_bits
    );
    line(&mut out, run, wide, ("difficulty", bounds.rest_bits), |sample| sample.bits);
    line(&mut out, run, wide, ("handed in /s", 0.0), |sample| f64::from(sample.solved));
    line(&mut out, run, wide, ("admitted /s", 0.0), |sample| f64::from(sample.admitted));
    line(&mut out, run, wide, ("to honest /s", 0.0), |sample| f64::from(sample.honest));
    line(&mut out, run, wide, ("turned away /s", 0.0), |sample| f64::from(sample.shed));
    let all = 0..run.scenario.seconds;
    // Writing to a String cannot fail.
    let _ = writeln!(
        out,
        "\nhonest callers: {} calls, waited {:.2} s (half of them), {:.2} s (95 %), {:.2} s (99 %)",
        run.waits.len(),
        run.wait(0.5, all.clone()),
        run.wait(0.95, all.clone()),
        run.wait(0.99, all)
    );
    out
}

/// The mean of each column, drawn from `least` on.
fn line(out: &mut String, run: &Run, wide: usize, (name, least): (&str, f64), value: fn(&Sample) -> f64) {
    let columns: Vec<f64> = (0..wide)
        .map(|column| {
            let from = column * run.samples.len() / wide;
            let to = ((column + 1) * run.samples.len() / wide).max(from + 1).min(run.samples.len());
            let part = &run.samples[from.min(to)..to];
            part.iter().map(value).sum::<f64>() / part.len().max(1) as f64
        })
        .collect();
    let most = columns.iter().copied().fold(least, f64::max);
    let bars: String = columns
        .iter()
        .map(|mean| {
            let share = if most > least { (mean - least) / (most - least) } else { 0.0 };
            BARS[((share * 8.0).round() as usize).min(8)]
        })
        .collect();
    let _ = writeln!(out, "{name:<NAME$}{bars} {most:.1}");
}
