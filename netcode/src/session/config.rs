//! How a server keeps its sessions.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use super::Role;
use super::crypto::Key;
use super::rate::Rate;
use crate::limits::TOKEN_HISTORY;
use crate::transport::TransportKind;

/// What happens when a user who is in session as often as allowed comes with another token.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Duplicates {
    /// The newcomer is refused.
    Refuse,
    /// A newer token takes the session over.
    #[default]
    TakeOver,
}

/// The addresses at which a server is reached, by transport.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Servers(BTreeMap<TransportKind, Vec<SocketAddr>>);

impl Servers {
    /// Adds addresses of a transport.
    pub fn with(mut self, kind: TransportKind, addresses: Vec<SocketAddr>) -> Self {
        self.0.entry(kind).or_default().extend(addresses);
        self
    }

    /// Those of a transport.
    pub fn of(&self, kind: TransportKind) -> &[SocketAddr] {
        self.0.get(&kind).map_or(&[], Vec::as_slice)
    }

    /// Whether an address is among them.
    pub fn contains(&self, address: SocketAddr) -> bool {
        self.0.values().flatten().any(|known| *known == address)
    }

    /// The transports that have any.
    pub fn transports(&self) -> impl Iterator<Item = TransportKind> {
        self.0.iter().filter(|(_, addresses)| !addresses.is_empty()).map(|(over, _)| *over)
    }
}

impl From<Vec<SocketAddr>> for Servers {
    fn from(addresses: Vec<SocketAddr>) -> Self {
        Self::default().with(TransportKind::Udp, addresses)
    }
}

/// How sessions are kept.
#[derive(Clone, Debug)]
pub struct SessionConfig {
    /// The protocol that is spoken.
    pub protocol: u64,
    /// The key that tokens are sealed with.
    pub key: Key,
    /// The addresses by which tokens may name this server.
    pub servers: Servers,
    /// Sessions of players at once, parked ones included.
    pub sessions: usize,
    /// Sessions of spectators at once beside them, parked ones included.
    pub spectators: usize,
    /// Sessions of one user at once in each room and role, 1 or more.
    pub per_user: usize,
    /// See [`Duplicates`].
    pub duplicates: Duplicates,
    /// Live sessions of each role from one address (or IPv6 prefix of 64 bits) at once.
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
    pub fn new(protocol: u64, key: Key, servers: impl Into<Servers>) -> Self {
        Self {
            protocol,
            key,
            servers: servers.into(),
            sessions: 256,
            spectators: 256,
            per_user: 1,
            duplicates: Duplicates::default(),
            per_address: 64,
            joins: Rate { per_second: 50, burst: 200 },
            token_lifetime: Duration::from_secs(30),
            grace: Duration::from_secs(30),
            history: TOKEN_HISTORY,
        }
    }

    /// Places for a role.
    pub fn places(&self, role: Role) -> usize {
        match role {
            Role::Player => self.sessions,
            Role::Spectator => self.spectators,
        }
    }
}
