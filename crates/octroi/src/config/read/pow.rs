//! `auth.payment.pow_*`: the free door.

use std::num::NonZeroU32;
use std::time::Duration;

use octroi_pow::Algorithm;
use octroi_pow::door::bits_of_laptop_seconds;

use super::super::reader::{Field, Section, shortened};
use super::super::{PowBind, PowConfig, RateLimit};
use super::rule::rate_limit;

const BITS_MAX: i64 = 40;
const MILLIBITS_MAX: u32 = BITS_MAX as u32 * 1000;
const BITS_DEFAULT: u32 = 20;
/// How much harder than at rest it gets unless something else is said: 64 times.
const RANGE_MILLIBITS_DEFAULT: u32 = 6_000;
const CALLS_DEFAULT: u32 = 5;
const TTL_DEFAULT: Duration = Duration::from_secs(300);
/// Free calls per second.
const FREE_CALLS_DEFAULT: NonZeroU32 = NonZeroU32::new(50).unwrap();

pub(super) fn read(section: &Section<'_>) -> PowConfig {
    let (rest_millibits, most_millibits) = difficulties(section);
    let kinds = Algorithm::ALL.map(|kind| (kind.name(), kind));
    let field = section.field("pow_kind");
    let kind = field.choice(&kinds).unwrap_or_default();
    if !kind.is_available() {
        field.spot.wrong(
            format!("this build has no {}", kind.name()),
            "build with the cargo feature `equix` (LGPL-3.0-only), or write \"sha256\"",
        );
    }
    PowConfig {
        kind,
        rest_millibits,
        most_millibits,
        free_calls: rate_limit(&section.field("pow_free_calls"))
            .unwrap_or(RateLimit { calls: FREE_CALLS_DEFAULT, per: Duration::from_secs(1) }),
        bind: bind(&section.field("pow_bind")),
        calls: section.field("pow_calls").number(1..=1000, "calls").unwrap_or(CALLS_DEFAULT),
        ttl: section.field("pow_ttl_seconds").seconds(10..=86_400).unwrap_or(TTL_DEFAULT),
    }
}

/// At rest and at most, in thousandths of a bit: as bits, or as the time that an ordinary laptop works.
fn difficulties(section: &Section<'_>) -> (u32, u32) {
    let (bits, work) = (section.field("pow_difficulty"), section.field("pow_work"));
    if bits.is_given() && work.is_given() {
        work.spot.wrong("pow_difficulty is given too", "keep one of the two");
    }
    let bits = bits.number::<u32>(0..=BITS_MAX, "bits").unwrap_or(BITS_DEFAULT) * 1000;
    let rest = laptop(&work).unwrap_or(bits);
    let most_field = section.field("pow_work_max");
    let most = laptop(&most_field).unwrap_or_else(|| (rest + RANGE_MILLIBITS_DEFAULT).min(MILLIBITS_MAX));
    if most < rest {
        most_field.spot.wrong("less work than at rest", "write a longer time than pow_work, like \"4s\"");
        return (rest, rest);
    }
    (rest, most)
}

/// `20ms`, `1.5s`: the time an ordinary laptop works, in thousandths of a bit.
fn laptop(field: &Field<'_>) -> Option<u32> {
    let written = field.text("20ms")?;
    let millibits = parse_time(written).map(|time| bits_of_laptop_seconds(time.as_secs_f64()) * 1000.0);
    // Rounded, and within the range by the comparison.
    let millibits = millibits.map(f64::round).filter(|millibits| *millibits <= f64::from(MILLIBITS_MAX));
    if millibits.is_none() {
        field.spot.wrong(
            format!("\"{}\" is no time that a laptop could work", shortened(written)),
            "write milliseconds or seconds: \"20ms\", \"1.5s\"",
        );
    }
    millibits.map(|millibits| millibits as u32)
}

fn parse_time(written: &str) -> Option<Duration> {
    let written = written.trim();
    let (number, unit) = match written.strip_suffix("ms") {
        Some(number) => (number, 1e-3),
        None => (written.strip_suffix('s')?, 1.0),
    };
    let plain = number.trim().bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    let number: f64 = number.trim().parse().ok().filter(|_| plain)?;
    Duration::try_from_secs_f64(number * unit).ok()
}

fn bind(field: &Field<'_>) -> PowBind {
    let mut bind = PowBind::default();
    for (spot, word) in field.texts("tool") {
        match word.as_str() {
            "tool" => bind.tool = true,
            "principal" => bind.principal = true,
            "arguments" => bind.arguments = true,
            _ => spot.wrong(
                format!("\"{}\" is nothing that a puzzle is bound to", shortened(&word)),
                "write some of tool, principal, arguments",
            ),
        }
    }
    bind
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_read_as_milliseconds_or_seconds() {
        for (written, millis) in [("20ms", 20), ("1.5s", 1500), ("0.25 s", 250), (" 4s ", 4000), ("0ms", 0)] {
            assert_eq!(parse_time(written), Some(Duration::from_millis(millis)), "{written}");
        }
        for written in ["", "s", "ms", "1", "1m", "-1s", "infs", "NaNs", "1e9s", "1.2.3s", "9e99s"] {
            assert_eq!(parse_time(written), None, "{written}");
        }
    }
}
