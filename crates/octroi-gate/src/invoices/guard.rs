//! Who may have how many invoices made.
//!
//! Asking costs nothing, an invoice costs the node a signature, a write and a record. So callers are put into four
//! classes, each with an allowance and a number of open invoices of its own: strangers can use up what is set aside for
//! strangers, and nothing else.

use std::collections::VecDeque;
use std::hash::{BuildHasher, RandomState};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use octroi_l402::{PaymentHash, TokenId};
use octroi_lightning::Invoice;
use parking_lot::Mutex;
use tokio::sync::{Semaphore, SemaphorePermit};

use crate::limit::{Limiter, Rate};

/// How many invoices one class may be waiting for at the node at once; more wait for their turn.
const AT_ONCE: usize = 16;

/// How many hashes of expired invoices wait to be forgotten; beyond that the node drops them by their age.
const GONE_MAX: usize = 100_000;

/// The longest wait named to a caller, in seconds: an open invoice may live for days.
const WAIT_MAX: u64 = 60;

/// Who asks for an invoice, as far as the gate can tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asker {
    /// Nobody that is known; told apart by the network only.
    Stranger(Option<IpAddr>),
    /// Nobody that is known, who solved a puzzle for this invoice.
    Worked,
    /// Who holds a credential that was paid for.
    Paying(TokenId),
    /// Who showed a good access token.
    Identified([u8; 32]),
}

impl Asker {
    /// The class that it belongs to.
    pub(crate) const fn class(self) -> Class {
        match self {
            Self::Stranger(_) => Class::Stranger,
            Self::Worked => Class::Worked,
            Self::Paying(_) => Class::Paying,
            Self::Identified(_) => Class::Identified,
        }
    }
}

/// How many invoices may be made. Each class has the same allowances, and none touches another's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MintLimits {
    /// For all strangers of one network: an IPv4 /24, an IPv6 /48.
    pub per_network: Rate,
    /// For one known caller: a principal, or the holder of a credential that was paid for.
    pub per_caller: Rate,
    /// For a whole class of callers.
    pub per_class: Rate,
    /// Unexpired invoices that a class may have at once.
    pub open_per_class: usize,
}

impl Default for MintLimits {
    fn default() -> Self {
        Self {
            per_network: Rate { count: 60, period_seconds: 60 },
            per_caller: Rate { count: 60, period_seconds: 60 },
            per_class: Rate { count: 1200, period_seconds: 60 },
            open_per_class: 20_000,
        }
    }
}

/// A class of callers; its number is its place in tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Class {
    /// Nobody that is known.
    Stranger,
    /// Strangers who solved a puzzle first.
    Worked,
    /// Holders of credentials that were paid for.
    Paying,
    /// Holders of good access tokens.
    Identified,
}

impl Class {
    /// Every class, in the order of their numbers.
    pub const ALL: [Self; 4] = [Self::Stranger, Self::Worked, Self::Paying, Self::Identified];

    /// As it stands in a metric's label.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Stranger => "stranger",
            Self::Worked => "worked",
            Self::Paying => "paying",
            Self::Identified => "identified",
        }
    }
}

/// Keeps the allowances and counts what is open.
pub(crate) struct Guard {
    limits: MintLimits,
    hasher: RandomState,
    callers: Limiter,
    classes: Limiter,
    places: [Semaphore; 4],
    open: Mutex<Open>,
}

#[derive(Default)]
struct Open {
    /// Until when, and which: for each class in the order in which they were made.
    by_class: [VecDeque<(u64, PaymentHash)>; 4],
    /// Expired ones that the node has not been told about.
    gone: Vec<PaymentHash>,
}

impl Guard {
    pub(crate) fn new(limits: MintLimits) -> Self {
        Self {
            limits,
            hasher: RandomState::new(),
            callers: Limiter::default(),
            classes: Limiter::default(),
            places: std::array::from_fn(|_| Semaphore::new(AT_ONCE)),
            open: Mutex::default(),
        }
    }

