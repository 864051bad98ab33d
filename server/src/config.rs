//! `truetick-server`'s configuration: a TOML file, its keys checked, each overridden by a flag.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;
use thiserror::Error;
use truetick_netcode::limits::{SESSION_TIMEOUT, SNAPSHOT_BYTES};
use truetick_netcode::packet::PROTOCOL;
use truetick_netcode::session::config::{Duplicates, Servers, SessionConfig};
use truetick_netcode::session::crypto::Key;
use truetick_netcode::session::rate::Rate;
use truetick_netcode::session::token::{Issuer, TOKEN_SERVERS};

use crate::arena::{self, ArenaConfig};
use crate::auction::settings::AuctionSettings;
use crate::files::read_text;
use crate::quic_settings::{QuicSettings, reached_at};
use crate::recording::recorder::RecorderConfig;
use crate::room::RoomConfig;

/// Everything a server can be told.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ServerConfig {
    /// Address to serve on.
    pub listen: SocketAddr,
    /// Addresses at which clients reach the server, at most 32, as tokens name them; where it
    /// listens, if empty.
    pub public: Vec<SocketAddr>,
    /// File with the key that tokens are sealed with: 64 hexadecimal digits.
    pub key_file: Option<PathBuf>,
    /// Address of the HTTP service that makes tokens; none by default. On loopback, if the backend
    /// is on this host.
    pub token_service: Option<SocketAddr>,
    /// File with the secret that the backend shows it, 32 bytes or longer.
    pub token_secret_file: Option<PathBuf>,
    /// Sessions of one user at once in each room and role, 1 to 64.
    pub sessions_per_user: usize,
    /// What a user with so many sessions gets who comes with another token.
    pub duplicates: DuplicatePolicy,
    /// Live sessions of each role from one address (or IPv6 prefix of 64 bits) at once, 1 to 4,096.
    pub sessions_per_address: usize,
    /// Attempts to join from one address a second, 1 to 10,000, with four times as many at once.
    pub joins_per_address_s: u32,
    /// Seconds for which the place of a client that fell silent is kept, 0 to 3,600.
    pub grace_s: u64,
    /// Seconds that a token is good for at the longest, 1 to 3,600.
    pub token_lifetime_s: u64,
    /// Seconds of silence after which a client counts as gone, as the tokens made here say; 1 to
    /// 600.
    pub timeout_s: u64,
    /// Seconds within which clients leave when the server is drained, 0 to 3,600.
    pub drain_within_s: u64,
    /// Seconds after which a drained server stops whoever is left, 0 to 86,400.
    pub drain_limit_s: u64,
    /// Ticks per second, 10 to 128.
    pub tick_rate: u32,
    /// Players at once, 1 to 4,096.
    pub max_clients: usize,
    /// Spectators at once beside them, 0 to 4,096; 256 by default.
    pub max_spectators: usize,
    /// Most bytes of state per client and tick, 300 to [`SNAPSHOT_BYTES`].
    pub snapshot_bytes: usize,
    /// As many are sent over a path that is full, too: 100 to `snapshot_bytes`.
    pub snapshot_floor_bytes: usize,
    /// For how long a missing command is at least replaced by the last one, in milliseconds (0 to
    /// 10,000); then by the neutral one.
    pub shortest_repeat_ms: u64,
    /// The most where the round trip is longer than that, in milliseconds (0 to 10,000).
    pub longest_repeat_ms: u64,
    /// Metres beyond which entities are not sent; 0 for no limit.
    pub relevance_radius_m: f32,
    /// Drones, 0 to 4,096.
    pub drones: u32,
    /// Pick-ups, 0 to 1,024.
    pub pickups: u32,
    /// Players touch nothing but walls and pillars.
    pub ghosts: bool,
    /// Seed of the world's own chances.
    pub seed: u64,
    /// File to record the room to; older segments are kept beside it as `FILE.1`, `FILE.2` and so
    /// on.
    pub record: Option<PathBuf>,
    /// Whether the recording holds the state that each tick changed.
    pub record_state: bool,
    /// Megabytes after which a new segment begins, 1 to 1,024.
    pub record_segment_mb: usize,
    /// Segments kept, the one being written included, 1 to 1,000; the oldest is removed.
    pub record_segments: usize,
    /// File to capture the packets of state to, with tickets and all; up to a gigabyte. Earlier
    /// captures are kept beside it as `FILE.1`, `FILE.2` and so on; none is removed.
    pub capture: Option<PathBuf>,
    /// An auction house beside the arena, as room 1.
    pub auction: Option<AuctionSettings>,
    /// QUIC and WebTransport beside UDP.
    pub quic: Option<QuicSettings>,
    /// Loopback address of the page that shows the arena in a browser, to whoever opens it; none by
    /// default. It needs `quic`.
    pub page: Option<SocketAddr>,
    /// Address to serve on by laminar, loopback or private; none by default. Only in builds with
    /// the feature `laminar`.
    pub laminar: Option<SocketAddr>,
}

