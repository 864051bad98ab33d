//! Commands of the administrators.

use std::collections::VecDeque;

use truetick_netcode::mutant::{Mutant, is_planted};
use truetick_netcode::session::UserId;

use super::step::Chore;
use super::{Done, House, Output};
use crate::english::English;
use crate::event::{Ending, LotEventKind};
use crate::ledger::AccountIndex;
use crate::limits::LOTS;
use crate::lot::Lot;
use crate::money::Amount;
use crate::order::{Admin, BidStanding, Reject};
use crate::public_lot::PublicTerms;
use crate::terms::{LotId, Terms};

impl House {
    /// Executes an administrator's command. Long work is left in `chores`, which run right after
    /// it.
    pub(super) fn administer(
        &mut self,
        user: UserId,
        admin: &Admin,
        chores: &mut VecDeque<Chore>,
        out: &mut Output,
    ) -> Done {
        if !self.rules.admins.contains(&user) {
            return Err(Reject::NotAdmin);
        }
        match admin {
            Admin::Deposit { user, amount } => {
                let account = self.ledger.meet(*user).ok_or(Reject::Full)?;
                let worth = self.ledger.account(account).deposited;
                if *amount > Amount::MOST || worth.plus(*amount) > Amount::MOST {
                    return Err(Reject::TooLarge);
                }
                self.ledger.deposit(account, *amount);
            }
            Admin::Withdraw { user, amount } => {
                let registered = |index: &AccountIndex| self.ledger.account(*index).registered;
                let account = self
                    .ledger
                    .find(*user)
                    .filter(registered)
                    .ok_or(Reject::NotRegistered)?;
                self.ledger.withdraw(account, *amount)?;
            }
            Admin::Deny { user, denied } => {
                let account = self.ledger.meet(*user).ok_or(Reject::Full)?;
                self.ledger.deny(account, *denied);
                if *denied && !is_planted(Mutant::DeniedLeads) {
                    let lots = self.ledger.account(account).lots().iter();
                    chores.extend(lots.map(|lot| Chore::Retract(*lot, account)));
                }
            }
            Admin::Open { lot, terms } => self.open(*lot, terms, out)?,
            Admin::Cancel { lot } => self.cancel(*lot, out)?,
            Admin::Retract { lot, user } => {
                self.is_open(*lot)?;
                let account = self.ledger.find(*user).ok_or(Reject::NoBid)?;
                self.lots[lot].offers.get(account).ok_or(Reject::NoBid)?;
                chores.push_back(Chore::Retract(*lot, account));
            }
        }
        Ok((BidStanding::Done, 0))
    }

    fn open(&mut self, id: LotId, terms: &Terms, out: &mut Output) -> Result<(), Reject> {
        match () {
            () if self.numbers.check(id) == Err(Reject::LotExists) => {
                return Err(Reject::LotExists);
            }
            () if self.lots.len() == LOTS => return Err(Reject::Full),
            () if !terms.are_valid() => return Err(Reject::BadTerms),
            () => self.numbers.check(id)?,
        }
        let lot = Lot::new(terms.clone(), self.now());
        let (opened, closes, terms) = (lot.opened, lot.closes, PublicTerms::of(terms));
        self.numbers.take(id);
        self.lots.insert(id, lot);
        self.deadlines.insert((closes, id));
        self.tell(
            id,
            LotEventKind::Opened {
                terms,
                opened,
                closes,
            },
            out,
        );
        if let Some(since) = self.paused {
            self.tell(id, LotEventKind::Paused { since }, out);
        }
        Ok(())
    }

    fn is_open(&self, id: LotId) -> Result<(), Reject> {
        match self.lots.get(&id) {
            None => Err(Reject::UnknownLot),
            Some(lot) if lot.ending.is_some() => Err(Reject::Closed),
            Some(_) => Ok(()),
        }
    }

    fn cancel(&mut self, id: LotId, out: &mut Output) -> Result<(), Reject> {
        self.is_open(id)?;
        self.holds(id)
            .into_iter()
            .for_each(|(account, held)| self.ledger.release(account, held));
        self.finish(id, Ending::Cancelled, out);
        Ok(())
    }

    /// Executes one chore and returns its cost in units of work.
    pub(super) fn perform(
        &mut self,
        chore: Chore,
        chores: &mut VecDeque<Chore>,
        out: &mut Output,
    ) -> usize {
        match chore {
            Chore::Retract(lot, account) => self.retract(lot, account, chores),
            Chore::Settle(lot) if self.settle(lot, out) => {}
            Chore::Settle(lot) => chores.push_front(Chore::Settle(lot)),
        }
        1
    }

    /// Removes an account's offer from an open lot, as if the user had never bid.
    fn retract(&mut self, id: LotId, account: AccountIndex, chores: &mut VecDeque<Chore>) {
        self.ledger.forget_lot(account, id);
        let decided = self.decided;
        if self.is_open(id).is_err() {
            return;
        }
        let lot = self.lot_mut(id);
        let Some(offer) = lot.offers.remove(account) else {
            return;
        };
        lot.note([5, decided, u64::from(account.0), 0]);
        if lot.is_sealed() {
            return self.ledger.release(account, offer.amount);
        }
        if let Some(leader) = lot.english.leader.take() {
            self.ledger.release(leader.account, leader.maximum);
        }
        chores.push_front(Chore::Settle(id));
    }

    /// Finds the leader of an English sale after an offer was removed. A leader must have the money
    /// available; an account without it is removed. Returns false if one was removed, so that the
    /// next must be examined.
    fn settle(&mut self, id: LotId, out: &mut Output) -> bool {
        let Some(lot) = self.lots.get(&id) else {
            return true;
        };
        let Some(terms) = lot.english_terms() else {
            return true;
        };
        let standing = English::of(terms, lot.offers.best());
        if let Some(leader) = standing.leader {
            if self.ledger.require(leader.account, leader.maximum).is_err() {
                self.lot_mut(id).offers.remove(leader.account);
                self.ledger.forget_lot(leader.account, id);
                return false;
            }
            self.ledger.hold(leader.account, leader.maximum);
        }
        let lot = self.lot_mut(id);
        lot.english = standing;
        let (leader, price, reserve_met) =
            (lot.leader_alias(), lot.english.price, lot.reserve_met());
        self.tell(
            id,
            LotEventKind::Corrected {
                leader,
                price,
                reserve_met,
            },
            out,
        );
        true
    }
}
