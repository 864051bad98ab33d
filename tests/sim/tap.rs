//! Keeps what a server sends, for tests that carry datagrams by hand.

use std::net::SocketAddr;

use truetick_netcode::transport::DatagramSink;

/// Every datagram sent and not yet taken out, oldest first.
#[derive(Default)]
pub struct Tap(pub Vec<(SocketAddr, Vec<u8>)>);

impl DatagramSink for Tap {
    fn send(&mut self, to: SocketAddr, bytes: &[u8]) {
        self.0.push((to, bytes.to_vec()));
    }

    fn flush(&mut self) {}
}
