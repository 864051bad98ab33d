//! Configuration of a server's sessions.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use super::Role;
use super::crypto::Key;
use super::rate::Rate;
use crate::limits::TOKEN_HISTORY;
use crate::transport::TransportKind;

/// What happens when a user with as many sessions as allowed presents another token.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Duplicates {
    /// The new token is refused.
    Refuse,
    /// A newer token takes the oldest session over.
    #[default]
    TakeOver,
}

/// The public addresses of a server, by transport.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Servers(BTreeMap<TransportKind, Vec<SocketAddr>>);

impl Servers {
    /// Adds addresses of a transport.
    pub fn with(mut self, kind: TransportKind, addresses: Vec<SocketAddr>) -> Self {
        self.0.entry(kind).or_default().extend(addresses);
        self
    }

    /// Returns the addresses of a transport; empty if it has none.
    pub fn of(&self, kind: TransportKind) -> &[SocketAddr] {
        self.0.get(&kind).map_or(&[], Vec::as_slice)
    }

    /// Returns whether an address belongs to the server on any transport.
    pub fn contains(&self, address: SocketAddr) -> bool {
        self.0.values().flatten().any(|known| *known == address)
    }

    /// Returns the transports that have at least one address.
    pub fn transports(&self) -> impl Iterator<Item = TransportKind> {
        self.0
            .iter()
            .filter(|(_, addresses)| !addresses.is_empty())
            .map(|(over, _)| *over)
    }
}

impl From<Vec<SocketAddr>> for Servers {
    fn from(addresses: Vec<SocketAddr>) -> Self {
        Self::default().with(TransportKind::Udp, addresses)
    }
}

/// Configuration of a server's sessions.
#[derive(Clone, Debug)]
pub struct SessionConfig {
    /// Protocol id that tokens and packets must carry.
    pub protocol: u64,
    /// The key with which tokens are sealed.
    pub key: Key,
    /// The addresses by which tokens may name this server.
    pub servers: Servers,
    /// Most sessions of players at once, parked ones included; 256 by default.
    pub sessions: usize,
    /// Most sessions of spectators at once, in addition to the players' and with parked ones
    /// included; 256 by default.
    pub spectators: usize,
    /// Most sessions of one user at once in each room and role, 1 or more; 1 by default.
    pub per_user: usize,
    /// What happens beyond [`Self::per_user`]; [`Duplicates::TakeOver`] by default.
    pub duplicates: Duplicates,
    /// Most live sessions of each role from one address (or IPv6 prefix of 64 bits); 64 by default.
    /// The limit applies to new sessions only.
    pub per_address: usize,
    /// Rate of join attempts from one address; 50 per second and a burst of 200 by default.
    pub joins: Rate,
    /// Longest lifetime of a token, in whole seconds; 30 s by default.
    pub token_lifetime: Duration,
    /// Time for which a session is kept after its client fell silent; 30 s by default.
    pub grace: Duration,
    /// Consumed tokens that are remembered; [`TOKEN_HISTORY`] by default.
    pub history: usize,
}

impl SessionConfig {
    /// Returns the defaults for a server with this key and these addresses.
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
            joins: Rate {
                per_second: 50,
                burst: 200,
            },
            token_lifetime: Duration::from_secs(30),
            grace: Duration::from_secs(30),
            history: TOKEN_HISTORY,
        }
    }

    /// Returns the most sessions of a role.
    pub fn places(&self, role: Role) -> usize {
        match role {
            Role::Player => self.sessions,
            Role::Spectator => self.spectators,
        }
    }
}
