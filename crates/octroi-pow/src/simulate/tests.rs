use std::sync::OnceLock;

use super::*;

/// Each scenario is played once for all tests.
fn played(name: &str) -> &'static Run {
    static RUNS: [OnceLock<Run>; SCENARIOS.len()] = [const { OnceLock::new() }; SCENARIOS.len()];
    let place = SCENARIOS.iter().position(|known| *known == name).unwrap();
    RUNS[place].get_or_init(|| run(scenario(name).unwrap()))
}

fn bits(run: &Run, seconds: std::ops::Range<usize>) -> (f64, f64) {
    let samples = &run.samples[seconds];
    let of = |pick: fn(f64, f64) -> f64, start| samples.iter().map(|sample| sample.bits).fold(start, pick);
    (of(f64::min, f64::INFINITY), of(f64::max, 0.0))
}

fn admitted(run: &Run, seconds: std::ops::Range<usize>) -> f64 {
    let samples = &run.samples[seconds];
    samples.iter().map(|sample| f64::from(sample.admitted)).sum::<f64>() / samples.len() as f64
}

fn honest(run: &Run, seconds: std::ops::Range<usize>) -> f64 {
    let samples = &run.samples[seconds];
    samples.iter().map(|sample| f64::from(sample.honest)).sum::<f64>() / samples.len() as f64
}

/// What holds in every run.
fn holds(run: &Run) {
    let bounds = &run.scenario.bounds;
    let (least, most) = bits(run, 0..run.samples.len());
    assert!(bounds.rest_bits <= least && most <= bounds.most_bits, "{least} to {most} bits");
    for minute in run.samples.chunks(60) {
        let calls: u32 = minute.iter().map(|sample| sample.admitted).sum();
        let borne = bounds.calls_per_second * (minute.len() as f64 + 4.0);
        assert!(f64::from(calls) <= borne + 1.0, "{calls} calls in a minute, {borne} can be borne");
    }
    for pair in run.samples.windows(2) {
        let step = pair[1].bits - pair[0].bits;
        assert!((-0.0401..=1.0001).contains(&step), "a step of {step} bits");
    }
}

#[test]
fn every_scenario_keeps_the_promises() {
    for name in SCENARIOS {
        holds(played(name));
    }
    assert!(scenario("nothing").is_none());
}

#[test]
fn the_same_scenario_goes_the_same_way() {
    assert_eq!(played("calm").samples, run(scenario("calm").unwrap()).samples);
}

#[test]
fn ordinary_callers_hardly_notice_it() {
    let run = played("calm");
    assert_eq!(bits(run, 0..600), (run.scenario.bounds.rest_bits, run.scenario.bounds.rest_bits));
    assert!(run.wait(0.99, 0..600) < 0.35, "{}", run.wait(0.99, 0..600));
}

#[test]
fn a_burst_is_met_within_half_a_minute_and_forgotten_afterwards() {
    let run = played("burst");
    // The cards' power alone would fill the lane at log2(40 · 2e9 / 20) bits; more than is ever asked.
    assert_eq!(bits(run, 160..240).1, run.scenario.bounds.most_bits);
    assert!(bits(run, 150..240).0 > 26.0, "{:?}", bits(run, 150..240));
    assert!(run.wait(0.95, 160..240) < 60.0, "{}", run.wait(0.95, 160..240));
    assert_eq!(run.samples.last().unwrap().bits, run.scenario.bounds.rest_bits, "rest again");
}

#[test]
fn a_slow_ramp_is_followed_without_swinging() {
    let run = played("ramp");
    // Averaged over half a minute the difficulty only rises while bots join.
    let means: Vec<f64> = run.samples[120..1800]
        .chunks(60)
        .map(|part| part.iter().map(|s| s.bits).sum::<f64>() / part.len() as f64)
        .collect();
    for pair in means.windows(2) {
        assert!(pair[1] > pair[0] - 0.35, "{means:?}");
    }
    // As hard as the bots' and the callers' power makes it, give or take half a bit.
    let power = 1800.0 * 5e6;
    let fair = (power / 20.0_f64).log2();
    let (least, most) = bits(run, 1800..1860);
    assert!(
        least > fair.min(27.0) - 1.0 && most <= run.scenario.bounds.most_bits,
        "{fair}: {least} to {most}"
    );
    // Honest callers still come in, ten a second of them.
    assert!(honest(run, 1500..1860) > 3.0, "{}", honest(run, 1500..1860));
}

#[test]
fn bots_in_one_prefix_pay_for_themselves_and_spread_out_they_do_not() {
    let (one, spread) = (played("one-prefix"), played("prefixes"));
    let calls = |run: &Run| honest(run, 200..600);
    assert!(calls(one) > calls(spread) * 0.95, "{} {}", calls(one), calls(spread));
    let common = |run: &Run| bits(run, 200..600).1;
    assert!(common(one) < common(spread), "{} {}", common(one), common(spread));
    assert!(one.wait(0.5, 200..600) < spread.wait(0.5, 200..600));
}

#[test]
fn a_botnet_is_turned_away_and_prices_nobody_out() {
    let run = played("botnet");
    assert_eq!(bits(run, 120..360).1, run.scenario.bounds.most_bits);
    let borne = run.scenario.bounds.calls_per_second;
    assert!(admitted(run, 120..360) > borne * 0.8, "the lane stays full: {}", admitted(run, 120..360));
    assert!(run.samples[120..360].iter().any(|sample| sample.shed > 0));
    // Five minutes of a thousand times the ordinary power, and ten minutes later it is as it was.
    assert!(run.wait(0.5, 800..900) < 1.5, "{}", run.wait(0.5, 800..900));
}

#[test]
fn hoarded_puzzles_do_not_push_the_honest_aside() {
    let run = played("hoard");
    let without = {
        let mut scenario = scenario("hoard").unwrap();
        scenario.crowds.retain(|crowd| crowd.name != "hoarders");
        super::run(scenario)
    };
    let served = |run: &Run| honest(run, 290..500);
    assert!(served(run) > 0.7 * served(&without), "{} {}", served(run), served(&without));
}

#[test]
fn lies_and_questions_move_nothing() {
    let run = played("liars");
    assert_eq!(bits(run, 0..300), (run.scenario.bounds.rest_bits, run.scenario.bounds.rest_bits));
    assert!(run.wait(0.99, 0..300) < 0.35);
}

#[test]
fn what_is_drawn_is_whole() {
    let run = played("liars");
    let svg = run.to_svg();
    assert!(svg.starts_with("<svg ") && svg.ends_with("</svg>\n"));
    assert_eq!(svg.matches("<polyline").count(), 5);
    let text = run.to_text(80);
    assert!(text.contains("difficulty") && text.lines().all(|line| line.chars().count() <= 140), "{text}");
}
