//! What a lot is sold under: the way of sale, its numbers, when it closes.

use bitcode::{Decode, Encode};
use truetick_netcode::session::UserId;

use super::limits::{INCREMENT_STEPS, LONGEST_LOT, TITLE_BYTES};
use super::money::Amount;

/// Number of a lot, given by whoever opens it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
pub struct LotId(pub u32);

/// By how much a bid must exceed the price, by price: steps of (price from which on, increment),
/// rising, the first from 0.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Increments(pub Vec<(Amount, Amount)>);

impl Increments {
    /// One increment for all prices.
    pub fn flat(increment: Amount) -> Self {
        Self(vec![(Amount::ZERO, increment)])
    }

    /// The increment at a price.
    pub fn at(&self, price: Amount) -> Amount {
        let next = self.0.partition_point(|(from, _)| *from <= price);
        next.checked_sub(1).map_or(Amount(1), |step| self.0[step].1)
    }

    fn is_valid(&self) -> bool {
        let rising = self.0.windows(2).all(|pair| pair[0].0 < pair[1].0);
        let first = self.0.first().is_some_and(|(from, _)| *from == Amount::ZERO);
        let positive = self.0.iter().all(|(_, step)| (Amount(1)..=Amount::MOST).contains(step));
        self.0.len() <= INCREMENT_STEPS && first && rising && positive
    }
}

/// What the highest sealed bid pays.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Pricing {
    /// What it offered.
    First,
    /// What the second highest offered (Vickrey 1961), or the reserve or the minimum where that is
    /// more.
    Second,
}

/// How the price of a Dutch sale falls.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Dutch {
    /// The price at the opening.
    pub start: Amount,
    /// It falls no further than this.
    pub floor: Amount,
    /// By so much it falls.
    pub step: Amount,
    /// Every so many ticks.
    pub every: u32,
}

impl Dutch {
    /// The price so many ticks after the opening.
    pub fn price(&self, elapsed: u64) -> Amount {
        let fallen = self.step.0.saturating_mul(elapsed / u64::from(self.every.max(1)));
        Amount(self.start.0.saturating_sub(fallen)).max(self.floor)
    }
}

/// A way of sale.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Sale {
    /// The price rises. Bids are maxima: the house bids for each bidder, as little as it takes.
    English {
        /// The first bid's price, 1 at least.
        start: Amount,
        /// Steps between prices.
        increments: Increments,
        /// Below this it is not sold; nobody is told it. A maximum at or above it raises the price
        /// to it.
        reserve: Option<Amount>,
        /// As long as nobody has bid, it is sold at once at this price, no lower than start and
        /// reserve.
        buy_now: Option<Amount>,
    },
    /// The price falls until someone takes it.
    Dutch(Dutch),
    /// Nobody sees the others' bids until the close.
    Sealed {
        /// The least bid.
        minimum: Amount,
        /// Below this it is not sold; nobody is told it.
        reserve: Option<Amount>,
        /// What the winner pays.
        pricing: Pricing,
    },
}

/// How a late bid moves the close.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Extend {
    /// The extension is added to the close.
    Add,
    /// The close is an extension from now, if that is later.
    Reset,
}

/// A bid in the last moments moves the close, so that waiting for them wins nothing. All in ticks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct SoftClose {
    /// A bid with less than this left moves the close.
    pub window: u32,
    /// By so much.
    pub extension: u32,
    /// From where.
    pub mode: Extend,
    /// The close moves by this in all at the most.
    pub most: u32,
    /// So long after the opening it is over, whatever comes.
    pub hard_end: Option<u64>,
}

impl SoftClose {
    /// The usual: a bid in the last minute adds half a minute, for an hour at the most. `rate` is
    /// ticks per second.
    pub fn usual(rate: u32) -> Self {
        Self {
            window: 60 * rate,
            extension: 30 * rate,
            mode: Extend::Add,
            most: 3_600 * rate,
            hard_end: None,
        }
    }
}

/// All that a lot is sold under.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Terms {
    /// What is sold, up to [`TITLE_BYTES`].
    pub title: String,
    /// By whom; the seller may not bid.
    pub seller: UserId,
    /// How.
    pub sale: Sale,
    /// Ticks from the opening to the close, 1 to [`LONGEST_LOT`].
    pub duration: u64,
    /// Whether and how late bids move the close; of no effect but in an English sale.
    pub soft_close: Option<SoftClose>,
}

impl Terms {
    /// Whether a lot can be sold under them.
    pub fn are_valid(&self) -> bool {
        let price = |amount: &Amount| (Amount(1)..=Amount::MOST).contains(amount);
        let perhaps = |amount: &Option<Amount>| amount.as_ref().is_none_or(price);
        let sale = match &self.sale {
            Sale::English { start, increments, reserve, buy_now } => {
                let enough = buy_now
                    .is_none_or(|buy_now| buy_now >= (*start).max(reserve.unwrap_or_default()));
                price(start)
                    && increments.is_valid()
                    && perhaps(reserve)
                    && perhaps(buy_now)
                    && enough
            }
            Sale::Dutch(Dutch { start, floor, step, every }) => {
                price(start) && price(floor) && floor <= start && price(step) && *every > 0
            }
            Sale::Sealed { minimum, reserve, .. } => price(minimum) && perhaps(reserve),
        };
        let title = !self.title.is_empty() && self.title.len() <= TITLE_BYTES;
        let hard_end = self.soft_close.and_then(|soft| soft.hard_end);
        let ends = (1..=LONGEST_LOT).contains(&self.duration)
            && hard_end.is_none_or(|end| (self.duration..=2 * LONGEST_LOT).contains(&end));
        sale && title && ends
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn increments_go_by_the_price() {
        let steps = Increments(vec![(Amount(0), Amount(5)), (Amount(100), Amount(10))]);
        assert!(steps.is_valid());
        assert_eq!([0, 99, 100, 5_000].map(|price| steps.at(Amount(price)).0), [5, 5, 10, 10]);
        assert!(
            !Increments(vec![]).is_valid() && !Increments(vec![(Amount(3), Amount(5))]).is_valid()
        );
    }

    #[test]
    fn a_dutch_price_falls_in_steps_down_to_its_floor() {
        let dutch = Dutch { start: Amount(100), floor: Amount(25), step: Amount(30), every: 10 };
        let price = |elapsed| dutch.price(elapsed).0;
        assert_eq!([0, 9, 10, 20, 30, u64::MAX].map(price), [100, 100, 70, 40, 25, 25]);
    }
}
