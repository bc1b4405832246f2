//! The attacks, written down.

use super::{Crowd, Habit};
use crate::door::Bounds;

/// What is played.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// Its name on the command line.
    pub name: &'static str,
    /// What happens, in one sentence.
    pub about: &'static str,
    /// How long, in seconds.
    pub seconds: u64,
    /// What the operator wishes.
    pub bounds: Bounds,
    /// Puzzles in a challenge: 1, or 16 for the kind whose time varies less.
    pub parts: u32,
    /// Calls that a solution buys.
    pub calls: u32,
    /// Who comes.
    pub crowds: Vec<Crowd>,
    /// Where chance starts.
    pub seed: u64,
}

/// Every scenario's name.
pub const SCENARIOS: [&str; 8] =
    ["calm", "burst", "ramp", "prefixes", "one-prefix", "botnet", "hoard", "liars"];

/// An ordinary laptop.
const LAPTOP: f64 = crate::door::LAPTOP_HASHES_PER_SECOND;
/// A rented or stolen machine: one slow core.
const BOT: f64 = 5e6;
/// A graphics card on plain SHA-256.
const CARD: f64 = 2e9;

/// The scenario of this name.
#[must_use]
pub fn scenario(name: &str) -> Option<Scenario> {
    let calm = Scenario {
        name: "calm",
        about: "Ordinary callers with laptops, as many as are borne: it stays as cheap as it can be.",
        seconds: 600,
        bounds: Scenario::bounds(20.0, (0.02, 4.0)),
        parts: 1,
        calls: 1,
        crowds: vec![ordinary()],
        seed: 7,
    };
    let against = |name, about, seconds, crowds: Vec<Crowd>| Scenario {
        name,
        about,
        seconds,
        crowds: std::iter::once(ordinary()).chain(crowds).collect(),
        ..calm.clone()
    };
    Some(match name {
        "calm" => calm,
        "burst" => against(
            "burst",
            "Forty graphics cards come for two minutes and go: up within half a minute, then back to rest.",
            900,
            vec![Crowd { from: 120, until: 240, ..flood("cards", 40, CARD) }],
        ),
        "ramp" => against(
            "ramp",
            "One more bot every second for half an hour.",
            2400,
            vec![Crowd { from: 60, until: 1860, joining: 1.0, ..flood("bots", 1800, BOT) }],
        ),
        "prefixes" => against(
            "prefixes",
            "Four hundred bots, each in a network prefix of its own: no surcharge helps, the lane as a whole does.",
            900,
            vec![Crowd { networks: 400, from: 60, until: 600, ..flood("bots", 400, BOT) }],
        ),
        "one-prefix" => against(
            "one-prefix",
            "The same four hundred bots in one prefix: they pay more than everybody else.",
            900,
            vec![Crowd { networks: 1, from: 60, until: 600, ..flood("bots", 400, BOT) }],
        ),
        "botnet" => against(
            "botnet",
            "Ten thousand bots for five minutes: as hard as it gets, and calls are turned away rather than priced out.",
            900,
            vec![Crowd { networks: 5000, from: 60, until: 360, ..flood("bots", 10_000, BOT) }],
        ),
        "hoard" => against(
            "hoard",
            "Ten machines solve while it is cheap, keep everything, and hand it in at once while a flood is on.",
            900,
            vec![
                Crowd {
                    habit: Habit::Hoards(290),
                    from: 60,
                    until: 290,
                    networks: 10,
                    ..flood("hoarders", 10, BOT)
                },
                Crowd { from: 270, until: 500, networks: 40, ..flood("cards", 40, CARD) },
            ],
        ),
        "liars" => against(
            "liars",
            "Two hundred callers ask for puzzles and send made-up solutions: nothing moves.",
            300,
            vec![Crowd { habit: Habit::Lies(10.0), from: 30, until: 270, ..flood("liars", 200, 1.0) }],
        ),
        _ => return None,
    })
}

/// Ten calls a second from two hundred people at home.
fn ordinary() -> Crowd {
    Crowd {
        name: "ordinary",
        count: 200,
        joining: 0.0,
        hashes_per_second: LAPTOP,
        habit: Habit::Visits(0.05),
        from: 0,
        until: u64::MAX,
        networks: 200,
        honest: true,
    }
}

fn flood(name: &'static str, count: u32, hashes_per_second: f64) -> Crowd {
    Crowd {
        name,
        count,
        joining: 0.0,
        hashes_per_second,
        habit: Habit::Floods,
        from: 0,
        until: u64::MAX,
        networks: count,
        honest: false,
    }
}
