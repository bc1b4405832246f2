//! Holds and their ends: one transaction for a batch of them, two round trips.

use futures_util::future::join;
use octroi_l402::TokenId;
use tokio_postgres::Row;

use super::changes::{ASIDE, Changes, CounterArrays, STATEMENTS};
use super::connect::Session;
use super::page::{Locked, Page, REFUSED, earning};
use super::{MEETINGS, NotWritten, Shop};
use crate::CallEnd;
use crate::account::AccountRef;
use crate::engine::codes::{time_from, unit_code, unit_from};
use crate::engine::{AccountId, AccountState, Command, Effect, HoldRow, Outcome};
use crate::error::HoldRefused;
use crate::id::unix_ms;
use crate::limit::{CounterKey, Counts};

const LOCK: &str = "SELECT id, token, owner, unit, balance, held, expires_at, revoked FROM accounts
    WHERE token = ANY($1) OR id = ANY($2) OR id IN (SELECT account FROM holds WHERE id = ANY($3))
    ORDER BY id FOR UPDATE";
const END: &str = "DELETE FROM holds WHERE id = ANY($1) RETURNING id, account";
const COUNT: &str = "INSERT INTO counters (key, counts, seconds, start, used)
    SELECT * FROM unnest($1::bytea[], $2::smallint[], $3::integer[], $4::bigint[]) AS k (key, counts, seconds, start), (VALUES (0)) AS v
    ORDER BY 1, 2, 3, 4
    ON CONFLICT (key, counts, seconds, start) DO UPDATE SET used = counters.used RETURNING key, counts, seconds, start, used";
const DEAD_KEYS: &str = "SELECT subject FROM revocations WHERE kind = 2";
const ALIVE: &str = "SELECT 1 FROM gates WHERE id = $1 AND NOT ended";
const OWNED: &str = "SELECT DISTINCT a.id FROM unnest($1::bytea[], $2::smallint[], $3::bigint[]) AS w (owner, unit, amount),
    LATERAL (SELECT id FROM accounts WHERE owner = w.owner AND unit = w.unit AND balance - held >= w.amount AND NOT revoked
             ORDER BY id LIMIT $4) a";

/// Writes the holds and ends of a batch.
pub(super) async fn write(
    session: &mut Session,
    shop: &mut Shop,
    batch: &[Command<'_>],
    outcomes: &mut [Option<Outcome>],
) -> Result<(), NotWritten> {
    let mut wanted: Vec<usize> = (0..batch.len())
        .filter(|place| matches!(batch.get(*place), Some(Command::Hold(_) | Command::End(_))))
        .collect();
    let mut meetings = 0;
    while !wanted.is_empty() {
        let commands: Vec<&Command<'_>> = wanted.iter().filter_map(|place| batch.get(*place)).collect();
        match together(session, shop, &commands).await {
            Ok(decided) => {
                for (place, outcome) in wanted.drain(..).zip(decided) {
                    if let Some(slot) = outcomes.get_mut(place) {
                        *slot = Some(outcome);
                    }
                }
            }
            Err(NotWritten::Met) if meetings < MEETINGS => meetings += 1,
            Err(NotWritten::Refused) if commands.len() > 1 => {
                for place in wanted.drain(..) {
                    let Some(command) = batch.get(place) else { continue };
                    let alone = super::again(async || {
                        let mut one = together(session, shop, &[command]).await?;
                        Ok(one.pop().unwrap_or(Ok(Effect::Written)))
                    });
                    if let Some(slot) = outcomes.get_mut(place) {
                        *slot = Some(alone.await?);
                    }
                }
            }
            Err(NotWritten::Refused) => {
                if let Some(slot) = wanted.pop().and_then(|place| outcomes.get_mut(place)) {
                    *slot = Some(Err(REFUSED));
                }
            }
            Err(error) => return Err(error),
        }
    }
    refused_owners(session, batch, outcomes).await
}

/// What a batch asks for, as arrays.
#[derive(Default)]
struct Wanted<'a> {
    tokens: Vec<&'a [u8]>,
    owned: Vec<i64>,
    ends: Vec<Vec<u8>>,
    counters: Vec<CounterKey>,
}

