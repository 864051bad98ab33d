//! Admission of clients over datagrams: request, challenge, response. A sender gets no answer
//! before its token proves genuine. The order of the checks is the standard's.

mod response;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::config::SessionConfig;
use super::crypto::PacketKey;
use super::denial::Denial;
use super::drops::DropReason;
use super::half_open::Applicant;
use super::packet::{self, Kind, Request};
use super::rate::Rate;
use super::roster::Place;
use super::server::SessionServer;
use super::token::{OpenError, PrivateToken, Purpose, token_tag};
use crate::limits::{
    CLOCK_DIFFERENCE, HALF_OPEN_TIME, REPLIES, TICKET_LIFETIME, TOKEN_BINDING, TOKENS_OPENED,
};
use crate::time::{Timestamp, UnixTime};
use crate::transport::{PeerAddr, Transmit};

/// Largest rounding error between two times in whole milliseconds.
const ROUNDING: Duration = Duration::from_millis(2);

/// A token whose time of issue is further in the future than this counts as shared: it may be from
/// before the start, because its issuer's clock is ahead.
const AHEAD: Duration = Duration::from_secs(1);

impl SessionServer {
    pub(super) fn take_request(
        &mut self,
        from: PeerAddr,
        request: Request<'_>,
        now: Timestamp,
    ) -> Result<(), DropReason> {
        let digest = digest(&request);
        let checked = self.check_token(&request, digest, now);
        if matches!(checked, Err(DropReason::Expired)) {
            self.deny_expired_ticket(from, &request, now);
        }
        let applicant = checked?;
        self.check_address(&applicant, from, now)?;
        if let Err(reason) = self.check_admission(&applicant, from, now) {
            self.deny(from, &applicant, reason, now);
            return Err(reason);
        }
        let time = timeout(applicant.timeout_s)
            .unwrap_or(HALF_OPEN_TIME)
            .min(HALF_OPEN_TIME);
        if self.half_open.get(&applicant.tag).is_some() {
            self.half_open
                .refresh(from, &applicant.tag, now, now + time);
        } else {
            // Resumptions are exempt: many clients behind one address may lose their sessions at
            // once.
            let joins = applicant.purpose.resume.is_none();
            if joins
                && !self
                    .joins
                    .allows(from.address.ip().into(), self.config.joins, now)
            {
                return Err(DropReason::RateLimited);
            }
            if !self
                .half_open
                .insert(from, applicant.clone(), digest, now, now + time)
            {
                return Err(DropReason::RateLimited);
            }
        }
        let Applicant {
            user,
            user_data,
            tag,
            ..
        } = &*applicant;
        let challenge = self
            .challenges
            .make(from.address, tag, *user, user_data, now);
        self.reply(
            from,
            &applicant,
            Kind::Challenge,
            Denial::Unspecified,
            &challenge,
        );
        Ok(())
    }

    /// Opens a token, unless it is pending already: a copy of a request costs no more than its
    /// recognition.
    pub(super) fn check_token(
        &mut self,
        request: &Request<'_>,
        digest: u64,
        now: Timestamp,
    ) -> Result<Arc<Applicant>, DropReason> {
        let (unix, tag) = (self.unix(now), token_tag(request.sealed));
        if request.protocol != self.config.protocol {
            return Err(DropReason::OtherProtocol);
        }
        if request.expires <= unix.as_secs() || self.history.may_have_forgotten(request.expires) {
            return Err(DropReason::Expired);
        }
        if self.history.has(&tag) {
            return Err(DropReason::Consumed);
        }
        if let Some(pending) = self.half_open.of_copy(&tag, digest) {
            return Ok(pending.applicant.clone());
        }
        let (per_second, burst) = TOKENS_OPENED;
        if !self.opens.allows(Rate { per_second, burst }, now) {
            return Err(DropReason::RateLimited);
        }
        self.open_token(request, now).map(Arc::new)
    }

    fn open_token(&self, request: &Request<'_>, now: Timestamp) -> Result<Applicant, DropReason> {
        let SessionConfig { protocol, key, .. } = &self.config;
        let opened = PrivateToken::open(
            request.sealed,
            key,
            *protocol,
            request.expires,
            request.nonce,
        );
        let private = opened.map_err(|error| match error {
            OpenError::Forged => DropReason::ForgedToken,
            OpenError::Malformed => DropReason::MalformedToken,
        })?;
        let purpose = Purpose::read(&private.user_data).ok_or(DropReason::MalformedToken)?;
        let is_own = |server: &SocketAddr| self.config.servers.contains(*server);
        if !private.servers.iter().any(is_own) {
            return Err(DropReason::OtherServer);
        }
        let is_ahead = match purpose.issued {
            Some(issued) => issued > self.unix(now + AHEAD),
            None => !self.is_foreign_fresh(request.expires, CLOCK_DIFFERENCE),
        };
        Ok(Applicant {
            tag: token_tag(request.sealed),
            expires: request.expires,
            issued: purpose.issued.map(|issued| self.on_our_line(issued, now)),
            user: private.user,
            purpose,
            timeout_s: private.timeout_s,
            client_key: private.client_key,
            server_key: private.server_key,
            user_data: private.user_data,
            is_shared: purpose.resume.is_none()
                && (is_ahead || !private.servers.iter().all(is_own)),
        })
    }

    /// Returns whether a token without a time of issue was issued after the start, by at least
    /// `by`. Its expiry shows that.
    fn is_foreign_fresh(&self, expires: u64, by: Duration) -> bool {
        let first = self.unix(self.started + self.config.token_lifetime + by);
        expires.saturating_mul(1_000) >= first.as_millis()
    }

