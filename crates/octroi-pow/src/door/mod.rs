//! The free door under load: how hard a puzzle is now, for which tool and for whom, and who is let in.
//!
//! Deterministic: the time comes in (milliseconds, any origin), nothing is random. The gate holds one behind a lock; the
//! [simulator](crate::simulate) drives the very same one.

mod lane;
mod law;
mod networks;
mod seen_ids;

pub use law::{Bounds, Law, PERIOD_MS, Seen};
pub use seen_ids::SeenIds;

use lane::Lane;
use networks::Networks;

/// The share of the capacity that one network prefix (or principal) takes without paying more than others.
const QUOTA_SHARE: f64 = 1.0 / 8.0;

/// What an ordinary laptop computes: four cores with SHA extensions, natively, beside other work.
pub const LAPTOP_HASHES_PER_SECOND: f64 = 50e6;

/// The difficulty that an ordinary laptop works on for so many seconds, in bits.
#[must_use]
pub fn bits_of_laptop_seconds(seconds: f64) -> f64 {
    (seconds * LAPTOP_HASHES_PER_SECOND).max(1.0).log2()
}

/// The free door of one service.
#[derive(Clone, Debug)]
pub struct Door {
    /// The whole service first, then the tools with a wish of their own.
    lanes: Vec<Lane>,
    tools: Vec<String>,
    networks: Networks,
    /// Solutions that were turned away for want of room: each counts as work once, however often it comes back.
    turned_away: SeenIds,
    admitted: u64,
    shed: u64,
}

/// Who asks, as far as that is told apart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Visitor<'a> {
    /// The only tool the puzzle is good for; `None`: any.
    pub tool: Option<&'a str>,
    /// A hash of the principal, or of the network prefix where nobody is identified; `None` where many share one address.
    pub who: Option<u64>,
}

/// The door is full. The solution is good and not spent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the free door is full; the solution is not spent, try again in {retry_after_seconds} s")]
pub struct Full {
    /// When to come again, in seconds.
    pub retry_after_seconds: u64,
}

/// A solution that was verified and is new.
#[derive(Clone, Copy, Debug)]
pub struct Effort {
    /// Names its challenge.
    pub id: [u8; 16],
    /// The difficulty that was signed, in bits.
    pub bits: f64,
    /// The calls it buys.
    pub calls: u32,
}

/// The door at one moment.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct View {
    /// How hard a puzzle is for anybody and any tool, in bits.
    pub bits: f64,
    /// When nobody comes.
    pub rest_bits: f64,
    /// At most.
    pub most_bits: f64,
    /// Free calls per second that can be borne now.
    pub capacity: f64,
    /// The share of it that trouble behind the gate leaves.
    pub health: f64,
    /// Hashes per second that solvers have spent lately.
    pub power: f64,
    /// Calls bought, since the start.
    pub admitted: u64,
    /// Solutions turned away for want of room, since the start, each time counted.
    pub shed: u64,
    /// Free calls under way.
    pub under_way: u64,
}

impl Door {
    /// A door for a service, with lanes of their own for some `tools`.
    #[must_use]
    pub fn new(service: Bounds, tools: impl IntoIterator<Item = (String, Bounds)>, now_ms: u64) -> Self {
        let mut lanes = vec![Lane::new(service, now_ms)];
        let mut names = Vec::new();
        for (name, bounds) in tools {
            names.push(name);
            lanes.push(Lane::new(bounds, now_ms));
        }
        Self {
            lanes,
            tools: names,
            networks: Networks::default(),
            turned_away: SeenIds::default(),
            admitted: 0,
            shed: 0,
        }
    }

    /// How hard a puzzle is now for this visitor, in bits. One that is good for any tool is as hard as that of the hardest.
    pub fn bits(&mut self, visitor: &Visitor<'_>, now_ms: u64) -> f64 {
        self.advance(now_ms);
        self.asked(visitor, now_ms)
    }

    /// Lets a solution in, or turns it away for want of room.
    ///
    /// # Errors
    /// [`Full`]: nothing was taken; it may come again.
    pub fn admit(&mut self, effort: &Effort, visitor: &Visitor<'_>, now_ms: u64) -> Result<(), Full> {
        self.advance(now_ms);
        let lag = (self.asked(visitor, now_ms) - effort.bits).max(0.0);
        let (lanes, Effort { bits, calls, .. }) = (self.lanes_of(visitor.tool), *effort);
        // Counted once, whether it comes in now or at its tenth attempt: otherwise one solution shown again and again
        // would look like an army.
        if !self.turned_away.contains(&effort.id) {
            lanes.iter().flatten().for_each(|at| self.lanes[*at].note_work(bits, calls));
        }
        let full = lanes.iter().flatten().find(|at| !self.lanes[**at].has_room(calls, lag));
        if let Some(at) = full {
            self.turned_away.insert(effort.id);
            self.shed += 1;
            return Err(Full { retry_after_seconds: self.lanes[*at].seconds_until_room(calls) });
        }
        lanes.iter().flatten().for_each(|at| self.lanes[*at].take_room(calls));
        if let Some(who) = visitor.who {
            self.networks.note(who, calls, now_ms);
        }
        self.admitted += u64::from(calls);
        Ok(())
    }

    /// A call bought with work goes to the upstream.
    pub fn call_began(&mut self, tool: &str) {
        self.lanes_of(Some(tool)).iter().flatten().for_each(|at| self.lanes[*at].call_began());
    }

    /// It is over, after so many seconds.
    pub fn call_ended(&mut self, tool: &str, seconds: f64, failed: bool) {
        self.lanes_of(Some(tool)).iter().flatten().for_each(|at| self.lanes[*at].call_ended(seconds, failed));
    }

    /// The door as it is now.
    pub fn view(&mut self, now_ms: u64) -> View {
        let bits = self.bits(&Visitor::default(), now_ms);
        let service = &self.lanes[0];
        let bounds = service.law().bounds();
        View {
            bits,
            rest_bits: bounds.rest_bits,
            most_bits: bounds.most_bits,
            capacity: service.law().capacity(),
            health: service.law().health(),
            power: service.law().power(),
            admitted: self.admitted,
            shed: self.shed,
            under_way: service.under_way(),
        }
    }

    fn advance(&mut self, now_ms: u64) {
        self.lanes.iter_mut().for_each(|lane| lane.advance(now_ms));
    }

    fn asked(&self, visitor: &Visitor<'_>, now_ms: u64) -> f64 {
        let hardest = |lanes: &[Lane]| lanes.iter().map(|lane| lane.law().bits()).fold(0.0, f64::max);
        let bits = match visitor.tool {
            None => hardest(&self.lanes),
            Some(_) => {
                let lanes = self.lanes_of(visitor.tool);
                lanes.iter().flatten().map(|at| self.lanes[*at].law().bits()).fold(0.0, f64::max)
            }
        };
        let quota = self.lanes[0].law().bounds().calls_per_second * QUOTA_SHARE;
        bits + visitor.who.map_or(0.0, |who| self.networks.surcharge(who, quota, now_ms))
    }

    /// The service's lane, and the tool's own where it has one.
    fn lanes_of(&self, tool: Option<&str>) -> [Option<usize>; 2] {
        let own = tool.and_then(|tool| self.tools.iter().position(|name| name == tool));
        [Some(0), own.map(|at| at + 1)]
    }
}

#[cfg(test)]
mod tests;
