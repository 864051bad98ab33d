//! Server, client, path and display of one case in virtual time. The production cores run
//! unchanged.

mod clocks;
mod path;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rand::{RngExt, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;
use truetick_netcode::client::prediction::Cause;
use truetick_netcode::client::runtime::{ClientEvent, ClientRuntime};
use truetick_netcode::link_sim::{LinkConfig, LinkSim};
use truetick_netcode::packet::PROTOCOL;
use truetick_netcode::session::UserId;
use truetick_netcode::session::config::SessionConfig;
use truetick_netcode::session::crypto::Key;
use truetick_netcode::session::token::Issuer;
use truetick_netcode::time::{Timestamp, UnixTime};
use truetick_netcode::transport::{PeerAddr, Transmit};
use truetick_server::game::Game;
use truetick_server::room::RoomConfig;
use truetick_server::server::Server;
use truetick_server::world_room::WorldRoom;

use super::case::Case;
use super::courses::{Course, Style};
use super::game::{FeelGame, INDEX, MOVER, PLAYER, Run, X, Y};
use super::trace::{Drawn, Executed, Frame, KeyChange, Trace};
use crate::token_source::TokenSource;

/// Start of a case on every clock. The client's clock may drift from there.
const START: Timestamp = Timestamp::from_millis(1_000_000);

/// UTC at the start.
const WALL: UnixTime = UnixTime::from_millis(1_767_225_600_000);

const SERVER: ([u8; 4], u16) = ([127, 0, 0, 1], 40_000);
const CLIENT: ([u8; 4], u16) = ([127, 0, 0, 1], 1_000);

/// Bytes after each datagram to the server that name the newest command in it. The cores never see
/// them.
const TAG_BYTES: usize = 2;

/// The simulation of one case.
pub struct World {
    case: Case,
    now: Timestamp,
    end: Timestamp,
    server: Server,
    client: ClientRuntime<FeelGame>,
    game: FeelGame,
    up: LinkSim,
    down: LinkSim,
    rng: Xoshiro256PlusPlus,
    direction: i8,
    key_changes_at: Timestamp,
    next_frame: Timestamp,
    event_began: bool,
    event_ended: bool,
    serial: u16,
    last_executed: u16,
    arrived: Vec<Timestamp>,
    given: Vec<Timestamp>,
    trace: Trace,
}

impl World {
    /// A world in which the client is about to join.
    pub fn new(case: &Case) -> Self {
        let seconds = case.seconds.ceil() as usize + 2;
        let course = |i| Course::new(Style::of(i), seconds, case.seed.wrapping_add(i as u64));
        let courses: Arc<Vec<Course>> = Arc::new((0..case.movers as usize).map(course).collect());
        let game = FeelGame::new(case.tick_rate, courses.clone());
        let registry = game.registry().expect("the schema is valid");
        let schema = Arc::new(registry.schema().clone());
        let (server, mut tokens) = start_server(case, &game);
        let token = tokens.issue(UserId(1), 0, WALL);
        let mut world = Self {
            client: ClientRuntime::new(game.clone(), schema, token, case.seed, START),
            case: case.clone(),
            now: START,
            end: START + Duration::from_secs_f64(case.seconds),
            server,
            game,
            up: LinkSim::new(LinkConfig::default(), case.seed.wrapping_mul(2)),
            down: LinkSim::new(LinkConfig::default(), case.seed.wrapping_mul(2) + 1),
            rng: Xoshiro256PlusPlus::seed_from_u64(case.seed ^ 0x5eed),
            direction: 1,
            key_changes_at: START,
            next_frame: START,
            event_began: false,
            event_ended: false,
            serial: 0,
            last_executed: 0,
            arrived: vec![Timestamp::default(); 1 << 16],
            given: vec![Timestamp::default(); 1 << 16],
            trace: Trace {
                courses,
                ..Trace::default()
            },
        };
        world.set_path(false, 0.0);
        world
    }

    /// Runs the case to its end.
    pub fn run(mut self) -> Trace {
        while self.now < self.end {
            let next = self.next_event();
            self.now = next.max(self.now);
            self.step();
        }
        let commands = self.server.rooms()[0].metrics().commands;
        self.trace.commands_missing = commands.missing;
        self.trace
    }

    fn next_event(&self) -> Timestamp {
        let mut next = self.next_frame.min(self.end).min(self.key_changes_at);
        if !self.server_stands() {
            next = next.min(self.server.next_deadline().unwrap_or(self.end));
            next = next.min(self.up.next_delivery().unwrap_or(self.end));
        }
        if !self.client_stands() {
            next = next.min(self.down.next_delivery().unwrap_or(self.end));
            let timer = if self.case.frame_bound {
                self.end
            } else {
                self.true_time(self.client.next_timeout())
            };
            next = next.min(timer);
        }
        let (begin, end) = (self.event_begin(), self.event_end());
        for (done, at) in [(self.event_began, begin), (self.event_ended, end)] {
            next = if done { next } else { next.min(at) };
        }
        // Two processes that wait for each other at one moment must not stop time.
        next.max(self.now + Duration::from_nanos(1))
    }

    fn step(&mut self) {
        self.change_path();
        self.deliver();
        if self.now >= self.key_changes_at {
            self.change_key();
        }
        self.run_server();
        if !self.client_stands() {
            if !self.case.frame_bound {
                self.run_client();
            }
            if self.now >= self.next_frame {
                self.run_client();
                self.draw();
            }
        }
        if self.now >= self.next_frame {
            self.next_frame = self.now + self.frame_length();
        }
    }

