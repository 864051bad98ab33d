//! Reads a journal entry by entry and checks every invariant of a house and its money.

use std::collections::BTreeMap;

use truetick_auction::event::{Ending, LotEvent, LotEventKind};
use truetick_auction::house::House;
use truetick_auction::ledger::AccountIndex;
use truetick_auction::money::Amount;
use truetick_auction::order::{Answer, Command, CommandId, Receipt};
use truetick_auction::terms::LotId;
use truetick_netcode::session::UserId;

use super::entry::{Entry, HouseReplica, TickRecord};
use crate::journal::{Entries, Replica};

/// Maximum number of findings; later ones are dropped.
const FINDINGS: usize = 100;

/// An audit of a journal: a replica that checks every invariant as it reads.
#[derive(Clone, Debug, Default)]
pub struct Audit {
    replica: HouseReplica,
    /// Number of entries read.
    pub entries: u64,
    /// Number of commands read, including repeats.
    pub commands: u64,
    /// Number of times that a server began to run the house.
    pub openings: u32,
    /// The events of all lots.
    pub events: BTreeMap<LotId, Vec<LotEvent>>,
    /// The receipt of each command.
    pub receipts: BTreeMap<(UserId, CommandId), Receipt>,
    /// Sum of the prices of sold lots.
    pub sold: u128,
    /// Violations found, in words.
    pub findings: Vec<String>,
    /// Whether the audit began at a snapshot, without the entries before.
    from_snapshot: bool,
    last_ms: u64,
    /// The last tick, and the milliseconds before which it decided orders.
    closed: (u64, u64),
    decided: BTreeMap<UserId, u64>,
}

impl Audit {
    /// The house after the last entry; `None` before it is founded.
    pub fn house(&self) -> Option<&House> {
        self.replica.house()
    }

    fn find(&mut self, finding: String) {
        if self.findings.len() < FINDINGS {
            self.findings.push(finding);
        }
    }

    fn look_at(&mut self, entry: &Entry) {
        let Entry::Tick(record) = entry else { return };
        self.commands += record.orders.len() as u64;
        self.check_ticks_orders(record);
        for order in &record.orders {
            if order.at_ms < self.last_ms {
                self.find(format!(
                    "tick {}: an order of {} ms comes late",
                    record.tick, order.at_ms
                ));
            }
            self.last_ms = order.at_ms;
        }
        let ordered = record
            .orders
            .windows(2)
            .all(|pair| pair[0].place() <= pair[1].place());
        if !ordered {
            self.find(format!("tick {}: its orders are out of order", record.tick));
        }
        let out = self.replica.last_output().clone();
        for (answered, order) in out.answers.into_iter().zip(&record.orders) {
            let Answer::Receipt(receipt) = answered.answer else {
                continue;
            };
            let administers = matches!(order.command, Command::Admin(_));
            self.look_at_receipt(
                answered.user,
                answered.id,
                receipt,
                record.tick,
                administers,
            );
        }
        out.events
            .into_iter()
            .for_each(|event| self.look_at_event(event));
        self.check_money(record.tick);
        self.check_denied(record.tick);
    }

    /// Checks that a tick decides the orders of its own milliseconds only, so that an order before
    /// a close is decided before it.
    fn check_ticks_orders(&mut self, record: &TickRecord) {
        let (tick, before_ms) = self.closed;
        let from_ms = if tick == record.tick { 0 } else { before_ms };
        let foreign = record
            .orders
            .iter()
            .find(|order| !(from_ms..record.before_ms).contains(&order.at_ms));
        if let Some(order) = foreign {
            let (at_ms, now) = (order.at_ms, record.tick);
            self.find(format!(
                "tick {now}: an order of {at_ms} ms belongs to another tick"
            ));
        }
        self.closed = (record.tick, record.before_ms);
    }

    /// Checks that no user who may not bid leads an open lot.
    fn check_denied(&mut self, tick: u64) {
        let Some(house) = self.replica.house() else {
            return;
        };
        let is_denied = |account: AccountIndex| house.ledger().account(account).denied;
        let mut open = house.lots().iter().filter(|(_, lot)| lot.ending.is_none());
        let led = open.find(|(_, lot)| {
            lot.english
                .leader
                .is_some_and(|leader| is_denied(leader.account))
        });
        if let Some(lot) = led.map(|(id, _)| *id) {
            self.find(format!(
                "tick {tick}: {lot:?} is led by a user who may not bid"
            ));
        }
    }

