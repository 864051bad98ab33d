//! Events of sessions and rooms, for the host's log.

use truetick_netcode::disconnect::DisconnectReason;
use truetick_netcode::session::server::Resume;
use truetick_netcode::session::{ClientId, UserId};
use truetick_netcode::transport::PeerAddr;

use crate::recording::difference::Divergence;

/// Maximum number of events that wait for the host's log. The oldest is dropped first.
pub const EVENTS: usize = 4_096;

/// An event of a session or room, for logs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SessionEvent {
    /// A client joined its room.
    Joined(ClientId, UserId, PeerAddr),
    /// A client fell silent. Its session is kept for the grace.
    Parked(ClientId),
    /// A client resumed its session, with a ticket or with a new token.
    Resumed {
        /// Number of the client.
        client: ClientId,
        /// Its present address.
        addr: PeerAddr,
        /// Whether the state of the upper layers survived.
        resume: Resume,
    },
    /// Another client of the user took a session over. The client that had it receives a disconnect
    /// notice.
    Displaced(ClientId),
    /// A session ended.
    Ended(ClientId, DisconnectReason),
    /// A room ended by a panic. Its clients are disconnected.
    RoomEnded {
        /// Number of the room.
        room: u16,
        /// Message of the panic.
        cause: String,
    },
    /// A client decoded another state than the server has. The server is the left side of the
    /// differences.
    Mismatch(ClientId, Divergence),
}
