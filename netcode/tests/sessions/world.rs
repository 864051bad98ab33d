//! A server, clients and virtual time, for tests of sessions without sockets.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use rand::SeedableRng;
use rand::rngs::StdRng;
use truetick_netcode::session::client::{Phase, SessionClient};
use truetick_netcode::session::config::SessionConfig;
use truetick_netcode::session::crypto::{Key, PacketKey};
use truetick_netcode::session::drops::DropReason;
use truetick_netcode::session::packet::{self, Kind, Outer, write_request};
use truetick_netcode::session::rate::Rate;
use truetick_netcode::session::server::{Change, SessionServer};
use truetick_netcode::session::token::{ConnectToken, Issuer, Purpose, UserData};
use truetick_netcode::session::{ClientId, UserId};
use truetick_netcode::time::{Timestamp, UnixTime};
use truetick_netcode::transport::{PeerAddr, Transport, TransportKind};

pub const PROTOCOL: u64 = 77;

/// A fictional address of the network 10.0.0.0/8.
pub fn address(host: u8, port: u16) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, host], port))
}

/// Transport that keeps the server's datagrams.
#[derive(Default)]
pub struct Sent(pub Vec<(SocketAddr, Vec<u8>)>);

impl Transport for Sent {
    fn send(&mut self, to: PeerAddr, bytes: &[u8]) {
        self.0.push((to.address, bytes.to_vec()));
    }

    fn flush(&mut self) {}
}

/// A client with its token, its address, and its client id once it is in session.
pub struct Player {
    pub token: ConnectToken,
    pub session: SessionClient,
    pub address: SocketAddr,
    pub client: Option<ClientId>,
    /// All datagrams received so far.
    pub came: Vec<Vec<u8>>,
}

impl Player {
    /// Its connection request.
    pub fn request(&self) -> Vec<u8> {
        let ConnectToken {
            protocol,
            expires,
            nonce,
            sealed,
            ..
        } = &self.token;
        write_request(*protocol, *expires, nonce, sealed)
    }

    /// A packet sealed under its key.
    pub fn sealed(&self, kind: Kind, sequence: u64, contents: &[u8]) -> Vec<u8> {
        let mut datagram = Vec::new();
        let key = PacketKey::new(&self.token.client_key);
        packet::seal(kind, sequence, PROTOCOL, &key, contents, &mut datagram);
        datagram
    }

    /// A packet sealed under another key.
    pub fn forged(&self, kind: Kind, sequence: u64, contents: &[u8]) -> Vec<u8> {
        let mut datagram = Vec::new();
        packet::seal(
            kind,
            sequence,
            PROTOCOL,
            &PacketKey::new(&Key::new([66; 32])),
            contents,
            &mut datagram,
        );
        datagram
    }

    /// Contents of the last challenge that it received.
    pub fn challenge_contents(&self) -> Vec<u8> {
        let mut datagram = self.came.last().expect("a challenge came").clone();
        let Ok(Outer::Sealed(header)) = packet::read_outer(&datagram) else {
            panic!("no challenge")
        };
        assert_eq!(header.kind, Kind::Challenge);
        let key = PacketKey::new(&self.token.server_key);
        packet::open(header, PROTOCOL, &key, &mut datagram)
            .unwrap()
            .to_vec()
    }
}

pub struct World {
    pub server: SessionServer,
    pub issuer: Issuer,
    pub now: Timestamp,
    pub changes: Vec<Change>,
    wall_offset_ms: i64,
    rng: StdRng,
    sent: BTreeMap<SocketAddr, Vec<Vec<u8>>>,
    tokens: BTreeMap<u64, ConnectToken>,
    players: u16,
}

impl World {
    pub fn new() -> Self {
        Self::with(|_| {})
    }

