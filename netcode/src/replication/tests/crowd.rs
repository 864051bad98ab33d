//! Larger worlds: sharing, bursts, budgets, and what packets must not reveal.

use std::collections::VecDeque;

use rand::{RngExt, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;

use super::super::NetId;
use super::super::block_delta::{bit_of, block_of};
use super::super::client_view::{ClientView, Interest, ManyRemovals, Shared};
use super::super::delta_cache::DeltaCache;
use super::super::entity::tests::{FIELDS, fitted, schema};
use super::super::snapshot::Feedback;
use super::super::state_ring::{ReplicaMeta, StateRing};
use crate::bits::{BitReader, BitWriter};
use crate::client::snapshot_buffer::SnapshotBuffer;
use crate::limits::PAYLOAD_BYTES;
use crate::schema::{KindId, Priors, Schema};
use crate::sequence::Sequence;
use crate::tick::Tick;

/// A world of moving entities, without a network between the ring and its views.
pub(super) struct Crowd {
    pub schema: Schema,
    pub ring: StateRing,
    pub cache: DeltaCache,
    pub tick: Tick,
}

impl Crowd {
    pub fn new() -> Self {
        Self {
            schema: schema(),
            ring: StateRing::new(),
            cache: DeltaCache::default(),
            tick: Tick(1_000),
        }
    }

    /// Runs one tick with entities in these slots.
    pub fn step(&mut self, slots: std::ops::Range<u16>, moving: bool) {
        self.tick = self.tick.next();
        self.ring.begin_tick(self.tick);
        let gone: Vec<NetId> = self
            .ring
            .entries()
            .map(|entry| entry.id)
            .filter(|id| !slots.contains(&id.slot))
            .collect();
        gone.into_iter().for_each(|id| self.ring.remove(id));
        for slot in slots {
            let meta = ReplicaMeta {
                id: NetId {
                    slot,
                    generation: 0,
                },
                kind: KindId(0),
                owner: None,
                team: 0,
            };
            let x = if moving {
                1_000 + self.tick.0 * 3 + u32::from(slot)
            } else {
                7
            };
            self.ring.record(&self.schema, meta, &fitted(&[x; FIELDS]));
        }
        self.cache.begin_tick(&self.ring);
    }

    pub fn masks(&self) -> Vec<u64> {
        self.ring.blocks().iter().map(|block| block.live).collect()
    }

    /// Writes one client's packets of this tick.
    pub fn send(
        &mut self,
        view: &mut ClientView,
        interest: &Interest<'_>,
        first: Sequence,
    ) -> Vec<(Sequence, Vec<u8>)> {
        self.send_behind(view, interest, first, |_| {})
    }

    /// Writes one client's packets of this tick, each after what `begin` writes.
    pub fn send_behind(
        &mut self,
        view: &mut ClientView,
        interest: &Interest<'_>,
        first: Sequence,
        mut begin: impl FnMut(&mut BitWriter),
    ) -> Vec<(Sequence, Vec<u8>)> {
        view.note_gone(self.ring.gone(), self.tick);
        let mut shared = Shared {
            schema: &self.schema,
            ring: &self.ring,
            cache: &mut self.cache,
        };
        view.plan(&mut shared, interest);
        let mut packets = Vec::new();
        loop {
            let (mut writer, sequence) = (BitWriter::new(), first + packets.len() as Sequence);
            begin(&mut writer);
            let more = view.write_packet(
                &mut shared,
                sequence,
                PAYLOAD_BYTES,
                Feedback::default(),
                &mut writer,
            );
            writer.pad_to_byte();
            assert!(writer.bytes().len() <= PAYLOAD_BYTES);
            packets.push((sequence, writer.bytes().to_vec()));
            if !more {
                return packets;
            }
        }
    }
}

pub(super) fn interest(masks: &[u64]) -> Interest<'_> {
    Interest {
        own: None,
        team: 0,
        masks,
        weights: None,
        budget: 8_000,
    }
}

#[test]
fn clients_with_the_same_baseline_share_the_encoding() {
    let mut crowd = Crowd::new();
    crowd.step(0..200, true);
    let masks = crowd.masks();
    for _ in 0..50 {
        crowd.send(&mut ClientView::new(), &interest(&masks), 0);
    }
    let (lookups, encodes) = crowd.cache.sharing();
    assert_eq!(lookups, encodes * 50);
}

