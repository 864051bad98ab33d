//! Interoperability with `netcode-official`, an independent implementation of the standard, in both
//! directions over loopback.

use std::net::SocketAddr;
use std::time::Duration;

use netcode::{Client, ClientState, Server, ServerEvent, generate_connect_token};
use rand::SeedableRng;
use rand::rngs::StdRng;
use truetick_netcode::clock;
use truetick_netcode::session::UserId;
use truetick_netcode::session::client::{Failure, Phase, Received, SessionClient};
use truetick_netcode::session::config::SessionConfig;
use truetick_netcode::session::crypto::Key;
use truetick_netcode::session::drops::DropReason;
use truetick_netcode::session::server::{Change, SessionServer};
use truetick_netcode::session::token::{ConnectToken, Issuer, USER_DATA_BYTES};
use truetick_netcode::time::UnixTime;
use truetick_netcode::transport::udp::{UdpPath, UdpTransport};
use truetick_netcode::transport::{ReceivedDatagram, Transport, wait_readable};

const PROTOCOL: u64 = 0x1122_3344_5566_7788;
const KEY: [u8; 32] = [7; 32];
const USER_DATA: [u8; USER_DATA_BYTES] = [0; USER_DATA_BYTES];

/// Maximum number of rounds of a test, about a millisecond each.
const ROUNDS: u32 = 20_000;

fn any_port() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 0))
}

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

fn wait() {
    clock::sleep(Duration::from_millis(1));
}

fn seconds() -> f64 {
    clock::now().as_nanos() as f64 / 1e9
}

fn their_token(server: SocketAddr, expire_s: i32, timeout_s: i32, user: u64) -> [u8; 2048] {
    let servers = [server];
    generate_connect_token(
        &servers, &servers, expire_s, timeout_s, user, PROTOCOL, &KEY, &USER_DATA,
    )
    .unwrap()
}

fn our_token(server: SocketAddr, lifetime: u64, timeout: u64) -> ConnectToken {
    let issuer = Issuer {
        key: Key::new(KEY),
        protocol: PROTOCOL,
        servers: vec![server],
        lifetime: Duration::from_secs(lifetime),
        timeout: Duration::from_secs(timeout),
    };
    issuer.issue_with(
        UserId(5),
        USER_DATA,
        clock::unix_now(),
        &mut StdRng::seed_from_u64(clock::now().as_nanos()),
    )
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

/// This project's client on a real socket.
struct OurClient {
    socket: UdpTransport,
    session: SessionClient,
}

impl OurClient {
    fn new(token: ConnectToken) -> Self {
        let socket = UdpTransport::bind(any_port(), UdpPath::Fastest).unwrap();
        Self {
            socket,
            session: SessionClient::new(token, PROTOCOL, 1, clock::now()),
        }
    }

    fn round(&mut self) -> Vec<Vec<u8>> {
        let now = clock::now();
        let (session, mut payloads) = (&mut self.session, Vec::new());
        let take = |datagram: ReceivedDatagram<'_>| {
            if let Ok(Received::Payload(payload)) =
                session.receive(datagram.from, datagram.bytes, now)
            {
                payloads.push(payload.to_vec());
            }
        };
        self.socket.receive(now, take).unwrap();
        while let Some(transmit) = self.session.poll(now) {
            transmit.send(self.session.addr(), &mut self.socket);
        }
        self.socket.flush();
        wait_readable(
            [&self.socket].into_iter(),
            Duration::from_millis(1),
            &mut Vec::new(),
        )
        .unwrap();
        payloads
    }

    fn send(&mut self, payload: &[u8]) {
        let transmit = self.session.seal(payload, clock::now());
        transmit.send(self.session.addr(), &mut self.socket);
    }
}

