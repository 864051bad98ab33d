//! One end of any transport, chosen at run time.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd};

use super::udp::{UdpPath, UdpTransport};
use super::{Event, Over, Route, Transport};
use crate::time::Timestamp;

/// See the module.
pub enum Carrier {
    /// A UDP socket.
    Udp(UdpTransport),
}

impl Carrier {
    /// A UDP socket at an address (port 0 for any).
    pub fn udp(address: SocketAddr) -> io::Result<Self> {
        UdpTransport::bind(address, UdpPath::Fastest).map(Self::Udp)
    }

    /// What it is.
    pub fn over(&self) -> Over {
        match self {
            Self::Udp(_) => Over::Udp,
        }
    }

    /// Where it is.
    pub fn local_address(&self) -> io::Result<SocketAddr> {
        match self {
            Self::Udp(socket) => socket.local_address(),
        }
    }

    /// Hands over what has come, up to a batch, with the time at which it came; returns how much.
    pub fn receive(
        &mut self,
        now: Timestamp,
        mut take: impl FnMut(Route, Event<'_>, Timestamp),
    ) -> io::Result<usize> {
        match self {
            Self::Udp(socket) => socket.receive(now, |datagram| {
                take(datagram.from.into(), Event::Datagram(datagram.bytes), datagram.at.min(now));
            }),
        }
    }
}

impl Transport for Carrier {
    fn send(&mut self, to: Route, datagram: &[u8]) {
        match self {
            Self::Udp(socket) => socket.send(to, datagram),
        }
    }

    fn flush(&mut self) {
        match self {
            Self::Udp(socket) => socket.flush(),
        }
    }
}

impl AsFd for Carrier {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Udp(socket) => socket.as_fd(),
        }
    }
}
