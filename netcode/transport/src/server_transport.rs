//! One end of any transport, selected at run time.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd};

#[cfg(feature = "laminar")]
use super::laminar::LaminarTransport;
use super::memory::MemoryTransport;
#[cfg(feature = "quic")]
use super::quic::QuicTransport;
use super::udp::{UdpPath, UdpTransport};
use super::{Event, PeerAddr, Transport, TransportKind};
use truetick_netcode::time::Timestamp;

/// One end of any transport, of a server or a client, selected at run time.
pub enum ServerTransport {
    /// A socket of plain UDP.
    Udp(UdpTransport),
    /// A socket of laminar; only with the feature `laminar`.
    #[cfg(feature = "laminar")]
    Laminar(LaminarTransport),
    /// An end within this process.
    Memory(MemoryTransport),
    /// An end of QUIC connections.
    #[cfg(feature = "quic")]
    Quic(QuicTransport),
}

impl ServerTransport {
    /// Binds a UDP socket at an address (port 0 for any).
    ///
    /// # Errors
    /// If the socket cannot be bound.
    pub fn udp(address: SocketAddr) -> io::Result<Self> {
        UdpTransport::bind(address, UdpPath::Fastest).map(Self::Udp)
    }

    /// Binds a laminar socket at a trusted address (port 0 for any).
    ///
    /// # Errors
    /// [`io::ErrorKind::Unsupported`] if this build lacks laminar; otherwise if the address is not
    /// trusted or the socket cannot be bound.
    pub fn laminar(address: SocketAddr) -> io::Result<Self> {
        #[cfg(feature = "laminar")]
        return LaminarTransport::bind(address).map(Self::Laminar);
        #[cfg(not(feature = "laminar"))]
        {
            let why = format!(
                "not on {address}: this build has no laminar; build it with `--features laminar`"
            );
            Err(io::Error::new(io::ErrorKind::Unsupported, why))
        }
    }

    /// Returns the transport's kind.
    pub fn transport(&self) -> TransportKind {
        match self {
            Self::Udp(_) => TransportKind::Udp,
            Self::Memory(_) => TransportKind::Memory,
            #[cfg(feature = "laminar")]
            Self::Laminar(_) => TransportKind::Laminar,
            #[cfg(feature = "quic")]
            Self::Quic(_) => TransportKind::Quic,
        }
    }

    /// Returns the address of this end.
    ///
    /// # Errors
    /// If the system cannot return the socket's address.
    pub fn local_address(&self) -> io::Result<SocketAddr> {
        match self {
            Self::Udp(socket) => socket.local_address(),
            Self::Memory(end) => Ok(end.local_address()),
            #[cfg(feature = "laminar")]
            Self::Laminar(socket) => socket.local_address(),
            #[cfg(feature = "quic")]
            Self::Quic(end) => Ok(end.local_address()),
        }
    }

    /// Returns the bytes of UDP payload sent so far; 0 for an end within this process.
    pub fn bytes_sent(&self) -> u64 {
        match self {
            Self::Udp(socket) => socket.stats().bytes,
            #[cfg(feature = "laminar")]
            Self::Laminar(socket) => socket.bytes_sent(),
            Self::Memory(_) => 0,
            #[cfg(feature = "quic")]
            Self::Quic(end) => end.bytes_sent(),
        }
    }

    /// Returns whether events wait for which the descriptor is not readable.
    pub fn has_waiting(&self) -> bool {
        match self {
            #[cfg(feature = "laminar")]
            Self::Laminar(socket) => socket.has_waiting(),
            Self::Memory(end) => end.has_waiting(),
            #[cfg(feature = "quic")]
            Self::Quic(end) => end.has_waiting(),
            Self::Udp(_) => false,
        }
    }

    /// Passes the received events to `take` with the time of their arrival, one batch at most;
    /// returns their number.
    ///
    /// # Errors
    /// If the socket is closed.
    pub fn receive(
        &mut self,
        now: Timestamp,
        mut take: impl FnMut(PeerAddr, Event<'_>, Timestamp),
    ) -> io::Result<usize> {
        match self {
            Self::Udp(socket) => socket.receive(now, |datagram| {
                take(
                    datagram.addr(),
                    Event::Datagram(datagram.bytes),
                    datagram.at.min(now),
                );
            }),
            #[cfg(feature = "laminar")]
            Self::Laminar(socket) => socket.receive(now, take),
            Self::Memory(end) => end.receive(now, take),
            #[cfg(feature = "quic")]
            Self::Quic(end) => end.receive(now, take),
        }
    }

    fn inner(&mut self) -> &mut dyn Transport {
        match self {
            Self::Udp(socket) => socket,
            Self::Memory(end) => end,
            #[cfg(feature = "laminar")]
            Self::Laminar(socket) => socket,
            #[cfg(feature = "quic")]
            Self::Quic(end) => end,
        }
    }
}

impl Transport for ServerTransport {
    fn send(&mut self, to: PeerAddr, datagram: &[u8]) {
        self.inner().send(to, datagram);
    }

    fn open(&mut self, to: PeerAddr, frame: &[u8]) {
        self.inner().open(to, frame);
    }

    fn send_frame(&mut self, to: PeerAddr, frame: &[u8]) {
        self.inner().send_frame(to, frame);
    }

    fn close(&mut self, to: PeerAddr) {
        self.inner().close(to);
    }

    fn flush(&mut self) {
        self.inner().flush();
    }
}

impl AsFd for ServerTransport {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Udp(socket) => socket.as_fd(),
            Self::Memory(end) => end.as_fd(),
            #[cfg(feature = "laminar")]
            Self::Laminar(socket) => socket.as_fd(),
            #[cfg(feature = "quic")]
            Self::Quic(end) => end.as_fd(),
        }
    }
}
