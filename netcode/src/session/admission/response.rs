//! Admission of an applicant whose address is proved: its place, and the session that it gets.

use super::super::ClientId;
use super::super::crypto::PacketKey;
use super::super::drops::DropReason;
use super::super::half_open::Applicant;
use super::super::lifecycle::ClientPath;
use super::super::packet::{self, Header, Kind};
use super::super::rate::Rate;
use super::super::roster::{Live, Place};
use super::super::secured;
use super::super::server::SessionServer;
use super::super::token::Purpose;
use super::timeout;
use crate::limits::{PAYLOAD_BYTES, RESUMES};
use crate::time::Timestamp;
use crate::transport::{PeerAddr, Transmit};

impl SessionServer {
    /// Takes the response to a challenge, which proves the address of an applicant.
    pub(in crate::session) fn take_response(
        &mut self,
        from: PeerAddr,
        header: Header,
        datagram: &[u8],
        now: Timestamp,
    ) -> Result<(), DropReason> {
        let Some(attempt) = self.half_open.of_response(from, header.sequence) else {
            let present = self.roster.at(from).is_some();
            return Err(if present {
                DropReason::AddressPresent
            } else {
                DropReason::Stranger
            });
        };
        let (applicant, first) = (attempt.applicant.clone(), attempt.first);
        let key = PacketKey::new(&applicant.client_key);
        self.scratch.clear();
        self.scratch.extend_from_slice(datagram);
        let contents = packet::open(header, self.config.protocol, &key, &mut self.scratch)?;
        packet::check_size(Kind::Response, contents)?;
        let opened = self
            .challenges
            .open(from.address, &applicant.tag, contents, now);
        let (user, user_data) = opened.map_err(|reason| match reason {
            // No challenge was sent to that address with this token.
            DropReason::ForeignChallenge if applicant.purpose.resume.is_none() && from != first => {
                DropReason::Stranger
            }
            reason => reason,
        })?;
        // The purpose holds the time of issue and the session to resume, so it identifies the
        // token.
        if user != applicant.user || Purpose::read(&user_data) != Some(applicant.purpose) {
            return Err(DropReason::ForeignChallenge);
        }
        self.admit(
            &applicant,
            ClientPath {
                addr: from,
                max_payload: PAYLOAD_BYTES,
            },
            header.sequence,
            now,
        )
    }

    /// Admits an applicant whose address is proved. `response` is the number of the packet that
    /// proved it.
    pub(in crate::session) fn admit(
        &mut self,
        applicant: &Applicant,
        path: ClientPath,
        response: u64,
        now: Timestamp,
    ) -> Result<(), DropReason> {
        let from = path.addr;
        let place = self.grant(applicant, from, response, now)?;
        self.half_open.remove(&applicant.tag);
        // Another client was at this address. It has lost the address, because the applicant
        // answered from there.
        if let Some(other) = self
            .roster
            .at(from)
            .filter(|present| Some(*present) != place.client())
        {
            self.displace(other, now);
        }
        let client = match place {
            Place::Moved(client) => {
                self.note_response(client, response);
                return self.migrate(client, path, now);
            }
            Place::Resumed(client) => self.resume_session(client, applicant, from),
            Place::TakenOver(client) => self.take_over(client, applicant, from, now),
            Place::New => self.open(applicant, from),
        };
        self.note_response(client, response);
        // Disconnect first, so that the client index is free again.
        if let Some(old) = self.roster.disconnect(client) {
            self.close_addr(old.addr);
        }
        let live = Live {
            addr: from,
            max_payload: path.max_payload,
            index: self.roster.free_index(),
            timeout: timeout(applicant.timeout_s),
            opened: 0,
            heard_at: now,
            sent_at: now,
        };
        self.roster.connect(client, live);
        self.welcome(client, now);
        Ok(())
    }

    fn note_response(&mut self, client: ClientId, response: u64) {
        if let Some(session) = self.roster.get_mut(client) {
            session.response = response;
        }
    }

    /// Notifies a client that its session is open.
    pub(in crate::session) fn welcome(&mut self, client: ClientId, now: Timestamp) {
        let most = self.config.sessions as u32;
        match self
            .roster
            .get(client)
            .and_then(|session| session.live.as_ref())
        {
            Some(live) if live.addr.is_connection_oriented() => {
                self.answer(
                    live.addr,
                    Transmit::Frame(secured::write_accepted(live.index, most)),
                );
            }
            _ => self.keep_alive(client, now),
        }
    }

    /// Returns the place of an applicant whose address is proved. This consumes the token, but a
    /// refused token is not consumed.
    fn grant(
        &mut self,
        applicant: &Applicant,
        from: PeerAddr,
        response: u64,
        now: Timestamp,
    ) -> Result<Place, DropReason> {
        let place = self.check_admission(applicant, from, now);
        let place = place.inspect_err(|reason| self.deny(from, applicant, *reason, now))?;
        if let Some(session) = place
            .client()
            .and_then(|client| self.roster.get_mut(client))
        {
            // A recorded response proves nothing a second time.
            if !from.is_connection_oriented()
                && session.is_of(applicant)
                && response <= session.response
            {
                return Err(DropReason::Repeated);
            }
            let (per_second, burst) = RESUMES;
            let resumes = matches!(place, Place::Resumed(_));
            if resumes && !session.resumes.allows(Rate { per_second, burst }, now) {
                return Err(DropReason::RateLimited);
            }
        }
        // A ticket needs no history: it is valid once because the session's epoch rises.
        let remembered = applicant.purpose.resume.is_some()
            || self
                .history
                .consume(applicant.tag, applicant.expires, self.unix(now).as_secs());
        if !remembered {
            self.deny(from, applicant, DropReason::HistoryFull, now);
            return Err(DropReason::HistoryFull);
        }
        Ok(place)
    }
}
