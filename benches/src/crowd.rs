//! A server's sessions alone, as many as it may have: their memory and their cost while idle.

use std::net::SocketAddr;
use std::time::Duration;

use truetick_client_sim::token_source::TokenSource;
use truetick_netcode::connection::Connection;
use truetick_netcode::limits::SESSIONS;
use truetick_netcode::packet::PROTOCOL;
use truetick_netcode::session::UserId;
use truetick_netcode::session::client::SessionClient;
use truetick_netcode::session::config::SessionConfig;
use truetick_netcode::session::crypto::Key;
use truetick_netcode::session::rate::Rate;
use truetick_netcode::session::server::SessionServer;
use truetick_netcode::session::token::ConnectToken;
use truetick_netcode::time::Timestamp;

use crate::{Kept, SERVER, WALL, issuer};

/// A client that has not started to open its session.
#[derive(Clone, Debug)]
pub struct CrowdClient {
    /// Address from which the client sends.
    pub address: SocketAddr,
    /// Token of its session.
    pub token: ConnectToken,
}

/// A server's sessions alone, each with its connection, and clients that only open theirs.
pub struct Crowd {
    server: SessionServer,
    tokens: TokenSource,
    now: Timestamp,
    /// The server's connection of each session.
    connections: Vec<Connection>,
    replies: Kept,
}

impl Crowd {
    /// Creates a server without sessions.
    pub fn new(now: Timestamp) -> Self {
        let key = Key::new([1; 32]);
        let config = SessionConfig {
            sessions: SESSIONS,
            per_address: SESSIONS,
            joins: Rate {
                per_second: 1_000_000,
                burst: 1_000_000,
            },
            ..SessionConfig::new(PROTOCOL, key.clone(), vec![SERVER.into()])
        };
        Self {
            server: SessionServer::new(config, [1; 32], now, WALL),
            tokens: TokenSource::new(issuer(key, Duration::from_secs(30)), [2; 32]),
            now,
            connections: Vec::new(),
            replies: Kept::default(),
        }
    }

    /// Returns the session server.
    pub fn server(&self) -> &SessionServer {
        &self.server
    }

    /// Creates a token for a user.
    pub fn token(&mut self, user: u64) -> ConnectToken {
        self.tokens.issue(UserId(user), 0, WALL)
    }

    /// Creates a client that has not started.
    pub fn client(&mut self, user: u64) -> CrowdClient {
        CrowdClient {
            address: SocketAddr::from(([10, 1, (user >> 8) as u8, user as u8], 6_000)),
            token: self.token(user),
        }
    }

    /// Passes a datagram to the server.
    pub fn give(&mut self, from: SocketAddr, bytes: &[u8]) {
        // A request every 7 us: the maximum rate at which tokens are opened.
        self.now += Duration::from_micros(7);
        let _ = self.server.receive(from, bytes, self.now);
        self.replies.datagrams.clear();
        self.server.send_replies(&mut self.replies);
    }

    /// Opens a client's session.
    pub fn open(&mut self, client: &CrowdClient) {
        let mut session = SessionClient::new(client.token.clone(), PROTOCOL, 1, self.now);
        while !session.is_connected() {
            let bytes = session.poll(self.now).expect("a step is due");
            self.give(client.address, &bytes.into_bytes());
            let (_, answer) = self.replies.datagrams.pop().expect("an answer");
            session
                .receive(SocketAddr::from(SERVER), &answer, self.now)
                .expect("a good answer");
        }
        while self.server.poll_change().is_some() {}
        self.connections.push(Connection::new(1, self.now));
    }

    /// Advances the time by a sixtieth of a second.
    pub fn pass(&mut self) {
        self.now += Duration::from_micros(16_667);
        self.server.update(self.now);
        self.replies.datagrams.clear();
        self.server.send_replies(&mut self.replies);
    }
}