#[test]
fn what_does_not_change_is_not_sent_again() {
    let (mut crowd, mut view) = (Crowd::new(), ClientView::new());
    let mut sizes = Vec::new();
    for tick in 0..400u64 {
        crowd.step(0..200, tick < 100);
        let masks = crowd.masks();
        let packets = crowd.send(&mut view, &interest(&masks), tick * 20);
        sizes.push(packets.iter().map(|(_, bytes)| bytes.len()).sum::<usize>());
        packets
            .iter()
            .for_each(|(sequence, _)| view.packet_acked(*sequence));
    }
    assert!(
        sizes[50] > 200 && sizes[102..].iter().all(|size| *size < 20),
        "{:?}",
        &sizes[98..110]
    );
}

/// A client with a round trip of several ticks, on a path without loss.
#[derive(Default)]
struct Distant {
    view: ClientView,
    buffer: SnapshotBuffer,
    acks: VecDeque<(u64, Sequence)>,
}

impl Distant {
    const ROUND_TRIP: u64 = 12;

    /// Decodes the packets of this tick; acknowledgements reach the view a round trip later.
    fn hear(&mut self, crowd: &mut Crowd, tick: u64) {
        let masks = crowd.masks();
        for (sequence, bytes) in crowd.send(&mut self.view, &interest(&masks), tick * 20) {
            self.buffer
                .take(&crowd.schema, BitReader::new(&bytes))
                .unwrap();
            self.acks.push_back((tick + Self::ROUND_TRIP, sequence));
        }
        while let Some((_, sequence)) = self.acks.pop_front_if(|(at, _)| *at <= tick) {
            self.view.packet_acked(sequence);
        }
    }
}

#[test]
fn four_hundred_removals_take_a_round_trip_and_not_four_hundred() {
    let (mut crowd, mut client) = (Crowd::new(), Distant::default());
    for tick in 0..120u64 {
        crowd.step(if tick < 60 { 0..400 } else { 0..0 }, false);
        client.hear(&mut crowd, tick);
        let expected = if tick < 60 {
            400
        } else {
            400usize.saturating_sub((tick as usize - 59) * 16)
        };
        assert_eq!(client.buffer.entities().count(), expected, "tick {tick}");
    }
}

#[test]
fn removals_do_not_pile_up_though_more_are_gone_in_each_tick_than_a_packet_names() {
    let (mut crowd, mut client) = (Crowd::new(), Distant::default());
    for tick in 0..300u64 {
        let first = 40 * tick as u16;
        crowd.step(first..first + 200, false);
        client.hear(&mut crowd, tick);
        assert!(!client.view.is_overwhelmed(), "tick {tick}");
        let held = client.buffer.entities().count();
        assert!(held < 200 + 1_000, "tick {tick}: {held}");
    }
}

/// Crowds leave the client's interest and return while their removals are being sent, on a path
/// that loses one packet in five.
#[test]
fn removals_in_several_packets_of_a_tick_are_what_one_packet_says() {
    let (mut crowd, mut view, mut buffer) =
        (Crowd::new(), ClientView::new(), SnapshotBuffer::new());
    view.many_removals = ManyRemovals(30);
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(5);
    let (mut acks, mut most) = (VecDeque::new(), 0);
    let mut masks = vec![u64::MAX; 8];
    for tick in 0..400u64 {
        let calm = tick >= 340;
        crowd.step(0..512, tick % 3 == 0);
        if !calm && rng.random_bool(0.5) {
            masks[rng.random_range(0..8usize)] = rng.random();
        }
        let packets = crowd.send(&mut view, &interest(&masks), tick * 20);
        most = most.max(packets.len());
        for (sequence, bytes) in packets {
            if calm || rng.random_bool(0.8) {
                buffer.take(&crowd.schema, BitReader::new(&bytes)).unwrap();
                acks.push_back((tick + rng.random_range(1..6), sequence));
            }
        }
        acks.retain(|(at, sequence)| {
            let is_due = *at <= tick;
            if is_due {
                view.packet_acked(*sequence);
            }
            !is_due
        });
    }
    assert!(most > 2, "{most} packets in a tick");
    let held: Vec<u16> = buffer.entities().map(|remote| remote.id.slot).collect();
    let seen: Vec<u16> = (0..512)
        .filter(|slot| masks[block_of(*slot)] & bit_of(*slot) != 0)
        .collect();
    assert_eq!(held, seen);
}

