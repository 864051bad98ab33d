//! The client's side of one session, from its token to its end.
//!
//! Sans-IO. The caller's loop:
//!
//! ```text
//! for each event:                receive(from, event, now) -> payload or frame
//! while poll(now) = transmit:    send it to addr()
//! once connected:                seal(payload, now) -> transmit to send
//! wait for an event or next_timeout()
//! ```
//! Over datagrams it uses the netcode standard's protocol. On an encrypted connection it requests
//! the session once, with a proof that it knows its token's keys, and all that follows is not
//! sealed again.

mod by_connection;
mod by_datagrams;
mod phase;
mod steps;

use std::net::SocketAddr;
use std::time::Duration;

use super::backoff::Backoff;
use super::challenge::Challenge;
use super::denial::Denial;
use super::drops::DropReason;
use super::keys::SessionKeys;
use super::packet::{self, Kind};
use super::secured;
use super::token::{ConnectToken, TokenError, token_tag};
use crate::limits::{
    DISCONNECT_PACKETS, LONGEST_REQUEST_INTERVAL, PAYLOAD_BYTES, REQUEST_INTERVAL,
};
use crate::time::Timestamp;
use crate::transport::{Event, PeerAddr, Transmit, TransportKind};

pub use phase::{Failure, Phase, Received};

/// The client's side of one session as a sans-IO state machine.
#[derive(Debug)]
pub struct SessionClient {
    token: ConnectToken,
    kind: TransportKind,
    /// Number of the current connection; 0 on a transport without connections.
    connection: u64,
    /// Largest payload, in bytes.
    max_payload: usize,
    /// A connection that is no longer used and must be closed.
    idle: Option<PeerAddr>,
    /// Index of the current server in the token.
    server: usize,
    phase: Phase,
    keys: SessionKeys,
    /// The reason of the last denial.
    denial: Option<Denial>,
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
    /// Creates a client that begins to use its token at `now`. `seed` determines the pauses between
    /// its requests.
    pub fn new(token: ConnectToken, protocol: u64, seed: u64, now: Timestamp) -> Self {
        let phase = match token.protocol == protocol {
            true => Phase::Requesting,
            false => Phase::Failed(TokenError::other_protocol(token.protocol, protocol).into()),
        };
        Self {
            keys: SessionKeys::new(
                token_tag(&token.sealed),
                &token.server_key,
                &token.client_key,
            ),
            denial: None,
            token,
            kind: TransportKind::Udp,
            connection: 0,
            max_payload: PAYLOAD_BYTES,
            idle: None,
            server: 0,
            phase,
            challenge: None,
            began: now,
            step_began: now,
            heard_at: now,
            sent_at: now,
            next_send: now,
            sends: 0,
            pauses: Backoff::new(REQUEST_INTERVAL, LONGEST_REQUEST_INTERVAL, seed),
            round_trip: None,
            opened: 0,
            scratch: Vec::new(),
        }
    }

    /// Selects the transport. Call it before the first transmit. Connections are numbered from
    /// `first` on, one per request.
    pub fn transport(mut self, kind: TransportKind, first: u64) -> Self {
        (self.kind, self.connection) = (
            kind,
            if kind.is_connection_oriented() {
                first
            } else {
                0
            },
        );
        self
    }

    /// Selects the first server to try, if the token names it.
    pub(crate) fn beginning_at(mut self, server: SocketAddr) -> Self {
        self.server = self
            .token
            .servers
            .iter()
            .position(|named| *named == server)
            .unwrap_or(0);
        self
    }

    /// Numbers the sent packets from `next` on. Required if an earlier client used the same token:
    /// no number may be sealed twice.
    pub fn numbered_from(mut self, next: u64) -> Self {
        self.keys = self.keys.numbered_from(next);
        self
    }

    /// Continues with the keys, numbers and replay window of an earlier client with the same token.
    /// Keys of another token are ignored.
    pub fn with_keys(mut self, keys: SessionKeys) -> Self {
        if keys.tag() == self.keys.tag() {
            self.keys = keys;
        }
        self
    }

    /// Returns the keys, for another client with the same token.
    pub fn into_keys(self) -> SessionKeys {
        self.keys
    }

