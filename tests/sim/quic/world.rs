//! Runs a plan over QUIC in steps of a millisecond.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rand::SeedableRng;
use rand_xoshiro::Xoshiro256PlusPlus;
use truetick_client_sim::bot_client::BotClient;
use truetick_client_sim::token_source::TokenSource;
use truetick_netcode::client::runtime::ClientEvent;
use truetick_netcode::client::state::ClientState;
use truetick_netcode::clock::{self, Instant};
use truetick_netcode::link_sim::{LinkConfig, LinkSim};
use truetick_netcode::session::UserId;
use truetick_netcode::tick::Tick;
use truetick_netcode::time::Timestamp;
use truetick_netcode::transport::{Event, PeerAddr, Transmit, TransportKind};
use truetick_server::arena::{ArenaConfig, ArenaGame};
use truetick_server::room::RoomConfig;
use truetick_server::server::Server;
use truetick_server::world_room::WorldRoom;
use truetick_shared::arena::{ArenaSchema, arena_schema};
use xxhash_rust::xxh3::Xxh3;

use super::end::{Came, QuicEnd};
use super::plan::{QuicPlan, QuicTrouble};
use super::secrets::{self, SimTime};
use crate::messaging_game::{self, MessagingGame, PatterCheck};
use crate::server_process::world_of;
use crate::tokens::{SERVER, expect_rooms, session_config, tokens, wall};

const STEP: Duration = Duration::from_millis(1);

/// Delay before a player whose session ended joins again.
const REJOIN: Duration = Duration::from_millis(700);

/// One bot with its QUIC end and its links.
pub struct Member {
    /// The bot.
    pub bot: BotClient,
    end: Option<QuicEnd>,
    address: SocketAddr,
    up: LinkSim,
    down: LinkSim,
    cut_until: Timestamp,
    rejoin_at: Option<Timestamp>,
    lives: u64,
    /// Messages received in this life: channel and tick, in order of arrival.
    pub(super) told: Vec<(usize, Tick)>,
    /// Check of the small messages received.
    pub patter: PatterCheck,
    newest: Option<Tick>,
    heard_at: Timestamp,
    /// Times from a tick's deadline until the client held a snapshot of it or of a later one.
    pub latencies: Vec<Duration>,
    /// Longest time between two snapshots since the last failure that cuts the client off.
    pub longest_gap: Duration,
}

/// Figures of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QuicFigures {
    /// Hash of time, length and link of every datagram sent, and of the world at every tick.
    pub hash: u64,
    /// Number of sessions resumed.
    pub resumes: u64,
    /// Number of new sessions after one ended.
    pub rejoins: u64,
    /// Number of messages received.
    pub messages: u64,
    /// Bytes of bulk data received, including the game's own events.
    pub bulk: u64,
    /// Number of datagrams sent on the network.
    pub datagrams: u64,
}

/// The simulated system over QUIC: server, bots and links.
pub struct QuicWorld {
    /// The plan of the run.
    pub plan: QuicPlan,
    /// Current virtual time.
    pub now: Timestamp,
    /// All bots.
    pub members: Vec<Member>,
    /// Violations as text.
    pub wrong: Vec<String>,
    pub(super) server: Server,
    end: Option<QuicEnd>,
    pub(super) kinds: Arc<ArenaSchema>,
    tokens: TokenSource,
    rng: Xoshiro256PlusPlus,
    time: SimTime,
    base: Instant,
    lives: u64,
    moved: u16,
    hash: Xxh3,
    figures: QuicFigures,
}

fn as_event(came: &Came) -> Event<'_> {
    match came {
        Came::Datagram(bytes) => Event::Datagram(bytes),
        Came::Frame(bytes) => Event::Frame(bytes),
        Came::DatagramBytes(bytes) => Event::DatagramBytes(*bytes),
        Came::Closed { told } => Event::Closed { told: *told },
    }
}