    /// Creates a world with a changed session configuration.
    pub fn with(change: impl FnOnce(&mut SessionConfig)) -> Self {
        let (key, servers) = (Key::new([9; 32]), vec![address(1, 1)]);
        let (lifetime, timeout) = (Duration::from_secs(30), Duration::from_secs(10));
        let mut config = SessionConfig::new(PROTOCOL, key.clone(), servers.clone());
        config.servers = config
            .servers
            .with(TransportKind::Quic, vec![address(1, 2)]);
        config.joins = Rate {
            per_second: 10_000,
            burst: 10_000,
        };
        change(&mut config);
        let now = Timestamp::from_millis(1_000);
        let wall_offset_ms = 1_700_000_000_000;
        let wall = UnixTime::from_millis(1_700_000_001_000);
        Self {
            server: SessionServer::new(config, [1; 32], now, wall),
            issuer: Issuer {
                key,
                protocol: PROTOCOL,
                servers,
                lifetime,
                timeout,
            },
            now,
            changes: Vec::new(),
            wall_offset_ms,
            rng: StdRng::seed_from_u64(5),
            sent: BTreeMap::new(),
            tokens: BTreeMap::new(),
            players: 0,
        }
    }

    pub fn wall(&self) -> UnixTime {
        UnixTime::from_millis(
            (self.wall_offset_ms + (self.now.as_nanos() / 1_000_000) as i64) as u64,
        )
    }

    /// Sets the wall clock forward by `by_ms`, or back if that is negative.
    pub fn set_wall_clock(&mut self, by_ms: i64) {
        self.wall_offset_ms += by_ms;
        self.server.set_wall_clock(self.now, self.wall());
    }

    /// Advances the time and runs the server's timeouts.
    pub fn pass(&mut self, span: Duration) {
        self.now += span;
        self.server.set_wall_clock(self.now, self.wall());
        self.server.update(self.now);
        self.note();
    }

    /// Restarts the server with the same key.
    pub fn restart(&mut self) {
        let config = self.server.config().clone();
        self.server = SessionServer::new(config, [2; 32], self.now, self.wall());
        self.sent.clear();
    }

    pub fn issue(&mut self, user: UserId, purpose: Purpose) -> ConnectToken {
        self.issuer.issue(user, purpose, self.wall(), &mut self.rng)
    }

    /// Creates a client with a new token of a user, at an address of its own.
    pub fn player(&mut self, user: u64) -> Player {
        let token = self.issue(UserId(user), Purpose::default());
        self.tokens.entry(user).or_insert_with(|| token.clone());
        self.player_of(token, user)
    }

    /// Creates a client with a new token of a user that has this user data.
    pub fn player_with(&mut self, user: u64, data: UserData) -> Player {
        let token = self
            .issuer
            .issue_with(UserId(user), data, self.wall(), &mut self.rng);
        self.player_of(token, user)
    }

    /// Creates a client that uses a token.
    pub fn player_of(&mut self, token: ConnectToken, seed: u64) -> Player {
        self.players += 1;
        let session = SessionClient::new(token.clone(), PROTOCOL, seed, self.now);
        Player {
            token,
            session,
            address: address(self.players as u8, self.players),
            client: None,
            came: Vec::new(),
        }
    }

    /// Creates a client that uses the first token issued to a user.
    pub fn token_of(&self, user: u64) -> Player {
        let token = self.tokens[&user].clone();
        let session = SessionClient::new(token.clone(), PROTOCOL, user, self.now);
        Player {
            token,
            session,
            address: address(66, 6),
            client: None,
            came: Vec::new(),
        }
    }

    /// Creates a client whose token was sealed under another key.
    pub fn foreign_token(&self, seed: u32) -> Player {
        let mut token = self.tokens.values().next().expect("a token").clone();
        token.nonce[..4].copy_from_slice(&seed.to_le_bytes());
        let session = SessionClient::new(token.clone(), PROTOCOL, 1, self.now);
        Player {
            token,
            session,
            address: address(66, 6),
            client: None,
            came: Vec::new(),
        }
    }

    /// Passes a datagram to the server.
    pub fn give(&mut self, from: SocketAddr, datagram: &[u8]) {
        self.takes(from, datagram);
    }

