//! The contract of the transports, tested on a pair of ends of each.

use std::time::Duration;

use truetick_netcode::limits::{DATAGRAM_BYTES, FRAME_BYTES, SMALLEST_PAYLOAD};
use truetick_netcode::transport::{Event, PeerAddr, Transport};
use truetick_transport::clock;
use truetick_transport::server_transport::ServerTransport;
use truetick_transport::wait_readable;

use crate::ways::{Way, on_every_way};

on_every_way! {
    datagrams_come_whole_and_as_they_were
    a_datagram_that_is_too_large_does_no_harm
    a_flood_blocks_nobody_and_ends
}

/// Timeout of these tests.
const PATIENCE: Duration = Duration::from_secs(10);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Came {
    Datagram(Vec<u8>),
    Frame(Vec<u8>),
    DatagramBytes(usize),
    Closed { told: bool },
}

struct Ends {
    way: Way,
    server: ServerTransport,
    client: ServerTransport,
    /// Address of the server at the client, and of the client at the server.
    there: PeerAddr,
    back: PeerAddr,
    room: usize,
}

fn take(server_transport: &mut ServerTransport) -> Vec<(PeerAddr, Came)> {
    server_transport.flush();
    let mut came = Vec::new();
    wait_readable(
        [&*server_transport].into_iter(),
        Duration::from_millis(5),
        &mut Vec::new(),
    )
    .unwrap();
    let note = |from, event: Event<'_>, _| {
        came.push((
            from,
            match event {
                Event::Datagram(bytes) => Came::Datagram(bytes.to_vec()),
                Event::Frame(bytes) | Event::Early(bytes) => Came::Frame(bytes.to_vec()),
                Event::Confirmed => return,
                Event::DatagramBytes(bytes) => Came::DatagramBytes(bytes),
                Event::Closed { told } => Came::Closed { told },
            },
        ));
    };
    server_transport.receive(clock::now(), note).unwrap();
    came
}

/// Receives until there are `count` items, or until the timeout.
fn take_some(
    server_transport: &mut ServerTransport,
    other: &mut ServerTransport,
    count: usize,
) -> Vec<(PeerAddr, Came)> {
    let (deadline, mut all) = (clock::now() + PATIENCE, Vec::new());
    while all.len() < count && clock::now() < deadline {
        other.flush();
        all.extend(take(server_transport));
    }
    all
}

impl Ends {
    /// Creates two ends that have received something from each other.
    fn meet(way: Way) -> Self {
        let (mut server, mut client) = way.pair();
        let there = PeerAddr {
            kind: client.transport(),
            connection: u64::from(way.is_connection_oriented()),
            address: server.local_address().unwrap(),
            local: None,
        };
        let (mut room, mut back) = (
            DATAGRAM_BYTES,
            PeerAddr {
                address: client.local_address().unwrap(),
                ..there
            },
        );
        if way.is_connection_oriented() {
            client.open(there, b"hello");
            client.flush();
            let came = take_some(&mut server, &mut client, 2);
            let (first, Came::DatagramBytes(bytes)) = came[0] else {
                panic!("{came:?}")
            };
            assert_eq!(came[1], (first, Came::Frame(b"hello".to_vec())));
            let came = take_some(&mut client, &mut server, 1);
            let (by, Came::DatagramBytes(also)) = came[0] else {
                panic!("{came:?}")
            };
            assert_eq!(by, there);
            assert!(bytes.min(also) >= SMALLEST_PAYLOAD, "{bytes} {also}");
            (back, room) = (first, bytes.min(also).min(DATAGRAM_BYTES));
        }
        Self {
            way,
            server,
            client,
            there,
            back,
            room,
        }
    }

    fn send_up(&mut self, datagram: &[u8]) {
        self.client.send(self.there, datagram);
    }

    fn at_server(&mut self, count: usize) -> Vec<(PeerAddr, Came)> {
        take_some(&mut self.server, &mut self.client, count)
    }

    fn at_client(&mut self, count: usize) -> Vec<(PeerAddr, Came)> {
        take_some(&mut self.client, &mut self.server, count)
    }

    /// Sends a datagram repeatedly until it arrives.
    fn insist(&mut self, datagram: &[u8]) {
        let deadline = clock::now() + PATIENCE;
        loop {
            self.send_up(datagram);
            self.client.flush();
            if take(&mut self.server).contains(&(self.back, Came::Datagram(datagram.to_vec()))) {
                return;
            }
            assert!(
                clock::now() < deadline,
                "{:?}: nothing comes any more",
                self.way
            );
        }
    }
}

