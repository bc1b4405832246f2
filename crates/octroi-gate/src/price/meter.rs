//! Prices that are known after the fact: so much for each byte, second or token that the call used.

use std::time::Duration;

use octroi_l402::Msat;

use super::Pointer;

/// How what is charged follows from what a call used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Meter {
    /// Charged whatever was used.
    pub base: Msat,
    /// Charged for every [`Meter::per`] units, parts of it in proportion.
    pub rate: Msat,
    /// How many units the rate is for; at least 1.
    pub per: u32,
    /// What is counted.
    pub counts: Metered,
}

/// What a meter counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Metered {
    /// Bytes of the answer as the server sent it: a JSON reply, or the events of a stream.
    Bytes,
    /// Seconds from forwarding the call to its reply.
    Seconds,
    /// What the result itself says: a number that is not negative, at this place of the `result`.
    Said(Pointer),
}

/// What a call used.
#[derive(Clone, Copy, Debug, Default)]
pub struct Usage<'a> {
    /// Bytes of the answer so far.
    pub bytes: u64,
    /// Since the call was forwarded.
    pub elapsed: Duration,
    /// The raw `result`; `None` where the call broke off before it.
    pub result: Option<&'a [u8]>,
}

impl Meter {
    /// What is charged of `held`, rounded up to whole millisatoshi.
    ///
    /// Where the result does not say what was used, only the base is charged: the payer need not pay for the server's silence.
    /// Where there is no result because the *caller* went away, all of it is: it could not be said any more.
    #[must_use]
    pub fn charge(&self, held: Msat, usage: &Usage<'_>) -> Msat {
        let most = held.as_i64().max(0);
        let used = match &self.counts {
            Metered::Bytes => self.proportion(u128::from(usage.bytes), 1),
            Metered::Seconds => self.proportion(usage.elapsed.as_micros(), 1_000_000),
            Metered::Said(pointer) => match usage.result {
                None => return Msat::new(most),
                Some(result) => pointer.find(result).map_or(Some(0), |raw| self.said(raw)),
            },
        };
        let sum = used.and_then(|used| used.checked_add(self.base.as_i64()));
        Msat::new(sum.unwrap_or(most).min(most))
    }

    /// What `units / of_unit` units cost; `None` where it is more than any price.
    fn proportion(&self, units: u128, of_unit: u128) -> Option<i64> {
        let rate = u128::try_from(self.rate.as_i64()).unwrap_or(0);
        let per = u128::from(self.per.max(1)) * of_unit;
        i64::try_from(units.checked_mul(rate)?.div_ceil(per)).ok()
    }

    /// What the units in a raw JSON number cost; 0 where it is no number, or a negative one.
    fn said(&self, raw: &[u8]) -> Option<i64> {
        let text = str::from_utf8(raw).unwrap_or_default();
        if let Ok(units) = text.parse::<u64>() {
            return self.proportion(u128::from(units), 1);
        }
        // `serde_json` takes JSON numbers only: no `inf`, no `NaN`, no hexadecimal.
        let units = serde_json::from_slice::<f64>(raw).unwrap_or(0.0);
        let cost = (units * self.rate.as_i64() as f64 / f64::from(self.per.max(1))).ceil();
        if cost >= i64::MAX as f64 { None } else { Some(cost.max(0.0) as i64) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn meter(counts: Metered) -> Meter {
        Meter { base: Msat::new(100), rate: Msat::new(1500), per: 1000, counts }
    }

    fn tokens() -> Meter {
        meter(Metered::Said(Pointer::parse("/usage/tokens").unwrap()))
    }

    const HELD: Msat = Msat::new(50_000);

    #[test]
    fn charges_what_was_used_and_never_more_than_was_held() {
        let said = |text: &str| {
            let result = format!(r#"{{"content":[],"usage":{{"tokens":{text}}}}}"#);
            let usage = Usage { result: Some(result.as_bytes()), ..Usage::default() };
            tokens().charge(HELD, &usage).as_i64()
        };
        for (text, charged) in [
            ("0", 100),
            ("1", 102),
            ("1000", 1600),
            ("1000.5", 1601),
            ("1e3", 1600),
            ("33267", 50_000),
            ("18446744073709551615", 50_000),
            ("1e300", 50_000),
            ("1e999", 100),
            ("-5", 100),
            ("-1e300", 100),
            ("null", 100),
            ("\"1000\"", 100),
            ("[1000]", 100),
        ] {
            assert_eq!(said(text), charged, "{text}");
        }
    }

    #[test]
    fn silence_is_the_servers_loss_and_leaving_the_callers() {
        let usage = Usage { result: Some(b"{}"), ..Usage::default() };
        assert_eq!(tokens().charge(HELD, &usage), Msat::new(100));
        assert_eq!(tokens().charge(HELD, &Usage::default()), HELD);
    }

    #[test]
    fn seconds_and_bytes_are_counted_by_the_gate() {
        let usage = Usage { bytes: 2048, elapsed: Duration::from_millis(1500), result: None };
        assert_eq!(meter(Metered::Bytes).charge(HELD, &usage), Msat::new(100 + 3072));
        let by_second = Meter { per: 1, ..meter(Metered::Seconds) };
        assert_eq!(by_second.charge(HELD, &usage), Msat::new(100 + 2250));
    }

    proptest! {
        #[test]
        fn whatever_the_result_says_the_charge_is_within_what_was_held(
            held in 0..1_000_000_i64,
            base in 0..1_000_000_i64,
            rate in 0..i64::MAX,
            per in 0..u32::MAX,
            bytes in any::<u64>(),
            said in "\\PC{0,20}|-?[0-9]{1,30}(\\.[0-9]{1,5})?(e[0-9]{1,4})?",
        ) {
            let result = format!(r#"{{"usage":{{"tokens":{said}}}}}"#);
            let usage = Usage { bytes, elapsed: Duration::from_micros(bytes), result: Some(result.as_bytes()) };
            for counts in [Metered::Bytes, Metered::Seconds, tokens().counts] {
                let meter = Meter { base: Msat::new(base), rate: Msat::new(rate), per, counts };
                let charged = meter.charge(Msat::new(held), &usage).as_i64();
                prop_assert!((0..=held).contains(&charged));
                prop_assert!(charged >= base.min(held));
            }
        }
    }
}
