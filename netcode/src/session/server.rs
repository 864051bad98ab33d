//! The server's side of all sessions: who may open one, what comes out of it, and what becomes of it.
//!
//! Sans-IO. The caller's loop:
//!
//! ```text
//! for each datagram:  receive(from, bytes, now) -> (client, payload)
//! always:             poll_change() -> opened, parked, resumed, closed
//! each tick:          update(now, wall), send(client, payload) ..., send_replies(sink)
//! ```

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;

use rand::SeedableRng;
use rand::rngs::StdRng;

use super::challenge::Challenges;
use super::crypto::{Key, PacketKey};
use super::drops::{DropReason, Drops};
use super::half_open::{Applicant, HalfOpenTable};
use super::history::TokenHistory;
use super::packet::{self, Header, Kind, Outer, Request};
use super::rate::{Meter, Meters, Rate};
use super::replay::ReplayWindow;
use super::roster::{Live, Place, Roster, Session};
use super::token::{ConnectToken, Issuer, OpenError, PrivateToken, Purpose, Resumed, UserData, token_tag};
use super::{ClientId, UserId};
use crate::limits::{
    CLOCK_DIFFERENCE, DISCONNECT_PACKETS, HALF_OPEN, HALF_OPEN_PER_NEIGHBOURHOOD, HALF_OPEN_TIME, KEEP_ALIVE,
    REPLIES, TICKET_LIFETIME, TOKEN_HISTORY, TOKENS_OPENED,
};
use crate::time::{Timestamp, UnixTime};
use crate::transport::DatagramSink;

/// What happens when a user who is in session as often as allowed comes with another token.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Duplicates {
    /// The newcomer is refused.
    Refuse,
    /// A newer token takes the session over.
    #[default]
    TakeOver,
}

/// How sessions are kept.
#[derive(Clone, Debug)]
pub struct SessionConfig {
    /// The protocol that is spoken.
    pub protocol: u64,
    /// The key that tokens are sealed with.
    pub key: Key,
    /// The addresses by which tokens may name this server.
    pub servers: Vec<SocketAddr>,
    /// Sessions at once, parked ones included.
    pub sessions: usize,
    /// Sessions of one user at once, 1 or more.
    pub per_user: usize,
    /// See [`Duplicates`].
    pub duplicates: Duplicates,
    /// Live sessions from one address (or IPv6 prefix of 64 bits) at once.
    pub per_address: usize,
    /// Attempts to join from one address.
    pub joins: Rate,
    /// Longest life of a token, in whole seconds.
    pub token_lifetime: Duration,
    /// How long a session is kept whose client has fallen silent.
    pub grace: Duration,
    /// Consumed tokens that are remembered.
    pub history: usize,
}

impl SessionConfig {
    /// The defaults for a server of this key at these addresses.
    pub fn new(protocol: u64, key: Key, servers: Vec<SocketAddr>) -> Self {
        Self {
            protocol,
            key,
            servers,
            sessions: 256,
            per_user: 1,
            duplicates: Duplicates::default(),
            per_address: 64,
            joins: Rate { per_second: 50, burst: 200 },
            token_lifetime: Duration::from_secs(30),
            grace: Duration::from_secs(30),
            history: TOKEN_HISTORY,
        }
    }
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
        /// Where it is.
        address: SocketAddr,
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
        /// Where it is now.
        address: SocketAddr,
        /// It came with a new token and holds nothing of what it was told before.
        anew: bool,
    },
    /// A client left.
    Left(ClientId),
    /// A parked session was kept for as long as the grace is.
    Expired(ClientId),
    /// A session ended because its user opened one in another room.
    Replaced(ClientId),
}

/// Numbers of packets outside of sessions have the highest bit, so that none meets a session's own.
const OUTSIDE: u64 = 1 << 63;

