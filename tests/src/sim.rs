//! One thread, virtual time: the same seed gives the same world and the same bytes.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use truetick_client_sim::bot_client::BotClient;
use truetick_netcode::client::prediction::Misprediction;
use truetick_netcode::client::runtime::{ClientEvent, ClientState, ClientStats};
use truetick_netcode::client::snapshot_buffer::Remote;
use truetick_netcode::link_sim::LinkConfig;
use truetick_netcode::replication::{NetId, delta};
use truetick_netcode::schema::Audience;
use truetick_netcode::tick::Tick;
use truetick_netcode::time::Timestamp;
use truetick_netcode::transport::DatagramSink;
use truetick_netcode::transport::memory::MemoryNetwork;
use truetick_server::arena::{ArenaConfig, ArenaGame};
use truetick_server::core::room::{AnyRoom, Room, RoomConfig};
use truetick_server::core::server::Server;
use truetick_shared::arena::{ArenaSchema, arena_schema};
use xxhash_rust::xxh3::Xxh3;

/// What a run is made of.
#[derive(Clone, Copy, Debug)]
pub struct SimConfig {
    /// Everything random follows from it.
    pub seed: u64,
    /// Bots.
    pub clients: u16,
    /// The arena.
    pub arena: ArenaConfig,
    /// The room.
    pub room: RoomConfig,
    /// Every path at the start.
    pub link: LinkConfig,
}

impl Default for SimConfig {
    fn default() -> Self {
        Self {
            seed: 1,
            clients: 8,
            arena: ArenaConfig { drones: 12, ..ArenaConfig::default() },
            room: RoomConfig::default(),
            link: LinkConfig::default(),
        }
    }
}

/// A bot in the run.
pub struct SimClient {
    /// The bot with its runtime.
    pub bot: BotClient,
    /// Where it is.
    pub address: SocketAddr,
    /// Its wrong predictions so far.
    pub wrong: Vec<Misprediction>,
    /// The game events that it was told.
    pub events: Vec<(Tick, Vec<u8>)>,
}

/// See the module.
pub struct Sim {
    /// Virtual now.
    pub now: Timestamp,
    /// The server's core, the one of production.
    pub server: Server,
    /// The bots.
    pub clients: Vec<SimClient>,
    /// The paths between them.
    pub network: MemoryNetwork,
    /// World hash after each tick.
    pub hashes: Vec<u64>,
    sent: Xxh3,
    /// Until when the server's process stands still, and what waits in its socket.
    stalled: (Timestamp, Vec<(SocketAddr, Vec<u8>, Timestamp)>),
    /// What came out of the network in the last run.
    recent: Vec<(SocketAddr, SocketAddr, Vec<u8>)>,
    kinds: Arc<ArenaSchema>,
}

/// Ticks within which what becomes relevant must have reached a client over a healed path.
const ARRIVES_IN: i32 = 10;

/// Datagrams kept of a run.
const RECENT: usize = 32;

const SERVER: ([u8; 4], u16) = ([127, 0, 0, 1], 40_000);

/// Sends into the network and remembers every byte.
struct Wire<'a> {
    network: &'a mut MemoryNetwork,
    sent: &'a mut Xxh3,
    now: Timestamp,
}

impl DatagramSink for Wire<'_> {
    fn send(&mut self, to: SocketAddr, bytes: &[u8]) {
        self.sent.update(bytes);
        self.network.send(SERVER.into(), to, bytes, self.now);
    }

    fn flush(&mut self) {}
}

