//! Opening a session: a stateless cookie challenge, so that a spoofed address costs the server no memory.
//!
//! ```text
//! client                               server
//!   request (nonce, padded)    ->
//!                              <-   challenge (nonce, cookie)         keeps nothing
//!   response (cookie, room, schema) ->
//!                              <-   accepted (key, client) | denied   opens the session
//! ```
//! There is no encryption and no authorisation here: a server that speaks this binds loopback only.

use std::hash::Hasher;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use siphasher::sip::SipHasher24;

use crate::bits::{BitReader, BitWriter};
use crate::error::WireError;
use crate::limits::{COOKIE_LIFETIME, HANDSHAKE_RETRY, HANDSHAKE_TIMEOUT};
use crate::packet::{self, PROTOCOL_KEY, PacketKind};
use crate::time::Timestamp;

/// Bytes to which a request is padded, so that its answer (22 bytes) is less than a third of it.
const REQUEST_BYTES: usize = 96;

/// Number of a client in its room's server, never used twice by one server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClientId(pub u32);

/// What a client asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JoinRequest {
    /// The client's own random number for this attempt.
    pub nonce: u64,
    /// Room to join.
    pub room: u16,
    /// Hash of the schema that the client was built with.
    pub schema: u64,
}

/// A session that the server opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ticket {
    /// Checksum key of the session.
    pub key: u64,
    /// The client's number.
    pub client: ClientId,
}

/// Why a server opened no session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DenyReason {
    /// The room is full.
    Full = 0,
    /// There is no such room.
    NoSuchRoom = 1,
    /// The room runs another schema; its hash is told.
    OtherSchema = 2,
    /// The server is shutting down.
    Stopping = 3,
}

impl DenyReason {
    const ALL: [Self; 4] = [Self::Full, Self::NoSuchRoom, Self::OtherSchema, Self::Stopping];
}

/// The server's half: makes and checks cookies, keeps no state per client.
#[derive(Clone, Debug)]
pub struct Cookies {
    secret: (u64, u64),
}

impl Cookies {
    /// Cookies under a random secret.
    pub fn new(secret: (u64, u64)) -> Self {
        Self { secret }
    }

    /// The challenge that answers a request from `from`.
    pub fn challenge(&self, request: &[u8], from: SocketAddr, now: Timestamp) -> Result<Vec<u8>, WireError> {
        if request.len() != REQUEST_BYTES {
            return Err(WireError::Malformed("request of another length"));
        }
        let (_, mut reader) = packet::open(request, PROTOCOL_KEY)?;
        let nonce = reader.read_u64()?;
        let mut writer = BitWriter::new();
        packet::begin(&mut writer, PacketKind::Challenge, false);
        writer.write_u64(nonce);
        writer.write_u64(self.cookie(from, nonce, epoch(now)));
        packet::seal(&mut writer, PROTOCOL_KEY);
        Ok(writer.bytes().to_vec())
    }

    /// What a response from `from` asks for, if its cookie is ours and fresh.
    pub fn check(&self, response: &[u8], from: SocketAddr, now: Timestamp) -> Result<JoinRequest, WireError> {
        let (_, mut reader) = packet::open(response, PROTOCOL_KEY)?;
        let nonce = reader.read_u64()?;
        let cookie = reader.read_u64()?;
        let room = reader.read(16)? as u16;
        let schema = reader.read_u64()?;
        reader.finish()?;
        let now = epoch(now);
        if ![now, now.wrapping_sub(1)].iter().any(|epoch| self.cookie(from, nonce, *epoch) == cookie) {
            return Err(WireError::Stale("cookie expired or from another address"));
        }
        Ok(JoinRequest { nonce, room, schema })
    }

    /// The checksum key for a session of this address and nonce.
    pub fn session_key(&self, from: SocketAddr, nonce: u64) -> u64 {
        self.cookie(from, nonce, u64::MAX)
    }

    fn cookie(&self, from: SocketAddr, nonce: u64, epoch: u64) -> u64 {
        let mut hasher = SipHasher24::new_with_keys(self.secret.0, self.secret.1);
        match from.ip() {
            IpAddr::V4(ip) => hasher.write(&ip.octets()),
            IpAddr::V6(ip) => hasher.write(&ip.octets()),
        }
        hasher.write_u16(from.port());
        hasher.write_u64(nonce);
        hasher.write_u64(epoch);
        hasher.finish()
    }
}

fn epoch(now: Timestamp) -> u64 {
    now.as_nanos() / COOKIE_LIFETIME.as_nanos() as u64
}

