//! The whole system in one thread under virtual time: server, bots and network, from one seed.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rand::{RngExt, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;
use truetick_client_sim::token_source::TokenSource;
use truetick_netcode::client::runtime::ClientEvent;
use truetick_netcode::disconnect::DisconnectReason;
use truetick_netcode::link_sim::LinkConfig;
use truetick_netcode::session::server::Resume;
use truetick_netcode::session::token::{ConnectToken, Purpose};
use truetick_netcode::session::{ClientId, Role, UserId};
use truetick_netcode::time::Timestamp;
use truetick_netcode::transport::{PeerAddr, Transport};
use truetick_server::arena::ArenaGame;
use truetick_server::server::Server;
use truetick_server::session_event::SessionEvent;
use truetick_server::world_access::WorldAccess;
use truetick_shared::arena::{ArenaSchema, arena_schema};

use crate::check::Checks;
use crate::check::lateness::Ran;
use crate::client_process::ClientProcess;
use crate::event_queue::EventQueue;
use crate::fault::{Scheduled, Step};
use crate::mark::{Mark, Marks};
use crate::network::{Network, Way};
use crate::plan::{Plan, SimConfig};
use crate::server_process::ServerProcess;
use crate::server_process::world_of;
use crate::tokens::{WALL_MS, tokens_with};
use crate::virtual_clock::VirtualClock;

/// A future event of the simulation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// A datagram arrives on a path.
    Arrival(usize, Way),
    /// The server wakes up.
    ServerWakes,
    /// A client wakes up.
    ClientWakes(usize),
    /// A fault of the plan begins.
    FaultBegins(usize),
    /// A fault of the plan ends.
    FaultEnds(usize),
    /// All faults end.
    Heal,
}

/// An outage of a client's path from the end of a handshake step on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Outage {
    pub(crate) after: Step,
    pub(crate) begun: bool,
}

/// A function that receives each noteworthy event, for people who inspect one run.
pub type Trace = Box<dyn FnMut(Timestamp, &str)>;

/// The simulated system: server, bots, network and checks.
pub struct Sim {
    /// Virtual time, the true time that no process sees.
    pub now: Timestamp,
    /// The server.
    pub server: ServerProcess,
    /// The bots.
    pub clients: Vec<ClientProcess>,
    /// The marks of the run so far.
    pub marks: Marks,
    /// Hash of the world after each tick.
    pub hashes: Vec<u64>,
    pub(crate) kinds: Arc<ArenaSchema>,
    /// The game, which knows the positions of entities.
    pub(crate) game: ArenaGame,
    pub(crate) network: Network,
    pub(crate) checks: Checks,
    pub(crate) events: EventQueue<Event>,
    pub(crate) start: Timestamp,
    /// Properties of the paths of clients added later.
    pub(crate) link: LinkConfig,
    drift_ppm: i32,
    socket_bytes: usize,
    pub(crate) faults: Vec<Scheduled>,
    /// Outages by client.
    pub(crate) outages: BTreeMap<usize, Outage>,
    rng: Xoshiro256PlusPlus,
    trace: Option<Trace>,
    /// Datagrams delivered in the last run.
    pub(crate) recent: Vec<(SocketAddr, SocketAddr, Vec<u8>)>,
    tokens: TokenSource,
}

/// Number of events at one moment that indicates an endless loop.
const EVENTS_AT_ONCE: u32 = 100_000;

/// Number of delivered datagrams kept of a run.
pub(crate) const RECENT: usize = 32;

/// Transport that puts the server's datagrams into the network.
struct Wire<'a> {
    network: &'a mut Network,
    events: &'a mut EventQueue<Event>,
    marks: &'a mut Marks,
    now: Timestamp,
}

impl Transport for Wire<'_> {
    fn send(&mut self, to: PeerAddr, bytes: &[u8]) {
        if let Some(path) = self.network.path_of(to.address) {
            self.network.send(
                (path, Way::Down),
                bytes,
                self.now,
                (self.events, self.marks),
            );
        }
    }

    fn flush(&mut self) {}
}

impl Sim {
    /// Creates a run at its start, without faults.
    pub fn new(config: SimConfig) -> Self {
        Self::of(&Plan::quiet(config), None)
    }