    /// Converts a wall-clock time to the server's own time line.
    fn on_our_line(&self, at: UnixTime, now: Timestamp) -> Timestamp {
        let age = self.unix(now).as_millis().saturating_sub(at.as_millis());
        now - Duration::from_millis(age)
    }

    /// Binds a joining token to the address that used it first, but for [`TOKEN_BINDING`] only: an
    /// observer of the request may have sent it first. A ticket is not bound, because its client
    /// may return from another address. The first address that is proved gets the session.
    fn check_address(
        &self,
        applicant: &Applicant,
        from: PeerAddr,
        now: Timestamp,
    ) -> Result<(), DropReason> {
        let pending = self.half_open.get(&applicant.tag);
        let bound = pending.filter(|pending| {
            applicant.purpose.resume.is_none()
                && pending.first != from
                && now.since(pending.since) < TOKEN_BINDING
        });
        if bound.is_some() {
            Err(DropReason::SecondAddress)
        } else {
            Ok(())
        }
    }

    /// Refuses a token that lives too long, because the history could not hold it. Without a time
    /// of issue, its lifetime is measured from the present wall clock.
    fn check_age(&self, applicant: &Applicant, now: Timestamp) -> Result<(), DropReason> {
        let resumes = applicant.purpose.resume.is_some();
        let longest = if resumes {
            TICKET_LIFETIME
        } else {
            self.config.token_lifetime
        };
        let latest = match applicant.purpose.issued {
            // A token issued in the future may be from before a restart with the wall clock set
            // back. A ticket may not: each start has epochs of its own.
            Some(issued) if !resumes && issued > self.unix(now + CLOCK_DIFFERENCE) => {
                return Err(DropReason::ClockAhead);
            }
            Some(issued) => issued.as_secs().saturating_add(longest.as_secs()),
            None => self.unix(now).as_secs() + (longest + CLOCK_DIFFERENCE).as_secs(),
        };
        if applicant.expires <= latest {
            Ok(())
        } else {
            Err(DropReason::LongLived)
        }
    }

    /// Checks the admission rules, both for a request and again when the address is proved.
    fn check_admission(
        &self,
        applicant: &Applicant,
        from: PeerAddr,
        now: Timestamp,
    ) -> Result<Place, DropReason> {
        self.check_age(applicant, now)?;
        // A token from before the start may have been consumed by the server's previous run.
        let fresh = match applicant.issued {
            Some(issued) => issued + ROUNDING >= self.started,
            None => self.is_foreign_fresh(applicant.expires, Duration::ZERO),
        };
        // Tickets are exempt from this check: each start has epochs of its own.
        if !fresh && applicant.purpose.resume.is_none() {
            return Err(DropReason::BeforeStart);
        }
        if applicant.purpose.resume.is_none() && !self.history.has_room(self.unix(now).as_secs()) {
            return Err(DropReason::HistoryFull);
        }
        self.roster
            .place(applicant, from, &self.config, self.draining)
    }

    /// Denies an expired ticket, because its client would retry otherwise. Expired joining tokens
    /// get no answer.
    fn deny_expired_ticket(&mut self, from: PeerAddr, request: &Request<'_>, now: Timestamp) {
        let (per_second, burst) = TOKENS_OPENED;
        if !self.opens.allows(Rate { per_second, burst }, now) {
            return;
        }
        if let Ok(applicant) = self.open_token(request, now)
            && applicant.purpose.resume.is_some()
        {
            self.deny(from, &applicant, DropReason::StaleTicket, now);
        }
    }

    /// Notifies the holder of a genuine token that it is refused, and why.
    pub(super) fn deny(
        &mut self,
        to: PeerAddr,
        applicant: &Applicant,
        reason: DropReason,
        now: Timestamp,
    ) {
        // A late copy of a request must not disturb the session that it led to.
        let present = self
            .roster
            .at(to)
            .and_then(|client| self.roster.get(client));
        if present.is_some_and(|session| session.is_of(applicant)) {
            return;
        }
        match to.is_connection_oriented() {
            true => self.refuse_connection(to, reason.into(), now),
            false => self.reply(to, applicant, Kind::Denied, reason.into(), &[]),
        }
    }

    /// Sends an answer outside of a session.
    fn reply(
        &mut self,
        to: PeerAddr,
        applicant: &Applicant,
        kind: Kind,
        denial: Denial,
        contents: &[u8],
    ) {
        if self.replies.len() < REPLIES {
            let (number, key) = (denial.number(self.replied), &applicant.server_key);
            self.replied += 1;
            let mut packet = Vec::new();
            packet::seal(
                kind,
                number,
                self.config.protocol,
                &PacketKey::new(key),
                contents,
                &mut packet,
            );
            self.answer(to, Transmit::Datagram(packet));
        }
    }
}

/// Hashes a request to recognise its copies. Collision resistance is not needed: a request that is
/// mistaken for a copy gets only what the copy gets.
pub(super) fn digest(request: &Request<'_>) -> u64 {
    let seed = xxh3_64_with_seed(request.nonce, request.expires);
    xxh3_64_with_seed(request.sealed, seed)
}

/// Returns a token's timeout; `None` if it is not positive, which means no timeout.
fn timeout(seconds: i32) -> Option<Duration> {
    u64::try_from(seconds)
        .ok()
        .filter(|seconds| *seconds > 0)
        .map(Duration::from_secs)
}
