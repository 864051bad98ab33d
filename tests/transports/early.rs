//! Peers with an earlier connection: the first frame travels with the first packet, and the loss of
//! a connection is detected.

use std::net::SocketAddr;
use std::time::Duration;

use truetick_netcode::time::Timestamp;
use truetick_netcode::transport::{Event, PeerAddr, Transport};
use truetick_server::quic_settings::QuicSettings;
use truetick_transport::clock;
use truetick_transport::{ReceivedDatagram, wait_readable};

use crate::tried::{PATIENCE, Raw, Tried};
use crate::ways::dial;

#[test]
fn a_connection_to_a_server_that_was_started_again_is_reset_at_once() {
    let tried = Tried::new(64);
    let (address, fingerprint) = (tried.address(), tried.fingerprint);
    let mut client = dial(fingerprint, None);
    let addr = PeerAddr::quic(1, address);
    client.open(addr, b"hello");
    client.flush();
    let mut tried = tried;
    while tried.opened == 0 {
        tried.look();
    }
    // It dies without a close: its later packets come from another port and have no effect.
    tried.end.move_to_another_port().unwrap();
    let settings = QuicSettings {
        listen: address,
        ..QuicSettings::default()
    };
    // The old port is free once a connection has arrived at the new one.
    tried.serves_the_honest();
    let open = || {
        clock::sleep(Duration::from_millis(5));
        settings.open([7; 32], clock::unix_now()).ok()
    };
    let _again = (0..100)
        .find_map(|_| open())
        .expect("the port is free again");
    let (deadline, mut lost) = (clock::now() + PATIENCE, false);
    while !lost {
        assert!(
            clock::now() < deadline,
            "the client is not told that its connection is gone"
        );
        client.send(addr, &[1; 500]);
        client.flush();
        wait_readable(
            [&client].into_iter(),
            Duration::from_millis(20),
            &mut Vec::new(),
        )
        .unwrap();
        let note = |_, event: Event<'_>, _| lost |= event == (Event::Closed { told: false });
        client.receive(clock::now(), note).unwrap();
    }
}

/// A relay between a client and a server that keeps the client's datagrams.
struct Between {
    front: Raw,
    back: Raw,
    client: Option<SocketAddr>,
    said: Vec<Vec<u8>>,
}

impl Between {
    fn pass(&mut self, server: SocketAddr) {
        let (front, back) = (&mut self.front.0, &mut self.back.0);
        let (client, said) = (&mut self.client, &mut self.said);
        let up = |datagram: ReceivedDatagram<'_>| {
            *client = Some(datagram.from);
            said.push(datagram.bytes.to_vec());
            back.send(server.into(), datagram.bytes);
        };
        front.receive(clock::now(), up).unwrap();
        back.flush();
        let down = |datagram: ReceivedDatagram<'_>| {
            if let Some(client) = *client {
                front.send(client.into(), datagram.bytes);
            }
        };
        back.receive(clock::now(), down).unwrap();
        front.flush();
    }

    /// Passes datagrams on until the server receives such an event, and answers each hello. Returns
    /// false if there is none in time.
    fn pass_until(&mut self, tried: &mut Tried, until: fn(&Event<'_>) -> bool) -> bool {
        let (deadline, mut found) = (clock::now() + PATIENCE, false);
        while !found && clock::now() < deadline {
            self.pass(tried.address());
            wait_readable(
                [&tried.end].into_iter(),
                Duration::from_millis(2),
                &mut Vec::new(),
            )
            .unwrap();
            let mut asked = None;
            let note = |from, event: Event<'_>, _| {
                let is_hello = matches!(event, Event::Early(b"hello") | Event::Frame(b"hello"));
                asked = is_hello.then_some(from).or(asked);
                found |= until(&event);
            };
            tried.end.receive(clock::now(), note).unwrap();
            if let Some(from) = asked {
                // Only clients with an answer have a session, and only they keep a TLS session for
                // a later connection.
                tried.end.send_frame(from, b"welcome");
                tried.end.flush();
            }
        }
        found
    }
}

#[test]
fn a_server_that_is_known_hears_the_first_frame_early_and_a_copy_of_it_not_at_all() {
    let mut tried = Tried::new(64);
    let server = tried.address();
    let mut between = Between {
        front: Raw::new(),
        back: Raw::new(),
        client: None,
        said: Vec::new(),
    };
    let mut client = dial(tried.fingerprint, None);
    let to = |connection| PeerAddr::quic(connection, between.front.0.local_address().unwrap());
    let (first, second) = (to(1), to(2));
    // The first connection; the server's TLS issues a session for a later one.
    client.open(first, b"hello");
    client.flush();
    let is_hello =
        |event: &Event<'_>| matches!(event, Event::Early(b"hello") | Event::Frame(b"hello"));
    assert!(between.pass_until(&mut tried, is_hello));
    for _ in 0..20 {
        between.pass(server);
        clock::sleep(Duration::from_millis(2));
    }
    between.said.clear();
    client.open(second, b"again");
    client.flush();
    let is_again = |event: &Event<'_>| *event == Event::Early(b"again");
    assert!(between.pass_until(&mut tried, is_again), "it came early");
    let flight = between.said.clone();
    assert!(between.pass_until(&mut tried, |event| *event == Event::Confirmed));
    // A replay of the packets from elsewhere: each TLS session serves once.
    let mut thief = Raw::new();
    flight
        .iter()
        .for_each(|datagram| thief.say(server, datagram));
    thief.hear(Some(server), 1, Duration::from_millis(300));
    for _ in 0..20 {
        let note =
            |_: PeerAddr, event: Event<'_>, _: Timestamp| assert_ne!(event, Event::Early(b"again"));
        tried.end.receive(clock::now(), note).unwrap();
        clock::sleep(Duration::from_millis(5));
    }
}