/// See the module.
#[derive(Debug)]
pub struct SessionServer {
    config: SessionConfig,
    chances: StdRng,
    challenges: Challenges,
    started: Timestamp,
    /// What the wall showed when.
    wall: (Timestamp, UnixTime),
    half_open: HalfOpenTable,
    history: TokenHistory,
    joins: Meters,
    opens: Meter,
    roster: Roster,
    replied: u64,
    replies: VecDeque<(SocketAddr, Vec<u8>)>,
    changes: VecDeque<Change>,
    drops: Drops,
    draining: bool,
    scratch: Vec<u8>,
}

impl SessionServer {
    /// A server that starts now, when the wall shows `wall`. All that is random follows from `seed`, which must be.
    pub fn new(config: SessionConfig, seed: [u8; 32], now: Timestamp, wall: UnixTime) -> Self {
        let mut chances = StdRng::from_seed(seed);
        Self {
            challenges: Challenges::new(&Key::generate(&mut chances)),
            chances,
            started: now,
            wall: (now, wall),
            half_open: HalfOpenTable::new(HALF_OPEN, HALF_OPEN_PER_NEIGHBOURHOOD),
            history: TokenHistory::new(config.history),
            joins: Meters::default(),
            opens: Meter::default(),
            roster: Roster::default(),
            replied: 0,
            replies: VecDeque::new(),
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

    /// From now on nobody joins; who is in session may still come back to it.
    pub fn drain(&mut self) {
        self.draining = true;
    }

    fn unix(&self, now: Timestamp) -> UnixTime {
        UnixTime::from_millis(self.wall.1.as_millis() + now.since(self.wall.0).as_millis() as u64)
    }

    /// Takes in a datagram that arrived now; returns a session's payload. What is wrong with it is counted, and
    /// changes nothing else.
    pub fn receive(
        &mut self,
        from: SocketAddr,
        datagram: &[u8],
        now: Timestamp,
    ) -> Option<(ClientId, &[u8])> {
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
                payload.map(|(client, length)| (client, &self.scratch[header_end(datagram)..][..length]))
            }
            Err(reason) => {
                self.drops.note(reason);
                None
            }
        }
    }

    fn take_request(
        &mut self,
        from: SocketAddr,
        request: Request<'_>,
        now: Timestamp,
    ) -> Result<(), DropReason> {
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
        if self.half_open.address_of(&tag).is_some_and(|first| first != from) {
            return Err(DropReason::SecondAddress);
        }
        let (per_second, burst) = TOKENS_OPENED;
        if !self.opens.allows(Rate { per_second, burst }, now) {
            return Err(DropReason::RateLimited);
        }
        let (applicant, user_data) = self.open_token(&request)?;
        self.check_age(&applicant, now)?;
        if let Err(reason) = self.may_come_in(&applicant, from, unix) {
            self.deny(from, &applicant.server_key, reason);
            return Err(reason);
        }
        if self.half_open.at(from).is_none_or(|attempt| attempt.applicant.tag != tag) {
            if !self.joins.allows(from.ip().into(), self.config.joins, now) {
                return Err(DropReason::RateLimited);
            }
            let time = timeout(applicant.timeout_s).unwrap_or(HALF_OPEN_TIME).min(HALF_OPEN_TIME);
            let key = applicant.server_key.clone();
            let user = applicant.user;
            self.half_open.insert(from, applicant, now + time);
            self.challenge(from, &key, (user, &user_data));
        } else {
            self.challenge(from, &applicant.server_key, (applicant.user, &user_data));
        }
        Ok(())
    }

    fn open_token(&self, request: &Request<'_>) -> Result<(Applicant, UserData), DropReason> {
        let SessionConfig { protocol, key, .. } = &self.config;
        let opened = PrivateToken::open(request.sealed, key, *protocol, request.expires, request.nonce);
        let private = opened.map_err(|error| match error {
            OpenError::Forged => DropReason::ForgedToken,
            OpenError::Malformed => DropReason::MalformedToken,
        })?;
        let purpose = Purpose::read(&private.user_data).ok_or(DropReason::MalformedToken)?;
        if !private.servers.iter().any(|server| self.config.servers.contains(server)) {
            return Err(DropReason::OtherServer);
        }
        let applicant = Applicant {
            tag: token_tag(request.sealed),
            expires: request.expires,
            user: private.user,
            purpose,
            timeout_s: private.timeout_s,
            client_key: private.client_key,
            server_key: private.server_key,
        };
        Ok((applicant, private.user_data))
    }

