//! A run as an SVG document: three strips over one time axis.

use std::fmt::Write;

use super::{Run, Sample};

const WIDTH: f64 = 960.0;
const STRIP: f64 = 150.0;
const GAP: f64 = 46.0;
const LEFT: f64 = 64.0;
const TOP: f64 = 66.0;

/// One line of a strip.
struct Curve {
    name: &'static str,
    colour: &'static str,
    value: fn(&Sample) -> f64,
}

/// One strip: its title and its lines.
struct Strip {
    title: String,
    curves: Vec<Curve>,
}

pub(super) fn draw(run: &Run) -> String {
    let bounds = &run.scenario.bounds;
    let strips = [
        Strip {
            title: format!(
                "difficulty, bits ({:.1} at rest, {:.1} at most)",
                bounds.rest_bits, bounds.most_bits
            ),
            curves: vec![Curve { name: "difficulty", colour: "#b2402a", value: |sample| sample.bits }],
        },
        Strip {
            title: "solutions handed in, each second".to_owned(),
            curves: vec![
                Curve { name: "handed in", colour: "#33508c", value: |sample| f64::from(sample.solved) },
                Curve { name: "turned away", colour: "#b98b1f", value: |sample| f64::from(sample.shed) },
            ],
        },
        Strip {
            title: format!("calls admitted, each second ({} can be borne)", bounds.calls_per_second),
            curves: vec![
                Curve { name: "all", colour: "#33508c", value: |sample| f64::from(sample.admitted) },
                Curve { name: "to the honest", colour: "#2f7d4f", value: |sample| f64::from(sample.honest) },
            ],
        },
    ];
    let height = TOP + strips.len() as f64 * (STRIP + GAP);
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"{WIDTH}\" height=\"{height}\" fill=\"#fff\"/>\n\
         <text x=\"{LEFT}\" y=\"24\" font-size=\"16\">{}</text>\n<text x=\"{LEFT}\" y=\"42\" fill=\"#555\">{}</text>\n",
        run.scenario.name, run.scenario.about
    );
    for (at, strip) in strips.iter().enumerate() {
        let top = TOP + at as f64 * (STRIP + GAP);
        draw_strip(&mut out, strip, &run.samples, top);
    }
    out.push_str("</svg>\n");
    out
}

fn draw_strip(out: &mut String, strip: &Strip, samples: &[Sample], top: f64) {
    let most =
        strip.curves.iter().flat_map(|curve| samples.iter().map(curve.value)).fold(1.0, f64::max) * 1.05;
    let right = WIDTH - 20.0;
    let x = |second: usize| LEFT + (right - LEFT) * second as f64 / samples.len().max(1) as f64;
    let y = |value: f64| top + STRIP - STRIP * value / most;
    // Writing to a String cannot fail.
    let _ = writeln!(out, "<text x=\"{LEFT}\" y=\"{:.0}\">{}</text>", top - 6.0, strip.title);
    for share in [0.0, 0.5, 1.0] {
        let (value, at) = (most / 1.05 * share, y(most / 1.05 * share));
        let _ = writeln!(out, "<path d=\"M{LEFT} {at:.1}H{right}\" stroke=\"#ddd\"/>");
        let _ = writeln!(
            out,
            "<text x=\"{:.0}\" y=\"{:.1}\" text-anchor=\"end\">{value:.0}</text>",
            LEFT - 6.0,
            at + 4.0
        );
    }
    let step = (samples.len() / 10).max(1);
    for second in (0..samples.len()).step_by(step) {
        let bottom = top + STRIP + 14.0;
        let _ =
            writeln!(out, "<text x=\"{:.1}\" y=\"{bottom:.0}\" fill=\"#777\">{second} s</text>", x(second));
    }
    for (place, curve) in strip.curves.iter().enumerate() {
        let points = samples.iter().enumerate();
        let points: Vec<String> = points
            .map(|(second, sample)| format!("{:.1} {:.1}", x(second), y((curve.value)(sample))))
            .collect();
        let _ = writeln!(
            out,
            "<polyline points=\"{}\" fill=\"none\" stroke=\"{}\" stroke-width=\"1.3\"/>",
            points.join(" "),
            curve.colour
        );
        let _ = writeln!(
            out,
            "<text x=\"{:.0}\" y=\"{:.0}\" text-anchor=\"end\" fill=\"{}\">{}</text>",
            right - 110.0 * place as f64,
            top - 6.0,
            curve.colour,
            curve.name
        );
    }
}
