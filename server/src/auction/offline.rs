//! Reads a house's journal for people, while no server runs the house or while one does.

use std::fmt::Write;
use std::path::Path;

use truetick_auction::event::Ending;
use truetick_auction::house::House;
use truetick_auction::ledger::Account;
use truetick_auction::lot::Lot;
use truetick_auction::order::{BidStanding, Outcome};
use truetick_auction::terms::{Pricing, Sale};
use truetick_netcode::session::UserId;

use super::audit::Audit;
use super::entry::HouseReplica;
use super::settings::OpenError;
use crate::files::folder::FolderDisk;
use crate::journal::disk::Disk;
use crate::journal::error::JournalError;
use crate::journal::open::{Tail, read, read_all};
use crate::journal::{Replica, segment};

type Reader = fn(&dyn Disk, &mut dyn Replica) -> Result<Option<Tail>, JournalError>;
type Read<T> = Result<(T, Tail), Box<dyn std::error::Error>>;

fn load<R: Replica + Default>(data: &Path, read: Reader) -> Read<R> {
    let disk = FolderDisk::look(data).map_err(|error| OpenError::Folder(data.into(), error))?;
    let mut replica = R::default();
    let tail = read(&disk, &mut replica).map_err(|error| OpenError::Journal(data.into(), error))?;
    let tail = tail.ok_or_else(|| format!("there is no journal in {}", data.display()))?;
    Ok((replica, tail))
}

fn house(data: &Path) -> Result<House, Box<dyn std::error::Error>> {
    let (replica, _) = load::<HouseReplica>(data, read)?;
    Ok(replica.into_parts().ok_or("the house was never founded")?.0)
}

fn sale(lot: &Lot) -> &'static str {
    match &lot.terms.sale {
        Sale::English { .. } => "English",
        Sale::Dutch(_) => "Dutch",
        Sale::Sealed {
            pricing: Pricing::First,
            ..
        } => "sealed",
        Sale::Sealed {
            pricing: Pricing::Second,
            ..
        } => "Vickrey",
    }
}

fn user(house: &House, lot: &Lot, alias: u32) -> Option<u64> {
    let (account, _) = lot.aliases.iter().find(|(_, known)| **known == alias)?;
    Some(house.ledger().account(*account).user.0)
}

fn name(house: &House, lot: &Lot, alias: u32) -> String {
    user(house, lot, alias).map_or("?".into(), |user| format!("user {user}"))
}

/// A table of all lots with their state or outcome.
///
/// # Errors
/// If the journal cannot be read, or the house was never founded.
pub fn lots(data: &Path) -> Result<String, Box<dyn std::error::Error>> {
    let house = house(data)?;
    let mut out = format!(
        "{:>6}  {:<8} {:>12} {:>6}  {:<34} {}\n",
        "lot", "sale", "price", "bids", "stands", "title"
    );
    for (id, lot) in house.lots() {
        let (price, stands) = match &lot.ending {
            Some(Ending::Sold { winner, price }) => (
                Some(*price),
                format!("sold to {}", name(&house, lot, *winner)),
            ),
            Some(Ending::Unsold) => (lot.english.price, "not sold".into()),
            Some(Ending::Cancelled) => (None, "cancelled".into()),
            None => {
                let leader = lot
                    .leader_alias()
                    .map(|alias| format!("{} leads, ", name(&house, lot, alias)));
                let left = lot
                    .closes
                    .saturating_sub(house.paused().unwrap_or(house.tick()));
                (
                    lot.english.price,
                    format!("{}{left} ticks left", leader.unwrap_or_default()),
                )
            }
        };
        let price = price.map_or("-".into(), |price| price.to_string());
        let bids = if lot.is_sealed() {
            lot.offers.len() as u64
        } else {
            lot.offers.taken()
        };
        writeln!(
            out,
            "{:>6}  {:<8} {price:>12} {bids:>6}  {stands:<34} {}",
            id.0,
            sale(lot),
            lot.terms.title
        )?;
    }
    Ok(out)
}

/// A table of all accounts, or the statement of one user.
///
/// # Errors
/// If the journal cannot be read, or the house was never founded.
pub fn accounts(data: &Path, user: Option<u64>) -> Result<String, Box<dyn std::error::Error>> {
    let house = house(data)?;
    let mut out = format!(
        "{:>20} {:>14} {:>14} {:>14} {:>14}  {}\n",
        "user", "deposited", "available", "held", "paid", ""
    );
    let wanted = |whose: UserId| user.is_none_or(|user| user == whose.0);
    let accounts = house.ledger().accounts().iter();
    for account in accounts.filter(|account| wanted(account.user)) {
        out += &account_row(account);
    }
    if let Some(user) = user {
        let (audit, _) = load::<Audit>(data, read_all)?;
        write_receipts(&mut out, &audit, user)?;
        write_lots_of(&mut out, &house, user)?;
    }
    Ok(out)
}

