//! Random interleavings, against a model that fits on a page.

use std::collections::HashMap;

use octroi_ledger::{AccountRef, Credited, HoldRefused, HoldRequest, Ledger, OpenHold, Unit};
use proptest::prelude::*;

use crate::support::{assert_sound, open, owner, quote, request, settlement, token, work};

const TOKENS: u32 = 5;

#[derive(Clone, Debug)]
enum Step {
    Quote(u32),
    Pay(u32, i64),
    Work(u32, u32),
    Hold(u32, Unit, i64),
    HoldAsOwner(i64),
    Capture(usize, i64),
    Void(usize),
    Drop(usize),
    Durable(usize),
    Reopen,
}

fn step() -> impl Strategy<Value = Step> {
    let money = 1..60_i64;
    prop_oneof![
        2 => (0..TOKENS).prop_map(Step::Quote),
        4 => (0..TOKENS, money.clone()).prop_map(|(n, msat)| Step::Pay(n, msat)),
        1 => (0..TOKENS, 1..4_u32).prop_map(|(n, calls)| Step::Work(n, calls)),
        8 => (0..TOKENS, money.clone()).prop_map(|(n, msat)| Step::Hold(n, Unit::Msat, msat)),
        2 => (0..TOKENS).prop_map(|n| Step::Hold(n, Unit::Call, 1)),
        4 => money.clone().prop_map(Step::HoldAsOwner),
        4 => (any::<usize>(), 0..80_i64).prop_map(|(hold, msat)| Step::Capture(hold, msat)),
        2 => any::<usize>().prop_map(Step::Void),
        2 => any::<usize>().prop_map(Step::Drop),
        2 => any::<usize>().prop_map(Step::Durable),
        1 => Just(Step::Reopen),
    ]
}

/// What the ledger should know. Even tokens belong to one principal.
#[derive(Default)]
struct Model {
    quoted: Vec<u32>,
    paid: Vec<u32>,
    worked: Vec<u32>,
    /// In the order in which they were first credited.
    accounts: Vec<(u32, Unit, i64)>,
    suspense: i64,
    earned: HashMap<Unit, i64>,
    received: i64,
}

fn owner_of(n: u32) -> Option<[u8; 32]> {
    n.is_multiple_of(2).then(|| owner(0))
}

impl Model {
    fn account(&mut self, n: u32) -> Option<&mut (u32, Unit, i64)> {
        self.accounts.iter_mut().find(|(token, ..)| *token == n)
    }

    fn credit(&mut self, n: u32, unit: Unit, amount: i64) -> Option<i64> {
        if self.account(n).is_none() {
            self.accounts.push((n, unit, 0));
        }
        let account = self.account(n).filter(|(_, counted, _)| *counted == unit)?;
        account.2 += amount;
        Some(account.2)
    }

    fn bearer(&mut self, amount: i64) -> Option<u32> {
        let mut owned =
            self.accounts.iter().filter(|(n, unit, _)| owner_of(*n).is_some() && *unit == Unit::Msat);
        owned.find(|(.., available)| *available >= amount).map(|(n, ..)| *n)
    }
}

struct Open {
    hold: OpenHold,
    token: u32,
    unit: Unit,
    amount: i64,
}

struct Run {
    dir: tempfile::TempDir,
    ledger: Ledger,
    model: Model,
    open: Vec<Open>,
}

impl Run {
    async fn take(&mut self, step: Step) {
        match step {
            Step::Quote(n) => {
                let mut asked = quote(n);
                asked.owner = owner_of(n);
                let written = self.ledger.record_quote(asked).await;
                assert_eq!(written.is_ok(), !self.model.quoted.contains(&n));
                self.model.quoted.push(n);
            }
            Step::Pay(n, msat) => self.pay(n, msat).await,
            Step::Work(n, calls) => self.work(n, calls).await,
            Step::Hold(n, unit, amount) => {
                let call = HoldRequest { unit, ..request(AccountRef::Token(token(n)), amount) };
                let decided = self.ledger.hold(&call).await;
                let expected = match self.model.account(n) {
                    None => Err(HoldRefused::Unknown),
                    Some((_, counted, _)) if *counted != unit => Err(HoldRefused::OtherUnit(*counted)),
                    Some((.., available)) if *available < amount => {
                        Err(HoldRefused::Insufficient { available: *available })
                    }
                    Some(_) => Ok(n),
                };
                self.held(decided, expected, unit, amount);
            }
            Step::HoldAsOwner(amount) => {
                let decided = self.ledger.hold(&request(AccountRef::Owner(owner(0)), amount)).await;
                let Some(n) = self.model.bearer(amount) else {
                    assert!(decided.is_err(), "{decided:?}");
                    return;
                };
                self.held(decided, Ok(n), Unit::Msat, amount);
            }
            Step::Capture(which, msat) => self.end(which, |hold, amount| {
                hold.capture(msat);
                msat.min(amount)
            }),
            Step::Void(which) => self.end(which, |hold, _| {
                hold.void();
                0
            }),
            Step::Drop(which) => self.end(which, |hold, _| {
                drop(hold);
                0
            }),
            Step::Durable(which) => {
                if let Some(which) = which.checked_rem(self.open.len()) {
                    self.open[which].hold.durable().await.expect("the disk works");
                }
            }
            Step::Reopen => self.reopen().await,
        }
    }

