//! What a packet's body is, and the reliable messages of the session itself (bitcode).

use bitcode::{Decode, Encode};

use crate::channel::Channel;
use crate::error::WireError;
use crate::limits::{FIELDS_PER_ENTITY, REPORT_BYTES, REPORTED_ENTITIES, SHORT_MESSAGE_BYTES};

/// What follows the messages in a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Body {
    /// Nothing: the packet acknowledges, carries messages or keeps the session alive.
    Empty = 0,
    /// [`crate::replication::snapshot`], from the server.
    Snapshot = 1,
    /// [`crate::command`], from a client.
    Commands = 2,
    /// [`crate::disconnect`], from the server.
    DisconnectNotice = 3,
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
            3 => Ok(Self::DisconnectNotice),
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
        /// When tick 0 was due, in microseconds of the server's clock; later ticks follow at the
        /// rate.
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
    /// By this token, once, the client comes back to its session should it lose it. A newer one
    /// replaces it.
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

/// Which message of a client it is: known from its first byte, before it is decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientMessageKind {
    /// [`ClientMessage::Hello`].
    Hello = 0,
    /// [`ClientMessage::Resync`].
    Resync = 1,
    /// [`ClientMessage::Mismatch`].
    Mismatch = 2,
}

impl ClientMessageKind {
    /// The kind of an encoded message.
    ///
    /// # Errors
    /// [`WireError::Misbehaving`] if no client sends a message that begins so, or one that long.
    pub fn of(bytes: &[u8]) -> Result<Self, WireError> {
        let (kind, most) = match bytes.first() {
            Some(0) => (Self::Hello, SHORT_MESSAGE_BYTES),
            Some(1) => (Self::Resync, SHORT_MESSAGE_BYTES),
            Some(2) => (Self::Mismatch, REPORT_BYTES),
            _ => return Err(NOT_A_CLIENTS),
        };
        if bytes.len() > most { Err(NOT_A_CLIENTS) } else { Ok(kind) }
    }
}

const NOT_A_CLIENTS: WireError = WireError::Misbehaving("a message that no client sends");

/// Decodes a message of a client, whose size is checked before.
///
/// # Errors
/// [`WireError::Misbehaving`] if no client sends such a message.
pub fn decode_client_message(bytes: &[u8]) -> Result<ClientMessage, WireError> {
    ClientMessageKind::of(bytes)?;
    let message = decode(bytes).map_err(|_| NOT_A_CLIENTS)?;
    let is_sent = match &message {
        ClientMessage::Hello { .. } | ClientMessage::Resync => true,
        ClientMessage::Mismatch(report) => {
            report.entities.len() <= REPORTED_ENTITIES
                && report.entities.iter().all(|entity| entity.fields.len() <= FIELDS_PER_ENTITY)
        }
    };
    if is_sent { Ok(message) } else { Err(NOT_A_CLIENTS) }
}

/// What a client made of a packet whose hash did not fit: enough for the server to name the field
/// that differs.
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

#[cfg(test)]
mod tests {
    use super::*;

    fn report(entities: usize, fields: usize) -> ClientMessage {
        let entity = |at: usize| ReportedEntity {
            slot: u16::MAX - at as u16,
            generation: 0x5a5a ^ (at * 977) as u16,
            own: at.is_multiple_of(3),
            tick: u32::MAX - (at * 7_919) as u32,
            fields: (0..fields)
                .map(|field| u32::MAX - ((at * 40 + field) * 104_729) as u32)
                .collect(),
        };
        let entities = (0..entities).map(entity).collect();
        ClientMessage::Mismatch(MismatchReport { tick: u32::MAX, entities })
    }

    #[test]
    fn the_kind_of_a_clients_message_is_its_first_byte_and_its_size_is_bounded_before_it_is_decoded()
     {
        let largest = report(REPORTED_ENTITIES, FIELDS_PER_ENTITY);
        for (message, kind) in [
            (ClientMessage::Hello { schema: u64::MAX }, ClientMessageKind::Hello),
            (ClientMessage::Hello { schema: 0 }, ClientMessageKind::Hello),
            (ClientMessage::Resync, ClientMessageKind::Resync),
            (report(0, 0), ClientMessageKind::Mismatch),
            (largest, ClientMessageKind::Mismatch),
        ] {
            let bytes = encode(&message);
            assert_eq!(
                ClientMessageKind::of(&bytes),
                Ok(kind),
                "{} bytes: {:?}",
                bytes.len(),
                &bytes[..1]
            );
            assert_eq!(decode_client_message(&bytes), Ok(message));
        }
        let too_long = [(0u8, SHORT_MESSAGE_BYTES), (1, SHORT_MESSAGE_BYTES), (2, REPORT_BYTES)];
        for (first, most) in too_long {
            let mut bytes = vec![first; most];
            assert!(ClientMessageKind::of(&bytes).is_ok());
            bytes.push(0);
            assert_eq!(decode_client_message(&bytes), Err(NOT_A_CLIENTS));
        }
        assert_eq!(ClientMessageKind::of(&[]), Err(NOT_A_CLIENTS));
        assert_eq!(ClientMessageKind::of(&[3]), Err(NOT_A_CLIENTS));
        for message in [report(REPORTED_ENTITIES + 1, 1), report(1, FIELDS_PER_ENTITY + 1)] {
            assert_eq!(decode_client_message(&encode(&message)), Err(NOT_A_CLIENTS));
        }
    }
}