    /// Returns the number of the next packet.
    pub fn next_number(&self) -> u64 {
        self.keys.next()
    }

    /// Returns the reason of the last denial, if a server denied the token; [`Denial::Unspecified`]
    /// if it gave none.
    pub fn denial(&self) -> Option<Denial> {
        self.denial
    }

    /// Returns the phase of the session.
    pub fn phase(&self) -> Phase {
        self.phase
    }

    /// Returns whether the session is open.
    pub fn is_connected(&self) -> bool {
        matches!(self.phase, Phase::Connected { .. })
    }

    /// Returns the address of the current server.
    pub fn server(&self) -> SocketAddr {
        self.token.servers[self.server]
    }

    /// Returns the current server's address with transport and connection.
    pub fn addr(&self) -> PeerAddr {
        PeerAddr {
            kind: self.kind,
            connection: self.connection,
            address: self.server(),
            local: None,
        }
    }

    /// Returns the largest payload, in bytes; [`PAYLOAD_BYTES`] until the transport reports a
    /// limit.
    pub fn max_payload(&self) -> usize {
        self.max_payload
    }

    /// Returns when the last packet of the server arrived.
    pub fn heard_at(&self) -> Timestamp {
        self.heard_at
    }

    /// Returns the round trip of the last step before the session opened. It is too long if a
    /// datagram was lost. `None` before that.
    pub fn round_trip(&self) -> Option<Duration> {
        self.round_trip
    }

    /// Returns the number of packets that were received and accepted.
    pub fn opened(&self) -> u64 {
        self.opened
    }

    /// Processes a received event. An invalid event changes nothing, nor does one from another
    /// address than [`Self::addr`].
    ///
    /// # Errors
    /// The reason to drop the event.
    pub fn receive<'a>(
        &mut self,
        from: impl Into<PeerAddr>,
        event: impl Into<Event<'a>>,
        now: Timestamp,
    ) -> Result<Received<'_>, DropReason> {
        if from.into() != self.addr() {
            return Err(DropReason::Stranger);
        }
        match event.into() {
            Event::Datagram(datagram) if self.kind.is_connection_oriented() => {
                self.receive_plain(datagram, now)
            }
            Event::Datagram(datagram) => self.receive_sealed(datagram, now),
            Event::Frame(frame) => self.receive_frame(frame, now),
            Event::Early(_) | Event::Confirmed => Err(DropReason::Unexpected),
            Event::DatagramBytes(bytes) => {
                self.note_max_payload(bytes, now);
                Ok(Received::Step)
            }
            Event::Closed { told } => {
                self.connection_ended(told, now);
                Ok(Received::Step)
            }
        }
    }

    fn note_heard(&mut self, now: Timestamp) {
        self.heard_at = self.heard_at.max(now);
        self.opened += 1;
    }

    /// Seals a payload of 1 to 1,200 bytes. The session must be open.
    pub fn seal(&mut self, payload: &[u8], now: Timestamp) -> Transmit {
        self.sent_at = now;
        self.seal_packet(Kind::Payload, payload)
    }

    fn seal_packet(&mut self, kind: Kind, contents: &[u8]) -> Transmit {
        if self.kind.is_connection_oriented() {
            return match kind {
                Kind::Payload => Transmit::Datagram(contents.to_vec()),
                Kind::Disconnect => Transmit::Close,
                _ => Transmit::Datagram(secured::KEEP_ALIVE.to_vec()),
            };
        }
        let mut packet = Vec::with_capacity(contents.len() + packet::OVERHEAD_BYTES);
        self.keys
            .seal(kind, self.token.protocol, contents, &mut packet);
        Transmit::Datagram(packet)
    }

    /// Ends the session. Returns the packets that notify the server.
    pub fn disconnect(&mut self) -> Vec<Transmit> {
        let connected = self.is_connected();
        self.phase = Phase::Disconnected;
        if self.kind.is_connection_oriented() {
            return vec![Transmit::Close];
        }
        let copies = if connected { DISCONNECT_PACKETS } else { 0 };
        (0..copies)
            .map(|_| self.seal_packet(Kind::Disconnect, &[]))
            .collect()
    }
}