    /// Creates a run of a plan at its start. `trace` receives its noteworthy events.
    pub fn of(plan: &Plan, trace: Option<Trace>) -> Self {
        let config = plan.config;
        let now = Timestamp::from_millis(1_000);
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(!config.seed);
        let clock = random_clock(&mut rng, config.drift_ppm, now);
        let mut sim = Self {
            now,
            server: ServerProcess::new(config, clock, now),
            clients: Vec::new(),
            marks: Marks::default(),
            hashes: Vec::new(),
            kinds: Arc::new(arena_schema().expect("the arena's schema is valid")),
            game: ArenaGame::new(config.arena).expect("the arena's schema is valid"),
            network: Network::new(config.seed),
            checks: Checks::new(&config),
            events: EventQueue::default(),
            start: now,
            link: config.link,
            drift_ppm: config.drift_ppm,
            socket_bytes: config.socket_bytes,
            faults: plan.faults.clone(),
            outages: BTreeMap::new(),
            rng,
            trace,
            recent: Vec::new(),
            tokens: tokens_with(config.seed, config.timeout),
        };
        for i in 0..config.clients {
            let seed = config.seed.wrapping_mul(1_000).wrapping_add(u64::from(i));
            let watches = i + config.spectators >= config.clients;
            let role = if watches {
                Role::Spectator
            } else {
                Role::Player
            };
            sim.add(role, seed, now + Duration::from_millis(u64::from(i) * 7));
        }
        for (i, scheduled) in plan.faults.iter().enumerate() {
            sim.events.push(now + scheduled.at, Event::FaultBegins(i));
        }
        if !plan.trouble.is_zero() {
            sim.events.push(now + plan.trouble, Event::Heal);
        }
        sim.schedule_server();
        sim
    }

    /// Adds a bot that joins at `start`.
    pub fn add_client(&mut self, seed: u64, start: Timestamp) {
        self.add(Role::Player, seed, start);
    }

    fn add(&mut self, role: Role, seed: u64, start: Timestamp) {
        let client = self.clients.len();
        let path = self.network.add_path(client, [self.link; 2]);
        let clock = random_clock(&mut self.rng, self.drift_ppm, self.now);
        let purpose = Purpose {
            role,
            ..Purpose::default()
        };
        let token = self
            .tokens
            .issue_for(UserId(seed), purpose, self.server.wall(start));
        self.clients.push(ClientProcess::new(
            &self.kinds,
            (token, role),
            seed,
            clock.at(start),
            clock,
            (path, self.socket_bytes),
        ));
        self.schedule_client(client);
    }

    /// A new token for a client, from an issuer with the server's wall clock.
    pub(crate) fn token(&mut self, client: usize) -> ConnectToken {
        let (user, purpose) = (self.clients[client].user(), self.clients[client].purpose());
        self.tokens
            .issue_for(user, purpose, self.server.wall(self.now))
    }

    /// Returns the server.
    ///
    /// # Panics
    ///
    /// If the server is down.
    pub fn core(&self) -> &Server {
        self.server.core().expect("the server is up")
    }

    /// Returns the server, mutable.
    ///
    /// # Panics
    ///
    /// If the server is down.
    pub fn core_mut(&mut self) -> &mut Server {
        self.server.core_mut().expect("the server is up")
    }

    /// Returns the only room of the server.
    ///
    /// # Panics
    ///
    /// If the server is down.
    pub fn room(&self) -> &dyn WorldAccess {
        world_of(self.core())
    }

    /// Returns a client's current address.
    pub fn address(&self, client: usize) -> SocketAddr {
        self.network.address(self.clients[client].path)
    }

    /// Returns the violations of invariants so far.
    pub fn violations(&self) -> &[String] {
        self.checks.violations()
    }

    /// Runs for a span of virtual time.
    ///
    /// # Panics
    ///
    /// If an invariant breaks.
    pub fn run(&mut self, span: Duration) {
        self.run_until_broken(span);
        assert!(self.violations().is_empty(), "{:#?}", self.violations());
    }

    /// Runs for a span of virtual time, or until an invariant breaks.
    pub fn run_until_broken(&mut self, span: Duration) {
        let end = self.now + span;
        self.recent.clear();
        let mut at_once = 0;
        while let Some((at, event)) = self.events.pop(end) {
            at_once = if at == self.now { at_once + 1 } else { 0 };
            self.now = at;
            self.handle(event);
            if at_once == EVENTS_AT_ONCE {
                self.checks.broken(vec![format!(
                    "time stands still: {event:?} again and again"
                )]);
            }
            if !self.checks.violations().is_empty() {
                return;
            }
        }
        self.now = end;
    }

