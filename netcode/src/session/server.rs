//! The server's side of all sessions: admission, packets in and out, and changes of the sessions'
//! states.
//!
//! Sans-IO. The caller's loop:
//!
//! ```text
//! for each event:     receive(from, event, now) -> (client, payload or frame)
//! after each call:    poll_change() until `None` -> opened, parked, resumed, left, expired or
//!                     displaced
//! each tick:          set_wall_clock(now, wall), update(now), then for each client
//!                     send(client, payload, now, sink), then send_replies(sink)
//! ```

mod change;
mod outgoing;

use std::collections::VecDeque;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::by_connection::Waiting;
use super::challenge::Challenges;
use super::client::Received;
use super::config::SessionConfig;
use super::crypto::Key;
use super::drops::{DropReason, Drops};
use super::half_open::HalfOpenTable;
use super::history::TokenHistory;
use super::packet::{self, Header, Kind, Outer};
use super::rate::{TokenBucket, TokenBuckets};
use super::roster::{PACKETS, Roster, Session};
use super::token::{ConnectToken, Issuer, Purpose, Resumed};
use super::{ClientId, RateLimitKey};
use crate::limits::{
    DEPARTING_TIME, HALF_OPEN, HALF_OPEN_PER_RATE_LIMIT_KEY, KEEP_ALIVE, TICKET_LIFETIME,
};
use crate::time::{Timestamp, UnixTime};
use crate::transport::{Event, PeerAddr, Transmit};

pub use change::{Change, Resume};

/// All sessions of a server as a sans-IO state machine.
#[derive(Debug)]
pub struct SessionServer {
    pub(super) config: SessionConfig,
    pub(super) rng: StdRng,
    pub(super) challenges: Challenges,
    pub(super) started: Timestamp,
    /// A reading of the wall clock and the time of that reading.
    pub(super) wall: (Timestamp, UnixTime),
    pub(super) half_open: HalfOpenTable,
    pub(super) history: TokenHistory,
    pub(super) joins: TokenBuckets<RateLimitKey>,
    pub(super) opens: TokenBucket,
    pub(super) roster: Roster,
    pub(super) replied: u64,
    pub(super) replies: VecDeque<(PeerAddr, Transmit)>,
    pub(super) waiting: Waiting,
    pub(super) changes: VecDeque<Change>,
    pub(super) drops: Drops,
    pub(super) draining: bool,
    pub(super) scratch: Vec<u8>,
}

impl SessionServer {
    /// Creates a server that starts at `now`, when the wall clock reads `wall`. All randomness is
    /// derived from `seed`, which must be random.
    pub fn new(config: SessionConfig, seed: [u8; 32], now: Timestamp, wall: UnixTime) -> Self {
        let mut rng = StdRng::from_seed(seed);
        Self {
            challenges: Challenges::new(&Key::generate(&mut rng)),
            // Random, so that no number and no ticket of an earlier start is valid.
            replied: rng.next_u64() >> 10,
            roster: Roster::new((rng.next_u64() >> 34) as u32),
            rng,
            started: now,
            wall: (now, wall),
            half_open: HalfOpenTable::new(HALF_OPEN, HALF_OPEN_PER_RATE_LIMIT_KEY),
            history: TokenHistory::new(config.history),
            joins: TokenBuckets::default(),
            opens: TokenBucket::default(),
            replies: VecDeque::new(),
            waiting: Waiting::default(),
            changes: VecDeque::new(),
            drops: Drops::default(),
            draining: false,
            scratch: Vec::new(),
            config,
        }
    }

    /// Returns the configuration of the sessions.
    pub fn config(&self) -> &SessionConfig {
        &self.config
    }

    /// Returns the sessions, live and parked.
    pub fn roster(&self) -> &Roster {
        &self.roster
    }

    /// Returns the number of attempts that have not proved their address.
    pub fn half_open(&self) -> usize {
        self.half_open.len()
    }

    /// Returns the counts of dropped datagrams.
    pub fn drops(&self) -> &Drops {
        &self.drops
    }

    /// Counts a genuine datagram that the layers above dropped.
    pub fn note_drop(&mut self, reason: DropReason) {
        self.drops.note(reason);
    }

    /// Returns the next change of a session.
    pub fn poll_change(&mut self) -> Option<Change> {
        self.changes.pop_front()
    }

    /// Returns an unpredictable number, for callers that need a random seed.
    pub fn draw(&mut self) -> u64 {
        self.rng.next_u64()
    }

    /// Stops the admission of new clients. Existing sessions can still be resumed.
    pub fn drain(&mut self) {
        self.draining = true;
    }

    /// Returns the wall clock's reading at a past or future time, provided that the clock is not
    /// set in between.
    pub fn unix(&self, at: Timestamp) -> UnixTime {
        let (known, wall) = (self.wall.0, self.wall.1.as_millis());
        let (later, earlier) = (
            at.since(known).as_millis() as u64,
            known.since(at).as_millis() as u64,
        );
        UnixTime::from_millis((wall + later).saturating_sub(earlier))
    }

