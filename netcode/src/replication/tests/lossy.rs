//! The server's ring and view against a client's buffer, over a link that loses, delays and
//! reorders.

use std::collections::{BTreeMap, VecDeque};

use proptest::prelude::*;

use super::super::block_delta::bit_of;
use super::super::client_view::{ClientView, Interest, Shared};
use super::super::delta_cache::DeltaCache;
use super::super::entity::tests::{FIELDS, fitted, schema};
use super::super::snapshot::Feedback;
use super::super::state_ring::{ReplicaMeta, StateRing};
use super::super::{NetId, entity};
use crate::bits::{BitReader, BitWriter};
use crate::client::snapshot_buffer::{SnapshotBuffer, SnapshotError};
use crate::limits::PAYLOAD_BYTES;
use crate::schema::{Audience, KindId, Schema};
use crate::sequence::Sequence;
use crate::session::ClientId;
use crate::tick::Tick;

/// Changes of the world in one tick, and what happens to its packets.
#[derive(Clone, Debug)]
struct Step {
    spawn: bool,
    despawn: Option<u16>,
    change: Vec<(u16, u8, u32)>,
    hide: u16,
    /// Team of the client.
    team: u8,
    /// Per packet: 0 lost, 1 to 3 delivered that many ticks later, else delivered at once.
    packets: Vec<u8>,
    ack_lost: bool,
}

fn step() -> impl Strategy<Value = Step> {
    (
        any::<bool>(),
        proptest::option::weighted(0.3, 0u16..12),
        proptest::collection::vec((0u16..12, 0u8..FIELDS as u8, any::<u32>()), 0..8),
        0u16..12,
        prop_oneof![3 => Just(1u8), 1 => Just(2)],
        proptest::collection::vec(0u8..8, 4),
        proptest::bool::weighted(0.2),
    )
        .prop_map(
            |(spawn, despawn, change, hide, team, packets, ack_lost)| Step {
                spawn,
                despawn,
                change,
                hide,
                team,
                packets,
                ack_lost,
            },
        )
}

struct World {
    schema: Schema,
    ring: StateRing,
    view: ClientView,
    cache: DeltaCache,
    buffer: SnapshotBuffer,
    live: BTreeMap<u16, (NetId, Vec<u32>)>,
    generations: [u16; 12],
    tick: Tick,
    sequence: Sequence,
    in_flight: VecDeque<(Tick, Sequence, Vec<u8>)>,
    acks: Vec<Sequence>,
    budget: usize,
    weights: Option<Vec<u32>>,
}

const OWNER: ClientId = ClientId(7);

impl World {
    fn new(budget: usize) -> Self {
        Self::with(budget, false)
    }

    fn with(budget: usize, weighted: bool) -> Self {
        Self {
            schema: schema(),
            weights: weighted.then(|| (1..13).collect()),
            ring: StateRing::new(),
            view: ClientView::new(),
            cache: DeltaCache::default(),
            buffer: SnapshotBuffer::new(),
            live: BTreeMap::new(),
            generations: [0; 12],
            tick: Tick(u32::MAX - 20),
            sequence: 0,
            in_flight: VecDeque::new(),
            acks: Vec::new(),
            budget,
        }
    }

    fn change(&mut self, step: &Step) {
        self.tick = self.tick.next();
        self.ring.begin_tick(self.tick);
        if let Some((id, _)) = step.despawn.and_then(|slot| self.live.remove(&slot)) {
            self.generations[usize::from(id.slot)] += 1;
            self.ring.remove(id);
        }
        let free = (0..12).find(|slot| !self.live.contains_key(slot));
        if let Some(slot) = free.filter(|_| step.spawn) {
            let id = NetId {
                slot,
                generation: self.generations[usize::from(slot)],
            };
            self.live.insert(slot, (id, fitted(&[5; FIELDS])));
        }
        let kind = self.schema.kind(KindId(0)).clone();
        for (slot, field, value) in &step.change {
            if let Some((_, fields)) = self.live.get_mut(slot) {
                let max = kind.fields[usize::from(*field)].max();
                fields[usize::from(*field)] = if *value <= max {
                    *value
                } else {
                    value % (max + 1)
                };
            }
        }
        for (id, fields) in self.live.values() {
            let owner = (id.slot == 3).then_some(OWNER);
            let meta = ReplicaMeta {
                id: *id,
                kind: KindId(0),
                owner,
                team: 1 + (id.slot % 2) as u8,
            };
            self.ring.record(&self.schema, meta, fields);
        }
        self.view.note_gone(self.ring.gone(), self.tick);
    }

    fn own(&self) -> Option<NetId> {
        self.live.get(&3).map(|(id, _)| *id)
    }