    /// Delivers what has arrived, with the time of its arrival, unless the receiver stands still.
    fn deliver(&mut self) {
        while !self.server_stands()
            && let Some(at) = self.up.next_delivery()
            && let Some(bytes) = self.up.pop(self.now)
        {
            self.deliver_up(&bytes, at);
        }
        while !self.client_stands()
            && let Some(at) = self.down.next_delivery()
            && let Some(bytes) = self.down.pop(self.now)
        {
            let at = self.client_time(at);
            self.client
                .receive(SocketAddr::from(SERVER), &bytes[..], at);
        }
    }

    fn change_key(&mut self) {
        self.direction = -self.direction;
        self.trace.keys.push(KeyChange {
            at: self.now,
            direction: self.direction,
        });
        self.key_changes_at =
            self.now + Duration::from_micros(self.rng.random_range(500_000..900_000));
    }

    fn deliver_up(&mut self, bytes: &[u8], at: Timestamp) {
        let (datagram, tag) = bytes.split_at(bytes.len() - TAG_BYTES);
        let newest = u16::from_le_bytes([tag[0], tag[1]]);
        // Each packet repeats what may be missing: all commands up to its newest have arrived now.
        let mut serial = newest;
        while serial != 0 && self.arrived[usize::from(serial)] == Timestamp::default() {
            self.arrived[usize::from(serial)] = at;
            serial -= 1;
        }
        self.server.receive(SocketAddr::from(CLIENT), datagram, at);
        let mut replies: Vec<(PeerAddr, Transmit)> = Vec::new();
        self.server.send_replies(&mut replies);
        self.send_down(replies);
    }

    fn send_down(&mut self, transmits: Vec<(PeerAddr, Transmit)>) {
        for (_, transmit) in transmits {
            self.down.push(&transmit.into_bytes(), self.now);
        }
    }

    fn run_server(&mut self) {
        if self.server_stands() || self.server.next_deadline().is_none_or(|at| at > self.now) {
            return;
        }
        let (now, mut sent) = (self.now, Vec::new());
        self.server.set_wall_clock(
            now,
            UnixTime::from_millis(WALL.as_millis() + now.since(START).as_millis() as u64),
        );
        self.server.tick(&mut || now, &mut sent);
        self.send_down(sent);
        for entry in self.game.take_log() {
            let new = entry.serial.filter(|serial| *serial > self.last_executed);
            self.last_executed = new.unwrap_or(self.last_executed);
            let margin =
                new.map(|serial| now.micros_from(self.arrived[usize::from(serial)]) as f64 / 1e3);
            let given = new.map(|serial| self.given[usize::from(serial)]);
            self.trace.executed.push(Executed {
                at: now,
                tick: entry.tick,
                margin_ms: margin,
                given,
            });
        }
    }

    fn run_client(&mut self) {
        let at = self.client_time(self.now);
        while let Some(tick) = self.client.poll_tick(at) {
            self.serial = self.serial.wrapping_add(1);
            self.given[usize::from(self.serial)] = self.now;
            self.client.submit(
                tick,
                Run {
                    direction: self.direction,
                    serial: self.serial,
                },
                at,
            );
            self.send_up();
        }
        self.send_up();
        while let Some(event) = self.client.poll_event() {
            if let ClientEvent::Mispredicted(wrong) = event {
                self.trace.mispredicted += 1;
                self.trace.unexplained += u64::from(wrong.cause == Cause::Unexplained);
            }
        }
    }

    fn send_up(&mut self) {
        while let Some((_, transmit)) = self.client.poll_transmit() {
            let mut bytes = transmit.into_bytes();
            bytes.extend_from_slice(&self.serial.to_le_bytes());
            self.up.push(&bytes, self.now);
        }
    }

    fn draw(&mut self) {
        let at = self.client_time(self.now);
        let slots: Vec<u16> = self.client.slots().collect();
        let shown = self
            .client
            .interpolation()
            .and_then(|interpolation| interpolation.clock().shown_tick());
        let mut frame = Frame {
            at: self.now,
            shown_tick: shown,
            player: None,
            movers: Vec::new(),
        };
        for slot in slots {
            let Some((_, kind, values)) = self.client.view(slot, at) else {
                continue;
            };
            let position = glam::DVec2::new(f64::from(values[X]), f64::from(values[Y]));
            match kind {
                PLAYER => frame.player = Some(position),
                MOVER => frame.movers.push(Drawn {
                    index: values[INDEX] as usize,
                    position,
                }),
                _ => {}
            }
        }
        self.trace.frames.push(frame);
    }
}

/// A server with one room, and the source of its tokens.
fn start_server(case: &Case, game: &FeelGame) -> (Server, TokenSource) {
    let (key, servers) = (Key::new([1; 32]), vec![SocketAddr::from(SERVER)]);
    let sessions = SessionConfig::new(PROTOCOL, key.clone(), servers.clone());
    let (lifetime, timeout) = (Duration::from_secs(30), Duration::from_secs(120));
    let issuer = Issuer {
        key,
        protocol: PROTOCOL,
        servers,
        lifetime,
        timeout,
    };
    let mut server = Server::new(sessions, [3; 32], START, WALL);
    let room = RoomConfig {
        tick_rate: case.tick_rate,
        snapshot_bytes: case.budget as usize,
        relevance_radius_m: None,
        seed: case.seed,
        ..RoomConfig::default()
    };
    server.add_room(Box::new(
        WorldRoom::new(game.clone(), room, START).expect("the schema is valid"),
    ));
    (server, TokenSource::new(issuer, [2; 32]))
}
