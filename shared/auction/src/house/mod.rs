//! The house: a pure state machine, `(state, tick, ordered commands) -> (state, answers, events)`.
//!
//! It uses no clock, no network and no file. Its caller withholds the output of a tick until the
//! tick's orders are durable.

mod administration;
mod bidding;
mod closing;
mod forgetting;
mod step;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use bitcode::{Decode, Encode};
use truetick_netcode::mutant::{Mutant, is_planted};
use truetick_netcode::session::UserId;

use super::event::{LotEvent, LotEventKind};
use super::ledger::{AccountIndex, Kept, Ledger, hash_words};
use super::lot::Lot;
use super::lot_numbers::LotNumbers;
use super::money::Currency;
use super::order::{
    Admin, Answer, BidStanding, Command, CommandId, Order, Outcome, Receipt, Reject,
};
use super::public_lot::{PublicLot, PublicTerms};
use super::terms::LotId;
use step::Chore;
pub use step::Step;

/// Version of the rules by which a house decides. A journal of another version is not continued.
/// Version 2: answers to administrators' commands are kept for ever, a lot may have any unused
/// number, the best sealed offers are kept, and denied users lead nothing.
pub const RULES: u32 = 2;

/// The rules of a house, fixed when it is created.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct HouseRules {
    /// Currency of all amounts.
    pub currency: Currency,
    /// Users who may administer the house.
    pub admins: Vec<UserId>,
    /// Ticks after a lot's close for which its receipts are kept. Receipts of administrators'
    /// commands are kept for ever.
    pub retention: u64,
}

/// An answer and its recipient.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answered {
    /// User who gave the command.
    pub user: UserId,
    /// The user's name of the command.
    pub id: CommandId,
    /// The answer to the command.
    pub answer: Answer,
}

/// The output of a step.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Output {
    /// One answer per order, in the order of the orders.
    pub answers: Vec<Answered>,
    /// Events of lots.
    pub events: Vec<LotEvent>,
    /// Lots that were removed.
    pub forgotten: Vec<LotId>,
    /// Whether the step changed anything but the tick.
    pub changed: bool,
}

/// The state of an auction house: accounts, lots, receipts and the clock.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct House {
    rules: HouseRules,
    tick: u64,
    /// Commands decided so far.
    decided: u64,
    ledger: Ledger,
    lots: BTreeMap<LotId, Lot>,
    deadlines: BTreeSet<(u64, LotId)>,
    /// Closed lots by the tick at which they and their receipts are removed.
    retiring: BTreeSet<(u64, LotId)>,
    /// Receipts of commands on no open lot, by the tick at which they are removed.
    expiring: BTreeSet<(u64, AccountIndex, CommandId)>,
    /// The numbers of all lots ever opened.
    numbers: LotNumbers,
    /// Removed lots of which receipts, offers or aliases are left.
    waste: Vec<(LotId, Lot)>,
    /// Tick at which the clock was paused, while it is.
    paused: Option<u64>,
    touched: BTreeSet<LotId>,
    /// Sum of the last computed hashes of all lots.
    sum: u64,
}

type Done = Result<(BidStanding, u32), Reject>;

