//! What everyone may know of a lot, told as events: each lot's are numbered without a gap.

use bitcode::{Decode, Encode};

use super::money::Amount;
use super::public_lot::PublicTerms;
use super::terms::LotId;

/// How a lot ended.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Ending {
    /// It was sold.
    Sold {
        /// To whom.
        winner: u32,
        /// For how much.
        price: Amount,
    },
    /// Nobody bid enough.
    Unsold,
    /// It was cancelled by those who run the house.
    Cancelled,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum LotEventKind {
    /// It was opened.
    Opened {
        /// What it is sold under, as far as everyone may know.
        terms: PublicTerms,
        /// When.
        opened: u64,
        /// When it will close.
        closes: u64,
    },
    /// Someone bid.
    Bid {
        /// Who.
        bidder: u32,
        /// Who leads now.
        leader: u32,
        /// The price now.
        price: Amount,
        /// Whether the reserve is met, if there is one.
        reserve_met: bool,
        /// When it will close now.
        closes: u64,
    },
    /// Bids were taken back: this is how it stands without them.
    Corrected {
        /// Who leads now.
        leader: Option<u32>,
        /// The price now.
        price: Option<Amount>,
        /// Whether the reserve is met, if there is one.
        reserve_met: bool,
    },
    /// The auction's clock stopped: no close comes until it runs again.
    Paused {
        /// When.
        since: u64,
    },
    /// The clock runs again, and what was to come then comes later.
    Resumed {
        /// As if it had been opened then.
        opened: u64,
        /// When it will close now.
        closes: u64,
    },
    /// It is over.
    Ended {
        /// How.
        ending: Ending,
        /// What was offered under seal, by whom, in the order of offers.
        revealed: Vec<(u32, Amount)>,
    },
}

/// An event of a lot.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct LotEvent {
    /// Of which lot.
    pub lot: LotId,
    /// The how manieth event of the lot, from 1.
    pub sequence: u64,
    /// When.
    pub tick: u64,
    /// What.
    pub what: LotEventKind,
}
