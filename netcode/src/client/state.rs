//! The state of a client, and why its session ended.

use crate::disconnect::DisconnectReason;
use crate::session::client::Failure;

/// State of a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientState {
    /// The client is opening the session.
    Connecting,
    /// The client is in its room. A spectator is in this state, too.
    Playing,
    /// The client is in its room, but no command arrived in time for
    /// [`crate::limits::UNHEARD_TIME`]: the path to the server is too long or carries nothing.
    Unheard,
    /// The client is in its room, but the server is silent; the session is being resumed.
    Silent,
    /// The session is over. A new session needs a new token.
    Ended(End),
}

/// Why a session ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum End {
    /// The server gave a reason, or the client ended the session.
    #[error("{0}")]
    Disconnected(DisconnectReason),
    /// Client and server are of different builds.
    #[error(
        "incompatible versions: the server's schema is {server:016x}, this client's is {client:016x}"
    )]
    OtherSchema {
        /// Hash of the server's schema.
        server: u64,
        /// Hash of the client's schema.
        client: u64,
    },
    /// The session could not be opened, or was lost.
    #[error("{0}")]
    Failed(Failure),
}
