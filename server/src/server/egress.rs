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
        // The first clients choose the baselines that later ones share, so each tick begins with
        // another client.
        let first = world.ring().tick().first_of_round(self.peers.len().max(1));
        for (client, peer) in self.peers.iter_mut_from(first) {
            if peer.room != room_index || !peer.live || !peer.is_playing() {
                continue;
            }
            let mut at = now();
            // A path that carries less than the floor is served in fewer ticks. Messages wait for
            // the next of them.
            let Some(budget) = peer.snapshot_budget(late_since, at) else {
                continue;
            };
            let (budget, message_packet) = peer.share_budget(budget, at);
            if !world.plan_snapshot(client, budget, peer.connection.rtt().rtt()) {
                continue;
            }
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
                let sequence = peer.connection.begin(&mut self.writer, at, messages);
                self.writer.write(Body::Snapshot as u32, Body::BITS);
                let packet = (sequence, peer.connection.max_payload());
                more = world.write_snapshot(client, packet, at, &mut self.writer);
                if world.failure().is_some() {
                    return;
                }
                peer.connection.finish(&mut self.writer, at);
                if let Some(capture) = self.capture.as_mut().filter(|_| room_index == 0) {
                    capture.packet(client.0, at, self.writer.bytes());
                }
                packets += 1;
                bytes += self.sessions.send(client, self.writer.bytes(), at, sink) as u64;
            }
            world.snapshot_sent(client, packets, bytes, at);
            if message_packet {
                send_messages_alone(
                    (client, peer),
                    (&mut self.sessions, &mut self.writer),
                    at,
                    sink,
                );
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
        for (client, peer) in self
            .peers
            .iter_mut()
            .filter(|(_, peer)| peer.room == room && peer.live)
        {
            for _ in 0..MESSAGE_PACKETS {
                if !peer.is_playing() || !peer.connection.wants_packet(at) {
                    break;
                }
                send_messages_alone(
                    (client, peer),
                    (&mut self.sessions, &mut self.writer),
                    at,
                    sink,
                );
            }
        }
    }
}

/// Sends a client one packet of messages without state.
fn send_messages_alone(
    (client, peer): (ClientId, &mut Peer),
    (sessions, writer): (&mut SessionServer, &mut BitWriter),
    at: Timestamp,
    sink: &mut dyn Transport,
) {
    peer.connection
        .set_max_payload(sessions.max_payload(client));
    peer.connection.begin(writer, at, Messages::Alone);
    writer.write(Body::Empty as u32, Body::BITS);
    peer.connection.finish(writer, at);
    sessions.send(client, writer.bytes(), at, sink);
}
