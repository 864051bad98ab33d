//! UDP over IPv4 or IPv6: batched system calls on Linux, plain std calls elsewhere or on request.

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::{AsFd, BorrowedFd};

use socket2::{Domain, Protocol, Socket, Type};

use super::udp_std::StdPath;
use super::{Arrived, Route, Transport};
use crate::limits::SOCKET_BUFFER_BYTES;
use crate::time::Timestamp;

/// Which system calls a socket uses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum UdpPath {
    /// The fastest that this build has.
    #[default]
    Fastest,
    /// `send_to` and `recv_from` of std.
    Std,
}

/// What happened on a socket so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct UdpStats {
    /// Datagrams received.
    pub received: u64,
    /// Datagrams handed to the kernel.
    pub sent: u64,
    /// Bytes in what was to be sent.
    pub bytes: u64,
    /// Datagrams that the kernel would not take.
    pub send_errors: u64,
    /// Datagrams that the kernel dropped because the receive buffer was full, where it tells.
    pub kernel_drops: u64,
}

enum Path {
    Std(StdPath),
    #[cfg(all(target_os = "linux", feature = "linux-fast-path"))]
    Linux(super::udp_linux::LinuxPath),
}

/// A bound UDP socket.
pub struct UdpTransport {
    socket: UdpSocket,
    path: Path,
    receive_buffer: usize,
    stats: UdpStats,
}

impl UdpTransport {
    /// Binds `address` (port 0 for any) and asks for a receive buffer of [`SOCKET_BUFFER_BYTES`].
    pub fn bind(address: SocketAddr, path: UdpPath) -> io::Result<Self> {
        let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
        // The kernel may grant less; what it granted is read back for the caller to judge.
        let _ = socket.set_recv_buffer_size(SOCKET_BUFFER_BYTES);
        let _ = socket.set_send_buffer_size(SOCKET_BUFFER_BYTES);
        socket.set_nonblocking(true)?;
        socket.bind(&address.into())?;
        let receive_buffer = socket.recv_buffer_size()?;
        let socket = UdpSocket::from(socket);
        let path = match path {
            UdpPath::Std => Path::Std(StdPath::new()),
            UdpPath::Fastest => Path::fastest(&socket)?,
        };
        Ok(Self { socket, path, receive_buffer, stats: UdpStats::default() })
    }

