//! Quotes, the three ways to be credited, and what is written beside the money.

use octroi_l402::TokenId;

use super::connect::Session;
use super::{NotWritten, Shop, aside, prune};
use crate::account::{MAX_AMOUNT, Unit};
use crate::engine::codes::{AccountKind, TransactionKind, time, unit_code};
use crate::engine::{AccountId, AccountState, Command, Effect, Entry, Outcome};
use crate::entry::{Credited, Quote, Settlement, Voucher, Work};
use crate::error::LedgerError;
use crate::id::EntryId;

const fn in_bounds(amount: i64) -> bool {
    amount > 0 && amount <= MAX_AMOUNT
}

/// Writes one entry.
pub(super) async fn entry(
    session: &mut Session,
    shop: &mut Shop,
    (id, at_ms): (EntryId, u64),
    entry: &Entry,
) -> Result<Outcome, NotWritten> {
    match entry {
        // Written with the others of the batch.
        Entry::Quote(_) => Ok(Ok(Effect::Written)),
        Entry::Payment(settlement) => payment(session, shop, (id, at_ms), settlement).await,
        Entry::Voucher(voucher) => self::voucher(session, shop, (id, at_ms), voucher).await,
        Entry::Work(work) => self::work(session, shop, (id, at_ms), work).await,
        Entry::Claim { key, request } => aside::claim(session, shop, key, request, at_ms).await,
        Entry::Unclaim(key) => aside::unclaim(session, shop, key).await,
        Entry::Revoke { what, revoked, reason } => {
            aside::revoke(session, *what, *revoked, reason, at_ms).await
        }
        Entry::Accept(hash) => aside::accept(session, hash, at_ms).await,
        Entry::OutboxTake { now, until, most } => aside::outbox_take(session, *now, *until, *most).await,
        Entry::OutboxTold { id, told } => aside::outbox_told(session, id, told, at_ms).await,
        Entry::Prune { now, kept } => prune::prune(session, shop, *now, *kept).await,
    }
}

/// The quotes of a batch, as arrays.
#[derive(Default)]
struct QuoteArrays<'a> {
    places: Vec<usize>,
    hashes: Vec<&'a [u8]>,
    tokens: Vec<&'a [u8]>,
    owners: Vec<Option<&'a [u8]>>,
    services: Vec<&'a str>,
    tools: Vec<&'a str>,
    calls: Vec<i64>,
    prices: Vec<i64>,
    call_prices: Vec<i64>,
    created: Vec<i64>,
    expires: Vec<i64>,
    token_expires: Vec<i64>,
}

impl<'a> QuoteArrays<'a> {
    fn push(&mut self, place: usize, quote: &'a Quote) {
        self.places.push(place);
        self.hashes.push(quote.payment_hash.as_bytes());
        self.tokens.push(quote.token_id.as_bytes());
        self.owners.push(quote.owner.as_ref().map(|owner| &owner[..]));
        self.services.push(&quote.service);
        self.tools.push(&quote.tool);
        self.calls.push(quote.calls.into());
        self.prices.push(quote.price.as_i64());
        self.call_prices.push(quote.call_price.as_i64());
        self.created.push(time(quote.created_at));
        self.expires.push(time(quote.expires_at));
        self.token_expires.push(time(quote.macaroon_expires_at));
    }
}

/// Writes the quotes of a batch, in one statement.
pub(super) async fn quotes(
    session: &mut Session,
    batch: &[Command<'_>],
    outcomes: &mut [Option<Outcome>],
) -> Result<(), NotWritten> {
    const QUOTE: &str = "INSERT INTO quotes (payment_hash, token, owner, service, tool, calls, price, call_price,
            created_at, expires_at, token_expires_at)
        SELECT * FROM unnest($1::bytea[], $2::bytea[], $3::bytea[], $4::text[], $5::text[], $6::bigint[], $7::bigint[],
            $8::bigint[], $9::bigint[], $10::bigint[], $11::bigint[])
        ON CONFLICT (payment_hash) DO NOTHING RETURNING payment_hash";
    let mut all = QuoteArrays::default();
    for (place, (command, outcome)) in batch.iter().zip(outcomes.iter_mut()).enumerate() {
        if let Command::Entry { entry: Entry::Quote(quote), .. } = command {
            if in_bounds(quote.price.as_i64()) && quote.call_price.as_i64() >= 0 {
                all.push(place, quote);
            } else {
                *outcome = Some(Err(LedgerError::Amount));
            }
        }
    }
    if all.places.is_empty() {
        return Ok(());
    }
    let rows = session
        .query(
            QUOTE,
            &[
                &all.hashes,
                &all.tokens,
                &all.owners,
                &all.services,
                &all.tools,
                &all.calls,
                &all.prices,
                &all.call_prices,
                &all.created,
                &all.expires,
                &all.token_expires,
            ],
        )
        .await?;
    let mut new: Vec<&[u8]> = rows.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>()?;
    for (place, hash) in all.places.iter().zip(&all.hashes) {
        // Of two with the same hash in one batch, one is written.
        let written = new.iter().position(|written| written == hash).map(|found| new.swap_remove(found));
        if let Some(outcome) = outcomes.get_mut(*place) {
            *outcome = Some(written.map_or(Err(LedgerError::QuoteTaken), |_| Ok(Effect::Written)));
        }
    }
    Ok(())
}

