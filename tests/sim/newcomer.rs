//! A client of any room that joins in a role, sends one packet and receives the answer.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use truetick_netcode::bits::BitWriter;
use truetick_netcode::connection::{Connection, Messages};
use truetick_netcode::disconnect::{DisconnectNotice, DisconnectReason};
use truetick_netcode::messages::{Body, ClientMessage, SESSION_STREAM, encode};
use truetick_netcode::packet::PROTOCOL;
use truetick_netcode::session::client::SessionClient;
use truetick_netcode::session::token::Purpose;
use truetick_netcode::session::{Role, UserId};
use truetick_netcode::time::Timestamp;
use truetick_server::server::Server;

use crate::capture_transport::CaptureTransport;
use crate::tokens::{SERVER, tokens, wall};

/// Time at which newcomers join.
pub const NOW: Timestamp = Timestamp::from_millis(1_000);

/// Address of the newcomer.
pub const ADDRESS: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 100);

/// A client in session with a server.
pub struct Newcomer {
    /// The client's end of the session.
    pub session: SessionClient,
    /// The client's connection in the session.
    pub connection: Connection,
    /// Time of the client's last step.
    pub now: Timestamp,
}

impl Newcomer {
    /// Opens a session and sends its hello.
    pub fn join(server: &mut Server, role: Role) -> Self {
        let mut capture_transport = CaptureTransport::default();
        let token = tokens(9).issue_for(
            UserId(7),
            Purpose {
                role,
                ..Purpose::default()
            },
            wall(NOW),
        );
        let mut session = SessionClient::new(token, PROTOCOL, 7, NOW);
        for _ in 0..2 {
            server.receive(ADDRESS, &session.poll(NOW).unwrap(), NOW);
            server.send_replies(&mut capture_transport);
            session
                .receive(
                    SocketAddr::from(SERVER),
                    &capture_transport.0.pop().unwrap().1,
                    NOW,
                )
                .unwrap();
        }
        assert!(session.is_connected());
        let mut newcomer = Self {
            session,
            connection: Connection::new(7, NOW),
            now: NOW,
        };
        let hello = ClientMessage::Hello {
            schema: server.rooms()[0].schema_hash(),
        };
        newcomer
            .connection
            .send(SESSION_STREAM, encode(&hello))
            .unwrap();
        newcomer.send(server, |writer| {
            writer.write(Body::Empty as u32, Body::BITS)
        });
        newcomer
    }

    /// Sends a packet of the client's connection, with a body that `write` writes.
    pub fn send(&mut self, server: &mut Server, write: impl FnOnce(&mut BitWriter)) {
        let mut writer = BitWriter::new();
        self.connection
            .begin(&mut writer, self.now, Messages::BesideState);
        write(&mut writer);
        self.connection.finish(&mut writer, self.now);
        server.receive(
            ADDRESS,
            &self.session.seal(writer.bytes(), self.now),
            self.now,
        );
    }

    /// Returns the disconnect notice that arrives within two ticks, if any.
    pub fn disconnect(&mut self, server: &mut Server) -> Option<DisconnectReason> {
        let mut heard = None;
        for _ in 0..2 {
            let mut capture_transport = CaptureTransport::default();
            self.now = server.next_deadline().unwrap();
            server.tick(&mut || self.now, &mut capture_transport);
            for (_, datagram) in capture_transport.0 {
                let received = self
                    .session
                    .receive(SocketAddr::from(SERVER), &datagram, self.now)
                    .unwrap();
                let Some(payload) = received.payload().map(<[u8]>::to_vec) else {
                    continue;
                };
                let (_, mut reader) = self.connection.open(&payload, self.now).unwrap();
                if reader.read(Body::BITS) == Ok(Body::DisconnectNotice as u32) {
                    heard = Some(DisconnectNotice::read(reader).unwrap().reason);
                }
            }
        }
        heard
    }
}