impl Sim {
    /// A run at its start.
    pub fn new(config: SimConfig) -> Self {
        let now = Timestamp::from_millis(1_000);
        let kinds = Arc::new(arena_schema().expect("the arena's schema is valid"));
        let mut server = Server::new((config.seed, !config.seed));
        let game = ArenaGame::new(config.arena).expect("the arena's schema is valid");
        let room = RoomConfig { seed: config.seed, tick_rate: config.arena.tick_rate, ..config.room };
        server.add_room(Box::new(Room::new(game, room, now).expect("the arena's schema is valid")));
        let network = MemoryNetwork::new(config.link, config.seed);
        let mut sim = Self {
            now,
            server,
            clients: Vec::new(),
            network,
            hashes: Vec::new(),
            sent: Xxh3::new(),
            stalled: Default::default(),
            recent: Vec::new(),
            kinds,
        };
        for i in 0..config.clients {
            let seed = config.seed.wrapping_mul(1_000).wrapping_add(u64::from(i));
            let start = now + Duration::from_millis(u64::from(i) * 7);
            sim.add_client(seed, start);
        }
        sim
    }

    /// Lets another bot join at `start`.
    pub fn add_client(&mut self, seed: u64, start: Timestamp) {
        let address = SocketAddr::from(([127, 0, 0, 1], 50_000 + self.clients.len() as u16));
        let bot = BotClient::new(self.kinds.clone(), seed, start);
        self.clients.push(SimClient { bot, address, wrong: Vec::new(), events: Vec::new() });
    }

    /// The only room.
    pub fn room(&self) -> &dyn AnyRoom {
        &*self.server.rooms()[0]
    }

    /// Runs for a span of virtual time.
    pub fn run(&mut self, span: Duration) {
        let end = self.now + span;
        self.recent.clear();
        while let Some(next) = self.next_event().filter(|next| *next <= end) {
            self.now = self.now.max(next);
            self.deliver();
            self.tick_server();
            self.advance_clients();
        }
        self.now = end;
    }

    fn next_event(&self) -> Option<Timestamp> {
        let clients = self.clients.iter().map(|client| client.bot.next_timeout());
        let tick = self.server.next_deadline().map(|deadline| deadline.max(self.stalled.0));
        let others = [self.network.next_delivery(), tick];
        clients.chain(others.into_iter().flatten()).min()
    }

    fn deliver(&mut self) {
        while let Some(delivery) = self.network.pop(self.now) {
            self.hand_over(delivery.from, delivery.to, &delivery.bytes, delivery.at);
            if self.recent.len() < RECENT {
                self.recent.push((delivery.from, delivery.to, delivery.bytes));
            }
        }
    }

    fn hand_over(&mut self, from: SocketAddr, to: SocketAddr, bytes: &[u8], at: Timestamp) {
        if to == SERVER.into() && self.now < self.stalled.0 {
            self.stalled.1.push((from, bytes.to_vec(), at));
        } else if to == SERVER.into() {
            self.server.receive(from, bytes, at);
        } else if let Some(client) = self.clients.iter_mut().find(|client| client.address == to) {
            client.bot.receive(bytes, at);
        }
    }

    /// Some of what came out of the network in the last run, as (from, to, bytes).
    pub fn recent_datagrams(&self) -> Vec<(SocketAddr, SocketAddr, Vec<u8>)> {
        self.recent.clone()
    }

    /// Hands over a datagram at once that nobody sent.
    pub fn inject(&mut self, from: SocketAddr, to: SocketAddr, bytes: &[u8]) {
        self.hand_over(from, to, bytes, self.now);
    }

    fn tick_server(&mut self) {
        let now = self.now;
        if now < self.stalled.0 {
            return;
        }
        for (from, bytes, at) in std::mem::take(&mut self.stalled.1) {
            self.server.receive(from, &bytes, at);
        }
        let mut wire = Wire { network: &mut self.network, sent: &mut self.sent, now };
        self.server.send_replies(&mut wire);
        let before = self.server.rooms()[0].timeline().next();
        self.server.tick(&mut || now, &mut wire);
        if self.server.rooms()[0].timeline().next() != before {
            self.hashes.push(self.server.rooms()[0].world_hash());
        }
    }

    fn advance_clients(&mut self) {
        for client in &mut self.clients {
            if client.bot.next_timeout() <= self.now {
                client.bot.advance(self.now);
            }
            while let Some(bytes) = client.bot.poll_transmit() {
                self.sent.update(&bytes);
                self.network.send(client.address, SERVER.into(), &bytes, self.now);
            }
            while let Some(event) = client.bot.poll_event() {
                match event {
                    ClientEvent::Mispredicted(wrong) => client.wrong.push(wrong),
                    ClientEvent::Game(tick, data) => client.events.push((tick, data)),
                    ClientEvent::Latency(_) => {}
                }
            }
        }
    }

