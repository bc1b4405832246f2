//! Random interleavings, against a model that fits on a page.

use std::collections::HashMap;
use std::time::Duration;

use octroi_ledger::{
    AccountRef, Claimed, Counts, Credited, DEFAULT_SETTLE_AFTER, HoldRefused, HoldRequest, Ledger, Limit,
    OpenHold, Reader, Revocation, Unit, Window,
};
use proptest::prelude::*;

use crate::support::{World, answer, assert_sound, owner, quote, request, settlement, token, work};

const TOKENS: u32 = 5;
/// Free calls there are in all.
const QUOTA: i64 = 4;
const LONG: Duration = Duration::from_secs(60);

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
    /// A call under a key, tried once more.
    Retry(u8, u32, i64),
    Revoke(u32, bool),
    /// A call that costs nothing, charged or not.
    Free(bool),
    /// The gate dies and comes back.
    Crash,
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
        3 => (0..4_u8, 0..TOKENS, money).prop_map(|(key, n, msat)| Step::Retry(key, n, msat)),
        1 => (0..TOKENS, any::<bool>()).prop_map(|(n, revoked)| Step::Revoke(n, revoked)),
        1 => any::<bool>().prop_map(Step::Free),
        1 => Just(Step::Crash),
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
    /// By key: the request that was answered.
    answered: HashMap<u8, (u32, i64)>,
    revoked: Vec<u32>,
    free: i64,
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
        let mut owned = self.accounts.iter().filter(|(n, unit, _)| {
            owner_of(*n).is_some() && *unit == Unit::Msat && !self.revoked.contains(n)
        });
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
    world: World,
    ledger: Ledger,
    reader: Reader,
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
                let revoked = self.model.revoked.contains(&n);
                let expected = match self.model.account(n) {
                    Some(_) if revoked => Err(HoldRefused::Revoked),
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
            Step::Retry(key, n, msat) => self.retry(key, n, msat).await,
            Step::Revoke(n, true) => {
                self.ledger.revoke(Revocation::Token(token(n)), "").await.unwrap();
                self.model.revoked.push(n);
            }
            Step::Revoke(n, false) => {
                self.ledger.restore(Revocation::Token(token(n))).await.unwrap();
                self.model.revoked.retain(|revoked| *revoked != n);
            }
            Step::Free(charged) => self.free(charged).await,
            Step::Crash => self.crash().await,
        }
    }

    async fn retry(&mut self, key: u8, n: u32, msat: i64) {
        let mut asked = [0; 32];
        asked[..4].copy_from_slice(&n.to_be_bytes());
        asked[4..12].copy_from_slice(&msat.to_be_bytes());
        let text = format!("{n} {msat}");
        match (self.ledger.claim([key; 32], asked, LONG).await.unwrap(), self.model.answered.get(&key)) {
            (Claimed::Done(kept), Some(done)) if *done == (n, msat) => assert_eq!(kept, answer(&text)),
            (Claimed::Conflict, Some(done)) if *done != (n, msat) => {}
            (Claimed::New(claim), None) => {
                let decided = self.ledger.hold(&request(AccountRef::Token(token(n)), msat)).await;
                let revoked = self.model.revoked.contains(&n);
                let bears = self
                    .model
                    .account(n)
                    .filter(|(_, unit, available)| *unit == Unit::Msat && *available >= msat && !revoked);
                assert_eq!(decided.is_ok(), bears.is_some());
                let (Ok(open), Some(account)) = (decided, bears) else { return };
                open.durable().await.expect("the disk works");
                open.capture_and_keep(msat, claim, answer(&text));
                account.2 -= msat;
                *self.model.earned.entry(Unit::Msat).or_default() += msat;
                self.model.answered.insert(key, (n, msat));
            }
            (claimed, answered) => panic!("{claimed:?}, but {answered:?}"),
        }
    }

    async fn free(&mut self, charged: bool) {
        let limits = [Limit { key: [1; 32], window: Window::Always, counts: Counts::Calls, most: QUOTA }];
        let decided = self.ledger.hold(&request(AccountRef::Nobody, 0).limited(&limits)).await;
        assert_eq!(decided.is_ok(), self.model.free < QUOTA, "{decided:?}");
        let Ok(open) = decided else { return };
        open.durable().await.expect("the disk works");
        if charged {
            open.capture(0);
            self.model.free += 1;
        } else {
            open.void();
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

    /// Ends a life. The open holds outlive it, are voided, and cannot be charged any more.
    async fn crash(&mut self) {
        self.ledger.close().await;
        let mut voided = 0;
        for Open { hold, token, amount, .. } in self.open.drain(..) {
            if voided % 2 == 0 {
                hold.capture(amount);
            }
            voided += 1;
            self.model.account(token).expect("it bore the hold").2 += amount;
        }
        self.ledger = self.world.open();
        self.reader = self.ledger.reader().unwrap();
        if !self.world.store.is_shared() {
            assert_eq!(self.ledger.recovered().voided, voided);
        }
    }

    /// What is true after every step.
    async fn check(&mut self) {
        let found = self.reader.verify().unwrap();
        assert!(found.is_sound(), "{:#?}", found.violations);
        for n in 0..TOKENS {
            let told = self.ledger.balance(&token(n)).await.unwrap();
            let expected = self.model.account(n).map(|(_, unit, available)| (*unit, *available));
            assert_eq!(told.map(|balance| (balance.unit, balance.available)), expected);
        }
    }

    async fn compare(&mut self) {
        self.crash().await;
        self.check().await;
        assert_sound(&self.ledger);
        let report = self.ledger.report().unwrap();
        let earned = |unit| self.model.earned.get(&unit).copied().unwrap_or(0);
        assert_eq!(report.revenue.iter().map(|tool| tool.msat).sum::<i64>(), earned(Unit::Msat));
        assert_eq!(report.revenue.iter().map(|tool| tool.work_calls).sum::<i64>(), earned(Unit::Call));
        assert_eq!((report.suspense_msat, report.received_msat), (self.model.suspense, self.model.received));
        self.ledger.close().await;
    }
}

fn agree(world: World, steps: Vec<Step>) {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_time().build().unwrap();
    runtime.block_on(async {
        let ledger = world.open();
        let reader = ledger.reader().unwrap();
        let mut run = Run { world, ledger, reader, model: Model::default(), open: Vec::new() };
        for step in steps {
            run.take(step).await;
            run.check().await;
        }
        run.compare().await;
    });
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn any_interleaving_agrees_with_the_model(
        steps in prop::collection::vec(step(), 1..120),
        settle_after in prop_oneof![1..6_usize, Just(DEFAULT_SETTLE_AFTER)],
    ) {
        let mut world = World::sqlite();
        world.settle_after = settle_after;
        agree(world, steps);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, ..ProptestConfig::default() })]

    #[test]
    fn any_interleaving_agrees_with_the_model_on_postgres(steps in prop::collection::vec(step(), 1..80)) {
        agree(World::postgres(), steps);
    }
}
