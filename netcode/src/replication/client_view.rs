//! What one client holds of the world, as far as the server knows, and what to send it next.
//!
//! Per block of 64 slots: which the client holds as of which ticks ([`BlockAcks`]). Per packet in
//! flight: which slots of which blocks it carried. Beside that only which removals are not
//! acknowledged. So a client costs by the block, not by the entity.
//!
//! ```text
//! plan (who is due, who fits the budget) -> write_packet, once per datagram -> acked
//! ```

use std::collections::VecDeque;

use super::NetId;
use super::block_acks::BlockAcks;
use super::block_delta::{BaselineRef, Place, bit_of, block_of, slots_of};
use super::delta_cache::{BlockDelta, DeltaCache, DeltaKey, IndividualItem};
use super::send_scheduler::{MIN_UNITS_OF_BUDGET, SendScheduler};
use super::snapshot::{Deferred, DeltaHeader};
use super::state_ring::StateRing;
use crate::limits::{
    DEFERRED_PER_PACKET, REMOVALS, SMALLEST_PAYLOAD, SNAPSHOT_BYTES, SNAPSHOT_PACKETS, UNIT_BYTES,
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
    /// The units encoded so far in this tick.
    pub cache: &'a mut DeltaCache,
}

/// What a client may see in this tick.
#[derive(Clone, Copy, Debug)]
pub struct Interest<'a> {
    /// Its own entity.
    pub own: Option<NetId>,
    /// Its team; 0 for none.
    pub team: u8,
    /// Per block the slots that are relevant to it.
    pub masks: &'a [u64],
    /// By slot how fast its priority grows per tick (1 or more); `None` where all are alike, which
    /// lets clients share.
    pub weights: Option<&'a [u32]>,
    /// Most bytes of the tick's snapshot.
    pub budget: usize,
}

/// A block unit that is due.
#[derive(Clone, Copy, Debug)]
pub(super) struct DueDelta {
    pub key: DeltaKey,
    pub block_delta: BlockDelta,
}

/// Own copy: as of which ticks the client holds it, newest first, and which of them may still be
/// built upon.
#[derive(Clone, Debug, Default)]
pub(super) struct OwnView {
    pub id: Option<NetId>,
    pub acked: VecDeque<Tick>,
}

#[derive(Debug, Default)]
pub(super) struct SentState {
    pub sequence: Sequence,
    pub tick: Tick,
    pub own: bool,
    pub parts: Vec<(u16, u64)>,
    pub removals: Vec<NetId>,
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

/// Bytes of a packet's header, about, where it does not name many entities.
const PACKET_HEADER: usize = 64;

/// So many removals are a burst, and told one packet's worth a tick; more are too many.
#[derive(Debug)]
pub(super) struct ManyRemovals(pub usize);

impl Default for ManyRemovals {
    fn default() -> Self {
        Self(REMOVALS / 8)
    }
}

/// Bytes of a packet that names removals and nothing else, about, sealed.
const REMOVAL_PACKET_BYTES: usize = 100;

/// Packets of a tick, beside the first, that name removals while there are too many.
const MORE_REMOVAL_PACKETS: usize = 3;

/// Units as short as this are not cut, however short the budget, in bytes.
pub(super) const MIN_UNIT_BYTES: usize = 150;

/// One client's view of the world.
#[derive(Debug, Default)]
pub struct ClientView {
    pub(super) blocks: Vec<BlockAcks>,
    /// Packets whose fate is open, oldest first.
    pub(super) in_flight: VecDeque<SentState>,
    /// Memory for more of them.
    pub(super) spare: Vec<SentState>,
    /// Entities that the client must be told are gone, and since when; told in turn until
    /// acknowledged.
    pub(super) removals: VecDeque<(NetId, Tick)>,
    /// How many of them, the last ones, were told in this tick.
    pub(super) removals_told: usize,
    /// Packets of this tick that may name removals.
    pub(super) removal_packets: u8,
    pub(super) many_removals: ManyRemovals,
    pub(super) own: OwnView,
    /// Whether this client's units are likely to be some other's too.
    pub(super) shares: bool,
    /// Longer units are cut in two, in bytes.
    pub(super) longest_unit: usize,
    pub(super) block_deltas: Vec<DueDelta>,
    pub(super) individual_items: Vec<IndividualItem>,
    /// Blocks that wait in this tick, and which of their slots are due.
    pub(super) waiting: Vec<(usize, u64)>,
    pub(super) scheduler: SendScheduler,
    /// Of `block_deltas` and `individual_items`, how many are written.
    pub(super) written: (usize, usize),
    pub(super) next_index: u8,
    pub(super) deferred: Deferred,
    pub(super) stream: Vec<u8>,
    pub(super) headers: Vec<DeltaHeader>,
    pub(super) stats: ViewStats,
    /// Tick of the last plan.
    pub(super) planned: Option<Tick>,
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

