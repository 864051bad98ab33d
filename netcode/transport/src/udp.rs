//! UDP over IPv4 or IPv6: batched system calls on Linux, plain std calls elsewhere or on request.

use std::collections::VecDeque;
use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::{AsFd, BorrowedFd};

use super::socket_errors::{SocketErrors, is_idle};
use super::socket_options::bind_udp;
use super::udp_std::StdPath;
use super::{PeerAddr, ReceivedDatagram, Transport};
use crate::clock;
use truetick_netcode::time::Timestamp;

/// The system calls that a socket uses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum UdpPath {
    /// The fastest that this build supports.
    #[default]
    Fastest,
    /// `send_to` and `recv_from` of std.
    Std,
}

/// Counts of one socket.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct UdpStats {
    /// Datagrams received and passed on.
    pub received: u64,
    /// Datagrams passed to the kernel.
    pub sent: u64,
    /// Bytes of all datagrams that were to be sent.
    pub bytes: u64,
    /// Datagrams that the kernel refused.
    pub send_errors: u64,
    /// Failed receives, except those without a waiting datagram.
    pub receive_errors: u64,
    /// Datagrams that the kernel dropped because the receive buffer was full; 0 if it does not
    /// report them.
    pub kernel_drops: u64,
}

enum Path {
    Std(StdPath),
    #[cfg(all(target_os = "linux", feature = "linux-fast-path"))]
    Linux(super::udp_linux::LinuxPath),
}

/// A bound, non-blocking UDP socket.
pub struct UdpTransport {
    socket: UdpSocket,
    path: Path,
    receive_buffer: usize,
    tally: Tally,
    errors: SocketErrors,
    /// Errors that [`Self::receive`] returns before it uses the socket, for tests.
    injected: VecDeque<io::Error>,
}

/// The counts that the paths update.
pub(super) struct Tally {
    pub stats: UdpStats,
    unsent: SocketErrors,
}

impl Tally {
    /// Counts datagrams that the kernel refused. Each is lost, as the network may lose any. A full
    /// buffer is not logged.
    pub(super) fn refused(&mut self, datagrams: usize, error: io::Error) {
        self.stats.send_errors += datagrams as u64;
        if !is_idle(&error) {
            // A closed descriptor fails the next read.
            let _ = self.unsent.note(error, clock::now());
        }
    }
}

impl UdpTransport {
    /// Binds `address` (port 0 for any) and requests a receive buffer of
    /// [`crate::limits::SOCKET_BUFFER_BYTES`].
    ///
    /// The kernel ignores the path MTU in ICMP messages. A socket bound to all addresses of this
    /// host reports the one that each datagram was sent to ([`ReceivedDatagram::to`]) and sends
    /// from [`PeerAddr::local`], if this build supports it ([`tells_local_address`]).
    ///
    /// # Errors
    /// If the socket cannot be bound or configured.
    pub fn bind(address: SocketAddr, path: UdpPath) -> io::Result<Self> {
        let socket = bind_udp(address)?;
        // The kernel may have granted less than requested; the caller decides.
        let receive_buffer = socket.recv_buffer_size()?;
        let socket = UdpSocket::from(socket);
        let path = match path {
            UdpPath::Std => Path::Std(StdPath::new()),
            UdpPath::Fastest => Path::fastest(&socket)?,
        };
        let tally = Tally {
            stats: UdpStats::default(),
            unsent: SocketErrors::new("send a datagram"),
        };
        let errors = SocketErrors::new("receive datagrams");
        Ok(Self {
            socket,
            path,
            receive_buffer,
            tally,
            errors,
            injected: VecDeque::new(),
        })
    }

    /// Makes the next calls of [`Self::receive`] fail with these errors (numbers of `errno.h`), one
    /// each, for tests of error handling.
    pub fn inject_receive_errors(&mut self, codes: impl IntoIterator<Item = i32>) {
        self.injected
            .extend(codes.into_iter().map(io::Error::from_raw_os_error));
    }

    /// Returns the bound address.
    ///
    /// # Errors
    /// If the system cannot return it.
    pub fn local_address(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// Returns the receive buffer that the kernel granted, in bytes.
    pub fn receive_buffer(&self) -> usize {
        self.receive_buffer
    }

    /// Returns the counts so far.
    pub fn stats(&self) -> UdpStats {
        UdpStats {
            receive_errors: self.errors.count(),
            ..self.tally.stats
        }
    }

    /// Passes the received datagrams to `take`, at most `RECEIVE_BATCH`, and returns their number.
    /// An error ends the call and is counted.
    ///
    /// # Errors
    /// If the socket is closed.
    pub fn receive(
        &mut self,
        now: Timestamp,
        mut take: impl FnMut(ReceivedDatagram<'_>),
    ) -> io::Result<usize> {
        let mut count = 0;
        let mut take = |datagram: ReceivedDatagram<'_>| {
            count += 1;
            take(datagram);
        };
        let ended = match (self.injected.pop_front(), &mut self.path) {
            (Some(error), _) => Err(error),
            (None, Path::Std(path)) => path.receive(&self.socket, now, &mut take),
            #[cfg(all(target_os = "linux", feature = "linux-fast-path"))]
            (None, Path::Linux(path)) => {
                path.receive(&self.socket, &mut take, &mut self.tally.stats.kernel_drops)
            }
        };
        self.tally.stats.received += count as u64;
        ended.or_else(|error| self.errors.note(error, now))?;
        Ok(count)
    }
}

/// Returns whether a socket of [`UdpPath::Fastest`] that is bound to all addresses answers from the
/// address that was asked.
pub fn tells_local_address() -> bool {
    cfg!(all(target_os = "linux", feature = "linux-fast-path"))
}

impl AsFd for UdpTransport {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl Path {
    #[cfg(all(target_os = "linux", feature = "linux-fast-path"))]
    fn fastest(socket: &UdpSocket) -> io::Result<Self> {
        Ok(Self::Linux(super::udp_linux::LinuxPath::new(socket)?))
    }

    #[cfg(not(all(target_os = "linux", feature = "linux-fast-path")))]
    fn fastest(_: &UdpSocket) -> io::Result<Self> {
        Ok(Self::Std(StdPath::new()))
    }
}

impl Transport for UdpTransport {
    fn send(&mut self, to: PeerAddr, bytes: &[u8]) {
        self.tally.stats.bytes += bytes.len() as u64;
        match &mut self.path {
            Path::Std(path) => path.send(&self.socket, to.address, bytes, &mut self.tally),
            #[cfg(all(target_os = "linux", feature = "linux-fast-path"))]
            Path::Linux(path) => path.send(&self.socket, to, bytes, &mut self.tally),
        }
    }

    fn flush(&mut self) {
        match &mut self.path {
            Path::Std(_) => {}
            #[cfg(all(target_os = "linux", feature = "linux-fast-path"))]
            Path::Linux(path) => path.flush(&self.socket, &mut self.tally),
        }
    }
}

#[cfg(test)]
mod tests;
