//! The key and the tokens with which clients join a test's server.

use std::net::SocketAddr;
use std::time::Duration;

use truetick_client_sim::token_source::TokenSource;
use truetick_netcode::packet::PROTOCOL;
use truetick_netcode::session::UserId;
use truetick_netcode::session::config::SessionConfig;
use truetick_netcode::session::crypto::Key;
use truetick_netcode::session::rate::Rate;
use truetick_netcode::session::token::{ConnectToken, Issuer};
use truetick_netcode::time::{Timestamp, UnixTime};
use truetick_server::server::Server;

/// Address of the server in tests without sockets.
pub const SERVER: ([u8; 4], u16) = ([127, 0, 0, 1], 40_000);

/// Wall clock at time 0 of a test, in milliseconds since 1970: 2026-01-01.
pub(crate) const WALL_MS: u64 = 1_767_225_600_000;

/// Returns the wall clock at a time, without jumps.
pub fn wall(now: Timestamp) -> UnixTime {
    UnixTime::from_millis(WALL_MS + now.as_nanos() / 1_000_000)
}

/// Returns the key that seals tokens.
pub fn key() -> Key {
    Key::new([42; 32])
}

/// Returns a session configuration for tests, with many sessions from one address.
pub fn session_config() -> SessionConfig {
    SessionConfig {
        sessions: 300,
        per_address: 300,
        joins: Rate {
            per_second: 1_000,
            burst: 1_000,
        },
        ..SessionConfig::new(PROTOCOL, key(), vec![SocketAddr::from(SERVER)])
    }
}

/// Creates a server without rooms that starts now.
pub fn server(now: Timestamp) -> Server {
    Server::new(session_config(), [7; 32], now, wall(now))
}

/// Asserts that no room has panicked. A panic in a room ends only that room, so a test must ask for
/// it.
pub(crate) fn expect_rooms(server: &Server) {
    let failed = server.failed_rooms();
    assert!(failed.is_empty(), "rooms panicked: {failed:?}");
}

/// Creates a source of tokens for such a server, with a timeout of 10 s. `seed` determines their
/// keys.
pub fn tokens(seed: u64) -> TokenSource {
    tokens_with(seed, Duration::from_secs(10))
}

/// Creates a source of tokens with another timeout, in whole seconds.
pub(crate) fn tokens_with(seed: u64, timeout: Duration) -> TokenSource {
    // Must differ from a server's seed, since both derive keys from it.
    let mut bytes = [0x55; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let lifetime = Duration::from_secs(30);
    let issuer = Issuer {
        key: key(),
        protocol: PROTOCOL,
        servers: vec![SERVER.into()],
        lifetime,
        timeout,
    };
    TokenSource::new(issuer, bytes)
}

/// Creates one token for such a server.
pub fn token(user: u64, room: u16, now: Timestamp) -> ConnectToken {
    tokens(user ^ now.as_nanos().rotate_left(32)).issue(UserId(user), room, wall(now))
}