    /// Forgets all acknowledgements: everything is sent whole, because the client's copy is in
    /// doubt.
    pub fn reset(&mut self) {
        self.in_flight.clear();
        self.blocks.iter_mut().for_each(|block| block.unacknowledge(u64::MAX));
        self.own.acked.clear();
    }

    /// The newest tick as of which the client holds an entity as others do.
    pub fn acked(&self, id: NetId) -> Option<Tick> {
        self.blocks.get(block_of(id.slot))?.acked(bit_of(id.slot))
    }

    /// The newest tick as of which the client holds its own entity as its owner.
    pub fn own_acked(&self) -> Option<Tick> {
        self.own.acked.front().copied()
    }

    /// The client's own entity at the last plan.
    pub fn own(&self) -> Option<NetId> {
        self.own.id
    }

    /// Whether the client leaves so many removals unacknowledged that its session must end.
    pub fn is_overwhelmed(&self) -> bool {
        self.removals.len() > REMOVALS
    }

    /// Whether the entity in a slot was relevant at the last plan.
    pub fn was_relevant(&self, slot: u16) -> bool {
        self.blocks.get(block_of(slot)).is_some_and(|block| block.relevant & bit_of(slot) != 0)
    }

    /// What was sent after a tick and is not acknowledged, by block and slots; the own copy is left
    /// out.
    pub fn carried_since(&self, tick: Tick) -> impl Iterator<Item = (u16, u64)> {
        let sent = self.in_flight.iter().filter(move |sent| sent.tick.is_after(tick));
        sent.flat_map(|sent| sent.parts.iter().copied())
    }

    /// Takes note of entities that are gone; to be called in every tick in which some are.
    pub fn note_gone(&mut self, gone: &[NetId], now: Tick) {
        for id in gone {
            let bit = bit_of(id.slot);
            if let Some(block) = self.blocks.get_mut(block_of(id.slot)) {
                if block.known & bit != 0 {
                    self.removals.push_back((*id, now));
                }
                block.forget(bit);
            }
            forget_in_flight(&mut self.in_flight, block_of(id.slot), bit);
            if self.own.id == Some(*id) {
                self.change_own(None);
            }
        }
    }

    /// Decides what this tick's snapshot holds: what is relevant and differs from what the client
    /// acknowledged, its own entity first, then by priority, up to the budget.
    pub fn plan(&mut self, shared: &mut Shared<'_>, interest: &Interest<'_>) {
        self.blocks
            .resize_with(shared.ring.blocks().len().max(self.blocks.len()), BlockAcks::default);
        self.renew(shared);
        self.block_deltas.clear();
        self.individual_items.clear();
        self.waiting.clear();
        (self.written, self.next_index, self.removals_told) = ((0, 0), 0, 0);
        self.shares = interest.weights.is_none();
        self.longest_unit = match self.shares {
            true => (interest.budget / MIN_UNITS_OF_BUDGET).clamp(MIN_UNIT_BYTES, UNIT_BYTES),
            false => UNIT_BYTES,
        };
        self.change_own(interest.own);
        self.consider_own(shared);
        for (at, block) in shared.ring.blocks().iter().enumerate() {
            let relevant = interest.masks.get(at).copied().unwrap_or(0) & block.live;
            if relevant != self.blocks[at].relevant {
                self.change_interest(shared.ring, at, relevant);
            }
            if relevant != 0 {
                self.consider(shared, (at, block), interest);
            }
        }
        self.fit(shared, interest);
        self.stats.ticks += 1;
    }

    fn change_own(&mut self, own: Option<NetId>) {
        if self.own.id != own {
            self.own = OwnView { id: own, acked: VecDeque::new() };
            self.in_flight.iter_mut().for_each(|sent| sent.own = false);
        }
    }

    fn consider_own(&mut self, shared: &Shared<'_>) {
        let Some(entry) = self.own.id.and_then(|id| shared.ring.entry(id.slot)) else {
            return;
        };
        let slot = entry.id.slot;
        let changed = shared.ring.blocks()[block_of(slot)].changed(slot, Audience::Owner);
        let acked = self.own.acked.front().copied();
        if acked.is_some_and(|acked| !changed.is_after(acked)) {
            return;
        }
        let now = shared.ring.tick();
        let base = acked.filter(|tick| entry.baseline(*tick, now).is_some()).map(|tick| {
            let gap = |older: &&Tick| {
                (2..=super::block_delta::GAP as i32).contains(&tick.distance(**older))
            };
            let older = self
                .own
                .acked
                .iter()
                .find(gap)
                .filter(|older| entry.baseline(**older, now).is_some());
            BaselineRef { tick, gap: older.map_or(0, |older| tick.distance(*older) as u32) }
        });
        let place = Place { slot, base };
        self.individual_items.push(IndividualItem { place, audience: Audience::Owner });
    }

