//! What one client holds of the world, as far as the server knows, and what to send it next.
//!
//! Per entity: the version it acknowledged, and a priority that grows each tick until the entity is sent.
//! Per packet in flight: which versions it carried. Beside that only which removals are not acknowledged.
//!
//! ```text
//! plan (who is due, who fits the budget) -> write_packet, once per datagram -> acked
//! ```

use std::cmp::Reverse;
use std::collections::VecDeque;

use super::NetId;
use super::encode_cache::{BitRange, EncodeCache};
use super::snapshot::{Base, Deferred, Feedback, SLOT_BITS, SnapshotHeader, combine, hash_part};
use super::state_ring::StateRing;
use crate::bits::{BitWriter, golomb_bits};
use crate::limits::{
    ACK_WINDOW, DEFERRED_PER_PACKET, PAYLOAD_BYTES, REMOVALS, REMOVALS_PER_PACKET, SNAPSHOT_BYTES,
    SNAPSHOT_PACKETS,
};
use crate::schema::{Audience, Schema};
use crate::sequence::Sequence;
use crate::tick::Tick;

/// What all clients of a room share when their snapshots are written.
pub struct Shared<'a> {
    /// The components and kinds.
    pub schema: &'a Schema,
    /// The world's copies, the newest being the tick to send.
    pub ring: &'a StateRing,
    /// The bits encoded so far in this tick.
    pub cache: &'a mut EncodeCache,
}

/// A relevant entity and how fast its priority grows per tick (1 or more).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// Its slot.
    pub slot: u16,
    /// Growth of its priority per tick.
    pub weight: u32,
}

#[derive(Clone, Copy, Debug, Default)]
struct Tracked {
    generation: u16,
    /// The client may hold the entity: something of it was sent, and no removal acknowledged since.
    known: bool,
    /// Tick at which it last became relevant: what was acknowledged before does not count.
    entered: Tick,
    acked: Option<Tick>,
    priority: u32,
    /// Tick at which it was relevant last.
    relevant_at: Option<Tick>,
}

#[derive(Debug, Default)]
struct SentState {
    sequence: Sequence,
    tick: Tick,
    versions: Vec<(NetId, Tick)>,
    removals: Vec<NetId>,
}

#[derive(Clone, Copy, Debug)]
struct Due {
    id: NetId,
    priority: u32,
    base: Option<Tick>,
    version: Tick,
    /// Hash of the fields that the client sees.
    hash: u64,
    bits: BitRange,
    own: bool,
}

/// Sizes of the snapshots written so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ViewStats {
    /// Ticks planned.
    pub ticks: u64,
    /// Relevant entities, summed over ticks.
    pub relevant: u64,
    /// Entity updates sent.
    pub updates: u64,
    /// Entity updates put off for lack of budget.
    pub deferred: u64,
    /// Bits of snapshot bodies sent.
    pub bits: u64,
}

/// One client's view of the world.
#[derive(Debug, Default)]
pub struct ClientView {
    tracked: Vec<Tracked>,
    in_flight: VecDeque<SentState>,
    /// Entities that the client must be told are gone, and since when; told in turn until acknowledged.
    removals: VecDeque<(NetId, Tick)>,
    own: Option<NetId>,
    due: Vec<Due>,
    /// Of `due`, how many are written.
    written: usize,
    next_index: u8,
    deferred: Deferred,
    body: BitWriter,
    stats: ViewStats,
}

impl ClientView {
    /// A client that holds nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sizes so far.
    pub fn stats(&self) -> ViewStats {
        self.stats
    }

    /// Forgets all acknowledgements: everything is sent whole, because the client's copy is in doubt.
    pub fn reset(&mut self) {
        self.in_flight.clear();
        self.tracked.iter_mut().for_each(|tracked| tracked.acked = None);
    }