    /// The bound address.
    pub fn local_address(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// Bytes that the kernel granted for datagrams not yet read.
    pub fn receive_buffer(&self) -> usize {
        self.receive_buffer
    }

    /// What happened so far.
    pub fn stats(&self) -> UdpStats {
        self.stats
    }

    /// Hands over what has come, up to [`crate::limits::RECEIVE_BATCH`] datagrams, and returns how many.
    pub fn receive(&mut self, now: Timestamp, mut take: impl FnMut(Arrived<'_>)) -> io::Result<usize> {
        let count = match &mut self.path {
            Path::Std(path) => path.receive(&self.socket, now, &mut take)?,
            #[cfg(all(target_os = "linux", feature = "linux-fast-path"))]
            Path::Linux(path) => path.receive(&self.socket, &mut take, &mut self.stats.kernel_drops)?,
        };
        self.stats.received += count as u64;
        Ok(count)
    }
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
    fn send(&mut self, to: Route, bytes: &[u8]) {
        let to = to.address;
        self.stats.bytes += bytes.len() as u64;
        match &mut self.path {
            Path::Std(path) => path.send(&self.socket, to, bytes, &mut self.stats),
            #[cfg(all(target_os = "linux", feature = "linux-fast-path"))]
            Path::Linux(path) => path.send(&self.socket, to, bytes, &mut self.stats),
        }
    }

    fn flush(&mut self) {
        match &mut self.path {
            Path::Std(_) => {}
            #[cfg(all(target_os = "linux", feature = "linux-fast-path"))]
            Path::Linux(path) => path.flush(&self.socket, &mut self.stats),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;
    use crate::limits::LONGEST_DATAGRAM;
    use crate::transport::wait_readable;
    use std::time::Duration;

    fn pair(host: &str, path: UdpPath) -> (UdpTransport, UdpTransport) {
        let bind = || UdpTransport::bind(SocketAddr::new(host.parse().unwrap(), 0), path).unwrap();
        (bind(), bind())
    }

    fn receive_all(socket: &mut UdpTransport, count: usize) -> Vec<(SocketAddr, Vec<u8>, Timestamp)> {
        let mut came = Vec::new();
        loop {
            let before = came.len();
            wait_readable([&*socket].into_iter(), Duration::from_millis(200), &mut Vec::new()).unwrap();
            let take =
                |datagram: Arrived<'_>| came.push((datagram.from, datagram.bytes.to_vec(), datagram.at));
            socket.receive(clock::now(), take).unwrap();
            if came.len() >= count || came.len() == before {
                break;
            }
        }
        came
    }

    #[test]
    fn bursts_arrive_whole_on_every_path_and_family() {
        for host in ["127.0.0.1", "::1"] {
            for path in [UdpPath::Fastest, UdpPath::Std] {
                let opened = clock::now();
                let (mut from, mut to) = pair(host, path);
                let (source, target) = (from.local_address().unwrap(), to.local_address().unwrap());
                let before = clock::now();
                for i in 0..150u32 {
                    from.send(target.into(), &vec![i as u8; 1 + i as usize * 7]);
                }
                from.flush();
                let came = receive_all(&mut to, 150);
                assert_eq!(came.len(), 150, "{host} {path:?}");
                for (i, (sender, bytes, at)) in came.iter().enumerate() {
                    assert_eq!((*sender, bytes), (source, &vec![i as u8; 1 + i * 7]));
                    assert!(*at >= opened && at.micros_from(before) > -5_000 && *at <= clock::now());
                }
                assert_eq!((from.stats().sent, from.stats().send_errors), (150, 0));
                assert_eq!(to.stats().received, 150);
            }
        }
    }

    #[test]
    fn datagrams_to_one_place_that_leave_together_arrive_apart() {
        let (mut from, mut to) = pair("127.0.0.1", UdpPath::Fastest);
        let mut third = pair("127.0.0.1", UdpPath::Fastest).0;
        let (a, b) = (to.local_address().unwrap(), third.local_address().unwrap());
        let lengths = [900, 900, 400, 1_200, 1_200, 1_200, 5, 5, 7, 1];
        for (i, length) in lengths.iter().enumerate() {
            from.send(a.into(), &vec![i as u8; *length]);
        }
        from.send(b.into(), &[1; 100]);
        from.send(b.into(), &[2; 100]);
        from.flush();
        let came: Vec<_> =
            receive_all(&mut to, lengths.len()).into_iter().map(|(_, bytes, _)| bytes).collect();
        let sent: Vec<_> = lengths.iter().enumerate().map(|(i, n)| vec![i as u8; *n]).collect();
        assert_eq!(came, sent);
        assert_eq!(receive_all(&mut third, 2).len(), 2);
        assert_eq!((from.stats().sent, from.stats().send_errors), (12, 0));
    }

    #[test]
    fn an_overlong_datagram_is_not_taken_for_a_whole_one() {
        for path in [UdpPath::Fastest, UdpPath::Std] {
            let (mut from, mut to) = pair("127.0.0.1", path);
            from.send(to.local_address().unwrap().into(), &[7; LONGEST_DATAGRAM + 500]);
            from.flush();
            assert!(receive_all(&mut to, 1).iter().all(|(_, bytes, _)| bytes.len() > LONGEST_DATAGRAM));
        }
    }

    #[cfg(all(target_os = "linux", feature = "linux-fast-path"))]
    #[test]
    fn kernel_drops_are_counted() {
        let (mut from, mut to) = pair("127.0.0.1", UdpPath::Fastest);
        let target = to.local_address().unwrap();
        let flood = to.receive_buffer() / 1_000;
        for _ in 0..flood {
            from.send(target.into(), &[1; 1_000]);
        }
        from.flush();
        while receive_all(&mut to, 1).len() > 1 {}
        from.send(target.into(), &[1]);
        from.flush();
        receive_all(&mut to, 1);
        let stats = to.stats();
        assert_eq!(stats.received + stats.kernel_drops, flood as u64 + 1);
        assert!(stats.kernel_drops > 0);
    }
}
