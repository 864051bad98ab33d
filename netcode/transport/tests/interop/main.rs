//! Interoperability with `netcode-official`, an independent implementation of the standard, in both
//! directions over loopback.

mod our_client;
mod their_client;

use std::net::SocketAddr;
use std::time::Duration;

use netcode::generate_connect_token;
use rand::SeedableRng;
use rand::rngs::StdRng;
use truetick_netcode::session::UserId;
use truetick_netcode::session::crypto::Key;
use truetick_netcode::session::token::{ConnectToken, Issuer, USER_DATA_BYTES};
use truetick_transport::clock;

const PROTOCOL: u64 = 0x1122_3344_5566_7788;
const KEY: [u8; 32] = [7; 32];
const USER_DATA: [u8; USER_DATA_BYTES] = [0; USER_DATA_BYTES];

/// Maximum number of rounds of a test, about a millisecond each.
const ROUNDS: u32 = 20_000;

fn any_port() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 0))
}

fn wait() {
    clock::sleep(Duration::from_millis(1));
}

fn seconds() -> f64 {
    clock::now().as_nanos() as f64 / 1e9
}

fn their_token(server: SocketAddr, expire_s: i32, timeout_s: i32, user: u64) -> [u8; 2048] {
    let servers = [server];
    generate_connect_token(
        &servers, &servers, expire_s, timeout_s, user, PROTOCOL, &KEY, &USER_DATA,
    )
    .unwrap()
}

fn our_token(server: SocketAddr, lifetime: u64, timeout: u64) -> ConnectToken {
    let issuer = Issuer {
        key: Key::new(KEY),
        protocol: PROTOCOL,
        servers: vec![server],
        lifetime: Duration::from_secs(lifetime),
        timeout: Duration::from_secs(timeout),
    };
    issuer.issue_with(
        UserId(5),
        USER_DATA,
        clock::unix_now(),
        &mut StdRng::seed_from_u64(clock::now().as_nanos()),
    )
}
