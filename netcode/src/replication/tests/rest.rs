//! Entities that rest for very long, and ticks that pass the middle and the end of their range.

use super::super::NetId;
use super::super::client_view::ClientView;
use super::super::entity::tests::{FIELDS, fitted};
use super::super::state_ring::ReplicaMeta;
use super::crowd::{Crowd, interest};
use crate::bits::BitReader;
use crate::client::snapshot_buffer::SnapshotBuffer;
use crate::limits::BASELINE_TICKS;
use crate::schema::{Audience, KindId};
use crate::sequence::Sequence;
use crate::session::ClientId;
use crate::tick::Tick;

/// Slots of the world: two blocks, the second of which always moves.
const SLOTS: u16 = 70;

/// The entity that the client owns.
const OWN: NetId = NetId {
    slot: 2,
    generation: 0,
};

struct World {
    crowd: Crowd,
    view: ClientView,
    buffer: SnapshotBuffer,
    sequence: Sequence,
    /// Position of the entities of the first block.
    x: u32,
}

impl World {
    fn new(tick: u32) -> Self {
        let crowd = Crowd {
            tick: Tick(tick),
            ..Crowd::new()
        };
        Self {
            crowd,
            view: ClientView::new(),
            buffer: SnapshotBuffer::new(),
            sequence: 0,
            x: 5,
        }
    }

    /// Runs the tick `passed` ticks later, in which the client sees the slots `seen`, receives
    /// everything and acknowledges it. Returns the bytes sent.
    fn step(&mut self, passed: u32, seen: std::ops::Range<u16>) -> usize {
        let crowd = &mut self.crowd;
        crowd.tick = crowd.tick + passed;
        crowd.ring.begin_tick(crowd.tick);
        for slot in 0..SLOTS {
            let owner = (slot == OWN.slot).then_some(ClientId(1));
            let meta = ReplicaMeta {
                id: NetId {
                    slot,
                    generation: 0,
                },
                kind: KindId(0),
                owner,
                team: 0,
            };
            let x = if slot < 64 {
                self.x
            } else {
                crowd.tick.0 % 1_000
            };
            crowd
                .ring
                .record(&crowd.schema, meta, &fitted(&[x; FIELDS]));
        }
        crowd.cache.begin_tick(&crowd.ring);
        let mut masks = vec![0; crowd.ring.blocks().len()];
        seen.clone()
            .for_each(|slot| masks[usize::from(slot) / 64] |= 1 << (slot % 64));
        let interest = super::super::client_view::Interest {
            own: seen.contains(&OWN.slot).then_some(OWN),
            ..interest(&masks)
        };
        let packets = crowd.send(&mut self.view, &interest, self.sequence);
        self.sequence += packets.len() as Sequence;
        for (sequence, bytes) in &packets {
            self.buffer
                .take(&crowd.schema, BitReader::new(bytes))
                .unwrap();
            self.view.packet_acked(*sequence);
        }
        packets.iter().map(|(_, bytes)| bytes.len()).sum()
    }

    /// Runs `count` consecutive ticks.
    fn steps(&mut self, count: usize, seen: std::ops::Range<u16>) {
        for _ in 0..count {
            self.step(1, seen.clone());
        }
    }

    /// The client holds the server's state of these slots, and no others.
    fn check(&self, seen: std::ops::Range<u16>) {
        let kind = self.crowd.schema.kind(KindId(0));
        for slot in 0..SLOTS {
            let held = self
                .buffer
                .public(slot)
                .map(|remote| remote.newest().fields);
            assert_eq!(held.is_some(), seen.contains(&slot), "slot {slot}");
            let entry = self.crowd.ring.entry(slot).unwrap();
            for (at, field) in kind.fields.iter().enumerate() {
                if let Some(held) = held.filter(|_| Audience::Others.sees(field.visibility)) {
                    assert_eq!(
                        held[at],
                        entry.current().fields[at],
                        "slot {slot}, field {at}"
                    );
                }
            }
        }
    }
}

/// Ticks at which worlds begin: the start, before the middle of the range, and before its end.
const STARTS: [u32; 3] = [0, (1 << 31) - 100, u32::MAX - 99];

#[test]
fn a_world_passes_the_middle_of_the_range_of_ticks_and_its_end() {
    for start in STARTS {
        let mut world = World::new(start);
        let whole = world.step(1, 0..SLOTS);
        for tick in 1..400 {
            world.x += u32::from(tick % 90 == 0);
            let bytes = world.step(1, 0..SLOTS);
            assert!(
                tick % 90 < 2 || bytes * 3 < whole,
                "{start}, tick {tick}: {bytes} of {whole} bytes"
            );
            world.check(0..SLOTS);
        }
    }
}

#[test]
fn what_rested_for_however_many_ticks_is_decoded_when_it_moves() {
    let half = 1 << 31;
    for passed in [
        BASELINE_TICKS + 1,
        half / 2 + 1,
        half - 1,
        half,
        half + 1,
        half + 77,
        u32::MAX - 2 * BASELINE_TICKS,
    ] {
        for start in STARTS {
            let mut world = World::new(start);
            world.steps(5, 0..SLOTS);
            world.step(passed, 0..SLOTS);
            world.check(0..SLOTS);
            for tick in 0..10 {
                world.x += u32::from(tick > 3);
                world.step(1, 0..SLOTS);
                world.check(0..SLOTS);
            }
        }
    }
}

#[test]
fn what_rests_is_not_sent_again_and_its_baseline_stays_young() {
    for start in STARTS {
        let mut world = World::new(start);
        let whole = world.step(1, 0..SLOTS);
        world.steps(5, 0..SLOTS);
        // More than 2^32 ticks, in large steps.
        for _ in 0..3 * (1 << 32) / u64::from(BASELINE_TICKS) {
            let bytes = world.step(BASELINE_TICKS / 2 - 1, 0..SLOTS);
            assert!(bytes * 3 < whole, "{bytes} of {whole} bytes");
            let acked = world
                .view
                .acked(NetId {
                    slot: 9,
                    generation: 0,
                })
                .unwrap();
            let own = world.view.own_acked().unwrap();
            for acked in [acked, own] {
                assert!(
                    (0..=3 * BASELINE_TICKS as i32).contains(&world.crowd.tick.distance(acked))
                );
            }
        }
        world.x += 1;
        world.step(1, 0..SLOTS);
        world.check(0..SLOTS);
    }
}

#[test]
fn what_left_sight_long_ago_comes_back_and_what_rested_leaves() {
    for passed in [
        BASELINE_TICKS / 2,
        (1 << 31) + 5,
        u32::MAX - 2 * BASELINE_TICKS,
    ] {
        let mut world = World::new(7);
        world.steps(5, 0..SLOTS);
        world.steps(9, 60..SLOTS);
        world.check(60..SLOTS);
        for _ in 0..4 {
            world.step(passed, 60..SLOTS);
        }
        world.steps(3, 0..SLOTS);
        world.check(0..SLOTS);
        for _ in 0..4 {
            world.step(passed, 0..SLOTS);
        }
        world.steps(9, 64..SLOTS);
        world.check(64..SLOTS);
    }
}
