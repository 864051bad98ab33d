//! The transports of a server, used as one.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use truetick_netcode::limits::{DRAIN_BATCHES, RECEIVE_BATCH};
use truetick_netcode::time::Timestamp;
use truetick_netcode::transport::{Event, PeerAddr, Transport, TransportKind};
use truetick_transport::quic::QuicStats;
use truetick_transport::server_transport::ServerTransport;
use truetick_transport::udp::{UdpStats, UdpTransport};
use truetick_transport::wait_readable;

/// The transports of a server, at most one of each kind.
#[derive(Default)]
pub(crate) struct TransportSet(BTreeMap<TransportKind, ServerTransport>);

impl TransportSet {
    /// Adds a transport. It replaces another of its kind.
    pub fn add(&mut self, server_transport: ServerTransport) {
        self.0
            .insert(server_transport.transport(), server_transport);
    }

    /// The local address of each transport.
    ///
    /// # Errors
    /// If the system does not report an address.
    pub fn addresses(&self) -> io::Result<BTreeMap<TransportKind, SocketAddr>> {
        self.0
            .iter()
            .map(|(over, server_transport)| Ok((*over, server_transport.local_address()?)))
            .collect()
    }

    /// Receives what has arrived on every transport, up to a limit for each, so that the others get
    /// their turn.
    ///
    /// # Errors
    /// If a transport fails.
    pub fn receive(
        &mut self,
        now: Timestamp,
        mut take: impl FnMut(PeerAddr, Event<'_>, Timestamp),
    ) -> io::Result<()> {
        for server_transport in self.0.values_mut() {
            for _ in 0..DRAIN_BATCHES {
                if server_transport.receive(now, &mut take)? < RECEIVE_BATCH {
                    break;
                }
            }
        }
        Ok(())
    }

    /// Waits until something has arrived on any transport, or `span` has passed.
    ///
    /// # Errors
    /// If the system cannot wait for the sockets.
    pub fn wait(&self, span: Duration) -> io::Result<()> {
        let span = if self.0.values().any(ServerTransport::has_waiting) {
            Duration::ZERO
        } else {
            span
        };
        wait_readable(self.0.values(), span, &mut Vec::new())
    }

    /// Statistics of the UDP socket; zeros without one.
    pub fn udp(&self) -> UdpStats {
        self.udp_socket()
            .map(UdpTransport::stats)
            .unwrap_or_default()
    }

    /// Statistics of QUIC; zeros without it.
    pub fn quic(&self) -> QuicStats {
        match self.0.get(&TransportKind::Quic) {
            Some(ServerTransport::Quic(end)) => end.stats(),
            _ => QuicStats::default(),
        }
    }

    /// Bytes that the kernel granted to the UDP socket for datagrams not yet read; 0 without one.
    pub fn receive_buffer(&self) -> usize {
        self.udp_socket().map_or(0, UdpTransport::receive_buffer)
    }

    fn udp_socket(&self) -> Option<&UdpTransport> {
        match self.0.get(&TransportKind::Udp) {
            Some(ServerTransport::Udp(socket)) => Some(socket),
            _ => None,
        }
    }

    /// Bytes of UDP payload that each transport has sent so far.
    pub fn bytes_sent(&self) -> BTreeMap<TransportKind, u64> {
        self.0
            .iter()
            .map(|(over, server_transport)| (*over, server_transport.bytes_sent()))
            .collect()
    }

    /// Processor time of the threads that transports run on; zero without QUIC.
    pub fn cpu(&self) -> Duration {
        match self.0.get(&TransportKind::Quic) {
            Some(ServerTransport::Quic(end)) => end.cpu(),
            _ => Duration::ZERO,
        }
    }
}

impl Transport for TransportSet {
    fn send(&mut self, to: PeerAddr, datagram: &[u8]) {
        if let Some(server_transport) = self.0.get_mut(&to.kind) {
            server_transport.send(to, datagram);
        }
    }

    fn send_frame(&mut self, to: PeerAddr, frame: &[u8]) {
        if let Some(server_transport) = self.0.get_mut(&to.kind) {
            server_transport.send_frame(to, frame);
        }
    }

    fn close(&mut self, to: PeerAddr) {
        if let Some(server_transport) = self.0.get_mut(&to.kind) {
            server_transport.close(to);
        }
    }

    fn flush(&mut self) {
        self.0.values_mut().for_each(Transport::flush);
    }
}
