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
use crate::time::Timestamp;

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

    /// Passes the received datagrams to `take`, at most [`crate::limits::RECEIVE_BATCH`], and
    /// returns their number. An error ends the call and is counted.
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

    fn receive_all(
        socket: &mut UdpTransport,
        count: usize,
    ) -> Vec<(SocketAddr, Vec<u8>, Timestamp)> {
        let mut came = Vec::new();
        loop {
            let before = came.len();
            wait_readable(
                [&*socket].into_iter(),
                Duration::from_millis(200),
                &mut Vec::new(),
            )
            .unwrap();
            let take = |datagram: ReceivedDatagram<'_>| {
                came.push((datagram.from, datagram.bytes.to_vec(), datagram.at))
            };
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
                    assert!(
                        *at >= opened && at.micros_from(before) > -5_000 && *at <= clock::now()
                    );
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
        let came: Vec<_> = receive_all(&mut to, lengths.len())
            .into_iter()
            .map(|(_, bytes, _)| bytes)
            .collect();
        let sent: Vec<_> = lengths
            .iter()
            .enumerate()
            .map(|(i, n)| vec![i as u8; *n])
            .collect();
        assert_eq!(came, sent);
        assert_eq!(receive_all(&mut third, 2).len(), 2);
        assert_eq!((from.stats().sent, from.stats().send_errors), (12, 0));
    }

    #[test]
    fn icmp_is_not_believed_about_a_paths_mtu() {
        use rustix::net::sockopt::{
            Ipv4PathMtuDiscovery, Ipv6PathMtuDiscovery, ip_mtu_discover, ipv6_mtu_discover,
        };
        for host in ["127.0.0.1", "0.0.0.0", "::1", "::"] {
            let (socket, _) = pair(host, UdpPath::Fastest);
            assert_eq!(
                ip_mtu_discover(&socket).unwrap(),
                Ipv4PathMtuDiscovery::OMIT,
                "{host}"
            );
            if host.contains(':') {
                assert_eq!(
                    ipv6_mtu_discover(&socket).unwrap(),
                    Ipv6PathMtuDiscovery::OMIT,
                    "{host}"
                );
            }
        }
    }

    /// Sends to a socket bound to all addresses at several of them, and checks the source of the
    /// answers.
    #[cfg(all(target_os = "linux", feature = "linux-fast-path"))]
    #[test]
    fn answers_leave_by_the_address_that_was_asked() {
        for (everywhere, asked) in [
            ("0.0.0.0", &["127.0.0.1", "127.0.0.2", "127.3.2.1"][..]),
            ("::", &["127.0.0.2", "127.0.0.9", "::1"]),
        ] {
            let (mut server, _) = pair(everywhere, UdpPath::Fastest);
            let port = server.local_address().unwrap().port();
            // More than one batch, in turn, so that adjacent datagrams in the queue leave from
            // different addresses.
            let mut clients: Vec<_> = asked
                .iter()
                .map(|ip| {
                    (
                        SocketAddr::new(ip.parse().unwrap(), port),
                        pair(
                            if ip.contains(':') { "::1" } else { "127.0.0.1" },
                            UdpPath::Std,
                        )
                        .0,
                    )
                })
                .collect();
            for (to, client) in &mut clients {
                client.send((*to).into(), b"who are you?");
            }
            let mut addrs = Vec::new();
            while addrs.len() < asked.len() {
                wait_readable(
                    [&server].into_iter(),
                    Duration::from_secs(5),
                    &mut Vec::new(),
                )
                .unwrap();
                let count = server
                    .receive(clock::now(), |datagram| addrs.push(datagram.addr()))
                    .unwrap();
                assert!(count > 0, "{everywhere}: nothing came");
            }
            for i in 0..40u8 {
                for addr in &addrs {
                    // Runs of equal lengths leave as one buffer, others one by one.
                    (0..3)
                        .for_each(|_| server.send(*addr, &vec![i; 100 + usize::from(i % 2) * 30]));
                }
            }
            server.flush();
            assert_eq!(server.stats().send_errors, 0, "{everywhere}");
            for (to, client) in &mut clients {
                let came = receive_all(client, 120);
                assert_eq!(came.len(), 120, "{everywhere} {to}");
                assert!(
                    came.iter().all(|(from, ..)| from == to),
                    "{everywhere} {to}: {:?}",
                    came[0].0
                );
            }
        }
    }

    #[test]
    fn errors_pass_and_are_counted_and_a_closed_descriptor_is_the_end() {
        use rustix::io::Errno;
        for path in [UdpPath::Fastest, UdpPath::Std] {
            let (mut from, mut to) = pair("127.0.0.1", path);
            let passing = [
                Errno::NETDOWN,
                Errno::IO,
                Errno::NOBUFS,
                Errno::PERM,
                Errno::CONNREFUSED,
                Errno::NOMEM,
            ];
            to.inject_receive_errors(passing.map(Errno::raw_os_error));
            for _ in passing {
                assert_eq!(
                    to.receive(clock::now(), |_| panic!("nothing came"))
                        .unwrap(),
                    0
                );
            }
            from.send(to.local_address().unwrap().into(), b"still here");
            from.flush();
            assert_eq!(receive_all(&mut to, 1).len(), 1);
            assert_eq!(to.stats().receive_errors, 6);
            for end in [Errno::BADF, Errno::NOTSOCK] {
                to.inject_receive_errors([end.raw_os_error()]);
                assert!(to.receive(clock::now(), |_| {}).is_err());
            }
        }
    }

    #[test]
    fn what_cannot_be_sent_is_counted_and_the_rest_leaves() {
        for path in [UdpPath::Fastest, UdpPath::Std] {
            let (mut from, mut to) = pair("127.0.0.1", path);
            let target = to.local_address().unwrap();
            // An IPv4 socket has no route to IPv6.
            let nowhere: SocketAddr = "[2001:db8::1]:9".parse().unwrap();
            for to in [target, nowhere, nowhere, target] {
                from.send(to.into(), &[1; 50]);
            }
            from.flush();
            assert_eq!(receive_all(&mut to, 2).len(), 2, "{path:?}");
            assert_eq!(
                (from.stats().sent, from.stats().send_errors),
                (2, 2),
                "{path:?}"
            );
        }
    }

    #[test]
    fn an_overlong_datagram_is_not_taken_for_a_whole_one() {
        for path in [UdpPath::Fastest, UdpPath::Std] {
            let (mut from, mut to) = pair("127.0.0.1", path);
            from.send(
                to.local_address().unwrap().into(),
                &[7; LONGEST_DATAGRAM + 500],
            );
            from.flush();
            assert!(
                receive_all(&mut to, 1)
                    .iter()
                    .all(|(_, bytes, _)| bytes.len() > LONGEST_DATAGRAM)
            );
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
