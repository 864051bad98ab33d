//! Server ring and view against a client's buffer, over a link that loses, delays and reorders.

use std::collections::{BTreeMap, VecDeque};

use proptest::prelude::*;

use super::NetId;
use super::client_view::{Candidate, ClientView, Shared};
use super::delta;
use super::encode_cache::EncodeCache;
use super::snapshot::Feedback;
use super::state_ring::StateRing;
use crate::bits::{BitReader, BitWriter};
use crate::client::snapshot_buffer::{SnapshotBuffer, SnapshotError};
use crate::limits::PAYLOAD_BYTES;
use crate::schema::{Audience, KindId, Schema};
use crate::sequence::Sequence;
use crate::session::ClientId;
use crate::tick::Tick;

/// What one tick does to the world and to its packets.
#[derive(Clone, Debug)]
struct Step {
    spawn: bool,
    despawn: Option<u16>,
    change: Vec<(u16, u8, u32)>,
    hide: u16,
    /// Per packet: 0 lost, 1 to 3 delivered that many ticks later, else at once.
    packets: Vec<u8>,
    ack_lost: bool,
}

fn step() -> impl Strategy<Value = Step> {
    (
        any::<bool>(),
        proptest::option::weighted(0.3, 0u16..12),
        proptest::collection::vec((0u16..12, 0u8..5, any::<u32>()), 0..8),
        0u16..12,
        proptest::collection::vec(0u8..8, 4),
        proptest::bool::weighted(0.2),
    )
        .prop_map(|(spawn, despawn, change, hide, packets, ack_lost)| Step {
            spawn,
            despawn,
            change,
            hide,
            packets,
            ack_lost,
        })
}

struct World {
    schema: Schema,
    ring: StateRing,
    view: ClientView,
    cache: EncodeCache,
    buffer: SnapshotBuffer,
    live: BTreeMap<u16, (NetId, Vec<u32>)>,
    generations: [u16; 12],
    tick: Tick,
    sequence: Sequence,
    in_flight: VecDeque<(Tick, Sequence, Vec<u8>)>,
    acks: Vec<Sequence>,
    budget: usize,
}

const OWNER: ClientId = ClientId(7);