impl QuicWorld {
    /// Creates a world at its start.
    pub fn new(plan: QuicPlan) -> Self {
        let now = Timestamp::from_millis(1_000);
        let time = SimTime(Arc::new(Mutex::new(now)));
        let mut world = Self {
            server: start_server(&plan, 0, now),
            end: None,
            members: Vec::new(),
            wrong: Vec::new(),
            kinds: Arc::new(arena_schema().expect("the arena's schema is valid")),
            tokens: tokens(plan.seed),
            rng: Xoshiro256PlusPlus::seed_from_u64(plan.seed ^ 0x5eed),
            time,
            base: clock::instant(),
            lives: 0,
            moved: 0,
            hash: Xxh3::new(),
            figures: QuicFigures {
                hash: 0,
                resumes: 0,
                rejoins: 0,
                messages: 0,
                bulk: 0,
                datagrams: 0,
            },
            now,
            plan,
        };
        world.end = world.server_end();
        for place in 0..world.plan.clients {
            let member = world.member(place);
            world.members.push(member);
        }
        world
    }

    fn server_end(&mut self) -> Option<QuicEnd> {
        let (seed, time) = (self.plan.seed, self.time.clone());
        let config = secrets::endpoint(seed, &mut self.rng);
        let end = |base| QuicEnd::new(config, Some(secrets::server(seed, time)), None, base);
        (self.plan.kind == TransportKind::Quic).then(|| end(self.base))
    }

    fn client_end(&mut self, place: usize) -> Option<QuicEnd> {
        let seed = self.plan.seed.wrapping_mul(64) + place as u64;
        let config = secrets::endpoint(seed, &mut self.rng);
        let end = |base| QuicEnd::new(config, None, Some(secrets::client(seed)), base);
        (self.plan.kind == TransportKind::Quic).then(|| end(self.base))
    }

    fn bot(&mut self, place: usize, life: u64) -> BotClient {
        let user = UserId(place as u64 + 1);
        let token = self.tokens.issue(user, 0, wall(self.now));
        let seed = user.0 + (life << 32) + (self.plan.seed << 8);
        BotClient::new(self.kinds.clone(), token, seed, self.now).transport(self.plan.kind)
    }

    fn member(&mut self, place: usize) -> Member {
        let seed = self.plan.seed.wrapping_mul(1_009) + place as u64 * 2;
        let link = |seed| LinkSim::new(self.plan.link, seed);
        let (up, down) = (link(seed), link(seed + 1));
        Member {
            bot: self.bot(place, 0),
            end: self.client_end(place),
            address: SocketAddr::from(([127, 0, 0, 2], 1_000 + place as u16)),
            up,
            down,
            cut_until: Timestamp::default(),
            rejoin_at: None,
            lives: 0,
            told: Vec::new(),
            patter: PatterCheck::default(),
            newest: None,
            heard_at: self.now,
            latencies: Vec::new(),
            longest_gap: Duration::ZERO,
        }
    }

    /// Runs the plan and checks its invariants.
    pub fn run(&mut self) -> QuicFigures {
        let begun = self.now;
        let mut troubles = self.plan.troubles.clone().into_iter().peekable();
        while self.now < begun + self.plan.trouble {
            while let Some((_, trouble)) = troubles.next_if(|(at, _)| begun + *at <= self.now) {
                self.inflict(trouble);
            }
            self.step();
        }
        for member in &mut self.members {
            // From here on only the path itself disturbs.
            for link in [&mut member.up, &mut member.down] {
                link.set_config(LinkConfig {
                    loss: 0.0,
                    bursts: None,
                    corrupt: 0.0,
                    ..self.plan.link
                });
            }
        }
        let healed = world_of(&self.server).ring().tick();
        while self.now < begun + self.plan.trouble + self.plan.settle {
            self.step();
        }
        if self.plan.settle > Duration::ZERO {
            self.look(healed);
        }
        self.members
            .iter()
            .map(|member| member.bot.runtime().stats().resumes)
            .sum::<u64>()
            .clone_into(&mut self.figures.resumes);
        self.figures.hash = self.hash.digest();
        self.figures.clone()
    }

