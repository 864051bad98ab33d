//! A client's session over datagrams by the netcode standard: request, challenge, response, then
//! sealed packets.

use super::{Failure, Phase, Received, SessionClient};
use crate::session::crypto::TAG_BYTES;
use crate::session::denial::Denial;
use crate::session::drops::DropReason;
use crate::session::packet::{self, Header, Kind, Outer};
use crate::time::Timestamp;

impl SessionClient {
    pub(super) fn receive_sealed(
        &mut self,
        datagram: &[u8],
        now: Timestamp,
    ) -> Result<Received<'_>, DropReason> {
        let header = match packet::read_outer(datagram)? {
            Outer::Request(_) => return Err(DropReason::Unexpected),
            Outer::Sealed(header) => header,
        };
        self.check_expected(header)?;
        self.scratch.clear();
        self.scratch.extend_from_slice(datagram);
        let length = self
            .keys
            .open(header, self.token.protocol, &mut self.scratch)?
            .len();
        self.note_heard(now);
        let start = datagram.len() - TAG_BYTES - length;
        if header.kind == Kind::Payload {
            return Ok(Received::Payload(&self.scratch[start..start + length]));
        }
        if header.kind == Kind::Denied {
            self.denial = Some(Denial::of_number(header.sequence));
        }
        self.step(header.kind, start, now);
        Ok(Received::Step)
    }

    fn check_expected(&self, header: Header) -> Result<(), DropReason> {
        let expected = matches!(
            (self.phase, header.kind),
            (Phase::Requesting, Kind::Challenge | Kind::Denied)
                | (
                    Phase::Responding,
                    Kind::Challenge | Kind::KeepAlive | Kind::Denied
                )
                | (
                    Phase::Connected { .. },
                    Kind::KeepAlive | Kind::Payload | Kind::Disconnect
                )
        );
        if !expected {
            return Err(DropReason::Unexpected);
        }
        self.keys.check_fresh(header)
    }

    fn step(&mut self, kind: Kind, start: usize, now: Timestamp) {
        let contents = &self.scratch[start..];
        match (self.phase, kind) {
            (Phase::Requesting, Kind::Challenge) => {
                self.challenge = contents.first_chunk().map(|challenge| Box::new(*challenge));
                self.phase = Phase::Responding;
                self.begin_step(now);
            }
            (Phase::Responding, Kind::Challenge) => {
                self.challenge = contents.first_chunk().map(|challenge| Box::new(*challenge));
            }
            (Phase::Responding, Kind::KeepAlive) => {
                let number = |at: usize| {
                    contents[at..]
                        .first_chunk()
                        .map_or(0, |bytes| u32::from_le_bytes(*bytes))
                };
                self.phase = Phase::Connected {
                    index: number(0),
                    most: number(4),
                };
                self.round_trip = Some(now.since(self.sent_at));
            }
            (_, Kind::Denied) => self.try_next(Failure::Denied, now),
            (_, Kind::Disconnect) => self.phase = Phase::Disconnected,
            _ => {}
        }
    }
}