    /// The version of an entity that the client acknowledged.
    pub fn acked(&self, id: NetId) -> Option<Tick> {
        self.tracked.get(usize::from(id.slot)).filter(|t| t.known && t.generation == id.generation)?.acked
    }

    /// The client's own entity at the last plan.
    pub fn own(&self) -> Option<NetId> {
        self.own
    }

    /// Whether the client leaves so many removals unacknowledged that its session must end.
    pub fn is_overwhelmed(&self) -> bool {
        self.removals.len() > REMOVALS
    }

    /// Whether the entity in a slot was relevant at the last plan.
    pub fn was_relevant(&self, slot: u16) -> bool {
        self.tracked.get(usize::from(slot)).is_some_and(|tracked| tracked.relevant_at.is_some())
    }

    /// Since which tick an entity has been relevant, if it was at the last plan.
    pub fn relevant_since(&self, id: NetId) -> Option<Tick> {
        let tracked = self.tracked.get(usize::from(id.slot))?;
        (tracked.relevant_at.is_some() && tracked.generation == id.generation).then_some(tracked.entered)
    }

    /// Decides what this tick's snapshot holds: each of `relevant` (by rising slot) that differs from what the
    /// client acknowledged, the client's `own` first, then by priority, up to `budget` bytes.
    pub fn plan(
        &mut self,
        shared: &mut Shared<'_>,
        relevant: &[Candidate],
        own: Option<NetId>,
        budget: usize,
    ) {
        self.tracked.resize(self.tracked.len().max(shared.ring.slots()), Tracked::default());
        self.change_own(own);
        self.due.clear();
        self.written = 0;
        self.next_index = 0;
        for candidate in relevant {
            self.consider(shared, *candidate, own);
        }
        self.drop_irrelevant(shared.ring.tick());
        self.fit(budget.min(SNAPSHOT_BYTES) * 8);
        if let Some(own) = self.due.iter().position(|due| due.own) {
            self.due[..=own].rotate_right(1);
        }
        self.stats.ticks += 1;
        self.stats.relevant += relevant.len() as u64;
    }

    /// What the client held as a stranger's it cannot build upon as its own, nor the other way round.
    fn change_own(&mut self, own: Option<NetId>) {
        if self.own == own {
            return;
        }
        for id in self.own.into_iter().chain(own) {
            if let Some(tracked) = self.tracked.get_mut(usize::from(id.slot)) {
                tracked.acked = None;
            }
        }
        self.in_flight.clear();
        self.own = own;
    }

    fn consider(&mut self, shared: &mut Shared<'_>, candidate: Candidate, own: Option<NetId>) {
        let Some(entry) = shared.ring.entry(candidate.slot) else { return };
        let tracked = &mut self.tracked[usize::from(candidate.slot)];
        let now = shared.ring.tick();
        if tracked.relevant_at.is_none() || tracked.generation != entry.id.generation {
            if tracked.known {
                let old = NetId { slot: candidate.slot, generation: tracked.generation };
                self.removals.push_back((old, now));
            }
            // Back before its removal was acknowledged: the client may hold it still.
            let known = self.removals.iter().any(|(id, _)| *id == entry.id);
            self.removals.retain(|(id, _)| *id != entry.id);
            *tracked = Tracked { generation: entry.id.generation, entered: now, known, ..Tracked::default() };
        }
        tracked.relevant_at = Some(now);
        if tracked.acked == Some(entry.current().tick) {
            tracked.priority = 0;
            return;
        }
        tracked.priority = tracked.priority.saturating_add(candidate.weight);
        let own = own == Some(entry.id);
        let audience = if own { Audience::Owner } else { Audience::Others };
        let (bits, base) = shared.cache.encode(shared.schema, shared.ring, entry, tracked.acked, audience);
        let (version, hash) = (entry.current().tick, entry.current().hashes[audience as usize]);
        let priority = tracked.priority;
        self.due.push(Due { id: entry.id, priority, base, version, hash, bits, own });
    }

