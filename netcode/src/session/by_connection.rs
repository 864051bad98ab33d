//! The server's side of sessions on encrypted connections: admission, and what they carry.

use std::collections::BTreeMap;

use super::ClientId;
use super::admission::digest;
use super::client::Received;
use super::denial::Denial;
use super::drops::DropReason;
use super::lifecycle::ClientPath;
use super::roster::PACKETS;
use super::secured::{self, FrameKind, Join};
use super::server::{Change, SessionServer};
use crate::limits::{
    HELLO_TIME, PAYLOAD_BYTES, REFUSED_CONNECTION_TIME, SMALLEST_PAYLOAD, WAITING_CONNECTIONS,
};
use crate::time::Timestamp;
use crate::transport::{Event, PeerAddr, Transmit};

/// Connections that carry no session.
pub(super) type Waiting = BTreeMap<PeerAddr, Wait>;

/// A connection that carries no session.
#[derive(Debug)]
pub(super) struct Wait {
    since: Timestamp,
    /// Largest payload that the connection carries, in bytes.
    max_payload: usize,
    /// A join received as early data. It is granted only after the handshake confirms that the peer
    /// sent it.
    held: Option<Vec<u8>>,
    /// The client was notified that it is refused.
    refused: bool,
}

impl SessionServer {
    pub(super) fn receive_secured(
        &mut self,
        from: PeerAddr,
        event: Event<'_>,
        now: Timestamp,
    ) -> Option<(ClientId, Received<'_>)> {
        if self.roster.at(from).is_none() && self.leads_nowhere(from, event) {
            return None;
        }
        let taken = match event {
            Event::DatagramBytes(bytes) => self.note_max_payload(from, bytes, now).map(|()| None),
            Event::Closed { told } => {
                self.connection_ended(from, told, now);
                Ok(None)
            }
            Event::Early(frame) => self.take_early(from, frame, now).map(|()| None),
            Event::Confirmed => self.take_held(from, now).map(|()| None),
            Event::Frame(frame) if self.roster.at(from).is_none() => {
                self.take_join(from, frame, now).map(|()| None)
            }
            Event::Frame(frame) => self.take_frame(from, frame, now).map(Some),
            Event::Datagram(datagram) => self.take_plain(from, datagram, now),
        };
        match taken {
            Ok(None) => None,
            Ok(Some((client, true))) => Some((client, Received::Frame(&self.scratch))),
            Ok(Some((client, false))) => Some((client, Received::Payload(&self.scratch))),
            Err(reason) => {
                self.drops.note(reason);
                None
            }
        }
    }

    /// Returns whether a connection belongs to a client that lost its session to another or was
    /// refused. Only the end of such a connection matters.
    fn leads_nowhere(&mut self, from: PeerAddr, event: Event<'_>) -> bool {
        let ended = matches!(event, Event::Closed { .. });
        if let Some(departing) = self.roster.departing_by(from) {
            if ended {
                self.roster.remove(departing);
            }
            return true;
        }
        let refused = self.waiting.get(&from).is_some_and(|wait| wait.refused);
        if refused && ended {
            self.waiting.remove(&from);
        }
        refused
    }

    /// Notifies a client that it is refused. The connection stays open for a while so that the
    /// answer arrives.
    pub(super) fn refuse_connection(&mut self, to: PeerAddr, denial: Denial, now: Timestamp) {
        self.answer(to, Transmit::Frame(secured::write_refused(denial)));
        self.waiting.insert(
            to,
            Wait {
                since: now,
                max_payload: 0,
                held: None,
                refused: true,
            },
        );
    }

    fn note_max_payload(
        &mut self,
        from: PeerAddr,
        bytes: usize,
        now: Timestamp,
    ) -> Result<(), DropReason> {
        if bytes < SMALLEST_PAYLOAD {
            self.connection_ended(from, false, now);
            self.close_addr(from);
            return Err(DropReason::NarrowPath);
        }
        let max_payload = bytes.min(PAYLOAD_BYTES);
        let session = self
            .roster
            .at(from)
            .and_then(|client| self.roster.get_mut(client));
        match session.and_then(|session| session.live.as_mut()) {
            Some(live) => live.max_payload = max_payload,
            None if self.waiting.len() < WAITING_CONNECTIONS => {
                self.waiting.insert(
                    from,
                    Wait {
                        since: now,
                        max_payload,
                        held: None,
                        refused: false,
                    },
                );
            }
            None => {
                self.close_addr(from);
                return Err(DropReason::Full);
            }
        }
        Ok(())
    }

    /// Handles the end of a connection: a client that ended it leaves, one that lost it may return.
    fn connection_ended(&mut self, addr: PeerAddr, told: bool, now: Timestamp) {
        self.waiting.remove(&addr);
        let Some(client) = self.roster.at(addr) else {
            return;
        };
        // A client that never sent anything has not left: it may have replaced this connection by
        // another, on which it requests the session again.
        let heard = self.roster.get(client).is_some_and(|session| session.heard);
        if told && heard {
            self.roster.remove(client);
            self.changes.push_back(Change::Left(client));
        } else {
            self.park(client, now);
        }
    }

    pub(super) fn close_addr(&mut self, addr: PeerAddr) {
        if addr.is_connection_oriented() {
            self.waiting.remove(&addr);
            self.answer(addr, Transmit::Close);
        }
    }