/// See [`Duplicates`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DuplicatePolicy {
    /// The newcomer is refused.
    Refuse,
    /// A newer token takes the session over.
    #[default]
    Takeover,
}

impl Default for ServerConfig {
    fn default() -> Self {
        let (room, arena) = (RoomConfig::default(), ArenaConfig::default());
        Self {
            listen: SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 40_000),
            public: Vec::new(),
            key_file: None,
            token_service: None,
            token_secret_file: None,
            sessions_per_user: 1,
            duplicates: DuplicatePolicy::default(),
            sessions_per_address: 64,
            joins_per_address_s: 50,
            grace_s: 30,
            token_lifetime_s: 30,
            timeout_s: SESSION_TIMEOUT.as_secs(),
            drain_within_s: 10,
            drain_limit_s: 30,
            tick_rate: room.tick_rate,
            max_clients: room.max_clients,
            max_spectators: room.max_spectators,
            snapshot_bytes: room.snapshot_bytes,
            snapshot_floor_bytes: room.snapshot_floor_bytes,
            shortest_repeat_ms: room.shortest_repeat.as_millis() as u64,
            longest_repeat_ms: room.longest_repeat.as_millis() as u64,
            relevance_radius_m: room.relevance_radius_m.unwrap_or(0.0),
            drones: arena.drones,
            pickups: arena.pickups,
            ghosts: arena.ghosts,
            seed: room.seed,
            record: None,
            record_state: false,
            record_segment_mb: 64,
            record_segments: 8,
            capture: None,
            auction: None,
            quic: None,
            page: None,
            laminar: None,
        }
    }
}

/// Why a configuration was refused; says which file and key, and what is allowed.
#[derive(Debug, Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file is no TOML, or has a key or type that is not known here.
    #[error("{}: {message}", path.display())]
    Invalid {
        /// Which.
        path: PathBuf,
        /// Where and why.
        message: String,
    },
    /// A value is out of range.
    #[error("{origin}: `{key}` is {value}, but must be {allowed}")]
    OutOfRange {
        /// File or command line.
        origin: String,
        /// Which key.
        key: &'static str,
        /// What it was.
        value: String,
        /// What it may be.
        allowed: String,
    },
}

