//! A transport that keeps sent datagrams, for tests that deliver them by hand.

use std::net::SocketAddr;

use truetick_netcode::transport::{PeerAddr, Transport};

/// Sent datagrams that were not taken yet, oldest first.
#[derive(Default)]
pub struct CaptureTransport(pub Vec<(SocketAddr, Vec<u8>)>);

impl Transport for CaptureTransport {
    fn send(&mut self, to: PeerAddr, bytes: &[u8]) {
        self.0.push((to.address, bytes.to_vec()));
    }

    fn flush(&mut self) {}
}
