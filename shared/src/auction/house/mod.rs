//! The house: a pure state machine. `(state, tick, orders in their order) -> (state, answers, events)`.
//!
//! It knows no clock, no network and no file. Whoever steps it keeps its output back until the tick's orders are durable.

mod administration;
mod bidding;
mod closing;

use std::collections::{BTreeMap, BTreeSet};

use bitcode::{Decode, Encode};
use truetick_netcode::session::UserId;

use super::event::{Happening, LotEvent};
use super::ledger::{AccountIndex, Kept, Ledger, hash_words};
use super::lot::Lot;
use super::money::Currency;
use super::order::{Answer, ClockOrder, Command, CommandId, Order, Outcome, Receipt, Reject, Stands};
use super::public_lot::{PublicLot, PublicTerms};
use super::terms::LotId;

/// What a house goes by, from its first day on.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct HouseRules {
    /// What it trades in.
    pub currency: Currency,
    /// Who runs it.
    pub admins: Vec<UserId>,
    /// Ticks after a lot's close for which receipts are kept.
    pub retention: u64,
}

/// An answer and whom it is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answered {
    /// Whom.
    pub user: UserId,
    /// To which of the user's commands.
    pub id: CommandId,
    /// What.
    pub answer: Answer,
}

/// What a step says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Output {
    /// One answer for each order, in their order.
    pub answers: Vec<Answered>,
    /// What happened to lots.
    pub events: Vec<LotEvent>,
    /// Lots that are forgotten from now on.
    pub forgotten: Vec<LotId>,
    /// Whether anything but the tick is another than before.
    pub changed: bool,
}

/// See the module.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct House {
    rules: HouseRules,
    tick: u64,
    /// Commands decided so far.
    decided: u64,
    ledger: Ledger,
    lots: BTreeMap<LotId, Lot>,
    deadlines: BTreeSet<(u64, LotId)>,
    /// When closed lots, and their receipts, are forgotten.
    retiring: BTreeSet<(u64, LotId)>,
    /// Receipts of commands about no open lot, by when they are forgotten.
    expiring: BTreeSet<(u64, AccountIndex, CommandId)>,
    /// The last lot that was opened: numbers rise and are never used again.
    newest: Option<LotId>,
    /// Since when the clock stands still.
    paused: Option<u64>,
    touched: BTreeSet<LotId>,
    /// Sum of the hashes of all lots.
    sum: u64,
}

type Done = Result<(Stands, u32), Reject>;

impl House {
    /// A house without lots and accounts.
    pub fn new(rules: HouseRules) -> Self {
        Self {
            rules,
            tick: 0,
            decided: 0,
            ledger: Ledger::default(),
            lots: BTreeMap::new(),
            deadlines: BTreeSet::new(),
            retiring: BTreeSet::new(),
            expiring: BTreeSet::new(),
            newest: None,
            paused: None,
            touched: BTreeSet::new(),
            sum: 0,
        }
    }

    /// What it goes by.
    pub fn rules(&self) -> &HouseRules {
        &self.rules
    }

    /// The last tick that it took.
    pub fn tick(&self) -> u64 {
        self.tick
    }

    /// Commands decided so far.
    pub fn decided(&self) -> u64 {
        self.decided
    }

    /// Accounts.
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// Lots, closed ones included until they are forgotten.
    pub fn lots(&self) -> &BTreeMap<LotId, Lot> {
        &self.lots
    }

    /// Since when the clock stands still, if it does.
    pub fn paused(&self) -> Option<u64> {
        self.paused
    }

    /// Whether any lot is open.
    pub fn has_open_lots(&self) -> bool {
        !self.deadlines.is_empty()
    }

    /// The tick that counts: it stands still while the clock does.
    fn now(&self) -> u64 {
        self.paused.unwrap_or(self.tick)
    }

    /// Takes a tick, later than the last, and its orders: closes what is due, unless the clock stands still, then takes one order
    /// after the other. The clock stops after what is due, and runs on before.
    pub fn step(&mut self, tick: u64, clock: Option<ClockOrder>, orders: &[Order], out: &mut Output) {
        debug_assert!(tick > self.tick, "ticks rise");
        self.tick = tick;
        if clock == Some(ClockOrder::Resume) {
            self.resume(out);
        }
        if self.paused.is_none() {
            self.close_due(out);
        }
        if clock == Some(ClockOrder::Pause) {
            self.pause(out);
        }
        self.forget_due(out);
        out.changed |= clock.is_some() || !orders.is_empty();
        for order in orders {
            let answer = self.take(order, out);
            out.answers.push(Answered { user: order.user, id: order.id, answer });
        }
    }

    fn pause(&mut self, out: &mut Output) {
        if self.paused.is_none() {
            self.paused = Some(self.tick);
            let since = self.tick;
            self.open_lots().into_iter().for_each(|id| self.tell(id, Happening::Paused { since }, out));
        }
    }

    fn resume(&mut self, out: &mut Output) {
        let Some(since) = self.paused.take() else { return };
        let stood = self.tick - since;
        self.deadlines.clear();
        for id in self.open_lots() {
            let lot = self.lot_mut(id);
            lot.opened += stood;
            lot.closes += stood;
            let (opened, closes) = (lot.opened, lot.closes);
            self.deadlines.insert((closes, id));
            self.tell(id, Happening::Resumed { opened, closes }, out);
        }
    }

