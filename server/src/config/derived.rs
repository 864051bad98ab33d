//! What follows from a configuration: the settings of sessions, tokens, the drain, the room, the
//! recorder and the arena.

use std::net::SocketAddr;
use std::time::Duration;

use truetick_netcode::packet::PROTOCOL;
use truetick_netcode::session::config::{Duplicates, Servers, SessionConfig};
use truetick_netcode::session::crypto::Key;
use truetick_netcode::session::rate::Rate;
use truetick_netcode::session::token::Issuer;

use super::{DuplicatePolicy, ServerConfig};
use crate::arena::{self, ArenaConfig};
use crate::quic_settings::reached_at;
use crate::recording::recorder::RecorderConfig;
use crate::room::RoomConfig;

impl ServerConfig {
    /// The addresses that tokens name for a server that listens on `bound`: the public ones, or
    /// else `bound`. `None` if there are no public ones and `bound` is unspecified, such as
    /// 0.0.0.0.
    pub fn servers(&self, bound: SocketAddr) -> Option<Vec<SocketAddr>> {
        reached_at(&self.public, bound)
    }

    /// Settings of the session layer.
    pub fn sessions(&self, key: Key, servers: Servers) -> SessionConfig {
        SessionConfig {
            // A few more than the rooms hold, so that a room can still reply that it is full.
            sessions: self.max_clients
                + self
                    .auction
                    .as_ref()
                    .map_or(0, |auction| auction.max_clients)
                + 16,
            spectators: self.max_spectators + 16,
            per_user: self.sessions_per_user,
            duplicates: match self.duplicates {
                DuplicatePolicy::Refuse => Duplicates::Refuse,
                DuplicatePolicy::Takeover => Duplicates::TakeOver,
            },
            per_address: self.sessions_per_address,
            joins: Rate {
                per_second: self.joins_per_address_s,
                burst: self.joins_per_address_s * 4,
            },
            token_lifetime: Duration::from_secs(self.token_lifetime_s),
            grace: Duration::from_secs(self.grace_s),
            ..SessionConfig::new(PROTOCOL, key, servers)
        }
    }

    /// An issuer of tokens for a server with this key that clients reach at these addresses.
    pub fn issuer(&self, key: Key, servers: Vec<SocketAddr>) -> Issuer {
        let (lifetime, timeout) = (
            Duration::from_secs(self.token_lifetime_s),
            Duration::from_secs(self.timeout_s),
        );
        Issuer {
            key,
            protocol: PROTOCOL,
            servers,
            lifetime,
            timeout,
        }
    }

    /// The time within which clients leave a draining server, and the time after which the server
    /// ends the remaining sessions.
    pub fn drain(&self) -> (Duration, Duration) {
        (
            Duration::from_secs(self.drain_within_s),
            Duration::from_secs(self.drain_limit_s),
        )
    }

    /// Settings of the arena's room.
    pub fn room(&self) -> RoomConfig {
        RoomConfig {
            tick_rate: self.tick_rate,
            max_clients: self.max_clients,
            max_spectators: self.max_spectators,
            snapshot_bytes: self.snapshot_bytes,
            snapshot_floor_bytes: self.snapshot_floor_bytes,
            shortest_repeat: Duration::from_millis(self.shortest_repeat_ms),
            longest_repeat: Duration::from_millis(
                self.longest_repeat_ms.max(self.shortest_repeat_ms),
            ),
            relevance_radius_m: (self.relevance_radius_m > 0.0).then_some(self.relevance_radius_m),
            seed: self.seed,
        }
    }

    /// Settings of the room's recorder. `recording` must be unique among recordings.
    pub fn recorder(&self, recording: u64) -> RecorderConfig {
        RecorderConfig {
            recording,
            game: arena::NAME.into(),
            setup: bitcode::encode(&self.arena()),
            with_state: self.record_state,
            segment_bytes: self.record_segment_mb << 20,
        }
    }

    /// Settings of the arena.
    pub fn arena(&self) -> ArenaConfig {
        ArenaConfig {
            tick_rate: self.tick_rate,
            drones: self.drones,
            pickups: self.pickups,
            ghosts: self.ghosts,
        }
    }
}
