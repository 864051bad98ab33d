//! Clients of the other implementation on our server.

use std::net::SocketAddr;
use std::time::Duration;

use netcode::{Client, ClientState};
use truetick_netcode::session::UserId;
use truetick_netcode::session::config::SessionConfig;
use truetick_netcode::session::crypto::Key;
use truetick_netcode::session::drops::DropReason;
use truetick_netcode::session::server::{Change, SessionServer};
use truetick_netcode::time::UnixTime;
use truetick_netcode::transport::Transport;
use truetick_transport::ReceivedDatagram;
use truetick_transport::clock;
use truetick_transport::udp::{UdpPath, UdpTransport};

use crate::{KEY, PROTOCOL, ROUNDS, any_port, seconds, their_token, wait};

/// This project's server on a real socket.
struct OurServer {
    socket: UdpTransport,
    sessions: SessionServer,
}

impl OurServer {
    fn new() -> Self {
        let socket = UdpTransport::bind(any_port(), UdpPath::Fastest).unwrap();
        let address = socket.local_address().unwrap();
        let config = SessionConfig::new(PROTOCOL, Key::new(KEY), vec![address]);
        // An early start, since tokens of another issuer do not contain their time of issue.
        let begin = clock::unix_now().as_millis() - 60_000;
        let start = UnixTime::from_millis(begin);
        let sessions = SessionServer::new(
            config,
            [1; 32],
            clock::now() - Duration::from_secs(60),
            start,
        );
        Self { socket, sessions }
    }

    fn address(&self) -> SocketAddr {
        self.socket.local_address().unwrap()
    }

    /// Runs one round: echoes received payloads and updates the time.
    fn round(&mut self) -> Vec<Change> {
        let now = clock::now();
        self.sessions.set_wall_clock(now, clock::unix_now());
        self.sessions.update(now);
        let (sessions, mut echoes) = (&mut self.sessions, Vec::new());
        let take = |datagram: ReceivedDatagram<'_>| {
            let payload = sessions.receive(datagram.from, datagram.bytes, now);
            echoes.extend(
                payload.and_then(|(client, came)| Some((client, came.payload()?.to_vec()))),
            );
        };
        self.socket.receive(now, take).unwrap();
        for (client, payload) in echoes {
            self.sessions.send(client, &payload, now, &mut self.socket);
        }
        self.sessions.send_replies(&mut self.socket);
        std::iter::from_fn(|| self.sessions.poll_change()).collect()
    }
}

fn until_disconnected(client: &mut Client, server: &mut OurServer) {
    for _ in 0..ROUNDS {
        client.update(seconds());
        server.round();
        if client.state().is_disconnected() {
            break;
        }
        wait();
    }
}

#[test]
fn their_client_connects_talks_and_leaves_on_our_server() {
    let mut server = OurServer::new();
    let mut client = Client::new(any_port(), seconds()).unwrap();
    let token = their_token(server.address(), 30, 5, 9);
    client.connect(&token).unwrap();
    let (mut changes, mut echoes) = (Vec::new(), 0);
    for round in 0..ROUNDS {
        client.update(seconds());
        if client.state() == ClientState::Connected && round % 4 == 0 {
            client.send_packet(&[1, 2, 3, round as u8]).unwrap();
        }
        changes.extend(server.round());
        while let Some((payload, _)) = client.receive_packet() {
            assert_eq!(payload[..3], [1, 2, 3]);
            echoes += 1;
        }
        if echoes > 50 {
            break;
        }
        wait();
    }
    assert!(
        echoes > 50,
        "{:?} {:?}",
        client.state(),
        server.sessions.drops()
    );
    client.disconnect();
    changes.extend((0..20).flat_map(|_| {
        wait();
        server.round()
    }));
    let [
        Change::Opened {
            user,
            client: opened,
            ..
        },
        Change::Left(left),
    ] = changes.as_slice()
    else {
        panic!("{changes:?}")
    };
    assert_eq!((*user, opened), (UserId(9), left));

    // A second use of the token: it is consumed.
    client.connect(&token).unwrap();
    for _ in 0..300 {
        client.update(seconds());
        assert_eq!(server.round(), []);
        wait();
    }
    assert_eq!(client.state(), ClientState::SendingConnectionRequest);
    assert!(server.sessions.drops().count(DropReason::Consumed) > 0);
}

#[test]
fn their_client_is_told_when_our_server_ends_its_session_or_is_full() {
    let mut server = OurServer::new();
    let mut client = Client::new(any_port(), seconds()).unwrap();
    client
        .connect(&their_token(server.address(), 30, 5, 9))
        .unwrap();
    let mut id = None;
    for _ in 0..ROUNDS {
        client.update(seconds());
        id = id.or(server.round().into_iter().find_map(|change| match change {
            Change::Opened { client, .. } => Some(client),
            _ => None,
        }));
        if client.state() == ClientState::Connected {
            break;
        }
        wait();
    }
    assert_eq!((client.client_index(), client.max_clients()), (0, 256));
    server.sessions.close(id.unwrap(), &mut server.socket);
    server.socket.flush();
    server.sessions.drain();
    until_disconnected(&mut client, &mut server);
    assert_eq!(client.state(), ClientState::Disconnected);
    client
        .connect(&their_token(server.address(), 30, 5, 9))
        .unwrap();
    until_disconnected(&mut client, &mut server);
    assert_eq!(client.state(), ClientState::ConnectionDenied);
}

#[test]
fn their_client_falls_silent_on_our_server_and_our_server_on_their_client() {
    let mut server = OurServer::new();
    let mut client = Client::new(any_port(), seconds()).unwrap();
    client
        .connect(&their_token(server.address(), 30, 1, 9))
        .unwrap();
    while client.state() != ClientState::Connected {
        client.update(seconds());
        server.round();
        wait();
    }
    let parked = (0..ROUNDS).find_map(|_| {
        wait();
        server
            .round()
            .into_iter()
            .find(|change| matches!(change, Change::Parked(_)))
    });
    assert!(parked.is_some());
    let timed_out = (0..ROUNDS).any(|_| {
        wait();
        client.update(seconds());
        client.state() == ClientState::ConnectionTimedOut
    });
    assert!(timed_out);
}

#[test]
fn their_clients_expired_token_is_dropped() {
    let mut server = OurServer::new();
    let mut client = Client::new(any_port(), seconds()).unwrap();
    let token = their_token(server.address(), 1, 5, 9);
    (0..2_100).for_each(|_| wait());
    client.connect(&token).unwrap();
    for _ in 0..300 {
        client.update(seconds());
        assert_eq!(server.round(), []);
        wait();
    }
    assert!(
        server.sessions.drops().count(DropReason::Expired) > 0,
        "{:?}",
        server.sessions.drops()
    );
}
