//! Logs the events of sessions and rooms.

use tracing::{debug, error, warn};
use truetick_netcode::time::Timestamp;

use crate::server::Server;
use crate::session_event::SessionEvent;

/// Logs all faults and events since the last call.
pub fn log(server: &mut Server, now: Timestamp) {
    while let Some((room, fault, count)) = server.poll_fault(now) {
        warn!(room, count, %fault, "an error of the game's own code; no client receives it");
    }
    while let Some(event) = server.poll_event() {
        match event {
            SessionEvent::Joined(client, user, addr) => {
                debug!(client = client.0, user = user.0, %addr, "joined");
            }
            SessionEvent::Parked(client) => debug!(client = client.0, "silent; its place is kept"),
            SessionEvent::Resumed {
                client,
                addr,
                resume,
            } => {
                debug!(client = client.0, %addr, ?resume, "came back");
            }
            SessionEvent::RoomEnded { room, cause } => {
                error!(
                    room,
                    cause, "a room panicked and has ended; the others go on"
                );
            }
            SessionEvent::Mismatch(client, divergence) if divergence.differences.is_empty() => {
                warn!(
                    client = client.0,
                    "a client reports another state, but nothing that it sent differs"
                );
            }
            SessionEvent::Mismatch(client, divergence) => {
                warn!(client = client.0, %divergence, "a client decoded another state (left: server, right: client)");
            }
            SessionEvent::Displaced(client) => {
                debug!(
                    client = client.0,
                    "another client of its user takes the session over"
                );
            }
            SessionEvent::Ended(client, reason) => {
                debug!(client = client.0, ?reason, "session ended")
            }
        }
    }
}
