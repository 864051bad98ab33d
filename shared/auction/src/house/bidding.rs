//! Execution of bids.

use super::{Done, House, Output};
use crate::event::{Ending, LotEventKind};
use crate::ledger::AccountIndex;
use crate::limits::SEALED_BIDDERS;
use crate::money::Amount;
use crate::offers::Offer;
use crate::order::{Action, Bid, BidStanding, Reject};
use crate::terms::{LotId, Sale};

impl House {
    pub(super) fn bid(&mut self, account: AccountIndex, bid: &Bid, out: &mut Output) -> Done {
        let Bid {
            lot: id,
            action,
            currency,
            ..
        } = *bid;
        match action {
            Action::UpTo(Amount::ZERO) | Action::Take(Amount::ZERO) => {
                return Err(Reject::NotPositive);
            }
            Action::UpTo(amount) | Action::Take(amount) if amount > Amount::MOST => {
                return Err(Reject::TooLarge);
            }
            _ if currency != self.rules.currency => return Err(Reject::WrongCurrency),
            _ => {}
        }
        let bidder = self.ledger.account(account);
        let lot = self.lots.get(&id).ok_or(Reject::UnknownLot)?;
        match () {
            () if lot.ending.is_some() => return Err(Reject::Closed),
            () if !bidder.registered => return Err(Reject::NotRegistered),
            () if bidder.denied => return Err(Reject::Denied),
            () if lot.terms.seller == bidder.user => return Err(Reject::Seller),
            () => {}
        }
        match (&lot.terms.sale, action) {
            (Sale::English { .. }, Action::UpTo(maximum)) => {
                self.bid_english(account, id, maximum, out)
            }
            (Sale::English { buy_now, .. }, Action::BuyNow) => {
                let price = buy_now
                    .filter(|_| lot.english.leader.is_none())
                    .ok_or(Reject::NoBuyNow)?;
                self.buy(account, id, price, out)
            }
            (Sale::Dutch(dutch), Action::Take(limit)) => {
                let price = dutch.price(self.now().saturating_sub(lot.opened));
                if price > limit {
                    Err(Reject::AboveLimit(price))
                } else {
                    self.buy(account, id, price, out)
                }
            }
            (Sale::Sealed { minimum, .. }, Action::UpTo(amount)) => {
                let minimum = *minimum;
                self.bid_sealed(account, id, amount, minimum)
            }
            _ => Err(Reject::WrongSale),
        }
    }

    fn bid_english(
        &mut self,
        account: AccountIndex,
        id: LotId,
        maximum: Amount,
        out: &mut Output,
    ) -> Done {
        let (now, decided) = (self.now(), self.decided);
        let lot = &self.lots[&id];
        let before = lot.english.leader;
        let terms = lot.english_terms().ok_or(Reject::WrongSale)?;
        let raised = lot.english.bid(terms, account, maximum)?;
        let own = before.filter(|leader| leader.account == account);
        self.ledger.require(
            account,
            maximum.minus(own.map_or(Amount::ZERO, |leader| leader.maximum)),
        )?;
        let leads = raised
            .standing
            .leader
            .is_some_and(|leader| leader.account == account);
        if leads {
            if let Some(leader) = before {
                self.ledger.release(leader.account, leader.maximum);
            }
            self.ledger.hold(account, maximum);
        }
        let lot = self.lot_mut(id);
        lot.english = raised.standing;
        lot.offers.put(
            account,
            Offer {
                amount: maximum,
                order: decided,
            },
        );
        lot.note([2, decided, u64::from(account.0), maximum.0]);
        let alias = lot.alias(account);
        self.ledger.note_lot(account, id);
        if raised.visible {
            self.show_bid(id, alias, now, out);
        }
        Ok((
            if leads {
                BidStanding::Leads
            } else {
                BidStanding::Outbid
            },
            alias,
        ))
    }

    /// Publishes a bid that everyone sees. It may move the close.
    fn show_bid(&mut self, id: LotId, bidder: u32, now: u64, out: &mut Output) {
        let lot = self.lot_mut(id);
        let before = lot.closes;
        lot.extend(now);
        lot.shown += 1;
        let (closes, price, reserve_met) = (lot.closes, lot.english.price, lot.reserve_met());
        let leader = lot.leader_alias();
        if closes != before {
            self.deadlines.remove(&(before, id));
            self.deadlines.insert((closes, id));
        }
        if let Some((leader, price)) = leader.zip(price) {
            self.tell(
                id,
                LotEventKind::Bid {
                    bidder,
                    leader,
                    price,
                    reserve_met,
                    closes,
                },
                out,
            );
        }
    }

    fn bid_sealed(
        &mut self,
        account: AccountIndex,
        id: LotId,
        amount: Amount,
        minimum: Amount,
    ) -> Done {
        let order = self.decided;
        let lot = &self.lots[&id];
        if amount < minimum {
            return Err(Reject::BelowMinimum(minimum));
        }
        let before = lot
            .offers
            .get(account)
            .map_or(Amount::ZERO, |offer| offer.amount);
        if amount <= before {
            return Err(Reject::NotRaised(before));
        }
        // The best offers are kept; of equal offers the earlier ranks higher.
        let is_full = before == Amount::ZERO && lot.offers.len() == SEALED_BIDDERS;
        let displaced = lot.offers.worst().filter(|_| is_full);
        if displaced.is_some_and(|(_, worst)| amount <= worst) {
            return Err(Reject::Full);
        }
        self.ledger.require(account, amount.minus(before))?;
        if let Some((loser, held)) = displaced {
            let lot = self.lot_mut(id);
            lot.offers.remove(loser);
            lot.note([6, order, u64::from(loser.0), held.0]);
            self.ledger.release(loser, held);
            self.ledger.forget_lot(loser, id);
        }
        self.ledger.hold(account, amount.minus(before));
        let lot = self.lot_mut(id);
        lot.offers.put(account, Offer { amount, order });
        lot.note([3, order, u64::from(account.0), amount.0]);
        let alias = lot.sealed_alias(account);
        self.ledger.note_lot(account, id);
        Ok((BidStanding::Sealed, alias))
    }

    /// Sells a lot at once at its public price.
    fn buy(&mut self, account: AccountIndex, id: LotId, price: Amount, out: &mut Output) -> Done {
        self.ledger.require(account, price)?;
        self.ledger.hold(account, price);
        self.ledger.settle(account, price, price);
        let decided = self.decided;
        let lot = self.lot_mut(id);
        lot.note([4, decided, u64::from(account.0), price.0]);
        let winner = lot.alias(account);
        self.finish(id, Ending::Sold { winner, price }, out);
        Ok((BidStanding::Won, winner))
    }
}
