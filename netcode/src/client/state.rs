//! Where a client stands, and why it is over.

use crate::disconnect::DisconnectReason;
use crate::session::client::Failure;

/// Where a client stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientState {
    /// Opening the session.
    Connecting,
    /// In the room.
    Playing,
    /// In the room, but no command has arrived in time for [`crate::limits::UNHEARD_TIME`]: the way
    /// to the server is too long or carries nothing.
    Unheard,
    /// In the room, but the server is silent: the session is being resumed.
    Silent,
    /// It is over. Whoever wants to go on asks for a new token.
    Ended(End),
}

/// Why it is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum End {
    /// The server said why, or the client left.
    #[error("{0}")]
    Told(DisconnectReason),
    /// Client and server are of different builds.
    #[error(
        "incompatible versions: the server's schema is {server:016x}, this client's is {client:016x}"
    )]
    OtherSchema {
        /// Hash of the server's schema.
        server: u64,
        /// Hash of the client's.
        client: u64,
    },
    /// No session came about, or it was lost.
    #[error("{0}")]
    Failed(Failure),
}