    fn open_lots(&self) -> Vec<LotId> {
        self.lots.iter().filter(|(_, lot)| lot.ending.is_none()).map(|(id, _)| *id).collect()
    }

    fn lot_mut(&mut self, id: LotId) -> &mut Lot {
        self.touched.insert(id);
        self.lots.get_mut(&id).expect("a lot that was just looked up")
    }

    fn tell(&mut self, id: LotId, what: Happening, out: &mut Output) {
        let tick = self.tick;
        let lot = self.lot_mut(id);
        lot.events += 1;
        out.events.push(LotEvent { lot: id, sequence: lot.events, tick, what });
    }

    fn forget_due(&mut self, out: &mut Output) {
        while let Some((_, id)) = self.retiring.first().copied().filter(|(at, _)| *at <= self.tick) {
            self.retiring.pop_first();
            if let Some(lot) = self.lots.remove(&id) {
                self.touched.remove(&id);
                self.sum = self.sum.wrapping_sub(lot.part);
                out.forgotten.push(id);
                lot.answered.iter().for_each(|(account, command)| self.ledger.forget(*account, *command));
            }
            out.changed = true;
        }
        while let Some((_, account, id)) = self.expiring.first().copied().filter(|(at, ..)| *at <= self.tick)
        {
            self.expiring.pop_first();
            self.ledger.forget(account, id);
            out.changed = true;
        }
    }

    /// One command: once, whoever repeats it gets the same answer.
    fn take(&mut self, order: &Order, out: &mut Output) -> Answer {
        let body = order.command.body_hash();
        let account = self.ledger.meet(order.user);
        if let Some(kept) = account.and_then(|account| self.ledger.receipt(account, order.id)) {
            return if kept.body == body { Answer::Receipt(kept.receipt) } else { Answer::Conflict };
        }
        self.decided += 1;
        let runs = self.rules.admins.contains(&order.user);
        let account = account.filter(|account| runs || self.ledger.has_room(*account));
        let done = match (account, &order.command) {
            (None, _) => Err(Reject::Full),
            (Some(account), Command::Bid(bid)) => self.bid(account, bid, out),
            (Some(_), Command::Admin(admin)) => self.administer(order.user, admin, out),
        };
        let outcome = match done {
            Ok((stands, alias)) => Outcome::Accepted { stands, alias },
            Err(reject) => Outcome::Rejected(reject),
        };
        let number = account.map_or(0, |account| self.ledger.next_number(account));
        let receipt = Receipt { number, tick: self.tick, outcome };
        if let Some(account) = account {
            self.keep(account, order, Kept { body, receipt });
        }
        Answer::Receipt(receipt)
    }

    fn keep(&mut self, account: AccountIndex, order: &Order, kept: Kept) {
        self.ledger.keep(account, order.id, kept);
        let lot = match &order.command {
            Command::Bid(bid) => Some(bid.lot),
            Command::Admin(_) => None,
        };
        match lot.filter(|lot| self.lots.get(lot).is_some_and(|lot| lot.ending.is_none())) {
            Some(lot) => self.lot_mut(lot).answered.push((account, order.id)),
            None => {
                self.expiring.insert((self.tick + self.rules.retention, account, order.id));
            }
        }
    }

    /// A lot as everyone may know it.
    pub fn public(&self, id: LotId) -> Option<PublicLot> {
        let lot = self.lots.get(&id)?;
        Some(PublicLot {
            lot: id,
            sequence: lot.events,
            terms: PublicTerms::of(&lot.terms),
            opened: lot.opened,
            closes: lot.closes,
            paused: self.paused.filter(|_| lot.ending.is_none()),
            price: lot.english.price,
            leader: lot.leader_alias(),
            reserve_met: lot.reserve_met(),
            bids: lot.shown,
            ending: lot.ending.clone(),
        })
    }

    /// Hash of the whole state: two houses with the same go on alike.
    pub fn hash(&mut self) -> u64 {
        for id in std::mem::take(&mut self.touched) {
            if let Some(lot) = self.lots.get_mut(&id) {
                let part = lot.hash(id);
                self.sum = self.sum.wrapping_add(part).wrapping_sub(lot.part);
                lot.part = part;
            }
        }
        let ledger = self.ledger.hash();
        self.hash_with(ledger, self.sum)
    }

    /// The same hash from the beginning: what [`Self::hash`] must come to.
    pub fn hash_anew(&self) -> u64 {
        let lots = self.lots.iter().map(|(id, lot)| lot.hash(*id));
        self.hash_with(self.ledger.hash_anew(), lots.fold(0, u64::wrapping_add))
    }

    fn hash_with(&self, ledger: u64, lots: u64) -> u64 {
        let paused = self.paused.map_or(0, |since| since + 1);
        let newest = self.newest.map_or(0, |newest| u64::from(newest.0) + 1);
        hash_words(&[ledger, lots, self.tick, self.decided, paused, newest])
    }
}
