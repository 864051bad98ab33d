//! The disconnect notice: the last message of a server in a session, with the reason for its end.
//! The standard's disconnect packet carries no reason.

use crate::bits::{BitReader, BitWriter};
use crate::error::WireError;

/// Why a session ended. The discriminants are the codes on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DisconnectReason {
    /// The client left.
    #[error("left")]
    Left = 0,
    /// The server is shutting down.
    #[error("the server stops")]
    ServerStopping = 1,
    /// The peer was silent for longer than the session's timeout.
    #[error("nothing was heard for too long")]
    TimedOut = 2,
    /// Reliable messages or removals waiting for an acknowledgement exceeded their limit.
    #[error("too much waits for an acknowledgement")]
    Overflow = 3,
    /// The peer broke the protocol, repeatedly or beyond doubt.
    #[error("the protocol was broken")]
    Misbehaved = 4,
    /// The room is full.
    #[error("the room is full")]
    Full = 5,
    /// The room that the token names does not exist.
    #[error("there is no such room")]
    NoSuchRoom = 6,
    /// The room runs another schema: client and server are of different builds.
    #[error("client and server are of different builds")]
    OtherSchema = 7,
    /// The client sent no `Hello` in time.
    #[error("the client did not say what it is")]
    NoHello = 8,
    /// The user now has another session. The client does not reconnect by itself, because that
    /// would take the session over again.
    #[error("the user has another session now")]
    Replaced = 9,
    /// The client left because the server asked its clients to reconnect elsewhere.
    #[error("the server asked its clients to reconnect")]
    Moved = 10,
    /// The server ended the session without a reason.
    #[error("the server ended the session")]
    Closed = 11,
    /// The room admits no spectators.
    #[error("the room takes no spectators")]
    NoSpectators = 12,
    /// The room failed with an error of its own. The server and its other rooms continue.
    #[error("the room ended on an error")]
    RoomFailed = 13,
    /// The client's application did not poll its events, and their buffer reached its limit.
    #[error("the application did not read its events")]
    EventsUnread = 14,
}

impl DisconnectReason {
    /// All reasons, in the order of their codes.
    pub const ALL: [Self; 15] = [
        Self::Left,
        Self::ServerStopping,
        Self::TimedOut,
        Self::Overflow,
        Self::Misbehaved,
        Self::Full,
        Self::NoSuchRoom,
        Self::OtherSchema,
        Self::NoHello,
        Self::Replaced,
        Self::Moved,
        Self::Closed,
        Self::NoSpectators,
        Self::RoomFailed,
        Self::EventsUnread,
    ];
}

/// The server's notice that it ends a session, with the reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DisconnectNotice {
    /// Why the session ends.
    pub reason: DisconnectReason,
    /// Hash of the room's schema; 0 if there is no room.
    pub schema: u64,
}

impl DisconnectNotice {
    /// Writes the notice as a packet's body.
    pub fn write(&self, writer: &mut BitWriter) {
        writer.write(self.reason as u32, 8);
        writer.write_u64(self.schema);
    }

    /// Reads a notice, which must fill the rest of its packet.
    ///
    /// # Errors
    /// [`WireError::Malformed`] if the reason is unknown, or the notice is truncated or followed by
    /// more.
    pub fn read(mut reader: BitReader<'_>) -> Result<Self, WireError> {
        let code = reader.read(8)?;
        let reason = DisconnectReason::ALL
            .iter()
            .copied()
            .find(|reason| *reason as u32 == code);
        let reason = reason.ok_or(WireError::Malformed("unknown disconnect reason"))?;
        let schema = reader.read_u64()?;
        reader.finish()?;
        Ok(Self { reason, schema })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disconnect_notice_returns_and_another_is_refused() {
        for reason in DisconnectReason::ALL {
            let mut writer = BitWriter::new();
            let disconnect = DisconnectNotice {
                reason,
                schema: 0x1234_5678_9abc_def0,
            };
            disconnect.write(&mut writer);
            writer.pad_to_byte();
            assert_eq!(
                DisconnectNotice::read(BitReader::new(writer.bytes())),
                Ok(disconnect)
            );
            assert!(DisconnectNotice::read(BitReader::new(&writer.bytes()[1..])).is_err());
        }
        assert!(
            DisconnectNotice::read(BitReader::new(&[
                DisconnectReason::ALL.len() as u8,
                0,
                0,
                0,
                0,
                0,
                0,
                0,
                0
            ]))
            .is_err()
        );
    }
}