    fn inflict(&mut self, trouble: QuicTrouble) {
        match trouble {
            QuicTrouble::Links(client, link) => {
                self.members[client].up.set_config(link);
                self.members[client].down.set_config(link);
            }
            QuicTrouble::Cut(client, span) => self.members[client].cut_until = self.now + span,
            QuicTrouble::Move(client) => {
                self.moved += 1;
                self.members[client].address.set_port(2_000 + self.moved);
                self.members[client].longest_gap = Duration::ZERO;
            }
            QuicTrouble::NewEnd(client) => {
                // The server receives no notice: it still has the old connection when the session
                // is resumed on another.
                let end = self.client_end(client);
                let member = &mut self.members[client];
                let old = std::mem::replace(&mut member.end, end);
                for addr in old.iter().flat_map(QuicEnd::addrs) {
                    member
                        .bot
                        .receive(*addr, Event::Closed { told: false }, self.now);
                }
            }
            QuicTrouble::Restart => {
                self.lives += 1;
                self.server = start_server(&self.plan, self.lives, self.now);
                self.end = self.server_end();
            }
        }
    }

    /// Advances the world by a millisecond.
    pub fn step(&mut self) {
        self.now += STEP;
        *self.time.0.lock().expect("nobody panics with it") = self.now;
        for place in 0..self.members.len() {
            self.arrive(place);
            self.rejoin(place);
            self.advance(place);
        }
        self.serve();
    }

    fn arrive(&mut self, place: usize) {
        let (now, server) = (self.now, SocketAddr::from(SERVER));
        let member = &mut self.members[place];
        while let Some(bytes) = member.down.pop(now) {
            match &mut member.end {
                _ if now < member.cut_until => {}
                Some(end) => end.receive(server, &bytes, now),
                None => member.bot.receive(server, &bytes, now),
            }
        }
        if let Some(end) = &mut member.end {
            end.drive(now);
            while let Some((addr, came)) = end.poll() {
                member.bot.receive(addr, as_event(&came), now);
            }
        }
        while let Some(event) = member.bot.poll_event() {
            let ClientEvent::Game(_, data) = event else {
                continue;
            };
            if let Some((each_tick, at)) = messaging_game::parse_patter(&data) {
                let wrong = member
                    .patter
                    .take(each_tick, at)
                    .map(|what| format!("client {place}: {what}"));
                self.wrong.extend(wrong);
                continue;
            }
            match messaging_game::parse(&data) {
                Some((channel, tick)) => {
                    self.figures.messages += 1;
                    member.told.push((channel, tick));
                }
                None => self.figures.bulk += data.len() as u64,
            }
        }
        let newest = member.bot.runtime().buffer().newest();
        if newest != member.newest {
            let timeline = self.server.rooms()[0].timeline();
            let from = member.newest.map_or(newest, |tick| Some(tick + 1));
            if let (Some(from), Some(to)) = (from, newest) {
                let ticks = to.distance(from).clamp(0, 64) as u32;
                let latencies = (0..=ticks).map(|back| now.since(timeline.deadline(to.back(back))));
                member.latencies.extend(latencies);
            }
            member.longest_gap = member.longest_gap.max(now.since(member.heard_at));
            (member.newest, member.heard_at) = (newest, now);
        }
    }

    /// Opens a new session for a client whose session ended.
    fn rejoin(&mut self, place: usize) {
        let member = &self.members[place];
        if !matches!(member.bot.runtime().state(), ClientState::Ended(_)) {
            return;
        }
        let at = *self.members[place]
            .rejoin_at
            .get_or_insert(self.now + REJOIN);
        if at > self.now {
            return;
        }
        self.look_at_messages(place);
        let life = self.members[place].lives + 1;
        let bot = self.bot(place, life);
        self.figures.rejoins += 1;
        self.figures.resumes += self.members[place].bot.runtime().stats().resumes;
        let member = &mut self.members[place];
        (member.bot, member.lives, member.rejoin_at, member.newest) = (bot, life, None, None);
        member.told.clear();
    }