/// What is credited.
struct Credit {
    id: EntryId,
    at_ms: u64,
    kind: TransactionKind,
    source: i64,
    unit: Unit,
    amount: i64,
}

/// To whom.
struct Holder {
    token: TokenId,
    owner: Option<[u8; 32]>,
    expires_at: i64,
}

async fn payment(
    session: &mut Session,
    shop: &mut Shop,
    (id, at_ms): (EntryId, u64),
    settlement: &Settlement,
) -> Result<Outcome, NotWritten> {
    let amount = settlement.amount.as_i64();
    if !in_bounds(amount) {
        return Ok(Err(LedgerError::Amount));
    }
    let slot = shop.life.slot;
    let source = shop.house.account(session, slot, AccountKind::Lightning, 0).await?;
    let suspense = shop.house.account(session, slot, AccountKind::Suspense, 0).await?;
    session
        .transaction(async |session| {
            if let Some(cursor) = &settlement.cursor {
                session
                    .execute(
                        "INSERT INTO cursors (node, cursor) VALUES ($1, $2)
                         ON CONFLICT (node) DO UPDATE SET cursor = excluded.cursor",
                        &[&settlement.node, cursor],
                    )
                    .await?;
            }
            let hash = &settlement.payment_hash.as_bytes()[..];
            if is_credited(session, hash).await? {
                return Ok(Ok(Effect::NotCredited(Credited::Duplicate)));
            }
            let quoted = session
                .query(
                    "UPDATE quotes SET paid = 1 WHERE payment_hash = $1 RETURNING token, owner, calls, token_expires_at",
                    &[&hash],
                )
                .await?;
            let credit = Credit { id, at_ms, kind: TransactionKind::Payment, source, unit: Unit::Msat, amount };
            let (mut calls, mut credited) = (0, None);
            if let Some(row) = quoted.first() {
                let owner: Option<&[u8]> = row.try_get(1)?;
                let holder = Holder {
                    token: TokenId::from_bytes(super::calls::bytes(row, 0)?),
                    owner: owner.and_then(|owner| owner.try_into().ok()),
                    expires_at: row.try_get(3)?,
                };
                calls = row.try_get(2)?;
                credited = self::credit(session, &credit, &holder).await?.ok();
            }
            let account = match credited {
                Some(account) => account.id.0,
                None => {
                    transfer(session, &credit, suspense).await?;
                    add(session, suspense, amount).await?;
                    suspense
                }
            };
            add(session, source, -amount).await?;
            let noted = (settlement.node.as_str(), calls, "");
            note(session, hash, id, account, settlement.settled_at, noted).await?;
            Ok(Ok(match credited {
                Some(account) => Effect::Credited { account, amount },
                None => Effect::NotCredited(Credited::Unknown),
            }))
        })
        .await
}

async fn voucher(
    session: &mut Session,
    shop: &mut Shop,
    (id, at_ms): (EntryId, u64),
    voucher: &Voucher,
) -> Result<Outcome, NotWritten> {
    let amount = voucher.amount.as_i64();
    if !in_bounds(amount) {
        return Ok(Err(LedgerError::Amount));
    }
    let source = shop.house.account(session, shop.life.slot, AccountKind::Vouchers, 0).await?;
    session
        .transaction(async |session| {
            let hash = &voucher.payment_hash.as_bytes()[..];
            if is_credited(session, hash).await? {
                return Ok(Ok(Effect::NotCredited(Credited::Duplicate)));
            }
            let credit =
                Credit { id, at_ms, kind: TransactionKind::Voucher, source, unit: Unit::Msat, amount };
            let holder = Holder {
                token: voucher.token_id,
                owner: voucher.owner,
                expires_at: time(voucher.expires_at),
            };
            let account = match self::credit(session, &credit, &holder).await? {
                Ok(account) => account,
                Err(error) => return Ok(Err(error)),
            };
            add(session, source, -amount).await?;
            let noted = ("", i64::from(voucher.calls), voucher.note.as_str());
            note(session, hash, id, account.id.0, voucher.created_at, noted).await?;
            Ok(Ok(Effect::Credited { account, amount }))
        })
        .await
}

