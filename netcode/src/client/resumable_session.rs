//! A client's session, with another attempt at it when the server falls silent. After a short
//! silence the client uses the ticket that the server issued, from its present address. The old
//! path stays open meanwhile.
//!
//! ```text
//! open -- silent for 250 ms, has a ticket --> attempt: request .. challenge .. open: replaces it
//!   ^______ packet received before a challenge __/  \__ refused: the session is lost, unless the
//!                                                       server is received again at once
//! ```

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;

use rand_xoshiro::Xoshiro256PlusPlus;
use rand_xoshiro::rand_core::{Rng, SeedableRng};

use crate::limits::{REFUSED_TIME, RESUME_TIME, SILENCE};
use crate::packet::PROTOCOL;
use crate::session::client::{Failure, Phase, Received, SessionClient};
use crate::session::denial::Denial;
use crate::session::drops::DropReason;
use crate::session::keys::SessionKeys;
use crate::session::token::{ConnectToken, token_tag};
use crate::time::Timestamp;
use crate::transport::{Event, PeerAddr, Transmit, TransportKind};

/// Bits for numbering the connections of one attempt.
const CONNECTIONS_BITS: u32 = 16;

/// Progress of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SessionProgress {
    /// The session is being opened.
    Opening,
    /// The session is open.
    Open,
    /// The server has fallen silent.
    Silent,
    /// The session could not be opened, or was lost.
    Failed(Failure),
    /// One side ended the session.
    Disconnected,
}

/// Counters of a session's resumptions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ResumeStats {
    /// Number of times that the server was silent for too long.
    pub silences: u64,
    /// Number of times that the session was resumed with a ticket.
    pub resumes: u64,
    /// Longest time from a resumption's first request to its session, in microseconds.
    pub longest_resume_us: u64,
}

/// A session that is resumed with a ticket when the server falls silent.
#[derive(Debug)]
pub struct ResumableSession {
    kind: TransportKind,
    current: SessionClient,
    attempt: Option<Attempt>,
    /// Whether a packet arrived on the old path since the attempt began.
    heard_again: bool,
    /// Number of attempts so far: each has connections of its own.
    attempts: u64,
    /// Connections that are no longer used.
    idle: VecDeque<PeerAddr>,
    /// The newest ticket, and its keys once an attempt has used them: packet numbers continue
    /// across all attempts with one ticket.
    ticket: Option<(ConnectToken, Option<SessionKeys>)>,
    /// Why the server last refused a token.
    denial: Option<Denial>,
    rng: Xoshiro256PlusPlus,
    /// Why and when the server refused the ticket. Unless a packet arrives at once, the session is
    /// lost.
    refused: Option<(Failure, Timestamp)>,
    /// Why no further attempt is made.
    given_up: Option<Failure>,
    stats: ResumeStats,
}

#[derive(Debug)]
struct Attempt {
    session: SessionClient,
    /// When the first attempt of this silence began.
    since: Timestamp,
}