/// The datagram that tells a client its session is open.
pub fn accepted_datagram(nonce: u64, ticket: Ticket) -> Vec<u8> {
    let mut writer = BitWriter::new();
    packet::begin(&mut writer, PacketKind::Accepted, false);
    writer.write_u64(nonce);
    writer.write_u64(ticket.key);
    writer.write(ticket.client.0, 32);
    packet::seal(&mut writer, PROTOCOL_KEY);
    writer.bytes().to_vec()
}

/// The datagram that tells a client why no session was opened; `schema` is the room's own hash.
pub fn denied_datagram(nonce: u64, reason: DenyReason, schema: u64) -> Vec<u8> {
    let mut writer = BitWriter::new();
    packet::begin(&mut writer, PacketKind::Denied, false);
    writer.write_u64(nonce);
    writer.write(reason as u32, 8);
    writer.write_u64(schema);
    packet::seal(&mut writer, PROTOCOL_KEY);
    writer.bytes().to_vec()
}

/// How far a client's attempt has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HandshakeState {
    /// Asking for a challenge.
    Requesting,
    /// Returning the cookie.
    Responding {
        /// The server's cookie.
        cookie: u64,
    },
    /// The session is open.
    Open(Ticket),
    /// The server refused; the second part is the room's schema hash.
    Denied(DenyReason, u64),
    /// No answer for [`HANDSHAKE_TIMEOUT`].
    TimedOut,
}

/// The client's half.
#[derive(Clone, Debug)]
pub struct ClientHandshake {
    join: JoinRequest,
    state: HandshakeState,
    next_send: Timestamp,
    gives_up: Timestamp,
    /// When the current step was sent first, and how long the one before took.
    step_sent: Option<Timestamp>,
    /// When the cookie came.
    responding_since: Timestamp,
    round_trip: Option<Duration>,
}

impl ClientHandshake {
    /// Starts an attempt now.
    pub fn new(join: JoinRequest, now: Timestamp) -> Self {
        Self {
            join,
            state: HandshakeState::Requesting,
            next_send: now,
            gives_up: now + HANDSHAKE_TIMEOUT,
            step_sent: None,
            responding_since: now,
            round_trip: None,
        }
    }

    /// How far it has come.
    pub fn state(&self) -> HandshakeState {
        self.state
    }

    /// A first measure of the round trip: how long the last step took since it was sent first. Too long where a
    /// datagram was lost, never too short (which copy was answered cannot be told).
    pub fn round_trip(&self) -> Option<Duration> {
        self.round_trip
    }

    /// When [`Self::poll`] next has something to do.
    pub fn next_timeout(&self) -> Timestamp {
        self.next_send.min(self.gives_up)
    }

    /// The datagram to send now, if one is due.
    pub fn poll(&mut self, now: Timestamp) -> Option<Vec<u8>> {
        if now >= self.gives_up
            && matches!(self.state, HandshakeState::Requesting | HandshakeState::Responding { .. })
        {
            self.state = HandshakeState::TimedOut;
        }
        if now < self.next_send {
            return None;
        }
        let responding = matches!(self.state, HandshakeState::Responding { .. });
        if responding && now.since(self.responding_since) > COOKIE_LIFETIME / 2 {
            // The cookie may have expired on the way: ask for another.
            self.state = HandshakeState::Requesting;
        }
        let mut writer = BitWriter::new();
        match self.state {
            HandshakeState::Requesting => {
                packet::begin(&mut writer, PacketKind::Request, false);
                writer.write_u64(self.join.nonce);
                let padding = REQUEST_BYTES - packet::CHECKSUM_BYTES - writer.bit_len() / 8;
                writer.write_bytes(&vec![0; padding]);
            }
            HandshakeState::Responding { cookie } => {
                packet::begin(&mut writer, PacketKind::Response, false);
                writer.write_u64(self.join.nonce);
                writer.write_u64(cookie);
                writer.write(u32::from(self.join.room), 16);
                writer.write_u64(self.join.schema);
            }
            _ => return None,
        }
        packet::seal(&mut writer, PROTOCOL_KEY);
        self.next_send = now + HANDSHAKE_RETRY;
        self.step_sent.get_or_insert(now);
        Some(writer.bytes().to_vec())
    }