    /// A token must not live too long, or its history could not be kept.
    fn check_age(&self, applicant: &Applicant, now: Timestamp) -> Result<(), DropReason> {
        let longest =
            if applicant.purpose.resume.is_some() { TICKET_LIFETIME } else { self.config.token_lifetime };
        let latest = self.unix(now).as_secs() + (longest + CLOCK_DIFFERENCE).as_secs();
        if applicant.expires <= latest { Ok(()) } else { Err(DropReason::Expired) }
    }

    /// The rules, asked when a request comes and again when the address is proved.
    fn may_come_in(
        &self,
        applicant: &Applicant,
        from: SocketAddr,
        unix: UnixTime,
    ) -> Result<Place, DropReason> {
        // A token from before the start may have been consumed by the server that was here then.
        let age = self.wall.0.since(self.started).as_millis() as u64;
        let started = self.wall.1.as_millis().saturating_sub(age);
        let fresh = match applicant.purpose.issued {
            Some(issued) => issued.as_millis() >= started,
            None => applicant.expires * 1_000 >= started + self.config.token_lifetime.as_millis() as u64,
        };
        if !fresh {
            return Err(DropReason::BeforeStart);
        }
        if !self.history.has_room(unix.as_secs()) {
            return Err(DropReason::HistoryFull);
        }
        self.roster.place(applicant, from, &self.config, self.draining)
    }

    fn challenge(&mut self, to: SocketAddr, key: &Key, (user, user_data): (UserId, &UserData)) {
        let (number, contents) = self.challenges.make(user, user_data);
        self.half_open.challenged(to, number);
        self.reply(to, key, Kind::Challenge, &contents);
    }

    /// Who holds a genuine token is told that it is refused; others hear nothing.
    fn deny(&mut self, to: SocketAddr, key: &Key, reason: DropReason) {
        if reason != DropReason::AddressPresent {
            self.reply(to, key, Kind::Denied, &[]);
        }
    }

    /// Answers outside of a session.
    fn reply(&mut self, to: SocketAddr, key: &Key, kind: Kind, contents: &[u8]) {
        if self.replies.len() < REPLIES {
            let mut packet = Vec::new();
            let number = OUTSIDE | self.replied;
            self.replied += 1;
            packet::seal((kind, number), self.config.protocol, &PacketKey::new(key), contents, &mut packet);
            self.replies.push_back((to, packet));
        }
    }

    fn take_response(
        &mut self,
        from: SocketAddr,
        header: Header,
        datagram: &[u8],
        now: Timestamp,
    ) -> Result<(), DropReason> {
        let Some(attempt) = self.half_open.at(from) else {
            let present = self.roster.at(from).is_some();
            return Err(if present { DropReason::AddressPresent } else { DropReason::Stranger });
        };
        let key = PacketKey::new(&attempt.applicant.client_key);
        self.scratch.clear();
        self.scratch.extend_from_slice(datagram);
        let contents = packet::open(header, self.config.protocol, &key, &mut self.scratch)?;
        packet::check_size(Kind::Response, contents)?;
        let (number, user, user_data) = self.challenges.open(contents).ok_or(DropReason::ForeignChallenge)?;
        if user != attempt.applicant.user || !attempt.was_challenged_with(number) {
            return Err(DropReason::ForeignChallenge);
        }
        let Some(attempt) = self.half_open.remove(from) else { return Err(DropReason::Stranger) };
        self.let_in(attempt.applicant, user_data, from, key, now)
    }

