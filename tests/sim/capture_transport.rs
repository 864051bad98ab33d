//! Keeps what a server sends, for tests that carry datagrams by hand.

use std::net::SocketAddr;

use truetick_netcode::transport::{PeerAddr, Transport};

/// Every datagram sent and not yet taken out, oldest first.
#[derive(Default)]
pub struct CaptureTransport(pub Vec<(SocketAddr, Vec<u8>)>);

impl Transport for CaptureTransport {
    fn send(&mut self, to: PeerAddr, bytes: &[u8]) {
        self.0.push((to.address, bytes.to_vec()));
    }

    fn flush(&mut self) {}
}
