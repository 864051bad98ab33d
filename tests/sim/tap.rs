//! Keeps what a server sends, for tests that carry datagrams by hand.

use std::net::SocketAddr;

use truetick_netcode::transport::{Route, Transport};

/// Every datagram sent and not yet taken out, oldest first.
#[derive(Default)]
pub struct Tap(pub Vec<(SocketAddr, Vec<u8>)>);

impl Transport for Tap {
    fn send(&mut self, to: Route, bytes: &[u8]) {
        self.0.push((to.address, bytes.to_vec()));
    }

    fn flush(&mut self) {}
}