    /// What comes into sight is sent whole, what leaves it is to be removed.
    fn change_interest(&mut self, ring: &StateRing, at: usize, relevant: u64) {
        let (now, block) = (ring.tick(), &mut self.blocks[at]);
        let left = block.relevant & !relevant;
        for slot in slots_of(at, left & block.known) {
            if let Some(entry) = ring.entry(slot) {
                self.removals.push_back((entry.id, now));
            }
        }
        block.forget(left);
        if left != 0 {
            forget_in_flight(&mut self.in_flight, at, left);
        }
        for slot in slots_of(at, relevant & !block.relevant) {
            // Back before its removal was acknowledged: the client may hold it still.
            let Some(entry) = ring.entry(slot) else {
                continue;
            };
            let before = self.removals.len();
            self.removals.retain(|(id, _)| *id != entry.id);
            if self.removals.len() != before {
                block.known |= bit_of(slot);
            }
        }
        block.relevant = relevant;
    }

    /// Keeps what fits into the budget, by priority; the rest is deferred.
    fn fit(&mut self, shared: &Shared<'_>, interest: &Interest<'_>) {
        // So much fits into the packets of a tick, though each may end early for want of room for
        // one more entity.
        let largest = shared.schema.kinds().map(|(_, kind)| kind.max_bytes()).max().unwrap_or(0);
        let most = SNAPSHOT_PACKETS * SMALLEST_PAYLOAD.saturating_sub(PACKET_HEADER + largest);
        let budget = interest.budget.min(SNAPSHOT_BYTES).min(most);
        self.deferred = Deferred::None;
        let need = self.scheduler.need(&self.block_deltas, &self.individual_items, shared);
        self.removal_packets = self.removal_packets(budget.saturating_sub(need));
        if need <= budget {
            self.defer_waiting();
            return self.order_individual();
        }
        let mut scheduler = std::mem::take(&mut self.scheduler);
        scheduler.choose(
            (&mut self.block_deltas, &mut self.individual_items),
            &mut self.blocks,
            shared,
            interest,
            budget,
        );
        let known = |slot: &u16| self.blocks[block_of(*slot)].known & bit_of(*slot) != 0;
        // One more than can be named says enough.
        let slots: Vec<u16> =
            scheduler.deferred().filter(known).take(DEFERRED_PER_PACKET + 1).collect();
        self.stats.deferred += scheduler.deferred().count() as u64;
        self.deferred = Deferred::of(slots);
        self.scheduler = scheduler;
        self.defer_waiting();
        self.order_individual();
    }

    /// The absence of blocks that wait for a baseline says nothing.
    fn defer_waiting(&mut self) {
        let count: usize = self.waiting.iter().map(|(_, slots)| slots.count_ones() as usize).sum();
        if count == 0 {
            return;
        }
        self.stats.deferred += count as u64;
        let slots = self.waiting.iter().flat_map(|(at, slots)| slots_of(*at, *slots));
        self.deferred = match count > DEFERRED_PER_PACKET {
            true => Deferred::Any,
            false => std::mem::take(&mut self.deferred).and(slots),
        };
    }

    /// Mostly the few removals that a tick's first packet names are enough. Where more are gone in
    /// each tick than that, several packets name some, as far as there is room, or they would pile
    /// up until the session ends.
    fn removal_packets(&self, spare: usize) -> u8 {
        match self.removals.len() > self.many_removals.0 {
            true => 1 + (spare / REMOVAL_PACKET_BYTES).min(MORE_REMOVAL_PACKETS) as u8,
            false => 1,
        }
    }

    /// The own entity, then the others by rising slot.
    fn order_individual(&mut self) {
        let own =
            self.individual_items.first().is_some_and(|item| item.audience == Audience::Owner);
        let others = &mut self.individual_items[usize::from(own)..];
        if !others.is_sorted_by_key(|item| item.place.slot) {
            others.sort_unstable_by_key(|item| item.place.slot);
        }
    }
}

/// What packets carried of these slots says nothing any more when it is acknowledged.
pub(super) fn forget_in_flight(in_flight: &mut VecDeque<SentState>, block: usize, mask: u64) {
    let parts = in_flight.iter_mut().flat_map(|sent| &mut sent.parts);
    parts.filter(|part| usize::from(part.0) == block).for_each(|part| part.1 &= !mask);
}