/// With a budget for a tenth of what is due, every entity is sent again within a bound that depends
/// on its weight.
#[test]
fn nothing_waits_for_ever() {
    for weighted in [false, true] {
        let (mut crowd, mut view) = (Crowd::new(), ClientView::new());
        let (slots, budget) = (512u16, if weighted { 400 } else { 1_600 });
        let weights: Vec<u32> = (0..slots).map(|slot| 1 + u32::from(slot) % 16).collect();
        let mut sent = vec![0u64; usize::from(slots)];
        let mut longest = vec![0u64; usize::from(slots)];
        for tick in 0..1_500u64 {
            crowd.step(0..slots, true);
            let masks = crowd.masks();
            let interest = Interest {
                weights: weighted.then_some(&*weights),
                budget,
                ..interest(&masks)
            };
            let packets = crowd.send(&mut view, &interest, tick * 20);
            packets
                .iter()
                .for_each(|(sequence, _)| view.packet_acked(*sequence));
            for slot in 0..slots {
                let at = usize::from(slot);
                let id = NetId {
                    slot,
                    generation: 0,
                };
                if view.acked(id) == Some(crowd.tick) {
                    longest[at] = longest[at].max(tick - sent[at]);
                    sent[at] = tick;
                }
                assert!(
                    tick - sent[at] < 900,
                    "slot {slot} waits since {}",
                    sent[at]
                );
            }
        }
        let most = |class: u64| {
            (0..slots)
                .filter(|s| u64::from(*s) % 16 == class)
                .map(|s| longest[usize::from(s)])
                .max()
        };
        println!(
            "weighted {weighted}: longest wait {:?} (least weight) and {:?} (most)",
            most(0),
            most(15)
        );
        assert!(!weighted || most(15) < most(0));
    }
}

/// Block deltas that are sent in every tick do not hold back entities that join the block later.
#[test]
fn what_is_new_in_a_busy_block_does_not_wait_for_ever() {
    let (mut crowd, mut view) = (Crowd::new(), ClientView::new());
    let mut acked = vec![false; 192];
    for tick in 0..300u64 {
        crowd.tick = crowd.tick.next();
        crowd.ring.begin_tick(crowd.tick);
        // The last 60 entities appear when all others already change, and by much.
        for slot in 0..if tick < 100 { 132 } else { 192u16 } {
            let meta = ReplicaMeta {
                id: NetId {
                    slot,
                    generation: 0,
                },
                kind: KindId(0),
                owner: None,
                team: 0,
            };
            let mut numbers = [1_000; FIELDS];
            let chance = (tick as u32 * 192 + u32::from(slot)).wrapping_mul(0x9e37_79b9);
            (numbers[0], numbers[2], numbers[5]) = (chance >> 17, chance >> 20, chance);
            crowd.ring.record(&crowd.schema, meta, &fitted(&numbers));
        }
        crowd.cache.begin_tick(&crowd.ring);
        let masks = crowd.masks();
        let interest = Interest {
            budget: 1_500,
            ..interest(&masks)
        };
        let packets = crowd.send(&mut view, &interest, tick * 20);
        packets
            .iter()
            .for_each(|(sequence, _)| view.packet_acked(*sequence));
        (0..192u16).for_each(|slot| {
            acked[usize::from(slot)] |= view
                .acked(NetId {
                    slot,
                    generation: 0,
                })
                .is_some();
        });
    }
    assert!(acked.iter().all(|acked| *acked), "{acked:?}");
}

/// A client that receives and acknowledges everything at once.
#[derive(Default)]
struct Witness {
    view: ClientView,
    buffer: SnapshotBuffer,
    next: Sequence,
}

impl Witness {
    /// Runs one tick; returns the bytes sent.
    fn tick(&mut self, crowd: &mut Crowd, budget: usize) -> usize {
        let masks = crowd.masks();
        let packets = crowd.send(
            &mut self.view,
            &Interest {
                budget,
                ..interest(&masks)
            },
            self.next,
        );
        self.next += packets.len() as Sequence;
        for (sequence, bytes) in &packets {
            self.buffer
                .take(&crowd.schema, BitReader::new(bytes))
                .unwrap();
            self.view.packet_acked(*sequence);
        }
        packets.iter().map(|(_, bytes)| bytes.len()).sum()
    }
}

