//! A server with one arena full of clients, without a network: the cost of its ticks.

use std::net::SocketAddr;
use std::time::Duration;

use rand::{RngExt, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;
use truetick_arena::{ArenaCommand, arena_schema};
use truetick_client_sim::token_source::TokenSource;
use truetick_netcode::bits::BitWriter;
use truetick_netcode::command::write_commands;
use truetick_netcode::connection::{Connection, Messages};
use truetick_netcode::messages::{
    Body, ClientMessage, SESSION_STREAM, ServerMessage, decode, encode,
};
use truetick_netcode::packet::PROTOCOL;
use truetick_netcode::session::UserId;
use truetick_netcode::session::client::{Received, SessionClient};
use truetick_netcode::session::config::SessionConfig;
use truetick_netcode::session::crypto::Key;
use truetick_netcode::session::rate::Rate;
use truetick_netcode::session::token::ConnectToken;
use truetick_netcode::tick::Tick;
use truetick_netcode::time::Timestamp;
use truetick_server::arena::{ArenaConfig, ArenaGame};
use truetick_server::room::RoomConfig;
use truetick_server::server::Server;
use truetick_server::world_room::WorldRoom;
use truetick_transport::clock;

use crate::{Kept, SERVER, WALL, issuer};

/// A client that only opens its session, acknowledges and sends commands.
struct Sink {
    address: SocketAddr,
    session: SessionClient,
    connection: Connection,
    ticket: Option<ConnectToken>,
}

/// Difference between the ports of a client before and after it changed its address.
const FIRST_MOVED: usize = 20_000;

/// A server with one arena, and clients that only open their sessions, acknowledge and send a
/// command per tick. It measures the server's cost of a tick without system calls.
pub struct FullRoom {
    server: Server,
    load_clients: Vec<Sink>,
    tokens: TokenSource,
    kept: Kept,
    rng: Xoshiro256PlusPlus,
    writer: BitWriter,
}

impl FullRoom {
    /// Creates a room with clients and drones. `radius_m` is the interest radius in metres; `None`
    /// for everything.
    pub fn new(clients: u16, drones: u32, radius_m: Option<f32>) -> Self {
        let now = Timestamp::from_millis(1_000);
        let many = usize::from(clients);
        let key = Key::new([1; 32]);
        let joins = Rate {
            per_second: 10_000,
            burst: 10_000,
        };
        let sessions = SessionConfig {
            sessions: many + 64,
            per_address: many + 64,
            joins,
            ..SessionConfig::new(PROTOCOL, key.clone(), vec![SERVER.into()])
        };
        let mut server = Server::new(sessions, [1; 32], now, WALL);
        let game = ArenaGame::new(ArenaConfig {
            drones,
            ..ArenaConfig::default()
        })
        .expect("a valid schema");
        let config = RoomConfig {
            max_clients: many + 64,
            relevance_radius_m: radius_m,
            snapshot_bytes: 8_000,
            ..RoomConfig::default()
        };
        server.add_room(Box::new(
            WorldRoom::new(game, config, now).expect("a valid schema"),
        ));
        let mut room = Self {
            server,
            load_clients: Vec::new(),
            tokens: TokenSource::new(issuer(key, Duration::from_secs(10)), [2; 32]),
            kept: Kept::default(),
            rng: Xoshiro256PlusPlus::seed_from_u64(1),
            writer: BitWriter::new(),
        };
        (0..clients).for_each(|i| room.join(i, now));
        for _ in 0..30 {
            room.tick();
        }
        room
    }

    fn join(&mut self, i: u16, now: Timestamp) {
        let address = SocketAddr::from(([127, 0, 0, 1], 1_000 + i));
        let token = self.tokens.issue(UserId(u64::from(i)), 0, WALL);
        let mut session = SessionClient::new(token, PROTOCOL, u64::from(i), now);
        for _ in 0..2 {
            let bytes = session.poll(now).expect("a step is due");
            self.server.receive(address, &bytes, now);
            self.server.send_replies(&mut self.kept);
            let (_, answer) = self.kept.datagrams.pop().expect("an answer");
            session
                .receive(SocketAddr::from(SERVER), &answer, now)
                .expect("a good answer");
        }
        assert!(session.is_connected());
        let mut connection = Connection::new(u64::from(i), now);
        let schema = arena_schema().expect("a valid schema").schema.hash();
        connection
            .send(SESSION_STREAM, encode(&ClientMessage::Hello { schema }))
            .expect("room for one message");
        connection.begin(&mut self.writer, now, Messages::BesideState);
        self.writer.write(Body::Empty as u32, Body::BITS);
        connection.finish(&mut self.writer, now);
        self.server
            .receive(address, &session.seal(self.writer.bytes(), now), now);
        self.load_clients.push(Sink {
            address,
            session,
            connection,
            ticket: None,
        });
    }

    /// Receives a command of each client, then runs one tick with all its snapshots. Returns the
    /// number of bytes sent.
    pub fn tick(&mut self) -> u64 {
        let now = self.server.next_deadline().expect("a room");
        let tick = self.server.rooms()[0].timeline().next();
        self.acknowledge(now);
        self.send_commands(tick, now);
        let before = self.kept.bytes;
        self.server.tick(&mut || now, &mut self.kept);
        self.kept.bytes - before
    }

    fn acknowledge(&mut self, now: Timestamp) {
        for (to, bytes) in self.kept.datagrams.drain(..) {
            let at = usize::from(to.port().wrapping_sub(1_000)) % FIRST_MOVED;
            let Some(sink) = self
                .load_clients
                .get_mut(at)
                .filter(|sink| sink.address == to)
            else {
                continue;
            };
            let Sink {
                session,
                connection,
                ticket,
                ..
            } = sink;
            let Ok(Received::Payload(payload)) =
                session.receive(SocketAddr::from(SERVER), &bytes, now)
            else {
                continue;
            };
            if let Ok((sequence, _)) = connection.open(payload, now) {
                connection.accept(sequence);
            }
            while let Some((_, message)) = connection.receive() {
                if let Ok(ServerMessage::Ticket { token }) = decode(&message) {
                    *ticket = ConnectToken::from_bytes(&token).ok();
                }
            }
            while connection.poll_acked().is_some() {}
        }
    }

    fn send_commands(&mut self, tick: Tick, now: Timestamp) {
        for Sink {
            address,
            session,
            connection,
            ..
        } in &mut self.load_clients
        {
            let command = ArenaCommand {
                thrust: [
                    self.rng.random_range(-127..=127),
                    self.rng.random_range(-127..=127),
                ],
                aim: self.rng.random_range(0..4_096),
                dash: false,
                fire: self.rng.random_bool(0.1),
            };
            connection.begin(&mut self.writer, now, Messages::BesideState);
            self.writer.write(Body::Commands as u32, Body::BITS);
            write_commands(&mut self.writer, tick, [command].iter());
            connection.finish(&mut self.writer, now);
            self.server
                .receive(*address, &session.seal(self.writer.bytes(), now), now);
        }
    }

    /// Changes the addresses of all clients at once and resumes all sessions. Returns the server's
    /// processor time in milliseconds for all requests, all responses, and the next tick.
    pub fn resume_all(&mut self) -> [f64; 3] {
        let now = self.server.next_deadline().expect("a room") - Duration::from_millis(5);
        for sink in &mut self.load_clients {
            let ticket = sink.ticket.take().expect("a ticket came");
            sink.address
                .set_port(sink.address.port() + FIRST_MOVED as u16);
            sink.session = SessionClient::new(ticket, PROTOCOL, 1, now);
        }
        self.kept.datagrams.clear();
        let mut took = [0.0; 3];
        for step in &mut took[..2] {
            let due = self
                .load_clients
                .iter_mut()
                .map(|sink| (sink.address, sink.session.poll(now).expect("a step")));
            let due: Vec<_> = due.collect();
            let began = clock::thread_cpu();
            for (from, bytes) in &due {
                self.server.receive(*from, bytes, now);
                self.server.send_replies(&mut self.kept);
            }
            *step = (clock::thread_cpu() - began).as_secs_f64() * 1e3;
            let answers = std::mem::take(&mut self.kept.datagrams);
            for (to, bytes) in answers {
                let at = usize::from(to.port() - 1_000) % FIRST_MOVED;
                let sink = &mut self.load_clients[at];
                let taken = sink.session.receive(SocketAddr::from(SERVER), &bytes, now);
                assert!(sink.address != to || taken.is_ok(), "{taken:?}");
            }
        }
        assert!(
            self.load_clients
                .iter()
                .all(|sink| sink.session.is_connected())
        );
        let began = clock::thread_cpu();
        let now = self.server.next_deadline().expect("a room");
        self.server.tick(&mut || now, &mut self.kept);
        took[2] = (clock::thread_cpu() - began).as_secs_f64() * 1e3;
        took
    }

    /// Returns the server, to change it between ticks.
    pub fn server_mut(&mut self) -> &mut Server {
        &mut self.server
    }

    /// Creates a genuine token for a user.
    pub fn token(&mut self, user: u64) -> ConnectToken {
        self.tokens.issue(UserId(user), 0, WALL)
    }

    /// Returns the datagrams of the last tick.
    pub fn sent(&self) -> &[(SocketAddr, Vec<u8>)] {
        &self.kept.datagrams
    }

    /// Returns the number of the server's sessions.
    pub fn clients(&self) -> usize {
        self.server.sessions()
    }
}