    fn advance(&mut self, place: usize) {
        let (now, member) = (self.now, &mut self.members[place]);
        if now >= member.bot.next_timeout() {
            member.bot.advance(now);
        }
        let mut out = Vec::new();
        while let Some((to, transmit)) = member.bot.poll_transmit() {
            match &mut member.end {
                Some(end) => end.send(to, transmit, now),
                None => out.push(transmit.into_bytes()),
            }
        }
        if let Some(end) = &mut member.end {
            out.extend(std::iter::from_fn(|| end.poll_transmit()).map(|(_, bytes)| bytes));
        }
        for bytes in out {
            self.note_sent(place as u64 * 2, bytes.len());
            let member = &mut self.members[place];
            if now >= member.cut_until {
                member.up.push(&bytes, now);
            }
        }
    }

    fn note_sent(&mut self, way: u64, length: usize) {
        self.figures.datagrams += 1;
        [self.now.as_nanos(), way, length as u64]
            .iter()
            .for_each(|n| self.hash.update(&n.to_le_bytes()));
    }

    fn serve(&mut self) {
        let now = self.now;
        for member in &mut self.members {
            while let Some(bytes) = member.up.pop(now) {
                match &mut self.end {
                    Some(end) => end.receive(member.address, &bytes, now),
                    None => self.server.receive(member.address, &bytes, now),
                }
            }
        }
        if let Some(end) = &mut self.end {
            end.drive(now);
            while let Some((addr, came)) = end.poll() {
                self.server.receive(addr, as_event(&came), now);
            }
        }
        let mut out: Vec<(PeerAddr, Transmit)> = Vec::new();
        self.server.send_replies(&mut out);
        if self
            .server
            .next_deadline()
            .is_some_and(|deadline| deadline <= now)
        {
            self.server.set_wall_clock(now, wall(now));
            self.server.tick(&mut || now, &mut out);
            expect_rooms(&self.server);
            self.hash
                .update(&world_of(&self.server).world_hash().to_le_bytes());
        }
        let mut packets = Vec::new();
        for (to, transmit) in out {
            match &mut self.end {
                Some(end) => end.send(to, transmit, now),
                None => packets.push((to.address, transmit.into_bytes())),
            }
        }
        if let Some(end) = &mut self.end {
            packets.extend(std::iter::from_fn(|| end.poll_transmit()));
        }
        for (to, bytes) in packets {
            let Some(place) = self.members.iter().position(|member| member.address == to) else {
                continue;
            };
            self.note_sent(place as u64 * 2 + 1, bytes.len());
            self.members[place].down.push(&bytes, now);
        }
    }
}

pub(super) fn arena() -> ArenaGame {
    ArenaGame::new(ArenaConfig {
        drones: 12,
        ..ArenaConfig::default()
    })
    .expect("the arena's schema is valid")
}

fn start_server(plan: &QuicPlan, life: u64, now: Timestamp) -> Server {
    let mut config = session_config();
    config.servers = config
        .servers
        .with(TransportKind::Quic, vec![SERVER.into()]);
    let mut secret = [0; 32];
    secret[..8].copy_from_slice(&plan.seed.wrapping_add(life << 32).to_le_bytes());
    let mut server = Server::new(config, secret, now, wall(now));
    let room = RoomConfig {
        seed: plan.seed,
        relevance_radius_m: None,
        ..RoomConfig::default()
    };
    let game = MessagingGame {
        game: arena(),
        bulk: plan.bulk / room.tick_rate,
        patter: plan.patter,
    };
    server.add_room(Box::new(
        WorldRoom::new(game, room, now).expect("a valid schema"),
    ));
    server
}
