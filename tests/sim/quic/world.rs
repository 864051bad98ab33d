//! Runs a plan over QUIC in steps of a millisecond.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use rand::SeedableRng;
use rand_xoshiro::Xoshiro256PlusPlus;
use truetick_arena::{ArenaSchema, arena_schema};
use truetick_client_sim::token_source::TokenSource;
use truetick_netcode::link_sim::LinkConfig;
use truetick_netcode::time::Timestamp;
use truetick_netcode::transport::Event;
use truetick_server::server::Server;
use truetick_transport::clock::{self, Instant};
use xxhash_rust::xxh3::Xxh3;

use super::end::{Came, QuicEnd};
pub use super::member::Member;
use super::plan::{QuicPlan, QuicTrouble};
use super::secrets::SimTime;
use super::serving::start_server;
use crate::server_process::world_of;
use crate::tokens::tokens;

const STEP: Duration = Duration::from_millis(1);

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
    /// The bots, by index of the client.
    pub members: Vec<Member>,
    /// Violations as text.
    pub wrong: Vec<String>,
    pub(super) server: Server,
    pub(super) end: Option<QuicEnd>,
    pub(super) kinds: Arc<ArenaSchema>,
    pub(super) tokens: TokenSource,
    pub(super) rng: Xoshiro256PlusPlus,
    pub(super) time: SimTime,
    pub(super) base: Instant,
    lives: u64,
    moved: u16,
    pub(super) hash: Xxh3,
    pub(super) figures: QuicFigures,
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

    pub(super) fn note_sent(&mut self, way: u64, length: usize) {
        self.figures.datagrams += 1;
        [self.now.as_nanos(), way, length as u64]
            .iter()
            .for_each(|n| self.hash.update(&n.to_le_bytes()));
    }
}

/// An end's event as clients and server receive it.
pub(super) fn as_event(came: &Came) -> Event<'_> {
    match came {
        Came::Datagram(bytes) => Event::Datagram(bytes),
        Came::Frame(bytes) => Event::Frame(bytes),
        Came::DatagramBytes(bytes) => Event::DatagramBytes(*bytes),
        Came::Closed { told } => Event::Closed { told: *told },
    }
}
