//! Messages between clients and the house, encoded with bitcode and sent on reliable ordered
//! streams.
//!
//! Commands and their answers use [`COMMANDS`], events of lots use [`LOTS`]. No message reveals a
//! state of accounts or lots that is not durable yet.

use bitcode::{Decode, Encode};
use truetick_netcode::channel::Channel;

use super::event::LotEvent;
use super::money::Amount;
use super::order::{Answer, Command, CommandId};
use super::public_lot::PublicLot;
use super::terms::LotId;

/// The stream of commands and their answers.
pub const COMMANDS: Channel = Channel::Ordered(1);

/// The stream of the lots' public state and events.
pub const LOTS: Channel = Channel::Ordered(2);

/// Identifier of this format. A client with another one is refused.
pub const WIRE: u64 = u64::from_le_bytes(*b"auction1");

/// A message from a client.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Request {
    /// Executes a command once, however often it is sent under this name.
    Command {
        /// The user's name of the command.
        id: CommandId,
        /// The command itself.
        command: Command,
    },
    /// Asks for the numbers of the lots.
    Catalogue {
        /// Only lots above this number; all if `None`.
        after: Option<LotId>,
    },
    /// Subscribes to the events of a lot.
    Watch {
        /// Number of the lot.
        lot: LotId,
        /// Number of the last known event; `None` asks for the whole lot.
        after: Option<u64>,
    },
    /// Ends the subscription to a lot.
    Unwatch {
        /// Number of the lot.
        lot: LotId,
    },
    /// Asks for the user's account.
    Account,
    /// Asks for the server's time.
    Time {
        /// Time of the request by the client's clock, in microseconds.
        client_us: u64,
    },
}

/// Why a command was not ordered. The refusal is not remembered, so the command may be sent again.
/// It does not reveal the fate of earlier copies of the command.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Refusal {
    /// The client sends too much; it may continue later.
    TooFast,
    /// Too much is waiting in the house; the client may continue later.
    Busy,
    /// The house cannot make orders durable and accepts nothing more.
    Stopped,
    /// The user is not an administrator of the house.
    NotAllowed,
}

/// State of the house.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub enum HouseState {
    /// The house runs normally.
    Running,
    /// Nothing has become durable for a while: the clock is paused, and commands wait.
    Stalled,
    /// Nothing becomes durable any more: no command is accepted.
    Stopped,
}

/// A message from the house.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Reply {
    /// The answer to a command. It is durable.
    Answer {
        /// The user's name of the command.
        id: CommandId,
        /// The receipt of the command, or that its number belongs to another command.
        answer: Answer,
    },
    /// A command was not ordered.
    Refused {
        /// The user's name of the command.
        id: CommandId,
        /// Reason of the refusal.
        why: Refusal,
    },
    /// Numbers of existing lots, ascending.
    Catalogue {
        /// The next lots, up to [`super::limits::CATALOGUE`].
        lots: Vec<LotId>,
        /// Whether more lots follow.
        more: bool,
    },
    /// The whole state of a lot, in place of its events so far.
    Lot(PublicLot),
    /// The next events of a watched lot.
    Events(Vec<LotEvent>),
    /// The lot does not exist, or no longer exists.
    NoLot(LotId),
    /// The amounts of the user's account.
    Account {
        /// Amount available for bids.
        available: Amount,
        /// Amount held for bids.
        held: Amount,
        /// Amount paid for lots.
        paid: Amount,
    },
    /// The current state of the house, sent at once and independent of what is durable.
    House(HouseState),
    /// The answer to a time request.
    Time {
        /// Time of the request by the client's clock, in microseconds.
        client_us: u64,
        /// Reception of the request by the server's clock, in microseconds.
        arrived_us: u64,
        /// Transmission of this answer by the server's clock, in microseconds.
        sent_us: u64,
        /// Time at which the auction's tick 0 was due, by the server's clock, in microseconds.
        /// Later ticks follow at the room's tick rate.
        epoch_us: i64,
    },
}
