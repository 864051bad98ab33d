//! Who is in which room: clients that say hello, and what becomes of their sessions.

use std::time::Duration;

use truetick_netcode::congestion::Congestion;
use truetick_netcode::farewell::{DisconnectReason, Farewell};
use truetick_netcode::messages::ServerMessage;
use truetick_netcode::session::server::Change;
use truetick_netcode::session::{ClientId, Role};
use truetick_netcode::time::Timestamp;
use truetick_netcode::transport::Route;

use super::Server;
use crate::core::any_room::RoomConfig;
use crate::core::peer::{Peer, Stage};
use crate::core::session_event::SessionEvent;

impl Server {
    /// A client says what it is: it gets into its room, or hears why not.
    pub(super) fn greet(&mut self, client: ClientId, schema: u64, now: Timestamp) {
        let greets = |peer: &&mut Peer| matches!(peer.stage, Stage::Greeting { .. });
        let Some(peer) = self.peers.get_mut(client).filter(greets) else { return };
        let Some(session) = self.sessions.roster().get(client) else { return };
        let (user, role) = (session.user, session.role);
        let route = session.live.as_ref().map(|live| live.route);
        let refused = match self.rooms.get(peer.room) {
            None => Some(DisconnectReason::NoSuchRoom),
            Some(room) if room.failure().is_some() => Some(DisconnectReason::RoomFailed),
            Some(room) if room.schema_hash() != schema => Some(DisconnectReason::OtherSchema),
            Some(room) if role == Role::Spectator && !room.takes_spectators() => {
                Some(DisconnectReason::NoSpectators)
            }
            Some(room) if !room.has(client) && room.is_full(role) => Some(DisconnectReason::Full),
            Some(_) => None,
        };
        if let Some(reason) = refused {
            return self.begin_to_end(client, reason, now);
        }
        let room = &mut self.rooms[peer.room];
        let (tick_rate, epoch_us) = (room.timeline().rate(), room.timeline().epoch_us());
        peer.stage = Stage::Playing;
        let RoomConfig { snapshot_floor_bytes, snapshot_bytes, .. } = *room.config();
        if let Some(capture) = self.capture.as_mut().filter(|_| peer.room == 0) {
            capture.session(client.0, now);
        }
        let tick = Duration::from_secs(1) / tick_rate;
        peer.congestion = Some(Congestion::new(snapshot_floor_bytes, snapshot_bytes, tick, now));
        peer.tell(&ServerMessage::Welcome { client: client.0, tick_rate, epoch_us });
        let is_new = !room.has(client);
        if is_new {
            room.join(client, user, role)
        } else {
            room.resume(client, true)
        }
        if let Some(drain) = &self.drain {
            peer.tell(&drain.order());
        }
        if let Some(route) = route {
            self.note(match is_new {
                true => SessionEvent::Joined(client, user, route),
                false => SessionEvent::Resumed { client, route, anew: true },
            });
        }
    }

    /// Takes over what became of sessions.
    pub(super) fn note_changes(&mut self, now: Timestamp) {
        while let Some(change) = self.sessions.poll_change() {
            match change {
                Change::Opened { client, purpose, route, .. } => {
                    let seed = self.sessions.draw();
                    let peer = Peer::new(client, usize::from(purpose.room), (seed, route.is_secured()), now);
                    self.peers.insert(client, peer);
                }
                Change::Parked(client) => self.park(client),
                Change::Resumed { client, route, anew } => self.resume(client, route, anew, now),
                Change::Left(client) => self.end(client, DisconnectReason::Left),
                Change::Expired(client) => self.end(client, DisconnectReason::TimedOut),
                Change::Displaced { client, departing } => self.displace(client, departing, now),
            }
        }
    }

    /// Another client of the same user has the session from now on; the one that had it is told so under the number `departing`.
    fn displace(&mut self, client: ClientId, departing: ClientId, now: Timestamp) {
        let Some(peer) = self.peers.get_mut(client) else { return };
        let tick_rate = self.rooms.get(peer.room).map_or(0, |room| room.timeline().rate());
        let successor = peer.successor(0, false, tick_rate, now);
        let was_playing = peer.is_playing();
        let mut old = std::mem::replace(peer, successor);
        peer.stage = old.stage;
        if !matches!(old.stage, Stage::Ending { .. }) {
            let schema = self.rooms.get(old.room).map_or(0, |room| room.schema_hash());
            old.begin_to_end(Farewell { reason: DisconnectReason::Replaced, schema }, now);
        }
        old.client = departing;
        if was_playing {
            self.note(SessionEvent::Displaced(client));
        }
        self.peers.insert(departing, old);
    }

    fn park(&mut self, client: ClientId) {
        let Some(peer) = self.peers.get_mut(client) else { return };
        peer.live = false;
        if peer.is_playing() {
            self.rooms[peer.room].suspend(client);
            self.note(SessionEvent::Parked(client));
        }
    }

    fn resume(&mut self, client: ClientId, route: Route, anew: bool, now: Timestamp) {
        let seed = self.sessions.draw();
        let Some(peer) = self.peers.get_mut(client) else { return };
        peer.live = true;
        peer.ticket_due = now;
        peer.resumed();
        if matches!(peer.stage, Stage::Ending { .. }) && !anew {
            return;
        }
        if anew {
            if peer.is_playing() {
                self.rooms[peer.room].suspend(client);
            }
            let tick_rate = self.rooms.get(peer.room).map_or(0, |room| room.timeline().rate());
            *peer = peer.successor(seed, route.is_secured(), tick_rate, now);
        } else if peer.is_playing() {
            self.rooms[peer.room].resume(client, false);
        }
        if !anew {
            self.note(SessionEvent::Resumed { client, route, anew });
        }
    }
}