    async fn pay(&mut self, n: u32, msat: i64) {
        let answer = self.ledger.credit_payment(settlement(n, msat)).await.unwrap();
        if self.model.paid.contains(&n) {
            assert_eq!(answer, Credited::Duplicate);
            return;
        }
        self.model.paid.push(n);
        self.model.received += msat;
        let credited =
            self.model.quoted.contains(&n).then(|| self.model.credit(n, Unit::Msat, msat)).flatten();
        if credited.is_none() {
            self.model.suspense += msat;
        }
        assert_eq!(matches!(answer, Credited::New { .. }), credited.is_some(), "{answer:?}");
    }

    async fn work(&mut self, n: u32, calls: u32) {
        let mut solved = work(n, calls);
        solved.owner = owner_of(n);
        let answer = self.ledger.credit_work(solved).await;
        if self.model.worked.contains(&n) {
            assert_eq!(answer.unwrap(), Credited::Duplicate);
        } else if self.model.credit(n, Unit::Call, i64::from(calls)).is_some() {
            self.model.worked.push(n);
            assert!(matches!(answer.unwrap(), Credited::New { .. }));
        } else {
            assert!(answer.is_err());
        }
    }

    fn held(
        &mut self,
        decided: Result<OpenHold, HoldRefused>,
        expected: Result<u32, HoldRefused>,
        unit: Unit,
        amount: i64,
    ) {
        match (decided, expected) {
            (Ok(hold), Ok(token)) => {
                let account = self.model.account(token).expect("it bears the hold");
                account.2 -= amount;
                assert_eq!(hold.balance_after(), account.2);
                self.open.push(Open { hold, token, unit, amount });
            }
            (decided, expected) => assert_eq!(decided.map(|_| ()), expected.map(|_| ())),
        }
    }

    fn end(&mut self, which: usize, how: impl FnOnce(OpenHold, i64) -> i64) {
        let Some(which) = which.checked_rem(self.open.len()) else { return };
        let Open { hold, token, unit, amount } = self.open.swap_remove(which);
        let captured = how(hold, amount);
        *self.model.earned.entry(unit).or_default() += captured;
        self.model.account(token).expect("it bore the hold").2 += amount - captured;
    }

    /// Ends a life. Half of the open holds outlive it, which the next life voids.
    async fn reopen(&mut self) {
        self.ledger.close().await;
        let mut voided = 0;
        for Open { hold, token, amount, .. } in self.open.drain(..) {
            if voided % 2 == 0 {
                hold.capture(amount);
            }
            voided += 1;
            self.model.account(token).expect("it bore the hold").2 += amount;
        }
        self.ledger = open(self.dir.path());
        assert_eq!(self.ledger.recovered().voided, voided);
    }

    async fn compare(&mut self) {
        self.reopen().await;
        assert_sound(&self.ledger);
        for n in 0..TOKENS {
            let told = self.ledger.balance(&token(n)).await.unwrap();
            let expected = self.model.account(n).map(|(_, unit, available)| (*unit, *available));
            assert_eq!(told.map(|balance| (balance.unit, balance.available)), expected);
        }
        let report = self.ledger.report().unwrap();
        let earned = |unit| self.model.earned.get(&unit).copied().unwrap_or(0);
        assert_eq!(report.revenue.iter().map(|tool| tool.msat).sum::<i64>(), earned(Unit::Msat));
        assert_eq!(report.revenue.iter().map(|tool| tool.work_calls).sum::<i64>(), earned(Unit::Call));
        assert_eq!((report.suspense_msat, report.received_msat), (self.model.suspense, self.model.received));
        self.ledger.close().await;
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn any_interleaving_agrees_with_the_model(steps in prop::collection::vec(step(), 1..120)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(async {
            let dir = tempfile::tempdir().unwrap();
            let ledger = open(dir.path());
            let mut run = Run { dir, ledger, model: Model::default(), open: Vec::new() };
            for step in steps {
                run.take(step).await;
            }
            run.compare().await;
        });
    }
}
