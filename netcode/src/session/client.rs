//! The client's side of one session, from its token to its end.
//!
//! Sans-IO. The caller's loop:
//!
//! ```text
//! for each datagram:             receive(from, bytes, now) -> payload
//! while poll(now) = bytes:       send them to server()
//! once connected:                seal(payload, now) -> bytes to send
//! wait for a datagram or next_timeout()
//! ```

use std::net::SocketAddr;
use std::time::Duration;

use super::backoff::Backoff;
use super::challenge::Challenge;
use super::crypto::PacketKey;
use super::drops::DropReason;
use super::packet::{self, Header, Kind, Outer};
use super::replay::ReplayWindow;
use super::token::{ConnectToken, TokenError};
use crate::limits::{DISCONNECT_PACKETS, KEEP_ALIVE, LONGEST_REQUEST_PAUSE, REQUEST_PAUSE, RESPONSE_PAUSE};
use crate::time::Timestamp;

/// Of so many responses one is a request again.
const RESPONSES_PER_REQUEST: u32 = 10;

/// Why no session came about, or why it ended other than by a disconnect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// The token cannot be used.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// The token expired before a server took it.
    #[error("the token expired before a server took it: ask for a new one")]
    TokenExpired,
    /// No server answered a request.
    #[error("no server answered")]
    RequestTimedOut,
    /// The server did not answer the response to its challenge.
    #[error("the server asked for a proof of the address and then fell silent")]
    ResponseTimedOut,
    /// The server refused the token: it is full, stops, or has taken the token or the user already.
    #[error("the server refused the token: it is full or stopping, or has the token or the user already")]
    Denied,
    /// The server fell silent.
    #[error("the server fell silent")]
    TimedOut,
}

/// How far a session is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Asking for a session.
    Requesting,
    /// Proving the address.
    Responding,
    /// In session.
    Connected {
        /// The client's index at the server.
        index: u32,
        /// Sessions that the server can hold.
        most: u32,
    },
    /// It came to nothing.
    Failed(Failure),
    /// Server or client ended it.
    Disconnected,
}

/// What a datagram was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Received<'a> {
    /// A step of the session itself.
    Step,
    /// A payload.
    Payload(&'a [u8]),
}

/// See the module.
#[derive(Debug)]
pub struct SessionClient {
    token: ConnectToken,
    /// Which of the token's servers it tries.
    server: usize,
    phase: Phase,
    opening: PacketKey,
    sealing: PacketKey,
    next: u64,
    replay: ReplayWindow,
    challenge: Option<Box<Challenge>>,
    began: Timestamp,
    step_began: Timestamp,
    heard_at: Timestamp,
    sent_at: Timestamp,
    next_send: Timestamp,
    /// Datagrams sent in this step.
    sends: u32,
    pauses: Backoff,
    round_trip: Option<Duration>,
    opened: u64,
    scratch: Vec<u8>,
}

impl SessionClient {
    /// A client that begins to use its token now; `seed` makes the pauses between its requests.
    pub fn new(token: ConnectToken, protocol: u64, seed: u64, now: Timestamp) -> Self {
        let phase = match token.protocol == protocol {
            true => Phase::Requesting,
            false => Phase::Failed(TokenError::other_protocol(token.protocol, protocol).into()),
        };
        Self {
            opening: PacketKey::new(&token.server_key),
            sealing: PacketKey::new(&token.client_key),
            token,
            server: 0,
            phase,
            next: 0,
            replay: ReplayWindow::default(),
            challenge: None,
            began: now,
            step_began: now,
            heard_at: now,
            sent_at: now,
            next_send: now,
            sends: 0,
            pauses: Backoff::new(REQUEST_PAUSE, LONGEST_REQUEST_PAUSE, seed),
            round_trip: None,
            opened: 0,
            scratch: Vec::new(),
        }
    }

    /// Begins with this server, if the token names it.
    pub fn beginning_at(mut self, server: SocketAddr) -> Self {
        self.server = self.token.servers.iter().position(|named| *named == server).unwrap_or(0);
        self
    }

