//! Our client on servers of the other implementation.

use std::net::SocketAddr;
use std::time::Duration;

use netcode::{Server, ServerEvent, generate_connect_token};
use truetick_netcode::session::client::{Failure, Phase, Received, SessionClient};
use truetick_netcode::session::token::ConnectToken;
use truetick_netcode::transport::Transport;
use truetick_transport::clock;
use truetick_transport::udp::{UdpPath, UdpTransport};
use truetick_transport::{ReceivedDatagram, wait_readable};

use crate::{KEY, PROTOCOL, ROUNDS, USER_DATA, any_port, our_token, seconds};

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
