//! What a packet's body is, and the reliable messages of the session itself (bitcode).

use bitcode::{Decode, Encode};

use crate::channel::Channel;
use crate::error::WireError;

/// What follows the messages in a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Body {
    /// Nothing: the packet acknowledges, carries messages or keeps the session alive.
    Empty = 0,
    /// [`crate::replication::snapshot`], from the server.
    Snapshot = 1,
    /// [`crate::command`], from a client.
    Commands = 2,
    /// [`crate::farewell`], from the server.
    Farewell = 3,
}

impl Body {
    /// Bits of the tag.
    pub const BITS: u32 = 2;

    /// The body that a tag names.
    pub fn from_tag(tag: u32) -> Result<Self, WireError> {
        match tag {
            0 => Ok(Self::Empty),
            1 => Ok(Self::Snapshot),
            2 => Ok(Self::Commands),
            3 => Ok(Self::Farewell),
            _ => Err(WireError::Malformed("unknown packet body")),
        }
    }
}

/// The stream that the session's own messages take; games use the others.
pub const SESSION_STREAM: Channel = Channel::Ordered(0);

/// From server to client.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum ServerMessage {
    /// The client is in its room: the answer to [`ClientMessage::Hello`].
    Welcome {
        /// The client's number.
        client: u32,
        /// Ticks per second.
        tick_rate: u32,
        /// When tick 0 was due, in microseconds of the server's clock; later ticks follow at the rate.
        epoch_us: i64,
    },
    /// The server fell behind and moved its time line.
    Timeline {
        /// The new [`ServerMessage::Welcome::epoch_us`].
        epoch_us: i64,
    },
    /// Something that happened in the game.
    Event {
        /// When it happened.
        tick: u32,
        /// The game's own encoding.
        data: Vec<u8>,
    },
    /// By this token, once, the client comes back to its session should it lose it. A newer one replaces it.
    Ticket {
        /// A connect token; zero bytes at its end are left out.
        token: Vec<u8>,
    },
    /// The server will stop: leave at a random moment and join anew, wherever a new token leads.
    Drain {
        /// The same in each copy of one order.
        id: u32,
        /// Longest wait, in milliseconds from the first copy.
        within_ms: u32,
    },
}

/// From client to server.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum ClientMessage {
    /// First message of a session: what the client was built with.
    Hello {
        /// Hash of its schema.
        schema: u64,
    },
    /// The client's copy is in doubt: send everything whole.
    Resync,
    /// A packet decoded to something else than the server's hash says.
    Mismatch(MismatchReport),
}

/// What a client made of a packet whose hash did not fit: enough for the server to name the field that differs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct MismatchReport {
    /// Tick of the packet.
    pub tick: u32,
    /// Its entities as decoded, the first [`crate::limits::REPORTED_ENTITIES`] of them.
    pub entities: Vec<ReportedEntity>,
}

/// One entity of a [`MismatchReport`].
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct ReportedEntity {
    /// Its slot.
    pub slot: u16,
    /// Generation of the slot.
    pub generation: u16,
    /// Whether it is the owner's copy.
    pub own: bool,
    /// Tick of the state.
    pub tick: u32,
    /// Every field; invisible ones are 0.
    pub fields: Vec<u32>,
}

/// Encodes a message.
pub fn encode<T: Encode>(message: &T) -> Vec<u8> {
    bitcode::encode(message)
}

/// Decodes a message.
pub fn decode<T: for<'a> Decode<'a>>(bytes: &[u8]) -> Result<T, WireError> {
    bitcode::decode(bytes).map_err(|_| WireError::Malformed("undecodable message"))
}