#[test]
fn a_newcomer_gets_ten_thousand_entities_within_its_budget_and_nobody_waits_for_it() {
    const BUDGET: usize = 2_400;
    let (mut crowd, mut old, mut newcomer) = (Crowd::new(), Witness::default(), Witness::default());
    crowd.step(0..10_000, false);
    while old.buffer.entities().count() < 10_000 {
        crowd.step(0..10_000, false);
        assert!(old.tick(&mut crowd, 8_000) < 10_000);
    }
    // From here on nothing changes for the old client, even though a new one joins.
    let (mut ticks, mut most) = (0, 0);
    while newcomer.buffer.entities().count() < 10_000 {
        crowd.step(0..10_000, false);
        most = most.max(newcomer.tick(&mut crowd, BUDGET));
        assert!(
            old.tick(&mut crowd, BUDGET) < 30,
            "nothing changed for the old one"
        );
        ticks += 1;
    }
    println!("10,000 entities in {ticks} ticks of at most {most} bytes");
    assert!(
        most < BUDGET + 300 && ticks < 240,
        "{ticks} ticks, {most} bytes"
    );
}

#[test]
fn packets_of_two_worlds_that_differ_in_what_a_client_may_not_see_are_the_same() {
    let run = |secret: u32| {
        let (mut crowd, mut witness) = (Crowd::new(), Witness::default());
        let mut sent = Vec::new();
        for tick in 0..120u32 {
            crowd.tick = crowd.tick.next();
            crowd.ring.begin_tick(crowd.tick);
            for slot in 0..100u16 {
                let id = NetId {
                    slot,
                    generation: 0,
                };
                let meta = ReplicaMeta {
                    id,
                    kind: KindId(0),
                    owner: None,
                    team: 1 + (slot % 2) as u8,
                };
                let mut numbers = [1_000 + tick * 3 + u32::from(slot); FIELDS];
                // The owner's fuel, the server's dice, the other team's mood, and everything
                // outside the client's interest.
                (numbers[3], numbers[4]) = (secret * tick % 100, secret.wrapping_mul(tick + 7));
                if meta.team == 2 {
                    numbers[6] = (secret + tick) % 5;
                }
                if slot >= 80 {
                    numbers[0] = 5 * secret * tick;
                    numbers[5] = secret;
                }
                crowd.ring.record(&crowd.schema, meta, &fitted(&numbers));
            }
            crowd.cache.begin_tick(&crowd.ring);
            let masks = [u64::MAX, 0xffff];
            let interest = Interest {
                team: 1,
                ..interest(&masks)
            };
            let packets = crowd.send(&mut witness.view, &interest, u64::from(tick) * 20);
            packets
                .iter()
                .for_each(|(sequence, _)| witness.view.packet_acked(*sequence));
            sent.push(packets);
        }
        sent
    };
    assert_eq!(run(3), run(41));
}

#[test]
fn a_broken_table_is_noticed_within_a_second_and_a_full_resend_mends_it() {
    const BROKEN: Priors = &[("thing", "body", "vx", [[[200; 10]; 4]; 10])];
    let (mut crowd, mut witness) = (Crowd::new(), Witness::default());
    for _ in 0..60 {
        crowd.step(0..100, true);
        witness.tick(&mut crowd, 8_000);
    }
    let broken = schema().with_priors(BROKEN);
    let mut noticed = None;
    for tick in 0..60 {
        crowd.step(0..100, true);
        let masks = crowd.masks();
        let packets = crowd.send(&mut witness.view, &interest(&masks), witness.next);
        witness.next += packets.len() as Sequence;
        let taken = packets
            .iter()
            .all(|(_, bytes)| witness.buffer.take(&broken, BitReader::new(bytes)).is_ok());
        noticed = noticed.or((!taken).then_some(tick));
    }
    assert!(noticed.is_some_and(|tick| tick < 60), "{noticed:?}");
    witness.view.reset();
    crowd.step(0..100, true);
    witness.tick(&mut crowd, 8_000);
    for remote in witness.buffer.entities() {
        let current = crowd.ring.entry(remote.id.slot).unwrap().current();
        assert_eq!(
            (remote.newest().tick, remote.newest().fields[0]),
            (crowd.tick, current.fields[0])
        );
    }
}