async fn work(
    session: &mut Session,
    shop: &mut Shop,
    (id, at_ms): (EntryId, u64),
    work: &Work,
) -> Result<Outcome, NotWritten> {
    let amount = i64::from(work.calls);
    if amount == 0 {
        return Ok(Err(LedgerError::Amount));
    }
    let source = shop.house.account(session, shop.life.slot, AccountKind::Work, 0).await?;
    session
        .transaction(async |session| {
            let challenge = &work.challenge_id[..];
            let known = session.query("SELECT 1 FROM works WHERE challenge_id = $1", &[&challenge]).await?;
            if !known.is_empty() {
                return Ok(Ok(Effect::NotCredited(Credited::Duplicate)));
            }
            let credit = Credit { id, at_ms, kind: TransactionKind::Work, source, unit: Unit::Call, amount };
            let holder = Holder { token: work.token_id, owner: work.owner, expires_at: time(work.expires_at) };
            let account = match self::credit(session, &credit, &holder).await? {
                Ok(account) => account,
                Err(error) => return Ok(Err(error)),
            };
            add(session, source, -amount).await?;
            let new = session
                .execute(
                    "INSERT INTO works (challenge_id, transaction_id, service, expires_at) VALUES ($1, $2, $3, $4)
                     ON CONFLICT DO NOTHING",
                    &[&challenge, &&id.to_bytes()[..], &work.service, &time(work.expires_at)],
                )
                .await?;
            // Another gate was quicker: the next try finds it.
            if new == 0 { Err(NotWritten::Met) } else { Ok(Ok(Effect::Credited { account, amount })) }
        })
        .await
}

/// Credits the account of a credential, opening it at its first credit. Refused, and nothing written, where the account
/// counts in another unit.
async fn credit(
    session: &mut Session,
    credit: &Credit,
    holder: &Holder,
) -> Result<Result<AccountState, LedgerError>, NotWritten> {
    let (unit, token) = (unit_code(credit.unit) as i16, &holder.token.as_bytes()[..]);
    let owner = holder.owner.as_ref().map(|owner| &owner[..]);
    let rows = session
        .query(
            "INSERT INTO accounts AS a (kind, unit, token, owner, balance, created_at, expires_at, revoked)
             VALUES (0, $1, $2, $3, $4, $5, $6, EXISTS (SELECT 1 FROM revocations
                     WHERE (kind = 0 AND subject = $2) OR (kind = 1 AND subject = $3)))
             ON CONFLICT (token) WHERE token IS NOT NULL
                 DO UPDATE SET balance = a.balance + excluded.balance, expires_at = greatest(a.expires_at, excluded.expires_at)
                 WHERE a.unit = excluded.unit
             RETURNING id, owner, balance, held, expires_at",
            &[&unit, &token, &owner, &credit.amount, &time(credit.at_ms / 1_000), &holder.expires_at],
        )
        .await?;
    let Some(row) = rows.first() else { return Ok(Err(LedgerError::OtherUnit(credit.unit))) };
    let owner: Option<&[u8]> = row.try_get(1)?;
    let state = AccountState {
        id: AccountId(row.try_get(0)?),
        token: holder.token,
        owner: owner.and_then(|owner| owner.try_into().ok()),
        unit: credit.unit,
        balance: row.try_get(2)?,
        held: row.try_get(3)?,
        expires_at: crate::engine::codes::time_from(row.try_get(4)?),
    };
    transfer(session, credit, state.id.0).await?;
    Ok(Ok(state))
}

async fn transfer(session: &mut Session, credit: &Credit, target: i64) -> Result<(), NotWritten> {
    let (id, kind) = (&credit.id.to_bytes()[..], credit.kind as i16);
    session
        .execute(
            "INSERT INTO transactions (id, kind, at_ms, source, target, amount) VALUES ($1, $2, $3, $4, $5, $6)",
            &[&id, &kind, &time(credit.at_ms), &credit.source, &target, &credit.amount],
        )
        .await?;
    Ok(())
}

async fn add(session: &mut Session, account: i64, amount: i64) -> Result<(), NotWritten> {
    session.execute("UPDATE accounts SET balance = balance + $2 WHERE id = $1", &[&account, &amount]).await?;
    Ok(())
}

async fn is_credited(session: &mut Session, hash: &[u8]) -> Result<bool, NotWritten> {
    Ok(!session.query("SELECT 1 FROM credits WHERE payment_hash = $1", &[&hash]).await?.is_empty())
}

async fn note(
    session: &mut Session,
    hash: &[u8],
    id: EntryId,
    account: i64,
    at: u64,
    (node, calls, note): (&str, i64, &str),
) -> Result<(), NotWritten> {
    let new = session
        .execute(
            "INSERT INTO credits (payment_hash, transaction_id, account, credited_at, node, calls, note)
             VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (payment_hash) DO NOTHING",
            &[&hash, &&id.to_bytes()[..], &account, &time(at), &node, &calls, &note],
        )
        .await?;
    // Another gate was quicker: the next try finds it.
    if new == 0 { Err(NotWritten::Met) } else { Ok(()) }
}
