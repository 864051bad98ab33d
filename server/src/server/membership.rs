//! Membership of rooms: handles hellos and the changes of sessions.

use std::time::Duration;

use truetick_netcode::congestion::Congestion;
use truetick_netcode::disconnect::{DisconnectNotice, DisconnectReason};
use truetick_netcode::messages::ServerMessage;
use truetick_netcode::session::server::{Change, Resume};
use truetick_netcode::session::{ClientId, Role};
use truetick_netcode::time::Timestamp;
use truetick_netcode::transport::PeerAddr;

use super::Server;
use crate::peer::{Peer, PeerState};
use crate::room::Room;
use crate::session_event::SessionEvent;

impl Server {
    /// Handles a hello: the client joins its room, or its session ends with the reason of the
    /// refusal.
    pub(super) fn on_hello(&mut self, client: ClientId, schema: u64, now: Timestamp) {
        let greets = |peer: &&mut Peer| matches!(peer.stage, PeerState::AwaitingHello { .. });
        let Some(peer) = self.peers.get_mut(client).filter(greets) else {
            return;
        };
        let Some(session) = self.sessions.roster().get(client) else {
            return;
        };
        let (user, role) = (session.user, session.role);
        let addr = session.live.as_ref().map(|live| live.addr);
        let room = self.rooms.get(peer.room).map(|room| &**room);
        let refused = refusal(room, client, role, schema);
        if let Some(reason) = refused {
            return self.begin_to_end(client, reason, now);
        }
        let room = &mut self.rooms[peer.room];
        let (tick_rate, epoch_us) = (room.timeline().rate(), room.timeline().epoch_us());
        peer.stage = PeerState::Active;
        if let Some(capture) = self.capture.as_mut().filter(|_| peer.room == 0) {
            capture.session(client.0, now);
        }
        let config = room.config();
        peer.congestion = Some(Congestion::new(
            config.snapshot_floor_bytes,
            config.snapshot_bytes,
            Duration::from_secs(1) / tick_rate,
            now,
        ));
        peer.tell(&ServerMessage::Welcome {
            client: client.0,
            tick_rate,
            epoch_us,
        });
        let is_new = !room.has(client);
        if is_new {
            room.join(client, user, role)
        } else {
            room.resume(client, Resume::Restarted)
        }
        if let Some(drain) = &self.drain {
            peer.tell(&drain.order());
        }
        if let Some(addr) = addr {
            self.note(match is_new {
                true => SessionEvent::Joined(client, user, addr),
                false => SessionEvent::Resumed {
                    client,
                    addr,
                    resume: Resume::Restarted,
                },
            });
        }
    }

    /// Applies the changes that the session layer reports.
    pub(super) fn note_changes(&mut self, now: Timestamp) {
        while let Some(change) = self.sessions.poll_change() {
            match change {
                Change::Opened {
                    client,
                    purpose,
                    addr,
                    ..
                } => {
                    let seed = self.sessions.draw();
                    let peer = Peer::new(
                        client,
                        usize::from(purpose.room),
                        seed,
                        addr.is_connection_oriented(),
                        now,
                    );
                    self.peers.insert(client, peer);
                }
                Change::Parked(client) => self.park(client),
                Change::Resumed {
                    client,
                    addr,
                    resume,
                } => self.resume(client, addr, resume, now),
                Change::Left(client) => self.end(client, DisconnectReason::Left),
                Change::Expired(client) => self.end(client, DisconnectReason::TimedOut),
                Change::Displaced { client, departing } => self.displace(client, departing, now),
            }
        }
    }

    /// Gives a session to another client of the same user. The client that had it receives a
    /// disconnect notice under the number `departing`.
    fn displace(&mut self, client: ClientId, departing: ClientId, now: Timestamp) {
        let Some(peer) = self.peers.get_mut(client) else {
            return;
        };
        let tick_rate = self
            .rooms
            .get(peer.room)
            .map_or(0, |room| room.timeline().rate());
        let successor = peer.successor(0, false, tick_rate, now);
        let was_playing = peer.is_playing();
        let mut old = std::mem::replace(peer, successor);
        peer.stage = old.stage;
        if !matches!(old.stage, PeerState::Closing { .. }) {
            let schema = self
                .rooms
                .get(old.room)
                .map_or(0, |room| room.schema_hash());
            old.begin_to_end(
                DisconnectNotice {
                    reason: DisconnectReason::Replaced,
                    schema,
                },
                now,
            );
        }
        old.client = departing;
        if was_playing {
            self.note(SessionEvent::Displaced(client));
        }
        self.peers.insert(departing, old);
    }

    fn park(&mut self, client: ClientId) {
        let Some(peer) = self.peers.get_mut(client) else {
            return;
        };
        peer.live = false;
        if peer.is_playing() {
            self.rooms[peer.room].suspend(client);
            self.note(SessionEvent::Parked(client));
        }
    }

    fn resume(&mut self, client: ClientId, addr: PeerAddr, resume: Resume, now: Timestamp) {
        let seed = self.sessions.draw();
        let Some(peer) = self.peers.get_mut(client) else {
            return;
        };
        peer.live = true;
        peer.ticket_due = now;
        peer.resumed();
        if matches!(peer.stage, PeerState::Closing { .. }) && resume == Resume::Continued {
            return;
        }
        if resume == Resume::Restarted {
            if peer.is_playing() {
                self.rooms[peer.room].suspend(client);
            }
            let tick_rate = self
                .rooms
                .get(peer.room)
                .map_or(0, |room| room.timeline().rate());
            *peer = peer.successor(seed, addr.is_connection_oriented(), tick_rate, now);
        } else if peer.is_playing() {
            self.rooms[peer.room].resume(client, Resume::Continued);
        }
        if resume == Resume::Continued {
            self.note(SessionEvent::Resumed {
                client,
                addr,
                resume,
            });
        }
    }
}

/// Why a client may not join a room with a schema of this hash; `None` if it may.
fn refusal(
    room: Option<&dyn Room>,
    client: ClientId,
    role: Role,
    schema: u64,
) -> Option<DisconnectReason> {
    match room {
        None => Some(DisconnectReason::NoSuchRoom),
        Some(room) if room.failure().is_some() => Some(DisconnectReason::RoomFailed),
        Some(room) if room.schema_hash() != schema => Some(DisconnectReason::OtherSchema),
        Some(room) if role == Role::Spectator && !room.takes_spectators() => {
            Some(DisconnectReason::NoSpectators)
        }
        Some(room) if !room.has(client) && room.is_full(role) => Some(DisconnectReason::Full),
        Some(_) => None,
    }
}
