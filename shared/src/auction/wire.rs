//! What clients and house tell each other, in messages (bitcode) on reliable ordered streams.
//!
//! A command is sent on [`COMMANDS`] and answered there. What happens to lots comes on [`LOTS`].
//! Nothing that is told depends on what is not durable yet.

use bitcode::{Decode, Encode};
use truetick_netcode::channel::Channel;

use super::event::LotEvent;
use super::money::Amount;
use super::order::{Answer, Command, CommandId};
use super::public_lot::PublicLot;
use super::terms::LotId;

/// The stream of commands and their answers.
pub const COMMANDS: Channel = Channel::Ordered(1);

/// The stream of what everyone may know of lots.
pub const LOTS: Channel = Channel::Ordered(2);

/// Number of this format: who was built with another is refused by name.
pub const WIRE: u64 = u64::from_le_bytes(*b"auction1");

/// From a client.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Request {
    /// Do this, once, however often I say it under this name.
    Command {
        /// The user's name for it.
        id: CommandId,
        /// What.
        command: Command,
    },
    /// Which lots are there?
    Catalogue {
        /// Only those of higher numbers.
        after: Option<LotId>,
    },
    /// Tell me what happens to a lot.
    Watch {
        /// Which.
        lot: LotId,
        /// From the event after this on; from the lot as it is, if nothing.
        after: Option<u64>,
    },
    /// Tell me no more.
    Unwatch {
        /// Of which lot.
        lot: LotId,
    },
    /// What is in my account?
    Account,
    /// What time is it?
    Time {
        /// When the client's clock says that it asks, in microseconds.
        client_us: u64,
    },
}

/// Why a command was not put in order this time. Nothing is remembered of that: it may be said
/// again. Who said it before, and heard nothing, does not know by this what became of it then.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Refusal {
    /// The client asks for too much; later it may go on.
    TooFast,
    /// More waits than the house can take; later it may go on.
    Busy,
    /// The house cannot make anything durable and takes nothing more.
    Stopped,
    /// Only those who run the house say such a thing.
    NotAllowed,
}

/// How the house is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub enum HouseState {
    /// As it should be.
    Running,
    /// Nothing has become durable for a while: the clock stands still, and all that comes waits.
    Stalled,
    /// Nothing becomes durable any more: nothing is taken.
    Stopped,
}

/// From the house.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Reply {
    /// What became of a command. It is durable.
    Answer {
        /// Of which.
        id: CommandId,
        /// What.
        answer: Answer,
    },
    /// A command was not put in order.
    Refused {
        /// Which.
        id: CommandId,
        /// Why.
        why: Refusal,
    },
    /// The lots that are there, by rising numbers.
    Catalogue {
        /// The next of them, up to [`super::limits::CATALOGUE`].
        lots: Vec<LotId>,
        /// Whether there are more.
        more: bool,
    },
    /// A lot as it is: instead of its events so far.
    Lot(PublicLot),
    /// The next events of a lot that is being watched.
    Events(Vec<LotEvent>),
    /// There is no such lot, or there is no more.
    NoLot(LotId),
    /// What is in the account.
    Account {
        /// What can be bid with.
        available: Amount,
        /// What stands behind bids.
        held: Amount,
        /// What was paid.
        paid: Amount,
    },
    /// How the house is now: said at once, whatever is durable.
    House(HouseState),
    /// What time it is.
    Time {
        /// When the client asked, by its clock.
        client_us: u64,
        /// When that came, by the server's clock, in microseconds.
        arrived_us: u64,
        /// When this left, by the server's clock.
        sent_us: u64,
        /// When the auction's tick 0 was due, by the server's clock; later ticks follow at the
        /// room's rate.
        epoch_us: i64,
    },
}