    /// Numbers its packets from `next` on, where an earlier client has used the same token: no number may be sealed twice.
    pub fn numbered_from(mut self, next: u64) -> Self {
        self.next = next;
        self
    }

    /// The number of its next packet.
    pub fn next_number(&self) -> u64 {
        self.next
    }

    /// How far it is.
    pub fn phase(&self) -> Phase {
        self.phase
    }

    /// Whether it is in session.
    pub fn is_connected(&self) -> bool {
        matches!(self.phase, Phase::Connected { .. })
    }

    /// The server that it talks to.
    pub fn server(&self) -> SocketAddr {
        self.token.servers[self.server]
    }

    /// When the server was heard last.
    pub fn heard_at(&self) -> Timestamp {
        self.heard_at
    }

    /// How long the server took to answer, as the last step before the session opened shows: too long where a datagram
    /// was lost.
    pub fn round_trip(&self) -> Option<Duration> {
        self.round_trip
    }

    /// Packets of the session that came and were taken.
    pub fn opened(&self) -> u64 {
        self.opened
    }

    /// When [`Self::poll`] next has something to do; far in the future once all is over.
    pub fn next_timeout(&self) -> Timestamp {
        let silent =
            self.timeout().map_or(Timestamp::from_nanos(u64::MAX), |most| self.silent_since() + most);
        match self.phase {
            Phase::Requesting | Phase::Responding => {
                self.next_send.min(silent).min(self.began + self.token_lifetime())
            }
            Phase::Connected { .. } => (self.sent_at + KEEP_ALIVE).min(silent),
            Phase::Failed(_) | Phase::Disconnected => Timestamp::from_nanos(u64::MAX),
        }
    }

    fn timeout(&self) -> Option<Duration> {
        u64::try_from(self.token.timeout_s).ok().filter(|seconds| *seconds > 0).map(Duration::from_secs)
    }

    fn token_lifetime(&self) -> Duration {
        Duration::from_secs(self.token.expires - self.token.created)
    }

    fn silent_since(&self) -> Timestamp {
        if self.is_connected() { self.heard_at } else { self.step_began }
    }

    /// The next datagram that time demands.
    pub fn poll(&mut self, now: Timestamp) -> Option<Vec<u8>> {
        self.give_up(now);
        match self.phase {
            Phase::Requesting if now >= self.next_send => {
                let pause = self.pauses.pause();
                self.note_step_sent(now, pause);
                Some(self.request())
            }
            Phase::Responding if now >= self.next_send => {
                self.note_step_sent(now, RESPONSE_PAUSE);
                // The server may have forgotten the attempt, or know another address for it: ask again now and then.
                if self.sends.is_multiple_of(RESPONSES_PER_REQUEST) {
                    return Some(self.request());
                }
                let challenge = self.challenge.clone()?;
                Some(self.seal_packet(Kind::Response, &*challenge))
            }
            Phase::Connected { index, most } if now.since(self.sent_at) >= KEEP_ALIVE => {
                self.sent_at = now;
                let contents = [index.to_le_bytes(), most.to_le_bytes()].concat();
                Some(self.seal_packet(Kind::KeepAlive, &contents))
            }
            _ => None,
        }
    }

    fn request(&self) -> Vec<u8> {
        let ConnectToken { protocol, expires, nonce, sealed, .. } = &self.token;
        packet::write_request(*protocol, *expires, nonce, sealed)
    }

    fn note_step_sent(&mut self, now: Timestamp, pause: Duration) {
        if self.sends == 0 {
            self.sent_at = now;
        }
        self.sends += 1;
        self.next_send = now + pause;
    }

    /// The next server, or an end, where time is up.
    fn give_up(&mut self, now: Timestamp) {
        let silent = self.timeout().is_some_and(|most| now.since(self.silent_since()) >= most);
        let failure = match self.phase {
            Phase::Failed(_) | Phase::Disconnected => return,
            Phase::Connected { .. } if silent => return self.phase = Phase::Failed(Failure::TimedOut),
            Phase::Connected { .. } => return,
            _ if now.since(self.began) >= self.token_lifetime() => {
                return self.phase = Phase::Failed(Failure::TokenExpired);
            }
            Phase::Requesting => Failure::RequestTimedOut,
            Phase::Responding => Failure::ResponseTimedOut,
        };
        if silent {
            self.try_next(failure, now);
        }
    }

