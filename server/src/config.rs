//! Configuration of `truetick-server`: a TOML file with checked values. Command-line flags override
//! its keys.

mod check;
mod derived;
#[cfg(test)]
mod tests;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use serde::Deserialize;
use thiserror::Error;
use truetick_netcode::limits::SESSION_TIMEOUT;

use crate::arena::ArenaConfig;
use crate::auction::settings::AuctionSettings;
use crate::files::read_text;
use crate::quic_settings::QuicSettings;
use crate::room::RoomConfig;

/// Configuration of a server. Every key is optional.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ServerConfig {
    /// UDP address to listen on; 127.0.0.1:40000 by default.
    pub listen: SocketAddr,
    /// Addresses at which clients reach the server by UDP, as tokens name them; at most 32. If
    /// empty, the listen address is used.
    pub public: Vec<SocketAddr>,
    /// File with the key that seals tokens, 64 hexadecimal digits. Without it the environment
    /// variable `TRUETICK_KEY` holds the key.
    pub key_file: Option<PathBuf>,
    /// Address of the HTTP service that issues tokens; none by default. Use a loopback address if
    /// the backend runs on this host.
    pub token_service: Option<SocketAddr>,
    /// File with the secret that the backend presents to the token service, at least 32 bytes.
    /// Without it the environment variable `TRUETICK_TOKEN_SECRET` holds the secret.
    pub token_secret_file: Option<PathBuf>,
    /// Maximum number of sessions of one user in each room and role, 1 to 64; 1 by default.
    pub sessions_per_user: usize,
    /// What happens when a user with the maximum number of sessions presents another token;
    /// takeover by default.
    pub duplicates: DuplicatePolicy,
    /// Maximum number of live sessions of each role per rate-limit key (IPv4 address or IPv6 /64),
    /// 1 to 4,096; 64 by default.
    pub sessions_per_address: usize,
    /// Attempts to join per second and rate-limit key, 1 to 10,000; 50 by default. The burst is
    /// four times as large.
    pub joins_per_address_s: u32,
    /// Seconds for which the session of a silent client is kept (the grace), 0 to 3,600; 30 by
    /// default.
    pub grace_s: u64,
    /// Maximum lifetime of a token in seconds, 1 to 3,600; 30 by default.
    pub token_lifetime_s: u64,
    /// Seconds of silence after which a client counts as lost, 1 to 600; 10 by default. Tokens
    /// issued here carry this value.
    pub timeout_s: u64,
    /// Seconds within which clients leave a draining server, 0 to 3,600; 10 by default.
    pub drain_within_s: u64,
    /// Seconds after which a draining server ends the remaining sessions, `drain_within_s` to
    /// 86,400; 30 by default.
    pub drain_limit_s: u64,
    /// Ticks per second, 10 to 128; 60 by default.
    pub tick_rate: u32,
    /// Maximum number of players, 1 to 4,096; 256 by default.
    pub max_clients: usize,
    /// Maximum number of spectators in addition to the players, 0 to 4,096; 256 by default.
    pub max_spectators: usize,
    /// Maximum bytes of state per client and tick, 300 to
    /// [`SNAPSHOT_BYTES`](truetick_netcode::limits::SNAPSHOT_BYTES); 2,400 by default.
    pub snapshot_bytes: usize,
    /// Bytes of state that a snapshot may carry even over a congested path, 100 to
    /// `snapshot_bytes`; 400 by default. A larger value counts as `snapshot_bytes`.
    pub snapshot_floor_bytes: usize,
    /// Minimum time in milliseconds for which the last command replaces a missing one, 0 to 10,000;
    /// 150 by default. After that time the neutral command is used.
    pub shortest_repeat_ms: u64,
    /// Maximum time in milliseconds for which the last command replaces a missing one, 0 to 10,000;
    /// 500 by default. It applies to clients with a longer round trip. A smaller value than
    /// `shortest_repeat_ms` counts as `shortest_repeat_ms`.
    pub longest_repeat_ms: u64,
    /// Distance in metres beyond which entities are not sent to a player, 0 to 1,000; 45 by
    /// default. 0 means no limit.
    pub relevance_radius_m: f32,
    /// Number of drones, 0 to 4,096; 64 by default.
    pub drones: u32,
    /// Number of pick-ups, 0 to 1,024; 12 by default.
    pub pickups: u32,
    /// Whether players collide with walls and pillars only; `false` by default.
    pub ghosts: bool,
    /// Seed of the world's rng; 1 by default.
    pub seed: u64,
    /// File to record the room to; none by default. Older segments are kept beside it as `FILE.1`,
    /// `FILE.2` and so on.
    pub record: Option<PathBuf>,
    /// Whether the recording includes the state that each tick changed; `false` by default.
    pub record_state: bool,
    /// Megabytes after which a recording begins a new segment, 1 to 1,024; 64 by default.
    pub record_segment_mb: usize,
    /// Number of segments to keep, including the one being written, 1 to 1,000; 8 by default. The
    /// oldest is removed.
    pub record_segments: usize,
    /// File to capture state packets to, up to a gigabyte; none by default. The packets are
    /// unsealed and include tickets. Earlier captures are kept beside it as `FILE.1`, `FILE.2` and
    /// so on; none is removed.
    pub capture: Option<PathBuf>,
    /// Auction house, run as room 1; none by default.
    pub auction: Option<AuctionSettings>,
    /// QUIC and WebTransport in addition to UDP; none by default.
    pub quic: Option<QuicSettings>,
    /// Loopback address of the page that shows the arena in a browser, to anyone who opens it; none
    /// by default. It needs `quic` with a self-signed certificate.
    pub page: Option<SocketAddr>,
    /// Loopback or private address to serve laminar on; none by default. Only in builds with the
    /// feature `laminar`.
    pub laminar: Option<SocketAddr>,
}

/// What happens when a user with the maximum number of sessions presents another token. The
/// configuration's form of [`Duplicates`](truetick_netcode::session::config::Duplicates).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DuplicatePolicy {
    /// The new session is refused.
    Refuse,
    /// The client with the newer token takes the session over.
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

/// Why a configuration was refused. The message names the origin, the key and the allowed values.
#[derive(Debug, Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Unreadable {
        /// Path of the file.
        path: PathBuf,
        /// Error of the operating system.
        source: std::io::Error,
    },
    /// The file is not valid TOML, or has an unknown key or a value of the wrong type.
    #[error("{}: {message}", path.display())]
    Invalid {
        /// Path of the file.
        path: PathBuf,
        /// Position and cause, as the TOML parser reports them.
        message: String,
    },
    /// A value is out of range.
    #[error("{origin}: `{key}` is {value}, but must be {allowed}")]
    OutOfRange {
        /// Path of the file, or the command line.
        origin: String,
        /// Name of the key.
        key: &'static str,
        /// The refused value.
        value: String,
        /// The allowed values.
        allowed: String,
    },
}

impl ServerConfig {
    /// Reads a configuration file without checking its values; see [`Self::check`].
    ///
    /// # Errors
    /// If the file cannot be read or is not a valid configuration.
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        let text = read_text(path).map_err(|source| ConfigError::Unreadable {
            path: path.into(),
            source,
        })?;
        toml::from_str(&text).map_err(|error| ConfigError::Invalid {
            path: path.into(),
            message: error.to_string(),
        })
    }
}