impl ResumableSession {
    /// Starts to open a session now. Its random numbers follow from `seed`.
    pub fn new(token: ConnectToken, seed: u64, now: Timestamp) -> Self {
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed);
        Self {
            kind: TransportKind::Udp,
            current: SessionClient::new(token, PROTOCOL, rng.next_u64(), now),
            attempt: None,
            heard_again: false,
            attempts: 0,
            idle: VecDeque::new(),
            ticket: None,
            denial: None,
            rng,
            refused: None,
            given_up: None,
            stats: ResumeStats::default(),
        }
    }

    /// Selects the transport; UDP by default. Call it before the first transmit.
    pub fn transport(mut self, kind: TransportKind) -> Self {
        self.kind = kind;
        if kind.is_connection_oriented() {
            // A later client may use the same endpoint: connection numbers must not repeat.
            self.attempts = self.rng.next_u64() >> CONNECTIONS_BITS;
        }
        let first = self.first_connection();
        self.current = self.current.transport(kind, first);
        self
    }

    /// Number of an attempt's first connection.
    fn first_connection(&self) -> u64 {
        self.attempts << CONNECTIONS_BITS | 1
    }

    /// The session's progress.
    pub fn keeping(&self) -> SessionProgress {
        match self.current.phase() {
            Phase::Disconnected => SessionProgress::Disconnected,
            _ if self.given_up.is_some() => {
                SessionProgress::Failed(self.given_up.unwrap_or(Failure::Denied))
            }
            _ if self.refused.is_some() => SessionProgress::Silent,
            _ if self.attempt.is_some() && !self.heard_again => SessionProgress::Silent,
            Phase::Requesting | Phase::Responding => SessionProgress::Opening,
            Phase::Connected { .. } => SessionProgress::Open,
            Phase::Failed(_) if self.has_lost() => SessionProgress::Silent,
            Phase::Failed(failure) => SessionProgress::Failed(failure),
        }
    }

    /// Whether the connection was lost while there is a ticket to resume with.
    fn has_lost(&self) -> bool {
        self.ticket.is_some() && self.current.phase() == Phase::Failed(Failure::ConnectionLost)
    }

    /// The counters of resumptions so far.
    pub fn stats(&self) -> ResumeStats {
        self.stats
    }

    /// Address of the present session's server.
    pub fn server(&self) -> SocketAddr {
        self.current.server()
    }

    /// The server's address on the current transport.
    pub fn addr(&self) -> PeerAddr {
        self.current.addr()
    }

    /// Most bytes of payload that the path carries.
    pub fn max_payload(&self) -> usize {
        self.current.max_payload()
    }

    /// Round trip of the handshake, once the session was open.
    pub fn round_trip(&self) -> Option<Duration> {
        self.current.round_trip()
    }

    /// Number of the present session's packets that were accepted.
    pub fn opened(&self) -> u64 {
        self.current.opened()
    }

    /// Keeps the newest ticket, in place of an earlier one.
    pub(crate) fn keep_ticket(&mut self, ticket: ConnectToken) {
        self.ticket = Some((ticket, None));
    }

    /// When to call [`Self::poll`] next. Far in the future once the session is given up.
    pub fn next_timeout(&self) -> Timestamp {
        let current = self.current.next_timeout();
        match &self.attempt {
            _ if self.given_up.is_some() => Timestamp::from_nanos(u64::MAX),
            Some(attempt) => current
                .min(attempt.session.next_timeout())
                .min(attempt.since + RESUME_TIME),
            None if self.refused.is_some() => self
                .refused
                .map_or(current, |(_, at)| current.min(at + REFUSED_TIME)),
            None if self.has_lost() => self.current.heard_at(),
            None if self.ticket.is_some() && self.current.is_connected() => {
                current.min(self.current.heard_at() + SILENCE)
            }
            None => current,
        }
    }

    /// The next packet that is due, with its destination.
    pub fn poll(&mut self, now: Timestamp) -> Option<(PeerAddr, Transmit)> {
        if let Some(idle) = self.idle.pop_front() {
            return Some((idle, Transmit::Close));
        }
        self.give_up(now);
        if self.given_up.is_some() {
            return None;
        }
        self.notice_silence(now);
        let transmit = self.current.poll(now);
        self.idle.extend(self.current.take_idle());
        if let Some(transmit) = transmit {
            return Some((self.current.addr(), transmit));
        }
        let attempt = self.attempt.as_mut()?;
        let due = attempt
            .session
            .poll(now)
            .map(|transmit| (attempt.session.addr(), transmit));
        self.idle.extend(attempt.session.take_idle());
        if let Phase::Failed(failure) = attempt.session.phase() {
            self.attempt_failed(failure, now);
        }
        due
    }

    fn give_up(&mut self, now: Timestamp) {
        if let Some((failure, _)) = self
            .refused
            .filter(|(_, at)| now.since(*at) >= REFUSED_TIME)
        {
            self.given_up = Some(failure);
        }
        if self
            .attempt
            .as_ref()
            .is_some_and(|attempt| now.since(attempt.since) >= RESUME_TIME)
        {
            self.given_up = Some(Failure::TimedOut);
        }
    }

    fn notice_silence(&mut self, now: Timestamp) {
        let silent = self.has_lost()
            || self.current.is_connected() && now.since(self.current.heard_at()) >= SILENCE;
        self.heard_again &= !silent;
        let idle = self.attempt.is_none() && self.refused.is_none();
        if silent && idle && self.ticket.is_some() {
            self.stats.silences += 1;
            self.begin_attempt(now, now);
        }
    }

    fn begin_attempt(&mut self, since: Timestamp, now: Timestamp) {
        let Some((ticket, keys)) = &mut self.ticket else {
            return;
        };
        let mut session = SessionClient::new(ticket.clone(), PROTOCOL, self.rng.next_u64(), now);
        if let Some(keys) = keys.take() {
            session = session.with_keys(keys);
        }
        self.attempts += 1;
        self.heard_again = false;
        let session = session.transport(self.kind, self.first_connection());
        let session = session.beginning_at(self.current.server());
        self.attempt = Some(Attempt { session, since });
    }

    /// Ends a failed attempt. A server that did not answer is asked again. One that refused has no
    /// such session, or refused for a short while.
    fn attempt_failed(&mut self, failure: Failure, now: Timestamp) {
        let Some(Attempt { session, since }) = self.attempt.take() else {
            return;
        };
        self.denial = session.denial();
        end_attempt(session, &mut self.ticket, &mut self.idle);
        if matches!(
            failure,
            Failure::RequestTimedOut | Failure::ResponseTimedOut
        ) {
            self.begin_attempt(since, now);
        } else {
            self.refused = Some((failure, now));
        }
    }

    /// Why the server last refused a token of this session, if it did.
    pub fn denial(&self) -> Option<Denial> {
        self.denial.or(self.current.denial())
    }

    /// Handles an event of the present session or of the attempt at it.
    ///
    /// # Errors
    /// The reason for which the datagram or frame was dropped.
    pub fn receive(
        &mut self,
        from: PeerAddr,
        event: Event<'_>,
        now: Timestamp,
    ) -> Result<Received<'_>, DropReason> {
        if self.is_for_attempt(from, event, now) {
            return Ok(Received::Step);
        }
        // The server closes the old connection after it has moved the session to the new one: the
        // attempt decides.
        let event = match event {
            Event::Closed { .. } if self.attempt.is_some() => Event::Closed { told: false },
            event => event,
        };
        let taken = self.current.receive(from, event, now);
        if taken.is_ok() && matches!(event, Event::Datagram(_) | Event::Frame(_)) {
            self.refused = None;
            self.heard_again = true;
            // Once a challenge was answered, the server may have moved the session already: then
            // the attempt goes on. Over connections that may happen as soon as the request is sent,
            // so the old path is only used until the new one is open.
            let asking = |attempt: &Attempt| attempt.session.phase() == Phase::Requesting;
            if !self.kind.is_connection_oriented()
                && let Some(attempt) = self.attempt.take_if(|attempt| asking(attempt))
            {
                end_attempt(attempt.session, &mut self.ticket, &mut self.idle);
            }
        }
        taken
    }

    fn is_for_attempt(&mut self, from: PeerAddr, event: Event<'_>, now: Timestamp) -> bool {
        let Some(attempt) = &mut self.attempt else {
            return false;
        };
        if attempt.session.receive(from, event, now).is_err() {
            return false;
        }
        match attempt.session.phase() {
            Phase::Connected { .. } => {
                let took = now.since(attempt.since).as_micros() as u64;
                self.stats.resumes += 1;
                self.stats.longest_resume_us = self.stats.longest_resume_us.max(took);
                if let Some(attempt) = self.attempt.take() {
                    leave_behind(&mut self.idle, self.current.addr());
                    self.current = attempt.session;
                }
                self.ticket = None;
            }
            Phase::Failed(failure) => self.attempt_failed(failure, now),
            _ => {}
        }
        true
    }

    /// Seals a payload for the present session; `None` unless it is open.
    pub fn seal(&mut self, payload: &[u8], now: Timestamp) -> Option<(PeerAddr, Transmit)> {
        self.current
            .is_connected()
            .then(|| (self.current.addr(), self.current.seal(payload, now)))
    }

    /// Ends the session. Returns the packets that notify the server.
    pub fn disconnect(&mut self) -> Vec<(PeerAddr, Transmit)> {
        if let Some(attempt) = self.attempt.take() {
            end_attempt(attempt.session, &mut self.ticket, &mut self.idle);
        }
        let to = self.current.addr();
        let notices = self.current.disconnect().into_iter();
        let idle = self.idle.drain(..).map(|idle| (idle, Transmit::Close));
        idle.chain(notices.map(|notice| (to, notice))).collect()
    }
}

/// Ends an attempt. The next attempt with the same ticket continues with its keys.
fn end_attempt(
    attempt: SessionClient,
    ticket: &mut Option<(ConnectToken, Option<SessionKeys>)>,
    idle: &mut VecDeque<PeerAddr>,
) {
    leave_behind(idle, attempt.addr());
    let used = attempt.into_keys();
    if let Some((ticket, keys)) = ticket
        && token_tag(&ticket.sealed) == *used.tag()
    {
        *keys = Some(used);
    }
}

fn leave_behind(idle: &mut VecDeque<PeerAddr>, addr: PeerAddr) {
    if addr.is_connection_oriented() {
        idle.push_back(addr);
    }
}