impl ServerConfig {
    /// Reads a file. Its values are not checked yet; see [`Self::check`].
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        let text = read_text(path)
            .map_err(|source| ConfigError::Unreadable { path: path.into(), source })?;
        toml::from_str(&text)
            .map_err(|error| ConfigError::Invalid { path: path.into(), message: error.to_string() })
    }

    /// Checks every range; `origin` names where the values come from.
    pub fn check(&self, origin: &str) -> Result<(), ConfigError> {
        let refuse = |key: &'static str, value: String, allowed: String| ConfigError::OutOfRange {
            origin: origin.into(),
            key,
            value,
            allowed,
        };
        let whole = |key, value: u64, low: u64, high: u64| match (low..=high).contains(&value) {
            true => Ok(()),
            false => Err(refuse(key, value.to_string(), format!("from {low} to {high}"))),
        };
        whole("tick_rate", self.tick_rate.into(), 10, 128)?;
        whole("max_clients", self.max_clients as u64, 1, 4_096)?;
        whole("max_spectators", self.max_spectators as u64, 0, 4_096)?;
        whole("snapshot_bytes", self.snapshot_bytes as u64, 300, SNAPSHOT_BYTES as u64)?;
        let (floor, most) = (self.snapshot_floor_bytes as u64, self.snapshot_bytes as u64);
        whole("snapshot_floor_bytes", floor.min(most), 100, most)?;
        whole("shortest_repeat_ms", self.shortest_repeat_ms, 0, 10_000)?;
        whole("longest_repeat_ms", self.longest_repeat_ms, 0, 10_000)?;
        whole("drones", self.drones.into(), 0, 4_096)?;
        whole("record_segment_mb", self.record_segment_mb as u64, 1, 1_024)?;
        whole("record_segments", self.record_segments as u64, 1, 1_000)?;
        whole("pickups", self.pickups.into(), 0, 1_024)?;
        if !(0.0..=1_000.0).contains(&self.relevance_radius_m) {
            let allowed = "from 0 (no limit) to 1000 metres".to_string();
            return Err(refuse("relevance_radius_m", self.relevance_radius_m.to_string(), allowed));
        }
        whole("public (addresses)", self.public.len() as u64, 0, TOKEN_SERVERS as u64)?;
        whole("sessions_per_user", self.sessions_per_user as u64, 1, 64)?;
        whole("sessions_per_address", self.sessions_per_address as u64, 1, 4_096)?;
        whole("joins_per_address_s", self.joins_per_address_s.into(), 1, 10_000)?;
        whole("grace_s", self.grace_s, 0, 3_600)?;
        whole("token_lifetime_s", self.token_lifetime_s, 1, 3_600)?;
        whole("timeout_s", self.timeout_s, 1, 600)?;
        whole("drain_within_s", self.drain_within_s, 0, 3_600)?;
        whole("drain_limit_s", self.drain_limit_s, 0, 86_400)?;
        let auction = self.auction.as_ref().and_then(AuctionSettings::invalid_setting);
        if let Some((key, value, allowed)) =
            auction.or_else(|| self.quic.as_ref().and_then(QuicSettings::invalid_setting))
        {
            return Err(refuse(key, value, allowed));
        }
        let self_made = self.quic.as_ref().is_some_and(|quic| quic.certificate.is_none());
        if let Some(page) = self.page.filter(|page| !page.ip().is_loopback() || !self_made) {
            let allowed = "on loopback, as 127.0.0.1:8080, beside QUIC with a certificate that the server makes";
            return Err(refuse("page", page.to_string(), allowed.into()));
        }
        whole(
            "drain_limit_s (with drain_within_s)",
            self.drain_limit_s,
            self.drain_within_s,
            86_400,
        )?;
        Ok(())
    }

    /// The addresses that tokens name a server by that listens at `bound`; `None` if that is no
    /// address to reach.
    pub fn servers(&self, bound: SocketAddr) -> Option<Vec<SocketAddr>> {
        reached_at(&self.public, bound)
    }

    /// How sessions are kept.
    pub fn sessions(&self, key: Key, servers: Servers) -> SessionConfig {
        SessionConfig {
            // A few more than the rooms take, so that they can say that they are full.
            sessions: self.max_clients
                + self.auction.as_ref().map_or(0, |auction| auction.max_clients)
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

    /// Makes tokens for a server of this key that clients reach at these addresses.
    pub fn issuer(&self, key: Key, servers: Vec<SocketAddr>) -> Issuer {
        let (lifetime, timeout) =
            (Duration::from_secs(self.token_lifetime_s), Duration::from_secs(self.timeout_s));
        Issuer { key, protocol: PROTOCOL, servers, lifetime, timeout }
    }

    /// Within how long clients leave when the server is drained, and when it stops those left.
    pub fn drain(&self) -> (Duration, Duration) {
        (Duration::from_secs(self.drain_within_s), Duration::from_secs(self.drain_limit_s))
    }

    /// The room's part.
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

    /// What the recording holds; no other has the number `recording`.
    pub fn recorder(&self, recording: u64) -> RecorderConfig {
        RecorderConfig {
            recording,
            game: arena::NAME.into(),
            setup: bitcode::encode(&self.arena()),
            with_state: self.record_state,
            segment_bytes: self.record_segment_mb << 20,
        }
    }

    /// The arena's part.
    pub fn arena(&self) -> ArenaConfig {
        ArenaConfig {
            tick_rate: self.tick_rate,
            drones: self.drones,
            pickups: self.pickups,
            ghosts: self.ghosts,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_allowed() {
        ServerConfig::default().check("defaults").unwrap();
    }

    #[test]
    fn a_bad_value_is_named_with_what_is_allowed() {
        let config = ServerConfig { tick_rate: 500, ..ServerConfig::default() };
        let message = config.check("arena.toml").unwrap_err().to_string();
        assert_eq!(message, "arena.toml: `tick_rate` is 500, but must be from 10 to 128");
        let config = ServerConfig { grace_s: 4_000, ..ServerConfig::default() };
        assert!(config.check("arena.toml").unwrap_err().to_string().contains("grace_s"));
    }

    #[test]
    fn a_server_that_listens_everywhere_must_say_where_it_is_reached() {
        let (mut config, everywhere) = (ServerConfig::default(), "0.0.0.0:40000".parse().unwrap());
        assert_eq!(config.servers(everywhere), None);
        config.public = vec!["203.0.113.5:40000".parse().unwrap()];
        assert_eq!(config.servers(everywhere), Some(config.public.clone()));
    }

    #[test]
    fn a_page_is_for_this_host_and_wants_a_certificate_that_browsers_take_by_its_hash() {
        let at = |page: &str| ServerConfig {
            page: Some(page.parse().unwrap()),
            quic: Some(QuicSettings::default()),
            ..ServerConfig::default()
        };
        at("127.0.0.1:8080").check("arena.toml").unwrap();
        let certificate = Some("chain.pem".into());
        let with_authority = QuicSettings { certificate, ..QuicSettings::default() };
        for invalid_setting in [
            at("0.0.0.0:8080"),
            ServerConfig { quic: None, ..at("127.0.0.1:8080") },
            ServerConfig { quic: Some(with_authority), ..at("127.0.0.1:8080") },
        ] {
            let message = invalid_setting.check("arena.toml").unwrap_err().to_string();
            assert!(message.contains("`page`") && message.contains("on loopback"), "{message}");
        }
    }

    #[test]
    fn an_unknown_key_is_named() {
        let error = toml::from_str::<ServerConfig>("tick_rat = 60").unwrap_err().to_string();
        assert!(error.contains("tick_rat") && error.contains("expected one of"), "{error}");
    }
}