    /// Takes one invoice from the caller's allowance, then from its class's, at `now_ms` (Unix milliseconds).
    ///
    /// # Errors
    /// The whole seconds to wait, at least 1.
    pub(crate) fn admit(&self, asker: Asker, now_ms: u64) -> Result<Class, u64> {
        let class = asker.class();
        let caller = match asker {
            Asker::Stranger(peer) => Some(self.hasher.hash_one(peer.map(wide_network))),
            Asker::Worked => None,
            Asker::Paying(token) => Some(self.hasher.hash_one(("token", token.as_bytes()))),
            Asker::Identified(principal) => Some(self.hasher.hash_one(("owner", principal))),
        };
        self.open.lock().room(class, self.limits.open_per_class, now_ms / 1000)?;
        let rate = if class == Class::Stranger { self.limits.per_network } else { self.limits.per_caller };
        if let Some(caller) = caller {
            self.callers.take(caller, rate, now_ms)?;
        }
        self.classes.take(class as u64, self.limits.per_class, now_ms)?;
        Ok(class)
    }

    /// A place at the node; `None` when there was none for `patience`.
    pub(crate) async fn place(&self, class: Class, patience: Duration) -> Option<SemaphorePermit<'_>> {
        tokio::time::timeout(patience, self.places[class as usize].acquire()).await.ok()?.ok()
    }

    /// An invoice was handed out.
    pub(crate) fn made(&self, class: Class, invoice: &Invoice) {
        self.open.lock().by_class[class as usize].push_back((invoice.expires_at, invoice.payment_hash));
    }

    /// How many unexpired invoices this class has.
    pub(crate) fn open(&self, class: Class, now: u64) -> usize {
        let mut open = self.open.lock();
        open.expire(class, now);
        open.by_class[class as usize].len()
    }

    /// Those that expired before `now` (Unix seconds): the node may forget them. Each is given out once.
    pub(crate) fn take_expired(&self, now: u64) -> Vec<PaymentHash> {
        let mut open = self.open.lock();
        for class in Class::ALL {
            open.expire(class, now);
        }
        std::mem::take(&mut open.gone)
    }
}

impl Open {
    fn expire(&mut self, class: Class, now: u64) {
        let open = &mut self.by_class[class as usize];
        while open.front().is_some_and(|(expires_at, _)| *expires_at < now) {
            if let Some((_, hash)) = open.pop_front()
                && self.gone.len() < GONE_MAX
            {
                self.gone.push(hash);
            }
        }
    }

    fn room(&mut self, class: Class, most: usize, now: u64) -> Result<(), u64> {
        self.expire(class, now);
        let open = &self.by_class[class as usize];
        match open.front() {
            Some((expires_at, _)) if open.len() >= most => {
                Err(expires_at.saturating_sub(now).clamp(1, WAIT_MAX))
            }
            _ => Ok(()),
        }
    }
}

/// The part of an address that one operator has: an IPv4 /24, an IPv6 /48 (RFC 6177 §2: what a site is given at most).
pub(crate) fn wide_network(peer: IpAddr) -> IpAddr {
    const V4: u32 = u32::MAX << 8;
    const V6: u128 = u128::MAX << 80;
    match peer.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(Ipv4Addr::from_bits(address.to_bits() & V4)),
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & V6)),
    }
}

#[cfg(test)]
mod tests {
    use octroi_l402::Msat;
    use proptest::prelude::*;

    use super::*;

    const NOW: u64 = 1_000_000;

    fn limits() -> MintLimits {
        let rate = |count| Rate { count, period_seconds: 60 };
        MintLimits { per_network: rate(3), per_caller: rate(2), per_class: rate(10), open_per_class: 100 }
    }

    fn stranger(text: &str) -> Asker {
        Asker::Stranger(Some(text.parse().unwrap()))
    }