    fn handle(&mut self, event: Event) {
        match event {
            Event::Arrival(path, way) => self.deliver(path, way),
            Event::ServerWakes if self.server.process.is_woken(self.now) => self.run_server(),
            Event::ClientWakes(client) if self.clients[client].process.is_woken(self.now) => {
                self.run_client(client);
            }
            Event::ServerWakes | Event::ClientWakes(_) => {}
            Event::FaultBegins(at) => self.begin_fault(at),
            Event::FaultEnds(at) => self.end_fault(at),
            Event::Heal => {
                self.tell("healed");
                self.heal();
            }
        }
    }

    pub(crate) fn tell(&mut self, what: &str) {
        if let Some(trace) = &mut self.trace {
            trace(
                Timestamp::from_nanos(self.now.as_nanos() - self.start.as_nanos()),
                what,
            );
        }
    }

    /// Runs after the server handled a datagram: sends handshake answers and records session
    /// events.
    pub(crate) fn after_server(&mut self) {
        let now = self.server.process.sends_at(self.now);
        let Some(core) = self.server.core_mut() else {
            return;
        };
        let (network, events, marks) = (&mut self.network, &mut self.events, &mut self.marks);
        core.send_replies(&mut Wire {
            network,
            events,
            marks,
            now,
        });
        let mut told = Vec::new();
        while let Some(event) = core.poll_event() {
            told.push(event);
        }
        for event in told {
            match event {
                SessionEvent::Parked(_) => self.marks.hit(Mark::TimedOut),
                SessionEvent::Resumed {
                    resume: Resume::Continued,
                    ..
                } => self.marks.hit(Mark::Resumed),
                SessionEvent::Resumed {
                    resume: Resume::Restarted,
                    ..
                } => self.marks.hit(Mark::TakenOver),
                SessionEvent::Ended(_, DisconnectReason::TimedOut) => {
                    self.marks.hit(Mark::GraceOver)
                }
                _ => {}
            }
            let shown = self.server.process.clock.at(self.now);
            self.checks
                .session_changed(&event, self.server.core(), &self.network, shown);
            self.tell(&format!("server: {event:?}"));
        }
    }

    fn run_server(&mut self) {
        let (held, wrong) = self.server.process.take_held(self.now);
        self.check_stamps("the server", wrong);
        for (path, bytes, at) in held {
            self.server_takes(path, &bytes, at);
        }
        self.after_server();
        let shown = self.server.process.clock.at(self.now);
        let wall = self.server.wall(self.now);
        self.server.lose_processor(self.now);
        let now = self.server.process.sends_at(self.now);
        let snapshots_before = self.snapshots();
        let Some(core) = self.server.core_mut() else {
            return;
        };
        core.set_wall_clock(shown, wall);
        let before = world_of(core).timeline().next();
        let (network, events, marks) = (&mut self.network, &mut self.events, &mut self.marks);
        core.tick(
            &mut || shown,
            &mut Wire {
                network,
                events,
                marks,
                now,
            },
        );
        let ticks = world_of(core).timeline().next().distance(before);
        self.after_server();
        if ticks > 0 {
            let is_late = self.server.note_ticks(ticks as u32, &mut self.marks);
            let (before, after) = (snapshots_before, self.snapshots());
            self.checks.server_ran(
                &Ran {
                    ticks: ticks as u32,
                    is_late,
                    before,
                    after,
                },
                shown,
            );
            self.server.keep_recording(&mut self.marks);
            self.hashes.push(self.room().world_hash());
            self.check();
        }
        self.schedule_server();
    }

    /// Number of snapshots that the server made so far for each of its clients.
    fn snapshots(&self) -> Vec<(ClientId, u64)> {
        let Some(core) = self.server.core() else {
            return Vec::new();
        };
        let ids = (0..self.clients.len()).filter_map(|at| Some(core.session(self.address(at))?.0));
        ids.filter_map(|id| Some((id, world_of(core).view(id)?.stats().ticks)))
            .collect()
    }

    /// The receive time of a waiting datagram lies between two reads, even if the wall clock was
    /// set meanwhile.
    fn check_stamps(&mut self, whose: &str, wrong: usize) {
        if wrong > 0 {
            self.checks.broken(vec![format!(
                "{wrong} datagrams came to {whose} at a time that cannot be"
            )]);
        }
    }

