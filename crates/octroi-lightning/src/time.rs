//! Times as JSON APIs write them.

/// Reads an RFC 3339 date and time (a space for the `T`, and no zone, are taken too: UTC) as Unix milliseconds; `None` for
/// anything else, and before 1970.
pub(crate) fn parse_rfc3339_ms(text: &str) -> Option<u64> {
    let bytes = text.as_bytes();
    let separators = [(4, b"-".as_slice()), (7, b"-"), (10, b"T t"), (13, b":"), (16, b":")];
    let number = |from: usize, to: usize| -> Option<i64> {
        let digits = bytes.get(from..to)?;
        digits
            .iter()
            .try_fold(0, |sum, digit| digit.is_ascii_digit().then(|| sum * 10 + i64::from(digit - b'0')))
    };
    if separators.iter().any(|(place, one_of)| !bytes.get(*place).is_some_and(|byte| one_of.contains(byte))) {
        return None;
    }
    let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
    let (hour, minute, second) = (number(11, 13)?, number(14, 16)?, number(17, 19)?);
    let inside = (1..=12).contains(&month) && (1..=31).contains(&day);
    if !inside || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let rest = text.get(19..)?;
    let (fraction, zone) = match rest.strip_prefix('.') {
        Some(fraction) => {
            fraction.split_at(fraction.find(|c: char| !c.is_ascii_digit()).unwrap_or(fraction.len()))
        }
        None => ("", rest),
    };
    let ms = format!("{fraction:0<3}").get(..3)?.parse::<i64>().ok()?;
    let seconds = days(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second - offset(zone)?;
    u64::try_from(seconds * 1000 + ms).ok()
}

/// Days since 1970-01-01 in the Gregorian calendar: years begin in March, so that the leap day is their last.
const fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let month = (month + 9) % 12;
    let in_year = (153 * month + 2) / 5 + day - 1;
    365 * year + year / 4 - year / 100 + year / 400 + in_year - 719_468
}

/// Seconds east of Greenwich.
fn offset(zone: &str) -> Option<i64> {
    match zone {
        "" | "Z" | "z" => return Some(0),
        _ => {}
    }
    let sign = match zone.as_bytes().first()? {
        b'+' => 1,
        b'-' => -1,
        _ => return None,
    };
    let (hours, minutes) = zone.get(1..)?.split_once(':')?;
    let (hours, minutes): (i64, i64) = (hours.parse().ok()?, minutes.parse().ok()?);
    ((0..24).contains(&hours) && (0..60).contains(&minutes)).then_some(sign * (hours * 3600 + minutes * 60))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn known_times() {
        for (text, ms) in [
            ("1970-01-01T00:00:00Z", Some(0)),
            ("2000-02-29T12:00:00.5Z", Some(951_825_600_500)),
            ("2024-12-31T23:59:59.999999+00:00", Some(1_735_689_599_999)),
            ("2026-11-21T16:00:00+01:00", Some(1_795_273_200_000)),
            ("2026-11-21 15:00:00", Some(1_795_273_200_000)),
            ("1969-12-31T23:59:59Z", None),
            ("2026-13-01T00:00:00Z", None),
            ("2026-11-21", None),
            ("2026-11-21T15:00:00 ", None),
            ("2026-11-21T15:00:00.1x", None),
        ] {
            assert_eq!(parse_rfc3339_ms(text), ms, "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_text_is_too_strange(text in "\\PC{0,40}", tail in "[0-9:.+Z-]{0,20}") {
            let _ = parse_rfc3339_ms(&text);
            let _ = parse_rfc3339_ms(&format!("2026-11-21T15:00:00{tail}"));
        }
    }
}