    /// Closes connections on which no session was requested in time.
    pub(super) fn close_idle(&mut self, now: Timestamp) {
        let is_late = |wait: &Wait| {
            let longest = if wait.refused {
                REFUSED_CONNECTION_TIME
            } else {
                HELLO_TIME
            };
            now.since(wait.since) >= longest
        };
        let late = self
            .waiting
            .iter()
            .filter(|(_, wait)| is_late(wait))
            .map(|(addr, _)| *addr);
        let late: Vec<_> = late.collect();
        late.into_iter().for_each(|addr| self.close_addr(addr));
    }

    /// Handles a join received as early data. A ticket is granted at once: a copy of it arrives too
    /// late, or, if it arrives first, is only one of several addresses that try the ticket, and the
    /// session goes to the one that sends first (see [`super::roster::Place::Moved`]). A join that
    /// would open a session waits until the handshake shows that it is no replay.
    fn take_early(
        &mut self,
        from: PeerAddr,
        frame: &[u8],
        now: Timestamp,
    ) -> Result<(), DropReason> {
        let is_first = self
            .waiting
            .get(&from)
            .is_some_and(|wait| wait.held.is_none());
        if !is_first {
            self.close_addr(from);
            return Err(DropReason::Unexpected);
        }
        let resumes = Join::read(frame).and_then(|join| {
            let applicant = self.check_token(&join.request, digest(&join.request), now)?;
            Ok(applicant.purpose.resume.is_some())
        });
        match (resumes, self.waiting.get_mut(&from)) {
            (Ok(false), Some(wait)) => {
                wait.held = Some(frame.to_vec());
                Ok(())
            }
            (Ok(true), Some(_)) => self.take_join(from, frame, now),
            (Err(reason), _) => {
                self.close_addr(from);
                Err(reason)
            }
            (Ok(_), None) => Err(DropReason::Stranger),
        }
    }

    fn take_held(&mut self, from: PeerAddr, now: Timestamp) -> Result<(), DropReason> {
        match self
            .waiting
            .get_mut(&from)
            .and_then(|wait| wait.held.take())
        {
            Some(frame) => self.take_join(from, &frame, now),
            None => Ok(()),
        }
    }

    /// Admits the sender of a join. A holder of a genuine token who is refused receives the reason;
    /// otherwise a refusal closes the connection.
    fn take_join(
        &mut self,
        from: PeerAddr,
        frame: &[u8],
        now: Timestamp,
    ) -> Result<(), DropReason> {
        let Wait { max_payload, .. } = self.waiting.remove(&from).ok_or(DropReason::Stranger)?;
        self.let_join(from, frame, max_payload, now)
            .inspect_err(|_| {
                if !self.waiting.contains_key(&from) {
                    self.close_addr(from);
                }
            })
    }

    fn let_join(
        &mut self,
        from: PeerAddr,
        frame: &[u8],
        max_payload: usize,
        now: Timestamp,
    ) -> Result<(), DropReason> {
        let join = Join::read(frame)?;
        let applicant = self.check_token(&join.request, digest(&join.request), now)?;
        if !join.is_proved(&applicant.client_key) {
            return Err(DropReason::ForgedToken);
        }
        let joins = applicant.purpose.resume.is_none();
        if joins
            && !self
                .joins
                .allows(from.address.ip().into(), self.config.joins, now)
        {
            return Err(DropReason::RateLimited);
        }
        self.admit(
            &applicant,
            ClientPath {
                addr: from,
                max_payload,
            },
            0,
            now,
        )
    }

    fn take_frame(
        &mut self,
        from: PeerAddr,
        frame: &[u8],
        now: Timestamp,
    ) -> Result<(ClientId, bool), DropReason> {
        let client = self.note_heard(from, now)?;
        match FrameKind::of(frame)? {
            FrameKind::Message | FrameKind::Received => {
                self.scratch.clear();
                self.scratch.extend_from_slice(frame);
                Ok((client, true))
            }
            FrameKind::Join | FrameKind::Accepted | FrameKind::Refused => {
                Err(DropReason::Unexpected)
            }
        }
    }

    fn take_plain(
        &mut self,
        from: PeerAddr,
        datagram: &[u8],
        now: Timestamp,
    ) -> Result<Option<(ClientId, bool)>, DropReason> {
        let client = self.roster.at(from).ok_or(DropReason::Stranger)?;
        let session = self.roster.get_mut(client).ok_or(DropReason::Stranger)?;
        if !session.packets.allows(PACKETS, now) {
            return Err(DropReason::Flood);
        }
        session.note_heard(now);
        match datagram.len() {
            0 => Err(DropReason::TooShort),
            length if length > PAYLOAD_BYTES => Err(DropReason::TooLong),
            _ if datagram == secured::KEEP_ALIVE => Ok(None),
            _ => {
                self.scratch.clear();
                self.scratch.extend_from_slice(datagram);
                Ok(Some((client, false)))
            }
        }
    }

    fn note_heard(&mut self, from: PeerAddr, now: Timestamp) -> Result<ClientId, DropReason> {
        let client = self.roster.at(from).ok_or(DropReason::Stranger)?;
        let session = self.roster.get_mut(client).ok_or(DropReason::Stranger)?;
        session.note_heard(now);
        Ok(client)
    }
}
