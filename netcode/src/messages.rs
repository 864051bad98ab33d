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
            _ => Err(WireError::Malformed("unknown packet body")),
        }
    }
}

/// The stream that the session's own messages take; games use the others.
pub const SESSION_STREAM: Channel = Channel::Ordered(0);

/// From server to client.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum ServerMessage {
    /// First message of a session.
    Welcome {
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
}

/// From client to server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub enum ClientMessage {
    /// The client's copy is in doubt: send everything whole.
    Resync,
}

/// Encodes a message.
pub fn encode<T: Encode>(message: &T) -> Vec<u8> {
    bitcode::encode(message)
}

/// Decodes a message.
pub fn decode<T: for<'a> Decode<'a>>(bytes: &[u8]) -> Result<T, WireError> {
    bitcode::decode(bytes).map_err(|_| WireError::Malformed("undecodable message"))
}
