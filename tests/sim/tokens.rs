//! How clients get into a server that a test holds: a key and tokens of its own.

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

/// The server's address in tests without sockets.
pub const SERVER: ([u8; 4], u16) = ([127, 0, 0, 1], 40_000);

/// What the wall shows when a test's time begins, in milliseconds: 2026-01-01.
pub const WALL_MS: u64 = 1_767_225_600_000;

/// What the wall shows, where it goes with the time.
pub fn wall(now: Timestamp) -> UnixTime {
    UnixTime::from_millis(WALL_MS + now.as_nanos() / 1_000_000)
}

/// The key that tokens are sealed with.
pub fn key() -> Key {
    Key::new([42; 32])
}

/// Sessions as tests want them: many from one address.
pub fn session_config() -> SessionConfig {
    SessionConfig {
        sessions: 300,
        per_address: 300,
        joins: Rate { per_second: 1_000, burst: 1_000 },
        ..SessionConfig::new(PROTOCOL, key(), vec![SocketAddr::from(SERVER)])
    }
}

/// A server without rooms that starts now.
pub fn server(now: Timestamp) -> Server {
    Server::new(session_config(), [7; 32], now, wall(now))
}

/// A panic in a room ends that room alone, so a test that is to notice one asks for it.
pub fn expect_rooms(server: &Server) {
    let failed = server.failed_rooms();
    assert!(failed.is_empty(), "rooms panicked: {failed:?}");
}

/// Tokens for such a server, with a time-out of 10 s; their keys follow from `seed`.
pub fn tokens(seed: u64) -> TokenSource {
    tokens_with(seed, Duration::from_secs(10))
}

/// The same with another time-out, in whole seconds.
pub fn tokens_with(seed: u64, timeout: Duration) -> TokenSource {
    // Never the seed of a server: both draw keys from theirs.
    let mut bytes = [0x55; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let lifetime = Duration::from_secs(30);
    let issuer =
        Issuer { key: key(), protocol: PROTOCOL, servers: vec![SERVER.into()], lifetime, timeout };
    TokenSource::new(issuer, bytes)
}

/// One token for such a server.
pub fn token(user: u64, room: u16, now: Timestamp) -> ConnectToken {
    tokens(user ^ now.as_nanos().rotate_left(32)).issue(UserId(user), room, wall(now))
}
