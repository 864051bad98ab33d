//! The terms of a lot: kind of sale, amounts, time of the close.

use bitcode::{Decode, Encode};
use truetick_netcode::session::UserId;

use super::limits::{INCREMENT_STEPS, LONGEST_LOT, TITLE_BYTES};
use super::money::Amount;

/// Number of a lot, chosen by the administrator who opens it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
pub struct LotId(pub u32);

/// Minimum step between bids, by price: pairs of (lowest price, increment), ascending, the first
/// from price 0.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Increments(pub Vec<(Amount, Amount)>);

impl Increments {
    /// Returns one increment for all prices.
    pub fn flat(increment: Amount) -> Self {
        Self(vec![(Amount::ZERO, increment)])
    }

    /// Returns the increment at a price; 1 if there is no step for it.
    pub fn at(&self, price: Amount) -> Amount {
        let next = self.0.partition_point(|(from, _)| *from <= price);
        next.checked_sub(1).map_or(Amount(1), |step| self.0[step].1)
    }

    fn is_valid(&self) -> bool {
        let rising = self.0.windows(2).all(|pair| pair[0].0 < pair[1].0);
        let first = self
            .0
            .first()
            .is_some_and(|(from, _)| *from == Amount::ZERO);
        let positive = self
            .0
            .iter()
            .all(|(_, step)| (Amount(1)..=Amount::MOST).contains(step));
        self.0.len() <= INCREMENT_STEPS && first && rising && positive
    }
}

/// What the highest sealed bid pays.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Pricing {
    /// The amount that it offered.
    First,
    /// The second highest offer (Vickrey 1961), or the reserve or minimum if that is higher.
    Second,
}

/// The price schedule of a Dutch sale.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Dutch {
    /// Price at the opening.
    pub start: Amount,
    /// Price below which the lot does not fall.
    pub floor: Amount,
    /// Amount by which the price falls at each step.
    pub step: Amount,
    /// Ticks between steps, at least 1.
    pub every: u32,
}

impl Dutch {
    /// Returns the price `elapsed` ticks after the opening.
    pub fn price(&self, elapsed: u64) -> Amount {
        let fallen = self
            .step
            .0
            .saturating_mul(elapsed / u64::from(self.every.max(1)));
        Amount(self.start.0.saturating_sub(fallen)).max(self.floor)
    }
}

/// A kind of sale with its amounts.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Sale {
    /// The price rises. Bids are maxima: the house bids for each bidder, only as high as needed.
    English {
        /// Price of the first bid, at least 1.
        start: Amount,
        /// Steps between prices.
        increments: Increments,
        /// Amount below which the lot is not sold; secret. A maximum at or above it raises the
        /// price to it.
        reserve: Option<Amount>,
        /// Price at which the lot can be bought at once while there is no bid; at least the start
        /// and the reserve.
        buy_now: Option<Amount>,
    },
    /// The price falls until a bidder buys.
    Dutch(Dutch),
    /// Bids are secret until the close.
    Sealed {
        /// Amount below which no bid is accepted.
        minimum: Amount,
        /// Amount below which the lot is not sold; secret.
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
    /// The close becomes the current tick plus the extension, if that is later.
    Reset,
}

/// Extension of the close by late bids, so that bidding at the last moment is no advantage. All
/// times are in ticks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct SoftClose {
    /// A bid with less time left than this moves the close.
    pub window: u32,
    /// Length of one extension.
    pub extension: u32,
    /// Reference of the extension: the close or the current tick.
    pub mode: Extend,
    /// Maximum sum of all extensions.
    pub most: u32,
    /// Latest close after the opening, if any; extensions do not pass it.
    pub hard_end: Option<u64>,
}

impl SoftClose {
    /// The default: a bid in the last minute adds half a minute, for an hour at most. `rate` is in
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

/// The terms of a lot.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Terms {
    /// What is sold: 1 to [`TITLE_BYTES`] bytes.
    pub title: String,
    /// The seller, who may not bid.
    pub seller: UserId,
    /// Kind of sale.
    pub sale: Sale,
    /// Ticks from the opening to the close, 1 to [`LONGEST_LOT`].
    pub duration: u64,
    /// Whether and how late bids move the close. Only bids of an English sale do.
    pub soft_close: Option<SoftClose>,
}

impl Terms {
    /// Returns whether a lot can be opened under these terms: every amount is 1 to
    /// [`Amount::MOST`], and title, duration and hard end are within their ranges.
    pub(crate) fn are_valid(&self) -> bool {
        let price = |amount: &Amount| (Amount(1)..=Amount::MOST).contains(amount);
        let perhaps = |amount: &Option<Amount>| amount.as_ref().is_none_or(price);
        let sale = match &self.sale {
            Sale::English {
                start,
                increments,
                reserve,
                buy_now,
            } => {
                let enough = buy_now
                    .is_none_or(|buy_now| buy_now >= (*start).max(reserve.unwrap_or_default()));
                price(start)
                    && increments.is_valid()
                    && perhaps(reserve)
                    && perhaps(buy_now)
                    && enough
            }
            Sale::Dutch(Dutch {
                start,
                floor,
                step,
                every,
            }) => price(start) && price(floor) && floor <= start && price(step) && *every > 0,
            Sale::Sealed {
                minimum, reserve, ..
            } => price(minimum) && perhaps(reserve),
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
        assert_eq!(
            [0, 99, 100, 5_000].map(|price| steps.at(Amount(price)).0),
            [5, 5, 10, 10]
        );
        assert!(
            !Increments(vec![]).is_valid() && !Increments(vec![(Amount(3), Amount(5))]).is_valid()
        );
    }

    #[test]
    fn a_dutch_price_falls_in_steps_down_to_its_floor() {
        let dutch = Dutch {
            start: Amount(100),
            floor: Amount(25),
            step: Amount(30),
            every: 10,
        };
        let price = |elapsed| dutch.price(elapsed).0;
        assert_eq!(
            [0, 9, 10, 20, 30, u64::MAX].map(price),
            [100, 100, 70, 40, 25, 25]
        );
    }
}
