//! Endings: of single sessions, and of all of them when the server drains or stops.

use truetick_netcode::disconnect::{DisconnectNotice, DisconnectReason};
use truetick_netcode::limits::DISCONNECT_COPIES;
use truetick_netcode::session::ClientId;
use truetick_netcode::time::Timestamp;
use truetick_netcode::transport::Transport;

use super::Server;
use crate::drain::Drain;
use crate::session_event::SessionEvent;

impl Server {
    /// Ends the sessions of a room that must end.
    pub(super) fn end_sessions(&mut self, room: usize, now: Timestamp) {
        let mut over = Vec::new();
        for (client, peer) in self.peers.iter_mut().filter(|(_, peer)| peer.room == room) {
            if self.rooms[room].is_overwhelmed(client) {
                peer.ending.get_or_insert(DisconnectReason::Overflow);
            }
            over.extend(peer.must_end(now).map(|reason| (client, reason)));
        }
        for (client, reason) in over {
            self.begin_to_end(client, reason, now);
        }
    }

    /// Removes a client from its room at once and begins to send its disconnect notice.
    pub(super) fn begin_to_end(
        &mut self,
        client: ClientId,
        reason: DisconnectReason,
        now: Timestamp,
    ) {
        let Some(peer) = self.peers.get_mut(client) else {
            return;
        };
        let schema = self
            .rooms
            .get(peer.room)
            .map_or(0, |room| room.schema_hash());
        peer.begin_to_end(DisconnectNotice { reason, schema }, now);
        self.leave_room(client, reason);
    }

    pub(super) fn leave_room(&mut self, client: ClientId, reason: DisconnectReason) {
        let Some(room) = self
            .peers
            .get(client)
            .and_then(|peer| self.rooms.get_mut(peer.room))
        else {
            return;
        };
        if room.has(client) {
            room.leave(client, reason != DisconnectReason::Left);
            self.note(SessionEvent::Ended(client, reason));
        }
    }

    /// Removes a client whose session is already over.
    pub(super) fn end(&mut self, client: ClientId, reason: DisconnectReason) {
        self.leave_room(client, reason);
        self.peers.remove(client);
    }

    /// Begins to drain: no new client is admitted, and clients are ordered to leave at a random
    /// moment, as `drain` specifies.
    pub fn drain(&mut self, drain: Drain) {
        self.sessions.drain();
        self.drain = Some(drain);
    }

    /// Whether a drain has begun and is complete: no live session remains, or its limit has passed.
    /// Parked sessions are not waited for. Spectators are not waited for once the time to leave is
    /// over, because a page may not support the order.
    pub fn is_drained(&self, now: Timestamp) -> bool {
        let (live, players) = (
            self.sessions.roster().live(),
            self.sessions.roster().live_players(),
        );
        let alone = |drain: &Drain| live == 0 || (players == 0 && drain.obeyed(now));
        self.drain
            .as_ref()
            .is_some_and(|drain| alone(drain) || drain.is_over(now))
    }

    /// Admits no more clients and sends every client [`DISCONNECT_COPIES`] disconnect notices.
    pub fn stop(&mut self, now: Timestamp, sink: &mut dyn Transport) {
        self.sessions.drain();
        self.end_failed_rooms(now);
        let disconnect = |schema| DisconnectNotice {
            reason: DisconnectReason::ServerStopping,
            schema,
        };
        for (client, peer) in std::mem::take(&mut self.peers).iter_mut() {
            let schema = self
                .rooms
                .get(peer.room)
                .map_or(0, |room| room.schema_hash());
            for _ in 0..DISCONNECT_COPIES {
                peer.write_disconnect(disconnect(schema), &mut self.writer, now);
                self.sessions.send(client, self.writer.bytes(), now, sink);
            }
            self.sessions.close(client, sink);
        }
        sink.flush();
    }
}