    /// Passes a datagram to the server and returns the payload that it accepts.
    pub fn takes(&mut self, from: SocketAddr, datagram: &[u8]) -> Option<Vec<u8>> {
        let came = self.server.receive(from, datagram, self.now);
        let payload = came.and_then(|(_, came)| Some(came.payload()?.to_vec()));
        self.note();
        payload
    }

    fn note(&mut self) {
        self.changes
            .extend(std::iter::from_fn(|| self.server.poll_change()));
        let mut sent = Sent::default();
        self.server.send_replies(&mut sent);
        for (to, bytes) in sent.0 {
            self.sent.entry(to).or_default().push(bytes);
        }
    }

    /// Removes and returns the server's datagrams that no client has received.
    pub fn take_replies(&mut self) -> Vec<(SocketAddr, Vec<u8>)> {
        let sent = std::mem::take(&mut self.sent);
        sent.into_iter()
            .flat_map(|(to, all)| all.into_iter().map(move |bytes| (to, bytes)))
            .collect()
    }

    /// Asserts that the server drops a stranger's datagram for this reason, without an answer and
    /// without another effect.
    pub fn drops(&mut self, datagram: &[u8], reason: DropReason) {
        self.drops_from(address(66, 6), datagram, reason);
    }

    /// Asserts that the server drops a datagram from an address for this reason, without an answer
    /// and without another effect.
    pub fn drops_from(&mut self, from: SocketAddr, datagram: &[u8], reason: DropReason) {
        let before = (
            self.server.drops().count(reason),
            self.server.drops().total(),
            self.changes.len(),
        );
        let (open, sessions) = (self.server.half_open(), self.server.roster().sessions());
        self.sent.clear();
        assert_eq!(self.takes(from, datagram), None);
        let after = (
            self.server.drops().count(reason),
            self.server.drops().total(),
            self.changes.len(),
        );
        assert_eq!(
            after,
            (before.0 + 1, before.1 + 1, before.2),
            "{:?}",
            self.server.drops()
        );
        assert!(self.sent.is_empty(), "something was answered");
        assert_eq!(
            (self.server.half_open(), self.server.roster().sessions()),
            (open, sessions)
        );
    }

    /// Delivers the server's datagrams to a client.
    pub fn hand_over(&mut self, player: &mut Player) {
        for bytes in self.sent.remove(&player.address).unwrap_or_default() {
            let _ = player
                .session
                .receive(player.session.server(), &bytes, self.now);
            player.came.push(bytes);
        }
    }

    /// Sends a client's due packets and delivers the answers.
    pub fn step(&mut self, player: &mut Player) {
        while let Some(transmit) = player.session.poll(self.now) {
            self.give(player.address, &transmit.into_bytes());
        }
        self.hand_over(player);
    }

    /// Runs a client until it is in session or has failed, for at most 3 s.
    pub fn finish_joining(&mut self, player: &mut Player) {
        for _ in 0..300 {
            self.step(player);
            if !matches!(
                player.session.phase(),
                Phase::Requesting | Phase::Responding
            ) {
                break;
            }
            self.pass(Duration::from_millis(10));
        }
        player.client = self.server.roster().at(player.address);
    }

    /// The ticket with which a player may resume its session.
    pub fn ticket(&mut self, player: &Player) -> ConnectToken {
        self.server
            .ticket(player.client.unwrap(), self.now)
            .unwrap()
    }

    /// Creates a client in session.
    pub fn joined(&mut self, user: u64) -> Player {
        let mut player = self.player(user);
        self.finish_joining(&mut player);
        assert!(
            player.session.is_connected(),
            "{:?} {:?}",
            player.session.phase(),
            self.server.drops()
        );
        player
    }

    /// Ends a client's session.
    pub fn leave(&mut self, mut player: Player) {
        for transmit in player.session.disconnect() {
            self.give(player.address, &transmit.into_bytes());
        }
        assert!(
            self.changes
                .contains(&Change::Left(player.client.expect("in session")))
        );
    }
}