/// The other implementation's server on a free port.
fn their_server(clients: usize) -> (Server, SocketAddr) {
    for _ in 0..20 {
        let address = UdpTransport::bind(any_port(), UdpPath::Fastest)
            .unwrap()
            .local_address()
            .unwrap();
        if let Ok(mut server) = Server::new(address, PROTOCOL, &KEY, seconds()) {
            server.start(clients).unwrap();
            return (server, address);
        }
    }
    panic!("no port is free")
}

fn until(
    server: &mut Server,
    client: &mut OurClient,
    mut done: impl FnMut(&mut Server, &OurClient) -> bool,
) -> bool {
    (0..ROUNDS).any(|_| {
        server.update(seconds());
        client.round();
        done(server, client)
    })
}

#[test]
fn our_client_connects_talks_and_leaves_on_their_server() {
    let (mut server, address) = their_server(4);
    let token = our_token(address, 30, 5);
    let mut client = OurClient::new(token.clone());
    assert!(until(&mut server, &mut client, |_, client| client
        .session
        .is_connected()));
    assert_eq!(
        client.session.phase(),
        Phase::Connected { index: 0, most: 4 }
    );
    let (mut theirs, mut ours) = (0, 0);
    for round in 0..ROUNDS {
        if round % 4 == 0 {
            client.send(&[9, 8, 7]);
        }
        server.update(seconds());
        while let Some((payload, _)) = server.receive_packet(0) {
            assert_eq!(payload, [9, 8, 7]);
            theirs += 1;
            server.send_packet(0, &vec![theirs as u8; 1_200]).unwrap();
        }
        ours += client
            .round()
            .iter()
            .filter(|payload| payload.len() == 1_200)
            .count();
        if ours > 50 {
            break;
        }
    }
    assert!(ours > 50 && theirs > 50);
    while server.next_event().is_some() {}
    for transmit in client.session.disconnect() {
        transmit.send(address.into(), &mut client.socket);
    }
    client.socket.flush();
    let left = |server: &mut Server, _: &OurClient| {
        std::iter::from_fn(|| server.next_event())
            .any(|event| matches!(event, ServerEvent::ClientDisconnected { .. }))
    };
    assert!(until(&mut server, &mut client, left));

    // A second use of the token from another address: the other implementation refuses it as used.
    let mut again = OurClient::new(our_token(address, 30, 1));
    again.session = SessionClient::new(token, PROTOCOL, 2, clock::now());
    for _ in 0..300 {
        server.update(seconds());
        again.round();
    }
    assert_eq!(again.session.phase(), Phase::Requesting);
}

#[test]
fn our_client_is_disconnected_and_denied_by_their_server() {
    let (mut server, address) = their_server(1);
    let mut client = OurClient::new(our_token(address, 30, 5));
    assert!(until(&mut server, &mut client, |_, client| client
        .session
        .is_connected()));
    let mut second = OurClient::new({
        let servers = [address];
        let token =
            generate_connect_token(&servers, &servers, 30, 5, 6, PROTOCOL, &KEY, &USER_DATA)
                .unwrap();
        ConnectToken::from_bytes(&token).unwrap()
    });
    let denied = Phase::Failed(Failure::Denied);
    assert!(until(&mut server, &mut second, |_, client| client
        .session
        .phase()
        == denied));
    server.disconnect_client(0);
    assert!(until(&mut server, &mut client, |_, client| client
        .session
        .phase()
        == Phase::Disconnected));
}

#[test]
fn our_client_gives_up_on_a_silent_server_and_on_an_expired_token() {
    let (mut server, address) = their_server(4);
    let mut client = OurClient::new(our_token(address, 30, 1));
    assert!(until(&mut server, &mut client, |_, client| client
        .session
        .is_connected()));
    let silent = (0..ROUNDS).any(|_| {
        client.round();
        client.session.phase() == Phase::Failed(Failure::TimedOut)
    });
    assert!(silent);
    let mut client = OurClient::new(our_token(address, 1, 5));
    let expired = (0..ROUNDS).any(|_| {
        client.round();
        client.session.phase() == Phase::Failed(Failure::TokenExpired)
    });
    assert!(expired);
}
