//! A client that a test controls by hand: it can break the protocol, which the runtime never does.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use truetick_arena::arena_schema;
use truetick_netcode::bits::BitWriter;
use truetick_netcode::connection::{Connection, Messages};
use truetick_netcode::disconnect::DisconnectReason;
use truetick_netcode::messages::{Body, ClientMessage, SESSION_STREAM, encode};
use truetick_netcode::packet::PROTOCOL;
use truetick_netcode::session::client::SessionClient;
use truetick_netcode::time::Timestamp;
use truetick_server::arena::{ArenaConfig, ArenaGame};
use truetick_server::room::RoomConfig;
use truetick_server::server::Server;
use truetick_server::session_event::SessionEvent;
use truetick_server::world_room::WorldRoom;

use crate::capture_transport::CaptureTransport;
use crate::tokens;

const START: Timestamp = Timestamp::from_millis(1_000);

/// Address of the client.
pub const CLIENT: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 20_000);

/// A server with one small arena, and a client that a test controls by hand.
pub struct ByHand {
    /// The server with its only room.
    pub server: Server,
    /// The client's end of the session.
    pub session: SessionClient,
    /// The client's connection in the session.
    pub connection: Connection,
    /// Current virtual time.
    pub now: Timestamp,
    /// Session events of the server so far.
    pub events: Vec<SessionEvent>,
}

impl ByHand {
    /// Creates a server and a client that has joined it.
    pub fn joined() -> Self {
        let mut server = tokens::server(START);
        let arena = ArenaGame::new(ArenaConfig {
            drones: 2,
            pickups: 2,
            ..ArenaConfig::default()
        })
        .unwrap();
        server.add_room(Box::new(
            WorldRoom::new(arena, RoomConfig::default(), START).unwrap(),
        ));
        let session = SessionClient::new(tokens::token(1, 0, START), PROTOCOL, 1, START);
        let connection = Connection::new(1, START);
        let mut hand = Self {
            server,
            session,
            connection,
            now: START,
            events: Vec::new(),
        };
        while !hand.session.is_connected() {
            hand.pass();
        }
        let schema = arena_schema().unwrap().schema.hash();
        hand.connection
            .send(SESSION_STREAM, encode(&ClientMessage::Hello { schema }))
            .unwrap();
        hand.send(|writer| writer.write(Body::Empty as u32, Body::BITS));
        hand.pass();
        assert!(
            hand.server
                .is_playing(hand.server.session(CLIENT).unwrap().0)
        );
        hand
    }

    /// Runs a tick. The server's packets are received and never acknowledged.
    pub fn pass(&mut self) {
        self.now += Duration::from_millis(17);
        let now = self.now;
        while let Some(bytes) = self.session.poll(now) {
            self.server.receive(CLIENT, &bytes, now);
        }
        let mut capture_transport = CaptureTransport::default();
        self.server.tick(&mut || now, &mut capture_transport);
        for (_, bytes) in capture_transport.0 {
            let _ = self
                .session
                .receive(SocketAddr::from(tokens::SERVER), &bytes, now);
        }
        self.events
            .extend(std::iter::from_fn(|| self.server.poll_event()));
    }

    /// Sends a packet of the client's connection, with a body that `write` writes.
    pub fn send(&mut self, write: impl FnOnce(&mut BitWriter)) {
        let mut writer = BitWriter::new();
        self.connection
            .begin(&mut writer, self.now, Messages::BesideState);
        write(&mut writer);
        self.connection.finish(&mut writer, self.now);
        let bytes = self.session.seal(writer.bytes(), self.now);
        self.server.receive(CLIENT, &bytes, self.now);
    }

    /// Asserts that the session ends with this reason within 60 ticks.
    pub fn ends_with(&mut self, reason: DisconnectReason) {
        for _ in 0..60 {
            self.pass();
        }
        let ended =
            |event: &SessionEvent| matches!(event, SessionEvent::Ended(_, why) if *why == reason);
        assert!(self.events.iter().any(ended), "{:?}", self.events);
        assert_eq!(self.server.sessions(), 0);
    }
}
