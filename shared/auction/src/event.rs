//! Public events of a lot. The events of each lot are numbered without gaps.

use bitcode::{Decode, Encode};

use super::money::Amount;
use super::public_lot::PublicTerms;
use super::terms::LotId;

/// How a lot ended.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Ending {
    /// The lot was sold.
    Sold {
        /// Alias of the winner on this lot.
        winner: u32,
        /// Price that the winner pays.
        price: Amount,
    },
    /// There was no bid, or none that met the reserve.
    Unsold,
    /// An administrator cancelled the lot.
    Cancelled,
}

/// The kind of a lot's event, with its data.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum LotEventKind {
    /// The lot was opened.
    Opened {
        /// Public part of the lot's terms.
        terms: PublicTerms,
        /// Tick of the opening.
        opened: u64,
        /// Tick of the scheduled close.
        closes: u64,
    },
    /// A bid that everyone sees was made.
    Bid {
        /// Alias of the bidder.
        bidder: u32,
        /// Alias of the leader after the bid.
        leader: u32,
        /// Price after the bid.
        price: Amount,
        /// Whether the reserve is met; true where there is none.
        reserve_met: bool,
        /// Tick of the close after the bid.
        closes: u64,
    },
    /// Bids were retracted; this is the standing without them.
    Corrected {
        /// Alias of the leader, if any bid is left.
        leader: Option<u32>,
        /// Price, if any bid is left.
        price: Option<Amount>,
        /// Whether the reserve is met; true where there is none.
        reserve_met: bool,
    },
    /// The auction's clock was paused: the lot does not close until it resumes.
    Paused {
        /// Tick of the pause.
        since: u64,
    },
    /// The clock resumed, and the lot's times are shifted by the length of the pause.
    Resumed {
        /// Tick of the opening, shifted.
        opened: u64,
        /// Tick of the close, shifted.
        closes: u64,
    },
    /// The lot ended.
    Ended {
        /// How the lot ended.
        ending: Ending,
        /// Sealed offers by alias, in ascending order of alias; empty for other sales and after a
        /// cancellation.
        revealed: Vec<(u32, Amount)>,
    },
}

/// An event of a lot.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct LotEvent {
    /// Number of the lot.
    pub lot: LotId,
    /// Number of the event within the lot, from 1, without gaps.
    pub sequence: u64,
    /// Tick of the event.
    pub tick: u64,
    /// Kind and data of the event.
    pub what: LotEventKind,
}
