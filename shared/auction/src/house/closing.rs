//! Closing of lots.

use super::{House, Output};
use crate::event::{Ending, LotEventKind};
use crate::ledger::AccountIndex;
use crate::lot::Lot;
use crate::money::Amount;
use crate::offers::BestOffers;
use crate::terms::{LotId, Pricing, Sale};

/// To whom a lot is sold, and for how much.
#[derive(Clone, Copy)]
struct Sold {
    winner: AccountIndex,
    price: Amount,
}

impl House {
    /// Closes the next due lot and returns the cost of that. `None` if no lot is due or the clock
    /// is paused.
    pub(super) fn close_due(&mut self, out: &mut Output) -> Option<usize> {
        let due = self
            .deadlines
            .first()
            .copied()
            .filter(|(at, _)| *at <= self.tick && self.paused.is_none());
        let (_, id) = due?;
        let lot = self.lots.get(&id);
        let (sold, holds) = (lot.and_then(best), lot.map_or(0, |lot| lot.holds().count()));
        self.end(id, sold, out);
        Some(1 + holds)
    }

    /// Ends a lot: pays for it if it is sold, and releases all other holds.
    fn end(&mut self, id: LotId, sold: Option<Sold>, out: &mut Output) {
        for (account, held) in self.holds(id) {
            match sold.filter(|sold| sold.winner == account) {
                Some(sold) => self.ledger.settle(account, held, sold.price),
                None => self.ledger.release(account, held),
            }
        }
        let ending = match sold {
            Some(Sold { winner, price }) => Ending::Sold {
                winner: self.lot_mut(id).alias(winner),
                price,
            },
            None => Ending::Unsold,
        };
        self.finish(id, ending, out);
    }

    /// Returns the amounts held for a lot, by account.
    pub(super) fn holds(&self, id: LotId) -> Vec<(AccountIndex, Amount)> {
        self.lots
            .get(&id)
            .map_or(Vec::new(), |lot| lot.holds().collect())
    }

    /// Records the ending of a lot and schedules its removal.
    pub(super) fn finish(&mut self, id: LotId, ending: Ending, out: &mut Output) {
        let (tick, retention) = (self.tick, self.rules.retention);
        let lot = self.lot_mut(id);
        let closes = lot.closes;
        lot.ending = Some(ending.clone());
        lot.note([1, tick, 0, 0]);
        let revealed = if ending == Ending::Cancelled {
            Vec::new()
        } else {
            lot.revealed()
        };
        self.deadlines.remove(&(closes, id));
        self.retiring.insert((tick.saturating_add(retention), id));
        self.tell(id, LotEventKind::Ended { ending, revealed }, out);
    }
}

/// Returns the winner and the price, or `None` if the best bid does not suffice.
fn best(lot: &Lot) -> Option<Sold> {
    let Sale::Sealed {
        minimum,
        reserve,
        pricing,
    } = &lot.terms.sale
    else {
        let leader = lot.english.leader.filter(|_| lot.reserve_met())?;
        return Some(Sold {
            winner: leader.account,
            price: lot.english.price?,
        });
    };
    let BestOffers { first, second } = lot.offers.best()?;
    if reserve.is_some_and(|reserve| first.maximum < reserve) {
        return None;
    }
    let price = match pricing {
        Pricing::First => first.maximum,
        Pricing::Second => second
            .unwrap_or_default()
            .max(reserve.unwrap_or_default())
            .max(*minimum),
    };
    Some(Sold {
        winner: first.account,
        price,
    })
}
