//! Clients whose acknowledgements are late by different times: the number of encodings stays
//! bounded, whatever they acknowledge.

use std::collections::VecDeque;
use std::ops::Range;

use rand::{RngExt, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;

use super::super::NetId;
use super::super::agreement::{MAX_BASELINES, MAX_CUT_BASELINES};
use super::super::client_view::{ClientView, Interest, MIN_DELTA_BYTES};
use super::super::entity::tests::{FIELDS, fitted};
use super::super::state_ring::ReplicaMeta;
use super::crowd::{Crowd, interest};
use crate::bits::BitReader;
use crate::client::snapshot_buffer::SnapshotBuffer;
use crate::schema::KindId;
use crate::sequence::Sequence;

/// Delay of acknowledgements.
#[derive(Clone, Copy, Debug)]
enum Late {
    /// Three ticks for all clients.
    Aligned,
    /// 1 to 20 ticks, constant for each client.
    Constant,
    /// 1 to 20 ticks, random for each packet.
    EachPacket,
    /// Three ticks; one packet in five is lost.
    Lossy,
    /// 1 to 20 ticks, random for each packet; one packet in five is lost.
    EachPacketLossy,
}

/// A room and the behaviour of its clients' paths.
#[derive(Clone, Debug)]
struct Case {
    clients: usize,
    blocks: u16,
    teams: u8,
    late: Late,
    /// Range of short budgets in bytes, and the percentage of clients that have one; both are drawn
    /// again in every sixth tick.
    short: (Range<usize>, usize),
    /// Number of entities that are replaced by others in the same slot in each tick.
    born: u16,
    seed: u64,
}

impl Default for Case {
    fn default() -> Self {
        Self {
            clients: 300,
            blocks: 3,
            teams: 1,
            late: Late::EachPacket,
            short: (8_000..8_001, 0),
            born: 0,
            seed: 1,
        }
    }
}

#[derive(Default)]
struct Client {
    view: ClientView,
    /// States that the client decoded; only for the first clients.
    buffer: Option<SnapshotBuffer>,
    acks: VecDeque<(u64, Sequence)>,
    next: Sequence,
    late: u64,
    budget: usize,
    served: u64,
    updates: u64,
}

/// Results of a case.
#[derive(Debug, Default)]
struct Outcome {
    /// Most block deltas encoded in a tick, per block and team.
    most_per_block: usize,
    /// Mean number of block deltas encoded in a tick, per block and team.
    mean_per_block: f64,
    /// Most ticks in a row in which a client received nothing.
    longest_gap: u64,
    /// Length of the longest block delta, in bytes.
    longest_delta: usize,
    /// Entity updates of the client that received the fewest, as a share of all that were due.
    least_served: f64,
    individual: u64,
}

/// Ticks before any acknowledgement is late, before the measurement begins, and in all.
const CALM: u64 = 10;
const SETTLED: u64 = 35;
const TICKS: u64 = 95;

/// Number of clients that decode their packets; the others acknowledge them without decoding.
const DECODERS: usize = 20;

fn step(crowd: &mut Crowd, case: &Case, generations: &mut [u16], rng: &mut Xoshiro256PlusPlus) {
    crowd.tick = crowd.tick.next();
    crowd.ring.begin_tick(crowd.tick);
    for _ in 0..case.born {
        let slot = rng.random_range(0..generations.len());
        crowd.ring.remove(NetId {
            slot: slot as u16,
            generation: generations[slot],
        });
        generations[slot] += 1;
    }
    for (slot, generation) in generations.iter().enumerate() {
        let id = NetId {
            slot: slot as u16,
            generation: *generation,
        };
        let team = (slot % usize::from(case.teams)) as u8 + 1;
        let meta = ReplicaMeta {
            id,
            kind: KindId(0),
            owner: None,
            team,
        };
        let mut numbers = [1_000; FIELDS];
        numbers[0] = 1_000 + crowd.tick.0 * 3 + rng.random_range(0..40);
        numbers[2] = rng.random_range(0..4_096);
        crowd.ring.record(&crowd.schema, meta, &fitted(&numbers));
    }
    crowd.cache.begin_tick(&crowd.ring);
}

impl Case {
    fn run(&self) -> Outcome {
        let mut crowd = Crowd::new();
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(self.seed);
        let mut generations = vec![0; usize::from(self.blocks) * 64];
        let mut clients = self.clients(&mut rng);
        let (mut outcome, mut encoded) = (Outcome::default(), 0);
        for tick in 0..TICKS {
            step(&mut crowd, self, &mut generations, &mut rng);
            let (masks, before) = (crowd.masks(), crowd.cache.sharing().1);
            let first = crowd.tick.first_of_round(self.clients);
            for at in (first..self.clients).chain(0..first) {
                let team = (at % usize::from(self.teams)) as u8 + 1;
                let interest = Interest {
                    team,
                    budget: clients[at].budget,
                    ..interest(&masks)
                };
                clients[at].tick(&mut crowd, &interest, tick, self.late, &mut rng);
                if tick >= SETTLED {
                    outcome.longest_gap = outcome.longest_gap.max(tick - clients[at].served);
                }
            }
            if tick >= CALM && tick % 6 == 0 {
                self.change_budgets(&mut clients, &mut rng);
            }
            if tick == SETTLED {
                clients
                    .iter_mut()
                    .for_each(|client| client.updates = client.view.stats().updates);
            }
            if tick > SETTLED {
                let now = (crowd.cache.sharing().1 - before) as usize;
                outcome.most_per_block = outcome.most_per_block.max(now.div_ceil(self.places()));
                encoded += now;
            }
            outcome.longest_delta = outcome.longest_delta.max(crowd.cache.longest_delta());
        }
        let ticks = (TICKS - SETTLED - 1) as usize;
        outcome.mean_per_block = encoded as f64 / (ticks * self.places()) as f64;
        let updates = clients
            .iter()
            .map(|client| client.view.stats().updates - client.updates)
            .min();
        outcome.least_served = updates.unwrap_or(0) as f64 / (ticks * generations.len()) as f64;
        outcome.individual = crowd.cache.individual();
        println!("{self:?}\n  {outcome:?}");
        outcome
    }

    fn clients(&self, rng: &mut Xoshiro256PlusPlus) -> Vec<Client> {
        (0..self.clients)
            .map(|at| Client {
                buffer: (at < DECODERS).then(SnapshotBuffer::new),
                late: rng.random_range(1..=20),
                budget: 8_000,
                ..Client::default()
            })
            .collect()
    }

    fn change_budgets(&self, clients: &mut [Client], rng: &mut Xoshiro256PlusPlus) {
        for client in clients {
            let is_short = rng.random_range(0..100) < self.short.1;
            client.budget = if is_short {
                rng.random_range(self.short.0.clone())
            } else {
                8_000
            };
        }
    }

    fn places(&self) -> usize {
        usize::from(self.blocks) * usize::from(self.teams)
    }

    /// Most block deltas of a block and a team that may be encoded in a tick, if none is longer
    /// than `longest`; see the module `agreement`.
    fn bound(&self, longest: usize) -> usize {
        let shortest = (self.short.0.start / 2).max(MIN_DELTA_BYTES);
        // Halves, quarters and so on, down to pieces that are short enough; a half may be a tenth
        // longer.
        let mut pieces = 0;
        let (mut length, mut count) = (longest, 1);
        while self.short.1 > 0 && length > shortest {
            (length, count) = (length * 11 / 20, count * 2);
            pieces += count;
        }
        let born = if self.born > 0 { MAX_BASELINES } else { 0 };
        // The whole block may be split, too, and so may the parts that were encoded for one client.
        MAX_BASELINES + born + 1 + (MAX_CUT_BASELINES + 2) * pieces
    }

    fn holds(&self) -> Outcome {
        let outcome = self.run();
        let bound = self.bound(outcome.longest_delta);
        assert!(
            outcome.most_per_block <= bound,
            "more than {bound} for {self:?}: {outcome:?}"
        );
        assert!(outcome.longest_gap <= 8, "{self:?}: {outcome:?}");
        assert_eq!(outcome.individual, 0, "{self:?}");
        outcome
    }
}

impl Client {
    /// Runs one tick: first the acknowledgements, then the snapshot.
    fn tick(
        &mut self,
        crowd: &mut Crowd,
        interest: &Interest<'_>,
        tick: u64,
        late: Late,
        rng: &mut Xoshiro256PlusPlus,
    ) {
        let late = if tick < CALM { Late::Aligned } else { late };
        let view = &mut self.view;
        self.acks.retain(|(due, sequence)| {
            if *due <= tick {
                view.packet_acked(*sequence);
            }
            *due > tick
        });
        let updates = self.view.stats().updates;
        for (sequence, bytes) in crowd.send(&mut self.view, interest, self.next) {
            self.next = sequence + 1;
            let lossy = matches!(late, Late::Lossy | Late::EachPacketLossy);
            if lossy && rng.random_bool(0.2) {
                continue;
            }
            if let Some(buffer) = &mut self.buffer {
                buffer.take(&crowd.schema, BitReader::new(&bytes)).unwrap();
            }
            let after = match late {
                Late::Aligned | Late::Lossy => 3,
                Late::Constant => self.late,
                Late::EachPacket | Late::EachPacketLossy => rng.random_range(1..=20),
            };
            self.acks.push_back((tick + after, sequence));
        }
        if self.view.stats().updates > updates {
            self.served = tick;
        }
    }
}

#[test]
fn scattered_acknowledgements_do_not_make_each_client_another_encoding() {
    for late in [
        Late::Constant,
        Late::EachPacket,
        Late::Lossy,
        Late::EachPacketLossy,
    ] {
        for seed in 1..4 {
            let outcome = Case {
                late,
                seed,
                ..Case::default()
            }
            .holds();
            assert!(outcome.least_served > 0.2, "{late:?}: {outcome:?}");
        }
    }
}

#[test]
fn the_bound_holds_for_any_number_of_clients_and_blocks() {
    for (clients, blocks) in [(64, 1), (1_000, 1), (150, 16), (600, 2)] {
        Case {
            clients,
            blocks,
            late: Late::EachPacketLossy,
            ..Case::default()
        }
        .holds();
    }
}

#[test]
fn short_budgets_cut_few_of_the_deltas() {
    for (short, share) in [(300..1_200, 25), (400..1_500, 100), (300..8_000, 100)] {
        for late in [Late::Aligned, Late::EachPacket, Late::EachPacketLossy] {
            for seed in 1..3 {
                Case {
                    short: (short.clone(), share),
                    late,
                    seed,
                    ..Case::default()
                }
                .holds();
            }
        }
    }
}

#[test]
fn teams_agree_each_for_itself() {
    for teams in [2, 5] {
        let outcome = Case {
            teams,
            late: Late::EachPacketLossy,
            ..Case::default()
        }
        .holds();
        assert!(outcome.least_served > 0.2, "{outcome:?}");
    }
}

#[test]
fn entities_that_come_and_go_change_nothing_of_the_bound() {
    for late in [
        Late::Aligned,
        Late::Constant,
        Late::EachPacket,
        Late::EachPacketLossy,
    ] {
        let outcome = Case {
            born: 6,
            late,
            ..Case::default()
        }
        .holds();
        assert!(outcome.least_served > 0.2, "{outcome:?}");
    }
}

#[test]
fn where_all_are_in_time_nobody_waits_for_a_baseline() {
    for born in [0, 6] {
        let outcome = Case {
            late: Late::Aligned,
            born,
            ..Case::default()
        }
        .holds();
        assert!(
            outcome.least_served >= 1.0 && outcome.mean_per_block < 8.0,
            "{outcome:?}"
        );
    }
}