    /// Checks that a command is decided once (an administrator's for ever), and that each user's
    /// decisions are numbered without a gap.
    fn look_at_receipt(
        &mut self,
        user: UserId,
        id: CommandId,
        receipt: Receipt,
        tick: u64,
        administers: bool,
    ) {
        let key = (user, id);
        let runs = |house: &House| house.rules().admins.contains(&user);
        let lasts = administers && self.house().is_some_and(runs);
        let retention = self.house().map_or(0, |house| house.rules().retention);
        let last = self.decided.get(&user).copied();
        if receipt.tick == tick && receipt.number > last.unwrap_or(0) {
            if last.is_some_and(|last| receipt.number != last + 1) {
                self.find(format!(
                    "{:?}: decision {} follows decision {last:?}",
                    user, receipt.number
                ));
            }
            self.decided.insert(user, receipt.number);
            if let Some(before) = self.receipts.insert(key, receipt)
                && (lasts || tick <= before.tick.saturating_add(retention))
            {
                self.find(format!(
                    "{key:?} was decided twice: {before:?}, {receipt:?}"
                ));
            }
        } else if receipt.number > 0
            && self
                .receipts
                .get(&key)
                .is_some_and(|before| *before != receipt)
        {
            self.find(format!(
                "{key:?} was told something else than before: {receipt:?}"
            ));
        }
    }

    fn look_at_event(&mut self, event: LotEvent) {
        let events = self.events.entry(event.lot).or_default();
        let expected = events.last().map_or(1, |last| last.sequence + 1);
        let over = events
            .last()
            .is_some_and(|last| matches!(last.what, LotEventKind::Ended { .. }));
        if let LotEventKind::Ended {
            ending: Ending::Sold { price, .. },
            ..
        } = &event.what
        {
            self.sold += u128::from(price.0);
        }
        let gap = event.sequence != expected && !(self.from_snapshot && events.is_empty());
        let (lot, sequence) = (event.lot, event.sequence);
        events.push(event);
        if gap {
            self.find(format!(
                "{lot:?}: event {sequence} comes where {expected} is due"
            ));
        }
        if over {
            self.find(format!("{lot:?}: event {sequence} comes after its end"));
        }
    }

    /// Checks that the ledger is balanced: no money appears or disappears.
    fn check_money(&mut self, tick: u64) {
        let Some(house) = self.replica.house() else {
            return;
        };
        let unbalanced = house
            .ledger()
            .accounts()
            .iter()
            .find(|account| !account.is_balanced());
        if let Some(user) = unbalanced.map(|account| account.user) {
            self.find(format!(
                "tick {tick}: the account of {user:?} does not balance"
            ));
        }
    }

    /// Checks what must hold after the last entry.
    pub fn finish(&mut self) {
        let Some(house) = self.replica.house() else {
            return;
        };
        let mut findings = Vec::new();
        let mut held = vec![0; house.ledger().accounts().len()];
        let mut hold = |index: usize, amount: Amount| held[index] += u128::from(amount.0);
        for lot in house.lots().values().filter(|lot| lot.ending.is_none()) {
            lot.holds()
                .for_each(|(account, amount)| hold(account.0 as usize, amount));
            let mut offers = lot
                .offers
                .iter()
                .map(|(account, _)| house.ledger().account(account));
            if let Some(account) = offers.find(|account| account.denied) {
                findings.push(format!(
                    "{:?} may not bid, but an open lot has an offer of that user",
                    account.user
                ));
            }
        }
        let mut paid = 0;
        for (account, held) in house.ledger().accounts().iter().zip(held) {
            paid += u128::from(account.paid.0);
            if u128::from(account.held.0) != held {
                findings.push(format!(
                    "{:?}: {} is held, but {held} stands behind bids",
                    account.user, account.held.0
                ));
            }
        }
        if !self.from_snapshot && paid != self.sold {
            findings.push(format!(
                "{paid} was paid, but lots were sold for {}",
                self.sold
            ));
        }
        for lot in self.replica.public_book().lots() {
            if house.public(lot.lot).as_ref() != Some(lot) {
                findings.push(format!(
                    "{:?}: what its events say is not how it stands",
                    lot.lot
                ));
            }
        }
        findings.into_iter().for_each(|finding| self.find(finding));
    }
}

impl Entries for Audit {
    fn entry(&mut self, entry: &[u8]) -> Result<(), String> {
        let entry =
            bitcode::decode(entry).map_err(|_| "it cannot be decoded: another version wrote it")?;
        self.replica.apply(&entry)?;
        self.entries += 1;
        self.openings = self.replica.epoch();
        self.look_at(&entry);
        Ok(())
    }
}

impl Replica for Audit {
    fn restore(&mut self, state: &[u8]) -> Result<(), String> {
        self.from_snapshot = true;
        self.replica.restore(state)
    }

    fn snapshot(&mut self) -> Vec<u8> {
        self.replica.snapshot()
    }
}
