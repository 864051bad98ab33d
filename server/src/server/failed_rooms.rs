//! The end of a room that has panicked: its clients are disconnected, and the other rooms continue.

use truetick_netcode::disconnect::DisconnectReason;
use truetick_netcode::time::Timestamp;

use super::Server;
use crate::peer::PeerState;
use crate::session_event::SessionEvent;

impl Server {
    /// Whether every room has ended by a panic and no peer remains. `false` for a server without
    /// rooms.
    pub fn has_failed(&self) -> bool {
        !self.rooms.is_empty() && self.failed.len() == self.rooms.len() && self.peers.is_empty()
    }

    /// The rooms that have ended by a panic: their numbers and the messages of the panics.
    pub fn failed_rooms(&self) -> Vec<(usize, String)> {
        let rooms = self.rooms.iter().enumerate();
        rooms
            .filter_map(|(number, room)| Some((number, room.failure()?.into())))
            .collect()
    }

    /// Closes the rooms that have panicked since the last call, and ends the sessions of all
    /// clients of failed rooms, including clients that arrived since.
    pub(super) fn end_failed_rooms(&mut self, now: Timestamp) {
        for number in 0..self.rooms.len() {
            let room = &mut self.rooms[number];
            let Some(cause) = room.failure().map(String::from) else {
                continue;
            };
            if self.failed.insert(number) {
                room.abandon();
                self.note(SessionEvent::RoomEnded {
                    room: number as u16,
                    cause,
                });
            }
        }
        if self.failed.is_empty() {
            return;
        }
        let peers = self
            .peers
            .iter()
            .filter(|(_, peer)| self.failed.contains(&peer.room));
        let left = peers.filter(|(_, peer)| !matches!(peer.stage, PeerState::Closing { .. }));
        let clients: Vec<_> = left.map(|(client, _)| client).collect();
        clients
            .into_iter()
            .for_each(|client| self.begin_to_end(client, DisconnectReason::RoomFailed, now));
    }
}