impl House {
    /// Creates a house without lots and accounts.
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
            numbers: LotNumbers::default(),
            waste: Vec::new(),
            paused: None,
            touched: BTreeSet::new(),
            sum: 0,
        }
    }

    /// Returns the rules of the house.
    pub fn rules(&self) -> &HouseRules {
        &self.rules
    }

    /// Returns the last tick.
    pub fn tick(&self) -> u64 {
        self.tick
    }

    /// Returns the number of commands decided so far.
    pub fn decided(&self) -> u64 {
        self.decided
    }

    /// Returns the accounts.
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// Returns all lots, including closed ones that are not removed yet.
    pub fn lots(&self) -> &BTreeMap<LotId, Lot> {
        &self.lots
    }

    /// Returns the tick at which the clock was paused, or `None` while it runs.
    pub fn paused(&self) -> Option<u64> {
        self.paused
    }

    /// Returns whether any lot is open.
    pub fn has_open_lots(&self) -> bool {
        !self.deadlines.is_empty()
    }

    /// The current tick of the auction's clock, which is constant during a pause.
    fn now(&self) -> u64 {
        self.paused.unwrap_or(self.tick)
    }

    fn lot_mut(&mut self, id: LotId) -> &mut Lot {
        self.touched.insert(id);
        self.lots
            .get_mut(&id)
            .expect("a lot that was just looked up")
    }

    fn tell(&mut self, id: LotId, what: LotEventKind, out: &mut Output) {
        let tick = self.tick;
        let lot = self.lot_mut(id);
        lot.events += 1;
        out.events.push(LotEvent {
            lot: id,
            sequence: lot.events,
            tick,
            what,
        });
    }

    /// Executes a command once. A repetition returns the first answer.
    fn take(
        &mut self,
        order: &Order,
        chores: &mut VecDeque<Chore>,
        out: &mut Output,
    ) -> (Answer, usize) {
        let body = order.command.body_hash();
        let account = self.ledger.meet(order.user);
        if let Some(kept) = account.and_then(|account| self.ledger.receipt(account, order.id)) {
            let answer = if kept.body == body {
                Answer::Receipt(kept.receipt)
            } else {
                Answer::Conflict
            };
            return (answer, 1);
        }
        self.decided += 1;
        let has_room = |account: &AccountIndex| match self.lasts(order) {
            true => self.ledger.has_room_for_ever(),
            false => self.rules.admins.contains(&order.user) || self.ledger.has_room(*account),
        };
        let account = account.filter(has_room);
        let mut work = 1;
        let done = match (account, &order.command) {
            (None, _) => Err(Reject::Full),
            (Some(account), Command::Bid(bid)) => self.bid(account, bid, out),
            (Some(_), Command::Admin(admin)) => {
                if let Admin::Cancel { lot } = admin {
                    work += self.lots.get(lot).map_or(0, |lot| lot.holds().count());
                }
                self.administer(order.user, admin, chores, out)
            }
        };
        let outcome = match done {
            Ok((stands, alias)) => Outcome::Accepted { stands, alias },
            Err(reject) => Outcome::Rejected(reject),
        };
        let number = account.map_or(0, |account| self.ledger.next_number(account));
        let receipt = Receipt {
            number,
            tick: self.tick,
            outcome,
        };
        if let Some(account) = account {
            self.keep(account, order, Kept { body, receipt });
        }
        (Answer::Receipt(receipt), work)
    }

    /// Whether the answer to a command is kept for ever. Administrators' commands move money, so
    /// even a late repetition must not take effect again.
    fn lasts(&self, order: &Order) -> bool {
        let administers = matches!(order.command, Command::Admin(_));
        administers && self.rules.admins.contains(&order.user) && !is_planted(Mutant::ForgetMoney)
    }

    /// Returns whether the answer to a user's command is kept.
    pub fn knows(&self, user: UserId, id: CommandId) -> bool {
        self.ledger
            .find(user)
            .is_some_and(|account| self.ledger.receipt(account, id).is_some())
    }

    fn keep(&mut self, account: AccountIndex, order: &Order, kept: Kept) {
        if self.lasts(order) {
            return self.ledger.keep_for_ever(account, order.id, kept);
        }
        self.ledger.keep(account, order.id, kept);
        let lot = match &order.command {
            Command::Bid(bid) => Some(bid.lot),
            Command::Admin(_) => None,
        };
        match lot.filter(|lot| self.lots.get(lot).is_some_and(|lot| lot.ending.is_none())) {
            Some(lot) => self.lot_mut(lot).answered.push((account, order.id)),
            None => {
                let at = self.tick.saturating_add(self.rules.retention);
                self.expiring.insert((at, account, order.id));
            }
        }
    }

    /// Returns the public state of a lot, or `None` if there is no such lot.
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

    /// Returns a hash of the whole state, updated incrementally. Houses of equal hash continue
    /// alike.
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

    /// Computes the hash from the whole state. It must equal [`Self::hash`].
    pub fn hash_anew(&self) -> u64 {
        let lots = self.lots.iter().map(|(id, lot)| lot.hash(*id));
        self.hash_with(self.ledger.hash_anew(), lots.fold(0, u64::wrapping_add))
    }

    fn hash_with(&self, ledger: u64, lots: u64) -> u64 {
        let paused = self.paused.map_or(0, |since| since + 1);
        let waste = self.waste.len() as u64;
        hash_words(&[
            ledger,
            lots,
            self.tick,
            self.decided,
            paused,
            self.numbers.hash(),
            waste,
        ])
    }
}