    fn try_next(&mut self, failure: Failure, now: Timestamp) {
        self.phase = match self.server + 1 < self.token.servers.len() {
            true => Phase::Requesting,
            false => Phase::Failed(failure),
        };
        if self.phase == Phase::Requesting {
            self.server += 1;
            self.begin_step(now);
        }
    }

    fn begin_step(&mut self, now: Timestamp) {
        self.step_began = now;
        self.next_send = now;
        self.sends = 0;
        self.pauses.reset();
    }

    /// Takes in a datagram. What is wrong with it changes nothing, nor does what comes from another than [`Self::server`].
    pub fn receive(
        &mut self,
        from: SocketAddr,
        datagram: &[u8],
        now: Timestamp,
    ) -> Result<Received<'_>, DropReason> {
        if from != self.server() {
            return Err(DropReason::Stranger);
        }
        let header = match packet::read_outer(datagram)? {
            Outer::Request(_) => return Err(DropReason::Unexpected),
            Outer::Sealed(header) => header,
        };
        self.check_expected(header)?;
        self.scratch.clear();
        self.scratch.extend_from_slice(datagram);
        let contents = packet::open(header, self.token.protocol, &self.opening, &mut self.scratch)?;
        if header.kind.is_replay_protected() {
            self.replay.note(header.sequence);
        }
        packet::check_size(header.kind, contents)?;
        self.heard_at = self.heard_at.max(now);
        self.opened += 1;
        let length = contents.len();
        let start = datagram.len() - super::crypto::TAG_BYTES - length;
        if header.kind == Kind::Payload {
            return Ok(Received::Payload(&self.scratch[start..start + length]));
        }
        self.step(header.kind, start, now);
        Ok(Received::Step)
    }

    fn check_expected(&self, header: Header) -> Result<(), DropReason> {
        let expected = matches!(
            (self.phase, header.kind),
            (Phase::Requesting, Kind::Challenge | Kind::Denied)
                | (Phase::Responding, Kind::Challenge | Kind::KeepAlive | Kind::Denied)
                | (Phase::Connected { .. }, Kind::KeepAlive | Kind::Payload | Kind::Disconnect)
        );
        if !expected {
            return Err(DropReason::Unexpected);
        }
        let repeated = header.kind.is_replay_protected() && !self.replay.is_fresh(header.sequence);
        if repeated { Err(DropReason::Repeated) } else { Ok(()) }
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
                let number =
                    |at: usize| contents[at..].first_chunk().map_or(0, |bytes| u32::from_le_bytes(*bytes));
                self.phase = Phase::Connected { index: number(0), most: number(4) };
                self.round_trip = Some(now.since(self.sent_at));
            }
            (_, Kind::Denied) => self.try_next(Failure::Denied, now),
            (_, Kind::Disconnect) => self.phase = Phase::Disconnected,
            _ => {}
        }
    }

    /// Seals a payload of 1 to 1,200 bytes; the session must be open.
    pub fn seal(&mut self, payload: &[u8], now: Timestamp) -> Vec<u8> {
        self.sent_at = now;
        self.seal_packet(Kind::Payload, payload)
    }

    fn seal_packet(&mut self, kind: Kind, contents: &[u8]) -> Vec<u8> {
        let mut packet = Vec::with_capacity(contents.len() + packet::OVERHEAD_BYTES);
        packet::seal((kind, self.next), self.token.protocol, &self.sealing, contents, &mut packet);
        self.next += 1;
        packet
    }

    /// Ends the session; returns what to send so that the server knows.
    pub fn disconnect(&mut self) -> Vec<Vec<u8>> {
        let connected = self.is_connected();
        self.phase = Phase::Disconnected;
        let copies = if connected { DISCONNECT_PACKETS } else { 0 };
        (0..copies).map(|_| self.seal_packet(Kind::Disconnect, &[])).collect()
    }
}