    /// The server's process stands still for a while; what comes waits in its socket.
    pub fn stall_server(&mut self, span: Duration) {
        self.stalled.0 = self.now + span;
    }

    /// Changes every path from now on.
    pub fn set_links(&mut self, config: LinkConfig) {
        for client in &self.clients {
            self.network.set_path(client.address, SERVER.into(), config);
        }
    }

    /// Changes one client's two ways from now on: up to the server, down from it.
    pub fn set_client_links(&mut self, client: usize, up: LinkConfig, down: LinkConfig) {
        let address = self.clients[client].address;
        self.network.set_link(address, SERVER.into(), up);
        self.network.set_link(SERVER.into(), address, down);
    }

    /// Hash of every byte sent so far, in order.
    pub fn sent_hash(&self) -> u64 {
        self.sent.digest()
    }

    /// Clients that play.
    pub fn playing(&self) -> usize {
        self.clients.iter().filter(|c| c.bot.runtime().state() == ClientState::Playing).count()
    }

    /// The clients' counts, summed.
    pub fn stats(&self) -> ClientStats {
        let all = self.clients.iter().map(|client| client.bot.runtime().stats());
        all.fold(ClientStats::default(), |a, b| ClientStats {
            compared: a.compared + b.compared,
            mispredictions: a.mispredictions + b.mispredictions,
            snapshots: a.snapshots + b.snapshots,
            decode_errors: a.decode_errors + b.decode_errors,
            hash_mismatches: a.hash_mismatches + b.hash_mismatches,
            stale: a.stale + b.stale,
            longest_gap_us: a.longest_gap_us.max(b.longest_gap_us),
        })
    }

    /// What is not converged: each relevant entity must equal the server's ring at the tick at which the
    /// client holds it, and be newer than `healed` or still current.
    pub fn unconverged(&self, healed: Tick) -> Vec<String> {
        let mut wrong = Vec::new();
        for (i, client) in self.clients.iter().enumerate() {
            for entry in self.room().ring().entries() {
                let Some(id) = client.bot.runtime().id() else { continue };
                let since = self.room().relevant_since(id, entry.id);
                let relevant =
                    since.is_some_and(|since| self.room().ring().tick().distance(since) > ARRIVES_IN);
                match client.bot.runtime().buffer().entity(entry.id.slot).filter(|r| r.id == entry.id) {
                    Some(remote) => wrong.extend(self.difference(i, remote, healed)),
                    None if relevant => wrong.push(format!("client {i} lacks {}", entry.id)),
                    None => {}
                }
            }
            let held = client.bot.runtime().buffer().entities();
            let lives = |id: NetId| self.room().ring().entry(id.slot).is_some_and(|entry| entry.id == id);
            let gone = held.filter(|remote| !lives(remote.id));
            wrong.extend(gone.map(|remote| format!("client {i} holds {}, which is gone", remote.id)));
        }
        wrong
    }

    fn difference(&self, client: usize, remote: &Remote, healed: Tick) -> Option<String> {
        let entry = self.room().ring().entry(remote.id.slot)?;
        let held = remote.newest();
        let Some(server) = entry.version(held.tick) else {
            return Some(format!(
                "client {client} holds {} at {}, which the ring lacks",
                remote.id, held.tick
            ));
        };
        let audience = if remote.own { Audience::Owner } else { Audience::Others };
        let kind = self.kinds.schema.kind(remote.kind);
        if delta::hash(kind, audience, &held.fields) != server.hashes[audience as usize] {
            return Some(format!("client {client} holds another {} at {}", remote.id, held.tick));
        }
        let fresh = held.tick.is_after(healed) || held.tick == entry.current().tick;
        (!fresh).then(|| format!("client {client} holds {} only as of {}", remote.id, held.tick))
    }
}
