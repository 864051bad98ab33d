//! Larger worlds: shared encodings, what packets must not reveal, and a broken table.

use super::super::NetId;
use super::super::client_view::{ClientView, Interest, Shared};
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
    pub(crate) fn send_behind(
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

/// A client that receives and acknowledges everything at once.
#[derive(Default)]
pub(super) struct Witness {
    view: ClientView,
    pub buffer: SnapshotBuffer,
    next: Sequence,
}

impl Witness {
    /// Runs one tick; returns the bytes sent.
    pub(super) fn tick(&mut self, crowd: &mut Crowd, budget: usize) -> usize {
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
