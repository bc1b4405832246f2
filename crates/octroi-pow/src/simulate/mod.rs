//! The free door under scripted load: who comes, how fast they compute, and what the door makes of it.
//!
//! The [`Door`] is the one the gate uses; time is simulated, chance comes from a seed, so that the same scenario always goes the
//! same way. `octroi pow simulate` draws what comes out; the tests assert it.

mod chance;
mod picture;
mod scenarios;
mod terminal;
#[cfg(test)]
mod tests;

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::door::{Bounds, Door, Effort, Visitor};
use chance::Chance;
pub use scenarios::{SCENARIOS, Scenario, scenario};

/// How long a request is on its way, there and back, in milliseconds.
const ROUND_TRIP_MS: u64 = 60;
/// How long a puzzle may be solved, in milliseconds.
const PUZZLE_LIFE_MS: u64 = 300_000;
/// A sample is taken so often, in milliseconds.
pub(crate) const SAMPLE_MS: u64 = 1_000;

/// How somebody comes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Habit {
    /// Each now and then, so many times a second on average.
    Visits(f64),
    /// Again as soon as it is done: a flood.
    Floods,
    /// As `Floods`, but keeps what it has solved, until this second.
    Hoards(u64),
    /// Sends what is no solution, so many times a second: costs it nothing.
    Lies(f64),
}

/// Some visitors alike.
#[derive(Clone, Debug)]
pub struct Crowd {
    /// What the picture calls them.
    pub name: &'static str,
    /// How many there are.
    pub count: u32,
    /// How many join each second after `from`; 0: all at once.
    pub joining: f64,
    /// What each computes, in hashes per second.
    pub hashes_per_second: f64,
    /// When they come.
    pub habit: Habit,
    /// From which second on.
    pub from: u64,
    /// Until which second.
    pub until: u64,
    /// Over how many network prefixes they are spread; 0: addresses that are not told apart.
    pub networks: u32,
    /// Whether what they wait is what the operator cares for.
    pub honest: bool,
}

/// One second of the door.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Sample {
    /// The difficulty at its end, in bits.
    pub bits: f64,
    /// Solutions handed in.
    pub solved: u32,
    /// Calls admitted.
    pub admitted: u32,
    /// Of these, to the honest.
    pub honest: u32,
    /// Solutions turned away.
    pub shed: u32,
}

/// What came out.
#[derive(Clone, Debug)]
pub struct Run {
    /// What was played.
    pub scenario: Scenario,
    /// Second by second.
    pub samples: Vec<Sample>,
    /// What honest visitors waited for their call, in seconds, with the second they came: puzzle, solving, and being turned
    /// away.
    pub waits: Vec<(u64, f64)>,
}

impl Run {
    /// The share `q` (0 to 1) of honest visitors who came between these seconds waited no longer than this, in seconds.
    #[must_use]
    pub fn wait(&self, q: f64, between: std::ops::Range<u64>) -> f64 {
        let mut waits: Vec<f64> =
            self.waits.iter().filter(|(at, _)| between.contains(at)).map(|(_, wait)| *wait).collect();
        waits.sort_by(f64::total_cmp);
        let at = (waits.len().saturating_sub(1) as f64 * q) as usize;
        waits.get(at).copied().unwrap_or(0.0)
    }

    /// The picture: solve rate, difficulty and admitted calls over time, as an SVG document.
    #[must_use]
    pub fn to_svg(&self) -> String {
        picture::draw(self)
    }

    /// The same for a terminal, so many columns wide.
    #[must_use]
    pub fn to_text(&self, columns: usize) -> String {
        terminal::draw(self, columns)
    }
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Step {
    /// Asks for a puzzle.
    Asks,
    /// Has solved it and hands it in.
    HandsIn,
}

/// Somebody does something.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Event {
    at_ms: u64,
    /// Keeps the order of what happens at one moment.
    number: u64,
    step: Step,
    crowd: usize,
    member: u32,
    id: u64,
    /// Thousandths.
    bits: u64,
    /// When its owner came for it, and when its puzzle ends.
    since_ms: u64,
    ends_ms: u64,
}

struct World {
    scenario: Scenario,
    door: Door,
    chance: Chance,
    events: BinaryHeap<Reverse<Event>>,
    number: u64,
    samples: Vec<Sample>,
    waits: Vec<(u64, f64)>,
}

/// Plays a scenario to its end.
#[must_use]
pub fn run(scenario: Scenario) -> Run {
    let door = Door::new(scenario.bounds, [], 0);
    let seconds = scenario.seconds as usize;
    let mut world = World {
        door,
        chance: Chance::new(scenario.seed),
        events: BinaryHeap::new(),
        number: 0,
        samples: vec![Sample::default(); seconds],
        waits: Vec::new(),
        scenario,
    };
    world.invite();
    let mut second = 0;
    while let Some(Reverse(event)) = world.events.pop() {
        while event.at_ms >= (second + 1) * SAMPLE_MS {
            world.take_sample(second);
            second += 1;
        }
        match event.step {
            Step::Asks => world.asks(&event),
            Step::HandsIn => world.hands_in(&event),
        }
    }
    while second < world.scenario.seconds {
        world.take_sample(second);
        second += 1;
    }
    Run { scenario: world.scenario, samples: world.samples, waits: world.waits }
}

impl World {
    /// Everybody's first step.
    fn invite(&mut self) {
        for crowd in 0..self.scenario.crowds.len() {
            let who = self.scenario.crowds[crowd].clone();
            for member in 0..who.count {
                let joins =
                    if who.joining > 0.0 { f64::from(member) / who.joining } else { self.chance.share() };
                let at_ms = who.from * 1000 + (joins * 1000.0) as u64;
                self.comes(crowd, member, at_ms);
            }
        }
    }