    fn let_in(
        &mut self,
        applicant: Applicant,
        user_data: UserData,
        from: SocketAddr,
        opening: PacketKey,
        now: Timestamp,
    ) -> Result<(), DropReason> {
        let unix = self.unix(now);
        let mut place = self.may_come_in(&applicant, from, unix);
        if place.is_ok() && !self.history.consume(applicant.tag, applicant.expires, unix.as_secs()) {
            place = Err(DropReason::HistoryFull);
        }
        let place = place.inspect_err(|reason| self.deny(from, &applicant.server_key, *reason))?;
        let client = self.take_place(place, &applicant, (from, user_data));
        let live = Live {
            address: from,
            index: self.roster.free_index(),
            timeout: timeout(applicant.timeout_s),
            opening,
            sealing: PacketKey::new(&applicant.server_key),
            next: 0,
            replay: ReplayWindow::default(),
            confirmed: false,
            heard_at: now,
            sent_at: now,
        };
        self.roster.connect(client, live);
        self.keep_alive(client, now);
        Ok(())
    }

    /// Makes the place free and says what happened.
    fn take_place(
        &mut self,
        place: Place,
        applicant: &Applicant,
        (address, user_data): (SocketAddr, UserData),
    ) -> ClientId {
        let (client, anew) = match place {
            Place::Resumed(client) => (client, false),
            Place::TakenOver(client) => (client, true),
            Place::New | Place::Instead(_) => {
                if let Place::Instead(old) = place {
                    self.say_farewell(old);
                    self.roster.remove(old);
                    self.changes.push_back(Change::Replaced(old));
                }
                let client = self.roster.open(applicant);
                let (user, purpose, user_data) = (applicant.user, applicant.purpose, Box::new(user_data));
                self.changes.push_back(Change::Opened { client, user, address, purpose, user_data });
                return client;
            }
        };
        if anew {
            self.say_farewell(client);
        }
        if let Some(session) = self.roster.get_mut(client) {
            session.epoch += 1;
            session.issued = if anew { applicant.purpose.issued } else { session.issued };
        }
        self.changes.push_back(Change::Resumed { client, address, anew });
        client
    }

    /// Whoever held a session that goes to another is told that it is over.
    fn say_farewell(&mut self, client: ClientId) {
        let (protocol, replies) = (self.config.protocol, &mut self.replies);
        let Some(live) = self.roster.get_mut(client).and_then(|session| session.live.as_mut()) else {
            return;
        };
        for _ in 0..DISCONNECT_PACKETS {
            let mut packet = Vec::new();
            live.seal(Kind::Disconnect, protocol, &[], &mut packet);
            if replies.len() < REPLIES {
                replies.push_back((live.address, packet));
            }
        }
    }

    fn take_live(
        &mut self,
        from: SocketAddr,
        header: Header,
        datagram: &[u8],
        now: Timestamp,
    ) -> Result<Option<(ClientId, usize)>, DropReason> {
        let client = self.roster.at(from).ok_or(DropReason::Stranger)?;
        let session = self.roster.get_mut(client).and_then(|session| session.live.as_mut());
        let live = session.ok_or(DropReason::Stranger)?;
        if !live.replay.is_fresh(header.sequence) {
            return Err(DropReason::Repeated);
        }
        self.scratch.clear();
        self.scratch.extend_from_slice(datagram);
        let contents = packet::open(header, self.config.protocol, &live.opening, &mut self.scratch)?;
        live.replay.note(header.sequence);
        packet::check_size(header.kind, contents)?;
        live.heard_at = live.heard_at.max(now);
        live.confirmed = true;
        match header.kind {
            Kind::Payload => return Ok(Some((client, contents.len()))),
            Kind::Disconnect => {
                self.roster.remove(client);
                self.changes.push_back(Change::Left(client));
            }
            _ => {}
        }
        Ok(None)
    }

    /// Does what time demands: sessions fall silent and end, silence is broken, attempts are forgotten. `wall` is
    /// what the clock on the wall shows.
    pub fn update(&mut self, now: Timestamp, wall: UnixTime) {
        self.wall = (now, wall);
        self.half_open.expire(now);
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
        if self.roster.disconnect(client).is_some()
            && let Some(session) = self.roster.get_mut(client)
        {
            session.parked_until = now + self.config.grace;
            self.changes.push_back(Change::Parked(client));
        }
    }

