//! Processes what a client sends: packets and frames, the messages in them, and commands.

use std::time::Duration;

use truetick_netcode::bits::BitReader;
use truetick_netcode::error::WireError;
use truetick_netcode::limits::REPORT_INTERVAL;
use truetick_netcode::messages::{
    Body, ClientMessage, ClientMessageKind, SESSION_STREAM, decode_client_message,
};
use truetick_netcode::time::Timestamp;

use super::{Peer, PeerRequest, PeerState};
use crate::room::Room;

/// Minimum time between two complete resends to a client.
const RESYNC_INTERVAL: Duration = Duration::from_millis(200);

impl Peer {
    /// Processes the payload of an authenticated packet and returns the requests in it.
    ///
    /// # Errors
    /// If the payload is malformed, stale or breaks the protocol.
    pub fn take(
        &mut self,
        payload: &[u8],
        room: Option<&mut (dyn Room + 'static)>,
        now: Timestamp,
    ) -> Result<Vec<PeerRequest>, WireError> {
        let (sequence, reader) = self.connection.open(payload, now)?;
        let mut room = room.filter(|_| self.stage == PeerState::Active);
        while let Some(sequence) = self.connection.poll_acked() {
            if let Some(world) = room.as_mut().and_then(|room| room.world_mut()) {
                world.packet_acked(self.client, sequence);
            }
        }
        let requests = self.take_messages(room.as_deref_mut(), now)?;
        let body = self.read_body(reader, room, now);
        if body.is_ok() {
            self.connection.accept(sequence);
        }
        body.map(|()| requests)
    }

    /// Processes a frame of the transport and returns the requests in it.
    ///
    /// # Errors
    /// If the frame or a message in it is malformed or breaks the protocol.
    pub fn take_frame(
        &mut self,
        frame: &[u8],
        room: Option<&mut (dyn Room + 'static)>,
        now: Timestamp,
    ) -> Result<Vec<PeerRequest>, WireError> {
        self.connection.take_frame(frame, now)?;
        let room = room.filter(|_| self.stage == PeerState::Active);
        self.take_messages(room, now)
    }

    fn take_messages(
        &mut self,
        mut room: Option<&mut (dyn Room + 'static)>,
        now: Timestamp,
    ) -> Result<Vec<PeerRequest>, WireError> {
        let mut requests = Vec::new();
        while let Some((channel, message)) = self.connection.receive() {
            match (&mut room, channel) {
                (_, SESSION_STREAM) => {
                    requests.extend(self.take_session_message(
                        &message,
                        room.as_deref_mut(),
                        now,
                    )?);
                }
                (Some(room), channel) => {
                    room.receive_message(self.client, channel, &message, now)?
                }
                // The client has not joined its room yet, or is no longer in it.
                (None, _) => {}
            }
        }
        Ok(requests)
    }

    /// Processes a message of the session stream. A message that is too long or too frequent is not
    /// decoded.
    fn take_session_message(
        &mut self,
        bytes: &[u8],
        room: Option<&mut (dyn Room + 'static)>,
        now: Timestamp,
    ) -> Result<Option<PeerRequest>, WireError> {
        let kind = ClientMessageKind::of(bytes)?;
        let due = |last: &mut Option<Timestamp>, pause| {
            let is_due = last.is_none_or(|at| now.since(at) >= pause);
            *last = if is_due { Some(now) } else { *last };
            is_due
        };
        let is_due = match (kind, &room) {
            (ClientMessageKind::Hello, None) => true,
            (ClientMessageKind::Hello, Some(_)) => {
                return Err(WireError::Misbehaving("a second hello"));
            }
            (ClientMessageKind::Resync, Some(_)) => {
                due(&mut self.allowance.resynced_at, RESYNC_INTERVAL)
            }
            (ClientMessageKind::Mismatch, Some(_)) => {
                due(&mut self.allowance.reported_at, REPORT_INTERVAL / 2)
            }
            (ClientMessageKind::Resync | ClientMessageKind::Mismatch, None) => false,
        };
        if !is_due {
            return Ok(None);
        }
        match decode_client_message(bytes)? {
            ClientMessage::Hello { schema } => return Ok(Some(PeerRequest::Hello(schema))),
            ClientMessage::Mismatch(report) => return Ok(Some(PeerRequest::Explain(report))),
            ClientMessage::Resync => {
                let world = room.and_then(|room| room.world_mut());
                world
                    .into_iter()
                    .for_each(|world| world.resync(self.client));
            }
        }
        Ok(None)
    }

    fn read_body(
        &self,
        mut reader: BitReader<'_>,
        room: Option<&mut (dyn Room + 'static)>,
        now: Timestamp,
    ) -> Result<(), WireError> {
        match (Body::from_tag(reader.read(Body::BITS)?)?, room) {
            (Body::Empty, _) => reader.finish(),
            (Body::Commands, Some(room)) => room.receive_commands(self.client, reader, now),
            (Body::Commands, None) => Err(WireError::Stale("commands before the room")),
            (Body::Snapshot | Body::DisconnectNotice, _) => Err(WireError::Misbehaving(
                "a client sends no snapshots and no disconnect notices",
            )),
        }
    }
}
