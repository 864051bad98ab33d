//! What users ask of the house, and what they are answered.

use bitcode::{Decode, Encode};
use truetick_netcode::session::UserId;
use xxhash_rust::xxh3::xxh3_64;

use super::money::{Amount, Currency};
use super::terms::{LotId, Sale, Terms};

/// What its user calls a command: the second half of the key under which the house does it once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
pub struct CommandId(pub u64);

/// What a bidder does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Action {
    /// Bid up to this: the maximum in an English sale, the offer in a sealed one.
    UpTo(Amount),
    /// Buy at once at the price named for that.
    BuyNow,
    /// Take a Dutch lot at its price of the moment, if that is at most this.
    Take(Amount),
}

/// A bid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Bid {
    /// On what.
    pub lot: LotId,
    /// What.
    pub action: Action,
    /// The currency of its amount.
    pub currency: Currency,
    /// When the bidder's clock says it was made, in milliseconds since 1970. Kept in the record and
    /// never used.
    pub client_time_ms: u64,
}

/// What those who run the house do.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Admin {
    /// Registers a user, or puts money into an account.
    Deposit {
        /// Whose.
        user: UserId,
        /// How much; nothing, too.
        amount: Amount,
    },
    /// Takes available money out of an account.
    Withdraw {
        /// Whose.
        user: UserId,
        /// How much.
        amount: Amount,
    },
    /// Puts a user on the list of those who may not bid, or takes them off it. All that a user who
    /// is put on it bid on open lots is taken back, as by [`Self::Retract`]; what the user bought
    /// stays bought.
    Deny {
        /// Whom.
        user: UserId,
        /// On, or off.
        denied: bool,
    },
    /// Opens a lot.
    Open {
        /// Its number.
        lot: LotId,
        /// What it is sold under.
        terms: Terms,
    },
    /// Ends a lot without a sale and gives back what is held for it.
    Cancel {
        /// Which.
        lot: LotId,
    },
    /// Takes back all that a user bid on an open lot. What was recorded stays recorded.
    Retract {
        /// Which lot.
        lot: LotId,
        /// Whose bids.
        user: UserId,
    },
}

/// What the host does to the auction's clock: while it is paused nothing closes, and each close
/// moves along.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub enum ClockOrder {
    /// The clock stops.
    Pause,
    /// It runs again.
    Resume,
}

/// A command.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Command {
    /// By anyone.
    Bid(Bid),
    /// By those who run the house.
    Admin(Admin),
}

impl Command {
    /// What tells one body from another under the same key. The client's time is no part of it: a
    /// retry may have another.
    pub fn body_hash(&self) -> u64 {
        match self {
            Self::Bid(Bid { lot, action, currency, .. }) => {
                let (kind, amount) = match action {
                    Action::UpTo(amount) => (0, amount.0),
                    Action::BuyNow => (1, 0),
                    Action::Take(amount) => (2, amount.0),
                };
                let mut bytes = [0; 16];
                bytes[0] = kind;
                bytes[1..4].copy_from_slice(&currency.0);
                bytes[4..8].copy_from_slice(&lot.0.to_le_bytes());
                bytes[8..].copy_from_slice(&amount.to_le_bytes());
                xxh3_64(&bytes)
            }
            Self::Admin(admin) => xxh3_64(&bitcode::encode(admin)),
        }
    }
}

impl Command {
    /// Bytes that it takes in a journal, at the most and about.
    pub fn weight(&self) -> usize {
        match self {
            Self::Admin(Admin::Open { terms, .. }) => {
                let steps = match &terms.sale {
                    Sale::English { increments, .. } => increments.0.len(),
                    _ => 0,
                };
                256 + terms.title.len() + 16 * steps
            }
            _ => 128,
        }
    }
}

/// A command in its place: orders of one tick are sorted by (`at_ms`, `user`, `sequence`).
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Order {
    /// When the server received the datagram that released it, in milliseconds of its monotonic
    /// clock; never decreasing.
    pub at_ms: u64,
    /// Who, by the token; the same for ever.
    pub user: UserId,
    /// The how manieth that came to this server: keeps each client's in their order.
    pub sequence: u64,
    /// The user's name for it.
    pub id: CommandId,
    /// What.
    pub command: Command,
}

impl Order {
    /// Its place among the orders of a tick.
    pub fn place(&self) -> (u64, UserId, u64) {
        (self.at_ms, self.user, self.sequence)
    }
}

/// Why a command had no effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Reject {
    /// An amount of nothing.
    NotPositive,
    /// An amount beyond [`Amount::MOST`].
    TooLarge,
    /// The house trades in another currency.
    WrongCurrency,
    /// There is no such lot.
    UnknownLot,
    /// The lot is closed.
    Closed,
    /// The lot is not sold in this way.
    WrongSale,
    /// A bid must be this at least.
    BelowMinimum(Amount),
    /// A bidder's maximum can only rise; it was this.
    NotRaised(Amount),
    /// The price of the moment is above what the bidder would pay.
    AboveLimit(Amount),
    /// Someone has bid: it cannot be bought at once any more, or it never could.
    NoBuyNow,
    /// Less is available than this would hold.
    Funds,
    /// Sellers do not bid on their own lots.
    Seller,
    /// The user is on the list of those who may not bid.
    Denied,
    /// The user has no account.
    NotRegistered,
    /// No more users, lots or receipts fit, or of a sealed lot's offers this would be the lowest,
    /// and no more are kept.
    Full,
    /// Only those who run the house can do that.
    NotAdmin,
    /// A lot of that number was opened before: no number is used twice.
    LotExists,
    /// Nothing can be sold under such terms.
    BadTerms,
    /// The user has no bid there.
    NoBid,
}

/// How a bidder stands right after a bid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub enum BidStanding {
    /// Nobody's maximum is above.
    Leads,
    /// Another's maximum is at or above.
    Outbid,
    /// It will be revealed at the close.
    Sealed,
    /// The lot is sold to the bidder.
    Won,
    /// It was no bid.
    Done,
}

/// What became of a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Outcome {
    /// It counts.
    Accepted {
        /// How the bidder stands.
        stands: BidStanding,
        /// What the bidder is called on this lot, from 1; 0 where it was no bid.
        alias: u32,
    },
    /// It had no effect.
    Rejected(Reject),
}

/// The one answer to a command; whoever repeats the command gets it again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Receipt {
    /// The how manieth of its user's commands it was, from 1; 0 for a user who got no account. (How
    /// many all users' are is nobody's business: hidden bids would show.)
    pub number: u64,
    /// Tick in which it was decided.
    pub tick: u64,
    /// What became of it.
    pub outcome: Outcome,
}

/// What a command is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Answer {
    /// It was decided now, or before.
    Receipt(Receipt),
    /// Under the same key the user said something else before; that stands.
    Conflict,
}