    /// Processes an event that arrived now and returns a session's payload or frame. An invalid
    /// event is counted and changes nothing else, except on the connection by which it arrived.
    pub fn receive<'a>(
        &mut self,
        from: impl Into<PeerAddr>,
        event: impl Into<Event<'a>>,
        now: Timestamp,
    ) -> Option<(ClientId, Received<'_>)> {
        let (from, event) = (from.into(), event.into());
        let Event::Datagram(datagram) = event else {
            return self.receive_secured(from, event, now);
        };
        if from.is_connection_oriented() {
            return self.receive_secured(from, event, now);
        }
        let taken = match packet::read_outer(datagram) {
            Err(reason) => Err(reason),
            Ok(Outer::Request(request)) => self.take_request(from, request, now).map(|()| None),
            Ok(Outer::Sealed(header)) => match header.kind {
                Kind::Denied | Kind::Challenge => Err(DropReason::Unexpected),
                Kind::Response => self
                    .take_response(from, header, datagram, now)
                    .map(|()| None),
                Kind::KeepAlive | Kind::Payload | Kind::Disconnect => {
                    self.take_live(from, header, datagram, now)
                }
            },
        };
        match taken {
            Ok(payload) => {
                let payload = payload?;
                let contents = &self.scratch[header_end(datagram)..][..payload.1];
                Some((payload.0, Received::Payload(contents)))
            }
            Err(reason) => {
                self.drops.note(reason);
                None
            }
        }
    }

    fn take_live(
        &mut self,
        from: PeerAddr,
        header: Header,
        datagram: &[u8],
        now: Timestamp,
    ) -> Result<Option<(ClientId, usize)>, DropReason> {
        let client = self.roster.at(from).ok_or(DropReason::Stranger)?;
        let session = self.roster.get_mut(client).ok_or(DropReason::Stranger)?;
        session.keys.check_fresh(header)?;
        // Only packets that the session's key opens count, so no other sender can spend its budget.
        if session.packets.is_spent(PACKETS, now) {
            return Err(DropReason::Flood);
        }
        self.scratch.clear();
        self.scratch.extend_from_slice(datagram);
        let length = session
            .keys
            .open(header, self.config.protocol, &mut self.scratch)?
            .len();
        session.packets.allows(PACKETS, now);
        session.note_heard(now);
        match header.kind {
            Kind::Payload => return Ok(Some((client, length))),
            Kind::Disconnect => {
                self.roster.remove(client);
                self.changes.push_back(Change::Left(client));
            }
            _ => {}
        }
        Ok(None)
    }

    /// Sets the wall clock, by which tokens expire. Between two calls it advances with the time.
    pub fn set_wall_clock(&mut self, now: Timestamp, wall: UnixTime) {
        self.wall = (now, wall);
    }

    /// Performs what is due at `now`: parks silent sessions, ends those whose grace period is over,
    /// queues keep-alives, forgets attempts, and closes connections without a session and displaced
    /// clients whose time is over.
    pub fn update(&mut self, now: Timestamp) {
        self.half_open.expire(now);
        self.close_idle(now);
        self.end_departed(now - DEPARTING_TIME);
        let (mut silent, mut expired, mut quiet) = (Vec::new(), Vec::new(), Vec::new());
        for (client, session) in self.roster.iter_mut() {
            match &session.live {
                Some(live)
                    if live
                        .timeout
                        .is_some_and(|most| now.since(live.heard_at) >= most) =>
                {
                    silent.push(client);
                }
                Some(live) if now.since(live.sent_at) >= KEEP_ALIVE => quiet.push(client),
                None if now >= session.parked_until => expired.push(client),
                Some(_) | None => {}
            }
        }
        silent.into_iter().for_each(|client| self.park(client, now));
        quiet
            .into_iter()
            .for_each(|client| self.keep_alive(client, now));
        for client in expired {
            self.roster.remove(client);
            self.changes.push_back(Change::Expired(client));
        }
    }

    /// Parks a session: its client counts as silent from now on.
    pub fn park(&mut self, client: ClientId, now: Timestamp) {
        let Some(live) = self.roster.disconnect(client) else {
            return;
        };
        self.close_addr(live.addr);
        if let Some(session) = self.roster.get_mut(client) {
            session.parked_until = now + self.config.grace;
            self.changes.push_back(Change::Parked(client));
        }
    }

    /// Issues a ticket with which a client resumes its session once, unless the session is resumed
    /// otherwise before. `None` if the session is not live or the server has no public address for
    /// its transport.
    pub fn ticket(&mut self, client: ClientId, now: Timestamp) -> Option<ConnectToken> {
        let unix = self.unix(now);
        let Session {
            user,
            room,
            role,
            epoch,
            live,
            ..
        } = self.roster.get(client)?;
        let resume = Some(Resumed {
            client,
            epoch: *epoch,
        });
        let purpose = Purpose {
            room: *room,
            role: *role,
            resume,
            issued: None,
        };
        let servers = self.config.servers.of(live.as_ref()?.addr.kind).to_vec();
        if servers.is_empty() {
            return None;
        }
        let issuer = Issuer {
            key: self.config.key.clone(),
            protocol: self.config.protocol,
            servers,
            lifetime: TICKET_LIFETIME,
            timeout: live
                .as_ref()?
                .timeout
                .unwrap_or(Duration::from_secs(i32::MAX as u64)),
        };
        let user = *user;
        Some(issuer.issue(user, purpose, unix, &mut self.rng))
    }
}

/// Returns the offset of the contents in a sealed packet.
fn header_end(datagram: &[u8]) -> usize {
    1 + usize::from(datagram[0] >> 4)
}
