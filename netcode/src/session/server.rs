//! The server's side of all sessions: who may open one, what comes out of it, and what becomes of
//! it.
//!
//! Sans-IO. The caller's loop:
//!
//! ```text
//! for each event:     receive(from, event, now) -> (client, payload or frame)
//! always:             poll_change() -> opened, parked, resumed, closed
//! each tick:          set_wall(now, wall), update(now), send(client, payload) ..., send_replies(sink)
//! ```

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
use super::secured;
use super::token::{ConnectToken, Issuer, Purpose, Resumed, UserData};
use super::{ClientId, RateLimitKey, UserId};
use crate::limits::{
    DEPARTING_TIME, DISCONNECT_PACKETS, HALF_OPEN, HALF_OPEN_PER_RATE_LIMIT_KEY, KEEP_ALIVE,
    REPLIES, TICKET_LIFETIME,
};
use crate::time::{Timestamp, UnixTime};
use crate::transport::{Event, PeerAddr, Transmit, Transport};

/// Whether the state of the layers above a session survives when the session goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resume {
    /// The same client goes on. The server knows what it holds.
    Continued,
    /// Another client of the user took the session over. It holds nothing.
    Restarted,
}

/// What became of a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// A new client is in session.
    Opened {
        /// Its number.
        client: ClientId,
        /// Who it is.
        user: UserId,
        /// The way to it.
        addr: PeerAddr,
        /// What its token is for.
        purpose: Purpose,
        /// What the issuer gave along; the first [`super::token::PURPOSE_BYTES`] are the purpose.
        user_data: Box<UserData>,
    },
    /// A client has fallen silent; its session is kept for the grace.
    Parked(ClientId),
    /// A client is back, maybe at another address.
    Resumed {
        /// Its number.
        client: ClientId,
        /// The way to it now.
        addr: PeerAddr,
        /// It came with a new token and holds nothing of what it was told before.
        resume: Resume,
    },
    /// A client left.
    Left(ClientId),
    /// A parked session was kept for as long as the grace is.
    Expired(ClientId),
    /// Another client of the user takes a session over; the one that had it can still be sent to
    /// under another number, until [`SessionServer::close`] or for [`DEPARTING_TIME`].
    Displaced {
        /// The session's number.
        client: ClientId,
        /// The number of the client that had it.
        departing: ClientId,
    },
}