    fn check(&mut self) {
        self.checks.broken(self.network.numbers.take_wrong());
        let Some(core) = self.server.core() else {
            return;
        };
        let before = self.checks.violations().len();
        let shown = self.server.process.clock.at(self.now);
        self.checks.after_tick(
            (core, &self.kinds.schema, shown),
            &self.clients,
            &self.network,
            &mut self.marks,
        );
        let broken: Vec<String> = self.checks.violations()[before..].to_vec();
        broken
            .iter()
            .for_each(|violation| self.tell(&format!("BROKEN {violation}")));
    }

    pub(crate) fn schedule_server(&mut self) {
        if let Some(at) = self.server.core().and_then(Server::next_deadline) {
            self.server
                .process
                .wake(at, self.now, Event::ServerWakes, &mut self.events);
        }
    }

    fn run_client(&mut self, at: usize) {
        if !self.clients[at].is_up() {
            return;
        }
        let (held, wrong) = self.clients[at].process.take_held(self.now);
        self.check_stamps("a client", wrong);
        for (_, bytes, arrived) in held {
            self.client_takes(at, &bytes, arrived);
        }
        let client = &mut self.clients[at];
        let shown = client.process.clock.at(self.now);
        if client.wants_to_rejoin(shown) {
            let token = self.token(at);
            self.clients[at].restart(&self.kinds, token, self.now);
            self.marks.hit(Mark::ClientCameBack);
            self.tell(&format!("client {at}: joins again"));
        }
        let client = &mut self.clients[at];
        client.bot.advance(shown);
        if let Some(frame) = client.draw(shown) {
            self.checks.shown((at, client.life), frame, &mut self.marks);
        }
        self.after_client(at);
    }

    /// Sends a client's datagrams and records its events after it ran.
    pub(crate) fn after_client(&mut self, at: usize) {
        let client = &mut self.clients[at];
        while let Some((_, bytes)) = client.bot.poll_transmit() {
            let to = (&mut self.events, &mut self.marks);
            self.network
                .send((client.path, Way::Up), &bytes.into_bytes(), self.now, to);
        }
        while let Some(event) = self.clients[at].bot.poll_event() {
            self.note_client_event(at, event);
        }
        self.schedule_client(at);
    }

    /// Stops the server: it sends disconnect notices to its clients, and its process ends.
    pub(crate) fn stop_server(&mut self) {
        let (now, shown) = (self.now, self.server.process.clock.at(self.now));
        let (network, events, marks) = (&mut self.network, &mut self.events, &mut self.marks);
        if let Some(core) = self.server.core_mut() {
            core.stop(
                shown,
                &mut Wire {
                    network,
                    events,
                    marks,
                    now,
                },
            );
        }
    }

    fn note_client_event(&mut self, at: usize, event: ClientEvent) {
        let client = &mut self.clients[at];
        match event {
            ClientEvent::Mispredicted(wrong) => {
                client.note_wrong(wrong, &mut self.marks);
                let said = format!(
                    "client {at}: predicted slot {} wrong: {:?}",
                    wrong.slot, wrong.cause
                );
                self.checks
                    .mispredicted(at, &self.clients[at], self.server.core(), &self.network);
                self.tell(&said);
            }
            ClientEvent::Game(tick, data) => {
                if !self.checks.told(at, client, (tick, &data), &mut self.marks) {
                    client.events.push((tick, data));
                }
            }
            ClientEvent::Latency(_) => {}
        }
    }

    pub(crate) fn schedule_client(&mut self, at: usize) {
        let client = &mut self.clients[at];
        if client.is_up() {
            let shown = client.process.clock.at(self.now);
            let next = client.next_timeout(shown);
            client
                .process
                .wake(next, self.now, Event::ClientWakes(at), &mut self.events);
        }
    }
}

fn random_clock(rng: &mut Xoshiro256PlusPlus, drift_ppm: i32, now: Timestamp) -> VirtualClock {
    let shown = Timestamp::from_micros(rng.random_range(0..1_000_000_000_000));
    let mut clock = VirtualClock::new(now, shown, WALL_MS as i64);
    if drift_ppm > 0 {
        clock.set_drift_ppm(now, rng.random_range(-drift_ppm..=drift_ppm));
    }
    clock
}
