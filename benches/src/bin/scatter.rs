//! Acknowledgements that arrive late, scattered or not at all, without sockets and in virtual time:
//! the encodings per tick and the cost of planning, writing and acknowledging.
//!
//! `cargo run --release -p truetick-benches --bin scatter -- --clients 1000 --json PATH`; the keys
//! are described in benches/README.md.

use std::error::Error;
use std::path::PathBuf;
use std::sync::Arc;

use clap::{Parser, ValueEnum};
use rand::{RngExt, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;
use serde_json::{Map, Value, json};
use truetick_benches::report::give;
use truetick_benches::workload::{Motion, Walkers};
use truetick_netcode::bits::BitWriter;
use truetick_netcode::limits::PAYLOAD_BYTES;
use truetick_netcode::replication::client_view::{ClientView, Interest, Shared};
use truetick_netcode::replication::delta_cache::DeltaCache;
use truetick_netcode::replication::snapshot::Feedback;
use truetick_netcode::sequence::Sequence;
use truetick_server::simulation::{Simulation, TickInput};
use truetick_transport::clock;

/// Clients with equal interest whose acknowledgements arrive in different patterns
#[derive(Parser)]
struct Arguments {
    /// Number of clients, and of walkers
    #[arg(long, default_value_t = 1_000)]
    clients: usize,
    /// Number of measured ticks, after 60 of warm-up
    #[arg(long, default_value_t = 240)]
    ticks: u64,
    /// Seed of walkers and paths
    #[arg(long, default_value_t = 7)]
    seed: u64,
    /// Only this case
    #[arg(long)]
    case: Option<Case>,
    /// Write the report as JSON to this file
    #[arg(long)]
    json: Option<PathBuf>,
}

/// The pattern in which acknowledgements arrive.
#[derive(Clone, Copy, Debug, PartialEq, ValueEnum)]
enum Case {
    /// Each packet's after 3 ticks
    Aligned,
    /// Each client's after a delay of its own, 1 to 20 ticks
    Constant,
    /// One packet a tick that arrives after 1 to 20 ticks and acknowledges everything before it
    Cumulative,
    /// Each packet's after 1 to 20 ticks
    Single,
    /// One packet a tick, of which one in eight arrives
    Dropped,
    /// As cumulative, and one packet of state in five is lost
    Lossy,
    /// As aligned, with short budgets that change
    Short,
    /// As cumulative, with short budgets that change
    Both,
}

impl Case {
    /// Returns whether acknowledgements travel in one packet per tick that acknowledges all
    /// received packets.
    fn is_cumulative(self) -> bool {
        matches!(
            self,
            Self::Cumulative | Self::Dropped | Self::Lossy | Self::Both
        )
    }

    fn has_short_budgets(self) -> bool {
        matches!(self, Self::Short | Self::Both)
    }
}

/// Ticks of aligned acknowledgements, and of the warm-up before counting.
const ALIGNED: u64 = 30;
const WARM_UP: u64 = 60;

/// Round trip without delay, in ticks.
const ROUND_TRIP: u64 = 3;

/// A budget that is never short, in bytes.
const FULL: usize = 8_000;

struct Client {
    view: ClientView,
    next: Sequence,
    /// Received packets without an acknowledgement, with the tick of their arrival.
    came: Vec<(u64, Sequence)>,
    /// Acknowledgements in flight, with the tick of their arrival.
    acks: Vec<(u64, Ack)>,
    /// Delay of its acknowledgements in the case `Constant`, in ticks.
    late: u64,
    budget: usize,
    updates: u64,
    served: u64,
}

/// The packets that an acknowledgement covers.
#[derive(Clone, Copy)]
enum Ack {
    Packet(Sequence),
    /// All packets received until a tick.
    Until(u64),
}

/// Processor time in seconds.
#[derive(Default)]
struct Spent {
    plan: f64,
    write: f64,
    ack: f64,
}

struct Run {
    case: Case,
    rng: Xoshiro256PlusPlus,
    clients: Vec<Client>,
    cache: DeltaCache,
    writer: BitWriter,
    spent: Spent,
    packets: u64,
    longest_gap: u64,
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments = Arguments::parse();
    let mut cases = Map::new();
    for case in Case::value_variants()
        .iter()
        .filter(|case| arguments.case.is_none_or(|only| only == **case))
    {
        let name = format!("{case:?}").to_lowercase();
        cases.insert(name, measure(&arguments, *case)?);
    }
    let report = json!({ "clients": arguments.clients, "ticks": arguments.ticks, "seed": arguments.seed, "cases": cases });
    give(&report, arguments.json.as_deref())
}

fn measure(arguments: &Arguments, case: Case) -> Result<Value, Box<dyn Error>> {
    let game = Walkers {
        drones: arguments.clients as u32,
        motion: Motion::Random,
    };
    let mut simulation = Simulation::new(Arc::new(game), arguments.seed)?;
    let mut run = Run::new(case, arguments);
    let (mut encoded, mut most, mut bits) = ((0, 0, 0), 0, 0);
    for tick in 0..WARM_UP + arguments.ticks {
        simulation.step(TickInput::default());
        if tick == WARM_UP {
            run.begin();
            encoded = (
                run.cache.sharing().0,
                run.cache.sharing().1,
                run.cache.individual(),
            );
            bits = run.sum(|view| view.stats().bits);
        }
        let before = run.cache.sharing().1;
        run.tick(&simulation, tick);
        most = if tick < WARM_UP {
            0
        } else {
            most.max(run.cache.sharing().1 - before)
        };
    }
    let ticks = arguments.ticks as f64;
    let updates: Vec<u64> = run
        .clients
        .iter()
        .map(|client| client.view.stats().updates - client.updates)
        .collect();
    let all: u64 = updates.iter().sum();
    let per_client = ticks * arguments.clients as f64;
    let per_tick = |from: u64, to: u64| (to - from) as f64 / ticks;
    let us = |seconds: f64| seconds * 1e6 / ticks;
    let Spent { plan, write, ack } = run.spent;
    Ok(json!({
        "units_encoded_per_tick": per_tick(encoded.1, run.cache.sharing().1),
        "units_encoded_in_a_tick_max": most,
        "units_asked_for_per_tick": per_tick(encoded.0, run.cache.sharing().0),
        "entities_encoded_individually_per_tick": per_tick(encoded.2, run.cache.individual()),
        "cpu_us_per_tick": us(plan + write + ack),
        "plan_us_per_tick": us(plan),
        "write_us_per_tick": us(write),
        "ack_us_per_tick": us(ack),
        "state_bytes_per_entity_update": (run.sum(|view| view.stats().bits) - bits) as f64 / 8.0 / all as f64,
        "packets_per_client_tick": run.packets as f64 / per_client,
        "updates_per_client_tick": all as f64 / per_client,
        "updates_per_client_tick_least": updates.iter().min().copied().unwrap_or(0) as f64 / ticks,
        "ticks_without_update_max": run.longest_gap,
    }))
}

impl Run {
    fn new(case: Case, arguments: &Arguments) -> Self {
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(arguments.seed);
        let mut client = || Client {
            view: ClientView::new(),
            next: 0,
            came: Vec::new(),
            acks: Vec::new(),
            late: rng.random_range(1..=20),
            budget: FULL,
            updates: 0,
            served: 0,
        };
        let clients = (0..arguments.clients).map(|_| client()).collect();
        let (cache, writer) = (DeltaCache::default(), BitWriter::new());
        Self {
            case,
            rng,
            clients,
            cache,
            writer,
            spent: Spent::default(),
            packets: 0,
            longest_gap: 0,
        }
    }

    fn sum(&self, figure: impl Fn(&ClientView) -> u64) -> u64 {
        self.clients.iter().map(|client| figure(&client.view)).sum()
    }

    /// Starts the counts after the warm-up.
    fn begin(&mut self) {
        (self.spent, self.packets, self.longest_gap) = (Spent::default(), 0, 0);
        self.clients
            .iter_mut()
            .for_each(|client| client.updates = client.view.stats().updates);
    }

    fn tick(&mut self, simulation: &Simulation<Walkers>, tick: u64) {
        let is_late = tick >= ALIGNED;
        let began = clock::thread_cpu();
        self.clients
            .iter_mut()
            .for_each(|client| client.take_acks(tick));
        self.spent.ack += (clock::thread_cpu() - began).as_secs_f64();
        let most = (1_000 * self.clients.len() / 256).clamp(1_500, 3_000);
        if is_late && tick.is_multiple_of(6) && self.case.has_short_budgets() {
            let rng = &mut self.rng;
            self.clients
                .iter_mut()
                .for_each(|client| client.budget = rng.random_range(400..most));
        }
        let (schema, ring) = (simulation.registry().schema(), simulation.ring());
        let masks: Vec<u64> = ring.blocks().iter().map(|block| block.live).collect();
        self.cache.begin_tick(ring);
        let mut shared = Shared {
            schema,
            ring,
            cache: &mut self.cache,
        };
        let first = ring.tick().first_of_round(self.clients.len());
        let (later, sooner) = self.clients.split_at_mut(first);
        for client in sooner.iter_mut().chain(later) {
            let began = clock::thread_cpu();
            let interest = Interest {
                own: None,
                team: 0,
                masks: &masks,
                weights: None,
                budget: client.budget,
            };
            let updates = client.view.stats().updates;
            client.view.plan(&mut shared, &interest);
            let planned = clock::thread_cpu();
            let sent = client.write(&mut shared, &mut self.writer);
            self.spent.write += (clock::thread_cpu() - planned).as_secs_f64();
            self.spent.plan += (planned - began).as_secs_f64();
            self.packets += sent.end - sent.start;
            if client.view.stats().updates > updates {
                client.served = tick;
            }
            self.longest_gap = self.longest_gap.max(tick - client.served);
            client.receive(
                sent,
                tick,
                if is_late { self.case } else { Case::Aligned },
                &mut self.rng,
            );
        }
    }
}

impl Client {
    /// Writes the packets of the planned snapshot; returns their sequence numbers.
    fn write(
        &mut self,
        shared: &mut Shared<'_>,
        writer: &mut BitWriter,
    ) -> std::ops::Range<Sequence> {
        let (first, mut more) = (self.next, true);
        while more {
            writer.clear();
            more = self.view.write_packet(
                shared,
                self.next,
                PAYLOAD_BYTES,
                Feedback::default(),
                writer,
            );
            self.next += 1;
        }
        first..self.next
    }

    /// Receives these packets and schedules their acknowledgements.
    fn receive(
        &mut self,
        sent: std::ops::Range<Sequence>,
        tick: u64,
        case: Case,
        rng: &mut Xoshiro256PlusPlus,
    ) {
        for sequence in sent {
            if case == Case::Lossy && rng.random_bool(0.2) {
                continue;
            }
            let late = match case {
                Case::Constant => self.late,
                Case::Single => rng.random_range(1..=20),
                _ => ROUND_TRIP,
            };
            match case.is_cumulative() {
                true => self.came.push((tick + 1, sequence)),
                false => self.acks.push((tick + late, Ack::Packet(sequence))),
            }
        }
        let late = rng.random_range(1..=20);
        match case {
            Case::Dropped if rng.random_bool(0.125) => {
                self.acks.push((tick + ROUND_TRIP, Ack::Until(tick)))
            }
            Case::Cumulative | Case::Lossy | Case::Both => {
                self.acks.push((tick + late, Ack::Until(tick)))
            }
            _ => {}
        }
    }

    fn take_acks(&mut self, tick: u64) {
        let (view, came) = (&mut self.view, &mut self.came);
        self.acks.retain(|(due, ack)| {
            match ack {
                _ if *due > tick => {}
                Ack::Packet(sequence) => view.packet_acked(*sequence),
                Ack::Until(until) => came.retain(|(at, sequence)| {
                    if *at <= *until {
                        view.packet_acked(*sequence);
                    }
                    *at > *until
                }),
            }
            *due > tick
        });
    }
}
