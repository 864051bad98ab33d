//! A client's session, and another attempt at it when the server falls silent: after a short silence the ticket that the
//! server handed out is used, from whatever address the client now has, while the old way is still listened to.
//!
//! ```text
//! open --- silent for 250 ms, has a ticket ---> attempt: request ... challenge ... in session again: the new way counts
//!   ^_________ heard again before a challenge ____/  \____ refused: unless it is heard again at once, the session is gone
//! ```

use std::net::SocketAddr;
use std::time::Duration;

use rand_xoshiro::Xoshiro256PlusPlus;
use rand_xoshiro::rand_core::{Rng, SeedableRng};

use crate::limits::{REFUSED_TIME, RESUME_TIME, SILENCE};
use crate::packet::PROTOCOL;
use crate::session::client::{Failure, Phase, Received, SessionClient};
use crate::session::drops::DropReason;
use crate::session::token::ConnectToken;
use crate::time::Timestamp;

/// How a session is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keeping {
    /// It is being opened.
    Opening,
    /// It is open.
    Open,
    /// The server has fallen silent.
    Silent,
    /// It came to nothing, or was lost.
    Failed(Failure),
    /// One side ended it.
    Disconnected,
}

/// What coming back took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ResumeStats {
    /// Times that the server was silent for too long.
    pub silences: u64,
    /// Times that the session was resumed with a ticket.
    pub resumes: u64,
    /// Longest time from a resume's first request to its session, in microseconds.
    pub longest_resume_us: u64,
}

/// See the module.
#[derive(Debug)]
pub struct SessionKeeper {
    current: SessionClient,
    attempt: Option<Attempt>,
    /// The newest ticket, and the number from which packets under its key go on: attempts share it.
    ticket: Option<(ConnectToken, u64)>,
    silence: Duration,
    chances: Xoshiro256PlusPlus,
    /// The server refused the ticket, and when: unless it is heard again at once, the session is gone.
    refused: Option<(Failure, Timestamp)>,
    /// Why there is nothing more to be tried.
    over: Option<Failure>,
    stats: ResumeStats,
}

#[derive(Debug)]
struct Attempt {
    session: SessionClient,
    /// When the first attempt of this silence began.
    since: Timestamp,
}

impl SessionKeeper {
    /// Begins to open a session now; all that is random follows from `seed`.
    pub fn new(token: ConnectToken, seed: u64, now: Timestamp) -> Self {
        let mut chances = Xoshiro256PlusPlus::seed_from_u64(seed);
        Self {
            current: SessionClient::new(token, PROTOCOL, chances.next_u64(), now),
            attempt: None,
            ticket: None,
            silence: SILENCE,
            chances,
            refused: None,
            over: None,
            stats: ResumeStats::default(),
        }
    }

    /// Silence after which another attempt begins; [`SILENCE`] by default.
    pub fn set_silence(&mut self, silence: Duration) {
        self.silence = silence;
    }

    /// How the session is.
    pub fn keeping(&self) -> Keeping {
        match self.current.phase() {
            Phase::Disconnected => Keeping::Disconnected,
            _ if self.over.is_some() => Keeping::Failed(self.over.unwrap_or(Failure::Denied)),
            _ if self.attempt.is_some() || self.refused.is_some() => Keeping::Silent,
            Phase::Requesting | Phase::Responding => Keeping::Opening,
            Phase::Connected { .. } => Keeping::Open,
            Phase::Failed(failure) => Keeping::Failed(failure),
        }
    }

    /// What coming back took so far.
    pub fn stats(&self) -> ResumeStats {
        self.stats
    }

    /// The server of the present session.
    pub fn server(&self) -> SocketAddr {
        self.current.server()
    }

    /// How long the server took to answer, once the session was open.
    pub fn round_trip(&self) -> Option<Duration> {
        self.current.round_trip()
    }

    /// Packets of the present session that were taken.
    pub fn opened(&self) -> u64 {
        self.current.opened()
    }

    /// Keeps the newest ticket.
    pub fn keep_ticket(&mut self, ticket: ConnectToken) {
        self.ticket = Some((ticket, 0));
    }

    /// When [`Self::poll`] next has something to do.
    pub fn next_timeout(&self) -> Timestamp {
        let current = self.current.next_timeout();
        match &self.attempt {
            _ if self.over.is_some() => Timestamp::from_nanos(u64::MAX),
            Some(attempt) => current.min(attempt.session.next_timeout()).min(attempt.since + RESUME_TIME),
            None if self.refused.is_some() => {
                self.refused.map_or(current, |(_, at)| current.min(at + REFUSED_TIME))
            }
            None if self.ticket.is_some() && self.current.is_connected() => {
                current.min(self.current.heard_at() + self.silence)
            }
            None => current,
        }
    }