impl<'a> Wanted<'a> {
    fn of(commands: &[&Command<'a>]) -> Self {
        let mut wanted = Self::default();
        for command in commands {
            let row = match command {
                Command::Hold(row) => {
                    if let AccountRef::Token(token) = &row.payer {
                        wanted.tokens.push(token.as_bytes());
                    }
                    row
                }
                Command::End(end) => {
                    wanted.ends.push(end.hold.id.to_bytes().to_vec());
                    end.hold
                }
                Command::Entry { .. } => continue,
            };
            wanted.counters.extend(row.taken.iter().map(|taken| taken.key));
        }
        wanted.counters.sort_unstable();
        wanted.counters.dedup();
        wanted
    }
}

/// One transaction for all commands.
async fn together(
    session: &mut Session,
    shop: &mut Shop,
    commands: &[&Command<'_>],
) -> Result<Vec<Outcome>, NotWritten> {
    let mut wanted = Wanted::of(commands);
    prepare(session, shop, commands).await?;
    wanted.owned = owned(session, commands).await?;
    let worked = decide_and_write(session, shop, commands, &wanted).await;
    if let Err(NotWritten::Met | NotWritten::Refused) = worked {
        session.batch("ROLLBACK").await?;
    }
    worked
}

/// Everything that needs a round trip of its own the first time it is met, so that later batches need none.
async fn prepare(
    session: &mut Session,
    shop: &mut Shop,
    commands: &[&Command<'_>],
) -> Result<(), NotWritten> {
    session.prepare(&[LOCK, END, COUNT, DEAD_KEYS, ALIVE]).await?;
    session.prepare(&STATEMENTS).await?;
    for command in commands {
        let row = match command {
            Command::Hold(row) => row,
            Command::End(end) => end.hold,
            Command::Entry { .. } => continue,
        };
        let tool = shop.house.tool(session, &row.tool).await?;
        if let Command::End(end) = command {
            if let Some(kind) = earning(end) {
                shop.house.account(session, shop.life.slot, kind, tool).await?;
            }
            if end.answer.is_some() || row.bill.is_some() {
                session.prepare(&ASIDE).await?;
            }
        }
    }
    Ok(())
}

/// Accounts of the owners in the batch that can bear what is asked, before they are locked.
async fn owned(session: &mut Session, commands: &[&Command<'_>]) -> Result<Vec<i64>, NotWritten> {
    let (mut owners, mut units, mut amounts) = (Vec::new(), Vec::new(), Vec::new());
    for command in commands {
        if let Command::Hold(HoldRow { payer: AccountRef::Owner(owner), unit, amount, .. }) = command {
            owners.push(&owner[..]);
            units.push(unit_code(*unit) as i16);
            amounts.push(*amount);
        }
    }
    if owners.is_empty() {
        return Ok(Vec::new());
    }
    // Each hold empties at most one account, so as many as there are holds are enough.
    let most = i64::try_from(owners.len()).unwrap_or(i64::MAX);
    let rows = session.query(OWNED, &[&owners, &units, &amounts, &most]).await?;
    Ok(rows.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>()?)
}

async fn decide_and_write(
    session: &Session,
    shop: &Shop,
    commands: &[&Command<'_>],
    wanted: &Wanted<'_>,
) -> Result<Vec<Outcome>, NotWritten> {
    let mut page = read(session, shop, wanted).await?;
    let now_ms = unix_ms();
    let mut changes = Changes::default();
    let mut outcomes = Vec::with_capacity(commands.len());
    for command in commands {
        outcomes.push(Ok(match command {
            Command::Hold(row) => match page.hold(row, now_ms / 1_000) {
                Ok((account, left)) => {
                    changes.hold(shop, row, account)?;
                    Effect::Decided(Ok(left))
                }
                Err(refused) => Effect::Decided(Err(refused)),
            },
            Command::End(end) => {
                match page.end(end) {
                    Some(account) => changes.end(shop, &mut page, end, account)?,
                    None if end.end == CallEnd::Captured => {
                        tracing::warn!(call = %hex::encode(end.hold.id.to_bytes()), "a call was charged after its hold had been voided");
                    }
                    None => {}
                }
                Effect::Written
            }
            Command::Entry { .. } => Effect::Written,
        }));
    }
    changes.write(session, shop, &page).await?;
    Ok(outcomes)
}

/// The first round trip: begins, locks and reads.
async fn read(session: &Session, shop: &Shop, wanted: &Wanted<'_>) -> Result<Page, NotWritten> {
    let keys = CounterArrays::of(wanted.counters.iter().map(|key| (*key, (0, 0))));
    let (begun, (accounts, (ended, (counters, (dead, alive))))) = join(
        // Decided at once, and durable a moment later (see `flush`): the calls wait for that while the upstream works.
        session.batch("BEGIN; SET LOCAL synchronous_commit = off"),
        join(
            session.rows(LOCK, &[&wanted.tokens, &wanted.owned, &wanted.ends]),
            join(
                session.rows(END, &[&wanted.ends]),
                join(
                    async {
                        if keys.keys.is_empty() {
                            return Ok(Vec::new());
                        }
                        session.rows(COUNT, &[&keys.keys, &keys.counts, &keys.seconds, &keys.starts]).await
                    },
                    join(session.rows(DEAD_KEYS, &[]), session.rows(ALIVE, &[&shop.life.gate])),
                ),
            ),
        ),
    )
    .await;
    begun?;
    let mut page = Page::default();
    for row in accounts? {
        page.found(locked(&row)?);
    }
    for row in ended? {
        page.open.insert(bytes(&row, 0)?, row.try_get(1)?);
    }
    for row in counters? {
        let (counts, length): (i16, i32) = (row.try_get(1)?, row.try_get(2)?);
        let key = CounterKey {
            key: bytes(&row, 0)?,
            counts: if counts == 0 { Counts::Calls } else { Counts::Amount },
            seconds: length.unsigned_abs(),
            start: time_from(row.try_get(3)?),
        };
        page.counter(key, row.try_get(4)?);
    }
    for row in dead? {
        page.dead_keys.insert(u32::from_be_bytes(bytes(&row, 0)?));
    }
    if alive?.is_empty() {
        return Err(NotWritten::Broken("the other gates took this one for dead".to_owned()));
    }
    Ok(page)
}

fn locked(row: &Row) -> Result<Locked, NotWritten> {
    let unit: i16 = row.try_get(3)?;
    // The ledger's own accounts are never asked for.
    let owner: Option<&[u8]> = row.try_get(2)?;
    let state = AccountState {
        id: AccountId(row.try_get(0)?),
        token: TokenId::from_bytes(bytes(row, 1)?),
        owner: owner.and_then(|owner| owner.try_into().ok()),
        unit: unit_from(unit.into()),
        balance: row.try_get(4)?,
        held: row.try_get(5)?,
        expires_at: time_from(row.try_get(6)?),
    };
    Ok(Locked { state, revoked: row.try_get(7)? })
}

/// A column of so many bytes.
pub(super) fn bytes<const N: usize>(row: &Row, column: usize) -> Result<[u8; N], NotWritten> {
    let bytes: &[u8] = row.try_get(column)?;
    bytes.try_into().map_err(|_| NotWritten::Broken("a column has an unexpected length".to_owned()))
}

/// An owner's hold that nothing could bear: says what the fullest of its accounts has, and whether there is one.
async fn refused_owners(
    session: &mut Session,
    batch: &[Command<'_>],
    outcomes: &mut [Option<Outcome>],
) -> Result<(), NotWritten> {
    const LEFT: &str = "SELECT max(balance - held) FILTER (WHERE unit = $2 AND NOT revoked),
            bool_or(revoked AND unit = $2) FROM accounts WHERE owner = $1 AND balance > held";
    for (command, outcome) in batch.iter().zip(outcomes) {
        let Command::Hold(HoldRow { payer: AccountRef::Owner(owner), unit, .. }) = command else { continue };
        let Some(Ok(Effect::Decided(Err(
            refused @ (HoldRefused::Unknown | HoldRefused::Insufficient { .. }),
        )))) = outcome
        else {
            continue;
        };
        let unit = unit_code(*unit) as i16;
        let rows = session.query(LEFT, &[&&owner[..], &unit]).await?;
        let Some(row) = rows.first() else { continue };
        let (available, revoked): (Option<i64>, Option<bool>) = (row.try_get(0)?, row.try_get(1)?);
        *refused = match available {
            Some(available) => HoldRefused::Insufficient { available },
            None if revoked == Some(true) => HoldRefused::Revoked,
            None => HoldRefused::Unknown,
        };
    }
    Ok(())
}