fn datagrams_come_whole_and_as_they_were(way: Way) {
    let mut ends = Ends::meet(way);
    let datagram = |i: usize, room: usize| vec![i as u8; 1 + i * (room - 1) / 39];
    for round in 0..5 {
        for i in (0..40).filter(|i| i % 5 == round) {
            let bytes = datagram(i, ends.room);
            ends.send_up(&bytes);
            ends.server.send(ends.back, &bytes);
        }
        let (up, down) = (ends.at_server(8), ends.at_client(8));
        for (came, by) in [(up, ends.back), (down, ends.there)] {
            assert_eq!(came.len(), 8, "{way:?} on loopback: {came:?}");
            for (from, came) in came {
                let Came::Datagram(bytes) = came else {
                    panic!("{came:?}")
                };
                assert_eq!(
                    (from, &bytes),
                    (by, &datagram(usize::from(bytes[0]), ends.room))
                );
            }
        }
    }
}

fn a_datagram_that_is_too_large_does_no_harm(way: Way) {
    let mut ends = Ends::meet(way);
    ends.send_up(&vec![9; 9_000]);
    ends.insist(&[1, 2, 3]);
    let whole =
        |came: &(PeerAddr, Came)| matches!(&came.1, Came::Datagram(bytes) if bytes.len() == 9_000);
    // Over plain datagrams the session drops it unread; connections never carry it.
    assert!(!way.is_connection_oriented() || !ends.at_server(1).iter().any(whole));
}

fn a_flood_blocks_nobody_and_ends(way: Way) {
    let mut ends = Ends::meet(way);
    for _ in 0..50 {
        (0..200).for_each(|_| ends.send_up(&[0; 1_000]));
        ends.client.flush();
    }
    while !take(&mut ends.server).is_empty() {}
    ends.insist(&[7; 500]);
}

#[test]
fn frames_come_once_and_in_order_both_ways() {
    for way in [Way::Memory, Way::Quic, Way::WebTransport] {
        let mut ends = Ends::meet(way);
        // More than may wait unread: the sender is held back, and nothing is lost.
        let frame = |i: usize| vec![i as u8; [1, 500, FRAME_BYTES][i % 3]];
        for i in 0..150 {
            ends.client.send_frame(ends.there, &frame(i));
            ends.server.send_frame(ends.back, &frame(149 - i));
        }
        ends.client.flush();
        ends.server.flush();
        let frames = |came: Vec<(PeerAddr, Came)>| {
            came.into_iter().map(|(_, came)| came).collect::<Vec<_>>()
        };
        assert!(
            frames(ends.at_server(150))
                .iter()
                .enumerate()
                .all(|(i, came)| *came == Came::Frame(frame(i)))
        );
        let down = frames(ends.at_client(150));
        assert!(down.len() == 150, "{way:?}");
        assert!(
            down.iter()
                .enumerate()
                .all(|(i, came)| *came == Came::Frame(frame(149 - i)))
        );
    }
}

#[test]
fn who_ends_a_connection_tells_the_other_and_nothing_follows() {
    for way in [Way::Memory, Way::Quic, Way::WebTransport] {
        let mut ends = Ends::meet(way);
        ends.server.close(ends.back);
        let came = ends.at_client(1);
        assert_eq!(came, [(ends.there, Came::Closed { told: true })], "{way:?}");
        ends.server.send(ends.back, b"late");
        ends.server.send_frame(ends.back, b"late");
        ends.server.flush();
        assert_eq!(take(&mut ends.client), []);
        let mut ends = Ends::meet(way);
        ends.client.close(ends.there);
        assert_eq!(
            ends.at_server(1),
            [(ends.back, Came::Closed { told: true })],
            "{way:?}"
        );
        // An end that is dropped closes its connections to all peers.
        let Ends {
            mut server,
            client,
            back,
            ..
        } = Ends::meet(way);
        drop(client);
        let came = take_some(&mut server, &mut Way::Udp.pair().0, 1);
        assert_eq!(came, [(back, Came::Closed { told: true })], "{way:?}");
    }
}

#[test]
fn one_end_serves_many_and_tells_them_apart() {
    for way in [Way::Memory, Way::Quic, Way::WebTransport] {
        let mut ends = Ends::meet(way);
        let others: Vec<PeerAddr> = (2..8)
            .map(|connection| PeerAddr {
                connection,
                ..ends.there
            })
            .collect();
        others
            .iter()
            .for_each(|other| ends.client.open(*other, &[other.connection as u8]));
        let came = ends.at_server(12);
        for (from, came) in came {
            if let Came::Frame(frame) = came {
                ends.server.send_frame(from, &frame);
            }
        }
        let came = ends.at_client(12);
        for other in others {
            assert!(
                came.contains(&(other, Came::Frame(vec![other.connection as u8]))),
                "{way:?}: {came:?}"
            );
        }
    }
}
