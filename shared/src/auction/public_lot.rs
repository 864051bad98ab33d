//! A lot as everyone may know it. Server and clients keep the same copy, from the same events.

use bitcode::{Decode, Encode};

use super::event::{Ending, LotEvent, LotEventKind};
use super::money::Amount;
use super::terms::{Dutch, Increments, LotId, Pricing, Sale, SoftClose, Terms};

/// A way of sale without what is secret.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum PublicSale {
    /// See [`Sale::English`].
    English {
        /// The first bid's price.
        start: Amount,
        /// Steps between prices.
        increments: Increments,
        /// Whether there is a reserve.
        reserve: bool,
        /// What it costs to buy it at once, as long as nobody has bid.
        buy_now: Option<Amount>,
    },
    /// See [`Sale::Dutch`].
    Dutch(Dutch),
    /// See [`Sale::Sealed`].
    Sealed {
        /// The least bid.
        minimum: Amount,
        /// What the winner pays.
        pricing: Pricing,
    },
}

/// A lot's terms without what is secret.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct PublicTerms {
    /// What is sold.
    pub title: String,
    /// How.
    pub sale: PublicSale,
    /// Whether and how late bids move the close.
    pub soft_close: Option<SoftClose>,
}

impl PublicTerms {
    /// What may be told of these.
    pub fn of(terms: &Terms) -> Self {
        let sale = match terms.sale.clone() {
            Sale::English { start, increments, reserve, buy_now } => {
                PublicSale::English { start, increments, reserve: reserve.is_some(), buy_now }
            }
            Sale::Dutch(dutch) => PublicSale::Dutch(dutch),
            Sale::Sealed { minimum, pricing, .. } => PublicSale::Sealed { minimum, pricing },
        };
        Self { title: terms.title.clone(), sale, soft_close: terms.soft_close }
    }
}

/// See the module.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct PublicLot {
    /// Its number.
    pub lot: LotId,
    /// The last event that is in here.
    pub sequence: u64,
    /// What it is sold under.
    pub terms: PublicTerms,
    /// Tick of its opening.
    pub opened: u64,
    /// Tick at which it closes, or would have closed; bids of earlier ticks count.
    pub closes: u64,
    /// Since which tick the clock stands still, if it does.
    pub paused: Option<u64>,
    /// The price of an English sale, once someone bid.
    pub price: Option<Amount>,
    /// Who leads in it.
    pub leader: Option<u32>,
    /// Whether its reserve is met; true where there is none.
    pub reserve_met: bool,
    /// Bids that everyone saw.
    pub bids: u64,
    /// How it ended.
    pub ending: Option<Ending>,
}

impl PublicLot {
    /// The lot as its first event tells it; `None` if the event is not an opening.
    pub fn opened(event: &LotEvent) -> Option<Self> {
        let LotEventKind::Opened { terms, opened, closes } = event.what.clone() else {
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

    /// Takes over the next event. False, and nothing changes, if it is not the next one.
    pub fn apply(&mut self, event: &LotEvent) -> bool {
        if event.lot != self.lot || Some(event.sequence) != self.sequence.checked_add(1) {
            return false;
        }
        self.sequence = event.sequence;
        match &event.what {
            LotEventKind::Opened { .. } => {}
            LotEventKind::Bid { leader, price, reserve_met, closes, .. } => {
                (self.leader, self.price, self.reserve_met) =
                    (Some(*leader), Some(*price), *reserve_met);
                self.closes = *closes;
                self.bids = self.bids.saturating_add(1);
            }
            LotEventKind::Corrected { leader, price, reserve_met } => {
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

    /// What it costs at a tick: the price of the moment, or what the first bid must be.
    pub fn asks(&self, tick: u64) -> Amount {
        let tick = self.paused.unwrap_or(tick);
        match &self.terms.sale {
            PublicSale::English { start, .. } => self.price.unwrap_or(*start),
            PublicSale::Dutch(dutch) => dutch.price(tick.saturating_sub(self.opened)),
            PublicSale::Sealed { minimum, .. } => *minimum,
        }
    }

    /// What a bid must be at least.
    pub fn next_bid(&self, tick: u64) -> Amount {
        match (&self.terms.sale, self.price) {
            (PublicSale::English { increments, .. }, Some(price)) => {
                Amount(price.0.saturating_add(increments.at(price).0))
            }
            _ => self.asks(tick),
        }
    }
}
