//! Calls that end early, late and out of order, while rounds go through a handful of accounts one by one.

use std::path::Path;
use std::sync::Arc;

use octroi_l402::{Msat, PaymentHash, TokenId};
use proptest::prelude::*;

use super::super::{AccountId, EndRow, Engine, Entry, HoldRow, LoadRequest};
use super::open::open;
use super::{Command, Sizes, SqliteEngine};
use crate::account::{AccountRef, Unit};
use crate::entry::Voucher;
use crate::id::EntryId;
use crate::report::CallEnd;
use crate::tools::ToolName;
use crate::{Reader, Store};

const ACCOUNTS: u8 = 6;
const FUNDS: i64 = 1_000;

#[derive(Clone, Debug)]
enum Step {
    Hold(u8, i64),
    /// Ends one that is open.
    End(usize, i64),
    /// A commit with nothing in it, which brings a round forward.
    Nothing,
    /// A transaction failed, and nobody can say whether it was committed.
    Doubt,
    /// The gate dies and comes back.
    Crash,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0..ACCOUNTS, 1..40_i64).prop_map(|(account, amount)| Step::Hold(account, amount)),
        6 => (any::<usize>(), 0..40_i64).prop_map(|(which, amount)| Step::End(which, amount)),
        3 => Just(Step::Nothing),
        3 => Just(Step::Doubt),
        1 => Just(Step::Crash),
    ]
}

fn token(n: u8) -> TokenId {
    TokenId::from_bytes([n; 32])
}

struct Run {
    engine: Option<SqliteEngine>,
    sizes: Sizes,
    reader: Reader,
    next: u64,
    open: Vec<HoldRow>,
    /// By account: what is left on it with nothing held.
    balances: [i64; ACCOUNTS as usize],
}

impl Run {
    fn new(dir: &Path, settle_after: usize) -> Self {
        let sizes = Sizes { wal_bytes: 1_000_000, settle_after };
        let mut engine = open(&dir.join("octroi.db"), sizes).unwrap().engine;
        for n in 0..ACCOUNTS {
            let gift = Entry::Voucher(Voucher {
                token_id: token(n),
                payment_hash: PaymentHash::from_bytes([n; 32]),
                owner: None,
                amount: Msat::new(FUNDS),
                calls: 0,
                note: String::new(),
                created_at: 0,
                expires_at: 0,
            });
            let id = EntryId::first_of(u64::from(n) + 1);
            assert!(engine.commit(&[Command::Entry { id, at_ms: 0, entry: &gift }]).unwrap()[0].is_ok());
        }
        let reader = Reader::open(&Store::sqlite(dir.join("octroi.db"))).unwrap();
        Self { engine: Some(engine), sizes, reader, next: 100, open: Vec::new(), balances: [FUNDS; 6] }
    }

    fn engine(&mut self) -> &mut SqliteEngine {
        self.engine.as_mut().unwrap()
    }

    fn id_of(&mut self, n: u8) -> AccountId {
        let loaded = self.engine().load(&LoadRequest::of(AccountRef::Token(token(n)))).unwrap();
        loaded.accounts[0].id
    }

    fn take(&mut self, dir: &Path, step: &Step) {
        match step {
            Step::Hold(n, amount) => self.hold(*n, *amount),
            Step::End(which, amount) => self.end(*which, *amount),
            Step::Nothing => assert!(self.engine().commit(&[]).unwrap().is_empty()),
            Step::Doubt => self.engine().doubtful = true,
            Step::Crash => {
                self.engine = None;
                let opened = open(&dir.join("octroi.db"), self.sizes).unwrap();
                assert_eq!(opened.recovery.voided, self.open.len() as u64);
                self.open.clear();
                self.engine = Some(opened.engine);
            }
        }
    }

    fn hold(&mut self, n: u8, amount: i64) {
        let account = self.id_of(n);
        let held: i64 = self.open.iter().filter(|row| row.account == account).map(|row| row.amount).sum();
        self.next += 1;
        let row = HoldRow {
            id: EntryId::first_of(self.next),
            payer: AccountRef::Token(token(n)),
            account,
            unit: Unit::Msat,
            amount,
            tool: Arc::new(ToolName { service: "demo".into(), tool: "t".into() }),
            taken: Box::default(),
            bill: None,
        };
        let outcome = self.engine().commit(&[Command::Hold(&row)]).unwrap().remove(0);
        let bears = self.balances[usize::from(n)] - held >= amount;
        assert_eq!(outcome.is_ok(), bears, "{outcome:?}");
        if bears {
            self.open.push(row);
        }
    }

    fn end(&mut self, which: usize, amount: i64) {
        let Some(which) = which.checked_rem(self.open.len()) else { return };
        let hold = self.open.remove(which);
        let captured = amount.min(hold.amount);
        let end = EndRow { hold: &hold, captured, end: CallEnd::Captured, at_ms: 0, answer: None };
        for _ in 0..2 {
            // Told twice it ends once.
            assert!(self.engine().commit(&[Command::End(end)]).unwrap()[0].is_ok());
        }
        let AccountRef::Token(token) = hold.payer else { return };
        self.balances[usize::from(token.as_bytes()[0])] -= captured;
    }

    /// What the engine says, and what the file says, after every step.
    fn check(&mut self) {
        let found = self.reader.verify().unwrap();
        assert!(found.is_sound(), "{:#?}", found.violations);
        for n in 0..ACCOUNTS {
            let loaded = self.engine().load(&LoadRequest::of(AccountRef::Token(token(n)))).unwrap();
            let account = loaded.accounts[0];
            let held: i64 =
                self.open.iter().filter(|row| row.account == account.id).map(|row| row.amount).sum();
            assert_eq!((account.balance, account.held), (self.balances[usize::from(n)], held));
            let told = self.reader.account(&token(n)).unwrap().unwrap();
            assert_eq!((told.balance, told.held), (account.balance, held), "the file says it too");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn at_every_moment_the_books_add_up(steps in prop::collection::vec(step(), 1..80), settle_after in 1..5_usize) {
        let dir = tempfile::tempdir().unwrap();
        let mut run = Run::new(dir.path(), settle_after);
        for step in &steps {
            run.take(dir.path(), step);
            run.check();
        }
        // Nothing more is called: all of it is settled, and forgotten.
        run.engine().upkeep(true);
        run.check();
        let left: i64 = run.engine().connection.query_row("SELECT count(*) FROM begun", [], |row| row.get(0)).unwrap();
        prop_assert_eq!(left, run.open.len() as i64);
    }
}

#[test]
fn a_call_that_ends_after_its_round_is_not_settled_by_the_next_one_too() {
    let dir = tempfile::tempdir().unwrap();
    let mut run = Run::new(dir.path(), 10);
    let mut take = |step: Step| {
        run.take(dir.path(), &step);
        run.check();
    };
    take(Step::Hold(0, 10));
    for _ in 0..2 {
        // A round takes more accounts than it settles at once. The first one goes past the first call, which is open.
        for account in (1..ACCOUNTS).chain(1..ACCOUNTS) {
            take(Step::Hold(account, 10));
            take(Step::End(1, 10));
        }
        (0..40).for_each(|_| take(Step::Nothing));
        take(Step::End(0, 10));
        take(Step::Hold(0, 10));
    }
}
