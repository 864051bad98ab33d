//! What those who run the house do.

use truetick_netcode::session::UserId;

use super::{Done, House, Output};
use crate::auction::english::English;
use crate::auction::event::{Ending, Happening};
use crate::auction::ledger::AccountIndex;
use crate::auction::limits::LOTS;
use crate::auction::lot::Lot;
use crate::auction::money::Amount;
use crate::auction::order::{Admin, Reject, Stands};
use crate::auction::public_lot::PublicTerms;
use crate::auction::terms::{LotId, Terms};

impl House {
    pub(super) fn administer(&mut self, user: UserId, admin: &Admin, out: &mut Output) -> Done {
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
                let account = self.ledger.find(*user).filter(registered).ok_or(Reject::NotRegistered)?;
                self.ledger.withdraw(account, *amount)?;
            }
            Admin::Deny { user, denied } => {
                let account = self.ledger.meet(*user).ok_or(Reject::Full)?;
                self.ledger.deny(account, *denied);
            }
            Admin::Open { lot, terms } => self.open(*lot, terms, out)?,
            Admin::Cancel { lot } => self.cancel(*lot, out)?,
            Admin::Retract { lot, user } => self.retract(*lot, *user, out)?,
        }
        Ok((Stands::Done, 0))
    }

    fn open(&mut self, id: LotId, terms: &Terms, out: &mut Output) -> Result<(), Reject> {
        match () {
            () if self.newest.is_some_and(|newest| id <= newest) => return Err(Reject::LotExists),
            () if self.lots.len() == LOTS => return Err(Reject::Full),
            () if !terms.are_valid() => return Err(Reject::BadTerms),
            () => {}
        }
        let lot = Lot::new(terms.clone(), self.now());
        let (opened, closes, terms) = (lot.opened, lot.closes, PublicTerms::of(terms));
        self.newest = Some(id);
        self.lots.insert(id, lot);
        self.deadlines.insert((closes, id));
        self.tell(id, Happening::Opened { terms, opened, closes }, out);
        if let Some(since) = self.paused {
            self.tell(id, Happening::Paused { since }, out);
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
        self.holds(id).into_iter().for_each(|(account, held)| self.ledger.release(account, held));
        self.finish(id, Ending::Cancelled, out);
        Ok(())
    }

    /// The sale stands as if the user had never bid. Whoever leads then must have the money for it: who has not is passed over.
    fn retract(&mut self, id: LotId, user: UserId, out: &mut Output) -> Result<(), Reject> {
        self.is_open(id)?;
        let account = self.ledger.find(user).ok_or(Reject::NoBid)?;
        let decided = self.decided;
        let lot = self.lot_mut(id);
        if let Some(bid) = lot.sealed.remove(&account) {
            lot.note([5, decided, u64::from(account.0), 0]);
            self.ledger.release(account, bid.amount);
            return Ok(());
        }
        if !lot.bids.iter().any(|bid| bid.account == account) {
            return Err(Reject::NoBid);
        }
        lot.note([5, decided, u64::from(account.0), 0]);
        lot.bids.retain(|bid| bid.account != account);
        if let Some(leader) = lot.english.leader.take() {
            self.ledger.release(leader.account, leader.maximum);
        }
        let (standing, left_out) = self.standing(id)?;
        if let Some(leader) = standing.leader {
            self.ledger.hold(leader.account, leader.maximum);
        }
        let lot = self.lot_mut(id);
        lot.bids.retain(|bid| !left_out.contains(&bid.account));
        lot.english = standing;
        let (leader, price, reserve_met) = (lot.leader_alias(), lot.english.price, lot.reserve_met());
        self.tell(id, Happening::Corrected { leader, price, reserve_met }, out);
        Ok(())
    }

    /// How a sale stands by its bids, and who has not the money for theirs any more.
    fn standing(&self, id: LotId) -> Result<(English, Vec<AccountIndex>), Reject> {
        let lot = self.lots.get(&id).ok_or(Reject::UnknownLot)?;
        let (terms, mut left_out) = (lot.english_terms().ok_or(Reject::WrongSale)?, Vec::new());
        loop {
            let standing = English::of(terms, &lot.maxima(&left_out));
            match standing.leader {
                Some(leader) if self.ledger.require(leader.account, leader.maximum).is_err() => {
                    left_out.push(leader.account);
                }
                _ => return Ok((standing, left_out)),
            }
        }
    }
}