    /// The next datagram that time demands, and to whom.
    pub fn poll(&mut self, now: Timestamp) -> Option<(SocketAddr, Vec<u8>)> {
        self.give_up(now);
        if self.over.is_some() {
            return None;
        }
        self.notice_silence(now);
        if let Some(bytes) = self.current.poll(now) {
            return Some((self.current.server(), bytes));
        }
        let attempt = self.attempt.as_mut()?;
        let to = attempt.session.server();
        let due = attempt.session.poll(now).map(|bytes| (to, bytes));
        if let Phase::Failed(failure) = attempt.session.phase() {
            self.attempt_failed(failure, now);
        }
        due
    }

    fn give_up(&mut self, now: Timestamp) {
        if let Some((failure, _)) = self.refused.filter(|(_, at)| now.since(*at) >= REFUSED_TIME) {
            self.over = Some(failure);
        }
        if self.attempt.as_ref().is_some_and(|attempt| now.since(attempt.since) >= RESUME_TIME) {
            self.over = Some(Failure::TimedOut);
        }
    }

    fn notice_silence(&mut self, now: Timestamp) {
        let silent = self.current.is_connected() && now.since(self.current.heard_at()) >= self.silence;
        let idle = self.attempt.is_none() && self.refused.is_none();
        if silent && idle && self.ticket.is_some() {
            self.stats.silences += 1;
            self.begin_attempt(now, now);
        }
    }

    fn begin_attempt(&mut self, since: Timestamp, now: Timestamp) {
        let Some((ticket, next)) = self.ticket.clone() else { return };
        let session = SessionClient::new(ticket, PROTOCOL, self.chances.next_u64(), now);
        let session = session.numbered_from(next).beginning_at(self.current.server());
        self.attempt = Some(Attempt { session, since });
    }

    /// A server that does not answer is asked again; one that refuses has no such session, or had a moment's trouble.
    fn attempt_failed(&mut self, failure: Failure, now: Timestamp) {
        let Some(attempt) = end_attempt(&mut self.attempt, &mut self.ticket) else { return };
        if matches!(failure, Failure::RequestTimedOut | Failure::ResponseTimedOut) {
            self.begin_attempt(attempt.since, now);
        } else {
            self.refused = Some((failure, now));
        }
    }

    /// Takes in a datagram: of the present session, or of the attempt at it.
    pub fn receive(
        &mut self,
        from: SocketAddr,
        datagram: &[u8],
        now: Timestamp,
    ) -> Result<Received<'_>, DropReason> {
        if self.is_for_attempt(from, datagram, now) {
            return Ok(Received::Step);
        }
        let taken = self.current.receive(from, datagram, now);
        if taken.is_ok() {
            self.refused = None;
            // What was asked for may be granted already, once a challenge was answered: then the new way counts.
            let asking = |attempt: &Attempt| attempt.session.phase() == Phase::Requesting;
            if self.attempt.as_ref().is_some_and(asking) {
                end_attempt(&mut self.attempt, &mut self.ticket);
            }
        }
        taken
    }

    fn is_for_attempt(&mut self, from: SocketAddr, datagram: &[u8], now: Timestamp) -> bool {
        let Some(attempt) = &mut self.attempt else { return false };
        if attempt.session.receive(from, datagram, now).is_err() {
            return false;
        }
        match attempt.session.phase() {
            Phase::Connected { .. } => {
                let took = now.since(attempt.since).as_micros() as u64;
                self.stats.resumes += 1;
                self.stats.longest_resume_us = self.stats.longest_resume_us.max(took);
                if let Some(attempt) = self.attempt.take() {
                    self.current = attempt.session;
                }
                self.ticket = None;
            }
            Phase::Failed(failure) => self.attempt_failed(failure, now),
            _ => {}
        }
        true
    }

    /// Seals a payload for the session as it is.
    pub fn seal(&mut self, payload: &[u8], now: Timestamp) -> Option<(SocketAddr, Vec<u8>)> {
        self.current.is_connected().then(|| (self.current.server(), self.current.seal(payload, now)))
    }

    /// Ends the session; returns what to send so that the server knows.
    pub fn disconnect(&mut self) -> Vec<(SocketAddr, Vec<u8>)> {
        self.attempt = None;
        let to = self.current.server();
        self.current.disconnect().into_iter().map(|bytes| (to, bytes)).collect()
    }
}

/// Gives an attempt up; the next with the same ticket goes on numbering where it ended.
fn end_attempt(attempt: &mut Option<Attempt>, ticket: &mut Option<(ConnectToken, u64)>) -> Option<Attempt> {
    let attempt = attempt.take()?;
    if let Some((_, next)) = ticket {
        *next = attempt.session.next_number();
    }
    Some(attempt)
}
