//! What one client holds of the world, as far as the server knows, and what to send next.
//!
//! Per block of 64 entity slots the view records which slots the client holds as of which ticks
//! ([`BlockAcks`]). Per packet in flight it records which slots of which blocks the packet carried.
//! It also keeps the removals that are not acknowledged. So a client costs memory per block, not
//! per entity; only after its budget was short once is a tick per slot kept, too.
//!
//! ```text
//! plan (what is due, what fits the budget) -> write_packet, once per datagram -> packet_acked
//! ```

mod budget;

use std::collections::VecDeque;

use super::NetId;
use super::block_acks::BlockAcks;
use super::block_delta::{BaselineRef, Place, bit_of, block_of, slots_of};
use super::delta_cache::{BlockDelta, DeltaCache, DeltaKey, IndividualItem};
use super::send_scheduler::{MIN_DELTAS_OF_BUDGET, SendScheduler};
use super::snapshot::{Deferred, DeltaHeader};
use super::state_ring::{BlockAt, StateRing};
use crate::limits::{DELTA_BYTES, REMOVALS};
use crate::schema::{Audience, Schema};
use crate::sequence::Sequence;
use crate::tick::Tick;

/// Data that all clients of a room share when their snapshots are written.
pub struct Shared<'a> {
    /// The components and kinds.
    pub schema: &'a Schema,
    /// The recent world states; the newest tick is the one to send.
    pub ring: &'a StateRing,
    /// The block deltas encoded so far in this tick.
    pub cache: &'a mut DeltaCache,
}

/// The entities that are relevant to a client in this tick, their weights, and the budget.
#[derive(Clone, Copy, Debug)]
pub struct Interest<'a> {
    /// The client's own entity.
    pub own: Option<NetId>,
    /// The client's team; 0 for none.
    pub team: u8,
    /// Relevant slots as a bit mask per block. Blocks past the end have none.
    pub masks: &'a [u64],
    /// Growth of each slot's priority per tick (1 or more); `None` where all are equal, which lets
    /// clients share encodings.
    pub weights: Option<&'a [u32]>,
    /// Bytes of state that the tick's snapshot may take. The client's own entity and the most
    /// urgent other item are sent even if they exceed it.
    pub budget: usize,
}

/// A block delta that is due.
#[derive(Clone, Copy, Debug)]
pub(super) struct DueDelta {
    pub key: DeltaKey,
    pub block_delta: BlockDelta,
}

/// The client's own entity, and the ticks at which the client holds the owner's copy, newest first.
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

/// Counts of snapshots written so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ViewStats {
    /// Number of ticks planned.
    pub ticks: u64,
    /// Number of relevant entities, summed over ticks.
    pub relevant: u64,
    /// Number of entity updates sent.
    pub updates: u64,
    /// Number of entity updates deferred for lack of budget, summed over ticks.
    pub deferred: u64,
    /// Bits of snapshot bodies sent.
    pub bits: u64,
}

/// Number of removals above which several packets of a tick name some, so that they do not
/// accumulate.
#[derive(Debug)]
pub(super) struct ManyRemovals(pub usize);

impl Default for ManyRemovals {
    fn default() -> Self {
        Self(REMOVALS / 8)
    }
}

/// Length in bytes up to which block deltas are not split, however short the budget.
pub(super) const MIN_DELTA_BYTES: usize = 150;

/// The server's record of what one client holds, and the plan of the client's snapshot.
#[derive(Debug, Default)]
pub struct ClientView {
    pub(super) blocks: Vec<BlockAcks>,
    /// Packets that are neither acknowledged nor forgotten, oldest first.
    pub(super) in_flight: VecDeque<SentState>,
    /// Records of earlier packets, kept for their memory.
    pub(super) spare: Vec<SentState>,
    /// Entities whose removal the client has not acknowledged, each with the tick of the removal.
    /// They are sent in turn.
    pub(super) removals: VecDeque<(NetId, Tick)>,
    /// Number of removals, at the end of the queue, that were sent in this tick.
    pub(super) removals_told: usize,
    /// Number of packets of this tick that may name removals.
    pub(super) removal_packets: u8,
    pub(super) many_removals: ManyRemovals,
    pub(super) own: OwnView,
    /// Whether other clients are likely to use this client's block deltas.
    pub(super) shares: bool,
    /// Length in bytes above which a block delta is split in two.
    pub(super) longest_delta: usize,
    pub(super) block_deltas: Vec<DueDelta>,
    pub(super) individual_items: Vec<IndividualItem>,
    /// Blocks that wait for a shared baseline in this tick, and those of their slots that are due.
    pub(super) waiting: Vec<(usize, u64)>,
    pub(super) scheduler: SendScheduler,
    /// Numbers of `block_deltas` and of `individual_items` that are written.
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
    /// Creates the view of a client that holds nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Counts of snapshots written so far.
    pub fn stats(&self) -> ViewStats {
        self.stats
    }

