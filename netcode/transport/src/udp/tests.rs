//! Tests of the UDP transport over loopback, on every path of the kernel.

use super::*;
use crate::clock;
use crate::wait_readable;
use std::time::Duration;
use truetick_netcode::limits::LONGEST_DATAGRAM;

fn pair(host: &str, path: UdpPath) -> (UdpTransport, UdpTransport) {
    let bind = || UdpTransport::bind(SocketAddr::new(host.parse().unwrap(), 0), path).unwrap();
    (bind(), bind())
}

fn receive_all(socket: &mut UdpTransport, count: usize) -> Vec<(SocketAddr, Vec<u8>, Timestamp)> {
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
                (0..3).for_each(|_| server.send(*addr, &vec![i; 100 + usize::from(i % 2) * 30]));
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