    fn keep_alive(&mut self, client: ClientId, now: Timestamp) {
        let most = self.config.sessions as u32;
        let Some(live) = self.roster.get_mut(client).and_then(|session| session.live.as_mut()) else {
            return;
        };
        let mut packet = Vec::new();
        live.seal(Kind::KeepAlive, self.config.protocol, &live.keep_alive(most), &mut packet);
        live.sent_at = now;
        if self.replies.len() < REPLIES {
            self.replies.push_back((live.address, packet));
        }
    }

    /// Sends a payload of 1 to 1,200 bytes to a client that is in session. One that was not heard yet is told of its
    /// session along with it.
    pub fn send(&mut self, client: ClientId, payload: &[u8], now: Timestamp, sink: &mut dyn DatagramSink) {
        let (protocol, most) = (self.config.protocol, self.config.sessions as u32);
        let Some(live) = self.roster.get_mut(client).and_then(|session| session.live.as_mut()) else {
            return;
        };
        if !live.confirmed {
            live.seal(Kind::KeepAlive, protocol, &live.keep_alive(most), &mut self.scratch);
            sink.send(live.address, &self.scratch);
        }
        live.seal(Kind::Payload, protocol, payload, &mut self.scratch);
        live.sent_at = now;
        sink.send(live.address, &self.scratch);
    }

    /// Ends a session, live or parked, and tells its client.
    pub fn close(&mut self, client: ClientId, sink: &mut dyn DatagramSink) {
        let Some(mut live) = self.roster.remove(client) else { return };
        for _ in 0..DISCONNECT_PACKETS {
            live.seal(Kind::Disconnect, self.config.protocol, &[], &mut self.scratch);
            sink.send(live.address, &self.scratch);
        }
    }

    /// Sends what was said outside of sessions since the last call.
    pub fn send_replies(&mut self, sink: &mut dyn DatagramSink) {
        while let Some((to, packet)) = self.replies.pop_front() {
            sink.send(to, &packet);
        }
        sink.flush();
    }

    /// A ticket by which a client comes back to its session, once, for as long as it was not resumed otherwise.
    pub fn ticket(&mut self, client: ClientId, now: Timestamp) -> Option<ConnectToken> {
        let unix = self.unix(now);
        let Session { user, room, epoch, live, .. } = self.roster.get(client)?;
        let resume = Some(Resumed { client, epoch: *epoch });
        let purpose = Purpose { room: *room, resume, issued: None };
        let issuer = Issuer {
            key: self.config.key.clone(),
            protocol: self.config.protocol,
            servers: self.config.servers.clone(),
            lifetime: TICKET_LIFETIME,
            timeout: live.as_ref()?.timeout.unwrap_or(Duration::from_secs(i32::MAX as u64)),
        };
        let user = *user;
        Some(issuer.issue(user, purpose, unix, &mut self.chances))
    }
}

impl Live {
    fn seal(&mut self, kind: Kind, protocol: u64, contents: &[u8], packet: &mut Vec<u8>) {
        packet::seal((kind, self.next), protocol, &self.sealing, contents, packet);
        self.next += 1;
    }

    fn keep_alive(&self, sessions: u32) -> [u8; 8] {
        let mut contents = [0; 8];
        contents[..4].copy_from_slice(&self.index.to_le_bytes());
        contents[4..].copy_from_slice(&sessions.to_le_bytes());
        contents
    }
}

/// Where the contents of a sealed packet begin.
fn header_end(datagram: &[u8]) -> usize {
    1 + usize::from(datagram[0] >> 4)
}

/// A token's time-out: never where it is negative.
fn timeout(seconds: i32) -> Option<Duration> {
    u64::try_from(seconds).ok().map(Duration::from_secs)
}