    /// Discards all acknowledgements, so that everything is sent whole. Used when the client's copy
    /// may be wrong.
    pub fn reset(&mut self) {
        self.in_flight.clear();
        self.blocks
            .iter_mut()
            .for_each(|block| block.unacknowledge(u64::MAX));
        self.own.acked.clear();
    }

    /// Newest tick at which the client holds an entity as a client that does not own it; `None` if
    /// there is none.
    pub fn acked(&self, id: NetId) -> Option<Tick> {
        self.blocks.get(block_of(id.slot))?.acked(bit_of(id.slot))
    }

    /// Newest tick at which the client holds its own entity as the owner; `None` if there is none.
    pub fn own_acked(&self) -> Option<Tick> {
        self.own.acked.front().copied()
    }

    /// The client's own entity at the last plan.
    pub fn own(&self) -> Option<NetId> {
        self.own.id
    }

    /// Whether more than [`REMOVALS`] removals are not acknowledged, so that the session must end.
    pub fn is_overwhelmed(&self) -> bool {
        self.removals.len() > REMOVALS
    }

    /// Whether the entity in a slot was relevant at the last plan.
    pub fn was_relevant(&self, slot: u16) -> bool {
        self.blocks
            .get(block_of(slot))
            .is_some_and(|block| block.relevant & bit_of(slot) != 0)
    }

    /// Slots, by block, that were sent after a tick and are not acknowledged, without the owner's
    /// copy.
    pub fn carried_since(&self, tick: Tick) -> impl Iterator<Item = (u16, u64)> {
        let sent = self
            .in_flight
            .iter()
            .filter(move |sent| sent.tick.is_after(tick));
        sent.flat_map(|sent| sent.parts.iter().copied())
    }

    /// Records entities that were removed from the world. Call it in every tick in which there are
    /// some, before [`Self::plan`].
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

    /// Decides what this tick's snapshot holds: the client's own entity, and of the other relevant
    /// entities that differ from the acknowledged state as many as fit the budget, by priority.
    /// Call it once per tick that is sent, then [`Self::write_packet`] until it returns `false`.
    pub fn plan(&mut self, shared: &mut Shared<'_>, interest: &Interest<'_>) {
        self.blocks.resize_with(
            shared.ring.blocks().len().max(self.blocks.len()),
            BlockAcks::default,
        );
        self.renew(shared);
        self.block_deltas.clear();
        self.individual_items.clear();
        self.waiting.clear();
        (self.written, self.next_index, self.removals_told) = ((0, 0), 0, 0);
        self.shares = interest.weights.is_none();
        self.longest_delta = match self.shares {
            true => (interest.budget / MIN_DELTAS_OF_BUDGET).clamp(MIN_DELTA_BYTES, DELTA_BYTES),
            false => DELTA_BYTES,
        };
        self.change_own(interest.own);
        self.consider_own(shared);
        for (at, block) in shared.ring.blocks().iter().enumerate() {
            let relevant = interest.masks.get(at).copied().unwrap_or(0) & block.live;
            if relevant != self.blocks[at].relevant {
                self.change_interest(shared.ring, at, relevant);
            }
            if relevant != 0 {
                self.consider(shared, BlockAt { at, block }, interest);
            }
        }
        self.fit(shared, interest);
        self.stats.ticks += 1;
    }

    fn change_own(&mut self, own: Option<NetId>) {
        if self.own.id != own {
            self.own = OwnView {
                id: own,
                acked: VecDeque::new(),
            };
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
        let base = acked
            .filter(|tick| entry.baseline(*tick, now).is_some())
            .map(|tick| {
                let gap = |older: &&Tick| {
                    (2..=super::block_delta::GAP as i32).contains(&tick.distance(**older))
                };
                let older = self
                    .own
                    .acked
                    .iter()
                    .find(gap)
                    .filter(|older| entry.baseline(**older, now).is_some());
                BaselineRef {
                    tick,
                    gap: older.map_or(0, |older| tick.distance(*older) as u32),
                }
            });
        let place = Place { slot, base };
        self.individual_items.push(IndividualItem {
            place,
            audience: Audience::Owner,
        });
    }

    /// Updates the relevant slots of a block. Slots that become relevant are sent whole; slots that
    /// no longer are get a removal.
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
            // The entity is relevant again before its removal was acknowledged: the client may
            // still hold it.
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
}

/// Removes slots from packets in flight, so that a later acknowledgement does not count for them.
pub(super) fn forget_in_flight(in_flight: &mut VecDeque<SentState>, block: usize, mask: u64) {
    let parts = in_flight.iter_mut().flat_map(|sent| &mut sent.parts);
    parts
        .filter(|part| usize::from(part.0) == block)
        .for_each(|part| part.1 &= !mask);
}
