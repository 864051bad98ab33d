//! How the slow model decides a bid, by the kind of sale.

use super::*;
use crate::terms::Dutch;

/// The user who bids on a lot.
#[derive(Clone, Copy)]
struct Bidder {
    user: u64,
    /// The available amount.
    available: u64,
    /// The amount of the user's last offer on the lot; 0 if there is none.
    own: u64,
}

impl Model {
    pub(super) fn bid(&mut self, user: u64, bid: &Bid) -> Result<BidStanding, Reject> {
        if let Action::UpTo(Amount(0)) | Action::Take(Amount(0)) = bid.action {
            return Err(Reject::NotPositive);
        }
        let now = self.now();
        let available = if self.money.contains_key(&user) {
            Some(self.available(user))
        } else {
            None
        };
        let lot = self.lots.get_mut(&bid.lot.0).ok_or(Reject::UnknownLot)?;
        if lot.ended.is_some() {
            return Err(Reject::Closed);
        }
        let available = available.ok_or(Reject::NotRegistered)?;
        if self.denied.get(&user) == Some(&true) {
            return Err(Reject::Denied);
        }
        if lot.terms.seller.0 == user {
            return Err(Reject::Seller);
        }
        let own = lot
            .ranked()
            .iter()
            .find(|(whose, _)| *whose == user)
            .map_or(0, |(_, amount)| *amount);
        let bidder = Bidder {
            user,
            available,
            own,
        };
        match (lot.terms.sale.clone(), bid.action) {
            (Sale::English { reserve, .. }, Action::UpTo(Amount(maximum))) => {
                lot.bid_up_to(bidder, maximum, reserve, now)
            }
            (Sale::English { buy_now, .. }, Action::BuyNow) => lot.buy_now(bidder, buy_now),
            (Sale::Dutch(terms), Action::Take(Amount(limit))) => {
                lot.take(bidder, &terms, limit, now)
            }
            (Sale::Sealed { .. }, Action::UpTo(Amount(amount))) => lot.offer(bidder, amount),
            _ => Err(Reject::WrongSale),
        }
    }
}

impl ModelLot {
    /// A maximum bid in an English sale.
    fn bid_up_to(
        &mut self,
        bidder: Bidder,
        maximum: u64,
        reserve: Option<Amount>,
        now: u64,
    ) -> Result<BidStanding, Reject> {
        let Bidder {
            user,
            available,
            own,
        } = bidder;
        let leads = self.leader().is_some_and(|(leader, _)| leader == user);
        if leads && maximum <= own {
            return Err(Reject::NotRaised(Amount(own)));
        }
        if !leads && maximum < self.least() {
            return Err(Reject::BelowMinimum(Amount(self.least())));
        }
        if available + if leads { own } else { 0 } < maximum {
            return Err(Reject::Funds);
        }
        let before = (self.price(), self.leader().map(|leader| leader.0));
        self.offers.push((user, maximum));
        self.shown = match (leads, reserve.filter(|reserve| maximum >= reserve.0)) {
            (false, _) => self.found_anew().max(self.shown),
            (true, Some(reserve)) => self.shown.max(Some(reserve.0)),
            (true, None) => self.shown,
        };
        let after = (self.price(), self.leader().map(|leader| leader.0));
        if before != after || !leads {
            self.extend(now);
        }
        Ok(if after.1 == Some(user) {
            BidStanding::Leads
        } else {
            BidStanding::Outbid
        })
    }

    /// The purchase of an English lot without bids.
    fn buy_now(&mut self, bidder: Bidder, price: Option<Amount>) -> Result<BidStanding, Reject> {
        match price.filter(|_| self.offers.is_empty()) {
            None => Err(Reject::NoBuyNow),
            Some(price) if price.0 > bidder.available => Err(Reject::Funds),
            Some(price) => {
                self.ended = Some(Some((bidder.user, price.0)));
                Ok(BidStanding::Won)
            }
        }
    }

    /// The purchase of a Dutch lot at its present price, up to a limit.
    fn take(
        &mut self,
        bidder: Bidder,
        terms: &Dutch,
        limit: u64,
        now: u64,
    ) -> Result<BidStanding, Reject> {
        let mut price = terms.start.0;
        (0..(now - self.opened) / u64::from(terms.every))
            .for_each(|_| price = price.saturating_sub(terms.step.0));
        let price = price.max(terms.floor.0);
        if price > limit {
            return Err(Reject::AboveLimit(Amount(price)));
        }
        if price > bidder.available {
            return Err(Reject::Funds);
        }
        self.ended = Some(Some((bidder.user, price)));
        Ok(BidStanding::Won)
    }

    /// An offer in a sealed sale.
    fn offer(&mut self, bidder: Bidder, amount: u64) -> Result<BidStanding, Reject> {
        if amount < self.least() {
            return Err(Reject::BelowMinimum(Amount(self.least())));
        }
        if amount <= bidder.own {
            return Err(Reject::NotRaised(Amount(bidder.own)));
        }
        if bidder.available + bidder.own < amount {
            return Err(Reject::Funds);
        }
        self.offers.push((bidder.user, amount));
        Ok(BidStanding::Sealed)
    }
}
