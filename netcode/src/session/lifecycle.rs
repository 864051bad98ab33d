//! Transitions of a session: opened, resumed, taken over, moved to another address, displaced.

use rand::Rng;

use super::ClientId;
use super::drops::DropReason;
use super::half_open::Applicant;
use super::keys::SessionKeys;
use super::packet::Kind;
use super::roster::Live;
use super::server::{Change, Resume, SessionServer};
use crate::limits::{DISCONNECT_PACKETS, SESSION_TIMEOUT};
use crate::mutant::{Mutant, is_planted};
use crate::time::Timestamp;
use crate::transport::{PeerAddr, Transmit};

/// The path to a client.
#[derive(Clone, Copy, Debug)]
pub(super) struct ClientPath {
    /// Address of the client.
    pub addr: PeerAddr,
    /// Largest payload that the path carries, in bytes.
    pub max_payload: usize,
}

impl SessionServer {
    /// Returns the unused keys of an applicant. A shared token may open a session on another server
    /// too, or did so before this start. Its packets are numbered from a random number on, because
    /// no two servers may use the same number under one key.
    pub(super) fn new_keys(&mut self, applicant: &Applicant) -> SessionKeys {
        applicant.keys(if applicant.is_shared {
            self.rng.next_u64() >> 2
        } else {
            0
        })
    }

    pub(super) fn open(&mut self, applicant: &Applicant, addr: PeerAddr) -> ClientId {
        let keys = self.new_keys(applicant);
        let client = self
            .roster
            .open(applicant, addr.is_connection_oriented(), keys);
        let Applicant {
            user,
            purpose,
            user_data,
            ..
        } = *applicant;
        let user_data = Box::new(user_data);
        self.changes.push_back(Change::Opened {
            client,
            user,
            addr,
            purpose,
            user_data,
        });
        client
    }

    /// Resumes a session for its own client. If the same ticket resumes it again, its keys, numbers
    /// and replay window continue.
    pub(super) fn resume_session(
        &mut self,
        client: ClientId,
        applicant: &Applicant,
        addr: PeerAddr,
    ) -> ClientId {
        let goes_on =
            |keys: &SessionKeys| *keys.tag() == applicant.tag && !is_planted(Mutant::ForgetNumbers);
        if let Some(session) = self.roster.get_mut(client) {
            session.epoch = session.epoch.wrapping_add(1);
            if !goes_on(&session.keys) {
                session.keys = applicant.keys(0);
            }
            session.heard = false;
        }
        self.changes.push_back(Change::Resumed {
            client,
            addr,
            resume: Resume::Continued,
        });
        client
    }

    /// Hands a session to another client of the same user. The previous client is notified.
    pub(super) fn take_over(
        &mut self,
        client: ClientId,
        applicant: &Applicant,
        addr: PeerAddr,
        now: Timestamp,
    ) -> ClientId {
        let keys = self.new_keys(applicant);
        if let Some(departing) = self.roster.depart(client, keys, now) {
            self.changes
                .push_back(Change::Displaced { client, departing });
        }
        if let Some(session) = self.roster.get_mut(client) {
            session.epoch = session.epoch.wrapping_add(1);
            session.taken_over = Some(session.epoch);
            session.issued = applicant.issued;
            session.heard = false;
            session.secured = addr.is_connection_oriented();
        }
        self.changes.push_back(Change::Resumed {
            client,
            addr,
            resume: Resume::Restarted,
        });
        client
    }

    /// Moves a resumed session to another address. Its keys and their numbers continue.
    pub(super) fn migrate(
        &mut self,
        client: ClientId,
        path: ClientPath,
        now: Timestamp,
    ) -> Result<(), DropReason> {
        let ClientPath { addr, max_payload } = path;
        let live = self
            .roster
            .disconnect(client)
            .ok_or(DropReason::StaleTicket)?;
        self.close_addr(live.addr);
        self.roster.connect(
            client,
            Live {
                addr,
                max_payload,
                heard_at: now,
                ..live
            },
        );
        self.changes.push_back(Change::Resumed {
            client,
            addr,
            resume: Resume::Continued,
        });
        self.welcome(client, now);
        Ok(())
    }

    /// Parks a session whose address now belongs to another client. It is kept as long as if its
    /// client had fallen silent, because the client does not know yet.
    pub(super) fn displace(&mut self, client: ClientId, now: Timestamp) {
        let live = self
            .roster
            .get(client)
            .and_then(|session| session.live.as_ref());
        let silent_at = live.map(|live| live.heard_at + live.timeout.unwrap_or(SESSION_TIMEOUT));
        self.park(client, now);
        if let Some((session, silent_at)) = self.roster.get_mut(client).zip(silent_at) {
            session.parked_until = session.parked_until.max(silent_at + self.config.grace);
        }
    }

    /// Disconnects clients that lost their sessions at or before `before`, after they were
    /// notified.
    pub(super) fn end_departed(&mut self, before: Timestamp) {
        for client in self.roster.departed(before) {
            let Some((Some(live), mut keys)) = self.roster.remove(client) else {
                continue;
            };
            let copies = if live.addr.is_connection_oriented() {
                0
            } else {
                DISCONNECT_PACKETS
            };
            for _ in 0..copies {
                let mut packet = Vec::new();
                keys.seal(Kind::Disconnect, self.config.protocol, &[], &mut packet);
                self.answer(live.addr, Transmit::Datagram(packet));
            }
            self.close_addr(live.addr);
        }
    }
}