impl World {
    fn new(budget: usize) -> Self {
        Self {
            schema: delta::tests::schema(),
            ring: StateRing::new(),
            view: ClientView::new(),
            cache: EncodeCache::default(),
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
        if let Some((id, _)) = step.despawn.and_then(|slot| self.live.remove(&slot)) {
            self.generations[usize::from(id.slot)] += 1;
            self.ring.remove(id);
        }
        let free = (0..12).find(|slot| !self.live.contains_key(slot));
        if let Some(slot) = free.filter(|_| step.spawn) {
            let id = NetId { slot, generation: self.generations[usize::from(slot)] };
            self.live.insert(slot, (id, vec![5; 5]));
        }
        let kind = self.schema.kind(KindId(0)).clone();
        for (slot, field, value) in &step.change {
            if let Some((_, fields)) = self.live.get_mut(slot) {
                fields[usize::from(*field)] = value & kind.fields[usize::from(*field)].max();
            }
        }
        self.tick = self.tick.next();
        self.ring.begin_tick(self.tick);
        for (id, fields) in self.live.values() {
            let owner = (id.slot == 3).then_some(OWNER);
            self.ring.record(&self.schema, (*id, KindId(0), owner), fields);
        }
    }

    fn own(&self) -> Option<NetId> {
        self.live.get(&3).map(|(id, _)| *id)
    }

    fn send(&mut self, step: &Step) {
        self.cache.begin_tick(self.ring.slots());
        let visible = self.live.keys().filter(|slot| **slot != step.hide);
        let relevant: Vec<Candidate> = visible.map(|slot| Candidate { slot: *slot, weight: 1 }).collect();
        let own = self.own();
        let mut shared = Shared { schema: &self.schema, ring: &self.ring, cache: &mut self.cache };
        self.view.plan(&mut shared, &relevant, own, self.budget);
        for fate in step.packets.iter().cycle() {
            let mut writer = BitWriter::new();
            let more = self.view.write_packet(&mut shared, self.sequence, Feedback::default(), &mut writer);
            assert!(writer.bit_len() <= PAYLOAD_BYTES * 8);
            writer.pad_to_byte();
            match fate {
                0 => {}
                late @ 1..=3 => {
                    let at = self.tick + u32::from(*late);
                    self.in_flight.push_back((at, self.sequence, writer.bytes().to_vec()));
                }
                _ => self.in_flight.push_back((self.tick, self.sequence, writer.bytes().to_vec())),
            }
            self.sequence += 1;
            if !more {
                break;
            }
        }
    }

    fn receive(&mut self, step: &Step) {
        let (due, later): (VecDeque<_>, VecDeque<_>) =
            self.in_flight.drain(..).partition(|(at, ..)| !at.is_after(self.tick));
        self.in_flight = later;
        for (_, sequence, bytes) in due {
            match self.buffer.take(&self.schema, BitReader::new(&bytes)) {
                Ok(_) => self.acks.push(sequence),
                Err(SnapshotError::Baseline) => {}
                Err(error) => panic!("{error}"),
            }
        }
        if !step.ack_lost {
            self.acks.drain(..).for_each(|sequence| self.view.packet_acked(sequence));
        }
    }

    /// What the server believes the client holds, the client must hold, bit for bit.
    fn check_acked(&self) {
        for (id, _) in self.live.values() {
            let Some(acked) = self.view.acked(*id) else { continue };
            let held = self.buffer.entity(id.slot).filter(|remote| remote.id == *id);
            let held = held.and_then(|remote| remote.versions().find(|held| held.tick == acked));
            assert!(held.is_some(), "{id} at {acked} was acknowledged and is not held");
        }
    }

    fn check_converged(&self, hidden: u16) {
        let expected: Vec<u16> = self.live.keys().copied().filter(|slot| *slot != hidden).collect();
        let held: Vec<u16> = self.buffer.entities().map(|remote| remote.id.slot).collect();
        assert_eq!(held, expected);
        for remote in self.buffer.entities() {
            let (id, fields) = &self.live[&remote.id.slot];
            assert_eq!(remote.id, *id);
            let audience = if Some(*id) == self.own() { Audience::Owner } else { Audience::Others };
            let kind = self.schema.kind(KindId(0));
            let hash = |fields| delta::hash(kind, audience, fields);
            assert_eq!(hash(&remote.newest().fields), hash(fields), "{id}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]
    #[test]
    fn decoded_equals_sent_whatever_is_lost(
        steps in proptest::collection::vec(step(), 1..120),
        budget in prop_oneof![Just(40usize), Just(2_000)],
    ) {
        let mut world = World::new(budget);
        for step in &steps {
            world.change(step);
            world.send(step);
            world.receive(step);
            world.check_acked();
        }
        let calm =
            Step { spawn: false, despawn: None, change: vec![], hide: 5, packets: vec![9], ack_lost: false };
        for _ in 0..40 {
            world.change(&calm);
            world.send(&calm);
            world.receive(&calm);
        }
        world.check_converged(5);
    }
}

#[test]
fn the_tick_that_ends_an_entity_can_begin_the_next_in_its_slot() {
    let mut world = World::new(2_000);
    let calm =
        Step { spawn: false, despawn: None, change: vec![], hide: 11, packets: vec![9], ack_lost: false };
    let spawn = Step { spawn: true, ..calm.clone() };
    let replace = Step { despawn: Some(0), ..spawn.clone() };
    for step in [&spawn, &calm, &replace, &calm] {
        world.change(step);
        world.send(step);
        world.receive(step);
    }
    world.check_converged(11);
    assert_eq!(world.buffer.entity(0).unwrap().id.generation, 1);
}

#[test]
fn clients_with_the_same_baseline_share_the_encoding() {
    let mut world = World::new(2_000);
    let step = Step {
        spawn: true,
        despawn: None,
        change: (0..12).map(|slot| (slot, 0, 77)).collect(),
        hide: 11,
        packets: vec![9],
        ack_lost: false,
    };
    for _ in 0..12 {
        world.change(&step);
        world.send(&step);
        world.receive(&step);
    }
    let mut shared = Shared { schema: &world.schema, ring: &world.ring, cache: &mut world.cache };
    shared.cache.begin_tick(world.ring.slots());
    let relevant: Vec<Candidate> =
        world.live.keys().map(|slot| Candidate { slot: *slot, weight: 1 }).collect();
    let (_, before) = shared.cache.sharing();
    for _ in 0..50 {
        ClientView::new().plan(&mut shared, &relevant, None, 8_000);
    }
    assert_eq!(shared.cache.sharing().1 - before, relevant.len() as u64);
}

#[test]
fn four_hundred_removals_take_a_round_trip_and_not_four_hundred() {
    const ROUND_TRIP: u64 = 12;
    let (schema, mut ring, mut cache) = (delta::tests::schema(), StateRing::new(), EncodeCache::default());
    let (mut view, mut buffer) = (ClientView::new(), SnapshotBuffer::new());
    let mut acks = VecDeque::new();
    for tick in 0..120u64 {
        ring.begin_tick(Tick(tick as u32));
        let slots = if tick < 60 { 0..400u16 } else { 0..0 };
        for slot in slots.clone() {
            ring.record(&schema, (NetId { slot, generation: 0 }, KindId(0), None), &[1; 5]);
        }
        if tick == 60 {
            (0..400).for_each(|slot| ring.remove(NetId { slot, generation: 0 }));
        }
        cache.begin_tick(ring.slots());
        let relevant: Vec<Candidate> = slots.map(|slot| Candidate { slot, weight: 1 }).collect();
        let mut shared = Shared { schema: &schema, ring: &ring, cache: &mut cache };
        view.plan(&mut shared, &relevant, None, 8_000);
        let mut sequence = tick * 20;
        loop {
            let mut writer = BitWriter::new();
            let more = view.write_packet(&mut shared, sequence, Feedback::default(), &mut writer);
            writer.pad_to_byte();
            buffer.take(&schema, BitReader::new(writer.bytes())).unwrap();
            acks.push_back((tick + ROUND_TRIP, sequence));
            sequence += 1;
            if !more {
                break;
            }
        }
        while acks.front().is_some_and(|(at, _)| *at <= tick) {
            view.packet_acked(acks.pop_front().unwrap().1);
        }
        let expected = if tick < 60 { 400 } else { 400usize.saturating_sub((tick as usize - 59) * 16) };
        assert_eq!(buffer.entities().count(), expected, "tick {tick}");
    }
}
