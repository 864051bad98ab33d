//! The offers on a lot: the last and highest one of each bidder, ranked. It grows with the bidders,
//! not with their bids.

use std::collections::{BTreeMap, BTreeSet};

use bitcode::{Decode, Encode};

use super::english::Leader;
use super::ledger::AccountIndex;
use super::money::Amount;

/// A bidder's offer: the maximum in an English sale, the amount under seal in a sealed one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Offer {
    /// How much.
    pub amount: Amount,
    /// Its place in the order of all commands: of equal offers the earlier is better.
    pub order: u64,
}

impl Offer {
    /// Sorts better offers first.
    fn rank(self, account: AccountIndex) -> (u64, u64, AccountIndex) {
        (u64::MAX - self.amount.0, self.order, account)
    }
}

/// See the module.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct Offers {
    by_account: BTreeMap<AccountIndex, Offer>,
    ranked: BTreeSet<(u64, u64, AccountIndex)>,
    /// Offers taken so far, raises included.
    taken: u64,
}

impl Offers {
    /// Bidders with an offer.
    pub fn len(&self) -> usize {
        self.by_account.len()
    }

    /// Whether nobody has an offer.
    pub fn is_empty(&self) -> bool {
        self.by_account.is_empty()
    }

    /// Offers taken so far, raises included.
    pub fn taken(&self) -> u64 {
        self.taken
    }

    /// A bidder's offer.
    pub fn get(&self, account: AccountIndex) -> Option<Offer> {
        self.by_account.get(&account).copied()
    }

    /// All offers, by account.
    pub fn iter(&self) -> impl Iterator<Item = (AccountIndex, Offer)> {
        self.by_account.iter().map(|(account, offer)| (*account, *offer))
    }

    /// Takes a bidder's offer; it replaces the one before.
    pub fn put(&mut self, account: AccountIndex, offer: Offer) {
        self.remove(account);
        self.taken += 1;
        self.ranked.insert(offer.rank(account));
        self.by_account.insert(account, offer);
    }

    /// Takes out a bidder's offer, and returns it.
    pub fn remove(&mut self, account: AccountIndex) -> Option<Offer> {
        let offer = self.by_account.remove(&account)?;
        self.ranked.remove(&offer.rank(account));
        Some(offer)
    }

    /// Takes out any offer; for lots that are forgotten bit by bit.
    pub fn pop(&mut self) -> Option<AccountIndex> {
        let (account, offer) = self.by_account.pop_last()?;
        self.ranked.remove(&offer.rank(account));
        Some(account)
    }

    /// The best offer and the second best: higher, then earlier.
    pub fn best(&self) -> Option<(Leader, Option<Amount>)> {
        let mut ranked =
            self.ranked.iter().map(|(rank, _, account)| (*account, Amount(u64::MAX - rank)));
        let (account, maximum) = ranked.next()?;
        Some((Leader { account, maximum }, ranked.next().map(|(_, amount)| amount)))
    }

    /// The offer that makes room for a better one: the lowest, of equal ones the latest.
    pub fn worst(&self) -> Option<(AccountIndex, Amount)> {
        self.ranked.last().map(|(rank, _, account)| (*account, Amount(u64::MAX - rank)))
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
            offers.put(AccountIndex(account), Offer { amount: Amount(amount), order });
        }
        let leader = Leader { account: AccountIndex(2), maximum: Amount(80) };
        assert_eq!(offers.best(), Some((leader, Some(Amount(80)))));
        assert_eq!(offers.worst(), Some((AccountIndex(4), Amount(60))));
        assert_eq!((offers.len(), offers.taken()), (4, 5));
        assert_eq!(offers.remove(AccountIndex(2)).map(|offer| offer.amount), Some(Amount(80)));
        assert_eq!(
            offers.best().map(|(leader, second)| (leader.account.0, second)),
            Some((3, Some(Amount(60))))
        );
        while offers.pop().is_some() {}
        assert!(offers.is_empty() && offers.best().is_none() && offers.worst().is_none());
    }
}