    /// Takes in a datagram of the handshake.
    pub fn receive(&mut self, datagram: &[u8], now: Timestamp) -> Result<(), WireError> {
        let kind = packet::peek_kind(datagram)?;
        let (_, mut reader) = packet::open(datagram, PROTOCOL_KEY)?;
        if reader.read_u64()? != self.join.nonce {
            return Err(WireError::Stale("answers another attempt"));
        }
        let next = read_answer(kind, &mut reader)?;
        reader.finish()?;
        match (self.state, next) {
            (HandshakeState::Requesting, HandshakeState::Responding { .. }) => {
                self.next_send = now;
                self.responding_since = now;
            }
            (HandshakeState::Responding { .. }, HandshakeState::Open(_) | HandshakeState::Denied(..)) => {}
            _ => return Err(WireError::Stale("answers an earlier step")),
        }
        self.state = next;
        self.round_trip = self.step_sent.take().map(|sent| now.since(sent));
        Ok(())
    }
}

fn read_answer(kind: PacketKind, reader: &mut BitReader<'_>) -> Result<HandshakeState, WireError> {
    match kind {
        PacketKind::Challenge => Ok(HandshakeState::Responding { cookie: reader.read_u64()? }),
        PacketKind::Accepted => {
            let key = reader.read_u64()?;
            Ok(HandshakeState::Open(Ticket { key, client: ClientId(reader.read(32)?) }))
        }
        PacketKind::Denied => {
            let code = reader.read(8)?;
            let reason = DenyReason::ALL.iter().copied().find(|reason| *reason as u32 == code);
            let reason = reason.ok_or(WireError::Malformed("unknown reason of denial"))?;
            Ok(HandshakeState::Denied(reason, reader.read_u64()?))
        }
        _ => Err(WireError::Stale("not an answer")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const JOIN: JoinRequest = JoinRequest { nonce: 7, room: 2, schema: 99 };

    fn address(port: u16) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], port))
    }

    fn responding(cookies: &Cookies, now: Timestamp) -> (ClientHandshake, Vec<u8>) {
        let mut client = ClientHandshake::new(JOIN, now);
        let request = client.poll(now).unwrap();
        let challenge = cookies.challenge(&request, address(1), now).unwrap();
        assert!(challenge.len() * 3 < request.len());
        client.receive(&challenge, now).unwrap();
        let response = client.poll(now).unwrap();
        (client, response)
    }

    #[test]
    fn a_client_that_returns_its_cookie_gets_in() {
        let (cookies, now) = (Cookies::new((1, 2)), Timestamp::from_millis(40));
        let (mut client, response) = responding(&cookies, now);
        assert_eq!(cookies.check(&response, address(1), now), Ok(JOIN));
        let ticket = Ticket { key: 11, client: ClientId(3) };
        client.receive(&accepted_datagram(JOIN.nonce, ticket), now).unwrap();
        assert_eq!(client.state(), HandshakeState::Open(ticket));
        assert_eq!(client.poll(now + HANDSHAKE_RETRY), None);
    }

    #[test]
    fn a_cookie_serves_only_its_address_and_its_time() {
        let (cookies, now) = (Cookies::new((1, 2)), Timestamp::from_millis(40));
        let (_, response) = responding(&cookies, now);
        assert!(cookies.check(&response, address(2), now).is_err());
        assert!(cookies.check(&response, address(1), now + COOKIE_LIFETIME).is_ok());
        assert!(cookies.check(&response, address(1), now + COOKIE_LIFETIME * 2).is_err());
        assert!(Cookies::new((1, 3)).check(&response, address(1), now).is_err());
    }

    #[test]
    fn a_denial_names_reason_and_schema() {
        let (cookies, now) = (Cookies::new((1, 2)), Timestamp::from_millis(40));
        let (mut client, _) = responding(&cookies, now);
        client.receive(&denied_datagram(JOIN.nonce, DenyReason::OtherSchema, 5), now).unwrap();
        assert_eq!(client.state(), HandshakeState::Denied(DenyReason::OtherSchema, 5));
    }

    #[test]
    fn a_cookie_that_may_have_expired_is_asked_for_again() {
        let (cookies, mut now) = (Cookies::new((1, 2)), Timestamp::from_millis(40));
        let (mut client, response) = responding(&cookies, now);
        for _ in 0..40 {
            now += HANDSHAKE_RETRY;
            client.poll(now);
        }
        assert_eq!(client.state(), HandshakeState::Requesting);
        assert!(cookies.check(&response, address(1), now + COOKIE_LIFETIME).is_err());
    }

    #[test]
    fn a_lost_request_is_repeated_until_the_time_is_up() {
        let now = Timestamp::from_millis(40);
        let mut client = ClientHandshake::new(JOIN, now);
        assert!(client.poll(now).is_some());
        assert!(client.poll(now).is_none());
        assert!(client.poll(client.next_timeout()).is_some());
        client.poll(now + HANDSHAKE_TIMEOUT);
        assert_eq!(client.state(), HandshakeState::TimedOut);
    }
}
