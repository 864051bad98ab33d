//! Changes of the sessions' states, as the layers above learn of them.

use super::super::token::{Purpose, UserData};
use super::super::{ClientId, UserId};
use crate::transport::PeerAddr;

/// Whether the state of the layers above survives when a session continues.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resume {
    /// The client is the one from before, and the server knows which state it holds.
    Continued,
    /// Another client of the user took the session over. It holds no state.
    Restarted,
}

/// A change of a session's state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// A new client has opened a session.
    Opened {
        /// The client's number.
        client: ClientId,
        /// The client's user.
        user: UserId,
        /// The client's address.
        addr: PeerAddr,
        /// What its token is for.
        purpose: Purpose,
        /// Data of the issuer; the first [`PURPOSE_BYTES`](crate::session::token::PURPOSE_BYTES)
        /// hold the purpose.
        user_data: Box<UserData>,
    },
    /// A client has fallen silent. Its session is kept for the grace period.
    Parked(ClientId),
    /// A session continues, maybe at another address.
    Resumed {
        /// The client's number.
        client: ClientId,
        /// The client's current address.
        addr: PeerAddr,
        /// Whether the client still holds the state of the layers above.
        resume: Resume,
    },
    /// A client has left.
    Left(ClientId),
    /// A parked session has ended with its grace period.
    Expired(ClientId),
    /// Another client of the user takes a session over. The previous client can still be sent to
    /// under another number, until [`SessionServer::close`](super::SessionServer::close) or for
    /// [`DEPARTING_TIME`](crate::limits::DEPARTING_TIME).
    Displaced {
        /// The session's number.
        client: ClientId,
        /// The number of the previous client.
        departing: ClientId,
    },
}