    /// What was relevant before and is not any more leaves the client's world.
    fn drop_irrelevant(&mut self, now: Tick) {
        for (slot, tracked) in self.tracked.iter_mut().enumerate() {
            if tracked.relevant_at.is_none_or(|at| at == now) {
                continue;
            }
            if tracked.known {
                self.removals.push_back((NetId { slot: slot as u16, generation: tracked.generation }, now));
            }
            *tracked = Tracked::default();
        }
    }

    /// Keeps what fits into `budget` bits, by priority; the rest is deferred.
    fn fit(&mut self, budget: usize) {
        self.deferred = Deferred::None;
        let need: usize = self.due.iter().map(Due::cost).sum();
        if need <= budget {
            return;
        }
        self.due.sort_unstable_by_key(|due| (!due.own, Reverse(due.priority), due.id.slot));
        let (tracked, mut slots, mut left, mut others) = (&self.tracked, Vec::new(), budget, 0);
        let before = self.due.len();
        self.due.retain(|due| {
            // The most urgent goes even where it alone is more than the budget: nothing waits for ever.
            others += usize::from(!due.own);
            let fits = due.own || others == 1 || due.cost() <= left;
            if fits {
                left = left.saturating_sub(due.cost());
            } else if tracked[usize::from(due.id.slot)].known {
                slots.push(due.id.slot);
            }
            fits
        });
        self.stats.deferred += (before - self.due.len()) as u64;
        self.due.sort_unstable_by_key(|due| due.id.slot);
        slots.sort_unstable();
        self.deferred = Deferred::of(slots);
    }

    /// Writes the next packet of the planned snapshot behind what `writer` holds. Returns whether another
    /// must follow.
    pub fn write_packet(
        &mut self,
        shared: &mut Shared<'_>,
        sequence: Sequence,
        feedback: Feedback,
        writer: &mut BitWriter,
    ) -> bool {
        let start = writer.bit_len();
        let mut sent = self.recycle(sequence, shared.ring.tick());
        let mut header = self.header(shared, feedback);
        sent.removals.extend_from_slice(&header.removals);
        let room = (PAYLOAD_BYTES * 8).saturating_sub(start + header_bits(&header));
        let hash = self.write_body(shared, &mut header, &mut sent, room);
        self.next_index += 1;
        header.last = self.written == self.due.len();
        header.write(writer);
        let bits = self.body.bit_len();
        self.body.pad_to_byte();
        writer.append(self.body.bytes(), 0, bits);
        writer.write(hash, 16);
        self.stats.updates += sent.versions.len() as u64;
        self.stats.bits += (writer.bit_len() - start) as u64;
        self.in_flight.push_back(sent);
        !header.last && usize::from(self.next_index) < SNAPSHOT_PACKETS
    }

    /// A record for the next packet, with the memory of one whose fate is long known.
    fn recycle(&mut self, sequence: Sequence, tick: Tick) -> SentState {
        let mut sent = SentState::default();
        while self.in_flight.front().is_some_and(|old| old.sequence + 4 * ACK_WINDOW <= sequence) {
            sent = self.in_flight.pop_front().unwrap_or_default();
        }
        sent.versions.clear();
        sent.removals.clear();
        SentState { sequence, tick, ..sent }
    }

    fn header(&mut self, shared: &Shared<'_>, feedback: Feedback) -> SnapshotHeader {
        let first = self.next_index == 0;
        let tick = shared.ring.tick();
        let told = if first { self.removals.len().min(REMOVALS_PER_PACKET) } else { 0 };
        let removals = self.removals.iter().take(told).map(|(id, _)| *id).collect();
        self.removals.rotate_left(told);
        if first {
            self.defer_untold(told);
        }
        let left = &self.due[self.written..];
        let newest = left.iter().filter_map(|due| due.base).reduce(Tick::later);
        SnapshotHeader {
            tick,
            index: self.next_index,
            last: false,
            feedback,
            removals,
            deferred: if first { std::mem::take(&mut self.deferred) } else { Deferred::None },
            common_baseline: newest.unwrap_or(tick),
            has_own: left.first().is_some_and(|due| due.own),
            others: 0,
        }
    }

