//! A client's session on an encrypted connection: datagrams are plain payloads, frames open the
//! session and carry its messages.

use super::{Failure, Phase, Received, SessionClient};
use crate::limits::{PAYLOAD_BYTES, SMALLEST_PAYLOAD};
use crate::session::denial::Denial;
use crate::session::drops::DropReason;
use crate::session::secured::{self, FrameKind};
use crate::time::Timestamp;
use crate::transport::PeerAddr;

impl SessionClient {
    pub(super) fn receive_plain(
        &mut self,
        datagram: &[u8],
        now: Timestamp,
    ) -> Result<Received<'_>, DropReason> {
        if !self.is_connected() {
            return Err(DropReason::Unexpected);
        }
        self.note_heard(now);
        if datagram == secured::KEEP_ALIVE {
            return Ok(Received::Step);
        }
        self.scratch.clear();
        self.scratch.extend_from_slice(datagram);
        Ok(Received::Payload(&self.scratch))
    }

    pub(super) fn receive_frame(
        &mut self,
        frame: &[u8],
        now: Timestamp,
    ) -> Result<Received<'_>, DropReason> {
        match (FrameKind::of(frame)?, self.phase) {
            (FrameKind::Accepted, Phase::Requesting) => {
                let (index, most) =
                    secured::read_accepted(frame).ok_or(DropReason::ContentsLength)?;
                self.phase = Phase::Connected { index, most };
                self.round_trip = Some(now.since(self.sent_at));
                self.note_heard(now);
                Ok(Received::Step)
            }
            (FrameKind::Refused, Phase::Requesting) => {
                let denial = secured::read_refused(frame).ok_or(DropReason::ContentsLength)?;
                self.denial = Some(denial);
                self.idle = Some(self.addr());
                self.try_next(Failure::Denied, now);
                Ok(Received::Step)
            }
            (FrameKind::Message | FrameKind::Received, Phase::Connected { .. }) => {
                self.note_heard(now);
                self.scratch.clear();
                self.scratch.extend_from_slice(frame);
                Ok(Received::Frame(&self.scratch))
            }
            _ => Err(DropReason::Unexpected),
        }
    }

    /// Handles the path's payload limit. A path that is too small ends the use of this connection;
    /// the session may still be resumed on another.
    pub(super) fn note_max_payload(&mut self, bytes: usize, now: Timestamp) {
        if bytes >= SMALLEST_PAYLOAD {
            self.max_payload = bytes.min(PAYLOAD_BYTES);
            return;
        }
        let failure = Failure::NarrowPath { bytes };
        match self.phase {
            Phase::Requesting | Phase::Responding => {
                self.leave_connection();
                self.try_next(failure, now);
            }
            Phase::Connected { .. } => self.phase = Phase::Failed(failure),
            Phase::Failed(_) | Phase::Disconnected => {}
        }
    }

    /// Abandons the connection for the next one, on a transport with connections.
    pub(super) fn leave_connection(&mut self) {
        if self.kind.is_connection_oriented() {
            self.idle = Some(self.addr());
            self.connection += 1;
        }
    }

    /// Returns the connection that was abandoned last. The caller must close it.
    pub(crate) fn take_idle(&mut self) -> Option<PeerAddr> {
        self.idle.take()
    }

    /// Handles the end of the connection. If the server closed it, the token is refused or the
    /// session ended; if it was lost, the client requests again.
    pub(super) fn connection_ended(&mut self, told: bool, now: Timestamp) {
        match self.phase {
            Phase::Connected { .. } if told => self.phase = Phase::Disconnected,
            Phase::Connected { .. } => self.phase = Phase::Failed(Failure::ConnectionLost),
            Phase::Requesting if told => {
                self.denial = Some(Denial::Unspecified);
                self.try_next(Failure::Denied, now);
            }
            Phase::Requesting => {
                self.connection += 1;
                self.sends = 0;
                self.next_send = now + self.pauses.pause();
            }
            Phase::Responding | Phase::Failed(_) | Phase::Disconnected => {}
        }
    }
}