    fn invoice(number: u8, expires_at: u64) -> Invoice {
        let payment_hash = PaymentHash::from_bytes([number; 32]);
        Invoice { bolt11: String::new(), payment_hash, amount: Msat::new(1), expires_at }
    }

    #[test]
    fn one_network_has_one_allowance() {
        let guard = Guard::new(limits());
        for peer in ["192.0.2.1", "192.0.2.200", "::ffff:192.0.2.7"] {
            assert_eq!(guard.admit(stranger(peer), NOW), Ok(Class::Stranger));
        }
        assert_eq!(guard.admit(stranger("192.0.2.9"), NOW), Err(20), "60 s for 3");
        assert_eq!(guard.admit(stranger("192.0.3.9"), NOW), Ok(Class::Stranger));
        for host in 0..3 {
            guard.admit(stranger(&format!("2001:db8:1:{host}::1")), NOW).unwrap();
        }
        assert!(guard.admit(stranger("2001:db8:1:ffff::1"), NOW).is_err());
        assert!(guard.admit(stranger("2001:db8:2::1"), NOW).is_ok());
        assert!(guard.admit(Asker::Stranger(None), NOW).is_ok(), "who comes from nowhere is a network too");
    }

    #[test]
    fn a_flood_of_strangers_leaves_every_other_class_alone() {
        let guard = Guard::new(limits());
        let flood = |number: u32| Asker::Stranger(Some(IpAddr::V4(Ipv4Addr::from_bits(number << 8))));
        let admitted = (0..10_000).filter(|number| guard.admit(flood(*number), NOW).is_ok()).count();
        assert_eq!(admitted, 10, "the allowance of the class, from however many networks");
        assert_eq!(guard.admit(Asker::Worked, NOW), Ok(Class::Worked));
        assert_eq!(guard.admit(Asker::Identified([1; 32]), NOW), Ok(Class::Identified));
        assert_eq!(guard.admit(Asker::Paying(TokenId::from_bytes([1; 32])), NOW), Ok(Class::Paying));
        // Nor does one known caller use up another's.
        while guard.admit(Asker::Identified([1; 32]), NOW).is_ok() {}
        assert_eq!(guard.admit(Asker::Identified([2; 32]), NOW), Ok(Class::Identified));
    }

    #[test]
    fn open_invoices_are_bounded_until_they_expire() {
        let guard = Guard::new(MintLimits { open_per_class: 2, ..limits() });
        for number in 0..2 {
            let class = guard.admit(Asker::Worked, NOW * 1000).unwrap();
            guard.made(class, &invoice(number, NOW + 10));
        }
        assert_eq!(guard.admit(Asker::Worked, NOW * 1000), Err(10));
        assert_eq!(guard.open(Class::Worked, NOW), 2);
        assert!(guard.admit(Asker::Identified([1; 32]), NOW * 1000).is_ok());
        assert_eq!(guard.take_expired(NOW + 10), []);
        let later = NOW + 11;
        assert!(guard.admit(Asker::Worked, later * 1000).is_ok());
        assert_eq!(guard.take_expired(later).len(), 2, "each is told once");
        assert_eq!(guard.take_expired(later), []);
    }

    proptest! {
        #[test]
        fn no_minute_of_one_class_sees_more_than_twice_its_allowance(
            mut at in proptest::collection::vec((0u64..200_000, any::<u32>()), 1..300),
        ) {
            at.sort_unstable();
            let guard = Guard::new(limits());
            let admitted: Vec<u64> = at
                .into_iter()
                .filter(|(at, peer)| {
                    guard.admit(Asker::Stranger(Some(IpAddr::V4(Ipv4Addr::from_bits(*peer)))), *at).is_ok()
                })
                .map(|(at, _)| at)
                .collect();
            for start in &admitted {
                let in_minute = admitted.iter().filter(|at| (*start..start + 60_000).contains(*at)).count();
                prop_assert!(in_minute <= 2 * limits().per_class.count as usize);
            }
        }
    }
}