/// See the module.
#[derive(Debug)]
pub struct SessionServer {
    pub(super) config: SessionConfig,
    pub(super) rng: StdRng,
    pub(super) challenges: Challenges,
    pub(super) started: Timestamp,
    /// What the wall showed when.
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
    /// A server that starts now, when the wall shows `wall`. All that is random follows from
    /// `seed`, which must be.
    pub fn new(config: SessionConfig, seed: [u8; 32], now: Timestamp, wall: UnixTime) -> Self {
        let mut rng = StdRng::from_seed(seed);
        Self {
            challenges: Challenges::new(&Key::generate(&mut rng)),
            // Random, so that no number and no ticket of an earlier start is met again.
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

    /// How sessions are kept.
    pub fn config(&self) -> &SessionConfig {
        &self.config
    }

    /// Who is in session.
    pub fn roster(&self) -> &Roster {
        &self.roster
    }

    /// Attempts that have not proved their address.
    pub fn half_open(&self) -> usize {
        self.half_open.len()
    }

    /// Datagrams dropped so far.
    pub fn drops(&self) -> &Drops {
        &self.drops
    }

    /// Counts a datagram that was genuine and not taken, for reasons of the layers above.
    pub fn note_drop(&mut self, reason: DropReason) {
        self.drops.note(reason);
    }

    /// The next change.
    pub fn poll_change(&mut self) -> Option<Change> {
        self.changes.pop_front()
    }

    /// A number that nobody can guess, for what needs chances of its own.
    pub fn draw(&mut self) -> u64 {
        self.rng.next_u64()
    }

    /// From now on nobody joins; who is in session may still come back to it.
    pub fn drain(&mut self) {
        self.draining = true;
    }

    /// What the wall shows at a time, past or to come, if it is not set meanwhile.
    pub fn unix(&self, at: Timestamp) -> UnixTime {
        let (known, wall) = (self.wall.0, self.wall.1.as_millis());
        let (later, earlier) =
            (at.since(known).as_millis() as u64, known.since(at).as_millis() as u64);
        UnixTime::from_millis((wall + later).saturating_sub(earlier))
    }

    /// Takes in what came now; returns a session's payload or frame. What is wrong with it is
    /// counted, and changes nothing else but for the connection by which it came.
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
                Kind::Response => self.take_response(from, header, datagram, now).map(|()| None),
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
        // Only what its key opens counts, so that nobody else can spend it.
        if session.packets.is_spent(PACKETS, now) {
            return Err(DropReason::Flood);
        }
        self.scratch.clear();
        self.scratch.extend_from_slice(datagram);
        let length = session.keys.open(header, self.config.protocol, &mut self.scratch)?.len();
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

    /// What the clock on the wall shows now: by it tokens expire. Between two calls it goes on with
    /// the time.
    pub fn set_wall_clock(&mut self, now: Timestamp, wall: UnixTime) {
        self.wall = (now, wall);
    }

    /// Does what time demands: sessions fall silent and end, silence is broken, attempts are
    /// forgotten.
    pub fn update(&mut self, now: Timestamp) {
        self.half_open.expire(now);
        self.close_idle(now);
        self.end_departed(now - DEPARTING_TIME);
        let (mut silent, mut expired, mut quiet) = (Vec::new(), Vec::new(), Vec::new());
        for (client, session) in self.roster.iter_mut() {
            match &session.live {
                Some(live) if live.timeout.is_some_and(|most| now.since(live.heard_at) >= most) => {
                    silent.push(client);
                }
                Some(live) if now.since(live.sent_at) >= KEEP_ALIVE => quiet.push(client),
                None if now >= session.parked_until => expired.push(client),
                Some(_) | None => {}
            }
        }
        silent.into_iter().for_each(|client| self.park(client, now));
        quiet.into_iter().for_each(|client| self.keep_alive(client, now));
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

    pub(super) fn keep_alive(&mut self, client: ClientId, now: Timestamp) {
        let (protocol, most) = (self.config.protocol, self.config.sessions as u32);
        let Some(session) = self.roster.get_mut(client) else {
            return;
        };
        let Some(live) = &mut session.live else {
            return;
        };
        live.sent_at = now;
        let (addr, contents) = (live.addr, live.keep_alive(most));
        let transmit = match addr.is_connection_oriented() {
            true => Transmit::Datagram(secured::KEEP_ALIVE.to_vec()),
            false => {
                let mut packet = Vec::new();
                session.keys.seal(Kind::KeepAlive, protocol, &contents, &mut packet);
                Transmit::Datagram(packet)
            }
        };
        self.answer(addr, transmit);
    }

    /// Queues what is said outside of the tick; more datagrams than can wait are dropped.
    pub(super) fn answer(&mut self, to: PeerAddr, transmit: Transmit) {
        if self.replies.len() < REPLIES || !matches!(transmit, Transmit::Datagram(_)) {
            self.replies.push_back((to, transmit));
        }
    }

    /// Bytes that a payload to a client may have; 0 while it is not in session.
    pub fn max_payload(&self, client: ClientId) -> usize {
        self.roster
            .get(client)
            .and_then(|session| session.live.as_ref())
            .map_or(0, |live| live.max_payload)
    }

    /// Sends a frame to a client that is in session on a connection. Returns the bytes that left.
    pub fn send_frame(
        &mut self,
        client: ClientId,
        frame: &[u8],
        now: Timestamp,
        sink: &mut dyn Transport,
    ) -> usize {
        let Some(live) = self.roster.get_mut(client).and_then(|session| session.live.as_mut())
        else {
            return 0;
        };
        live.sent_at = now;
        sink.send_frame(live.addr, frame);
        frame.len()
    }

    /// Sends a payload of 1 to 1,200 bytes to a client that is in session. One that was not heard
    /// yet is told of its session along with it. Returns the bytes that left.
    pub fn send(
        &mut self,
        client: ClientId,
        payload: &[u8],
        now: Timestamp,
        sink: &mut dyn Transport,
    ) -> usize {
        let (protocol, most) = (self.config.protocol, self.config.sessions as u32);
        let Some(session) = self.roster.get_mut(client) else {
            return 0;
        };
        let Some(live) = session.live.as_mut() else {
            return 0;
        };
        let mut bytes = 0;
        if live.addr.is_connection_oriented() {
            live.sent_at = now;
            sink.send(live.addr, payload);
            return payload.len();
        }
        if !session.heard {
            session.keys.seal(Kind::KeepAlive, protocol, &live.keep_alive(most), &mut self.scratch);
            sink.send(live.addr, &self.scratch);
            bytes += self.scratch.len();
        }
        session.keys.seal(Kind::Payload, protocol, payload, &mut self.scratch);
        live.sent_at = now;
        sink.send(live.addr, &self.scratch);
        bytes + self.scratch.len()
    }

    /// Ends a session, live or parked, and tells its client.
    pub fn close(&mut self, client: ClientId, sink: &mut dyn Transport) {
        let Some((Some(live), mut keys)) = self.roster.remove(client) else {
            return;
        };
        if live.addr.is_connection_oriented() {
            return sink.close(live.addr);
        }
        for _ in 0..DISCONNECT_PACKETS {
            keys.seal(Kind::Disconnect, self.config.protocol, &[], &mut self.scratch);
            sink.send(live.addr, &self.scratch);
        }
    }

    /// Sends what was said outside of sessions since the last call.
    pub fn send_replies(&mut self, sink: &mut dyn Transport) {
        while let Some((to, transmit)) = self.replies.pop_front() {
            transmit.send(to, sink);
        }
        sink.flush();
    }

    /// A ticket by which a client comes back to its session, once, for as long as it was not
    /// resumed otherwise. None where no address is known by which it could.
    pub fn ticket(&mut self, client: ClientId, now: Timestamp) -> Option<ConnectToken> {
        let unix = self.unix(now);
        let Session { user, room, role, epoch, live, .. } = self.roster.get(client)?;
        let resume = Some(Resumed { client, epoch: *epoch });
        let purpose = Purpose { room: *room, role: *role, resume, issued: None };
        let servers = self.config.servers.of(live.as_ref()?.addr.kind).to_vec();
        if servers.is_empty() {
            return None;
        }
        let issuer = Issuer {
            key: self.config.key.clone(),
            protocol: self.config.protocol,
            servers,
            lifetime: TICKET_LIFETIME,
            timeout: live.as_ref()?.timeout.unwrap_or(Duration::from_secs(i32::MAX as u64)),
        };
        let user = *user;
        Some(issuer.issue(user, purpose, unix, &mut self.rng))
    }
}

/// Where the contents of a sealed packet begin.
fn header_end(datagram: &[u8]) -> usize {
    1 + usize::from(datagram[0] >> 4)
}
