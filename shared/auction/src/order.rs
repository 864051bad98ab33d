//! Commands of users, their order, and the answers to them.

use bitcode::{Decode, Encode};
use truetick_netcode::session::UserId;
use xxhash_rust::xxh3::xxh3_64;

use super::money::{Amount, Currency};
use super::terms::{LotId, Sale, Terms};

/// A user's name of a command. With the user id it is the key under which the house executes the
/// command once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
pub struct CommandId(pub u64);

/// The action of a bid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Action {
    /// Bid up to this amount: the maximum in an English sale, the offer in a sealed one.
    UpTo(Amount),
    /// Buy an English lot at once at its buy-now price.
    BuyNow,
    /// Buy a Dutch lot at its current price, if that is at most this amount.
    Take(Amount),
}

/// A bid on a lot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Bid {
    /// Number of the lot.
    pub lot: LotId,
    /// What the bidder offers or accepts.
    pub action: Action,
    /// Currency of the action's amount.
    pub currency: Currency,
    /// Time of the bid by the bidder's clock, in milliseconds since 1970. It is recorded and never
    /// used.
    pub client_time_ms: u64,
}

/// A command that only administrators may give.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Admin {
    /// Registers a user and adds an amount to the account.
    Deposit {
        /// Owner of the account.
        user: UserId,
        /// Amount to add, possibly zero.
        amount: Amount,
    },
    /// Withdraws an available amount from an account.
    Withdraw {
        /// Owner of the account.
        user: UserId,
        /// Amount to withdraw.
        amount: Amount,
    },
    /// Bars a user from bidding, or lifts the bar. Barring a user retracts all bids of the user on
    /// open lots, as by [`Self::Retract`]; completed purchases stay.
    Deny {
        /// User to bar.
        user: UserId,
        /// True to bar the user, false to lift the bar.
        denied: bool,
    },
    /// Opens a lot.
    Open {
        /// Number of the lot.
        lot: LotId,
        /// Terms of the lot.
        terms: Terms,
    },
    /// Ends an open lot without a sale and releases its holds.
    Cancel {
        /// Number of the lot.
        lot: LotId,
    },
    /// Retracts a user's offer on an open lot. Recorded events stay recorded.
    Retract {
        /// Number of the lot.
        lot: LotId,
        /// User whose offer is retracted.
        user: UserId,
    },
}

/// A host's command to the auction's clock. While it is paused, no lot closes, and every close is
/// shifted by the length of the pause.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub enum ClockOrder {
    /// Pauses the clock.
    Pause,
    /// Resumes the clock.
    Resume,
}

/// A command to the house.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Command {
    /// A bid, from any user.
    Bid(Bid),
    /// An administrator's command.
    Admin(Admin),
}

impl Command {
    /// Returns the hash that distinguishes commands under one key. The client's time is not part of
    /// it, since a retry may have another.
    pub fn body_hash(&self) -> u64 {
        match self {
            Self::Bid(Bid {
                lot,
                action,
                currency,
                ..
            }) => {
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
    /// Returns the approximate maximum size of the command in a journal, in bytes.
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

/// A command with its position: the orders of a tick are sorted by (`at_ms`, `user`, `sequence`).
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Order {
    /// Time at which the server received the datagram that released the command, in milliseconds of
    /// its monotonic clock; never decreasing.
    pub at_ms: u64,
    /// User who gave the command, from the connect token.
    pub user: UserId,
    /// Number of the command among those that this server received. It keeps each client's commands
    /// in order.
    pub sequence: u64,
    /// The user's name of the command.
    pub id: CommandId,
    /// The command itself.
    pub command: Command,
}

impl Order {
    /// Returns the sort key of the order within its tick.
    pub fn place(&self) -> (u64, UserId, u64) {
        (self.at_ms, self.user, self.sequence)
    }
}

/// Why a command had no effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Reject {
    /// The amount is zero.
    NotPositive,
    /// The amount is above [`Amount::MOST`].
    TooLarge,
    /// The house trades in another currency.
    WrongCurrency,
    /// There is no such lot.
    UnknownLot,
    /// The lot has ended.
    Closed,
    /// The action does not fit the kind of sale.
    WrongSale,
    /// The bid is below this minimum.
    BelowMinimum(Amount),
    /// The bid does not exceed the bidder's own offer, which is this.
    NotRaised(Amount),
    /// The current price, this, is above the bidder's limit.
    AboveLimit(Amount),
    /// The lot has no buy-now price, or there is a bid already.
    NoBuyNow,
    /// The available amount does not suffice.
    Funds,
    /// Sellers may not bid on their own lots.
    Seller,
    /// The user is barred from bidding.
    Denied,
    /// The user has no registered account.
    NotRegistered,
    /// A limit is reached: users, lots, lot numbers or receipts, or the offer would be the lowest
    /// of a sealed lot that keeps no more.
    Full,
    /// Only administrators may give this command.
    NotAdmin,
    /// The lot number was used before.
    LotExists,
    /// The terms of the lot are not valid.
    BadTerms,
    /// The user has no offer on the lot.
    NoBid,
}

/// Standing of a bidder right after a bid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub enum BidStanding {
    /// The bidder leads.
    Leads,
    /// Another bidder's maximum is equal or higher.
    Outbid,
    /// The offer is sealed until the close.
    Sealed,
    /// The bidder bought the lot.
    Won,
    /// The command was not a bid.
    Done,
}

/// The outcome of a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Outcome {
    /// The command took effect.
    Accepted {
        /// Standing of the bidder.
        stands: BidStanding,
        /// Alias of the bidder on this lot, from 1; 0 if the command was not a bid.
        alias: u32,
    },
    /// The command had no effect.
    Rejected(Reject),
}

/// The one answer to a command. A repetition of the command returns it again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Receipt {
    /// Number of the command among its user's, from 1; 0 for a user without an account. It does not
    /// count all users' commands, since that would reveal hidden bids.
    pub number: u64,
    /// Tick in which the command was decided.
    pub tick: u64,
    /// Outcome of the command.
    pub outcome: Outcome,
}

/// The answer to a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Answer {
    /// The command was decided, now or earlier.
    Receipt(Receipt),
    /// The user gave another command under the same key before, and that one stands.
    Conflict,
}
