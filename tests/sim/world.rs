//! The whole system in one thread under virtual time: server, bots and network, from one seed.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rand::{RngExt, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;
use truetick_arena::{ArenaSchema, arena_schema};
use truetick_client_sim::token_source::TokenSource;
use truetick_netcode::link_sim::LinkConfig;
use truetick_netcode::session::token::{ConnectToken, Purpose};
use truetick_netcode::session::{Role, UserId};
use truetick_netcode::time::Timestamp;
use truetick_server::arena::ArenaGame;
use truetick_server::server::Server;
use truetick_server::world_access::WorldAccess;

use crate::check::Checks;
use crate::client_process::{ClientConfig, ClientProcess};
use crate::event_queue::EventQueue;
use crate::fault::{Scheduled, Step};
use crate::mark::Marks;
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
    /// The server's process with its clock and disk.
    pub server: ServerProcess,
    /// The processes of the bots, by index of the client.
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
        let config = ClientConfig {
            token,
            role,
            seed,
            start: clock.at(start),
            clock,
            path,
            socket_bytes: self.socket_bytes,
        };
        self.clients.push(ClientProcess::new(&self.kinds, config));
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
    pub(crate) fn run_until_broken(&mut self, span: Duration) {
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
}

fn random_clock(rng: &mut Xoshiro256PlusPlus, drift_ppm: i32, now: Timestamp) -> VirtualClock {
    let shown = Timestamp::from_micros(rng.random_range(0..1_000_000_000_000));
    let mut clock = VirtualClock::new(now, shown, WALL_MS as i64);
    if drift_ppm > 0 {
        clock.set_drift_ppm(now, rng.random_range(-drift_ppm..=drift_ppm));
    }
    clock
}
