//! What a session needs of a transport: addresses, events and a sender. The crate
//! `truetick-transport` has the transports themselves.

mod peer_addr;

pub use peer_addr::{Event, PeerAddr, Transmit, TransportKind};

/// Sends datagrams and frames. Nothing blocks.
pub trait Transport {
    /// Sends a datagram, or queues it until [`Self::flush`]. A full buffer drops it.
    fn send(&mut self, to: PeerAddr, datagram: &[u8]);

    /// Opens a connection with its first frame. Only clients do so; does nothing by default.
    fn open(&mut self, _: PeerAddr, _: &[u8]) {}

    /// Sends a frame. Does nothing on a transport without connections, which is the default.
    fn send_frame(&mut self, _: PeerAddr, _: &[u8]) {}

    /// Closes a connection and notifies the peer if it is reachable. Does nothing by default.
    fn close(&mut self, _: PeerAddr) {}

    /// Passes everything that is queued to the network.
    fn flush(&mut self);
}