fn account_row(account: &Account) -> String {
    let note = if account.denied {
        "may not bid"
    } else if account.registered {
        ""
    } else {
        "not registered"
    };
    let money = [
        account.deposited,
        account.available,
        account.held,
        account.paid,
    ];
    let [deposited, available, held, paid] = money.map(|amount| amount.to_string());
    format!(
        "{:>20} {deposited:>14} {available:>14} {held:>14} {paid:>14}  {note}\n",
        account.user.0
    )
}

/// Writes a table of a user's commands with their outcomes, in the order of the decisions.
fn write_receipts(out: &mut String, audit: &Audit, user: u64) -> std::fmt::Result {
    writeln!(
        out,
        "\n{:>10} {:>10} {:>12}  outcome",
        "number", "tick", "command"
    )?;
    let mut receipts: Vec<_> = audit
        .receipts
        .iter()
        .filter(|((whose, _), _)| whose.0 == user)
        .collect();
    receipts.sort_by_key(|(_, receipt)| receipt.number);
    for ((_, id), receipt) in receipts {
        let outcome = match receipt.outcome {
            Outcome::Accepted {
                stands: BidStanding::Done,
                ..
            } => "done".into(),
            Outcome::Accepted { stands, alias } => {
                format!("accepted as bidder {alias}: {stands:?}")
            }
            Outcome::Rejected(reject) => format!("rejected: {reject:?}"),
        };
        writeln!(
            out,
            "{:>10} {:>10} {:>12}  {outcome}",
            receipt.number, receipt.tick, id.0
        )?;
    }
    Ok(())
}

/// Writes the lots that a user has won or sells.
fn write_lots_of(out: &mut String, house: &House, user: u64) -> std::fmt::Result {
    for (id, lot) in house.lots() {
        if let Some(Ending::Sold { winner, price }) = &lot.ending
            && self::user(house, lot, *winner) == Some(user)
        {
            writeln!(out, "won lot {} for {price}: {}", id.0, lot.terms.title)?;
        }
        if lot.terms.seller.0 == user {
            writeln!(out, "sells lot {}: {}", id.0, lot.terms.title)?;
        }
    }
    Ok(())
}

/// Checks every invariant, entry by entry. Returns the findings as text, and whether nothing is
/// wrong.
///
/// # Errors
/// If the journal cannot be read.
pub fn audit(data: &Path) -> Result<(String, bool), Box<dyn std::error::Error>> {
    let (mut audit, tail) = load::<Audit>(data, read_all)?;
    audit.finish();
    let events: usize = audit.events.values().map(Vec::len).sum();
    let mut out = String::new();
    writeln!(
        out,
        "{} entries, {} openings, {} commands, {} lots, {events} events; durable up to byte {} of {}",
        audit.entries,
        audit.openings,
        audit.commands,
        audit.events.len(),
        tail.end,
        segment::name(tail.segment)
    )?;
    if tail.torn {
        writeln!(
            out,
            "the end is torn: what follows was never acknowledged and is cut when it is opened"
        )?;
    }
    if let Some(house) = audit.house() {
        write_sums(&mut out, house)?;
    }
    audit
        .findings
        .iter()
        .try_for_each(|finding| writeln!(out, "WRONG {finding}"))?;
    let good = audit.findings.is_empty();
    writeln!(
        out,
        "{}",
        if good {
            "All is well."
        } else {
            "Something is wrong."
        }
    )?;
    Ok((out, good))
}

/// Writes the sums over all accounts, and how far the house has come.
fn write_sums(out: &mut String, house: &House) -> std::fmt::Result {
    let sum = |of: fn(&Account) -> u64| -> u128 {
        house
            .ledger()
            .accounts()
            .iter()
            .map(|account| u128::from(of(account)))
            .sum()
    };
    let [deposited, available, held, paid] = [
        sum(|a| a.deposited.0),
        sum(|a| a.available.0),
        sum(|a| a.held.0),
        sum(|a| a.paid.0),
    ];
    writeln!(
        out,
        "deposited {deposited} = available {available} + held {held} + paid {paid}"
    )?;
    writeln!(
        out,
        "tick {}, {} commands decided, state {:016x}",
        house.tick(),
        house.decided(),
        house.hash_anew()
    )
}
