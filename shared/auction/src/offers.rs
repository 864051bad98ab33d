//! The offers on a lot: the latest of each bidder, ranked. The size grows with the number of
//! bidders, not of bids.

use std::collections::{BTreeMap, BTreeSet};

use bitcode::{Decode, Encode};

use super::english::Leader;
use super::ledger::AccountIndex;
use super::money::Amount;

/// A bidder's offer: the maximum in an English sale, the amount in a sealed one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Offer {
    /// Amount of the offer.
    pub amount: Amount,
    /// Position of the offer in the order of all commands: of equal offers the earlier ranks
    /// higher.
    pub order: u64,
}

impl Offer {
    /// Sort key that puts better offers first.
    fn rank(self, account: AccountIndex) -> (u64, u64, AccountIndex) {
        (u64::MAX - self.amount.0, self.order, account)
    }
}

/// The offers that decide the price of a lot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BestOffers {
    /// The best offer and its account.
    pub first: Leader,
    /// Amount of the second best offer; `None` if there is only one.
    pub second: Option<Amount>,
}

/// The offers on a lot, by account and by rank.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct Offers {
    by_account: BTreeMap<AccountIndex, Offer>,
    ranked: BTreeSet<(u64, u64, AccountIndex)>,
    /// Number of offers taken so far, raises included.
    taken: u64,
}

impl Offers {
    /// Returns the number of bidders with an offer.
    pub fn len(&self) -> usize {
        self.by_account.len()
    }

    /// Returns whether there is no offer.
    pub fn is_empty(&self) -> bool {
        self.by_account.is_empty()
    }

    /// Returns the number of offers taken so far, raises included.
    pub fn taken(&self) -> u64 {
        self.taken
    }

    /// Returns a bidder's offer.
    pub fn get(&self, account: AccountIndex) -> Option<Offer> {
        self.by_account.get(&account).copied()
    }

    /// Returns all offers in the order of accounts.
    pub fn iter(&self) -> impl Iterator<Item = (AccountIndex, Offer)> {
        self.by_account
            .iter()
            .map(|(account, offer)| (*account, *offer))
    }

    /// Sets a bidder's offer and replaces the earlier one.
    pub fn put(&mut self, account: AccountIndex, offer: Offer) {
        self.remove(account);
        self.taken += 1;
        self.ranked.insert(offer.rank(account));
        self.by_account.insert(account, offer);
    }

    /// Removes and returns a bidder's offer.
    pub fn remove(&mut self, account: AccountIndex) -> Option<Offer> {
        let offer = self.by_account.remove(&account)?;
        self.ranked.remove(&offer.rank(account));
        Some(offer)
    }

    /// Removes an arbitrary offer and returns its account. It serves the gradual removal of old
    /// lots.
    pub fn pop(&mut self) -> Option<AccountIndex> {
        let (account, offer) = self.by_account.pop_last()?;
        self.ranked.remove(&offer.rank(account));
        Some(account)
    }

    /// Returns the best offer and the amount of the second best; `None` without offers. Of equal
    /// offers the earlier is better.
    pub fn best(&self) -> Option<BestOffers> {
        let mut ranked = self
            .ranked
            .iter()
            .map(|(rank, _, account)| (*account, Amount(u64::MAX - rank)));
        let (account, maximum) = ranked.next()?;
        Some(BestOffers {
            first: Leader { account, maximum },
            second: ranked.next().map(|(_, amount)| amount),
        })
    }

    /// Returns the offer that a better one would displace: the lowest, and of equal ones the
    /// latest.
    pub fn worst(&self) -> Option<(AccountIndex, Amount)> {
        self.ranked
            .last()
            .map(|(rank, _, account)| (*account, Amount(u64::MAX - rank)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offers_are_ranked_by_amount_then_order_and_each_bidder_has_one() {
        let mut offers = Offers::default();
        for (account, amount, order) in [(1, 50, 1), (2, 80, 2), (3, 80, 3), (1, 60, 4), (4, 60, 5)]
        {
            offers.put(
                AccountIndex(account),
                Offer {
                    amount: Amount(amount),
                    order,
                },
            );
        }
        let leader = Leader {
            account: AccountIndex(2),
            maximum: Amount(80),
        };
        let best = BestOffers {
            first: leader,
            second: Some(Amount(80)),
        };
        assert_eq!(offers.best(), Some(best));
        assert_eq!(offers.worst(), Some((AccountIndex(4), Amount(60))));
        assert_eq!((offers.len(), offers.taken()), (4, 5));
        assert_eq!(
            offers.remove(AccountIndex(2)).map(|offer| offer.amount),
            Some(Amount(80))
        );
        assert_eq!(
            offers
                .best()
                .map(|best| (best.first.account.0, best.second)),
            Some((3, Some(Amount(60))))
        );
        while offers.pop().is_some() {}
        assert!(offers.is_empty() && offers.best().is_none() && offers.worst().is_none());
    }
}
