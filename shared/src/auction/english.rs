//! The English sale's standing: who leads, by which hidden maximum, at which price.

use bitcode::{Decode, Encode};

use super::ledger::AccountIndex;
use super::money::Amount;
use super::order::Reject;
use super::terms::Increments;

/// Who leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Leader {
    /// Whose account holds the maximum.
    pub account: AccountIndex,
    /// Up to this the house bids for the leader.
    pub maximum: Amount,
}

/// The numbers that a sale goes by.
#[derive(Clone, Copy, Debug)]
pub struct EnglishTerms<'a> {
    /// The first bid's price.
    pub start: Amount,
    /// Steps between prices.
    pub increments: &'a Increments,
    /// Below this it is not sold.
    pub reserve: Option<Amount>,
}

impl EnglishTerms<'_> {
    /// The price that a maximum is worth against another one, no more than it takes: an increment
    /// above the other, the reserve if it reaches that, and never more than the maximum.
    fn price(&self, maximum: Amount, against: Option<Amount>) -> Amount {
        let needed = against.map_or(self.start, |other| other.plus(self.increments.at(other)));
        let reserve = self.reserve.filter(|reserve| maximum >= *reserve).unwrap_or(Amount::ZERO);
        needed.max(reserve).min(maximum)
    }
}

/// See the module.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct English {
    /// Who leads, once someone bid.
    pub leader: Option<Leader>,
    /// The price, once someone bid.
    pub price: Option<Amount>,
}

/// What a bid does to a sale.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Raised {
    /// How it stands then.
    pub standing: English,
    /// Whether anyone but the bidder can see that something happened.
    pub visible: bool,
}

impl English {
    /// Whether the reserve is met.
    pub fn meets_reserve(&self, terms: EnglishTerms<'_>) -> bool {
        terms.reserve.is_none_or(|reserve| self.price.is_some_and(|price| price >= reserve))
    }

    /// What becomes of the sale if this account bids up to `maximum`. Equal maxima: the earlier
    /// leads on.
    pub fn bid(
        &self,
        terms: EnglishTerms<'_>,
        account: AccountIndex,
        maximum: Amount,
    ) -> Result<Raised, Reject> {
        let Some((leader, price)) = self.leader.zip(self.price) else {
            if maximum < terms.start {
                return Err(Reject::BelowMinimum(terms.start));
            }
            let price = Some(terms.price(maximum, None));
            let standing = Self { leader: Some(Leader { account, maximum }), price };
            return Ok(Raised { standing, visible: true });
        };
        if leader.account == account {
            if maximum <= leader.maximum {
                return Err(Reject::NotRaised(leader.maximum));
            }
            let reached =
                terms.reserve.filter(|reserve| maximum >= *reserve).unwrap_or(Amount::ZERO);
            let price_now = price.max(reached);
            let standing =
                Self { leader: Some(Leader { account, maximum }), price: Some(price_now) };
            return Ok(Raised { standing, visible: price_now != price });
        }
        let least = price.plus(terms.increments.at(price));
        if maximum < least {
            return Err(Reject::BelowMinimum(least));
        }
        let new = Leader { account, maximum };
        let (winner, loser) = if maximum > leader.maximum { (new, leader) } else { (leader, new) };
        let price = price.max(terms.price(winner.maximum, Some(loser.maximum)));
        Ok(Raised { standing: Self { leader: Some(winner), price: Some(price) }, visible: true })
    }

    /// The standing that the best offer and the second best come to.
    pub fn of(terms: EnglishTerms<'_>, best: Option<(Leader, Option<Amount>)>) -> Self {
        let Some((leader, second)) = best else {
            return Self::default();
        };
        Self { leader: Some(leader), price: Some(terms.price(leader.maximum, second)) }
    }
}
