//! What becomes of sessions, for the host's log.

use truetick_netcode::disconnect::DisconnectReason;
use truetick_netcode::session::server::Resume;
use truetick_netcode::session::{ClientId, UserId};
use truetick_netcode::transport::PeerAddr;

use crate::recording::difference::Divergence;

/// Comings and goings that wait for the host's log; the oldest makes room.
pub const EVENTS: usize = 4_096;

/// What happened to a session, for logs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SessionEvent {
    /// A client came into its room.
    Joined(ClientId, UserId, PeerAddr),
    /// A client fell silent; what it owns is kept for the grace.
    Parked(ClientId),
    /// A client is back, with a ticket or (`anew`) with a new token.
    Resumed {
        /// Its number.
        client: ClientId,
        /// The way to it now.
        addr: PeerAddr,
        /// It holds nothing of what it was told before.
        resume: Resume,
    },
    /// Another client of the user takes a session over; the one that had it is told.
    Displaced(ClientId),
    /// A session ended.
    Ended(ClientId, DisconnectReason),
    /// A room has ended by a panic; its clients are told.
    RoomEnded {
        /// The room's number.
        room: u16,
        /// The panic's message.
        cause: String,
    },
    /// A client decoded something else than the server has: what differs, the server's being the
    /// left side.
    Mismatch(ClientId, Divergence),
}
