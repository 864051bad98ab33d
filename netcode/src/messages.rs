//! The kinds of a packet's body, and the session's own reliable messages (encoded with bitcode).

use bitcode::{Decode, Encode};

use crate::channel::Channel;
use crate::error::WireError;
use crate::limits::{FIELDS_PER_ENTITY, REPORT_BYTES, REPORTED_ENTITIES, SHORT_MESSAGE_BYTES};

/// The kind of content that follows the messages in a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Body {
    /// No body: the packet carries acknowledgements or messages, or keeps the session alive.
    Empty = 0,
    /// A snapshot from the server; see [`crate::replication::snapshot`].
    Snapshot = 1,
    /// Commands from a client; see [`crate::command`].
    Commands = 2,
    /// A disconnect notice from the server; see [`crate::disconnect`].
    DisconnectNotice = 3,
}

impl Body {
    /// Number of bits of the body's tag on the wire.
    pub const BITS: u32 = 2;

    /// Returns the body that a tag names.
    ///
    /// # Errors
    /// [`WireError::Malformed`] if no body has this tag.
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

/// The channel of the session's own messages. Games use the other channels.
pub const SESSION_STREAM: Channel = Channel::Ordered(0);

/// A message of the session from server to client.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum ServerMessage {
    /// The answer to [`ClientMessage::Hello`]: the client has joined its room.
    Welcome {
        /// The client's id in its server.
        client: u32,
        /// Simulation rate, in ticks per second.
        tick_rate: u32,
        /// Time at which tick 0 was due, in microseconds of the server's clock. Later ticks follow
        /// at `tick_rate`.
        epoch_us: i64,
    },
    /// The server fell behind and shifted its timeline.
    Timeline {
        /// The new value of [`ServerMessage::Welcome::epoch_us`], in microseconds.
        epoch_us: i64,
    },
    /// A game event.
    Event {
        /// Tick at which the event happened.
        tick: u32,
        /// The event in the game's own encoding.
        data: Vec<u8>,
    },
    /// A resume ticket: a single-use token with which a client that lost its session resumes it. A
    /// newer ticket replaces an older one.
    Ticket {
        /// The connect token, without the zero bytes at its end.
        token: Vec<u8>,
    },
    /// The server is about to stop. The client leaves at a random moment and joins again with a new
    /// token, on whichever server that token names.
    Drain {
        /// Id of the drain order. All copies of one order carry the same id.
        id: u32,
        /// Longest wait before leaving, in milliseconds from the first copy.
        within_ms: u32,
    },
}

/// A message of the session from client to server.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum ClientMessage {
    /// The first message of a session. It identifies the client's build.
    Hello {
        /// Hash of the client's schema.
        schema: u64,
    },
    /// The client's replicated state is in doubt: the server must send every entity whole.
    Resync,
    /// A packet decoded to a state whose hash differs from the server's.
    Mismatch(MismatchReport),
}

/// The kind of a client's message. Its first byte determines it before the message is decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientMessageKind {
    /// The first message of a session, [`ClientMessage::Hello`].
    Hello = 0,
    /// A request for every entity whole, [`ClientMessage::Resync`].
    Resync = 1,
    /// A report of a hash mismatch, [`ClientMessage::Mismatch`].
    Mismatch = 2,
}

impl ClientMessageKind {
    /// Returns the kind of an encoded client message and checks the message's length.
    ///
    /// # Errors
    /// [`WireError::Misbehaving`] if no client message begins with this byte, or none of this kind
    /// is this long.
    pub fn of(bytes: &[u8]) -> Result<Self, WireError> {
        let (kind, most) = match bytes.first() {
            Some(0) => (Self::Hello, SHORT_MESSAGE_BYTES),
            Some(1) => (Self::Resync, SHORT_MESSAGE_BYTES),
            Some(2) => (Self::Mismatch, REPORT_BYTES),
            _ => return Err(NOT_A_CLIENTS),
        };
        if bytes.len() > most {
            Err(NOT_A_CLIENTS)
        } else {
            Ok(kind)
        }
    }
}

const NOT_A_CLIENTS: WireError = WireError::Misbehaving("a message that no client sends");

/// Decodes a client's message after checking its size.
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
                && report
                    .entities
                    .iter()
                    .all(|entity| entity.fields.len() <= FIELDS_PER_ENTITY)
        }
    };
    if is_sent {
        Ok(message)
    } else {
        Err(NOT_A_CLIENTS)
    }
}

/// What a client decoded from a packet whose hash did not match. It lets the server name the field
/// that differs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct MismatchReport {
    /// Tick of the packet.
    pub tick: u32,
    /// The packet's entities as decoded, at most the first [`crate::limits::REPORTED_ENTITIES`].
    pub entities: Vec<ReportedEntity>,
}

/// One entity of a [`MismatchReport`], as the client decoded it.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct ReportedEntity {
    /// The entity's slot.
    pub slot: u16,
    /// Generation of the slot.
    pub generation: u16,
    /// Whether this is the copy that the entity's owner receives.
    pub own: bool,
    /// Tick of the entity's state.
    pub tick: u32,
    /// The values of all fields; fields that are invisible to the client are 0.
    pub fields: Vec<u32>,
}

/// Encodes a message with bitcode.
pub fn encode<T: Encode>(message: &T) -> Vec<u8> {
    bitcode::encode(message)
}

/// Decodes a message with bitcode.
///
/// # Errors
/// [`WireError::Malformed`] if the bytes do not decode as `T`.
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
        ClientMessage::Mismatch(MismatchReport {
            tick: u32::MAX,
            entities,
        })
    }

    #[test]
    fn the_kind_of_a_clients_message_is_its_first_byte_and_its_size_is_bounded_before_it_is_decoded()
     {
        let largest = report(REPORTED_ENTITIES, FIELDS_PER_ENTITY);
        for (message, kind) in [
            (
                ClientMessage::Hello { schema: u64::MAX },
                ClientMessageKind::Hello,
            ),
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
        let too_long = [
            (0u8, SHORT_MESSAGE_BYTES),
            (1, SHORT_MESSAGE_BYTES),
            (2, REPORT_BYTES),
        ];
        for (first, most) in too_long {
            let mut bytes = vec![first; most];
            assert!(ClientMessageKind::of(&bytes).is_ok());
            bytes.push(0);
            assert_eq!(decode_client_message(&bytes), Err(NOT_A_CLIENTS));
        }
        assert_eq!(ClientMessageKind::of(&[]), Err(NOT_A_CLIENTS));
        assert_eq!(ClientMessageKind::of(&[3]), Err(NOT_A_CLIENTS));
        for message in [
            report(REPORTED_ENTITIES + 1, 1),
            report(1, FIELDS_PER_ENTITY + 1),
        ] {
            assert_eq!(decode_client_message(&encode(&message)), Err(NOT_A_CLIENTS));
        }
    }
}
