//! Parts that the benchmarks share, above all a room full of clients without a network.

pub mod bodies_link;
mod crowd;
mod full_room;
pub mod halo;
mod halo_priors;
pub mod load_clients;
pub mod report;
pub mod traces;
mod walker_priors;
pub mod workload;

use std::net::SocketAddr;
use std::time::Duration;

use truetick_netcode::packet::PROTOCOL;
use truetick_netcode::session::crypto::Key;
use truetick_netcode::session::token::Issuer;
use truetick_netcode::time::UnixTime;
use truetick_netcode::transport::{PeerAddr, Transport};

pub use crowd::{Crowd, CrowdClient};
pub use full_room::FullRoom;

/// Transport that counts and keeps a server's datagrams.
#[derive(Default)]
pub struct Kept {
    /// Datagrams of the last tick.
    pub datagrams: Vec<(SocketAddr, Vec<u8>)>,
    /// Number of bytes sent so far.
    pub bytes: u64,
}

impl Transport for Kept {
    fn send(&mut self, to: PeerAddr, bytes: &[u8]) {
        self.bytes += bytes.len() as u64;
        self.datagrams.push((to.address, bytes.to_vec()));
    }

    fn flush(&mut self) {}
}

/// Address of the server.
pub const SERVER: ([u8; 4], u16) = ([127, 0, 0, 1], 40_000);

/// Wall clock of the server.
pub const WALL: UnixTime = UnixTime::from_millis(1_767_225_600_000);

/// The issuer of the clients' tokens, which are valid for 30 s. `timeout` is that of the sessions.
fn issuer(key: Key, timeout: Duration) -> Issuer {
    Issuer {
        key,
        protocol: PROTOCOL,
        servers: vec![SERVER.into()],
        lifetime: Duration::from_secs(30),
        timeout,
    }
}