    /// The absence of what left the client's sight says nothing until the client was told so; the removals told in
    /// this packet are the last of the queue.
    fn defer_untold(&mut self, told: usize) {
        let untold = self.removals.len() - told;
        let mut slots = match std::mem::take(&mut self.deferred) {
            _ if untold > DEFERRED_PER_PACKET => return self.deferred = Deferred::Any,
            Deferred::Any => return self.deferred = Deferred::Any,
            Deferred::None => Vec::new(),
            Deferred::These(slots) => slots,
        };
        slots.extend(self.removals.iter().take(untold).map(|(id, _)| id.slot));
        slots.sort_unstable();
        slots.dedup();
        self.deferred = Deferred::of(slots);
    }

    /// Writes entities into `body` until `room` bits are full; returns the hash over them.
    fn write_body(
        &mut self,
        shared: &Shared<'_>,
        header: &mut SnapshotHeader,
        sent: &mut SentState,
        room: usize,
    ) -> u32 {
        self.body.clear();
        let (ticks, mut next_slot, mut parts) = ((header.tick, header.common_baseline), 0u16, 0u32);
        while let Some(due) = self.due.get(self.written).copied() {
            let base = due.base.map_or(Base::Whole, Base::Version);
            let place = if due.own { SLOT_BITS } else { golomb_bits(u32::from(due.id.slot - next_slot), 0) };
            if self.body.bit_len() + due.bits.len + (place + base.bits(ticks)) as usize > room {
                header.has_own &= !due.own;
                break;
            }
            if due.own {
                self.body.write(u32::from(due.id.slot), SLOT_BITS);
            } else {
                self.body.write_golomb(u32::from(due.id.slot - next_slot), 0);
                next_slot = due.id.slot + 1;
                header.others += 1;
            }
            base.write(&mut self.body, ticks);
            self.body.append(shared.cache.bytes(), due.bits.start, due.bits.len);
            parts = parts.wrapping_add(self.note_sent(&due, sent));
            self.written += 1;
        }
        combine([parts].into_iter())
    }

    fn note_sent(&mut self, due: &Due, sent: &mut SentState) -> u32 {
        let tracked = &mut self.tracked[usize::from(due.id.slot)];
        tracked.known = true;
        tracked.priority = 0;
        sent.versions.push((due.id, due.version));
        hash_part(due.hash, due.id.slot, due.version)
    }

    /// The client took over all that this packet carried.
    pub fn packet_acked(&mut self, sequence: Sequence) {
        let Ok(at) = self.in_flight.binary_search_by_key(&sequence, |sent| sent.sequence) else { return };
        let sent = &mut self.in_flight[at];
        for (id, version) in sent.versions.drain(..) {
            let tracked = &mut self.tracked[usize::from(id.slot)];
            let current = tracked.generation == id.generation && !tracked.entered.is_after(sent.tick);
            if current && tracked.known {
                tracked.acked = Some(tracked.acked.map_or(version, |acked| acked.later(version)));
            }
        }
        let (tick, removals) = (sent.tick, std::mem::take(&mut sent.removals));
        self.removals.retain(|(id, since)| since.is_after(tick) || !removals.contains(id));
    }
}

impl Due {
    /// About the bits that the entity takes in a packet, with its place and baseline.
    fn cost(&self) -> usize {
        self.bits.len + if self.own { SLOT_BITS as usize + 2 } else { 4 }
    }
}

/// Bits of a header once its count of entities is known (at most 24 more than for none), and of the hash.
fn header_bits(header: &SnapshotHeader) -> usize {
    let mut writer = BitWriter::new();
    header.write(&mut writer);
    writer.bit_len() + 24 + 16
}
