//! The public state of a lot. Server and clients derive equal copies from the same events.

use bitcode::{Decode, Encode};

use super::event::{Ending, LotEvent, LotEventKind};
use super::money::Amount;
use super::terms::{Dutch, Increments, LotId, Pricing, Sale, SoftClose, Terms};

/// The public part of a kind of sale.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum PublicSale {
    /// An English sale, as [`Sale::English`].
    English {
        /// Price of the first bid.
        start: Amount,
        /// Steps between prices.
        increments: Increments,
        /// Whether there is a reserve.
        reserve: bool,
        /// Price at which the lot can be bought at once while there is no bid.
        buy_now: Option<Amount>,
    },
    /// A Dutch sale, as [`Sale::Dutch`].
    Dutch(Dutch),
    /// A sealed sale, as [`Sale::Sealed`].
    Sealed {
        /// Amount below which no bid is accepted.
        minimum: Amount,
        /// What the winner pays.
        pricing: Pricing,
    },
}

/// The public part of a lot's terms.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct PublicTerms {
    /// What is sold.
    pub title: String,
    /// Kind of sale.
    pub sale: PublicSale,
    /// Whether and how late bids move the close.
    pub soft_close: Option<SoftClose>,
}

impl PublicTerms {
    /// Returns the public part of terms: the amount of a reserve and the seller are omitted.
    pub fn of(terms: &Terms) -> Self {
        let sale = match terms.sale.clone() {
            Sale::English {
                start,
                increments,
                reserve,
                buy_now,
            } => PublicSale::English {
                start,
                increments,
                reserve: reserve.is_some(),
                buy_now,
            },
            Sale::Dutch(dutch) => PublicSale::Dutch(dutch),
            Sale::Sealed {
                minimum, pricing, ..
            } => PublicSale::Sealed { minimum, pricing },
        };
        Self {
            title: terms.title.clone(),
            sale,
            soft_close: terms.soft_close,
        }
    }
}

/// The public state of a lot, updated by its events.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct PublicLot {
    /// Number of the lot.
    pub lot: LotId,
    /// Number of the last applied event.
    pub sequence: u64,
    /// Public part of the terms.
    pub terms: PublicTerms,
    /// Tick of the opening, shifted by the clock's pauses.
    pub opened: u64,
    /// Tick of the scheduled close, also for a lot that ended otherwise. Bids of earlier ticks
    /// count.
    pub closes: u64,
    /// Tick at which the clock was paused, while it is.
    pub paused: Option<u64>,
    /// Price of an English sale, once there is a bid.
    pub price: Option<Amount>,
    /// Alias of an English sale's leader, once there is a bid.
    pub leader: Option<u32>,
    /// Whether the reserve is met; true where there is none.
    pub reserve_met: bool,
    /// Number of bids that everyone saw.
    pub bids: u64,
    /// How the lot ended, if it has.
    pub ending: Option<Ending>,
}

impl PublicLot {
    /// Creates the lot from its first event; `None` if the event is not an opening.
    pub fn opened(event: &LotEvent) -> Option<Self> {
        let LotEventKind::Opened {
            terms,
            opened,
            closes,
        } = event.what.clone()
        else {
            return None;
        };
        let reserve_met = !matches!(terms.sale, PublicSale::English { reserve: true, .. });
        Some(Self {
            lot: event.lot,
            sequence: event.sequence,
            terms,
            opened,
            closes,
            paused: None,
            price: None,
            leader: None,
            reserve_met,
            bids: 0,
            ending: None,
        })
    }

    /// Applies the next event. Returns false and changes nothing if the event is of another lot or
    /// not the next one.
    pub fn apply(&mut self, event: &LotEvent) -> bool {
        if event.lot != self.lot || Some(event.sequence) != self.sequence.checked_add(1) {
            return false;
        }
        self.sequence = event.sequence;
        match &event.what {
            LotEventKind::Opened { .. } => {}
            LotEventKind::Bid {
                leader,
                price,
                reserve_met,
                closes,
                ..
            } => {
                (self.leader, self.price, self.reserve_met) =
                    (Some(*leader), Some(*price), *reserve_met);
                self.closes = *closes;
                self.bids = self.bids.saturating_add(1);
            }
            LotEventKind::Corrected {
                leader,
                price,
                reserve_met,
            } => {
                (self.leader, self.price, self.reserve_met) = (*leader, *price, *reserve_met);
            }
            LotEventKind::Paused { since } => self.paused = Some(*since),
            LotEventKind::Resumed { opened, closes } => {
                (self.paused, self.opened, self.closes) = (None, *opened, *closes);
            }
            LotEventKind::Ended { ending, .. } => {
                (self.ending, self.paused) = (Some(ending.clone()), None)
            }
        }
        true
    }

    /// Returns the price at a tick: the current price, or the minimum of the first bid.
    pub fn asks(&self, tick: u64) -> Amount {
        let tick = self.paused.unwrap_or(tick);
        match &self.terms.sale {
            PublicSale::English { start, .. } => self.price.unwrap_or(*start),
            PublicSale::Dutch(dutch) => dutch.price(tick.saturating_sub(self.opened)),
            PublicSale::Sealed { minimum, .. } => *minimum,
        }
    }

    /// Returns the minimum of the next bid at a tick.
    pub fn next_bid(&self, tick: u64) -> Amount {
        match (&self.terms.sale, self.price) {
            (PublicSale::English { increments, .. }, Some(price)) => {
                Amount(price.0.saturating_add(increments.at(price).0))
            }
            _ => self.asks(tick),
        }
    }
}