    fn send(&mut self, step: &Step) {
        self.cache.begin_tick(&self.ring);
        let visible = self.live.keys().filter(|slot| **slot != step.hide);
        let masks = [visible.fold(0, |mask, slot| mask | bit_of(*slot))];
        let (own, team, budget) = (
            self.own().filter(|own| own.slot != step.hide),
            step.team,
            self.budget,
        );
        let mut shared = Shared {
            schema: &self.schema,
            ring: &self.ring,
            cache: &mut self.cache,
        };
        let interest = Interest {
            own,
            team,
            masks: &masks,
            weights: self.weights.as_deref(),
            budget,
        };
        self.view.plan(&mut shared, &interest);
        for fate in step.packets.iter().cycle() {
            let mut writer = BitWriter::new();
            let more = self.view.write_packet(
                &mut shared,
                self.sequence,
                PAYLOAD_BYTES,
                Feedback::default(),
                &mut writer,
            );
            assert!(writer.bit_len() <= PAYLOAD_BYTES * 8);
            writer.pad_to_byte();
            match fate {
                0 => {}
                late @ 1..=3 => {
                    let at = self.tick + u32::from(*late);
                    self.in_flight
                        .push_back((at, self.sequence, writer.bytes().to_vec()));
                }
                _ => self
                    .in_flight
                    .push_back((self.tick, self.sequence, writer.bytes().to_vec())),
            }
            self.sequence += 1;
            if !more {
                break;
            }
        }
    }

    fn receive(&mut self, step: &Step) {
        let (due, later): (VecDeque<_>, VecDeque<_>) = self
            .in_flight
            .drain(..)
            .partition(|(at, ..)| !at.is_after(self.tick));
        self.in_flight = later;
        for (_, sequence, bytes) in due {
            match self.buffer.take(&self.schema, BitReader::new(&bytes)) {
                Ok(_) => self.acks.push(sequence),
                Err(SnapshotError::Baseline) => {}
                Err(error) => panic!("{error}"),
            }
        }
        if !step.ack_lost {
            self.acks
                .drain(..)
                .for_each(|sequence| self.view.packet_acked(sequence));
        }
    }

    /// The client must hold, bit for bit, what the server believes it holds.
    fn check_acked(&self) {
        for (id, _) in self.live.values() {
            let Some(acked) = self.view.acked(*id) else {
                continue;
            };
            let held = self
                .buffer
                .public(id.slot)
                .filter(|remote| remote.id == *id);
            let held = held.and_then(|remote| Some((remote.audience, remote.at(acked)?)));
            let Some((audience, held)) = held else {
                panic!("{id} at {acked} was acknowledged and is not held")
            };
            let Some(version) = self.ring.entry(id.slot).unwrap().at(acked) else {
                continue;
            };
            let hash = entity::hash(self.schema.kind(KindId(0)), audience, held.fields);
            assert_eq!(hash, version.hashes[audience as usize], "{id} at {acked}");
        }
    }

    fn check_converged(&self, hidden: u16, team: u8) {
        let expected: Vec<u16> = self
            .live
            .keys()
            .copied()
            .filter(|slot| *slot != hidden)
            .collect();
        let held: Vec<u16> = self
            .buffer
            .entities()
            .map(|remote| remote.id.slot)
            .collect();
        assert_eq!(held, expected);
        for remote in self.buffer.entities() {
            let (id, fields) = &self.live[&remote.id.slot];
            assert_eq!(remote.id, *id);
            let audience = match 1 + (id.slot % 2) as u8 {
                _ if Some(*id) == self.own() => Audience::Owner,
                same if same == team => Audience::Team,
                _ => Audience::Others,
            };
            assert_eq!(remote.audience, audience);
            let kind = self.schema.kind(KindId(0));
            let hash = |fields| entity::hash(kind, audience, fields);
            assert_eq!(hash(remote.newest().fields), hash(fields), "{id}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]
    #[test]
    fn decoded_equals_sent_whatever_is_lost(
        steps in proptest::collection::vec(step(), 1..120),
        budget in prop_oneof![Just(40usize), Just(2_000)],
        weighted in any::<bool>(),
    ) {
        let mut world = World::with(budget, weighted);
        for step in &steps {
            world.change(step);
            world.send(step);
            world.receive(step);
            world.check_acked();
        }
        let calm =
            Step { spawn: false, despawn: None, change: vec![], hide: 5, team: 1, packets: vec![9], ack_lost: false };
        for _ in 0..40 {
            world.change(&calm);
            world.send(&calm);
            world.receive(&calm);
        }
        world.check_converged(5, 1);
    }
}

#[test]
fn the_tick_that_ends_an_entity_can_begin_the_next_in_its_slot() {
    let mut world = World::new(2_000);
    let calm = Step {
        spawn: false,
        despawn: None,
        change: vec![],
        hide: 11,
        team: 1,
        packets: vec![9],
        ack_lost: false,
    };
    let spawn = Step {
        spawn: true,
        ..calm.clone()
    };
    let replace = Step {
        despawn: Some(0),
        ..spawn.clone()
    };
    for step in [&spawn, &calm, &replace, &calm] {
        world.change(step);
        world.send(step);
        world.receive(step);
    }
    world.check_converged(11, 1);
    assert_eq!(world.buffer.entity(0).unwrap().id.generation, 1);
}
