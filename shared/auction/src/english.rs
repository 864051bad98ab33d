//! The standing of an English sale: the leader, the hidden maximum and the price.

use bitcode::{Decode, Encode};

use super::ledger::AccountIndex;
use super::money::Amount;
use super::offers::BestOffers;
use super::order::Reject;
use super::terms::Increments;

/// The leader of a sale.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Leader {
    /// The account that holds the maximum.
    pub account: AccountIndex,
    /// The amount up to which the house bids for the leader.
    pub maximum: Amount,
}

/// The terms that determine the price of an English sale.
#[derive(Clone, Copy, Debug)]
pub struct EnglishTerms<'a> {
    /// Price of the first bid.
    pub start: Amount,
    /// Steps between prices.
    pub increments: &'a Increments,
    /// Amount below which the lot is not sold, if any.
    pub reserve: Option<Amount>,
}

impl EnglishTerms<'_> {
    /// Price that a maximum leads to against the next lower one: one increment above that, or the
    /// start without one; the reserve if the maximum reaches it; never more than the maximum.
    fn price(&self, maximum: Amount, against: Option<Amount>) -> Amount {
        let needed = against.map_or(self.start, |other| other.plus(self.increments.at(other)));
        let reserve = self
            .reserve
            .filter(|reserve| maximum >= *reserve)
            .unwrap_or(Amount::ZERO);
        needed.max(reserve).min(maximum)
    }
}

/// The standing of an English sale.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct English {
    /// The leader, once there is a bid.
    pub leader: Option<Leader>,
    /// The price, once there is a bid.
    pub price: Option<Amount>,
}

/// The effect of a bid on a sale.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Raised {
    /// The standing after the bid.
    pub standing: English,
    /// Whether the change is visible to anyone but the bidder.
    pub visible: bool,
}

impl English {
    /// Returns whether the reserve is met; true where there is none.
    pub(crate) fn meets_reserve(&self, terms: EnglishTerms<'_>) -> bool {
        terms
            .reserve
            .is_none_or(|reserve| self.price.is_some_and(|price| price >= reserve))
    }

    /// Returns the effect of a bid up to `maximum`. Of equal maxima the earlier leads.
    ///
    /// # Errors
    ///
    /// [`Reject::BelowMinimum`] if the bid is below the start or the next price,
    /// [`Reject::NotRaised`] if it does not raise the leader's own maximum.
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
            let standing = Self {
                leader: Some(Leader { account, maximum }),
                price,
            };
            return Ok(Raised {
                standing,
                visible: true,
            });
        };
        if leader.account == account {
            if maximum <= leader.maximum {
                return Err(Reject::NotRaised(leader.maximum));
            }
            let reached = terms
                .reserve
                .filter(|reserve| maximum >= *reserve)
                .unwrap_or(Amount::ZERO);
            let price_now = price.max(reached);
            let standing = Self {
                leader: Some(Leader { account, maximum }),
                price: Some(price_now),
            };
            return Ok(Raised {
                standing,
                visible: price_now != price,
            });
        }
        let least = price.plus(terms.increments.at(price));
        if maximum < least {
            return Err(Reject::BelowMinimum(least));
        }
        let new = Leader { account, maximum };
        let (winner, loser) = if maximum > leader.maximum {
            (new, leader)
        } else {
            (leader, new)
        };
        let price = price.max(terms.price(winner.maximum, Some(loser.maximum)));
        Ok(Raised {
            standing: Self {
                leader: Some(winner),
                price: Some(price),
            },
            visible: true,
        })
    }

    /// Returns the standing that results from the best and the second best offer.
    pub fn of(terms: EnglishTerms<'_>, best: Option<BestOffers>) -> Self {
        let Some(BestOffers { first, second }) = best else {
            return Self::default();
        };
        Self {
            leader: Some(first),
            price: Some(terms.price(first.maximum, second)),
        }
    }
}