    /// The next time this member asks for a puzzle, not before `after_ms`.
    fn comes(&mut self, crowd: usize, member: u32, after_ms: u64) {
        let pause = match self.scenario.crowds[crowd].habit {
            Habit::Visits(rate) | Habit::Lies(rate) => self.chance.exponential(1000.0 / rate) as u64,
            Habit::Floods | Habit::Hoards(_) => 0,
        };
        let at_ms = after_ms + pause;
        self.plan(Event {
            at_ms,
            number: 0,
            step: Step::Asks,
            crowd,
            member,
            id: 0,
            bits: 0,
            since_ms: at_ms,
            ends_ms: 0,
        });
    }

    fn plan(&mut self, event: Event) {
        let until = self.scenario.crowds[event.crowd].until.min(self.scenario.seconds) * 1000;
        // Who asks no more still hands in what it has.
        let last = if event.step == Step::Asks { until } else { self.scenario.seconds * 1000 };
        if event.at_ms < last {
            self.number += 1;
            self.events.push(Reverse(Event { number: self.number, ..event }));
        }
    }

    fn asks(&mut self, event: &Event) {
        let crowd = self.scenario.crowds[event.crowd].clone();
        if matches!(crowd.habit, Habit::Lies(_)) {
            // Refused by its signature or its hash; the door never hears of it. And it may ask for as many puzzles as it likes.
            self.door.bits(&visitor(&crowd, event.member), event.at_ms);
            return self.comes(event.crowd, event.member, event.at_ms);
        }
        // As the gate signs it: in thousandths.
        let bits = (self.door.bits(&visitor(&crowd, event.member), event.at_ms) * 1000.0).round();
        let mean_ms = (bits / 1000.0).exp2() / crowd.hashes_per_second * 1000.0;
        let parts = f64::from(self.scenario.parts);
        let solving: f64 = (0..self.scenario.parts).map(|_| self.chance.exponential(mean_ms / parts)).sum();
        let id = self.chance.number();
        let (bits, ends_ms) = (bits as u64, event.at_ms + PUZZLE_LIFE_MS);
        let mut at_ms = event.at_ms + ROUND_TRIP_MS + solving as u64;
        if let Habit::Hoards(until) = crowd.habit {
            // Goes on to the next one at once, and keeps this one.
            self.comes(event.crowd, event.member, at_ms);
            at_ms = at_ms.max(until * 1000);
        }
        self.plan(Event { at_ms, step: Step::HandsIn, id, bits, ends_ms, ..*event });
    }

    /// A new puzzle at once, instead of one that is over or too easy by now.
    fn asks_again(&mut self, event: &Event) {
        if event.at_ms < self.scenario.crowds[event.crowd].until.saturating_mul(1000) {
            self.asks(event);
        }
    }

    fn hands_in(&mut self, event: &Event) {
        let crowd = self.scenario.crowds[event.crowd].clone();
        if event.at_ms >= event.ends_ms {
            return self.asks_again(event);
        }
        let mut id = [0; 16];
        id[..8].copy_from_slice(&event.id.to_be_bytes());
        let calls = self.scenario.calls;
        let effort = Effort { id, bits: event.bits as f64 / 1000.0, calls };
        let entered = self.door.admit(&effort, &visitor(&crowd, event.member), event.at_ms);
        let sample = &mut self.samples[(event.at_ms / SAMPLE_MS) as usize];
        sample.solved += 1;
        match entered {
            Ok(()) => {
                sample.admitted += calls;
                if crowd.honest {
                    sample.honest += calls;
                    let waited = (event.at_ms + ROUND_TRIP_MS - event.since_ms) as f64 / 1000.0;
                    self.waits.push((event.since_ms / 1000, waited));
                }
                if !matches!(crowd.habit, Habit::Hoards(_)) {
                    self.comes(event.crowd, event.member, event.at_ms);
                }
            }
            Err(full) => {
                sample.shed += 1;
                if crowd.habit == Habit::Floods {
                    // Its solution is behind the others' already: what gets it in is a harder one.
                    return self.asks_again(event);
                }
                // Comes back when it was told to, and not all at one moment.
                let later = full.retry_after_seconds as f64 * 1000.0 * (1.0 + self.chance.share());
                self.plan(Event { at_ms: event.at_ms + later as u64, ..*event });
            }
        }
    }

    fn take_sample(&mut self, second: u64) {
        let anybody = Visitor::default();
        let bits = self.door.bits(&anybody, (second + 1) * SAMPLE_MS);
        if let Some(sample) = self.samples.get_mut(second as usize) {
            sample.bits = bits;
        }
    }
}

fn visitor(crowd: &Crowd, member: u32) -> Visitor<'static> {
    let network = (crowd.networks > 0).then(|| {
        let name =
            crowd.name.bytes().fold(7_u64, |hash, byte| hash.wrapping_mul(31).wrapping_add(byte.into()));
        name << 32 | u64::from(member % crowd.networks.max(1))
    });
    Visitor { tool: None, who: network }
}

impl Scenario {
    /// The bounds of a door that bears so many calls a second and costs an ordinary laptop between so many seconds.
    #[must_use]
    pub fn bounds(calls_per_second: f64, (least, most): (f64, f64)) -> Bounds {
        Bounds {
            calls_per_second,
            rest_bits: crate::door::bits_of_laptop_seconds(least),
            most_bits: crate::door::bits_of_laptop_seconds(most),
        }
    }
}
