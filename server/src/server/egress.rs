//! Outgoing traffic: messages, snapshots, and packets that only acknowledge.

use truetick_netcode::bits::BitWriter;
use truetick_netcode::connection::Messages;
use truetick_netcode::limits::MESSAGE_PACKETS;
use truetick_netcode::messages::Body;
use truetick_netcode::session::ClientId;
use truetick_netcode::session::server::SessionServer;
use truetick_netcode::time::Timestamp;
use truetick_netcode::transport::Transport;

use super::Server;
use crate::game_fault::GameFault;
use crate::peer::Peer;
use crate::recording::capture::CaptureWriter;
use crate::world_access::WorldAccess;

impl Server {
    /// Sends the output of rooms that need not wait for the next tick. Call it between two ticks.
    pub fn flush_pending(&mut self, now: &mut dyn FnMut() -> Timestamp, sink: &mut dyn Transport) {
        for room in 0..self.rooms.len() {
            if self.rooms[room].has_pending_output(now()) {
                self.send_room(room, now, sink);
                sink.flush();
            }
        }
    }

    /// Sends each client of a room its messages and its snapshot.
    pub(super) fn send_room(
        &mut self,
        room: usize,
        now: &mut dyn FnMut() -> Timestamp,
        sink: &mut dyn Transport,
    ) {
        self.queue_messages(room, now());
        self.send_snapshots(room, now, sink);
        self.send_messages(room, now, sink);
        self.send_frames(room, now(), sink);
    }

    /// Sends the messages of clients whose transport carries frames.
    fn send_frames(&mut self, room: usize, now: Timestamp, sink: &mut dyn Transport) {
        for (client, peer) in self
            .peers
            .iter_mut()
            .filter(|(_, peer)| peer.room == room && peer.live)
        {
            while let Some(frame) = peer.connection.poll_frame(now) {
                self.sessions.send_frame(client, &frame, now, sink);
            }
        }
    }

    pub(super) fn queue_messages(&mut self, room_index: usize, now: Timestamp) {
        let room = &mut self.rooms[room_index];
        for (client, peer) in self.peers.iter_mut() {
            if peer.room == room_index && peer.is_playing() {
                room.messages(client, now, peer);
                let oversized = std::mem::take(&mut peer.oversized);
                if oversized > 0 {
                    self.faults.0.note(GameFault::Message, oversized);
                    self.faults.1 = room_index;
                }
            }
        }
    }

    fn send_snapshots(
        &mut self,
        room_index: usize,
        now: &mut dyn FnMut() -> Timestamp,
        sink: &mut dyn Transport,
    ) {
        let late_since = self.lateness.since(now());
        let Some(world) = self.rooms[room_index].world_mut() else {
            return;
        };
        let mut egress = Egress {
            sessions: &mut self.sessions,
            writer: &mut self.writer,
            capture: self.capture.as_mut().filter(|_| room_index == 0),
            sink,
        };
        // The first clients choose the baselines that later ones share, so each tick begins with
        // another client.
        let first = world.ring().tick().first_of_round(self.peers.len().max(1));
        for (client, peer) in self.peers.iter_mut_from(first) {
            if peer.room != room_index || !peer.live || !peer.is_playing() {
                continue;
            }
            let at = now();
            // A path that carries less than the floor is served in fewer ticks. Messages wait for
            // the next of them.
            let Some(budget) = peer.snapshot_budget(late_since, at) else {
                continue;
            };
            let share = peer.share_budget(budget, at);
            if !world.plan_snapshot(client, share.state, peer.connection.rtt().rtt()) {
                continue;
            }
            let Some(at) = egress.send_snapshot(client, peer, world, at, now) else {
                return;
            };
            if share.message_packet {
                egress.send_messages_alone(client, peer, at);
            }
        }
    }

    /// In rooms without a world, sends messages and acknowledgements in packets of their own.
    fn send_messages(
        &mut self,
        room: usize,
        now: &mut dyn FnMut() -> Timestamp,
        sink: &mut dyn Transport,
    ) {
        if self.rooms[room].world().is_some() {
            return;
        }
        let at = now();
        let mut egress = Egress {
            sessions: &mut self.sessions,
            writer: &mut self.writer,
            capture: None,
            sink,
        };
        for (client, peer) in self
            .peers
            .iter_mut()
            .filter(|(_, peer)| peer.room == room && peer.live)
        {
            for _ in 0..MESSAGE_PACKETS {
                if !peer.is_playing() || !peer.connection.wants_packet(at) {
                    break;
                }
                egress.send_messages_alone(client, peer, at);
            }
        }
    }
}

/// The way of a packet from a peer's connection to the transport.
struct Egress<'a> {
    sessions: &'a mut SessionServer,
    writer: &'a mut BitWriter,
    /// Records the packets with state, if there is a capture.
    capture: Option<&'a mut CaptureWriter>,
    sink: &'a mut dyn Transport,
}

impl Egress<'_> {
    /// Sends a client all packets of its planned snapshot, the first of them at `at`. Returns the
    /// time of the last packet; `None` if the world failed.
    fn send_snapshot(
        &mut self,
        client: ClientId,
        peer: &mut Peer,
        world: &mut dyn WorldAccess,
        mut at: Timestamp,
        now: &mut dyn FnMut() -> Timestamp,
    ) -> Option<Timestamp> {
        let (mut packets, mut bytes, mut more) = (0, 0, true);
        while more {
            if packets > 0 {
                at = now();
            }
            let messages = if packets == 0 {
                Messages::BesideState
            } else {
                Messages::None
            };
            peer.connection
                .set_max_payload(self.sessions.max_payload(client));
            let sequence = peer.connection.begin(self.writer, at, messages);
            self.writer.write(Body::Snapshot as u32, Body::BITS);
            let packet = (sequence, peer.connection.max_payload());
            more = world.write_snapshot(client, packet, at, self.writer);
            if world.failure().is_some() {
                return None;
            }
            peer.connection.finish(self.writer, at);
            if let Some(capture) = &mut self.capture {
                capture.packet(client.0, at, self.writer.bytes());
            }
            packets += 1;
            bytes += self
                .sessions
                .send(client, self.writer.bytes(), at, self.sink) as u64;
        }
        world.snapshot_sent(client, packets, bytes, at);
        Some(at)
    }

    /// Sends a client one packet of messages without state.
    fn send_messages_alone(&mut self, client: ClientId, peer: &mut Peer, at: Timestamp) {
        peer.connection
            .set_max_payload(self.sessions.max_payload(client));
        peer.connection.begin(self.writer, at, Messages::Alone);
        self.writer.write(Body::Empty as u32, Body::BITS);
        peer.connection.finish(self.writer, at);
        self.sessions
            .send(client, self.writer.bytes(), at, self.sink);
    }
}
