//! What a server sends in its sessions: payloads, frames, keep-alives, answers and disconnects.

use super::super::ClientId;
use super::super::packet::Kind;
use super::super::secured;
use super::SessionServer;
use crate::limits::{DISCONNECT_PACKETS, REPLIES};
use crate::time::Timestamp;
use crate::transport::{PeerAddr, Transmit, Transport};

impl SessionServer {
    /// Queues a keep-alive for a client; it has no effect if the client is not connected.
    pub(in crate::session) fn keep_alive(&mut self, client: ClientId, now: Timestamp) {
        let (protocol, most) = (self.config.protocol, self.config.sessions as u32);
        let Some(session) = self.roster.get_mut(client) else {
            return;
        };
        let Some(live) = &mut session.live else {
            return;
        };
        live.sent_at = now;
        let (addr, contents) = (live.addr, live.keep_alive(most));
        let transmit = match addr.is_connection_oriented() {
            true => Transmit::Datagram(secured::KEEP_ALIVE.to_vec()),
            false => {
                let mut packet = Vec::new();
                session
                    .keys
                    .seal(Kind::KeepAlive, protocol, &contents, &mut packet);
                Transmit::Datagram(packet)
            }
        };
        self.answer(addr, transmit);
    }

    /// Queues an answer outside of the tick. Datagrams beyond [`REPLIES`] are dropped.
    pub(in crate::session) fn answer(&mut self, to: PeerAddr, transmit: Transmit) {
        if self.replies.len() < REPLIES || !matches!(transmit, Transmit::Datagram(_)) {
            self.replies.push_back((to, transmit));
        }
    }

    /// Returns the largest payload to a client, in bytes: [`crate::limits::PAYLOAD_BYTES`], or less
    /// on a connection with a smaller path MTU; 0 while the client is not connected.
    pub fn max_payload(&self, client: ClientId) -> usize {
        self.roster
            .get(client)
            .and_then(|session| session.live.as_ref())
            .map_or(0, |live| live.max_payload)
    }

    /// Sends a frame to a client on a connection. Returns the bytes sent; 0 if it is not connected.
    pub fn send_frame(
        &mut self,
        client: ClientId,
        frame: &[u8],
        now: Timestamp,
        sink: &mut dyn Transport,
    ) -> usize {
        let Some(live) = self
            .roster
            .get_mut(client)
            .and_then(|session| session.live.as_mut())
        else {
            return 0;
        };
        live.sent_at = now;
        sink.send_frame(live.addr, frame);
        frame.len()
    }

    /// Sends a payload of 1 to [`Self::max_payload`] bytes to a client. Over datagrams a keep-alive
    /// precedes it until the client's first packet has arrived, so that the client learns of its
    /// session. Returns the bytes sent, with headers and tags; 0 if the client is not connected.
    pub fn send(
        &mut self,
        client: ClientId,
        payload: &[u8],
        now: Timestamp,
        sink: &mut dyn Transport,
    ) -> usize {
        let (protocol, most) = (self.config.protocol, self.config.sessions as u32);
        let Some(session) = self.roster.get_mut(client) else {
            return 0;
        };
        let Some(live) = session.live.as_mut() else {
            return 0;
        };
        let mut bytes = 0;
        if live.addr.is_connection_oriented() {
            live.sent_at = now;
            sink.send(live.addr, payload);
            return payload.len();
        }
        if !session.heard {
            session.keys.seal(
                Kind::KeepAlive,
                protocol,
                &live.keep_alive(most),
                &mut self.scratch,
            );
            sink.send(live.addr, &self.scratch);
            bytes += self.scratch.len();
        }
        session
            .keys
            .seal(Kind::Payload, protocol, payload, &mut self.scratch);
        live.sent_at = now;
        sink.send(live.addr, &self.scratch);
        bytes + self.scratch.len()
    }

    /// Ends a session, live or parked. The client of a live one is sent [`DISCONNECT_PACKETS`]
    /// disconnect packets, or its connection is closed; that of a parked one is not notified. It
    /// causes no [`Change`](super::Change).
    pub fn close(&mut self, client: ClientId, sink: &mut dyn Transport) {
        let Some((Some(live), mut keys)) = self.roster.remove(client) else {
            return;
        };
        if live.addr.is_connection_oriented() {
            return sink.close(live.addr);
        }
        for _ in 0..DISCONNECT_PACKETS {
            keys.seal(
                Kind::Disconnect,
                self.config.protocol,
                &[],
                &mut self.scratch,
            );
            sink.send(live.addr, &self.scratch);
        }
    }

    /// Sends the answers that were queued since the last call.
    pub fn send_replies(&mut self, sink: &mut dyn Transport) {
        while let Some((to, transmit)) = self.replies.pop_front() {
            transmit.send(to, sink);
        }
        sink.flush();
    }
}
