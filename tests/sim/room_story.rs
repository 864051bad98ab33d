//! A server with two rooms and clients in both: the story of a room that fails beside another.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use truetick_netcode::client::runtime::ClientRuntime;
use truetick_netcode::client::state::{ClientState, End};
use truetick_netcode::disconnect::DisconnectReason;
use truetick_netcode::time::Timestamp;
use truetick_server::drain::Drain;
use truetick_server::game::Game;
use truetick_server::room::{Room, RoomConfig};
use truetick_server::server::Server;
use truetick_server::session_event::SessionEvent;
use truetick_server::world_room::WorldRoom;

use crate::capture_transport::CaptureTransport;
use crate::second_game::{Push, Race};
use crate::tokens::{SERVER, server, token};

/// Time at which every story begins.
pub const START: Timestamp = Timestamp::from_millis(1_000);

/// A server and its clients, each at an address of its own.
pub struct Story {
    /// The server with its rooms.
    pub server: Server,
    /// The clients; room 0 has the first.
    pub clients: Vec<ClientRuntime<Race>>,
    /// Session events of the server so far.
    pub events: Vec<SessionEvent>,
    /// Current virtual time.
    pub now: Timestamp,
}

impl Story {
    /// Creates a server with two rooms and a client in each: room 0 is a race without defects,
    /// room 1 is `other`.
    pub fn new(other: Box<dyn Room>) -> Self {
        let mut server = server(START);
        let config = RoomConfig {
            tick_rate: 20,
            ..RoomConfig::default()
        };
        server.add_room(Box::new(WorldRoom::new(Race, config, START).unwrap()));
        server.add_room(other);
        let clients = vec![client(0, 10, START), client(1, 11, START)];
        Self {
            server,
            clients,
            events: Vec::new(),
            now: START,
        }
    }

    /// Adds a client that joins a room; returns its index.
    pub fn join(&mut self, room: u16) -> usize {
        self.clients
            .push(client(room, 10 + self.clients.len() as u64, self.now));
        self.clients.len() - 1
    }

    /// Runs server and clients for a time in milliseconds.
    pub fn run(&mut self, ms: u64) {
        for _ in 0..ms {
            self.now += Duration::from_millis(1);
            let (now, mut capture_transport) = (self.now, CaptureTransport::default());
            self.server.send_replies(&mut capture_transport);
            self.server.awaits_news();
            self.server
                .flush_pending(&mut || now, &mut capture_transport);
            if self
                .server
                .next_deadline()
                .is_some_and(|deadline| deadline <= now)
            {
                self.server.tick(&mut || now, &mut capture_transport);
            }
            for (to, bytes) in capture_transport.0 {
                self.clients[usize::from(to.port()) - 100].receive(
                    SocketAddr::from(SERVER),
                    &bytes,
                    now,
                );
            }
            for (place, client) in self.clients.iter_mut().enumerate() {
                while let Some(tick) = client.poll_tick(now) {
                    client.submit(tick, Push(1), now);
                }
                let from = SocketAddr::from(([127, 0, 0, 1], 100 + place as u16));
                while let Some((_, bytes)) = client.poll_transmit() {
                    self.server.receive(from, &bytes, now);
                }
            }
            self.events
                .extend(std::iter::from_fn(|| self.server.poll_event()));
        }
    }

    /// The reason that the server gave a client for the end of its session.
    pub fn told(&self, client: usize) -> Option<DisconnectReason> {
        match self.clients[client].state() {
            ClientState::Ended(End::Disconnected(reason)) => Some(reason),
            _ => None,
        }
    }

    /// Asserts that room 1 has ended with this panic, and nothing else has.
    pub fn ended(&mut self, description: &str) {
        let failed = self.server.failed_rooms();
        assert!(
            matches!(&failed[..], [(1, cause)] if cause.contains(description)),
            "{description}: {failed:?}"
        );
        let events = self
            .events
            .iter()
            .filter(|event| matches!(event, SessionEvent::RoomEnded { .. }));
        assert_eq!(events.count(), 1, "{description}");
        let before = self.clients[0].stats().snapshots;
        let newcomer = self.join(1);
        self.run(1_000);
        assert_eq!(
            self.told(newcomer),
            Some(DisconnectReason::RoomFailed),
            "{description}"
        );
        assert_eq!(
            self.clients[0].state(),
            ClientState::Playing,
            "{description}"
        );
        assert!(
            self.clients[0].stats().snapshots >= before + 19,
            "{description}"
        );
        assert_eq!(self.server.sessions(), 1, "{description}");
        let drain = Drain::new(
            1,
            Duration::from_millis(200),
            Duration::from_secs(2),
            self.now,
        );
        self.server.drain(drain);
        self.run(2_100);
        assert!(
            self.server.is_drained(self.now) && !self.server.has_failed(),
            "{description}"
        );
        self.server.stop(self.now, &mut CaptureTransport::default());
    }
}

/// Creates a client of a race in a room, whose user follows from the seed.
pub fn client(room: u16, seed: u64, now: Timestamp) -> ClientRuntime<Race> {
    let schema = Race.registry().unwrap().schema().clone();
    ClientRuntime::new(Race, Arc::new(schema), token(seed, room, now), seed, now)
}
